//! `ratchet scorer`: measuring scorers.

mod calibrate;

use clap::{Args, Subcommand};

use super::Global;
use super::exit::{Exit, Failure};

/// Measure a judge against people
#[derive(Debug, Args)]
pub struct Scorer {
    #[command(subcommand)]
    command: ScorerCommand,
}

#[derive(Debug, Subcommand)]
enum ScorerCommand {
    Calibrate(calibrate::Calibrate),
}

impl Scorer {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self.command {
            ScorerCommand::Calibrate(command) => command.run(global).await,
        }
    }
}
