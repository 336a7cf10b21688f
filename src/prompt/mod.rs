//! Prompt files: parsing, rendering, edits, diffs and merges. Pure text in, text out; no file is read here.
//!
//! Invariants: a [`Prompt`] that exists has parsed, its templates have compiled and its variables are known; a
//! [`PromptSet`] holds at least one prompt and at least one of them uses the row's input. Edits, hunks and merges are
//! on the text of the file, byte for byte; what is sent to a model is the rendered messages alone.

mod diff;
mod edit;
mod escape;
mod file;
mod layout;
mod merge;
mod render;
mod set;
mod tags;

pub use diff::hunks;
pub use edit::{Edit, EditError};
pub use escape::escape_literal;
pub use file::{Message, Prompt, PromptError, Role, Structure};
pub use merge::{MergeConflict, merge};
pub use set::PromptSet;
