//! Reads what a prompt says about its labels: definitions, rules, fallbacks.

use super::input::{has_word, tells_format};
use super::labels::same;
use super::lines::{Line, bullet, clean, definition, marked, sentences};
use super::question::{Definition, Question, Rule};

/// What a word in the condition of a rule counts beside a word of a definition.
const CONDITION_WEIGHT: f32 = 0.7;
/// The same for the label that the rule points away from.
const AWAY_WEIGHT: f32 = -0.4;
/// What a word counts that a definition says its label is not.
const NOT_WEIGHT: f32 = -0.6;
const CONDITIONS: &[&str] = &["if", "when", "whenever", "where", "unless", "for", "once"];
const NEGATIONS: &[&str] =
    &["not", "rather than", "instead of", "over", "never", "than", "except", "don't use", "not use"];
const LEADS: &[&str] = &[
    "answer", "choose", "use", "pick", "select", "return", "prefer", "output", "label", "as", "is", "to", "not",
    "than", "of", "over", "with", "->", "\u{2192}", "it", "category", "the", "means", "goes", "then", ":", ",",
];
const FALLBACKS: &[&str] = &[
    "in doubt",
    "unsure",
    "not sure",
    "none of",
    "otherwise",
    "unclear",
    "nothing fits",
    "does not fit",
    "doesn't fit",
    "no other label",
    "by default",
    "none fits",
    "anything else",
    "everything else",
];

/// A label's name in running text.
#[derive(Debug, Clone, Copy)]
struct Mention {
    label: usize,
    start: usize,
    end: usize,
    negated: bool,
}

