//! The lock file: which split every row was given, kept beside the dataset and in version control.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::example::{Dataset, Split};
use super::problem::{DatasetError, Fault};
use super::source::Source;
use super::split::Locked;
use crate::digest::Digest;
use crate::durable;

const VERSION: u64 = 1;

/// The splits of a dataset as they should be on disk. Loading a dataset writes nothing; [`SplitLock::save`] does.
#[derive(Debug, Clone)]
pub struct SplitLock {
    /// The lock file as messages name it.
    path: PathBuf,
    /// The lock file to write.
    file: PathBuf,
    content: LockFile,
    /// What is on disk; none where there is no lock file yet.
    saved: Option<LockFile>,
}

/// The file: one row a line, in the order of ids, so that a change of one row is a change of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LockFile {
    version: u64,
    fingerprint: Digest,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, Split>,
    splits: BTreeMap<String, Split>,
}

/// What is read first, of whatever version.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Reads the lock file of a source; none where it doesn't exist.
pub(super) fn read(source: &Source) -> Result<SavedLock, DatasetError> {
    let path = source.lock_path();
    let bytes = match std::fs::read(source.lock_file()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(SavedLock(None)),
        Err(error) => return Err(DatasetError::one(path, None, Fault::Io(error.to_string()))),
    };
    let bad = |error: serde_json::Error| {
        let line = Some(error.line()).filter(|line| *line > 0);
        DatasetError::one(&path, line, Fault::BadLock(error.to_string()))
    };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(bad)?;
    if version > VERSION {
        return Err(DatasetError::one(&path, None, Fault::NewerLock { found: version, known: VERSION }));
    }
    serde_json::from_slice(&bytes).map(|file| SavedLock(Some(file))).map_err(bad)
}

/// What was read from disk.
pub(super) struct SavedLock(Option<LockFile>);

impl SavedLock {
    /// What it says about rows; none where there is no lock file.
    pub(super) fn locked(&self) -> Option<Locked> {
        self.0.as_ref().map(|file| Locked { splits: file.splits.clone(), groups: file.groups.clone() })
    }

    /// The lock after the rows of `dataset` were assigned. Rows that are no longer there keep their place, in case
    /// they come back.
    pub(super) fn updated(self, source: &Source, dataset: &Dataset) -> SplitLock {
        let mut locked = self.locked().unwrap_or_default();
        for (example, split) in dataset.examples.iter().zip(&dataset.splits) {
            locked.splits.insert(example.id.clone(), *split);
        }
        for (example, split) in dataset.examples.iter().zip(&dataset.splits) {
            if let Some(group) = &example.group {
                locked.groups.insert(group.clone(), *split);
            }
        }
        let content = LockFile {
            version: VERSION,
            fingerprint: dataset.fingerprint,
            groups: locked.groups,
            splits: locked.splits,
        };
        SplitLock { path: source.lock_path(), file: source.lock_file(), content, saved: self.0 }
    }
}

impl SplitLock {
    /// True when there is no lock file yet: the splits have just been drawn.
    pub fn is_new(&self) -> bool {
        self.saved.is_none()
    }

    /// True when saving would change the file (or create it).
    pub fn is_changed(&self) -> bool {
        self.saved.as_ref() != Some(&self.content)
    }

    /// The lock file as messages name it.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Writes the lock file, whole or not at all, if that changes anything.
    pub fn save(&mut self) -> Result<(), DatasetError> {
        if !self.is_changed() {
            return Ok(());
        }
        let unwritable = |reason: String| DatasetError::one(&self.path, None, Fault::Unwritable(reason));
        let mut text = serde_json::to_vec_pretty(&self.content).map_err(|error| unwritable(error.to_string()))?;
        text.push(b'\n');
        durable::write(&self.file, &text).map_err(|error| unwritable(error.to_string()))?;
        self.saved = Some(self.content.clone());
        Ok(())
    }
}
