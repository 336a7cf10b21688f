//! Where events go, and what comes back from an earlier journal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{AskFailed, AttemptsLost, Event, LimitReached, RowFailed};
use crate::digest::Digest;
use crate::durable::DurableError;
use crate::eval::OutcomeError;
use crate::model::{Amount, CallError, ModelRole};

/// Takes events. Journalled events come one after another; progress may come from anywhere.
pub trait Sink: Send + Sync {
    /// Takes one event. A journalled event is durable when this returns.
    ///
    /// # Errors
    /// When the run folder can't be written; the run then halts.
    fn emit(&self, event: Event) -> Result<(), RunError>;
}

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] DurableError),
    /// A resumed run decided otherwise than its journal says.
    #[error("{journal}:{line}: the resumed run decides otherwise than the journal says; start a new run instead")]
    Diverged {
        /// The journal.
        journal: PathBuf,
        /// 1-based line.
        line: usize,
    },
    /// The folder isn't one of a run, or of a newer version of Ratchet, or damaged.
    #[error("{path}: {message}")]
    Unreadable {
        /// File or folder.
        path: PathBuf,
        /// What was found and what to do.
        message: String,
    },
}

/// What an interrupted run's decisions rested on besides stored responses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// Rows that could not run, by prompts, example and draw.
    pub rows: BTreeMap<(Digest, String, u32), OutcomeError>,
    /// Proposer's calls that failed for good, by generation and slot.
    pub asks: BTreeMap<(u32, u32), CallError>,
    /// What attempts without an answer counted as, by the generation that began with it.
    pub lost: BTreeMap<u32, BTreeMap<ModelRole, Amount>>,
    /// Limits that were reached, in order: one that ended the search, one at the sealed test.
    pub limits: Vec<LimitReached>,
    /// The last generation that was begun.
    pub begun: u32,
}

impl Recorded {
    /// Gathers what `events` of a journal hold.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut recorded = Self::default();
        for event in events {
            match event {
                Event::RowFailed(RowFailed { prompts, example, sample, error }) => {
                    recorded.rows.insert((*prompts, example.clone(), *sample), error.clone());
                }
                Event::AskFailed(AskFailed { generation, slot, error }) => {
                    recorded.asks.insert((*generation, *slot), error.clone());
                }
                Event::AttemptsLost(AttemptsLost { generation, lost }) => {
                    recorded.lost.insert(*generation, lost.clone());
                }
                Event::LimitReached(reached) => recorded.limits.push(reached.clone()),
                Event::GenerationStarted(started) => recorded.begun = started.generation,
                _ => {}
            }
        }
        recorded
    }
}
