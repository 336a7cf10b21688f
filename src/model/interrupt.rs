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
    /// Attempts that are with a provider.
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

    /// Ends when nothing more is to be waited for: no attempt of any stack is under way, or their time is up. All calls
    /// end with this, none earlier: the first that did would take the others with it.
    pub(super) async fn over(&self) {
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

/// The layer in front of the reservation, which counts attempts and begins none after an interrupt.
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
            drop(attempt);
            if matches!(result, Err(CallError::Interrupted)) {
                // A target's program was refused a call of its own: it ends with the others.
                self.interrupt.over().await;
            }
            result
        })
    }
}

/// Counts as long as it lives.
struct Attempt<'a>(&'a watch::Sender<usize>);

impl<'a> Attempt<'a> {
    fn begin(under_way: &'a watch::Sender<usize>) -> Self {
        under_way.send_modify(|attempts| *attempts += 1);
        Self(under_way)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|attempts| *attempts = attempts.saturating_sub(1));
    }
}
