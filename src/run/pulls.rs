//! What each strategy has come to on each kind of cluster: in one run ([`Pulls`]), and over the project's latest runs
//! ([`PullsLedger`]), from which the next run's bandit starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::files::write_json;
use super::ledger::alone;
use super::{Event, Raced, RunError};

const FILE: &str = "strategy-pulls.json";

/// The version of the ledger's format.
const FORMAT: u32 = 1;

/// Runs that the ledger holds; what an older one saw would count less than a hundredth.
const RUNS: usize = 8;

/// A run's pulls count this share of those of the run after it.
const FADING: f64 = 0.5;

/// Past pulls of one strategy on one kind of cluster count no more than this many of the present run, so that a few
/// pulls move what is believed of it.
const MOST_PAST: f64 = 4.0;

/// The kind under which a try for the task as a whole is counted.
pub const WHOLE: &str = "whole";

/// What a strategy has come to on one kind of cluster. Shares of pulls come from past runs, which count less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Candidates whose trial on train was decided.
    pub pulls: f64,
    /// Those that survived their race.
    pub wins: f64,
    /// Sum of their rewards, each in [0, 1]: how sure it is that the survivor is ahead; nothing for one that fell.
    pub reward: f64,
}

/// Tallies by strategy and kind of cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pulls {
    strategies: BTreeMap<String, BTreeMap<String, Tally>>,
}

/// What a candidate's race earns its strategy, in [0, 1]: where it survived, the one-sided confidence that it is truly
/// ahead, Φ(difference / standard error), which is a half for the shorter prompt that survives a tie; where it fell, or
/// never got beyond the screen (no race), nothing.
fn reward(raced: Option<&Raced>) -> f64 {
    match raced {
        Some(raced) if raced.survived && raced.standard_error > 0.0 => {
            Normal::standard().cdf(raced.difference / raced.standard_error)
        }
        Some(raced) if raced.survived => {
            if raced.difference > 0.0 {
                1.0
            } else {
                0.5
            }
        }
        _ => 0.0,
    }
}

impl Pulls {
    /// Takes in how one candidate's trial was decided: `raced`, or nothing where it was dropped at the screen.
    pub fn observe(&mut self, strategy: &str, kind: &str, raced: Option<&Raced>) {
        let survived = raced.is_some_and(|raced| raced.survived);
        let pull = Tally { pulls: 1.0, wins: f64::from(u8::from(survived)), reward: reward(raced) };
        self.add(strategy, kind, pull, 1.0);
    }

    /// The pulls of the run that `events` tell of.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut made: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        let mut pulls = Self::default();
        for event in events {
            let (candidate, raced) = match event {
                Event::Diagnosed(diagnosed) => {
                    kinds.extend(diagnosed.clusters.iter().map(|cluster| (cluster.id.as_str(), cluster.kind.name())));
                    continue;
                }
                Event::Proposed(proposed) => {
                    let cluster = proposed.cluster.as_deref();
                    let kind = cluster.and_then(|cluster| kinds.get(cluster).copied()).unwrap_or(WHOLE);
                    made.insert(&proposed.candidate, (&proposed.strategy, kind));
                    continue;
                }
                Event::Screened(screened) if !screened.passed => (&screened.candidate, None),
                Event::Raced(raced) => (&raced.candidate, Some(raced)),
                _ => continue,
            };
            if let Some((strategy, kind)) = made.get(candidate.as_str()) {
                pulls.observe(strategy, kind, raced);
            }
        }
        pulls
    }

    /// What `strategy` has come to on clusters of `kind`.
    pub fn get(&self, strategy: &str, kind: &str) -> Tally {
        self.strategies.get(strategy).and_then(|kinds| kinds.get(kind)).copied().unwrap_or_default()
    }

    /// The kinds that `strategy` was tried on, in alphabetical order, with what it came to.
    pub fn kinds(&self, strategy: &str) -> impl Iterator<Item = (&str, Tally)> {
        self.strategies.get(strategy).into_iter().flatten().map(|(kind, tally)| (kind.as_str(), *tally))
    }

    /// The strategies that were tried, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.strategies.keys().map(String::as_str)
    }

    /// Adds `weight` times `tally`.
    fn add(&mut self, strategy: &str, kind: &str, tally: Tally, weight: f64) {
        let sum = self.strategies.entry(strategy.to_owned()).or_default().entry(kind.to_owned()).or_default();
        *sum = Tally {
            pulls: sum.pulls + weight * tally.pulls,
            wins: sum.wins + weight * tally.wins,
            reward: sum.reward + weight * tally.reward,
        };
    }

    fn add_all(&mut self, other: &Pulls, weight: f64) {
        for (strategy, kinds) in &other.strategies {
            for (kind, tally) in kinds {
                self.add(strategy, kind, *tally, weight);
            }
        }
    }
}

