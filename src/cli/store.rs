//! `ratchet store`: what the response store holds, whether it is whole, and forgetting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use prompt_ratchet::clock::{self, Clock, SystemClock};
use prompt_ratchet::config::Config;
use prompt_ratchet::model::{Forget, RunUsage, Upkeep, Verified};
use prompt_ratchet::money::Money;
use prompt_ratchet::report::{self, count, one_line, plural};
use prompt_ratchet::review::REVIEW;
use prompt_ratchet::run::{RunFolder, RunState, short_id, state};
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::report::{print, print_json};
use super::runs::{aligned, runs_folder};

/// How those who pay for evaluations by hand are named.
const EVALUATION: &str = "eval-";

/// Show what the response store holds; verify it, forget answers
///
/// Every answer is paid for once and kept in one file, so that nothing is asked for twice.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  ratchet store                               size, answers and cost by run
  ratchet store forget --older-than 90d
  ratchet store forget --run 3f2a
  ratchet store verify"
)]
pub struct Store {
    #[command(subcommand)]
    command: Option<StoreCommand>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    Forget(ForgetCommand),
    Verify(Verify),
}

/// Forget answers for good: where they are needed again, they are asked for and paid for again
///
/// Refused while an unfinished run may rest on them: when resumed, it would pay again, and stop should an answer differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet store forget --older-than 90d --dry-run
  ratchet store forget --run 3f2a --run 77c0
  ratchet store forget --evaluations --older-than 2w")]
struct ForgetCommand {
    /// What this run has paid for: its id or a unique prefix of its short id; may be given several times
    #[arg(long, value_name = "RUN")]
    run: Vec<String>,
    /// What evaluations by hand have paid for
    #[arg(long)]
    evaluations: bool,
    /// What was stored longer ago: 12h, 90d or 2w
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Forget also what an unfinished run may rest on
    #[arg(long)]
    force: bool,
    /// Say how many answers it would be, and forget none
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Read every page and every answer, and say what is damaged
#[derive(Debug, Args)]
struct Verify {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Store {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let place = Place::of(global)?;
        match self.command {
            None => place.show(self.json).map(|()| Exit::Done),
            Some(StoreCommand::Verify(verify)) => place.verify(verify.json),
            Some(StoreCommand::Forget(forget)) => place.forget(&forget).map(|()| Exit::Done),
        }
    }
}

/// `12h`, `90d` or `2w`.
fn age(text: &str) -> Result<Duration, String> {
    const HOUR: u64 = 3_600;
    let units = [("h", HOUR), ("d", 24 * HOUR), ("w", 7 * 24 * HOUR)];
    units
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number of hours, days or weeks, as in 12h, 90d or 2w".to_owned())
}

/// `123 bytes`, `1.2 kB`, `34.5 MB`, `6.7 GB`.
fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => plural(bytes as usize, "byte"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.1} GB", value / 1e9),
    }
}

/// A project's store and its runs.
struct Place {
    path: PathBuf,
    runs: PathBuf,
}

impl Place {
    fn of(global: &Global) -> Result<Self, Failure> {
        let file = &global.config;
        let root = file.parent().unwrap_or(Path::new(""));
        let runs = runs_folder(global)?;
        // Where there is no config any more, the store is looked for where it is by default.
        let store = match std::fs::read_to_string(file) {
            Ok(text) => Config::parse(&file.to_string_lossy(), &text, &global.overrides).map_err(Failure::usage)?.store,
            Err(_) => Default::default(),
        };
        Ok(Self { path: root.join(store.path), runs })
    }

    fn open(&self) -> Result<Option<Upkeep>, Failure> {
        Upkeep::open(&self.path).map_err(unusable)
    }

