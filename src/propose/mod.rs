//! Proposals: strategies, the request to the proposer, its reply, and the static guards a proposal must pass before
//! any row is spent on it.

mod proposal;

pub use proposal::Proposal;
