//! Proposals that need no model.

use std::sync::Arc;

use super::Proposed;
use crate::dataset::Example;
use crate::prompt::PromptSet;

/// The free proposals for `prompts`, each with its strategy's name: drawn from train rows only, seeded.
pub fn free_proposals(_prompts: &PromptSet, _train: &[Arc<Example>], _seed: u64) -> Vec<(String, Proposed)> {
    Vec::new()
}
