//! The fake provider as a module of tests and benchmarks: see [`server`].

pub mod server;
pub mod wire;
