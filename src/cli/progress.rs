//! `--progress`: how a run that goes on is shown on stderr.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use prompt_ratchet::project::Watch;

use super::logging;
use super::machine::Machine;
use super::terminal::Terminal;

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Lines, and on a terminal what is under way
    #[default]
    Auto,
    /// Lines only
    Plain,
    /// One JSON object a line, for machines; errors and notes too
    Json,
    /// Warnings and errors only
    None,
}

/// The flag.
#[derive(Debug, Args)]
pub struct ProgressArgs {
    /// How the run is shown on stderr while it goes on; with --quiet it isn't
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    progress: Mode,
}

impl ProgressArgs {
    /// Whether all of stderr is for machines.
    pub fn is_json(&self) -> bool {
        self.progress == Mode::Json
    }

    /// What shows the events.
    pub fn show(&self, quiet: bool) -> Arc<dyn Watch> {
        match self.progress {
            _ if quiet => Arc::new(Terminal::silent()),
            Mode::Json => Arc::new(Machine::default()),
            Mode::None => Arc::new(Terminal::notes()),
            Mode::Plain => Arc::new(Terminal::lines()),
            // Lines of the log would run through what moves.
            Mode::Auto if logging::is_on() => Arc::new(Terminal::lines()),
            Mode::Auto => Arc::new(Terminal::moving()),
        }
    }
}