/// The project's ledger, kept beside its runs: the pulls of its latest runs, each by the run's id. Noting a run twice
/// changes nothing, so that a resumed run isn't counted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullsLedger {
    format: u32,
    /// In the order in which they ended.
    runs: Vec<RunPulls>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RunPulls {
    run: String,
    pulls: Pulls,
}

impl Default for PullsLedger {
    fn default() -> Self {
        Self { format: FORMAT, runs: Vec::new() }
    }
}

impl PullsLedger {
    /// The ledger in the folder `runs`; empty where there is none yet.
    ///
    /// # Errors
    /// The file is damaged, or of a newer version of Ratchet.
    pub fn read(runs: &Path) -> Result<Self, RunError> {
        let path = runs.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let begin_anew = "delete it to begin anew (only what was learned about strategies is lost)";
        let damaged = |problem: String| format!("is damaged ({problem}); restore it from a copy or {begin_anew}");
        let value: serde_json::Value = read_json(&path, &damaged)?;
        if let Some(format) = value["format"].as_u64().filter(|format| *format > u64::from(FORMAT)) {
            let message =
                format!("is of a newer version of Ratchet (format {format}); update Ratchet, or {begin_anew}");
            return Err(RunError::Unreadable { path, message });
        }
        serde_json::from_value(value)
            .map_err(|error| RunError::Unreadable { message: damaged(error.to_string()), path })
    }

    /// Takes the pulls of `run`, which has ended, into the ledger in the folder `runs`.
    ///
    /// # Errors
    /// The file is damaged or can't be written.
    pub fn record(runs: &Path, run: &str, pulls: Pulls) -> Result<(), RunError> {
        alone(runs, || {
            let mut ledger = Self::read(runs)?;
            ledger.note(run, pulls);
            write_json(&runs.join(FILE), &ledger)
        })
    }

    fn note(&mut self, run: &str, pulls: Pulls) {
        match self.runs.iter_mut().find(|noted| noted.run == run) {
            Some(noted) => noted.pulls = pulls,
            None => self.runs.push(RunPulls { run: run.to_owned(), pulls }),
        }
        let surplus = self.runs.len().saturating_sub(RUNS);
        self.runs.drain(..surplus);
    }

    /// The pulls of all runs that are held, each counted whole: for people.
    pub fn total(&self) -> Pulls {
        let mut total = Pulls::default();
        for run in &self.runs {
            total.add_all(&run.pulls, 1.0);
        }
        total
    }

    /// What the next run starts from: the latest run counts whole, each one before it half as much as the one after it,
    /// and all together no more than four pulls of one strategy on one kind of cluster.
    pub fn past(&self) -> Pulls {
        let mut past = Pulls::default();
        let mut weight = 1.0;
        for run in self.runs.iter().rev() {
            past.add_all(&run.pulls, weight);
            weight *= FADING;
        }
        for tally in past.strategies.values_mut().flat_map(BTreeMap::values_mut) {
            let share = (MOST_PAST / tally.pulls).min(1.0);
            *tally = Tally { pulls: share * tally.pulls, wins: share * tally.wins, reward: share * tally.reward };
        }
        past
    }
}

