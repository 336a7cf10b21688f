//! The clusters themselves: [`FailureCluster`] and its [`FailureKind`].

use serde::{Deserialize, Serialize};

/// How the members of a cluster fail, by structure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FailureKind {
    /// One label was expected, another was given.
    Confusion {
        /// The label that is right.
        expected: String,
        /// The label that was given.
        answered: String,
    },
    /// The right answer is in there, but not in the form asked for.
    Format,
    /// The model refused, or its provider withheld the answer.
    Refusal,
    /// Nothing was answered.
    Empty,
    /// The answer was cut at the token limit.
    Truncated,
    /// A scorer, an assertion or a criterion failed.
    Criterion {
        /// Its name.
        name: String,
    },
}

/// Failing outcomes that fail alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureCluster {
    /// Stable over generations while the same failures persist: short, for file names and commands.
    pub id: String,
    /// How they fail.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// For people: the kind in words, with telling terms where a large group was divided by text.
    pub label: String,
    /// Ids of the failing examples, in dataset order.
    pub members: Vec<String>,
    /// Members as a share of all evaluated rows, in [0, 1].
    pub share: f64,
}
