//! How often a dataset's dev and test rows were used: each use wears them out a little, so reports say the number.
//!
//! Rows are told by their inputs, so that a dataset to which rows were added, or of which some were taken, is no fresh one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
use super::ledger::alone;
use crate::dataset::{PackedDataset, Rows, Split};
use crate::digest::Digest;

const FILE: &str = "split-uses.json";

/// Version of the file. The first had no version, and the uses of each dataset without its rows.
const VERSION: u32 = 2;

/// Rows of a split that are marked.
const MARKED: usize = 256;

/// The share of the rows of the smaller split from which on two are taken for the same: a single common message is luck.
const SHARED: f64 = 0.1;

/// The project's ledger, kept beside its runs: by dataset, then by run. Noting the same use twice changes nothing, so
/// that a resumed run isn't counted again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitUses {
    format: u32,
    /// By fingerprint.
    datasets: BTreeMap<String, OfDataset>,
}

/// The uses of one dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OfDataset {
    #[serde(default)]
    dev_rows: Marks,
    #[serde(default)]
    test_rows: Marks,
    uses: BTreeMap<String, Used>,
}

/// What one run used, or all looks at one prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    #[serde(flatten)]
    count: UseCount,
    /// The most rows of a look; 0 for a run.
    #[serde(default, skip_serializing_if = "is_zero")]
    rows: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(rows: &usize) -> bool {
    *rows == 0
}

/// Uses of one run, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseCount {
    /// Questions that dev has answered.
    pub dev: u32,
    /// Times that test was opened.
    pub test: u32,
}

impl Default for SplitUses {
    fn default() -> Self {
        Self { format: VERSION, datasets: BTreeMap::new() }
    }
}

