//! Stopping: no new attempt is sent, and those that are with a provider get some time to end, since they are paid for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BoxFuture, Call, CallError, Chat, Completion};

/// Tells all calls of a run to stop; shared by its stacks.
#[derive(Debug, Clone)]
pub struct Interrupt {
    token: CancellationToken,
    grace: Duration,
    /// Attempts that are with a provider, or whose answers are being stored.
    under_way: Arc<watch::Sender<usize>>,
}

impl Interrupt {
    /// Stops when `token` is cancelled; attempts under way then have `grace` to end, and are dropped after it.
    pub fn new(token: CancellationToken, grace: Duration) -> Self {
        Self { token, grace, under_way: Arc::new(watch::Sender::new(0)) }
    }

    /// Whether it is time to stop.
    pub fn is_set(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Goes on counting an attempt that was answered, until what this gives is dropped.
    pub(super) fn answered(&self) -> Attempt<'_> {
        Attempt(&self.under_way)
    }

    /// Ends when nothing more is to be waited for: no attempt of any stack is under way, or their time is up. All calls
    /// end with this, none earlier: the first that did would take the others with it.
    pub async fn over(&self) {
        self.token.cancelled().await;
        let mut under_way = self.under_way.subscribe();
        // A sender that is gone counts nothing any more.
        let _ = tokio::time::timeout(self.grace, under_way.wait_for(|attempts| *attempts == 0)).await;
    }
}

impl From<CancellationToken> for Interrupt {
    /// Without grace.
    fn from(token: CancellationToken) -> Self {
        Self::new(token, Duration::ZERO)
    }
}

/// The layer in front of the reservation, which counts attempts and begins none after an interrupt. One that is answered
/// stays counted until the store, which takes it over, has its answer: the process may end when none is left.
pub(super) struct Interruptible {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) interrupt: Interrupt,
}

impl Chat for Interruptible {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let attempt = Attempt::begin(&self.interrupt.under_way);
            if self.interrupt.is_set() {
                drop(attempt);
                self.interrupt.over().await;
                return Err(CallError::Interrupted);
            }
            let result = self.inner.complete(call).await;
            match result {
                Ok(_) => std::mem::forget(attempt),
                Err(_) => drop(attempt),
            }
            if matches!(result, Err(CallError::Interrupted)) {
                // A target's program was refused a call of its own: it ends with the others.
                self.interrupt.over().await;
            }
            result
        })
    }
}

/// The same for attempts whose answers nobody stores.
pub(super) struct Unkept(pub(super) Interruptible);

impl Chat for Unkept {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let completion = self.0.complete(call).await?;
            drop(self.0.interrupt.answered());
            Ok(completion)
        })
    }
}

/// Counts as long as it lives.
pub(super) struct Attempt<'a>(&'a watch::Sender<usize>);

impl<'a> Attempt<'a> {
    fn begin(under_way: &'a watch::Sender<usize>) -> Self {
        // Who waits, waits for none.
        under_way.send_if_modified(|attempts| {
            *attempts += 1;
            false
        });
        Self(under_way)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|attempts| {
            *attempts = attempts.saturating_sub(1);
            *attempts == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::testing::{Script, answer, call};

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_until_it_is_stored() {
        let token = CancellationToken::new();
        let interrupt = Interrupt::new(token.clone(), Duration::from_secs(10));
        let script = Arc::new(Script::new(vec![Ok(answer("a")), Err(CallError::Transient("500".into()))]));
        let layer = Interruptible { inner: script, interrupt: interrupt.clone() };
        assert!(layer.complete(&call("0")).await.is_ok() && layer.complete(&call("1")).await.is_err());
        token.cancel();
        assert!(interrupt.over().now_or_never().is_none());
        drop(interrupt.answered());
        assert!(interrupt.over().now_or_never().is_some());
    }
}
