//! `live.json`: how far a run is, for those who look on from another process. Written over and over while the run goes
//! on, left behind by a process that stopped before the run's end, gone with it. Nothing reads it to decide.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ProviderNotice, RunError};
use crate::model::{Amount, ModelRole, Notice, Spend};
use crate::{clock, durable};

const FILE: &str = "live.json";

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// When the process that works on the run began to, in UTC.
    pub since: String,
    /// When this was written, in UTC.
    pub updated: String,
    /// The generation; 0 before the first.
    pub generation: u32,
    /// What is being done, as in [`super::Progress`]; empty at the very start.
    pub stage: String,
    /// When the stage began, in UTC.
    pub stage_since: String,
    /// What is being tried, in few words.
    pub trying: String,
    /// Rows done in this stage.
    pub done: usize,
    /// Rows of this stage.
    pub of: usize,
    /// Mean value of the rows done.
    pub score: f64,
    /// Time that the run was going on, in seconds, over all its processes.
    pub seconds: f64,
    /// What it has used.
    pub spend: Spend,
    /// What attempts count as that may have been billed without an answer, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<ModelRole, Amount>,
    /// The last journalled event.
    pub last: Option<LastEvent>,
    /// Why nothing is asked at the moment, where the run waits for its provider to come back, as of `updated`.
    #[serde(default)]
    pub paused: Option<String>,
    /// The outage that it waits for the end of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// The latest longer wait for a provider's rate, which may be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Why the process stopped before the run's end, where it could still say so.
    #[serde(default)]
    pub halted: Option<String>,
}

/// A provider that is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Whose provider.
    pub role: ModelRole,
    /// What it failed with last.
    pub error: String,
    /// Since when, in UTC.
    pub since: String,
    /// When it is tried next, in UTC.
    pub next_try: String,
}

impl Outage {
    /// The same at `now`, since the Unix epoch; `None` where its times can't be read.
    pub fn at(&self, now: Duration) -> Option<ProviderNotice> {
        let down_for = now.saturating_sub(clock::parse_timestamp(&self.since)?);
        let next_try = clock::parse_timestamp(&self.next_try)?.saturating_sub(now);
        let notice = Notice::Down { error: self.error.clone(), down_for, next_try };
        Some(ProviderNotice { role: self.role, notice })
    }
}

/// A wait for a provider's rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose provider.
    pub role: ModelRole,
    /// When the next call may go, in UTC.
    pub until: String,
}

/// The last journalled event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEvent {
    /// Its name, as in the journal.
    pub event: String,
    /// When it came, in UTC.
    pub at: String,
}

impl Live {
    /// What the file in `folder` says; `None` where it is missing or can't be read.
    pub fn read(folder: &Path) -> Option<Self> {
        std::fs::read(folder.join(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    }

    /// Writes the file in `folder`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        let path = folder.join(FILE);
        let unwritable = |error: serde_json::Error| RunError::Unreadable {
            path: path.clone(),
            message: format!("could not be written as JSON: {error}"),
        };
        let bytes = serde_json::to_vec(self).map_err(unwritable)?;
        Ok(durable::write_unsynced(&path, &bytes)?)
    }

    /// Removes the file from `folder`, where it is there: the run has ended.
    pub fn remove(folder: &Path) {
        // One that stays says less than the journal, which is read first.
        let _ = std::fs::remove_file(folder.join(FILE));
    }
}
