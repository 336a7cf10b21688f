//! The lock file: which split every row was given, kept beside the dataset and in version control.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::example::{PackedDataset, Split};
use super::problem::{DatasetError, Fault};
use super::source::Source;
use super::split_map::SplitMap;
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
    /// What is to be written; none where it is on disk already.
    unsaved: Option<LockFile>,
    /// Whether there is a lock file.
    exists: bool,
}

/// The file: one row a line, in the order of ids, so that a change of one row is a change of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LockFile {
    version: u64,
    fingerprint: Digest,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, Split>,
    splits: SplitMap,
}

/// What is known of rows and groups, those included that are no longer there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locked<'a> {
    /// Id to split.
    pub splits: &'a SplitMap,
    /// Group to split.
    pub groups: &'a BTreeMap<String, Split>,
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
    pub(super) fn locked(&self) -> Option<Locked<'_>> {
        self.0.as_ref().map(|file| Locked { splits: &file.splits, groups: &file.groups })
    }

    /// The lock after the rows of `dataset` were assigned. Rows that are no longer there keep their place, in case
    /// they come back.
    pub(super) fn updated(self, source: &Source, dataset: &PackedDataset) -> SplitLock {
        let rows = dataset.rows.by_id().into_iter().map(|at| at as usize);
        let rows = rows.map(|at| (dataset.rows.id(at), dataset.splits[at]));
        let (splits, mut groups) = match self.locked() {
            Some(before) => (before.splits.updated(rows), before.groups.clone()),
            None => (SplitMap::default().updated(rows), BTreeMap::new()),
        };
        for (at, split) in dataset.splits.iter().enumerate() {
            if let Some(group) = dataset.rows.group(at) {
                groups.insert(group.to_owned(), *split);
            }
        }
        let content = LockFile { version: VERSION, fingerprint: dataset.fingerprint, groups, splits };
        let unsaved = Some(content).filter(|content| self.0.as_ref() != Some(content));
        SplitLock { path: source.lock_path(), file: source.lock_file(), unsaved, exists: self.0.is_some() }
    }
}

impl SplitLock {
    /// True when there is no lock file yet: the splits have just been drawn.
    pub fn is_new(&self) -> bool {
        !self.exists
    }

    /// True when saving would change the file (or create it).
    pub fn is_changed(&self) -> bool {
        self.unsaved.is_some()
    }

    /// The lock file as messages name it.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Writes the lock file, whole or not at all, if that changes anything.
    pub fn save(&mut self) -> Result<(), DatasetError> {
        let Some(content) = &self.unsaved else { return Ok(()) };
        let unwritable = |reason: String| DatasetError::one(&self.path, None, Fault::Unwritable(reason));
        durable::write_with(&self.file, |file| {
            serde_json::to_writer_pretty(&mut *file, content)?;
            file.write_all(b"\n")
        })
        .map_err(|error| unwritable(error.to_string()))?;
        (self.unsaved, self.exists) = (None, true);
        Ok(())
    }
}
