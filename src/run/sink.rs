//! Where events go, and what comes back from an earlier journal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{AskFailed, AttemptsLost, Event, FellBack, LimitReached, RowFailed};
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

/// Where an interrupted run could not go on as it was.
#[derive(Debug, Clone, PartialEq)]
pub enum Break {
    /// At a limit: one that ended the search, one at the sealed test.
    Limit(LimitReached),
    /// Where another model took over.
    FellBack(FellBack),
}

/// Rows that could not run, by prompts, example and draw.
pub type FailedRows = BTreeMap<(Digest, String, u32), OutcomeError>;

/// What an interrupted run's decisions rested on besides stored responses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// Rows that could not run: those before the first change of the model that answers or judges, those between it and
    /// the second, and so on.
    pub rows: Vec<FailedRows>,
    /// Proposer's calls that failed for good, by generation and slot.
    pub asks: BTreeMap<(u32, u32), CallError>,
    /// What attempts without an answer counted as, by the generation that began with it.
    pub lost: BTreeMap<u32, BTreeMap<ModelRole, Amount>>,
    /// Limits that were reached and models that took over, in order.
    pub breaks: Vec<Break>,
    /// The last generation that was begun.
    pub begun: u32,
}

impl Recorded {
    /// Gathers what `events` of a journal hold.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut recorded = Self::default();
        let mut rows = FailedRows::new();
        for event in events {
            match event {
                Event::RowFailed(RowFailed { prompts, example, sample, error }) => {
                    rows.insert((*prompts, example.clone(), *sample), error.clone());
                }
                Event::AskFailed(AskFailed { generation, slot, error }) => {
                    recorded.asks.insert((*generation, *slot), error.clone());
                }
                Event::AttemptsLost(AttemptsLost { generation, lost }) => {
                    recorded.lost.insert(*generation, lost.clone());
                }
                Event::LimitReached(reached) => recorded.breaks.push(Break::Limit(reached.clone())),
                Event::FellBack(fell_back) => {
                    if fell_back.role != ModelRole::Proposer {
                        recorded.rows.push(std::mem::take(&mut rows));
                    }
                    recorded.breaks.push(Break::FellBack(fell_back.clone()));
                }
                Event::GenerationStarted(started) => recorded.begun = started.generation,
                _ => {}
            }
        }
        recorded.rows.push(rows);
        recorded
    }
}
