//! What each strategy does to a prompt, from the rows that the request shows.

use std::collections::BTreeSet;

use super::super::input::{find_word, has_word, tells_format};
use super::super::labels::same;
use super::super::lines::{arrow, bullet, definition};
use super::super::question::name_words;
use super::fields::{Field, value_in};
use super::layout::{Change, Layout};
use super::request::{Ask, Row};
use super::terms::{Term, representative, stems, telling};
use crate::prompt::escape_literal;

/// Changes with their purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What to change.
    pub(super) changes: Vec<Change>,
    /// Why.
    pub(super) rationale: String,
    /// What should come of it.
    pub(super) effect: String,
}

/// The request and what follows from it.
pub(super) struct Bench<'a> {
    ask: &'a Ask,
    layout: &'a Layout,
    /// All rows shown, each once.
    rows: Vec<&'a Row>,
    /// The labels that failing rows expect, the most frequent first.
    expected: Vec<String>,
    /// The label that the first of `expected` is mistaken for.
    answered: Option<String>,
    /// Tells variants apart.
    seed: usize,
}

/// The strategies that are tried in turn where the one asked for has nothing to change.
const FALLBACKS: [&str; 4] = ["define-boundary", "add-rule", "boundary-examples", "output-format"];

impl<'a> Bench<'a> {
    /// Prepares an answer to `ask` on the file of `layout`; `seed` chooses among the variants.
    pub(super) fn new(ask: &'a Ask, layout: &'a Layout, seed: u64) -> Self {
        let mut rows: Vec<&Row> = Vec::new();
        for row in ask.failing.iter().chain(&ask.passing).chain(&ask.train) {
            if !rows.iter().any(|known| known.text == row.text) {
                rows.push(row);
            }
        }
        let expected = by_frequency(ask.failing.iter().map(|row| row.expected.as_str()));
        let first = expected.first().cloned().unwrap_or_default();
        let answers = ask.failing.iter().filter(|row| row.expected == first);
        let answers: Vec<&str> = answers.filter_map(|row| label_in(&row.answered, &ask.labels)).collect();
        let answered = by_frequency(answers.into_iter().filter(|label| *label != first)).into_iter().next();
        Bench { ask, layout, rows, expected, answered, seed: seed as usize }
    }

    /// The plan of the strategy asked for, else of the first other one that has something to change.
    pub(super) fn plan(&self) -> Plan {
        let own = self.plan_of(&self.ask.strategy);
        if !own.changes.is_empty() {
            return own;
        }
        FALLBACKS.iter().map(|name| self.plan_of(name)).find(|plan| !plan.changes.is_empty()).unwrap_or_default()
    }

    fn plan_of(&self, strategy: &str) -> Plan {
        match strategy {
            "boundary-examples" => self.boundary_examples(),
            "add-rule" => self.add_rule(),
            "output-format" => self.output_format(),
            "clarify-task" => self.define(&self.ask.labels, self.amount(5, 3)),
            "define-labels" => self.define(&self.ask.labels, self.amount(8, 4)),
            "restructure" => self.restructure(),
            "prune" => self.prune(),
            _ => self.define_boundary(),
        }
    }

    /// How many of something: `least`, and more by the seed.
    fn amount(&self, least: usize, step: usize) -> usize {
        least + step * (self.seed % 4)
    }

    /// The terms for `label` that its definition doesn't have yet.
    fn terms(&self, label: &str, most: usize) -> Vec<Term> {
        let mut known = self.name_stems();
        if let Some((_, Some(text))) = self.layout.label_line(label) {
            known.extend(stems(text));
        }
        let terms = telling(label, &self.rows, &known);
        // Words seen in several rows come first; the seed decides how far the list goes on into chance.
        terms.into_iter().take(most).collect()
    }

    /// The words of all labels' names: the prompt gives them already, and another label's speak for that one.
    fn name_stems(&self) -> BTreeSet<String> {
        self.ask.labels.iter().flat_map(|label| stems(&name_words(label))).collect()
    }

    /// Defines the confused labels by the words that tell their rows apart.
    fn define_boundary(&self) -> Plan {
        let most = self.amount(8, 4);
        let mut labels: Vec<String> = self.expected.iter().take(2).cloned().collect();
        if let Some(answered) = self.answered.clone().filter(|label| !labels.contains(label)) {
            labels.truncate(1);
            labels.push(answered);
        }
        self.define(&labels, most)
    }

