//! Bounded concurrency: how many attempts one provider is given at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{BoxFuture, Call, CallError, Chat, Completion};

/// A provider's concurrency, shared by every stack that asks it.
#[derive(Debug, Clone)]
pub struct Limit {
    places: Arc<Semaphore>,
}

impl Limit {
    /// At most `max_concurrency` attempts at a time; zero is taken as one.
    pub fn new(max_concurrency: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max_concurrency.clamp(1, Semaphore::MAX_PERMITS))) }
    }
}

/// The layer that waits for a place, then asks the provider and takes the time.
pub(super) struct Limited {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) limit: Limit,
}

impl Chat for Limited {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            // The semaphore is never closed; if it were, the run would be over.
            let _place = self.limit.places.acquire().await.map_err(|_| CallError::Interrupted)?;
            let started = Instant::now();
            let mut completion = self.inner.complete(call).await?;
            completion.latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(completion)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;
    use crate::model::testing::{answer, call};

    #[derive(Default)]
    struct Crowd {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Chat for Crowd {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                self.most.fetch_max(1 + self.now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(70)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                Ok(answer(&call.draw))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_in_flight_and_waiting_is_not_latency() {
        let crowd = Arc::new(Crowd::default());
        let layer = Limited { inner: crowd.clone(), limit: Limit::new(3) };
        let calls: Vec<_> = (0..10).map(|n| call(&n.to_string())).collect();
        let answers = join_all(calls.iter().map(|call| layer.complete(call))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().latency_ms == 70));
        assert_eq!(crowd.most.load(Ordering::SeqCst), 3);
    }
}
