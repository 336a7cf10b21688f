//! Proposals that need no model, for tasks of labels: a line that pins the format of the answer, and balanced examples
//! drawn from train.

use std::collections::BTreeSet;

use serde_json::Value;

use super::examples::{Class, SAMPLE, leaves_enough, lines, pick};
use super::guards::{GuardError, Guards};
use super::leave_out::LEAVE_OUT;
use super::{FreeAsk, Proposal, Proposed, Sets};
use crate::dataset::Labels;
use crate::prompt::{Edit, Prompt, PromptSet, escape_literal, hunks};

/// Names under which the proposals that need no model are tried, shown and switched off.
pub const FREE: [&str; 3] = ["format-line", "balanced-examples", LEAVE_OUT];

/// Draws of examples in the first generation: how many rows of each label. More were better as far as there were rows and
/// room, and near each other in a race of 16 rows, so that small sets only took calls from large ones (mean score over six
/// tasks of intents that are no example here, at 500, 1,000 and 2,000 calls: 0.69, 0.70 and 0.70 with 3, 5 and 8 a label,
/// 0.72, 0.74 and 0.74 with these). Rows near the draft's failures were no better than typical ones.
const DRAWS: [usize; 2] = [8, 16];
/// Rows of each label that a later generation adds to those that are shown.
const MORE: usize = 4;

/// How a block of text went into the prompt.
#[derive(PartialEq, Eq)]
enum Fit {
    Fits,
    TooLong,
    /// There is no place for it, or it was offered already.
    Never,
}

/// What can be proposed without a model, each with its strategy's name; nothing where the task has no labels, or no
/// prompt that the row's input goes into. Of several such prompts it is for the one that names the most labels, if there
/// is one: that is where an agent chooses among them.
pub(super) fn proposals(ask: &FreeAsk<'_>, guards: &Guards) -> Vec<(String, Proposed)> {
    let classes: Vec<Class> = ask.labels.iter().flat_map(Class::all).collect();
    let names: Vec<&str> = classes.iter().map(|class| class.label).collect();
    let Some(prompt) = choosing(ask.prompts, &names).filter(|_| !names.is_empty()) else { return Vec::new() };
    let mut found: Vec<(String, Proposed)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offer = |strategy: &str, edits: Option<Vec<Edit>>, quoted: Vec<String>, rationale: String, effect: &str| {
        let proposed = edits
            .map(|edits| Proposal { edits, rationale, expected_effect: effect.to_owned(), quoted })
            .map(|proposal| guards.check(ask.prompts, proposal, true, &seen));
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
    let line = Some(format_line(ask.labels)).filter(|line| !prompt.text().contains(line));
    let is_raced = matches!(ask.sets, Sets::Sizes | Sets::More);
    let mends_form = line.as_deref().filter(|_| ask.form_fails || !is_raced);
    if let Some(line) = line.as_deref().filter(|_| is_raced && (ask.sets == Sets::Sizes || ask.form_fails)) {
        let rationale = "Naming the exact answers that are allowed keeps the answer free of other words and spellings.";
        let edits = inserted(prompt, None, line);
        offer("format-line", edits, Vec::new(), rationale.to_owned(), "Fewer answers in another form.");
    }
    let each = if ask.labels.iter().any(|set| set.field.is_some()) { "value of each field" } else { "label" };
    let draws: &[usize] = match ask.sets {
        Sets::Sizes => &DRAWS,
        Sets::More => &[MORE],
        Sets::Whole => &[DRAWS[1], DRAWS[0]],
        Sets::All => &[SAMPLE],
    };
    for (draw, most) in draws.iter().enumerate() {
        let picked = pick(ask, &classes, *most, draw);
        // With many labels, fewer rows of each may still fit.
        for count in (1..=*most).rev() {
            let shown = picked.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0).min(count);
            let rationale = format!("{shown} typical train rows of each {each} show what belongs where.");
            let (lines, quoted) = lines(&picked, count);
            if ask.sets != Sets::All && !leaves_enough(ask.train.len(), ask.quoted.len() + quoted.len()) {
                continue;
            }
            let edits = (!quoted.is_empty()).then(|| with_examples(prompt, &lines, mends_form)).flatten();
            let fit = offer("balanced-examples", edits, quoted, rationale, "Better answers on close cases.");
            if fit != Fit::TooLong {
                break;
            }
        }
    }
    found
}

/// Edits that put example lines behind those that the prompt has, or before the row's input; and the line that mends the
/// form of the answer, without which examples may show nothing, between them and the input.
fn with_examples(prompt: &Prompt, lines: &str, mends_form: Option<&str>) -> Option<Vec<Edit>> {
    let last = last_example(prompt);
    let block = if last.is_some() { lines.to_owned() } else { format!("Examples:\n{lines}") };
    match (last, mends_form) {
        (Some(last), _) => inserted(prompt, Some(last), &block),
        (None, Some(line)) => inserted(prompt, None, &format!("{block}\n\n{line}")),
        (None, None) => inserted(prompt, None, &block),
    }
}

