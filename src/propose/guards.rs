//! Static guards: what a proposal must hold before any row is spent on it. All free, all pure; every refusal says what to
//! change, since it is sent back to the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::copied::{CopiedRun, TrainWords};
use super::{Proposal, Proposed};
use crate::dataset::{Dataset, Example, Split};
use crate::digest::Digest;
use crate::prompt::{EditError, Prompt, PromptError, PromptSet};

/// Limits of size and of copying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// Most tokens of all prompts together, at least 1.
    pub max_prompt_tokens: usize,
    /// Most tokens that the prompts may have more than the baseline.
    pub max_growth: usize,
    /// Longest run of words that may be copied from a train row, at least 1.
    pub copied_words: usize,
}

/// Why a proposal was refused, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// An edit does not apply, or the result is no valid prompt.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Front matter was changed.
    #[error("the edits change the front matter of `{0}`: leave what stands between its `---` lines as it is")]
    FrontMatter(String),
    /// Role lines were added, removed or changed.
    #[error(
        "the edits change the role lines of `{0}`: keep its `system:`, `user:` and `assistant:` lines, and add none"
    )]
    RoleLines(String),
    /// Protected text was changed.
    #[error(
        "the edits change protected text of `{0}`: leave what stands between `{{# ratchet:protect #}}` and \
         `{{# ratchet:end #}}` as it is, with both tags"
    )]
    Protected(String),
    /// The templates read other variables than before.
    #[error("{}", variables(.file, .lost, .new))]
    Variables {
        /// The prompt.
        file: String,
        /// What it no longer reads.
        lost: Vec<String>,
        /// What it reads now and did not before.
        new: Vec<String>,
    },
    /// A row of the dataset no longer renders.
    #[error("the edited prompt can't be filled in: {0}; leave template expressions as they are")]
    Render(PromptError),
    /// The prompts are too long.
    #[error(
        "the edited prompt has about {tokens} tokens, and {max} are allowed ({limit}): shorten the edits by {}",
        .tokens - .max
    )]
    Size {
        /// Tokens of the result.
        tokens: usize,
        /// Most tokens allowed.
        max: usize,
        /// The key of the limit in the config.
        limit: &'static str,
    },
    /// Nothing was changed.
    #[error("the edits change nothing: make `replace` differ from `search`")]
    NoChange,
    /// The same prompts were tried before.
    #[error("the edits yield a prompt that was tried before: propose something else")]
    Duplicate,
    /// A pinned row was quoted: quoting it would make it pass and guard nothing.
    #[error("the edits quote the row `{0}`, which is pinned to guard this task: choose another row")]
    QuotesPinned(String),
    /// Words of a train row were copied.
    #[error(
        "the edits copy {} words from the row `{}` (\"{}\"): at most {most} in a row may be copied; say what rows of this \
         kind have in common instead",
        .run.words, .run.row, .run.text
    )]
    Copied {
        /// What was copied.
        run: CopiedRun,
        /// Most words in a row that may be.
        most: usize,
    },
}

fn variables(file: &str, lost: &[String], new: &[String]) -> String {
    let list = |names: &[String]| names.iter().map(|name| format!("`{{{{ {name} }}}}`")).collect::<Vec<_>>().join(", ");
    match (lost, new) {
        (lost, []) => format!("the edits remove {} from `{file}`: keep all template expressions", list(lost)),
        ([], new) => format!("the edits add {} to `{file}`: add no template expressions", list(new)),
        _ => format!(
            "the edits replace {} by {} in `{file}`: leave template expressions as they are",
            list(lost),
            list(new)
        ),
    }
}

/// The guards of one run.
pub struct Guards {
    limits: GuardLimits,
    /// Most tokens, from both limits.
    most_tokens: usize,
    train: TrainWords,
    /// One row of each shape.
    shapes: Vec<Arc<Example>>,
    /// Ids of pinned rows.
    pinned: BTreeSet<String>,
}

impl Guards {
    /// Guards for edits of `baseline` and what descends from it. Of `dataset`, the train rows' words are looked for in
    /// prompts, and one row of each shape is rendered.
    pub fn new(limits: GuardLimits, baseline: &PromptSet, dataset: &Dataset) -> Self {
        Self {
            limits,
            // A baseline that is too long already may be edited, but not grow.
            most_tokens: limits
                .max_prompt_tokens
                .max(baseline.tokens())
                .min(baseline.tokens().saturating_add(limits.max_growth)),
            train: TrainWords::new(&dataset.rows(Split::Train), limits.copied_words),
            shapes: one_per_shape(&dataset.examples),
            pinned: dataset.examples.iter().filter(|row| row.pinned).map(|row| row.id.clone()).collect(),
        }
    }

    /// Tokens that `prompts` may still grow by.
    pub fn room(&self, prompts: &PromptSet) -> usize {
        self.most_tokens.saturating_sub(prompts.tokens())
    }

    /// Whether `prompts` are within the limits of size and growth.
    pub fn fits(&self, prompts: &PromptSet) -> bool {
        prompts.tokens() <= self.most_tokens
    }

