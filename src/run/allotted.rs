//! `allotted.json`: how much of its limits a run may have taken at most, by the process that works on it. Written before
//! it is taken; gone with the run's end.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
use crate::model::{Amount, ModelRole};

const FILE: &str = "allotted.json";

/// What was allotted, by role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Allotted(pub BTreeMap<ModelRole, Amount>);

impl Allotted {
    /// What the file in `folder` says; nothing where there is none.
    ///
    /// # Errors
    /// It can't be read: then nobody knows what was spent.
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(RunError::Unreadable { path, message: format!("can't be read: {error}") }),
        };
        serde_json::from_slice(&bytes).map_err(|error| RunError::Unreadable {
            message: format!(
                "is damaged ({error}); restore it from a copy, or delete it, and what was under way when the process ended \
                 counts as not spent"
            ),
            path,
        })
    }

    /// Writes the file in `folder`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_json(&folder.join(FILE), self)
    }

    /// Removes the file from `folder`, where it is there: the run has ended, and takes nothing more.
    pub fn remove(folder: &Path) {
        // One that stays is read by nobody any more.
        let _ = std::fs::remove_file(folder.join(FILE));
    }
}
