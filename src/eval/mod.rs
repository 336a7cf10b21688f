//! Target x examples -> evaluation; and comparisons of two evaluations, row by row.

mod outcome;

pub use outcome::{Answer, Evaluation, Outcome, OutcomeError};

use crate::dataset::Example;
use crate::model::{BoxFuture, CallError, Completion};
use crate::prompt::PromptSet;

/// What is optimised: something that answers an example under given prompts.
pub trait Target: Send + Sync {
    /// Answers `example` with `prompts`; `sample` numbers the draws, 0 first.
    fn answer<'a>(
        &'a self,
        prompts: &'a PromptSet,
        example: &'a Example,
        sample: u32,
    ) -> BoxFuture<'a, Result<Completion, CallError>>;

    /// Whether the same question always gets the same answer.
    fn is_deterministic(&self) -> bool;

    /// How many questions may be under way at once.
    fn concurrency(&self) -> usize;
}