    fn show(&self, as_json: bool) -> Result<(), Failure> {
        let usage = self.open()?.map(|upkeep| upkeep.usage().map_err(unusable)).transpose()?.unwrap_or_default();
        let lines: Vec<Line> = usage.runs.into_iter().map(|usage| Line::of(usage, &self.runs)).collect();
        if as_json {
            let lines: Vec<Value> = lines.iter().map(Line::json).collect();
            let answers: u64 = lines.iter().filter_map(|line| line["answers"].as_u64()).sum();
            return print_json(&json!({ "path": self.path, "bytes": usage.bytes, "answers": answers, "runs": lines }));
        }
        let answers: u64 = lines.iter().map(|line| line.usage.answers).sum();
        let mut text =
            format!("{}: {}, {}\n", self.path.display(), size(usage.bytes), plural(answers as usize, "answer"));
        if !lines.is_empty() {
            let head = ["run", "last", "answers", "text", "tokens", "cost", "state"].map(str::to_owned).to_vec();
            let rows: Vec<Vec<String>> = std::iter::once(head).chain(together(lines).iter().map(Line::cells)).collect();
            text += &format!("\n{}", aligned(&rows));
        }
        print(&text)
    }

    fn verify(&self, as_json: bool) -> Result<Exit, Failure> {
        let Verified { problems, answers, unchecked } = match self.open()? {
            Some(upkeep) => upkeep.verify().map_err(unusable)?,
            None => Verified::default(),
        };
        if as_json {
            print_json(&json!({
                "path": self.path, "whole": problems.is_empty(), "problems": problems, "answers": answers,
                "unchecked": unchecked,
            }))?;
        } else if problems.is_empty() {
            let older = match unchecked {
                0 => String::new(),
                _ => format!(
                    "; {} of an older version have no digest, so that only their form could be checked",
                    count(unchecked)
                ),
            };
            print(&format!("{}: whole, {}{older}\n", self.path.display(), plural(answers as usize, "answer")))?;
        } else {
            let list: String = problems.iter().map(|problem| format!("  {}\n", one_line(problem, 200))).collect();
            print(&format!("{}: damaged\n{list}", self.path.display()))?;
        }
        if problems.is_empty() {
            return Ok(Exit::Done);
        }
        let error = anyhow::anyhow!(
            "{} is damaged: move it away and start again (its answers will be asked for anew), or restore a copy",
            self.path.display()
        );
        Err(Failure { exit: Exit::CouldNotRun, error })
    }

    fn forget(&self, command: &ForgetCommand) -> Result<(), Failure> {
        if command.run.is_empty() && !command.evaluations && command.older_than.is_none() {
            return Err(Failure::usage(anyhow::anyhow!(
                "say what to forget: --run, --evaluations or --older-than; to forget everything, delete {}",
                self.path.display()
            )));
        }
        let Some(mut upkeep) = self.open()? else { return self.forgotten(0, command) };
        let forget = self.chosen(&upkeep, command)?;
        let (answers, oldest) = upkeep.matching(&forget).map_err(unusable)?;
        if let Some(oldest) = oldest
            && !command.dry_run
        {
            self.check(oldest, command.force)?;
        }
        if answers > 0 && !command.dry_run {
            upkeep.forget(&forget).map_err(unusable)?;
        }
        self.forgotten(answers, command)
    }

    fn forgotten(&self, answers: u64, command: &ForgetCommand) -> Result<(), Failure> {
        if command.json {
            let forgotten = if command.dry_run { 0 } else { answers };
            return print_json(&json!({ "path": self.path, "matching": answers, "forgotten": forgotten }));
        }
        let answers = plural(answers as usize, "answer");
        print(&if command.dry_run { format!("would forget {answers}\n") } else { format!("forgot {answers}\n") })
    }