    /// Describes each label by its rows.
    fn define(&self, labels: &[String], most: usize) -> Plan {
        let mut plan = Plan::default();
        let mut new_lines = Vec::new();
        let mut told = Vec::new();
        for label in labels {
            let words: Vec<String> = self.terms(label, most).into_iter().map(|term| plain(&term.text)).collect();
            if words.is_empty() {
                continue;
            }
            let words = words.join(", ");
            match self.layout.label_line(label) {
                Some((at, Some(_))) => {
                    let line = self.layout.line(at).trim_end();
                    let line = line.strip_suffix('.').unwrap_or(line);
                    plan.changes.push(self.layout.instead(at, format!("{line}, {words}")));
                }
                Some((at, None)) => {
                    plan.changes.push(self.layout.instead(at, format!("{}: {words}", self.layout.line(at).trim_end())));
                }
                None => new_lines.push(format!("- {label}: {words}")),
            }
            told.push(format!("{label} ({words})"));
        }
        if !new_lines.is_empty() {
            plan.changes.push(self.insert_definitions(&new_lines.join("\n")));
        }
        plan.rationale = format!("The prompt doesn't say what sets these labels apart: {}.", told.join("; "));
        let confused = labels.iter().find(|label| self.answered.as_ref() != Some(label));
        plan.effect = match (confused, &self.answered) {
            (Some(label), Some(answered)) => format!("Rows of {label} are no longer answered {answered}."),
            _ => "Rows that use these words get their label.".to_owned(),
        };
        plan
    }

    /// Definitions go behind other definitions, else behind the list of labels, else before the input.
    fn insert_definitions(&self, lines: &str) -> Change {
        let others = self.ask.labels.iter().filter_map(|label| self.layout.label_line(label)).map(|(at, _)| at).max();
        if let Some(at) = others {
            return self.layout.behind(at, lines);
        }
        if let Some(field) = &self.ask.field {
            return self.layout.before_input(&format!("Values of {field}:\n{lines}"));
        }
        match self.layout.list_line(&self.ask.labels).filter(|at| *at < self.layout.input) {
            Some(at) => self.layout.behind(at, &format!("\n{lines}\n")),
            None => self.layout.before_input(lines),
        }
    }

    /// Shows rows of the confused labels with their answers.
    fn boundary_examples(&self) -> Plan {
        let each = self.amount(3, 1);
        let mut labels = self.expected.clone();
        labels.truncate(3);
        labels.extend(self.answered.clone().filter(|label| !self.expected.contains(label)));
        // No others may be quoted: among the failing and the passing rows are some that guard the task.
        let shown: Vec<&Row> = self.ask.train.iter().filter(|row| !self.is_shown(row)).collect();
        let mut lines = Vec::new();
        for label in &labels {
            let rows = representative(label, &shown);
            let skip = if rows.len() > each { (self.seed / 4) % (rows.len() - each + 1) } else { 0 };
            for row in rows.into_iter().skip(skip).take(each) {
                let text = escape_literal(&row.text).replace('"', "'");
                let answer = if self.ask.field.is_some() { escape_literal(&row.whole) } else { label.clone() };
                lines.push(format!("- \"{}\" -> {answer}", text.trim()));
            }
        }
        let mut plan = Plan::default();
        if lines.is_empty() {
            return plan;
        }
        let text = lines.join("\n");
        plan.changes.push(match self.layout.last_example() {
            Some(at) if self.layout.places[at].free => self.layout.behind(at, &text),
            _ => self.layout.before_input(&format!("Examples:\n{text}")),
        });
        plan.rationale = format!("{} examples show where the line between {} runs.", lines.len(), labels.join(", "));
        plan.effect = "Rows like the examples get their label.".to_owned();
        plan
    }

    fn is_shown(&self, row: &Row) -> bool {
        self.layout.text.contains(&escape_literal(&row.text).replace('"', "'"))
    }

