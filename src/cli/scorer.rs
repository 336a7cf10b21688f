//! `ratchet scorer`: drafting scorers, and measuring them.

mod calibrate;
mod draft;

use clap::{Args, Subcommand};

use super::Global;
use super::exit::{Exit, Failure};

/// Have a model write a scorer, or measure a judge against people
#[derive(Debug, Args)]
pub struct Scorer {
    #[command(subcommand)]
    command: ScorerCommand,
}

#[derive(Debug, Subcommand)]
enum ScorerCommand {
    Calibrate(calibrate::Calibrate),
    Draft(draft::Draft),
}

impl Scorer {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self.command {
            ScorerCommand::Calibrate(command) => command.run(global).await,
            ScorerCommand::Draft(command) => command.run(global).await,
        }
    }
}
