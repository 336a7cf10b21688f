//! `ratchet optimize` and `ratchet resume`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::clock::SystemClock;
use prompt_ratchet::project::{Project, optimize, resume};
use prompt_ratchet::report::RunView;
use prompt_ratchet::run::RunFolder;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::exit::{Exit, Failure};
use super::report::show;
use super::runs::runs_folder;
use super::terminal::Terminal;

/// Run the whole loop: measure, diagnose, propose, race, gate; then the sealed test
#[derive(Debug, Args)]
pub struct Optimize {}

/// Go on with an interrupted run, from what is recorded of it
#[derive(Debug, Args)]
pub struct Resume {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
}

impl Optimize {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut project = Project::load(&global.config, &global.overrides).await?;
        let terminal = Terminal::new(global.quiet);
        for warning in &project.warnings {
            terminal.note(&format!("warning: {warning}"));
        }
        let watch = Arc::new(terminal);
        let done = optimize(&mut project, Arc::new(SystemClock), CancellationToken::new(), watch).await?;
        show(&RunView::read(&done.folder)?)?;
        Ok(Exit::Done)
    }
}

impl Resume {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let root = global.config.parent().unwrap_or(Path::new(""));
        let folder = RunFolder::find(&runs_folder(global)?, &self.run)?;
        let watch = Arc::new(Terminal::new(global.quiet));
        let done = resume(root, folder, Arc::new(SystemClock), CancellationToken::new(), watch).await?;
        show(&RunView::read(&done.folder)?)?;
        Ok(Exit::Done)
    }
}
