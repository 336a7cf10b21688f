//! How often a dataset's dev and test rows were used: each use wears them out a little, so reports say the number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
use super::ledger::alone;
use crate::digest::Digest;

const FILE: &str = "split-uses.json";

/// The project's ledger, kept beside its runs: by dataset, then by run. Noting the same use twice changes nothing, so
/// that a resumed run isn't counted again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitUses {
    datasets: BTreeMap<String, BTreeMap<String, UseCount>>,
}

/// Uses of one run, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseCount {
    /// Questions that dev has answered.
    pub dev: u32,
    /// Times that test was opened.
    pub test: u32,
}

impl SplitUses {
    /// The ledger in the folder `runs`; empty where there is none yet.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(runs: &Path) -> Result<Self, RunError> {
        let path = runs.join(FILE);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|error| RunError::Unreadable {
            message: format!("is damaged ({error}); restore it from a copy or delete it to count anew"),
            path,
        })
    }

    /// Writes into the ledger in `runs` that `run` has used the rows of `dataset` so often in all, or more often where
    /// that is known already: a resumed run counts from the beginning. Returns the ledger as it is then.
    ///
    /// # Errors
    /// The file is damaged or can't be written.
    pub fn record(runs: &Path, dataset: Digest, run: &str, uses: UseCount) -> Result<Self, RunError> {
        alone(runs, || {
            let mut ledger = Self::read(runs)?;
            ledger.note(dataset, run, uses);
            write_json(&runs.join(FILE), &ledger)?;
            Ok(ledger)
        })
    }

    fn note(&mut self, dataset: Digest, run: &str, uses: UseCount) {
        let known = self.datasets.entry(dataset.to_string()).or_default().entry(run.to_owned()).or_default();
        *known = UseCount { dev: known.dev.max(uses.dev), test: known.test.max(uses.test) };
    }

    /// Uses of `dataset` by all runs together.
    pub fn total(&self, dataset: Digest) -> UseCount {
        self.datasets
            .get(&dataset.to_string())
            .into_iter()
            .flat_map(BTreeMap::values)
            .fold(UseCount::default(), |sum, uses| UseCount { dev: sum.dev + uses.dev, test: sum.test + uses.test })
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
}
