//! Proposals: strategies, the request to the proposer, its reply, and the static guards a proposal must pass before
//! any row is spent on it.

mod ask;
mod free;
mod proposal;
mod strategy;

pub use ask::{Ask, Attempt, Dropped, Propose, Proposed, ShownRow};
pub use free::free_proposals;
pub use proposal::Proposal;
pub use strategy::Strategy;