    fn chosen(&self, upkeep: &Upkeep, command: &ForgetCommand) -> Result<Forget, Failure> {
        let before = command.older_than.map(|age| SystemClock.now().saturating_sub(age));
        if command.run.is_empty() && !command.evaluations {
            return Ok(Forget { runs: None, before });
        }
        let payers: Vec<String> = upkeep.usage().map_err(unusable)?.runs.into_iter().map(|usage| usage.run).collect();
        let mut runs: Vec<String> = Vec::new();
        for id in &command.run {
            let run = match RunFolder::find(&self.runs, id) {
                Ok(folder) => folder.manifest.run,
                // One whose folder is gone is known by what it has paid for.
                Err(error) => gone(&payers, &self.runs, id).ok_or(error)?,
            };
            runs.push(format!("{run}{REVIEW}"));
            runs.push(run);
        }
        if command.evaluations {
            runs.extend(payers.into_iter().filter(|payer| payer.starts_with(EVALUATION)));
        }
        runs.sort();
        runs.dedup();
        Ok(Forget { runs: Some(runs), before })
    }

    /// Refuses to forget what an unfinished run may rest on: any answer that was there while it went on.
    fn check(&self, oldest: Duration, force: bool) -> Result<(), Failure> {
        let (mut held, mut unfinished) = (Vec::new(), Vec::new());
        for folder in RunFolder::list(&self.runs).runs {
            if let Some(holder) = folder.holder()? {
                held.push(format!("run {} is going on ({holder})", folder.short_id()));
            } else if !is_finished(&folder) && last_active(&folder).is_none_or(|last| oldest <= last) {
                unfinished.push(folder.short_id());
            }
        }
        if !held.is_empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "{}; wait for its end or stop it, then forget",
                held.join(", ")
            )));
        }
        if unfinished.is_empty() || force {
            return Ok(());
        }
        let (runs, it) = if unfinished.len() == 1 { ("run", "it") } else { ("runs", "them") };
        Err(Failure::usage(anyhow::anyhow!(
            "unfinished {runs} {} may rest on these answers: finish {it} (`ratchet resume`), or give {it} up with \
             --force: when resumed, such a run asks and pays again, and stops where an answer differs",
            unfinished.join(", ")
        )))
    }
}

/// The run among `payers` without a folder under `runs` that `id` names, whole or as a prefix of its short id, where one
/// alone does.
fn gone(payers: &[String], runs: &Path, id: &str) -> Option<String> {
    let all: BTreeSet<&str> = payers.iter().map(|payer| payer.strip_suffix(REVIEW).unwrap_or(payer)).collect();
    let mut named =
        all.into_iter().filter(|run| !runs.join(run).exists() && (*run == id || short_id(run).starts_with(id)));
    named.next().filter(|_| named.next().is_none()).map(str::to_owned)
}

fn is_finished(folder: &RunFolder) -> bool {
    let reported = folder.path.join(report::FILE).is_file();
    reported && folder.events().is_ok_and(|events| state(&events).0 == RunState::Finished)
}

/// When anything was last written in the run's folder itself.
fn last_active(folder: &RunFolder) -> Option<Duration> {
    let entries = std::fs::read_dir(&folder.path).ok()?;
    let times = entries.flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok());
    times.max()?.duration_since(std::time::UNIX_EPOCH).ok()
}

fn unusable(error: prompt_ratchet::model::CallError) -> Failure {
    Failure { exit: Exit::CouldNotRun, error: error.into() }
}

/// What one run has in the store.
struct Line {
    name: String,
    state: &'static str,
    usage: RunUsage,
}

impl Line {
    fn of(usage: RunUsage, runs: &Path) -> Self {
        let run = usage.run.strip_suffix(REVIEW);
        let folder = RunFolder::open(&runs.join(run.unwrap_or(&usage.run))).ok();
        let state = match &folder {
            _ if usage.run.starts_with(EVALUATION) => "by hand",
            None => "folder gone",
            Some(_) if run.is_some() => "review",
            Some(folder) if is_finished(folder) => "finished",
            Some(_) => "unfinished",
        };
        let name = short_id(run.unwrap_or(&usage.run));
        Self { name, state, usage }
    }