impl SplitUses {
    /// The ledger in the folder `runs`; empty where there is none yet.
    ///
    /// # Errors
    /// The file is damaged, or written by a newer version.
    pub fn read(runs: &Path) -> Result<Self, RunError> {
        let path = runs.join(FILE);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(Self::default()) };
        Self::parse(&bytes).map_err(|message| RunError::Unreadable { path, message })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error| format!("is damaged ({error}); restore it from a copy or delete it to count anew");
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
        match value.get("format").map(serde_json::Value::as_u64) {
            None => serde_json::from_value(value).map(Self::of_first_format).map_err(damaged),
            Some(Some(format)) if format > u64::from(VERSION) => {
                Err(format!("written by a newer Ratchet (format {format}); update Ratchet to go on with it"))
            }
            Some(_) => serde_json::from_value(value).map_err(damaged),
        }
    }

    fn of_first_format(datasets: BTreeMap<String, BTreeMap<String, Used>>) -> Self {
        let of = |(dataset, uses)| (dataset, OfDataset { uses, ..OfDataset::default() });
        Self { datasets: datasets.into_iter().map(of).collect(), ..Self::default() }
    }

    /// Notes which rows `dataset` has, where that isn't known yet: how often others have used them counts, too.
    ///
    /// # Errors
    /// The file in `runs` is damaged or can't be written.
    pub fn know(runs: &Path, dataset: &PackedDataset) -> Result<(), RunError> {
        let known = |ledger: &Self| {
            let of = ledger.datasets.get(&dataset.fingerprint.to_string());
            of.is_some_and(|of| !(of.dev_rows.0.is_empty() && of.test_rows.0.is_empty()))
        };
        if known(&Self::read(runs)?) {
            return Ok(());
        }
        let [dev_rows, test_rows] = [Split::Dev, Split::Test].map(|split| Marks::of(&dataset.rows(split)));
        Self::change(runs, |ledger| {
            let of = ledger.of(dataset.fingerprint);
            (of.dev_rows, of.test_rows) = (dev_rows, test_rows);
        })
        .map(drop)
    }

    /// Writes into the ledger in `runs` that `run` has used the rows of `dataset` so often in all, or more often where
    /// that is known already: a resumed run counts from the beginning. Returns the ledger as it is then.
    ///
    /// # Errors
    /// The file is damaged or can't be written.
    pub fn record(runs: &Path, dataset: Digest, run: &str, uses: UseCount) -> Result<Self, RunError> {
        Self::change(runs, |ledger| {
            let known = &mut ledger.of(dataset).uses.entry(run.to_owned()).or_default().count;
            *known = UseCount { dev: known.dev.max(uses.dev), test: known.test.max(uses.test) };
        })
    }

    /// Writes into the ledger in `runs` that somebody looked at `rows` rows of `dataset` by `name`. A look at no more rows
    /// than one before by that name tells nothing new; one at more is a further use. Returns the ledger as it is then.
    ///
    /// # Errors
    /// The file is damaged or can't be written.
    pub fn look(runs: &Path, dataset: Digest, name: &str, uses: UseCount, rows: usize) -> Result<Self, RunError> {
        Self::change(runs, |ledger| {
            let known = ledger.of(dataset).uses.entry(name.to_owned()).or_default();
            // Of looks from before rows were counted, the first counts as one at all of them.
            let is_old = known.rows == 0 && known.count != UseCount::default();
            if !is_old && rows > known.rows {
                known.count.dev += uses.dev;
                known.count.test += uses.test;
                known.rows = rows;
            } else {
                known.count.dev = known.count.dev.max(uses.dev);
                known.count.test = known.count.test.max(uses.test);
            }
        })
    }

    fn change(runs: &Path, change: impl FnOnce(&mut Self)) -> Result<Self, RunError> {
        alone(runs, || {
            let mut ledger = Self::read(runs)?;
            change(&mut ledger);
            write_json(&runs.join(FILE), &ledger)?;
            Ok(ledger)
        })
    }

    fn of(&mut self, dataset: Digest) -> &mut OfDataset {
        self.datasets.entry(dataset.to_string()).or_default()
    }

    /// Uses of the rows of `dataset` by all runs together, also as rows of another dataset.
    pub fn total(&self, dataset: Digest) -> UseCount {
        let name = dataset.to_string();
        let Some(own) = self.datasets.get(&name) else { return UseCount::default() };
        let mut total = UseCount::default();
        for (other, of) in &self.datasets {
            let is_own = *other == name;
            for used in of.uses.values() {
                total.dev += if is_own || own.dev_rows.overlap(&of.dev_rows) { used.count.dev } else { 0 };
                total.test += if is_own || own.test_rows.overlap(&of.test_rows) { used.count.test } else { 0 };
            }
        }
        total
    }
}

/// Some rows of a split: those whose inputs have the lowest hashes, ascending. What is lowest among many is lowest among few
/// of them, so that two splits that share rows share marks (A. Broder, On the resemblance and containment of documents,
/// 1997). Written as hex digits on one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Marks(Vec<u32>);

impl From<Marks> for String {
    fn from(Marks(marks): Marks) -> Self {
        marks.iter().map(|mark| format!("{mark:08x}")).collect::<Vec<_>>().join(" ")
    }
}

impl TryFrom<String> for Marks {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.split_whitespace().map(|mark| u32::from_str_radix(mark, 16)).collect::<Result<_, _>>().map(Self)
    }
}

impl Marks {
    fn of(rows: &Rows) -> Self {
        let mark = |input: String| (Digest::of(input.as_bytes()).as_u64() >> 32) as u32;
        let mut marks: Vec<u32> = rows.iter().map(|row| mark(row.input.to_string())).collect();
        marks.sort_unstable();
        marks.dedup();
        marks.truncate(MARKED);
        Self(marks)
    }

    /// Up to which hash all rows are marked.
    fn reach(&self) -> u32 {
        if self.0.len() < MARKED { u32::MAX } else { self.0.last().copied().unwrap_or(u32::MAX) }
    }

