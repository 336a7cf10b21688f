//! How one outcome fails, by structure alone: [`classify`] with the [`Labels`] of the evaluation.
//!
//! A kind is decided row by row, so that other rows joining or leaving never change it. The one thing taken from the
//! whole evaluation is what its labels are.

use std::collections::BTreeMap;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::cluster::FailureKind;
use crate::dataset::Example;
use crate::eval::Answer;
use crate::model::FinishReason;
use crate::score::Score;

/// The longest expected value, in characters, that can be a label; anything longer is prose.
const LONGEST_LABEL: usize = 60;

/// The labels of a classification task; empty where the expected values are not labels.
pub(super) struct Labels {
    /// As written, by their trimmed lower-case form.
    exact: BTreeMap<String, String>,
    /// As written, by their normalised form; without those that only their punctuation tells apart.
    normalised: BTreeMap<String, String>,
}

impl Labels {
    /// Reads the labels off the expected values. They are labels when all of them are short strings (or booleans),
    /// at least two are distinct, and on average at least two rows share one.
    pub(super) fn of<'a>(examples: impl Iterator<Item = &'a Example>) -> Self {
        let none = Self { exact: BTreeMap::new(), normalised: BTreeMap::new() };
        let mut exact = BTreeMap::new();
        let mut rows = 0_usize;
        for example in examples {
            let label = match &example.expected {
                None => continue,
                Some(Value::String(label)) => label.clone(),
                Some(Value::Bool(label)) => label.to_string(),
                Some(_) => return none,
            };
            if label.chars().count() > LONGEST_LABEL || label.trim().is_empty() {
                return none;
            }
            rows += 1;
            let written = exact.entry(folded(&label)).or_insert_with(|| label.clone());
            if label < *written {
                *written = label;
            }
        }
        if exact.len() < 2 || exact.len() * 2 > rows {
            return none;
        }
        let mut forms: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for label in exact.values() {
            forms.entry(canonical(label)).or_default().push(label);
        }
        let normalised = forms
            .into_iter()
            .filter_map(|(form, labels)| match labels.as_slice() {
                [label] if !form.is_empty() => Some((form, (*label).clone())),
                _ => None,
            })
            .collect();
        Self { exact, normalised }
    }

    /// The label that `answer` is, as written.
    fn exactly(&self, answer: &str) -> Option<&str> {
        let label = self.exact.get(&folded(answer)).or_else(|| self.normalised.get(&canonical(answer)));
        label.map(String::as_str)
    }

    /// The labels that `answer` names as whole words. A label inside a longer label that is named does not count
    /// (`refund` in `refund not received`), unless it is named elsewhere too.
    fn within(&self, answer: &str) -> Vec<&str> {
        let mut rest = format!(" {} ", canonical(answer));
        let mut by_length: Vec<(&String, &String)> = self.normalised.iter().collect();
        by_length.sort_by_key(|(form, _)| (std::cmp::Reverse(form.len()), *form));
        let mut found = Vec::new();
        for (form, label) in by_length {
            let words = format!(" {form} ");
            if rest.contains(&words) {
                found.push(label.as_str());
                // A mark that no label holds takes the words' place, so that nothing shorter is found inside.
                rest = rest.replace(&words, " \u{1} ");
            }
        }
        found
    }
}

/// How `answer`, which fails, fails. The first that applies: refused or withheld; cut; blank (a blank answer that was
/// cut is cut: the limit is the cause); another label; the expected text in another form, or no JSON where JSON was
/// scored; else the scorer that scored it lowest, the first of them in the config's order.
pub(super) fn classify(example: &Example, answer: &Answer, labels: &Labels) -> FailureKind {
    let text = &answer.completion.text;
    match answer.completion.finish {
        FinishReason::Refusal | FinishReason::Filter => return FailureKind::Refusal,
        FinishReason::Length => return FailureKind::Truncated,
        FinishReason::Stop | FinishReason::Tool => {}
    }
    if text.trim().is_empty() {
        return FailureKind::Empty;
    }
    if let Some(kind) = confusion(example, text, labels) {
        return kind;
    }
    if is_other_form(example, text) || is_broken_json(example, answer) {
        return FailureKind::Format;
    }
    FailureKind::Criterion { name: lowest(answer).map_or_else(|| "score".to_string(), |score| score.scorer.clone()) }
}

/// The label answered in another's place: the whole answer is it, or it is the only one named.
fn confusion(example: &Example, text: &str, labels: &Labels) -> Option<FailureKind> {
    let expected = labels.exactly(&example.expected_text()?)?;
    let named = labels.within(text);
    let answered = match (labels.exactly(text), named.as_slice()) {
        (Some(label), _) => label,
        (None, [label]) => label,
        _ => return None,
    };
    (answered != expected)
        .then(|| FailureKind::Confusion { expected: expected.to_string(), answered: answered.to_string() })
}

/// Whether the expected text is in the answer, as whole words, but isn't the answer as it stands.
fn is_other_form(example: &Example, text: &str) -> bool {
    let Some(expected) = example.expected_text() else { return false };
    if text == expected {
        return false;
    }
    let form = canonical(&expected);
    if form.is_empty() {
        return !expected.trim().is_empty() && text.contains(expected.trim());
    }
    format!(" {} ", canonical(text)).contains(&format!(" {form} "))
}

/// Whether the answer isn't JSON although it had to be: the expected value is a map or a list, or a scorer that failed
/// has JSON in its name or reason.
fn is_broken_json(example: &Example, answer: &Answer) -> bool {
    let mentions = |text: &str| text.to_lowercase().contains("json");
    let wanted = matches!(&example.expected, Some(Value::Object(_) | Value::Array(_)))
        || answer.scores.iter().any(|score| {
            score.value < 1.0 && (mentions(&score.scorer) || score.reason.as_deref().is_some_and(mentions))
        });
    wanted && serde_json::from_str::<serde::de::IgnoredAny>(&answer.completion.text).is_err()
}

/// The lowest score, the first of them in the config's order.
pub(super) fn lowest(answer: &Answer) -> Option<&Score> {
    answer.scores.iter().reduce(|low, score| if score.value < low.value { score } else { low })
}

/// Trimmed and in lower case: how labels compare before punctuation is given up.
fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Lower-case words and numbers with one space between, compatibility forms unified: `"Technical_Support."` is
/// `technical support`.
pub(super) fn canonical(text: &str) -> String {
    let lower = text.nfkc().collect::<String>().to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
