//! Proposals: strategies, the request to the proposer, its reply, and the static guards a proposal must pass before
//! any row is spent on it.
//!
//! | file | owns |
//! |---|---|
//! | `ask.rs`, `proposal.rs` | what is asked and what comes back, as data |
//! | `strategy.rs` | the strategy files |
//! | `request.rs`, `reply.rs` | the text that a model is sent, and how its answer is read |
//! | `guards.rs`, `copied.rs` | what a proposal must hold, free of any call |
//! | `proposer.rs` | asks a model, with one round to mend |
//! | `free.rs`, `examples.rs`, `leave_out.rs` | proposals that need no model |

mod ask;
mod copied;
mod examples;
mod free;
mod guards;
mod leave_out;
mod proposal;
mod proposer;
mod reply;
mod request;
mod strategy;
#[cfg(test)]
mod testing;

pub use ask::{Ask, Attempt, Dropped, FreeAsk, Propose, Proposed, Sets, ShownRow};
pub use copied::CopiedRun;
pub use copied::quoted_rows;
pub use free::FREE;
pub use guards::{GuardError, GuardLimits, Guards};
pub use proposal::Proposal;
pub use proposer::{ModelProposer, ProposerSettings};
pub use strategy::{Origin, Strategy, StrategyError, load_strategies};
