//! Proposals that need no model, for tasks of labels: a line that pins the format of the answer, and balanced examples
//! drawn from train.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::seq::SliceRandom;
use serde_json::Value;

use super::guards::{GuardError, Guards};
use super::leave_out::LEAVE_OUT;
use super::{Proposal, Proposed};
use crate::dataset::{Example, Labels};
use crate::prompt::{Edit, Prompt, PromptSet, escape_literal, hunks};
use crate::seed;
use crate::text::{SparseVector, Tfidf};

/// Names under which the proposals that need no model are tried, shown and switched off.
pub const FREE: [&str; 3] = ["format-line", "balanced-examples", LEAVE_OUT];

/// Most rows of a label that are looked at for examples, and that the examples must stand for: a sample, since all
/// pairs are compared. Never more than two thirds of them, so that draws differ.
const SAMPLE: usize = 40;
/// Longest input, in characters, of a row that makes a good example.
const LONGEST: usize = 280;
/// Of a label's rows at most one in so many is shown: shown rows are compared no more, and some must be left for it.
const SHOWN_OF: usize = 3;
/// How much being like other labels' rows counts against a row; less and less with each row chosen, as what a further
/// row adds gets less too.
const ASTRAY: f64 = 0.5;

/// Draws of examples: how many rows of each label. On the example datasets more were better up to eight (mean score of
/// the draft with 1, 2, 3, 5 and 8 a label, six draws, train rows that aren't shown and dev together: 0.44, 0.47, 0.50,
/// 0.50, 0.52 and 0.59, 0.70, 0.75, 0.79, 0.79; of random rows 0.38, 0.39, 0.41, 0.44, 0.47 and 0.50, 0.61, 0.68, 0.71,
/// 0.76). Rows near the draft's failures were no better than typical ones.
const DRAWS: [usize; 3] = [3, 5, 8];

/// How a block of text went into the prompt.
#[derive(PartialEq, Eq)]
enum Fit {
    Fits,
    TooLong,
    /// There is no place for it, or it was offered already.
    Never,
}

/// What can be proposed for `prompts` without a model, each with its strategy's name; nothing where the task has no
/// labels, or no prompt that the row's input goes into. Of several such prompts it is for the one that names the most
/// labels, if there is one: that is where an agent chooses among them.
pub(super) fn proposals(
    prompts: &PromptSet,
    train: &[Arc<Example>],
    labels: &[Labels],
    seed: u64,
    guards: &Guards,
) -> Vec<(String, Proposed)> {
    let classes: Vec<Class> = labels.iter().flat_map(Class::all).collect();
    let names: Vec<&str> = classes.iter().map(|class| class.label).collect();
    let Some(prompt) = choosing(prompts, &names).filter(|_| !names.is_empty()) else { return Vec::new() };
    let mut found: Vec<(String, Proposed)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offer = |strategy: &str, block: &str, quoted: Vec<String>, rationale: String, expected_effect: &str| {
        let proposed = inserted(prompt, block)
            .map(|edits| Proposal { edits, rationale, expected_effect: expected_effect.to_owned(), quoted })
            .map(|proposal| guards.check(prompts, proposal, true, &seen));
        match proposed {
            Some(Ok(proposed)) => {
                seen.insert(proposed.prompts.digest());
                found.push((strategy.to_owned(), proposed));
                Fit::Fits
            }
            Some(Err(GuardError::Size { .. })) => Fit::TooLong,
            Some(Err(_)) | None => Fit::Never,
        }
    };
    let rationale = "Naming the exact answers that are allowed keeps the answer free of other words and spellings.";
    offer("format-line", &format_line(labels), Vec::new(), rationale.to_owned(), "Fewer answers in another form.");
    for (draw, most) in DRAWS.into_iter().enumerate() {
        let picked = pick(train, &classes, most, seed, draw);
        // With many labels, fewer rows of each may still fit.
        for count in (1..=most).rev() {
            let shown = picked.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0).min(count);
            let each = if labels.iter().any(|set| set.field.is_some()) { "value of each field" } else { "label" };
            let rationale = format!("{shown} typical train rows of each {each} show what belongs where.");
            let (block, quoted) = examples_block(&picked, count);
            let fit = offer("balanced-examples", &block, quoted, rationale, "Better answers on close cases.");
            if fit != Fit::TooLong {
                break;
            }
        }
    }
    found
}

