//! Single flight: identical calls that are on their way at the same time share one request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::Response;
use crate::model::{BoxFuture, CallError, CallKey};

type Request = BoxFuture<'static, Result<Response, CallError>>;

/// A request that several callers wait for. It lives as long as one of them does.
pub(super) type Flight = Shared<Request>;

/// The requests on their way. Held weakly, so that a call which everybody has given up on is dropped.
#[derive(Default)]
pub(super) struct Flights {
    table: Mutex<HashMap<CallKey, Entry>>,
    next: AtomicU64,
}

struct Entry {
    /// Tells this flight from an earlier one of the same key.
    number: u64,
    flight: WeakShared<Request>,
}

impl Flights {
    /// The flight of `key`; a new one, begun by `request`, if there is none.
    pub(super) fn join(self: &Arc<Self>, key: CallKey, request: impl FnOnce() -> Request) -> Flight {
        let mut table = self.lock();
        if let Some(flight) = table.get(&key).and_then(|entry| entry.flight.upgrade()) {
            return flight;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let landing = Landing { flights: Arc::clone(self), key, number };
        let request = request();
        let flight = async move {
            let _landing = landing;
            request.await
        };
        let flight = (Box::pin(flight) as Request).shared();
        if let Some(weak) = flight.downgrade() {
            table.insert(key, Entry { number, flight: weak });
        }
        flight
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallKey, Entry>> {
        // Entries are inserted and removed whole: a panic elsewhere can't leave one half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the table when it has ended or was dropped.
struct Landing {
    flights: Arc<Flights>,
    key: CallKey,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        if table.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            table.remove(&self.key);
        }
    }
}