    /// A rule from words that stand in failing rows of one label and in no row of another.
    fn add_rule(&self) -> Plan {
        let Some(label) = self.expected.get(self.seed / 4 % self.expected.len().clamp(1, 2)) else {
            return Plan::default();
        };
        let terms: Vec<Term> = telling(label, &self.rows, &self.name_stems())
            .into_iter()
            .filter(|term| term.others == 0 && !self.layout.text.contains(&format!("\"{}\"", term.text)))
            .collect();
        let several = terms.iter().filter(|term| term.rows > 1).count();
        let phrases: Vec<String> = terms
            .iter()
            .take(self.amount(2, 2).min(several.max(3)))
            .map(|term| format!("\"{}\"", plain(&term.text)))
            .collect();
        if phrases.is_empty() {
            return Plan::default();
        }
        let phrases = joined(&phrases, "or");
        let not = self.answered.as_ref().filter(|answered| *answered != label);
        let not = not.map(|answered| format!(", not {answered}")).unwrap_or_default();
        let verb = self.ask.field.as_ref().map_or_else(|| "answer".to_owned(), |field| format!("{field} is"));
        let rule = format!("If the text mentions {phrases}, {verb} {label}{not}.");
        Plan {
            changes: vec![self.layout.before_input(&rule)],
            rationale: format!("Among the rows shown, only rows of {label} say {phrases}."),
            effect: format!("Rows that say so are answered {label}{not}."),
        }
    }

    /// Says that the answer is the bare label, or the bare object.
    fn output_format(&self) -> Plan {
        let wordings = self.wordings();
        let fresh = wordings.iter().cycle().skip(self.seed % wordings.len()).take(wordings.len());
        let Some(wording) = fresh.into_iter().find(|wording| !self.layout.text.contains(wording.as_str())) else {
            return Plan::default();
        };
        let change = match self.layout.format_line() {
            // A line that names the labels, or the shape, says more than the form of the answer: it stays.
            Some(at) if self.ask.field.is_none() && !self.names_labels(at) => self.layout.instead(at, wording.clone()),
            _ => self.layout.before_input(wording),
        };
        let what = if self.ask.field.is_some() { "the JSON object" } else { "the label" };
        Plan {
            changes: vec![change],
            rationale: format!("Answers must be {what} itself; the prompt should say: {wording}"),
            effect: "Answers that hold the right label among other words become right.".to_owned(),
        }
    }

    fn names_labels(&self, at: usize) -> bool {
        self.ask.labels.iter().any(|label| has_word(self.layout.line(at), label))
    }

    /// Ways to ask for the bare answer.
    fn wordings(&self) -> [String; 3] {
        if self.ask.field.is_none() {
            return [
                "Respond with only the label, exactly as it is written above, and nothing else.".to_owned(),
                "Answer with the label only: no sentence, no explanation, no punctuation.".to_owned(),
                format!("Respond with exactly one of these labels and nothing else: {}.", self.ask.labels.join(", ")),
            ];
        }
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let field = |field: &Field| format!("{}: {}", quoted(&field.name), quoted(&field.values.join("|")));
        let fields = self.ask.fields.iter().map(field).collect::<Vec<_>>().join(", ");
        [
            "Respond with only the JSON object and nothing else.".to_owned(),
            "Return the JSON object only: no sentence, no explanation, no code fence.".to_owned(),
            format!("Respond with only a JSON object of this form and nothing else: {{{fields}}}"),
        ]
    }

    /// Puts the labels on lines of their own, or the line about the answer's form last.
    fn restructure(&self) -> Plan {
        // The values of a field stand in the shape that the answer must have: that is left as it is.
        let bullets = if self.ask.field.is_none() { self.list_as_bullets() } else { None };
        let last = || self.format_line_last();
        bullets.or_else(last).unwrap_or_default()
    }

    fn list_as_bullets(&self) -> Option<Plan> {
        let at = self.layout.list_line(&self.ask.labels)?;
        let line = self.layout.line(at);
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for label in &self.ask.labels {
            let start = find_word(line, label)?;
            spans.push((start, start + label.len()));
        }
        spans.sort_unstable();
        let (start, end) = (spans.first()?.0, spans.last()?.1);
        let lead = line[..start].trim_end_matches([' ', '`', '"', '\'', '*', '(', '[', ':']);
        let tail = line[end..].trim_start_matches(['`', '"', '\'', '*', ')', ']', '.', ' ']);
        let items: String = spans.iter().map(|(start, end)| format!("\n- {}", &line[*start..*end])).collect();
        let tail = if tail.is_empty() { String::new() } else { format!("\n\n{tail}") };
        let lead = if lead.is_empty() { "Labels" } else { lead };
        Some(Plan {
            changes: vec![self.layout.instead(at, format!("{lead}:\n{items}{tail}"))],
            rationale: "The labels stand in running text; a list of one a line is easier to follow.".to_owned(),
            effect: "Every label is seen as a choice of its own.".to_owned(),
        })
    }