/// Past pulls in a run's snapshot.
impl Pulls {
    /// Reads them from `folder`; none where the run is older than they are.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        read_json(&path, &|problem| format!("is damaged ({problem}); restore it from a copy"))
    }

    /// Writes them into `folder`.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_json(&folder.join(FILE), self)
    }
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    damaged: &dyn Fn(String) -> String,
) -> Result<T, RunError> {
    let unreadable = |message: String| RunError::Unreadable { path: PathBuf::from(path), message };
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("can't be read: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(damaged(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raced(difference: f64, standard_error: f64, survived: bool) -> Raced {
        Raced {
            generation: 1,
            candidate: "c".to_owned(),
            rows: 64,
            of: 64,
            fixed: 5,
            broken: 1,
            improved: 0,
            worsened: 0,
            difference,
            standard_error,
            survived,
            breaks_pinned: Vec::new(),
        }
    }

    fn pulls(survived: usize, fell: usize) -> Pulls {
        let mut pulls = Pulls::default();
        for _ in 0..survived {
            pulls.observe("add-rule", "format", Some(&raced(0.1, 0.0, true)));
        }
        for _ in 0..fell {
            pulls.observe("add-rule", "format", None);
        }
        pulls
    }

    #[test]
    fn a_race_earns_the_confidence_that_the_candidate_is_ahead_and_one_that_fell_earns_nothing() {
        assert!((reward(Some(&raced(0.0196, 0.01, true))) - 0.975).abs() < 1e-4);
        assert_eq!(reward(Some(&raced(0.0, 0.02, true))), 0.5);
        assert_eq!(reward(Some(&raced(0.1, 0.0, true))), 1.0);
        assert_eq!(reward(Some(&raced(0.0, 0.0, true))), 0.5);
        assert_eq!(reward(Some(&raced(0.1, 0.3, false))), 0.0);
        assert_eq!(reward(None), 0.0);
    }

    #[test]
    fn older_runs_count_half_as_much_each_and_all_together_four_pulls() {
        let mut ledger = PullsLedger::default();
        ledger.note("a", pulls(2, 0));
        ledger.note("b", pulls(0, 1));
        let past = ledger.past().get("add-rule", "format");
        assert_eq!(past, Tally { pulls: 2.0, wins: 1.0, reward: 1.0 });
        ledger.note("c", pulls(5, 15));
        let past = ledger.past().get("add-rule", "format");
        assert!((past.pulls - 4.0).abs() < 1e-12 && (past.reward / past.pulls - 5.5 / 21.0).abs() < 1e-12, "{past:?}");
        assert_eq!(ledger.total().get("add-rule", "format").pulls, 23.0);
    }

    #[test]
    fn a_run_noted_twice_counts_once_and_only_the_latest_runs_are_held() {
        let mut ledger = PullsLedger::default();
        for _ in 0..2 {
            ledger.note("a", pulls(1, 1));
        }
        assert_eq!(ledger.total().get("add-rule", "format").pulls, 2.0);
        for run in 0..RUNS {
            ledger.note(&run.to_string(), pulls(1, 0));
        }
        assert_eq!(ledger.total().get("add-rule", "format"), Tally { pulls: 8.0, wins: 8.0, reward: 8.0 });
    }

    #[test]
    fn the_ledger_is_read_as_it_was_written_and_a_damaged_or_newer_one_is_refused_with_advice() {
        let runs = tempfile::tempdir().unwrap();
        let mut ledger = PullsLedger::read(runs.path()).unwrap();
        assert_eq!(ledger, PullsLedger::default());
        ledger.note("a", pulls(1, 2));
        PullsLedger::record(runs.path(), "a", pulls(1, 2)).unwrap();
        assert_eq!(PullsLedger::read(runs.path()).unwrap(), ledger);
        for (text, advice) in
            [("{\"format\":1,", "delete it"), ("{\"format\":2,\"all\":0}", "update"), ("[]", "delete it")]
        {
            std::fs::write(runs.path().join(FILE), text).unwrap();
            let error = PullsLedger::read(runs.path()).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(advice), "{error}");
        }
    }

    #[test]
    fn the_golden_run_is_counted_by_strategy_and_kind() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-format-1");
        let events = super::super::read_events(&folder).unwrap();
        let pulls = Pulls::of(&events);
        let raced = events.iter().filter(|event| matches!(event, Event::Raced(_))).count();
        let dropped = events.iter().filter(|event| matches!(event, Event::Screened(one) if !one.passed)).count();
        let all: Vec<Tally> = pulls.strategies.values().flat_map(BTreeMap::values).copied().collect();
        assert_eq!(all.iter().map(|tally| tally.pulls).sum::<f64>(), (raced + dropped) as f64);
        assert!(all.iter().all(|tally| tally.reward <= tally.wins && tally.wins <= tally.pulls));
        assert_eq!(pulls.get("clarify-task", WHOLE), Tally { pulls: 2.0, wins: 0.0, reward: 0.0 });
        assert_eq!(pulls.kinds("add-rule").map(|(_, tally)| tally.pulls).sum::<f64>(), 2.0);
    }
}
