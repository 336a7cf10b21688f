//! What a proposer suggests: [`Proposal`].

use serde::{Deserialize, Serialize};

use crate::prompt::Edit;

/// A list of edits with a purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Hunks, all against the original text, not overlapping.
    pub edits: Vec<Edit>,
    /// Why this should help.
    pub rationale: String,
    /// What should change where, in the proposer's words.
    #[serde(default)]
    pub expected_effect: String,
    /// Ids of train rows that the edits quote as examples; these rows are left out of both arms of comparisons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quoted: Vec<String>,
}
