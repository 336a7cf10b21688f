//! What a kind of judge asks: [`Question`]. Each kind makes one in its own file.

use super::Criterion;

/// A kind of judge, made ready: what it decides, on what, and in which words it asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The kind's `type` in the config.
    pub(super) kind: &'static str,
    /// At least one.
    pub(super) criteria: Vec<Criterion>,
    /// Whether the reply is keyed by criterion; otherwise there is one criterion, and the reply is its verdict alone.
    pub(super) is_keyed: bool,
    /// The prompt that asks it, unless the project has its own.
    pub(super) prompt: &'static str,
    /// Whether a row without `expected` can't be judged.
    pub(super) needs_expected: bool,
    /// The field of the row's metadata or input that holds the context, where the kind needs one.
    pub(super) context: Option<String>,
    /// Whether answer and reference are compared, in both orders.
    pub(super) is_battle: bool,
}

impl Question {
    /// A question with one criterion, decided on the row and the answer.
    pub(super) fn single(kind: &'static str, prompt: &'static str, criterion: Criterion) -> Self {
        Self {
            kind,
            criteria: vec![criterion],
            is_keyed: false,
            prompt,
            needs_expected: false,
            context: None,
            is_battle: false,
        }
    }
}
