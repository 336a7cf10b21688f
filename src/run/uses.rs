//! How often a dataset's dev and test rows were used: each use wears them out a little, so reports say the number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
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

    /// Says that `run` has used the rows of `dataset` so often in all.
    pub fn note(&mut self, dataset: Digest, run: &str, uses: UseCount) {
        self.datasets.entry(dataset.to_string()).or_default().insert(run.to_owned(), uses);
    }

    /// Uses of `dataset` by all runs together.
    pub fn total(&self, dataset: Digest) -> UseCount {
        self.datasets
            .get(&dataset.to_string())
            .into_iter()
            .flat_map(BTreeMap::values)
            .fold(UseCount::default(), |sum, uses| UseCount { dev: sum.dev + uses.dev, test: sum.test + uses.test })
    }

    /// Writes the ledger into the folder `runs`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, runs: &Path) -> Result<(), RunError> {
        write_json(&runs.join(FILE), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_noted_twice_counts_once_and_runs_add_up() {
        let runs = tempfile::tempdir().unwrap();
        let dataset = Digest::of(b"tickets");
        let mut uses = SplitUses::read(runs.path()).unwrap();
        for _ in 0..2 {
            uses.note(dataset, "a", UseCount { dev: 3, test: 1 });
        }
        uses.note(dataset, "b", UseCount { dev: 2, test: 0 });
        uses.write(runs.path()).unwrap();
        let read = SplitUses::read(runs.path()).unwrap();
        assert_eq!(read.total(dataset), UseCount { dev: 5, test: 1 });
        assert_eq!(read.total(Digest::of(b"other")), UseCount::default());
    }
}
