//! `ratchet optimize` and `ratchet resume`.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use clap::Args;
use prompt_ratchet::clock::SystemClock;
use prompt_ratchet::model::Spend;
use prompt_ratchet::project::{GivenTime, OptimizeError, Optimized, Project, Watch, optimize, resume};
use prompt_ratchet::report::{self, RunView};
use prompt_ratchet::run::{Event, RunFolder};
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::machine;
use super::measure::splits_written;
use super::notify::Teller;
use super::plain::for_stderr;
use super::progress::ProgressArgs;
use super::report::{print_json, show};
use super::runs::runs_folder;
use super::say;
use super::signals::interrupt;

/// Run the whole loop: measure, diagnose, propose, race, gate; then the sealed test
///
/// The prompt file is not changed: `ratchet review` walks through what was kept, `ratchet apply` writes it. Ctrl-C stops
/// and loses nothing; a second one stops at once. Exit code 0 also when nothing was kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet optimize
  ratchet optimize --seed 7 --set search.generations=3
  ratchet optimize --for 8h --set budget.usd=5
  ratchet optimize --set budget.calls=2000 --json > result.json")]
pub struct Optimize {
    /// Seed of every random choice; short for `--set search.seed=N`
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    pub(super) progress: ProgressArgs,
    #[command(flatten)]
    time: Time,
    /// Say what would run, how many calls, tokens and dollars at most and likely, and what gain the data can show; ask
    /// and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// How long to go on.
#[derive(Debug, Args)]
struct Time {
    /// Stop after so long, as in 8h or 1h30m, like at a planned limit; short for `--set budget.for=TIME`
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
    /// Stop at this local time, as in 07:00; short for `--set budget.until=TIME`
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Go on with an interrupted run, from what is recorded of it
///
/// The run is made again from its snapshot on stored responses, which cost nothing, and goes on where it was stopped. It
/// ends with the same files as a run that was never interrupted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet resume
  ratchet resume 3fa9 --for 2h")]
pub struct Resume {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    #[command(flatten)]
    pub(super) progress: ProgressArgs,
    #[command(flatten)]
    time: Time,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Refused with a reason, and so not among the options that the help names
    #[arg(long = "set", id = "overrides", value_name = "KEY=VALUE", value_parser = super::key_value, hide = true)]
    _overrides: Vec<(String, String)>,
}

impl Optimize {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut overrides = global.overrides.clone();
        overrides.extend(self.seed.map(|seed| ("search.seed".to_owned(), seed.to_string())));
        // What is given is a text also where it looks like a number.
        let text = |time: String| toml::Value::String(time).to_string();
        overrides.extend(self.time.duration.map(|time| ("budget.for".to_owned(), text(time))));
        overrides.extend(self.time.until.map(|time| ("budget.until".to_owned(), text(time))));
        let mut project = Project::load(&global.config, &overrides).await?;
        let terminal = self.progress.show(global.quiet);
        for warning in &project.warnings {
            terminal.note(&format!("warning: {warning}"));
        }
        if self.dry_run {
            super::plan::show(&project, self.json).await?;
            return Ok(Exit::Done);
        }
        let teller = Teller::new(&project.config.notify, &project.name())?;
        let unsaved = project.unsaved_splits();
        let named = Named::new(teller.watching(&terminal));
        let (clock, stop) = (Arc::new(SystemClock), interrupt(named.noting()));
        let result = optimize(&mut project, clock, stop, named).await;
        if let Some(path) = unsaved.filter(|_| project.unsaved_splits().is_none()) {
            terminal.note(&splits_written(&path));
        }
        teller.ended(&result, &*terminal).await;
        drop(terminal);
        finish(result, self.json, self.progress.is_json())
    }
}

impl Resume {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        if !global.overrides.is_empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--set: a run goes on with its own settings, so that it ends as it would have; leave --set out, or start \
                 a new run with `ratchet optimize`"
            )));
        }
        let root = global.config.parent().unwrap_or(Path::new(""));
        let folder = RunFolder::find(&runs_folder(global)?, &self.run)?;
        let teller = Teller::of_project(global, &folder.manifest.name)?;
        let terminal = self.progress.show(global.quiet);
        let time = GivenTime { duration: self.time.duration, until: self.time.until };
        let named = Named::new(teller.watching(&terminal));
        let (clock, stop) = (Arc::new(SystemClock), interrupt(named.noting()));
        let result = resume(root, folder, clock, stop, named, time).await;
        teller.ended(&result, &*terminal).await;
        drop(terminal);
        finish(result, self.json, self.progress.is_json())
    }
}

fn finish(result: Result<Optimized, OptimizeError>, as_json: bool, to_machine: bool) -> Result<Exit, Failure> {
    match result {
        Ok(done) => {
            let view = RunView::read(&done.folder)?;
            if as_json {
                print_json(&report::json(&view))?
            } else {
                show(&view)?
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            if let OptimizeError::Halted { folder, .. } = &error {
                if !as_json && let Ok(view) = RunView::read(folder) {
                    show(&view)?;
                }
                let command = RunFolder::open(&folder.path).is_ok().then(|| resuming(folder));
                if to_machine {
                    machine::say("halted", json!({ "run": folder.manifest.run, "resume": command }));
                } else if let Some(command) = command {
                    say::line(format_args!("The run is kept and can go on from here: {command}"));
                } else {
                    say::line(for_stderr(&format!(
                        "Its folder {} is gone, so it can't go on; answers are stored, and cost a new run nothing",
                        folder.path.display()
                    )));
                }
            }
            Err(error.into())
        }
    }
}

/// The command that goes on with the run in `folder`.
fn resuming(folder: &RunFolder) -> String {
    format!("ratchet resume {}", folder.short_id())
}

/// Shows a run's events, and knows how to go on with it: whoever stops it at once is told nothing any more.
struct Named {
    show: Arc<dyn Watch>,
    resuming: OnceLock<String>,
}

impl Named {
    fn new(show: Arc<dyn Watch>) -> Arc<Self> {
        Arc::new(Self { show, resuming: OnceLock::new() })
    }

    /// Says things beside the run's events, for as long as they are shown, and how to go on with the run once it has begun.
    fn noting(self: &Arc<Self>) -> impl Fn(&str) + Send + use<> {
        let named = Arc::downgrade(self);
        move |line| {
            let Some(named) = named.upgrade() else { return };
            let go_on = named.resuming.get().map_or(String::new(), |command| format!("; {command} goes on"));
            named.show.note(&format!("{line}{go_on}"));
        }
    }
}

impl Watch for Named {
    fn begin(&self, folder: &RunFolder) {
        // A run begins once.
        let _ = self.resuming.set(resuming(folder));
        self.show.begin(folder);
    }

    fn note(&self, line: &str) {
        self.show.note(line);
    }

    fn see(&self, event: &Event, spend: &Spend) {
        self.show.see(event, spend);
    }
}
