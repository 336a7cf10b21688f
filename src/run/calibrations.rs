//! What the project's judges came to when they were calibrated ([`Calibrations`]): a file beside the runs, copied into the
//! snapshot of each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
use super::ledger::alone;
use super::pulls::read_json;
use crate::digest::Digest;

const FILE: &str = "judge-calibrations.json";

/// The version of the file's format.
const FORMAT: u32 = 1;

/// What a judge came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// What the judge was: one that asks otherwise, or another model, isn't calibrated.
    pub judge: Digest,
    /// Whether it can tell revisions apart.
    pub tells_apart: bool,
    /// The same in words, with what to do.
    pub verdict: String,
    /// Mean squared difference of two verdicts on the same answer, at least 0; 0 for a judge that is deterministic.
    pub noise_variance: f64,
}

/// Judges by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrations {
    format: u32,
    judges: BTreeMap<String, Calibrated>,
}

impl Default for Calibrations {
    fn default() -> Self {
        Self { format: FORMAT, judges: BTreeMap::new() }
    }
}

impl Calibrations {
    /// Those in `folder`, of the runs or of a snapshot; none where there is no file.
    ///
    /// # Errors
    /// The file is damaged, or of a newer version of Ratchet.
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        const ANEW: &str = "delete it and calibrate anew";
        let found: Self = read_json(&path, &|problem| format!("is damaged ({problem}); {ANEW}"))?;
        if found.format > FORMAT {
            let format = found.format;
            let message = format!("is of a newer version of Ratchet (format {format}); update Ratchet, or {ANEW}");
            return Err(RunError::Unreadable { path, message });
        }
        Ok(found)
    }

    /// Writes them into `folder`; without any there is no file.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        if self.judges.is_empty() { Ok(()) } else { write_json(&folder.join(FILE), self) }
    }

    /// Takes what the judge called `name` came to into the file in the folder `runs`.
    ///
    /// # Errors
    /// The file is damaged or can't be written.
    pub fn record(runs: &Path, name: &str, calibrated: Calibrated) -> Result<(), RunError> {
        alone(runs, || {
            let mut all = Self::read(runs)?;
            all.judges.insert(name.to_owned(), calibrated);
            all.write(runs)
        })
    }

    /// What the judge called `name` came to, where it is still this `judge`.
    pub fn of(&self, name: &str, judge: Digest) -> Option<&Calibrated> {
        self.judges.get(name).filter(|calibrated| calibrated.judge == judge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibrated(judge: &[u8]) -> Calibrated {
        Calibrated { judge: Digest::of(judge), tells_apart: true, verdict: "Yes.".into(), noise_variance: 0.25 }
    }

    #[test]
    fn a_calibration_holds_for_the_judge_that_it_was_of() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(Calibrations::read(runs.path()).unwrap(), Calibrations::default());
        Calibrations::record(runs.path(), "tone", calibrated(b"old")).unwrap();
        Calibrations::record(runs.path(), "facts", calibrated(b"facts")).unwrap();
        Calibrations::record(runs.path(), "tone", calibrated(b"new")).unwrap();
        let all = Calibrations::read(runs.path()).unwrap();
        assert_eq!(all.of("tone", Digest::of(b"new")), Some(&calibrated(b"new")));
        assert_eq!((all.of("tone", Digest::of(b"old")), all.of("style", Digest::of(b"new"))), (None, None));
    }

    #[test]
    fn a_damaged_or_newer_file_is_refused_with_what_to_do() {
        let runs = tempfile::tempdir().unwrap();
        for text in ["{", "{\"format\": 99, \"judges\": {}}"] {
            std::fs::write(runs.path().join(FILE), text).unwrap();
            assert!(Calibrations::read(runs.path()).unwrap_err().to_string().contains("calibrate anew"));
        }
        let empty = tempfile::tempdir().unwrap();
        Calibrations::default().write(empty.path()).unwrap();
        assert!(!empty.path().join(FILE).exists());
    }
}
