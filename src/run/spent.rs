//! `spend.json`: money and time of a run. A file of its own, outside what a resumed run repeats byte for byte.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::files::write_json;
use crate::model::Spend;

const FILE: &str = "spend.json";

/// What a run has used, over all its processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Time that the run was going on, in seconds.
    pub seconds: f64,
    /// Calls, tokens and money by role.
    pub spend: Spend,
}

impl Spent {
    /// What the run in `folder` has used so far; nothing where the file is missing or can't be read, since the file is
    /// for information only.
    pub fn read(folder: &Path) -> Self {
        std::fs::read(folder.join(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes the file in `folder`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_json(&folder.join(FILE), self)
    }
}
