//! Strategies, the request to the proposer, its reply, the static guards.
