//! The command line: one file a subcommand. stdout is data, stderr is everything else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

mod apply;
mod compare;
mod completions;
mod diff;
mod doctor;
mod eval;
mod exit;
mod failures;
mod holds;
mod init;
mod logging;
mod machine;
mod measure;
mod models;
mod narration;
mod notify;
mod optimize;
mod paint;
mod plain;
mod plan;
mod progress;
mod report;
mod review;
mod runs;
mod say;
mod scorer;
mod signals;
mod status;
mod store;
mod strategies;
mod terminal;

use exit::{Exit, Failure};

/// Optimises prompts unattended: measures a prompt on real data, clusters what fails, tries small edits, and keeps a
/// revision only when it is really better.
#[derive(Debug, Parser)]
#[command(name = "ratchet", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Args)]
struct Global {
    /// The project's config file
    #[arg(long, global = true, value_name = "FILE", default_value = "ratchet.toml")]
    config: PathBuf,
    /// Override a config key, as in `--set search.generations=3`; may be given several times
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// Print results only: no progress, no notes
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Eval(eval::Eval),
    Failures(failures::Failures),
    Compare(compare::Compare),
    Optimize(optimize::Optimize),
    Resume(optimize::Resume),
    Review(review::Review),
    Apply(apply::Apply),
    Runs(runs::Runs),
    Status(status::Status),
    Store(store::Store),
    Report(report::Report),
    Scorer(scorer::Scorer),
    Diff(diff::Diff),
    Strategies(strategies::Strategies),
    Models(models::Models),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Command {
    /// Whether all of stderr is for machines.
    fn speaks_json(&self) -> bool {
        match self {
            Self::Optimize(command) => command.progress.is_json(),
            Self::Resume(command) => command.progress.is_json(),
            _ => false,
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in search.generations=3")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// How long the end of the process may wait for what still runs.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// Runs the command line; errors go to stderr, the outcome into the exit code.
pub fn main() -> ExitCode {
    paint::respect_no_color();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data and print to stdout; anything else is a usage error.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::line(format_args!("error: can't start: {error}"));
            return Exit::CouldNotRun.into();
        }
    };
    let as_json = cli.command.speaks_json();
    let result = match logging::begin(as_json) {
        Ok(()) => runtime.block_on(run(cli)),
        Err(failure) => Err(failure),
    };
    // Calls under way are dropped and programs end with what they have started; nothing is waited for longer than this.
    runtime.shutdown_timeout(LAST_MOMENT);
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let message = format!("{:#}", failure.error);
            if as_json {
                machine::say("error", serde_json::json!({ "message": message, "exit": failure.exit as u8 }));
            } else {
                say::line(plain::for_stderr(&format!("error: {message}")));
            }
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Init(command) => command.run(&cli.global),
        Command::Eval(command) => command.run(&cli.global).await,
        Command::Failures(command) => command.run(&cli.global).await,
        Command::Compare(command) => command.run(&cli.global).await,
        Command::Optimize(command) => command.run(&cli.global).await,
        Command::Resume(command) => command.run(&cli.global).await,
        Command::Review(command) => command.run(&cli.global).await,
        Command::Apply(command) => command.run(&cli.global).await,
        Command::Runs(command) => command.run(&cli.global).await,
        Command::Status(command) => command.run(&cli.global).await,
        Command::Store(command) => command.run(&cli.global).await,
        Command::Report(command) => command.run(&cli.global).await,
        Command::Scorer(command) => command.run(&cli.global).await,
        Command::Diff(command) => command.run(&cli.global).await,
        Command::Strategies(command) => command.run(&cli.global).await,
        Command::Models(command) => command.run(&cli.global).await,
        Command::Doctor(command) => command.run(&cli.global).await,
        Command::Completions(command) => command.run(&cli.global).await,
    }
}
