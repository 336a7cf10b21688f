//! Edits: search/replace hunks on the text of a prompt file, all of a proposal's against the original text.

use serde::{Deserialize, Serialize};

/// One hunk. `search` must occur exactly once in the original text of `file`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edit {
    /// The prompt's name in its [`PromptSet`](super::PromptSet).
    pub file: String,
    /// Text to find, exactly once; never empty.
    pub search: String,
    /// What takes its place; empty deletes.
    pub replace: String,
}
