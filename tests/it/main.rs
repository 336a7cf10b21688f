//! The one integration binary.

#[path = "../fake/mod.rs"]
mod fake;
#[path = "../sim/mod.rs"]
mod sim;

mod agents;
mod bad_input;
mod budget;
mod cli_eval;
mod cli_review;
mod docs;
mod doctor;
mod embeddings;
mod engine;
mod eval_output;
mod fallback;
mod fallback_within;
mod faults;
mod judges;
#[cfg(target_os = "linux")]
mod kill;
mod layers;
mod model;
mod network;
mod objective;
mod optimize;
mod poison;
mod presets;
mod project;
mod providers;
mod readme;
mod resume;
mod scorers;
#[cfg(unix)]
mod signals;
mod snapshot;
mod streams;
mod targets;
mod tools;
mod triage;
mod unattended;
mod worlds;
