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
        /// The scorer's name; where its reasons name what failed (`category: expected …`), then `scorer: category`; of a
        /// judge, `scorer: criterion`, or where it has but one, `scorer: verdict`.
        name: String,
    },
}

impl FailureKind {
    /// `confusion`, `format`, `refusal`, `empty`, `truncated` or `criterion`: what strategies say they are for.
    pub fn name(&self) -> &'static str {
        match self {
            FailureKind::Confusion { .. } => "confusion",
            FailureKind::Format => "format",
            FailureKind::Refusal => "refusal",
            FailureKind::Empty => "empty",
            FailureKind::Truncated => "truncated",
            FailureKind::Criterion { .. } => "criterion",
        }
    }
}

/// Failing outcomes that fail alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureCluster {
    /// Stable over generations while the same failures persist: short, for file names and commands.
    pub id: String,
    /// How they fail.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// The file of the prompt that most of these rows are about, of an agent with several; absent where the traces don't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// For people, at most 80 columns: the kind in words, the prompt, and the terms that tell these rows from the others.
    pub label: String,
    /// Ids of the failing examples, in dataset order.
    pub members: Vec<String>,
    /// Members as a share of all evaluated rows (those that ran), in [0, 1]. Rows count alike, whatever their weight.
    pub share: f64,
}