    fn overlap(&self, other: &Self) -> bool {
        let reach = self.reach().min(other.reach());
        let within = |marks: &Self| marks.0.partition_point(|mark| *mark <= reach);
        let (own, others) = (&self.0[..within(self)], &other.0[..within(other)]);
        let shared = own.iter().filter(|mark| others.binary_search(mark).is_ok()).count();
        shared > 0 && shared as f64 >= SHARED * own.len().min(others.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_noted_twice_counts_once_and_runs_add_up() {
        let runs = tempfile::tempdir().unwrap();
        let dataset = Digest::of(b"tickets");
        // The third is a run that was killed and begins to count anew.
        for (run, dev, test) in [("a", 3, 1), ("a", 3, 1), ("a", 1, 0), ("b", 2, 0)] {
            SplitUses::record(runs.path(), dataset, run, UseCount { dev, test }).unwrap();
        }
        let read = SplitUses::read(runs.path()).unwrap();
        assert_eq!(read.total(dataset), UseCount { dev: 5, test: 1 });
        assert_eq!(read.total(Digest::of(b"other")), UseCount::default());
    }

    #[test]
    fn a_look_at_more_rows_is_a_further_use_and_one_at_fewer_is_none() {
        let runs = tempfile::tempdir().unwrap();
        let dataset = Digest::of(b"tickets");
        let look = |rows| {
            let ledger = SplitUses::look(runs.path(), dataset, "eval-1", UseCount { dev: 0, test: 1 }, rows).unwrap();
            ledger.total(dataset).test
        };
        assert_eq!([10, 10, 88, 88, 10].map(look), [1, 1, 2, 2, 2]);
    }

    /// A dataset whose rows say these numbers: half of them dev, half of them test.
    fn dataset(numbers: std::ops::Range<usize>) -> PackedDataset {
        let row =
            |at: usize| serde_json::from_value(serde_json::json!({"id": at.to_string(), "input": format!("row {at}")}));
        let rows: Vec<crate::dataset::Example> = numbers.clone().map(|at| row(at).unwrap()).collect();
        let fingerprint = crate::dataset::fingerprint(&rows);
        let splits = numbers.map(|at| [Split::Dev, Split::Test][at % 2]).collect();
        PackedDataset { rows: std::sync::Arc::new(rows.iter().collect()), splits, fingerprint }
    }

    #[test]
    fn rows_are_known_again_in_another_dataset() {
        let runs = tempfile::tempdir().unwrap();
        let first = dataset(0..2_000);
        let total = |dataset: &PackedDataset| {
            SplitUses::know(runs.path(), dataset).unwrap();
            SplitUses::read(runs.path()).unwrap().total(dataset.fingerprint)
        };
        assert_eq!(total(&first), UseCount::default());
        SplitUses::record(runs.path(), first.fingerprint, "a", UseCount { dev: 3, test: 1 }).unwrap();
        for others in [0..2_001, 0..4_000, 100..150, 1_000..3_000] {
            assert_eq!(total(&dataset(others.clone())), UseCount { dev: 3, test: 1 }, "{others:?}");
        }
        assert_eq!(total(&dataset(1_999..4_000)), UseCount::default(), "one row is luck");
    }

    #[test]
    fn a_ledger_of_the_first_format_counts_on_and_one_of_a_newer_is_refused() {
        let runs = tempfile::tempdir().unwrap();
        let first = dataset(0..20);
        let text = format!(
            r#"{{"{}": {{"a": {{"dev": 4, "test": 1}}, "eval-1": {{"dev": 0, "test": 1}}}}}}"#,
            first.fingerprint
        );
        std::fs::write(runs.path().join(FILE), text).unwrap();
        SplitUses::know(runs.path(), &first).unwrap();
        let look = SplitUses::look(runs.path(), first.fingerprint, "eval-1", UseCount { dev: 0, test: 1 }, 10).unwrap();
        assert_eq!(look.total(first.fingerprint), UseCount { dev: 4, test: 2 });
        let second = dataset(0..21);
        SplitUses::know(runs.path(), &second).unwrap();
        assert_eq!(SplitUses::read(runs.path()).unwrap().total(second.fingerprint), UseCount { dev: 4, test: 2 });
        std::fs::write(runs.path().join(FILE), r#"{"format": 3, "datasets": {}}"#).unwrap();
        assert!(SplitUses::read(runs.path()).unwrap_err().to_string().contains("update Ratchet"));
    }
}
