//! The one integration binary.

#[path = "../sim/mod.rs"]
mod sim;

mod worlds;