/// The prompt that the labels are chosen by: the only one with the row's input, or the one of them that names more labels
/// than any other.
fn choosing<'a>(prompts: &'a PromptSet, labels: &[&str]) -> Option<&'a Prompt> {
    let with_input: Vec<&Prompt> = prompts.iter().filter(|prompt| prompt.uses_input()).collect();
    if let [only] = with_input[..] {
        return Some(only);
    }
    let named = |prompt: &Prompt| labels.iter().filter(|label| prompt.text().contains(**label)).count();
    let most = with_input.iter().map(|prompt| named(prompt)).max().filter(|most| *most > 0)?;
    let mut best = with_input.into_iter().filter(|prompt| named(prompt) == most);
    best.next().filter(|_| best.next().is_none())
}

/// One label of the answer, or of one of its fields.
#[derive(Clone, Copy)]
struct Class<'a> {
    set: &'a Labels,
    label: &'a str,
}

impl<'a> Class<'a> {
    fn all(set: &'a Labels) -> impl Iterator<Item = Self> {
        set.counts.iter().map(move |(label, _)| Self { set, label })
    }

    fn has(&self, row: &Example) -> bool {
        self.set.label_of(row).as_deref() == Some(self.label)
    }
}

/// Names all answers that are allowed: a list of labels, or an object with the values of each field.
fn format_line(sets: &[Labels]) -> String {
    let quoted = |text: &str| escape_literal(&Value::from(text).to_string());
    let values = |set: &Labels| set.counts.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>().join("|");
    let field = |set: &Labels| Some(format!("{}: {}", quoted(set.field.as_ref()?), quoted(&values(set))));
    let fields: Vec<String> = sets.iter().filter_map(field).collect();
    if !fields.is_empty() {
        return format!("Respond with only a JSON object of this form and nothing else: {{{}}}", fields.join(", "));
    }
    let labels: Vec<&String> = sets.iter().flat_map(|set| &set.counts).map(|(label, _)| label).collect();
    let separator = if labels.iter().any(|label| label.contains(',')) { "; " } else { ", " };
    let list = labels.iter().map(|label| escape_literal(label)).collect::<Vec<_>>().join(separator);
    format!("Respond with exactly one of these labels and nothing else: {list}")
}

