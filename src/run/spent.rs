//! `spend.json`: money and time of a run. A file of its own, outside what a resumed run repeats byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::write_json;
use super::{Live, RunError};
use crate::model::{Amount, ModelRole, Spend};

const FILE: &str = "spend.json";

/// What a run has used, over all its processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Time that the run was going on, in seconds.
    pub seconds: f64,
    /// Calls, tokens and money by role.
    pub spend: Spend,
    /// What attempts count as that may have been billed without an answer, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<ModelRole, Amount>,
}

impl Spent {
    /// What the run in `folder` has used so far; nothing where the file is missing or can't be read, since the file is
    /// for information only. Time, losses and failed attempts are those of `live.json` where that knows of more: a killed process could
    /// not write its books.
    pub fn read(folder: &Path) -> Self {
        let read = std::fs::read(folder.join(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut spent: Self = read.unwrap_or_default();
        if let Some(live) = Live::read(folder) {
            spent.seconds = spent.seconds.max(live.seconds);
            for (role, lost) in live.lost {
                let known = spent.lost.entry(role).or_default();
                *known = known.max(lost);
            }
            for (role, used) in live.spend.roles {
                let known = spent.spend.roles.get(&role).map_or(0, |known| known.failed);
                if used.failed > known {
                    spent.spend.roles.entry(role).or_default().failed = used.failed;
                }
            }
        }
        spent
    }

    /// What all attempts together count as that may have been billed without an answer.
    pub fn lost_total(&self) -> Amount {
        self.lost.values().fold(Amount::default(), |sum, lost| sum + *lost)
    }

    /// Writes the file in `folder`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_json(&folder.join(FILE), self)
    }
}
