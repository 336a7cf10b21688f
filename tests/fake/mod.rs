//! The fake provider as a module of tests and benchmarks: see [`server`], and [`rows`] to ask it for.

pub mod dialects;
pub mod rows;
pub mod server;
pub mod wire;