/// The last line above the row's input that shows a row as this module writes them.
fn last_example(prompt: &Prompt) -> Option<&str> {
    let above = prompt.text().get(..before_input(prompt)?)?;
    above.lines().rev().find(|line| line.starts_with("- \"") && line.contains("\" -> "))
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

/// Edits that put `block` behind a line of the prompt (a part of its text), or before the row's input as a paragraph of its own; `None` where
/// there is no place for it, or it is there already.
fn inserted(prompt: &Prompt, behind: Option<&str>, block: &str) -> Option<Vec<Edit>> {
    let text = prompt.text();
    if text.contains(block) {
        return None;
    }
    let (at, lines) = match behind {
        Some(line) => (line.as_ptr() as usize - text.as_ptr() as usize + line.len(), format!("\n{block}")),
        None => {
            let at = before_input(prompt)?;
            // A paragraph of its own, unless it begins the message.
            let last = text[..at].lines().last().unwrap_or_default().trim();
            let begins = last.is_empty() || prompt.structure().role_lines.contains(&last) || last == "---";
            (at, format!("{}{block}\n\n", if begins { "" } else { "\n" }))
        }
    };
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let (above, below) = text.split_at(at);
    let wider = format!("{above}{}{below}", lines.replace('\n', line_break));
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
    use std::sync::Arc;

    use super::*;
    use crate::dataset::Example;
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
        proposals(&ask(&before, &train, &labels(), seed), &guards)
    }

    fn ask<'a>(prompts: &'a PromptSet, train: &'a [Arc<Example>], labels: &'a [Labels], seed: u64) -> FreeAsk<'a> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        FreeAsk { seed, generation: 1, prompts, train, quoted: &NONE, labels, sets: Sets::Sizes, form_fails: false }
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
        assert_eq!(names, ["format-line", "balanced-examples", "balanced-examples"]);
        for ((_, proposed), count) in found[1..].iter().zip([2, 2]) {
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
    fn a_whole_set_brings_the_format_line_and_all_rows_leave_none() {
        let (before, train, labels) = (prompts(PROMPT), train(), labels());
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        let of = |sets| proposals(&FreeAsk { sets, ..ask(&before, &train, &labels, 1) }, &guards);
        for (sets, quoted) in [(Sets::Whole, 4), (Sets::All, 12)] {
            let (name, proposed) = of(sets).remove(0);
            assert_eq!((name.as_str(), proposed.proposal.quoted.len()), ("balanced-examples", quoted));
            assert!(proposed.prompts.first().text().contains("Respond with exactly one of these labels"));
        }
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
        let found = proposals(&ask(&before, &train, &sets, 1), &guards);
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
    fn where_answers_fail_by_their_form_examples_come_with_the_line_that_mends_it() {
        let (before, train, labels) = (prompts(PROMPT), train(), labels());
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        let found = proposals(&FreeAsk { form_fails: true, ..ask(&before, &train, &labels, 1) }, &guards);
        let text = found[1].1.prompts.first().text();
        let (examples, form) = (text.find("Examples:").unwrap(), text.find(&format_line(&labels)).unwrap());
        assert!(examples < form && form < text.find("Ticket:").unwrap(), "{text}");
    }

    #[test]
    fn a_later_generation_adds_rows_to_the_list_that_is_there() {
        let (train, labels) = (train(), labels());
        let shown = PROMPT.replace("Ticket:", "Examples:\n- \"I want my money back\" -> refunds\n\nTicket:");
        let (before, quoted) = (prompts(&shown), BTreeSet::from(["refunds-0".to_owned()]));
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let guards = Guards::new(limits, &before, &dataset(train.clone()));
        let first = ask(&before, &train, &labels, 1);
        let found = proposals(&FreeAsk { generation: 2, quoted: &quoted, sets: Sets::More, ..first }, &guards);
        let [(name, proposed)] = &found[..] else { panic!("{}", found.len()) };
        assert_eq!((name.as_str(), proposed.proposal.quoted.len()), ("balanced-examples", 2 + 1));
        let text = proposed.prompts.first().text();
        assert_eq!(text.matches("Examples:").count(), 1, "{text}");
        assert!(text.contains("back\" -> refunds\n- \"") && text.contains("\n\nTicket:"), "{text}");
        assert!(!proposed.proposal.quoted.contains(&"refunds-0".to_owned()));
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
        for (_, proposed) in proposals(&ask(&before, &train, &labels(), 1), &guards) {
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
        assert!(proposals(&ask(&before, &train(), &[], 1), &guards).is_empty());
    }
}