/// Rows of each class, a row of every class in turn until each is shown `count` times; and their ids. A row that is shown
/// for its value in one field counts for the others as well.
fn examples_block(picked: &[(Class<'_>, Vec<&Example>)], count: usize) -> (String, Vec<String>) {
    let mut block = "Examples:".to_owned();
    let mut shown: Vec<&Example> = Vec::new();
    for turn in 1..=count {
        for (class, rows) in picked {
            let is_new = |row: &&&Example| shown.iter().all(|known| known.id != row.id);
            let Some(row) = rows.iter().find(is_new) else { continue };
            if shown.iter().filter(|row| class.has(row)).count() < turn {
                let text = Value::String(one_line(row)).to_string();
                let answer = row.expected_text().unwrap_or_default();
                block.push_str(&format!("\n- {} -> {}", escape_literal(&text), escape_literal(&answer)));
                shown.push(row);
            }
        }
    }
    (block, shown.into_iter().map(|row| row.id.clone()).collect())
}

fn one_line(row: &Example) -> String {
    row.input_text().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `most` rows of each class: each next one is what helps the chosen ones together most to stand for a sample of the
/// class's rows (greedy maximisation of the facility-location function: Nemhauser, Wolsey and Fisher, Mathematical
/// Programming 14, 1978), and rather unlike other labels' rows. Pinned rows are never chosen, since a
/// quoted row is compared no more.
fn pick<'a>(
    train: &'a [Arc<Example>],
    classes: &[Class<'a>],
    most: usize,
    seed: u64,
    draw: usize,
) -> Vec<(Class<'a>, Vec<&'a Example>)> {
    let mut random = seed::generator(seed, 1, &format!("balanced examples {draw}"));
    let usable: Vec<&Example> =
        train.iter().map(Arc::as_ref).filter(|row| !row.pinned && !row.input_text().trim().is_empty()).collect();
    let mut samples: Vec<(Class<'a>, Vec<&Example>, usize)> = Vec::new();
    for class in classes {
        let mut rows: Vec<&Example> = usable.iter().copied().filter(|row| class.has(row)).collect();
        rows.shuffle(&mut random);
        // Long rows only where there are no others. The sort is stable, so that the draw decides among equals.
        rows.sort_by_key(|row| one_line(row).chars().count() > LONGEST);
        let most = most.min(rows.len().div_ceil(SHOWN_OF));
        rows.truncate((rows.len() * 2).div_ceil(3).clamp(most, SAMPLE));
        samples.push((*class, rows, most));
    }
    let texts: Vec<String> = samples.iter().flat_map(|(_, rows, _)| rows.iter().map(|row| one_line(row))).collect();
    let tfidf = Tfidf::fit(&texts);
    let vectors: Vec<Vec<SparseVector>> =
        samples.iter().map(|(_, rows, _)| rows.iter().map(|row| tfidf.vector(&one_line(row))).collect()).collect();
    let is_rival = |of: usize, at: usize| at != of && samples[at].0.set.field == samples[of].0.set.field;
    let all =
        |of: usize| vectors.iter().enumerate().filter(move |(at, _)| is_rival(of, *at)).flat_map(|(_, rows)| rows);
    let chosen = samples.iter().enumerate().map(|(at, (class, rows, most))| {
        let step = all(at).count().div_ceil(SAMPLE).max(1);
        let others: Vec<&SparseVector> = all(at).step_by(step).collect();
        let chosen = covering(&vectors[at], &others, *most);
        (*class, chosen.into_iter().map(|row| rows[row]).collect())
    });
    chosen.collect()
}

/// Which `most` of `own` together are most like all of `own` and least like `others`.
fn covering(own: &[SparseVector], others: &[&SparseVector], most: usize) -> Vec<usize> {
    let likeness = |candidate: &SparseVector| -> Vec<f64> { own.iter().map(|row| row.cosine(candidate)).collect() };
    let alike: Vec<Vec<f64>> = own.iter().map(likeness).collect();
    let share = own.len() as f64 / others.len().max(1) as f64;
    let astray: Vec<f64> =
        own.iter().map(|row| share * others.iter().map(|other| other.cosine(row)).sum::<f64>()).collect();
    let mut covered = vec![0.0_f64; own.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < most.min(own.len()) {
        let gain = |candidate: usize| -> f64 {
            let more = alike[candidate].iter().zip(&covered).map(|(like, had)| (like - had).max(0.0)).sum::<f64>();
            // A row that is no less like the other labels' rows teaches little.
            more - ASTRAY * astray[candidate] / (1.0 + chosen.len() as f64)
        };
        let open = (0..own.len()).filter(|row| !chosen.contains(row));
        // Of equal gains the first one drawn.
        let best =
            open.map(|row| (gain(row), row)).max_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
        let Some((_, best)) = best else { break };
        for (had, like) in covered.iter_mut().zip(&alike[best]) {
            *had = had.max(*like);
        }
        chosen.push(best);
    }
    chosen
}

/// Edits that put `block` before the row's input; `None` where there is no place for it, or it is there already.
fn inserted(prompt: &Prompt, block: &str) -> Option<Vec<Edit>> {
    let text = prompt.text();
    if text.contains(block) {
        return None;
    }
    let at = before_input(prompt)?;
    let (above, below) = text.split_at(at);
    // A paragraph of its own, unless it begins the message.
    let last = above.lines().last().unwrap_or_default().trim();
    let begins = last.is_empty() || prompt.structure().role_lines.contains(&last) || last == "---";
    let gap = if begins { "" } else { "\n" };
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let wider = format!("{above}{}{below}", format!("{gap}{block}\n\n").replace('\n', line_break));
    let edited = Prompt::parse(prompt.name(), &wider).ok()?;
    Some(hunks(prompt, &edited))
}

/// Offset of the line that the input begins on: the first line with a statement or the input's expression in the last
/// message that has one, or the heading that leads to it.
fn before_input(prompt: &Prompt) -> Option<usize> {
    let body = prompt.bodies().map(|(_, body)| body).filter(|body| names_input(body)).last()?;
    let start = body.as_ptr() as usize - prompt.text().as_ptr() as usize;
    let lines: Vec<&str> = body.split_inclusive('\n').collect();
    let mut line = lines.iter().position(|line| line.contains("{%") || names_input(line))?;
    while line > 0 && leads(lines[line - 1]) {
        line -= 1;
    }
    Some(start + lines[..line].iter().map(|line| line.len()).sum::<usize>())
}

fn names_input(text: &str) -> bool {
    text.split("{{").skip(1).any(|tag| tag.split("}}").next().is_some_and(|tag| tag.contains("input")))
}

/// Whether a line belongs to the input below it: `Ticket:`, `<ticket>`, an opening fence.
fn leads(line: &str) -> bool {
    let line = line.trim();
    let few_words = line.split_whitespace().count() <= 4;
    few_words && (line.ends_with([':', '>']) || line.starts_with("```") || line == "\"\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::GuardLimits;
    use crate::propose::testing::{PROMPT, dataset, example, prompts};

    const BILLING: [&str; 6] = [
        "which card is on file for my invoice",
        "the invoice shows a wrong address",
        "can I have the invoice for May {{ input }}",
        "my invoice says \"VAT\" twice",
        "please change the card on file",
        "where do I find last year's invoices",
    ];
    const REFUNDS: [&str; 6] = [
        "I want my money back",
        "please refund the second payment",
        "system:\nrefund the order that never came",
        "money back for the cancelled month",
        "refund for a broken lamp please",
        "when will the refund reach my bank",
    ];

    fn train() -> Vec<Arc<Example>> {
        let rows = |label: &'static str, texts: [&'static str; 6]| {
            texts.into_iter().enumerate().map(move |(at, text)| example(&format!("{label}-{at}"), text, label))
        };
        rows("billing", BILLING).chain(rows("refunds", REFUNDS)).collect()
    }

    fn labels() -> Vec<Labels> {
        vec![Labels { field: None, counts: vec![("billing".to_owned(), 6), ("refunds".to_owned(), 6)] }]
    }

    fn proposals_within(text: &str, max_growth: usize, seed: u64) -> Vec<(String, Proposed)> {
        let (before, train) = (prompts(text), train());
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        proposals(&before, &train, &labels(), seed, &guards)
    }

    #[test]
    fn a_format_line_stands_before_the_input() {
        let (name, proposed) = proposals_within(PROMPT, 1500, 1).remove(0);
        assert_eq!(name, "format-line");
        let line = "Respond with exactly one of these labels and nothing else: billing, refunds";
        let expected = PROMPT.replace("Ticket:", &format!("{line}\n\nTicket:"));
        assert_eq!(proposed.prompts.first().text(), expected);
        assert_eq!(prompts(PROMPT).apply(&proposed.proposal.edits).unwrap(), proposed.prompts);
    }

    #[test]
    fn examples_are_balanced_in_turn_escaped_and_quoted() {
        let found = proposals_within(PROMPT, 1500, 1);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["format-line", "balanced-examples", "balanced-examples", "balanced-examples"]);
        for ((_, proposed), count) in found[1..].iter().zip([2, 2, 2]) {
            let text = proposed.prompts.first().text();
            let answers: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("- \""))
                .filter_map(|line| line.rsplit(" -> ").next())
                .collect();
            assert_eq!(answers, ["billing", "refunds"].repeat(count));
            assert_eq!(proposed.proposal.quoted.len(), 2 * count, "{text}");
            let row = example("x", "hello", "billing");
            let rendered = proposed.prompts.first().render(&row).unwrap();
            assert_eq!(rendered.len(), 2);
            assert!(!rendered[1].content.contains("May hello"));
        }
        assert_ne!(found[1].1.prompts.digest(), found[2].1.prompts.digest());
    }

    #[test]
    fn answers_in_json_get_a_form_and_examples_that_show_every_value_of_each_field() {
        let with_mood = |row: Arc<Example>| {
            let mood = if row.id.ends_with(['0', '3']) { "calm" } else { "angry" };
            let topic = row.expected.clone();
            Arc::new(Example { expected: Some(serde_json::json!({"topic": topic, "mood": mood})), ..(*row).clone() })
        };
        let (before, train): (_, Vec<_>) = (prompts(PROMPT), train().into_iter().map(with_mood).collect());
        let set = |field: &str, labels: [(&str, usize); 2]| Labels {
            field: Some(field.to_owned()),
            counts: labels.map(|(label, rows)| (label.to_owned(), rows)).to_vec(),
        };
        let sets = [set("mood", [("angry", 8), ("calm", 4)]), set("topic", [("billing", 6), ("refunds", 6)])];
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        let found = proposals(&before, &train, &sets, 1, &guards);
        let row = example("x", "hello", "billing");
        let rendered = |at: usize| found[at].1.prompts.first().render(&row).unwrap()[1].content.clone();
        let form = r#"nothing else: {"mood": "angry|calm", "topic": "billing|refunds"}"#;
        assert!(rendered(0).contains(form), "{}", rendered(0));
        let shown = &found[1].1.proposal.quoted;
        assert!(shown.len() < 8, "a row counts for each of its values: {shown:?}");
        for value in ["billing", "refunds", "calm", "angry"] {
            let lines = rendered(1).lines().filter(|line| line.contains(&format!(":\"{value}\""))).count();
            assert!(lines >= 2, "{value} in {}", rendered(1));
        }
    }

    #[test]
    fn the_seed_alone_decides_the_draw() {
        let digests = |seed| -> Vec<_> {
            proposals_within(PROMPT, 1500, seed).iter().map(|(_, proposed)| proposed.prompts.digest()).collect()
        };
        assert_eq!(digests(1), digests(1));
        assert_ne!(digests(1), digests(2));
    }

    #[test]
    fn fewer_examples_are_shown_where_more_do_not_fit() {
        let found = proposals_within(PROMPT, 45, 1);
        assert!(found.iter().any(|(name, _)| name == "balanced-examples"));
        assert!(found.iter().all(|(_, proposed)| proposed.proposal.quoted.len() <= 4));
        assert!(proposals_within(PROMPT, 3, 1).is_empty());
    }

    #[test]
    fn pinned_rows_are_never_shown() {
        let (before, mut train) = (prompts(PROMPT), train());
        for row in train.iter_mut().take(5) {
            Arc::make_mut(row).pinned = true;
        }
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        for (_, proposed) in proposals(&before, &train, &labels(), 1, &guards) {
            assert!(proposed.proposal.quoted.iter().all(|id| id == "billing-5" || id.starts_with("refunds")));
        }
    }

    #[test]
    fn a_block_goes_before_what_leads_to_the_input_and_never_into_a_statement() {
        let at = |text: &str| {
            let prompt = prompts(text);
            text[before_input(prompt.first()).unwrap()..].to_owned()
        };
        assert_eq!(
            at("Sort it.\n\nTicket:\n<ticket>\n{{ input }}\n</ticket>\n"),
            "Ticket:\n<ticket>\n{{ input }}\n</ticket>\n"
        );
        assert_eq!(
            at("Sort.\n{% if input %}\nx: {{ input }}\n{% endif %}\n"),
            "{% if input %}\nx: {{ input }}\n{% endif %}\n"
        );
        assert_eq!(at("system:\nSort.\nuser:\n{{ input }}"), "{{ input }}");
    }

    #[test]
    fn of_several_prompts_the_one_that_names_the_labels_gets_them() {
        let other = Prompt::parse("reply.prompty", "Reply politely about billing to {{ input }}").unwrap();
        let vague = Prompt::parse("vague.prompty", "Sort {{ input }}").unwrap();
        let both = |first: &Prompt, second: &Prompt| PromptSet::new([first.clone(), second.clone()]).unwrap();
        let sorting = prompts(PROMPT);
        let names = ["billing", "refunds"];
        assert_eq!(choosing(&both(&other, sorting.first()), &names).unwrap().name(), "p.prompty");
        assert_eq!(choosing(&both(&other, &vague), &names).unwrap().name(), "reply.prompty");
        let again = Prompt::parse("again.prompty", PROMPT).unwrap();
        assert!(choosing(&both(&again, sorting.first()), &names).is_none(), "neither is more likely");
        assert!(choosing(&both(&vague, &other), &["none"]).is_none());
    }

    #[test]
    fn tasks_without_labels_get_nothing() {
        let before = prompts(PROMPT);
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train()));
        assert!(proposals(&before, &train(), &[], 1, &guards).is_empty());
    }
}
