//! Rows and answers for the tests of this module.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::dataset::Example;
use crate::eval::{Answer, Outcome};
use crate::model::{Completion, FinishReason, Usage};
use crate::score::Score;

/// A row.
pub(super) fn example(id: &str, input: &str, expected: Value) -> Example {
    let mut row: Example = serde_json::from_value(json!({"id": id, "input": input, "weight": 1.0})).unwrap();
    row.expected = (!expected.is_null()).then_some(expected);
    row
}

/// An answer that one scorer, `exact`, gave `value`.
pub(super) fn answer(text: &str, value: f64) -> Answer {
    scored(text, &[("exact", value, None)])
}

/// An answer with scores of equal weight: scorer, value, reason.
pub(super) fn scored(text: &str, scores: &[(&str, f64, Option<&str>)]) -> Answer {
    let scores: Vec<Score> = scores
        .iter()
        .map(|(scorer, value, reason)| Score {
            scorer: (*scorer).to_string(),
            value: *value,
            reason: reason.map(str::to_string),
            criterion: None,
        })
        .collect();
    let completion = Completion::live(text.to_string(), FinishReason::Stop, Usage::default());
    let value = scores.iter().map(|score| score.value).sum::<f64>() / scores.len() as f64;
    Answer { completion, scores, value }
}

/// The outcome of a row.
pub(super) fn outcome(example: Example, answer: Answer) -> Outcome {
    Outcome { example: Arc::new(example), sample: 0, result: Ok(answer) }
}

/// The outcome of a labelled row: 1 if the text is the label, else 0.
pub(super) fn labelled(id: &str, input: &str, expected: &str, text: &str) -> Outcome {
    let value = if expected == text { 1.0 } else { 0.0 };
    outcome(example(id, input, json!(expected)), answer(text, value))
}
