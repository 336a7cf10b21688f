//! `ratchet optimize` and `ratchet resume`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::clock::SystemClock;
use prompt_ratchet::model::Spend;
use prompt_ratchet::project::{Project, Watch, optimize, resume};
use prompt_ratchet::run::{Event, RunFolder};
use tokio_util::sync::CancellationToken;

use super::Global;
use super::exit::{Exit, Failure};

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

struct Silent;

impl Watch for Silent {
    fn see(&self, event: &Event, _: &Spend) {
        match event {
            Event::Progress(_) | Event::Measured(_) => {}
            event => {
                eprintln!("{}", serde_json::to_string(event).unwrap_or_default().chars().take(300).collect::<String>())
            }
        }
    }
}

impl Optimize {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut project = Project::load(&global.config, &global.overrides).await?;
        optimize(&mut project, Arc::new(SystemClock), CancellationToken::new(), Arc::new(Silent)).await?;
        Ok(Exit::Done)
    }
}

impl Resume {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let root = global.config.parent().unwrap_or(Path::new(""));
        let folder = RunFolder::find(&root.join("runs"), &self.run)?;
        resume(root, folder, Arc::new(SystemClock), CancellationToken::new(), Arc::new(Silent)).await?;
        Ok(Exit::Done)
    }
}