    fn cells(&self) -> Vec<String> {
        let usage = &self.usage;
        let cost = match usage.unpriced {
            0 => usage.cost.to_string(),
            unpriced if unpriced == usage.answers => "unknown".to_owned(),
            _ => format!("{} and more", usage.cost),
        };
        vec![
            one_line(&self.name, 40),
            clock::timestamp(usage.stored[1]).replace('T', " ").chars().take(16).collect(),
            count(usage.answers),
            size(usage.bytes),
            count(usage.tokens_in + usage.tokens_out),
            cost,
            self.state.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let usage = &self.usage;
        json!({
            "run": usage.run,
            "state": self.state,
            "answers": usage.answers,
            "bytes": usage.bytes,
            "tokens": usage.tokens_in + usage.tokens_out,
            "cost_usd": (usage.unpriced == 0).then(|| usage.cost.dollars()),
            "first": clock::timestamp(usage.stored[0]),
            "last": clock::timestamp(usage.stored[1]),
        })
    }
}

/// The lines, those of evaluations as one.
fn together(lines: Vec<Line>) -> Vec<Line> {
    let (evaluations, mut runs): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| line.usage.run.starts_with(EVALUATION));
    let name = plural(evaluations.len(), "evaluation");
    let sum = evaluations.into_iter().map(|line| line.usage).reduce(|sum, usage| RunUsage {
        run: sum.run,
        answers: sum.answers + usage.answers,
        bytes: sum.bytes + usage.bytes,
        tokens_in: sum.tokens_in + usage.tokens_in,
        tokens_out: sum.tokens_out + usage.tokens_out,
        cost: [sum.cost, usage.cost].into_iter().sum::<Money>(),
        unpriced: sum.unpriced + usage.unpriced,
        stored: [sum.stored[0].min(usage.stored[0]), sum.stored[1].max(usage.stored[1])],
    });
    runs.extend(sum.map(|usage| Line { name, state: "by hand", usage }));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(run: String) -> RunUsage {
        let (cost, stored) = (Money::ZERO, [Duration::ZERO; 2]);
        RunUsage { run, answers: 1, bytes: 1, tokens_in: 1, tokens_out: 1, cost, unpriced: 0, stored }
    }

    #[test]
    fn what_a_review_has_paid_for_belongs_to_its_run() {
        let runs = tempfile::tempdir().unwrap();
        let mut claim = RunFolder::claim(runs.path(), "a", Path::new("ratchet.toml"), Duration::ZERO).unwrap();
        let folder = claim.begin().unwrap();
        let line = |run: String| Line::of(usage(run), runs.path());
        let review = line(format!("{}{REVIEW}", folder.manifest.run));
        assert_eq!((review.name.as_str(), review.state), (folder.short_id().as_str(), "review"));
        let lost = line(format!("20260101-000000-a-name-that-would-not-fit-into-its-column{REVIEW}"));
        assert_eq!((lost.name.len(), lost.state), (8, "folder gone"));
    }

    #[test]
    fn a_run_without_a_folder_is_known_by_what_it_has_paid_for() {
        let runs = tempfile::tempdir().unwrap();
        let payers = ["one", "one-review", "two", "eval-1"].map(str::to_owned);
        let gone = |id: &str| gone(&payers, runs.path(), id);
        assert_eq!((gone("one"), gone(&short_id("two"))), (Some("one".into()), Some("two".into())));
        assert_eq!((gone("three"), gone("")), (None, None));
    }

    #[test]
    fn ages_and_sizes_read_as_people_write_them() {
        assert_eq!(age("12h").unwrap(), Duration::from_secs(43_200));
        assert_eq!((age("2w"), age("90d").map(|age| age.as_secs())), (age("14d"), Ok(7_776_000)));
        assert!(
            ["", "d", "3", "3m", "-3d", "99999999999999999999d", "9999999999999999w"]
                .iter()
                .all(|text| age(text).is_err())
        );
        let sizes = [1, 999, 1_234, 12_345_678, 9_876_543_210].map(size);
        assert_eq!(sizes, ["1 byte", "999 bytes", "1.2 kB", "12.3 MB", "9.9 GB"]);
    }
}
