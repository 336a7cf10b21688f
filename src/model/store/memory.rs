//! The store's in-memory twin, for tests and for runs that keep nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Paid, Response};
use crate::model::{CallKey, ModelRole};

/// Answers by key.
#[derive(Default)]
pub(super) struct MemoryShelf {
    responses: Mutex<HashMap<CallKey, Response>>,
}

impl MemoryShelf {
    pub(super) fn read(&self, key: CallKey) -> Option<Response> {
        self.lock().get(&key).cloned()
    }

    pub(super) fn write(&self, response: Response) -> Response {
        self.lock().entry(response.key).or_insert(response).clone()
    }

    pub(super) fn paid(&self, run: &str) -> BTreeMap<ModelRole, Paid> {
        let mut paid = BTreeMap::<ModelRole, Paid>::new();
        for response in self.lock().values().filter(|response| &*response.run == run) {
            let entry = paid.entry(response.role).or_default();
            entry.calls += 1;
            entry.usage.input += response.completion.usage.input;
            entry.usage.output += response.completion.usage.output;
            entry.usage.reasoning += response.completion.usage.reasoning;
            entry.usage.cached += response.completion.usage.cached;
            entry.cost += response.completion.cost.unwrap_or_default();
            entry.unpriced += u64::from(response.completion.cost.is_none());
        }
        paid
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallKey, Response>> {
        // Entries are inserted whole: a panic elsewhere can't leave one half changed.
        self.responses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