/// Adds to `question`, whose labels are known, what `lines` say about them.
pub(super) fn read(lines: &[Line<'_>], question: &mut Question) {
    let mut heading = None;
    for line in lines {
        let content = bullet(line.text).unwrap_or(line.text);
        let label_of = |name: &str| question.labels.iter().position(|label| same(label, name));
        if let Some((label, text)) = definition(content).and_then(|(name, text)| Some((label_of(name)?, text))) {
            add_definition(label, text, question);
        } else if line.text.starts_with('#') || line.text.ends_with(':') {
            heading = label_of(clean(line.text.trim_start_matches('#')));
        } else if let Some(label) = heading {
            add_definition(label, content, question);
        } else if super::labels::list(content).is_none() {
            for sentence in sentences(content) {
                add_sentence(sentence, question);
            }
        }
    }
}

/// Adds a definition: what stands behind a "not" counts against the label.
fn add_definition(label: usize, text: &str, question: &mut Question) {
    const MARKS: &[&str] = &[
        ", not ",
        "; not ",
        "(not ",
        "but not ",
        ". not ",
        "rather than ",
        "instead of ",
        "except ",
        "excluding ",
        "unlike ",
        " never ",
    ];
    for clause in sentences(text).into_iter().flat_map(|sentence| sentence.split(';')) {
        let lower = clause.to_ascii_lowercase();
        let starts = ["not ", "never "].iter().any(|mark| lower.trim_start().starts_with(mark));
        let cut = if starts { Some(0) } else { MARKS.iter().filter_map(|mark| lower.find(mark)).min() };
        let (is, is_not) = clause.split_at(cut.unwrap_or(clause.len()));
        for (text, weight) in [(is, 1.0), (is_not, NOT_WEIGHT)] {
            if text.chars().any(char::is_alphanumeric) {
                question.definitions.push(Definition { label, text: text.to_owned(), weight });
            }
        }
    }
}

/// Adds a rule, a fallback or a looser remark about one label.
fn add_sentence(sentence: &str, question: &mut Question) {
    let lower = sentence.to_ascii_lowercase();
    let mentions = mentions(&lower, &question.labels);
    let Some(target) = mentions.iter().rev().find(|mention| !mention.negated).copied() else { return };
    if FALLBACKS.iter().any(|cue| lower.contains(cue)) {
        question.fallback = Some(target.label);
        return;
    }
    let against: Vec<usize> =
        mentions.iter().filter(|m| m.negated && m.label != target.label).map(|mention| mention.label).collect();
    let starts = CONDITIONS.iter().any(|c| lower.strip_prefix(c).is_some_and(|rest| rest.starts_with(' ')));
    let first = mentions.iter().find(|mention| !mention.negated).copied().unwrap_or(target);
    if starts {
        return add_rule(&sentence[..target.start], target.label, against, question);
    }
    let condition = condition_after(&lower, first.end);
    if let Some(at) = condition.filter(|_| !tells_format(&lower)) {
        add_rule(&sentence[at..], first.label, against, question);
    } else if mentions.iter().filter(|mention| !mention.negated).count() == 1 && !tells_format(&lower) {
        let rest = format!("{} {}", &sentence[..target.start], &sentence[target.end..]);
        add_rule(&rest, target.label, against, question);
    }
}

/// Where the condition begins behind a label (`use a when ..`).
fn condition_after(lower: &str, from: usize) -> Option<usize> {
    CONDITIONS.iter().filter_map(|word| lower[from..].find(&format!(" {word} "))).min().map(|at| from + at)
}

/// Adds the rule that `condition` points to `label`: by its quoted phrases, and more weakly by its other words.
fn add_rule(condition: &str, label: usize, against: Vec<usize>, question: &mut Question) {
    let is_label = |name: &str| question.labels.iter().any(|label| same(label, name));
    let quoted: Vec<&str> = marked(condition)
        .into_iter()
        .filter(|(mark, name)| *mark == '"' && !is_label(name))
        .map(|(_, name)| name)
        .collect();
    let mut words = condition.to_owned();
    for phrase in &quoted {
        words = words.replace(*phrase, " ");
    }
    let lower = words.to_lowercase();
    let absent = ["not mention", "no mention", "n't mention", "not contain", "n't contain", "without"]
        .iter()
        .any(|cue| lower.contains(cue));
    let all = quoted.len() > 1 && has_word(&lower, "and") && !has_word(&lower, "or");
    let away: Vec<Definition> =
        against.iter().map(|label| Definition { label: *label, text: words.clone(), weight: AWAY_WEIGHT }).collect();
    question.definitions.push(Definition { label, text: words, weight: CONDITION_WEIGHT });
    question.definitions.extend(away);
    if !quoted.is_empty() {
        let phrases = quoted.into_iter().map(str::to_owned).collect();
        question.rules.push(Rule { label, against, phrases, all, absent });
    }
}

/// The labels named in a lower-cased sentence, in order, longest first where they overlap. An ordinary word counts as
/// a label only behind a word that leads up to one.
fn mentions(lower: &str, labels: &[String]) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    for (label, name) in labels.iter().enumerate() {
        let exact = name.to_ascii_lowercase();
        let spaced = exact.replace(['_', '-'], " ");
        let mut spellings = vec![exact];
        if spaced != spellings[0] {
            spellings.push(spaced);
        }
        for spelling in spellings.iter().filter(|spelling| !spelling.is_empty()) {
            for (start, text) in lower.match_indices(spelling.as_str()) {
                let end = start + text.len();
                if is_mention(lower, start, end, name) {
                    found.push(Mention { label, start, end, negated: is_negated(&lower[..start]) });
                }
            }
        }
    }
    found.sort_by_key(|mention| (mention.start, std::cmp::Reverse(mention.end)));
    let mut reached = 0;
    found.retain(|mention| {
        let free = mention.start >= reached;
        reached = reached.max(mention.end);
        free
    });
    found
}

fn is_mention(lower: &str, start: usize, end: usize, name: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let (before, after) = (&lower[..start], &lower[end..]);
    if before.chars().next_back().is_some_and(joins) || after.chars().next().is_some_and(joins) {
        return false;
    }
    let marked = before.ends_with(['`', '*', '"']) && after.starts_with(['`', '*', '"']);
    let identifier = name.contains(['_', '-']) && lower[start..end].contains(['_', '-']);
    let before = before.trim_end();
    marked || identifier || before.is_empty() || LEADS.iter().any(|lead| ends_with_word(before, lead))
}

fn is_negated(before: &str) -> bool {
    let before = before.trim_end_matches(['`', '*', '"', ' ']);
    NEGATIONS.iter().any(|negation| ends_with_word(before, negation))
}

fn ends_with_word(text: &str, word: &str) -> bool {
    text.strip_suffix(word).is_some_and(|rest| {
        !word.starts_with(char::is_alphanumeric) || !rest.chars().next_back().is_some_and(char::is_alphanumeric)
    })
}