    /// Whether what no edit may change is in `after` as in `before`, which holds the same prompts, and every shape of row
    /// still renders.
    ///
    /// # Errors
    /// The first of these guards that `after` does not pass.
    pub fn sound(&self, before: &PromptSet, after: &PromptSet) -> Result<(), GuardError> {
        for (before, after) in before.iter().zip(after.iter()) {
            unharmed(before, after)?;
            for row in &self.shapes {
                // What did not render before is no fault of the edits.
                if let Err(error) = after.check(row)
                    && before.check(row).is_ok()
                {
                    return Err(GuardError::Render(error));
                }
            }
        }
        Ok(())
    }

    /// The prompts that `proposal` makes of `prompts`, and the proposal with the ids of the train rows that it quotes,
    /// those that it names itself and those that are found in its text, sorted.
    /// `quotes_rows`: whether quoting rows is its job. `seen`: digests of all prompts that were tried.
    ///
    /// # Errors
    /// The first guard that it does not pass.
    pub fn check(
        &self,
        prompts: &PromptSet,
        proposal: Proposal,
        quotes_rows: bool,
        seen: &BTreeSet<Digest>,
    ) -> Result<Proposed, GuardError> {
        let edited = prompts.apply(&proposal.edits)?;
        self.sound(prompts, &edited)?;
        if edited.digest() == prompts.digest() {
            return Err(GuardError::NoChange);
        }
        let tokens = edited.tokens();
        if !self.fits(&edited) {
            let by_size = self.most_tokens == self.limits.max_prompt_tokens;
            let limit = if by_size { "guards.max_prompt_tokens" } else { "guards.max_growth" };
            return Err(GuardError::Size { tokens, max: self.most_tokens, limit });
        }
        if seen.contains(&edited.digest()) {
            return Err(GuardError::Duplicate);
        }
        if !quotes_rows && let Some(run) = self.train.copied(prompts, &edited) {
            return Err(GuardError::Copied { run, most: self.limits.copied_words });
        }
        let mut quoted: BTreeSet<String> = BTreeSet::from_iter(proposal.quoted);
        quoted.extend(self.train.quoted(prompts, &edited));
        if let Some(pinned) = quoted.intersection(&self.pinned).next() {
            return Err(GuardError::QuotesPinned(pinned.clone()));
        }
        let proposal = Proposal { quoted: quoted.into_iter().collect(), ..proposal };
        Ok(Proposed { proposal, prompts: edited })
    }
}

/// Whether the parts of a prompt that no edit may change are as they were.
fn unharmed(before: &Prompt, after: &Prompt) -> Result<(), GuardError> {
    let file = || before.name().to_owned();
    let (old, new) = (before.structure(), after.structure());
    if old.front_matter != new.front_matter {
        return Err(GuardError::FrontMatter(file()));
    }
    if old.role_lines != new.role_lines {
        return Err(GuardError::RoleLines(file()));
    }
    if before.protected_regions() != after.protected_regions() {
        return Err(GuardError::Protected(file()));
    }
    let only = |one: &Prompt, other: &Prompt| one.variables().difference(other.variables()).cloned().collect();
    let (lost, new): (Vec<String>, Vec<String>) = (only(before, after), only(after, before));
    if lost.is_empty() && new.is_empty() { Ok(()) } else { Err(GuardError::Variables { file: file(), lost, new }) }
}

