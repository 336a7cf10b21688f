//! Scorers: (example, completion) -> value in [0, 1] with an optional reason. One file a scorer.
//!
//! What the model did wrong is a low score. What the scorer did wrong (threw, returned NaN, left [0, 1]) is a
//! [`ScoreError`]: the row is then missing, never a zero.

use serde::{Deserialize, Serialize};

use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// One scorer's opinion of one completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The scorer's name.
    pub scorer: String,
    /// In [0, 1].
    pub value: f64,
    /// Why, where the scorer can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A scorer could not score a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("scorer {scorer}: {message}")]
pub struct ScoreError {
    /// The scorer's name.
    pub scorer: String,
    /// What happened and what to do.
    pub message: String,
}

/// Scores one completion.
pub trait Scorer: Send + Sync {
    /// The name it has in reports: the one given in the config, else its type.
    fn name(&self) -> &str;

    /// Whether it can't work on a row without `expected`.
    fn needs_expected(&self) -> bool;

    /// Scores `completion` as an answer to `example`.
    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
    ) -> BoxFuture<'a, Result<Score, ScoreError>>;
}
