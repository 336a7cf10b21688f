//! `ratchet strategies`.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use prompt_ratchet::config::Config;
use prompt_ratchet::propose::{Strategy, StrategyError, load_strategies};
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::report::{print, print_json};
use super::runs::aligned;

/// List the strategies that proposals are asked for with, or show one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ratchet strategies\n  ratchet strategies show define-boundary > strategies/my-boundary.md"
)]
pub struct Strategies {
    #[command(subcommand)]
    command: Option<StrategiesCommand>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum StrategiesCommand {
    List(List),
    Show(Show),
}

/// List the strategies: built-in ones and the project's own
#[derive(Debug, Args)]
struct List {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// Print a strategy as a file to begin one's own with
#[derive(Debug, Args)]
struct Show {
    /// Its name
    name: String,
}

impl Strategies {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self.command.unwrap_or(StrategiesCommand::List(self.list)) {
            StrategiesCommand::List(list) if list.json => {
                let strategies = strategies(global)?;
                let rows = strategies.iter().map(|strategy| json!(strategy.as_ref())).collect();
                print_json(&serde_json::Value::Array(rows))?;
            }
            StrategiesCommand::List(_) => print(&table(&strategies(global)?))?,
            StrategiesCommand::Show(show) => print(&shown(strategies(global), &show.name)?)?,
        }
        Ok(Exit::Done)
    }
}

/// The project's strategies; without a project, the built-in ones.
fn strategies(global: &Global) -> Result<Vec<Arc<Strategy>>, Failure> {
    let path = &global.config;
    let Ok(text) = std::fs::read_to_string(path) else {
        return load_strategies(None, &[]).map_err(Failure::usage);
    };
    let config = Config::parse(&path.to_string_lossy(), &text, &global.overrides).map_err(Failure::usage)?;
    let folder = path.parent().unwrap_or(Path::new("")).join(&config.search.strategies);
    load_strategies(folder.is_dir().then_some(folder.as_path()), &config.search.disable).map_err(Failure::usage)
}

/// The strategy `name` as a file. A built-in one doesn't need the rest of the folder to be sound: only a broken file of
/// its own name stands in its way, since that takes its place.
fn shown(loaded: Result<Vec<Arc<Strategy>>, Failure>, name: &str) -> Result<String, Failure> {
    let failure = match loaded {
        Ok(strategies) => return file(&strategies, name),
        Err(failure) => failure,
    };
    let broken = match failure.error.downcast_ref() {
        Some(StrategyError::Malformed { file, .. }) => Path::new(file).file_stem(),
        Some(StrategyError::Read { path, .. }) => path.file_stem(),
        _ => None,
    };
    if broken.is_none_or(|stem| stem == name) {
        return Err(failure);
    }
    let built_in = load_strategies(None, &[]).map_err(Failure::usage)?;
    if built_in.iter().any(|strategy| strategy.name == name) { file(&built_in, name) } else { Err(failure) }
}

fn table(strategies: &[Arc<Strategy>]) -> String {
    let rows: Vec<Vec<String>> = strategies
        .iter()
        .map(|strategy| {
            let kinds =
                if strategy.kinds.is_empty() { "the task as a whole".to_owned() } else { strategy.kinds.join(", ") };
            vec![strategy.name.clone(), strategy.origin.to_string(), kinds]
        })
        .collect();
    let paint = Paint::stdout();
    let lines = aligned(&rows);
    lines
        .lines()
        .zip(strategies)
        .map(|(line, strategy)| format!("{}\n    {}\n", paint.bold(line), strategy.summary))
        .collect()
}

fn file(strategies: &[Arc<Strategy>], name: &str) -> Result<String, Failure> {
    let Some(strategy) = strategies.iter().find(|strategy| strategy.name == name) else {
        let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name.as_str()).collect();
        return Err(Failure::usage(anyhow::anyhow!("there is no strategy `{name}`; there are {}", names.join(", "))));
    };
    // A JSON string is YAML too, whatever it holds.
    Ok(format!(
        "---\nsummary: {}\nkinds: [{}]\nquotes_rows: {}\n---\n{}\n",
        json!(strategy.summary),
        strategy.kinds.join(", "),
        strategy.quotes_rows,
        strategy.instruction.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_prints_is_the_same_strategy_as_a_file() {
        let built_in = load_strategies(None, &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for strategy in &built_in {
            let text = file(&built_in, &strategy.name).unwrap();
            std::fs::write(folder.path().join(format!("{}.md", strategy.name)), text).unwrap();
        }
        assert_eq!(load_strategies(Some(folder.path()), &[]).unwrap(), built_in);
    }

    #[test]
    fn a_built_in_strategy_is_shown_beside_a_broken_file_unless_that_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prune.md"), "half of it").unwrap();
        let show = |name: &str| shown(load_strategies(Some(folder.path()), &[]).map_err(Failure::usage), name);
        assert!(show("define-boundary").unwrap().starts_with("---\n"));
        for name in ["prune", "mine"] {
            assert!(show(name).unwrap_err().error.to_string().contains("prune.md:1"), "{name}");
        }
    }

    #[test]
    fn an_unknown_strategy_is_told_with_those_there_are() {
        let error = file(&load_strategies(None, &[]).unwrap(), "nope").unwrap_err().error.to_string();
        assert!(error.contains("`nope`") && error.contains("define-boundary"), "{error}");
    }
}
