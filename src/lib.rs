//! Ratchet optimises prompts unattended: it measures a prompt on real data, clusters what fails, asks a model for
//! small targeted edits, measures each candidate against the incumbent row by row, and keeps a revision only when it
//! is really better.
//!
//! Modules form layers; each imports from lower layers only (a test in `tests/it/layers.rs` holds the list):
//!
//! | layer | modules |
//! |---|---|
//! | 0 | [`stats`], [`text`], [`durable`], [`digest`], [`money`], [`clock`], [`seed`] |
//! | 1 | [`dataset`], [`prompt`], [`config`], [`worker`] |
//! | 2 | [`model`] |
//! | 3 | [`score`] |
//! | 4 | [`eval`] |
//! | 5 | [`diagnose`] |
//! | 6 | [`propose`] |
//! | 7 | [`run`] |
//! | 8 | [`search`] |
//! | 9 | [`report`], [`review`] |
//! | 10 | [`project`] |
//!
//! The command line is a module of the binary, so that the compiler keeps this library from printing or parsing flags.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::dbg_macro,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::await_holding_lock
    )
)]

pub mod clock;
pub mod digest;
pub mod durable;
pub mod money;
pub mod seed;
pub mod stats;
pub mod text;

pub mod config;
pub mod dataset;
pub mod prompt;
pub mod worker;

pub mod model;

pub mod score;

pub mod eval;

pub mod diagnose;

pub mod propose;

pub mod run;

pub mod search;

pub mod report;
pub mod review;

pub mod project;
