//! The response store: every answer is paid for once. An answer is committed before anybody sees it, identical calls
//! on their way share one request, and errors are never stored.
//!
//! [`Store`] is the shelf, a file or its in-memory twin; [`Stored`] is the layer of the stack that reads through it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Call, CallError, CallKey, Chat, Completion, Interrupt, ModelRole, Origin, Usage};
use crate::money::Money;
use file::FileShelf;
use flight::Flights;
use memory::MemoryShelf;
pub use upkeep::{Forget, RunUsage, StoreUsage, Upkeep, Verified};

mod file;
mod flight;
mod memory;
mod seal;
mod sqlite;
mod upkeep;

/// One stored answer.
#[derive(Debug, Clone, PartialEq)]
struct Response {
    key: CallKey,
    /// The run that paid.
    run: Arc<str>,
    role: ModelRole,
    model: String,
    completion: Completion,
    /// What the run that reads it has paid for an answer of its own.
    second: Option<Second>,
}

/// What a run paid for an answer that came second: another process had stored one under the same key by then.
#[derive(Debug, Clone, PartialEq)]
struct Second {
    run: Arc<str>,
    usage: Usage,
    cost: Option<Money>,
}

/// What a run has paid for in one role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paid {
    /// Distinct calls.
    pub calls: u64,
    /// Their tokens.
    pub usage: Usage,
    /// Their cost, as far as it is known.
    pub cost: Money,
    /// Calls whose cost isn't known.
    pub unpriced: u64,
}

/// The answers of a project, shared by all its runs.
pub struct Store {
    shelf: Shelf,
    flights: Arc<Flights>,
}

enum Shelf {
    File(FileShelf),
    Memory(MemoryShelf),
}

impl Store {
    /// The store at `path`; where there is none, it is made with its folder as soon as there is an answer to keep.
    /// Several processes may have it open.
    ///
    /// # Errors
    /// [`CallError::Store`], saying what to do, when the file is damaged, locked, of a newer version or no store.
    pub fn open(path: &Path) -> Result<Arc<Self>, CallError> {
        Ok(Self::on(Shelf::File(FileShelf::new(path)?)))
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Arc<Self> {
        Self::on(Shelf::Memory(MemoryShelf::default()))
    }

    fn on(shelf: Shelf) -> Arc<Self> {
        Arc::new(Self { shelf, flights: Arc::default() })
    }

    /// What `run` has paid for so far, by role: for the budget of a run that is resumed.
    ///
    /// # Errors
    /// [`CallError::Store`] when the file can't be read.
    pub fn paid(&self, run: &str) -> Result<BTreeMap<ModelRole, Paid>, CallError> {
        match &self.shelf {
            Shelf::File(shelf) => shelf.paid(run),
            Shelf::Memory(shelf) => Ok(shelf.paid(run)),
        }
    }

    /// The answer under `key`, as `run` sees it.
    fn read(&self, key: CallKey, run: &str) -> Result<Option<Response>, CallError> {
        match &self.shelf {
            Shelf::File(shelf) => shelf.read(key, run),
            Shelf::Memory(shelf) => Ok(shelf.read(key)),
        }
    }

    /// Commits `response` and returns what is stored under its key: where another process was faster, its answer, so
    /// that a later replay sees what this run saw, and what this run paid beside it.
    async fn write(&self, response: Response) -> Result<Response, CallError> {
        match &self.shelf {
            Shelf::File(shelf) => shelf.write(response).await,
            Shelf::Memory(shelf) => Ok(shelf.write(response)),
        }
    }
}

/// Calls that a stack has under way beyond those that its provider takes at a time: their answers have come, and are being
/// committed. A commit takes some milliseconds, in which a fast provider answers as many. A process that is killed pays
/// once more for what was under way, so this is its bound, too.
pub const UNSTORED: usize = 256;

/// The outermost layer of the stack: answers from the store, or asks once and stores.
pub(super) struct Stored {
    inner: Arc<dyn Chat>,
    store: Arc<Store>,
    run: Arc<str>,
    /// For calls whose answers aren't committed yet.
    places: Arc<Semaphore>,
    /// Counts answers until they are committed.
    interrupt: Interrupt,
}

impl Stored {
    /// The layer around `inner`, which takes `at_once` calls at a time.
    pub(super) fn new(
        inner: Arc<dyn Chat>,
        at_once: usize,
        store: Arc<Store>,
        run: Arc<str>,
        interrupt: Interrupt,
    ) -> Self {
        let places = Arc::new(Semaphore::new(at_once.saturating_add(UNSTORED).min(Semaphore::MAX_PERMITS)));
        Self { inner, store, run, places, interrupt }
    }

    /// The answer to `call`, whose key is `key`.
    pub(super) async fn answer(&self, key: CallKey, call: &Call) -> Result<Completion, CallError> {
        let flight = self.store.flights.join(key, || {
            let (inner, store, run) = (Arc::clone(&self.inner), Arc::clone(&self.store), Arc::clone(&self.run));
            let (places, interrupt, call) = (Arc::clone(&self.places), self.interrupt.clone(), call.clone());
            Box::pin(async move { fetch(inner, store, run, places, interrupt, key, call).await })
        });
        Ok(self.seen(flight.await?))
    }

    /// The answer under `key`, where there is one.
    pub(super) fn read(&self, key: CallKey) -> Result<Option<Completion>, CallError> {
        Ok(self.store.read(key, &self.run)?.map(|response| self.seen(response)))
    }

    /// The answer as this run sees it.
    fn seen(&self, response: Response) -> Completion {
        let Response { completion, run, second, .. } = response;
        match second.filter(|second| second.run == self.run) {
            Some(Second { usage, cost, .. }) => Completion { origin: Origin::Live, usage, cost, ..completion },
            None if run == self.run => Completion { origin: Origin::Live, ..completion },
            None => Completion { origin: Origin::Stored, ..completion },
        }
    }
}

/// Reads the answer, or asks for it and stores it. The read comes after the flight has begun: whoever held the flight
/// before has committed by then, so that nothing is asked for twice.
async fn fetch(
    inner: Arc<dyn Chat>,
    store: Arc<Store>,
    run: Arc<str>,
    places: Arc<Semaphore>,
    interrupt: Interrupt,
    key: CallKey,
    call: Call,
) -> Result<Response, CallError> {
    if let Some(response) = store.read(key, &run)? {
        return Ok(response);
    }
    // Nobody closes the semaphore. The place is kept until the answer is committed.
    let _place = places.acquire().await.map_err(|_| CallError::Interrupted)?;
    let completion = inner.complete(&call).await?;
    let _answered = interrupt.answered();
    store.write(Response { key, run, role: call.role, model: call.request.model, completion, second: None }).await
}

#[cfg(test)]
mod tests;
