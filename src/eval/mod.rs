//! Target x examples -> evaluation; and comparisons of two evaluations, row by row.

mod changes;
mod command;
mod comparison;
mod engine;
mod labelled;
mod objective;
mod outcome;
mod repeats;
mod tally;
mod target;
#[cfg(test)]
pub(crate) mod testing;

pub use changes::Changes;
pub use command::{CommandSettings, CommandTarget, ModelCalls, Program, ProgramOptions};
pub use comparison::{Change, Comparison, OneArmed, PairedRow, compare};
pub use engine::{Evaluate, Evaluator, OnOutcome, RowSource, TakeOutcome};
pub use labelled::{labelled, macro_f1_interval};
pub use objective::Objective;
pub use outcome::{Answer, Evaluation, Outcome, OutcomeError, Summary};
pub use repeats::{RepeatRule, Repeats};
pub use tally::Tally;
pub use target::{ChatSettings, ChatTarget, Target};

/// Confidence of every interval that is shown or claimed by.
pub const CONFIDENCE: f64 = 0.95;
