//! How one outcome fails, by structure alone: [`classify`] with the [`Labels`] of the evaluation.
//!
//! A kind is decided row by row, so that other rows joining or leaving never change it. The one thing taken from the
//! whole evaluation is what its labels are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cluster::FailureKind;
use crate::dataset::Example;
use crate::eval::Answer;
use crate::model::FinishReason;
use crate::score::Score;
use crate::text::{normalize, words};

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
/// cut is cut: the limit is the cause); another label; the criterion that a judge says failed, where the lowest score is
/// a judge's; the expected text in another form, unless its scorer complains of something else, or no JSON where JSON was
/// scored; else the scorer that scored it lowest,
/// the first of them in the config's order.
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
    if let Some((scorer, criterion)) = judged(answer) {
        return FailureKind::Criterion { name: format!("{scorer}: {criterion}") };
    }
    if (is_other_form(example, text) && !is_of_another_thing(example, answer)) || is_broken_json(example, answer) {
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

/// Whether the expected answer is in there, but isn't the answer as it stands: a text as whole words, a map or a list as
/// the JSON between the outermost brackets.
fn is_other_form(example: &Example, text: &str) -> bool {
    if let Some(expected @ (Value::Object(_) | Value::Array(_))) = &example.expected {
        return serde_json::from_str::<Value>(text).is_err() && enclosed_json(text).as_ref() == Some(expected);
    }
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

/// Whether one scorer is content and the one that scored lowest complains of something else than the expected text: a step
/// of an agent, a length, a missing word.
fn is_of_another_thing(example: &Example, answer: &Answer) -> bool {
    let Some(expected) = example.expected_text().filter(|text| text.chars().count() <= LONGEST_LABEL) else {
        return false;
    };
    let Some(reason) = lowest(answer).and_then(|score| score.reason.as_deref()) else { return false };
    let is_content = answer.scores.iter().any(|score| score.value >= 1.0);
    is_content && !format!(" {} ", canonical(reason)).contains(&format!(" {} ", canonical(&expected)))
}

/// Whether the answer isn't JSON although it had to be: a failed scorer says so (in its reason, without one by its
/// name), or the expected value is a map or a list and there is none in the answer.
fn is_broken_json(example: &Example, answer: &Answer) -> bool {
    let text = &answer.completion.text;
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return false;
    }
    let is_missed = |score: &Score| {
        score.value < 1.0 && score.reason.as_deref().unwrap_or(&score.scorer).to_lowercase().contains("json")
    };
    let is_structured = matches!(&example.expected, Some(Value::Object(_) | Value::Array(_)));
    answer.scores.iter().any(is_missed) || (is_structured && enclosed_json(text).is_none())
}

/// The JSON from the first opening bracket to the last closing one.
fn enclosed_json(text: &str) -> Option<Value> {
    let (start, end) = (text.find(['{', '['])?, text.rfind(['}', ']'])?);
    serde_json::from_str(text.get(start..=end)?).ok()
}

/// The judge whose score is the lowest, and the criterion that cost the most.
pub(super) fn judged(answer: &Answer) -> Option<(&str, &str)> {
    lowest(answer).and_then(|score| Some((score.scorer.as_str(), score.criterion.as_deref()?)))
}

/// The lowest score, the first of them in the config's order.
pub(super) fn lowest(answer: &Answer) -> Option<&Score> {
    answer.scores.iter().reduce(|low, score| if score.value < low.value { score } else { low })
}

/// Trimmed and in lower case: how labels compare before punctuation is given up.
fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The words of the normalised text with one space between: `"Technical_Support."` is `technical support`.
pub(super) fn canonical(text: &str) -> String {
    words(&normalize(text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{answer, example, scored};
    use super::*;

    fn labels() -> Labels {
        let values = ["refund", "refund not received", "technical_support", "other"];
        let examples: Vec<Example> =
            values.iter().cycle().take(8).map(|label| example("x", "", json!(label))).collect();
        Labels::of(examples.iter())
    }

    fn kind(expected: Value, text: &str) -> FailureKind {
        classify(&example("1", "hello", expected), &answer(text, 0.0), &labels())
    }

    fn confusion(expected: &str, answered: &str) -> FailureKind {
        FailureKind::Confusion { expected: expected.to_string(), answered: answered.to_string() }
    }

    fn criterion(name: &str) -> FailureKind {
        FailureKind::Criterion { name: name.to_string() }
    }

    #[test]
    fn another_label_is_a_confusion_however_it_is_written() {
        for text in ["technical_support", "Technical Support.", "  TECHNICAL-SUPPORT\n", "Label: technical_support"] {
            assert_eq!(kind(json!("refund"), text), confusion("refund", "technical_support"), "{text}");
        }
    }

    #[test]
    fn a_label_inside_a_longer_one_is_not_named() {
        assert_eq!(kind(json!("refund"), "It is: refund not received"), confusion("refund", "refund not received"));
        assert_eq!(kind(json!("other"), "refundable"), criterion("exact"));
    }

    #[test]
    fn the_right_label_in_another_form_is_a_format_failure() {
        for text in ["Refund", "refund\n", "The answer is refund.", "refund, or else other"] {
            assert_eq!(kind(json!("refund"), text), FailureKind::Format, "{text}");
        }
    }

    #[test]
    fn the_right_label_as_asked_for_failed_something_else() {
        assert_eq!(kind(json!("refund"), "refund"), criterion("exact"));
    }

    #[test]
    fn a_complaint_of_something_else_is_that_scorers_where_another_one_is_content() {
        let kind = |scores: &[(&str, f64, Option<&str>)]| {
            classify(&example("1", "hello", json!("refund")), &scored("refund: call us", scores), &labels())
        };
        let pace = ("pace", 0.0, Some("should be urgent"));
        assert_eq!(kind(&[("desk", 1.0, None), pace]), criterion("pace"));
        assert_eq!(kind(&[("desk", 0.5, None), pace]), FailureKind::Format);
        assert_eq!(kind(&[("desk", 1.0, None), ("pace", 0.0, None)]), FailureKind::Format);
        let exact = ("exact", 0.0, Some("expected \"refund\", answered \"refund: call us\""));
        assert_eq!(kind(&[("length", 1.0, None), exact]), FailureKind::Format);
    }

    #[test]
    fn two_wrong_labels_confuse_with_neither() {
        assert_eq!(kind(json!("refund"), "other or technical_support"), criterion("exact"));
    }

    #[test]
    fn refused_cut_and_blank_answers_come_first() {
        let row = example("1", "hello", json!("refund"));
        let with = |finish, text: &str| {
            let mut answer = answer(text, 0.0);
            answer.completion.finish = finish;
            classify(&row, &answer, &labels())
        };
        assert_eq!(with(FinishReason::Refusal, "other"), FailureKind::Refusal);
        assert_eq!(with(FinishReason::Filter, ""), FailureKind::Refusal);
        assert_eq!(with(FinishReason::Length, ""), FailureKind::Truncated);
        assert_eq!(with(FinishReason::Stop, " \n"), FailureKind::Empty);
    }

    #[test]
    fn what_should_be_json_and_is_not_is_a_format_failure() {
        let expected = json!({"a": 1});
        assert_eq!(kind(expected.clone(), "a is 1"), FailureKind::Format);
        assert_eq!(kind(expected.clone(), "```json\n{\"a\": 1}\n```"), FailureKind::Format);
        assert_eq!(kind(expected.clone(), "```json\n{\"a\": 2}\n```"), criterion("exact"));
        assert_eq!(kind(expected, "{\"a\": 2}"), criterion("exact"));
        let answer = scored("{\"a\":", &[("shape", 0.0, Some("not JSON: it ends too early"))]);
        assert_eq!(classify(&example("1", "hello", Value::Null), &answer, &labels()), FailureKind::Format);
    }

    #[test]
    fn the_lowest_score_names_the_criterion() {
        let answer = scored("hello", &[("tone", 0.5, None), ("facts", 0.2, None), ("length", 0.2, None)]);
        assert_eq!(classify(&example("1", "hi", json!("long prose")), &answer, &labels()), criterion("facts"));
    }

    #[test]
    fn free_text_numbers_and_values_that_hardly_repeat_are_not_labels() {
        let of = |values: &[Value]| {
            let examples: Vec<Example> = values.iter().map(|value| example("x", "", value.clone())).collect();
            Labels::of(examples.iter()).exact.len()
        };
        assert_eq!(of(&[json!("a"), json!("b"), json!("a"), json!("b")]), 2);
        assert_eq!(of(&[json!(true), json!(false), json!(true), json!(true)]), 2);
        assert_eq!(of(&[json!("a"), json!("b"), json!("c"), json!("a")]), 0);
        assert_eq!(of(&[json!("a"), json!("a"), json!("a")]), 0);
        assert_eq!(of(&[json!(1), json!(2), json!(1), json!(2)]), 0);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn labels_that_only_punctuation_tells_apart_must_match_exactly() {
        let values = ["c", "c++", "java"];
        let examples: Vec<Example> =
            values.iter().cycle().take(6).map(|label| example("x", "", json!(label))).collect();
        let labels = Labels::of(examples.iter());
        let kind = |text: &str| classify(&example("1", "hello", json!("java")), &answer(text, 0.0), &labels);
        assert_eq!(kind("C++"), confusion("java", "c++"));
        assert_eq!(kind("c"), confusion("java", "c"));
        assert_eq!(kind("c?"), criterion("exact"));
    }
}
