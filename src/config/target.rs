//! `[target]`: a program to optimise the prompts of, in place of a chat model.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program, an agent, that is given the prompts by name and a row, and answers with an output and a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The program and its arguments, run in the folder of this file and not read by a shell.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// How many of it run at a time, each at one row.
    #[serde(default = "default_workers")]
    #[schemars(range(min = 1))]
    pub workers: usize,
    /// Seconds after which a row counts as failed and its worker is started again.
    #[serde(default = "default_timeout")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub timeout_seconds: f64,
    /// Files that decide its answers besides those that `command` names: a change of one asks all rows anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Environment variables that it is given although their names look like secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// Whether the same row always gets the same answer.
    #[serde(default)]
    pub deterministic: bool,
}

fn default_workers() -> usize {
    4
}

fn default_timeout() -> f64 {
    120.0
}
