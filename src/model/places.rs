//! The layer before a target's program: so many answers at a time, and the time that each takes.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{BoxFuture, Call, CallError, Chat, Completion};

/// Lets so many calls through at a time, in the order in which they came.
pub(super) struct Placed {
    inner: Arc<dyn Chat>,
    places: Semaphore,
}

impl Placed {
    /// At most `places` calls of `inner` at a time; zero is taken as one.
    pub(super) fn new(inner: Arc<dyn Chat>, places: usize) -> Self {
        Self { inner, places: Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)) }
    }
}

impl Chat for Placed {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            // It is never closed; should it be, nobody would have to wait.
            let _place = self.places.acquire().await;
            let began = Instant::now();
            let mut completion = self.inner.complete(call).await?;
            completion.latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(completion)
        })
    }
}
