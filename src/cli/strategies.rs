//! `ratchet strategies`.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use prompt_ratchet::config::Config;
use prompt_ratchet::propose::{FREE, Strategy, StrategyError, load_strategies};
use prompt_ratchet::run::{PullsLedger, Tally, WHOLE};
use prompt_ratchet::search::expected_reward;
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::report::{print, print_json};
use super::runs::{aligned, runs_folder};

/// List the strategies that proposals are asked for with, and what they came to; or show one
///
/// Below each strategy: by kind of failure, the candidates of the project's latest eight runs that were tried on train
/// (pulls), those that survived their race (wins), and the reward that the next run expects of another one, from 0 to 1:
/// a prior worth three pulls, with the latest run counted whole and each one before it half as much as the one after it.
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

/// List the strategies, built-in ones and the project's own, and what they came to
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
                print_json(&rows(&strategies(global)?, &ledger(global)?))?;
            }
            StrategiesCommand::List(_) => print(&table(&strategies(global)?, &ledger(global)?))?,
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

/// What strategies came to in the project's runs; without a project, nothing.
fn ledger(global: &Global) -> Result<PullsLedger, Failure> {
    if global.config.is_file() { Ok(PullsLedger::read(&runs_folder(global)?)?) } else { Ok(PullsLedger::default()) }
}

/// The kinds that `strategy` was tried on, with all its pulls and what the next run expects of one.
fn record(strategy: &str, ledger: &PullsLedger) -> Vec<(String, Tally, f64)> {
    let past = ledger.past();
    let of_kind = |(kind, tally): (&str, Tally)| {
        let expected = expected_reward(past.get(strategy, kind));
        (kind.to_owned(), tally, expected)
    };
    ledger.total().kinds(strategy).map(of_kind).collect()
}

fn rows(strategies: &[Arc<Strategy>], ledger: &PullsLedger) -> Value {
    let with_record = |mut row: Value, name: &str| {
        let of_kind = |(kind, tally, expected): (String, Tally, f64)| json!({ "kind": kind, "pulls": tally.pulls as u64, "wins": tally.wins as u64, "expected": expected });
        row["record"] = record(name, ledger).into_iter().map(of_kind).collect();
        row
    };
    let listed = strategies.iter().map(|strategy| with_record(json!(strategy.as_ref()), &strategy.name));
    let others = others(strategies, ledger).into_iter().map(|name| with_record(json!({ "name": name }), &name));
    listed.chain(others).collect()
}

/// What was tried in the project's runs and is none of `strategies`.
fn others(strategies: &[Arc<Strategy>], ledger: &PullsLedger) -> Vec<String> {
    let is_listed = |name: &&str| strategies.iter().any(|strategy| strategy.name == *name);
    ledger.total().names().filter(|name| !is_listed(name)).map(str::to_owned).collect()
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

fn table(strategies: &[Arc<Strategy>], ledger: &PullsLedger) -> String {
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
        .map(|(line, strategy)| {
            let record: String = record(&strategy.name, ledger).iter().map(came_to).collect();
            format!("{}\n    {}\n{record}", paint.bold(line), strategy.summary)
        })
        .chain(others(strategies, ledger).iter().map(|name| {
            let record: String = record(name, ledger).iter().map(came_to).collect();
            let is_free = FREE.contains(&name.as_str());
            let what = if is_free { "Made without a model" } else { "Not used any more" };
            format!("{}\n    {what}, so it has no file.\n{record}", paint.bold(name))
        }))
        .collect()
}

fn came_to((kind, tally, expected): &(String, Tally, f64)) -> String {
    let Tally { pulls, wins, .. } = tally;
    let kind = if kind == WHOLE { "the task as a whole" } else { kind };
    let s = |count: f64| if count == 1.0 { "" } else { "s" };
    format!("    {kind}: {pulls} pull{}, {wins} win{}, expected {expected:.2}\n", s(*pulls), s(*wins))
}

fn file(strategies: &[Arc<Strategy>], name: &str) -> Result<String, Failure> {
    let Some(strategy) = strategies.iter().find(|strategy| strategy.name == name) else {
        let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name.as_str()).collect();
        return Err(Failure::usage(anyhow::anyhow!("there is no strategy `{name}`; there are {}", names.join(", "))));
    };
    // A JSON string is YAML too, whatever it holds.
    Ok(format!(
        "---\nsummary: {}\nkinds: [{}]\nquotes_rows: {}\nof_labels: {}\n---\n{}\n",
        json!(strategy.summary),
        strategy.kinds.join(", "),
        strategy.quotes_rows,
        strategy.of_labels,
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
