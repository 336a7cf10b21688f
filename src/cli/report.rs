//! `ratchet report`, and printing to stdout.

use std::io::{self, BufWriter, Write};

use clap::Args;
use console::Term;
use prompt_ratchet::report::{MacroF1, RunView, json, markdown, terminal};
use prompt_ratchet::run::RunFolder;
use prompt_ratchet::stats::Interval;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::runs::runs_folder;

/// Show what became of a run; its folder holds the whole report as report.md and report.html
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ratchet report\n  ratchet report 3f2a --markdown > report.md\n  ratchet report --json | jq .winner.test"
)]
pub struct Report {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Print the whole report as Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Report {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let view = RunView::read(&RunFolder::find(&runs_folder(global)?, &self.run)?)?;
        if self.json {
            print_json(&json(&view))?;
        } else if self.markdown {
            print(&markdown(&view))?;
        } else {
            show(&view)?;
        }
        Ok(Exit::Done)
    }
}

/// Prints the screen after a run; its first line stands out.
pub(super) fn show(view: &RunView) -> Result<(), Failure> {
    let screen = terminal(view, screen_width());
    let (headline, rest) = screen.split_once("\n\n").unwrap_or((&screen, ""));
    let paint = Paint::stdout();
    let shown = view.test.as_ref().is_some_and(|test| test.shown);
    let headline = if shown { paint.good(headline).bold() } else { paint.bold(headline) };
    print(&format!("{headline}\n\n{rest}"))
}

/// Columns of stdout, at most 100; 80 where it is no terminal.
pub(super) fn screen_width() -> usize {
    let term = Term::stdout();
    if term.is_term() { usize::from(term.size().1).min(100) } else { 80 }
}

/// Prints to stdout. A reader that has had enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_with(|stdout| stdout.write_all(text.as_bytes()))
}

/// The same for what `write` makes as it goes.
pub(super) fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure { exit: Exit::CouldNotRun, error: anyhow::anyhow!("can't write to stdout: {error}") })
        }
        _ => Ok(()),
    }
}

/// An interval as every `--json` output has it: `[low, high]`.
pub(super) fn json_interval(interval: &Interval) -> serde_json::Value {
    serde_json::json!([interval.low, interval.high])
}

/// `{value, interval}`; null where there is none.
pub(super) fn json_macro_f1(found: Option<MacroF1>) -> serde_json::Value {
    found.map_or(
        serde_json::Value::Null,
        |found| serde_json::json!({ "value": found.value, "interval": json_interval(&found.interval) }),
    )
}

/// Prints one JSON value to stdout.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}
