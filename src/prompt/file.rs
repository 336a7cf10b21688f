//! A prompt's text and what it parses to: [`Prompt`], and [`PromptSet`] for targets with several.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dataset::Example;
use crate::digest::Digest;

/// Who speaks a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

/// One rendered chat message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Plain text.
    pub content: String,
}

/// What is wrong with a prompt file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct PromptError {
    /// The prompt file's name as the user wrote it.
    pub file: String,
    /// 1-based line in the file.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What was found and what to do.
    pub message: String,
}

/// The parsed text of one prompt file. Cheap to clone behind an `Arc`; equal when the text is equal.
pub struct Prompt {
    // Owned by the prompt module.
    text: String,
}

/// The prompts of a target by name: one for a chat target, several for an agent.
pub struct PromptSet {
    prompts: BTreeMap<String, Arc<Prompt>>,
}
