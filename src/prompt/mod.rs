//! Prompt files: parsing, rendering, edits, diffs and merges. Pure text in, text out; no file is read here.

mod edit;
mod file;

pub use edit::Edit;
pub use file::{Message, Prompt, PromptError, PromptSet, Role};