/// The first row of each shape: the names of its input's fields, and which of them are text, numbers, lists or maps.
fn one_per_shape(examples: &[Arc<Example>]) -> Vec<Arc<Example>> {
    let mut shapes: BTreeMap<String, &Arc<Example>> = BTreeMap::new();
    for example in examples {
        shapes.entry(shape(&example.input)).or_insert(example);
    }
    shapes.into_values().cloned().collect()
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map(shape).unwrap_or_default()),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name:?}:{}", shape(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Edit;
    use crate::propose::testing::{PROMPT, dataset, edit, example, prompts};

    const ROW: &str = "I was billed twice for my subscription this month and would like one payment back";

    fn guards(baseline: &PromptSet) -> Guards {
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 40, copied_words: 8 };
        Guards::new(limits, baseline, &dataset(vec![example("t-1", ROW, "refunds")]))
    }

    fn proposal(edits: Vec<Edit>) -> Proposal {
        Proposal { edits, rationale: "Why.".to_owned(), expected_effect: String::new(), quoted: Vec::new() }
    }

    fn check(text: &str, edits: Vec<Edit>, quotes_rows: bool) -> Result<Proposed, GuardError> {
        let before = prompts(text);
        guards(&before).check(&before, proposal(edits), quotes_rows, &BTreeSet::new())
    }

    fn refusal(text: &str, search: &str, replace: &str) -> String {
        check(text, vec![edit(search, replace)], false).unwrap_err().to_string()
    }

    #[test]
    fn a_small_edit_passes_and_yields_the_edited_prompt() {
        let proposed = check(PROMPT, vec![edit("- refunds", "- refunds: wants money back")], false).unwrap();
        assert_eq!(proposed.prompts.first().text(), PROMPT.replace("- refunds", "- refunds: wants money back"));
        assert!(proposed.proposal.quoted.is_empty());
    }

    #[test]
    fn edits_that_do_not_apply_say_why() {
        assert!(refusal(PROMPT, "- refund\n", "x").contains("does not occur in `p.prompty`"));
        assert!(refusal(PROMPT, "categor", "x").contains("occurs 2 times"));
        let overlap = vec![edit("- billing\n- ref", "x"), edit("- refunds", "y")];
        assert!(check(PROMPT, overlap, false).unwrap_err().to_string().contains("edits 1 and 2 overlap"));
        assert!(refusal(PROMPT, "- billing", "{% if input %}").contains("the edited prompt is not valid"));
    }

    #[test]
    fn front_matter_role_lines_and_protected_text_stay() {
        let text = format!(
            "---\nname: x\n---\n{}",
            PROMPT.replace("- refunds", "{# ratchet:protect #}\n- refunds\n{# ratchet:end #}")
        );
        assert!(refusal(&text, "name: x", "name: y").contains("front matter of `p.prompty`"));
        assert!(refusal(&text, "user:\n", "").contains("role lines of `p.prompty`"));
        assert!(refusal(&text, "- billing", "- billing\nassistant:\nrefunds\nuser:").contains("role lines"));
        assert!(refusal(&text, "- refunds", "- money back").contains("protected text of `p.prompty`"));
    }

    #[test]
    fn template_expressions_stay() {
        let map = "Subject: {{ input.subject }}\n\nText: {{ input.text }}\n";
        assert_eq!(
            refusal(map, "Subject: {{ input.subject }}\n\n", ""),
            "the edits remove `{{ input.subject }}` from `p.prompty`: keep all template expressions"
        );
        assert!(refusal(map, "Text: ", "Text: {{ input.date }} ").contains("the edits add `{{ input.date }}`"));
        assert!(
            refusal(map, "input.text", "input.body")
                .contains("the edits replace `{{ input.text }}` by `{{ input.body }}`")
        );
        assert!(refusal(PROMPT, "- billing", "- billing {{ expected }}").contains("`expected` is not defined"));
    }

    #[test]
    fn an_edit_after_which_a_row_can_not_be_filled_in_is_refused() {
        let refusal = refusal(PROMPT, "{{ input }}", "{{ input + 1 }}");
        assert!(refusal.starts_with("the edited prompt can't be filled in: p.prompty:8:"), "{refusal}");
        assert!(refusal.ends_with("leave template expressions as they are"), "{refusal}");
    }

    #[test]
    fn growth_and_size_are_limited_from_the_baseline_on() {
        let long = format!("- refunds: {}", "money that goes back ".repeat(20));
        let refusal = refusal(PROMPT, "- refunds", &long);
        assert!(refusal.contains("allowed (guards.max_growth): shorten the edits by"), "{refusal}");
        let before = prompts(PROMPT);
        let tight = GuardLimits { max_prompt_tokens: 1, max_growth: 1000, copied_words: 8 };
        let guards = Guards::new(tight, &before, &dataset(Vec::new()));
        // A baseline beyond the limit may be edited, but not grow.
        assert_eq!((guards.fits(&before), guards.room(&before)), (true, 0));
        let shorter = proposal(vec![edit(", nothing else", "")]);
        assert!(guards.check(&before, shorter, false, &BTreeSet::new()).is_ok());
    }

    #[test]
    fn what_changes_nothing_or_was_tried_is_refused() {
        assert!(refusal(PROMPT, "- refunds", "- refunds").contains("change nothing"));
        let before = prompts(PROMPT);
        let edits = || proposal(vec![edit("- refunds", "- refunds: money back")]);
        let tried = guards(&before).check(&before, edits(), false, &BTreeSet::new()).unwrap().prompts.digest();
        let error = guards(&before).check(&before, edits(), false, &BTreeSet::from([tried])).unwrap_err();
        assert_eq!(error, GuardError::Duplicate);
    }

    #[test]
    fn a_pinned_row_is_never_quoted() {
        let mut train = dataset(vec![example("t-1", "my card was charged twice this month", "billing")]);
        Arc::make_mut(&mut train.examples[0]).pinned = true;
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &prompts(PROMPT), &train);
        let quote = edit("- refunds", "- refunds\n- \"my card was charged twice this month\" -> billing");
        let quoting = proposal(vec![quote]);
        let refused = guards.check(&prompts(PROMPT), quoting, true, &BTreeSet::new()).unwrap_err();
        assert_eq!(refused, GuardError::QuotesPinned("t-1".to_owned()));
    }

    #[test]
    fn rows_may_be_quoted_only_by_a_strategy_whose_job_it_is_and_are_then_named() {
        let replace = format!("- refunds\n- \"{ROW}\" -> refunds");
        let refused = refusal(PROMPT, "- refunds", &replace);
        assert!(refused.starts_with("the edits copy 15 words from the row `t-1` (\"I was billed"), "{refused}");
        assert!(refused.contains("at most 8 in a row"), "{refused}");
        let proposed = check(PROMPT, vec![edit("- refunds", &replace)], true).unwrap();
        assert_eq!(proposed.proposal.quoted, ["t-1"]);
    }
}
