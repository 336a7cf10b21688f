//! The data itself: [`Example`], [`Split`], [`Dataset`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::packed::PackedRows;
use super::select::Rows;
use crate::digest::Digest;

/// One dataset row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Unique within the dataset; a row without one gets one from its content.
    pub id: String,
    /// A string, or a map whose fields templates see as `input.field`.
    pub input: Value,
    /// The reference answer, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// Free labels for filtering, reporting and guards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Anything else; scorers may read it, prompts may not.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Must not break: always in the gate, never a test row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Weight in every mean, above zero.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// Rows of one group always share a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The split that the row names for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

impl Example {
    /// The input as one text: the string itself, or the fields of a map as `name: value` lines.
    pub fn input_text(&self) -> String {
        match &self.input {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", plain_text(value)))
                .collect::<Vec<_>>()
                .join("\n"),
            other => plain_text(other),
        }
    }

    /// The expected answer as text: a string as it is, anything else as JSON.
    pub fn expected_text(&self) -> Option<String> {
        self.expected.as_ref().map(plain_text)
    }

    /// The expected answer as a label: its text without the white space around it, which tells no two labels apart.
    pub fn expected_label(&self) -> Option<String> {
        self.expected_text().map(|text| text.trim().to_owned())
    }
}

/// A JSON string as it is, any other value as JSON.
pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Which part of the dataset a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Seen by the proposer.
    Train,
    /// Answers the gate's one question a generation.
    Dev,
    /// Sealed until the end.
    Test,
}

impl Split {
    /// All three, in order.
    pub const ALL: [Split; 3] = [Split::Train, Split::Dev, Split::Test];

    /// `train`, `dev` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Dev => "dev",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checked examples with their splits, as they are loaded: in little memory, since there may be a million of them.
#[derive(Debug, Clone)]
pub struct PackedDataset {
    /// In file order; ids are unique.
    pub rows: Arc<PackedRows>,
    /// The split of each row, same length and order as `rows`.
    pub splits: Vec<Split>,
    /// Digest of the content of all rows, independent of file format and of row order.
    pub fingerprint: Digest,
}

impl PackedDataset {
    /// The rows of one split, in file order.
    pub fn rows(&self, split: Split) -> Rows {
        Rows::chosen(&self.rows, |at| self.splits[at] == split)
    }

    /// How many rows a split has.
    pub fn count(&self, split: Split) -> usize {
        self.splits.iter().filter(|of| **of == split).count()
    }

    /// The same dataset with all examples in memory, for a search, which takes rows in any order again and again.
    pub fn unpacked(&self) -> Dataset {
        Dataset {
            examples: self.rows.iter().map(Arc::new).collect(),
            splits: self.splits.clone(),
            fingerprint: self.fingerprint,
        }
    }
}

/// Checked examples with their splits.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// In file order; ids are unique.
    pub examples: Vec<Arc<Example>>,
    /// The split of each example, same length and order as `examples`.
    pub splits: Vec<Split>,
    /// Digest of the content of all examples, independent of file format and of row order.
    pub fingerprint: Digest,
}

impl Dataset {
    /// The rows of one split, in file order.
    pub fn rows(&self, split: Split) -> Vec<Arc<Example>> {
        self.examples
            .iter()
            .zip(&self.splits)
            .filter(|(_, of)| **of == split)
            .map(|(example, _)| Arc::clone(example))
            .collect()
    }
}