    fn format_line_last(&self) -> Option<Plan> {
        let at = self.layout.format_line()?;
        let text = self.layout.line(at).to_owned();
        let between = (at + 1..self.layout.input).any(|line| !self.layout.line(line).trim().is_empty());
        between.then(|| Plan {
            changes: vec![self.layout.without(at), self.layout.before_input(&text)],
            rationale: "The form of the answer is told before other things; the last instruction is followed best."
                .into(),
            effect: "More answers have the form asked for.".to_owned(),
        })
    }

    /// Takes away the line that helps least: a repetition, else the one whose words stand most often in rows that
    /// wrongly got its label.
    fn prune(&self) -> Plan {
        let mut scored: Vec<(i64, usize)> = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for (at, line) in self.layout.free_lines() {
            let key = line.trim().to_lowercase();
            if key.is_empty() || (tells_format(line) && seen.insert(key.clone())) {
                continue;
            }
            let repeated = !seen.insert(key);
            if let Some(label) = self.speaks_for(line) {
                scored.push((if repeated { i64::MIN } else { self.use_of(line, &label) }, at));
            } else if repeated {
                scored.push((i64::MIN, at));
            }
        }
        scored.sort_unstable();
        let Some((_, at)) = scored.get(self.seed % scored.len().clamp(1, 3)).copied() else { return Plan::default() };
        let line = self.layout.line(at);
        let bare = bullet(line.trim()).and_then(definition).filter(|_| arrow(line).is_none()).map(|(name, _)| name);
        let listed = |name: &str| self.layout.free_lines().any(|(other, text)| other != at && text.contains(name));
        let change = match bare.filter(|name| !listed(name)) {
            Some(name) => self.layout.instead(at, format!("- {name}")),
            None => self.layout.without(at),
        };
        Plan {
            changes: vec![change],
            rationale: format!("This line repeats others or misleads: {}", line.trim()),
            effect: "A shorter prompt that is at least as good.".to_owned(),
        }
    }

    /// The label that a definition, an example or a rule speaks for.
    fn speaks_for(&self, line: &str) -> Option<String> {
        let content = bullet(line.trim()).unwrap_or(line.trim());
        let label = |name: &str| self.ask.labels.iter().find(|label| same(label, name)).cloned();
        if let Some((_, target)) = arrow(content) {
            return label(&self.ask.field.as_ref().map_or_else(|| target.to_owned(), |field| value_in(target, field)));
        }
        if let Some(found) = definition(content).and_then(|(name, _)| label(name)) {
            return Some(found);
        }
        let rule = content.starts_with("If ") || content.starts_with("When ");
        let named = self.ask.labels.iter().filter_map(|label| Some((find_word(content, label)?, label)));
        named.min_by_key(|(at, _)| *at).filter(|_| rule).map(|(_, label)| label.clone())
    }

    /// Rows that a line's words speak rightly for, less those that wrongly got its label.
    fn use_of(&self, line: &str, label: &str) -> i64 {
        let words: BTreeSet<String> =
            stems(line).into_iter().filter(|word| !super::super::words::is_stop(word)).collect();
        let hit = |row: &Row| stems(&row.text).intersection(&words).count() as i64;
        let right: i64 = self.rows.iter().filter(|row| row.expected == label).map(|row| hit(row)).sum();
        let misled = |row: &&Row| row.expected != label && label_in(&row.answered, &self.ask.labels) == Some(label);
        let wrong: i64 = self.ask.failing.iter().filter(misled).map(hit).sum();
        right - 2 * wrong
    }
}

/// Distinct texts, the most frequent first, ties in order of first sight.
fn by_frequency<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        match counts.iter_mut().find(|(known, _)| known == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text.to_owned(), 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(text, _)| text).collect()
}

/// The label that an answer is, or names among other words.
fn label_in<'a>(answer: &str, labels: &'a [String]) -> Option<&'a str> {
    let whole = labels.iter().find(|label| same(label, answer.trim()));
    let within = || labels.iter().filter(|label| has_word(answer, label)).max_by_key(|label| label.len());
    whole.or_else(within).map(String::as_str)
}

/// A row's word as prompt text: no template tag, no quotation mark.
fn plain(term: &str) -> String {
    escape_literal(term).replace('"', "")
}

/// `a, b or c`.
fn joined(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}
