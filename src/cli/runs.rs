//! `ratchet runs`, and finding a project's runs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use console::{measure_text_width, truncate_str};
use prompt_ratchet::config::Config;
use prompt_ratchet::report::{RunView, one_line, percent, terminal};
use prompt_ratchet::run::{RunError, RunFolder, RunState, unique_length};
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::plain::{WIDTH, line, neutral};
use super::report::{print, print_json, screen_width};
use super::say;

/// List the runs of this project, or show one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ratchet runs\n  ratchet runs show 3f2a\n  ratchet runs --json | jq '.[] | select(.shown)'"
)]
pub struct Runs {
    #[command(subcommand)]
    command: Option<RunsCommand>,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    Show(Show),
}

/// Show what became of a run
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ratchet runs show\n  ratchet runs show 3f2a --json")]
struct Show {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Runs {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let runs = runs_folder(global)?;
        match self.command {
            Some(RunsCommand::Show(show)) => {
                let view = RunView::read(&RunFolder::find(&runs, &show.run)?)?;
                if show.json {
                    print_json(&prompt_ratchet::report::json(&view))?;
                } else {
                    print(&terminal(&view, screen_width()))?;
                }
            }
            None => list(&runs, self.json)?,
        }
        Ok(Exit::Done)
    }
}

/// The folder of a project's runs: as its config says; where there is no config, `runs` beside it.
pub(super) fn runs_folder(global: &Global) -> Result<PathBuf, Failure> {
    let path = &global.config;
    let root = path.parent().unwrap_or(Path::new(""));
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let config = Config::parse(&path.to_string_lossy(), &text, &global.overrides).map_err(Failure::usage)?;
            Ok(root.join(config.runs))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let runs = root.join("runs");
            if runs.is_dir() {
                return Ok(runs);
            }
            Err(Failure::usage(anyhow::anyhow!(
                "{}: there is no such file, and no folder `runs` beside it; go to the project's folder, or name its \
                 config with --config",
                path.display()
            )))
        }
        Err(error) => Err(Failure::usage(anyhow::anyhow!("{}: can't be read: {error}", path.display()))),
    }
}

/// Place of a run's name among its cells.
const NAME: usize = 2;

/// One line of the list. A run whose journal can't be read is listed too, with the reason.
struct Line {
    folder: RunFolder,
    view: Result<RunView, String>,
}

fn list(runs: &Path, as_json: bool) -> Result<(), Failure> {
    let listing = RunFolder::list(runs);
    for (folder, reason) in &listing.passed_over {
        // The reason of a folder that can't be opened opens with its `run.json`.
        let RunError::Unreadable { message, .. } = reason else { continue };
        say::line(format_args!("passed over {}: {}", folder.display(), neutral(message)));
    }
    for folder in &listing.unbegun {
        say::line(format_args!("passed over {}: killed before it began; the folder may be removed", folder.display()));
    }
    let lines: Vec<Line> = listing
        .runs
        .into_iter()
        .map(|folder| Line { view: RunView::read(&folder).map_err(|error| error.to_string()), folder })
        .collect();
    if as_json {
        return print_json(&Value::Array(lines.iter().map(Line::json).collect()));
    }
    if lines.is_empty() {
        say::line(format_args!("{} holds no run yet; start one with `ratchet optimize`", runs.display()));
        return Ok(());
    }
    let ids: Vec<String> = lines.iter().map(|line| line.folder.short_id()).collect();
    let length = unique_length(&ids);
    let head = ["run", "started", "name", "gens", "kept", "dev", "result"].map(str::to_owned).to_vec();
    let rows = lines.iter().map(|line| line.cells(length));
    print(&table(std::iter::once(head).chain(rows).collect()))
}

/// The lines, none wider than [`WIDTH`]: names, which are mostly the same, have what the other columns leave.
fn table(mut rows: Vec<Vec<String>>) -> String {
    let widest = |rows: &[Vec<String>]| aligned(rows).lines().map(measure_text_width).max().unwrap_or(0);
    let over = widest(&rows).saturating_sub(WIDTH);
    let names = rows.iter().map(|row| measure_text_width(&row[NAME])).max().unwrap_or(0);
    for row in &mut rows {
        row[NAME] = line(&row[NAME], names.saturating_sub(over).max(8));
    }
    aligned(&rows).lines().map(|text| format!("{}\n", truncate_str(text, WIDTH, "…"))).collect()
}

impl Line {
    fn cells(&self, length: usize) -> Vec<String> {
        let manifest = &self.folder.manifest;
        let mut id = self.folder.short_id();
        id.truncate(length);
        let started = manifest.started.replace('T', " ").chars().take(16).collect();
        let mut cells = vec![id, started, one_line(&manifest.name, 30)];
        match &self.view {
            Err(problem) => cells.push(format!("damaged: {}", one_line(problem, 60))),
            Ok(view) => {
                let dev = match (view.baseline_dev(), view.winner_dev()) {
                    (Some(before), Some(after)) if view.kept().is_empty() && before == after => percent(before.score),
                    (Some(before), Some(after)) => format!("{} to {}", percent(before.score), percent(after.score)),
                    _ => "-".to_owned(),
                };
                cells.push(view.generations_had().0.to_string());
                cells.push(view.kept().len().to_string());
                cells.push(dev);
                cells.push(result(view).to_owned());
            }
        }
        cells
    }

    fn json(&self) -> Value {
        let manifest = &self.folder.manifest;
        let mut line = json!({
            "run": manifest.run,
            "short_id": self.folder.short_id(),
            "name": manifest.name,
            "started": manifest.started,
            "folder": self.folder.path,
        });
        match &self.view {
            Err(problem) => line["error"] = json!(problem),
            Ok(view) => {
                line["state"] = json!(if view.ended.is_some() { RunState::Finished } else { RunState::Unfinished });
                line["generations"] = json!(view.generations_had().0);
                line["kept"] = json!(view.kept().len());
                line["baseline_dev"] = json!(view.baseline_dev().map(|dev| dev.score));
                line["winner_dev"] = json!(view.winner_dev().map(|dev| dev.score));
                line["shown"] = json!(view.test.as_ref().is_some_and(|test| test.shown));
            }
        }
        line
    }
}

/// In a word or two: how far the run is, or what its end showed.
fn result(view: &RunView) -> &'static str {
    match (&view.ended, &view.test) {
        (None, _) => "unfinished",
        (Some(_), Some(test)) if test.shown => "better on test",
        (Some(_), _) if view.kept().is_empty() => "nothing kept",
        (Some(_), _) => "not shown",
    }
}

/// Rows as columns, two spaces apart.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter(|row| row.len() > column + 1).map(|row| row[column].chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_as_wide_as_a_terminal_at_most() {
        let row = |name: &str, result: &str| -> Vec<String> {
            ["3f2a", "2026-11-29 03:38", name, "10", "6", "33.0 % to 100.0 %", result].map(str::to_owned).to_vec()
        };
        let text = table(vec![row("name", "result"), row("a-project-with-a-long-name", "better on test")]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("a-projec") && text.contains("better on test"), "{text}");
        let damaged = ["3f2a", "2026-11-29 03:38", "name", &"damaged ".repeat(12)].map(str::to_owned).to_vec();
        assert!(table(vec![damaged]).chars().count() <= 81);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_the_last_one_is_ragged() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["aaa".to_owned(), "bbb".to_owned()]];
        assert_eq!(aligned(&rows), "a    b\naaa  bbb\n");
    }
}
