//! What became of one example: [`Outcome`], and of many: [`Evaluation`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CONFIDENCE;
use crate::dataset::Example;
use crate::digest::Digest;
use crate::model::{CallError, Completion};
use crate::score::{Score, ScoreError};
use crate::stats::{Interval, mean_interval, weighted_mean};

/// An example's completion and scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What the target answered.
    pub completion: Completion,
    /// One score a scorer, in the config's order.
    pub scores: Vec<Score>,
    /// Weighted mean of the scores, or what several answers come to by [`Repeats`](super::Repeats), in [0, 1].
    pub value: f64,
}

/// Why an example has no score. That is missing, never a zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeError {
    /// The target gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A scorer failed.
    #[error(transparent)]
    Score(ScoreError),
}

impl From<ScoreError> for OutcomeError {
    /// A call that the judge's provider, the budget or the time denied counts as one: what is done about it is the same.
    fn from(error: ScoreError) -> Self {
        match error.call {
            Some(call) => Self::Call(*call),
            None => Self::Score(error),
        }
    }
}

/// What became of one example.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The row.
    pub example: Arc<Example>,
    /// Which draw: 0 is the first.
    pub sample: u32,
    /// The answer, or the infrastructure error that took its place.
    pub result: Result<Answer, OutcomeError>,
}

impl Outcome {
    /// The value in [0, 1], or `None` where the row could not run.
    pub fn value(&self) -> Option<f64> {
        self.result.as_ref().ok().map(|answer| answer.value)
    }

    /// What was answered, also where it could not be scored; `None` where there is no answer.
    pub fn answered(&self) -> Option<&str> {
        match &self.result {
            Ok(answer) => Some(&answer.completion.text),
            Err(OutcomeError::Score(error)) => error.answer.as_deref(),
            Err(OutcomeError::Call(_)) => None,
        }
    }

    /// The error that no later row can escape, where this row met one.
    pub(super) fn systemic_fault(&self) -> Option<&OutcomeError> {
        self.result.as_ref().err().filter(|error| match error {
            OutcomeError::Call(error) => error.is_systemic(),
            OutcomeError::Score(error) => error.systemic,
        })
    }

    /// Whether the row ran and its value is below `pass_threshold`.
    pub fn is_failing(&self, pass_threshold: f64) -> bool {
        self.value().is_some_and(|value| value < pass_threshold)
    }
}

/// The outcomes of one prompt on a list of examples, in the order of the list.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Digest of the prompts that were measured.
    pub prompts: Digest,
    /// One outcome an example and sample.
    pub outcomes: Vec<Outcome>,
}

/// Mean value of an evaluation with its uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Weighted mean value of the rows that ran, in [0, 1]; 0 where none ran (then `examples` is 0).
    pub score: f64,
    /// 95 % interval of the mean.
    pub interval: Interval,
    /// Rows that ran.
    pub examples: usize,
    /// Rows that could not run.
    pub errors: usize,
}

impl Summary {
    /// Sums up `outcomes`, one a row.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        Self::of_values(outcomes.into_iter().map(|outcome| (outcome.value(), outcome.example.weight)))
    }

    /// Sums up rows, given the value of each, where it ran, and its weight.
    pub fn of_values(rows: impl IntoIterator<Item = (Option<f64>, f64)>) -> Self {
        let (mut values, mut weights, mut errors) = (Vec::new(), Vec::new(), 0);
        for (value, weight) in rows {
            match value {
                Some(value) => {
                    values.push(value);
                    weights.push(weight);
                }
                None => errors += 1,
            }
        }
        Self {
            score: weighted_mean(&values, Some(&weights)).unwrap_or(0.0),
            interval: mean_interval(&values, Some(&weights), CONFIDENCE),
            examples: values.len(),
            errors,
        }
    }
}
