//! Asking again: what may pass is retried with exponential backoff and jitter, or after the wait that the provider
//! asked for. When attempts are made decides nothing, so the jitter needn't be seeded by the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::{BoxFuture, Call, CallError, Chat, Completion};

/// How often and how patiently a call is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub retries: usize,
    /// Wait before the first of them; doubled each time, with a random part of up to as much again.
    pub base: Duration,
    /// Longest wait before the random part, and the longest that a provider's Retry-After is obeyed for.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 5, base: Duration::from_millis(500), longest: Duration::from_secs(60) }
    }
}

/// A provider that was never reached is most likely a wrong address: it gets these two further attempts, within a
/// second, so that a run that can't start says so at once.
const FIRST_CONTACT: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(500)];

/// The layer that asks again.
pub(super) struct Retry {
    inner: Arc<dyn Chat>,
    policy: RetryPolicy,
    /// Whether the provider has ever responded, if only with an error.
    reached: AtomicBool,
}

impl Retry {
    pub(super) fn new(inner: Arc<dyn Chat>, policy: RetryPolicy) -> Self {
        Self { inner, policy, reached: AtomicBool::new(false) }
    }

    async fn ask(&self, call: &Call) -> Result<Completion, CallError> {
        let mut first_contact = FIRST_CONTACT.into_iter();
        let mut backoff = None;
        loop {
            let error = match self.inner.complete(call).await {
                Ok(completion) => {
                    self.reached.store(true, Ordering::Relaxed);
                    return Ok(completion);
                }
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            if !matches!(error, CallError::Unreachable(_)) {
                self.reached.store(true, Ordering::Relaxed);
            }
            let wait = if self.reached.load(Ordering::Relaxed) {
                backoff.get_or_insert_with(|| self.schedule()).next()
            } else {
                first_contact.next().filter(|_| self.policy.retries > 0)
            };
            match (wait, error) {
                (Some(wait), CallError::Busy { retry_after_ms, .. }) => {
                    let asked = Duration::from_millis(retry_after_ms).min(self.policy.longest);
                    tokio::time::sleep(wait.max(asked)).await;
                }
                (Some(wait), _) => tokio::time::sleep(wait).await,
                (None, CallError::Busy { message, .. }) => return Err(CallError::Transient(message)),
                (None, error) => return Err(error),
            }
        }
    }

    fn schedule(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::default()
            .with_min_delay(self.policy.base)
            .with_max_delay(self.policy.longest)
            .with_max_times(self.policy.retries)
            .with_jitter()
            .build()
    }
}

impl Chat for Retry {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.ask(call))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::model::testing::{Script, answer, call};

    fn retry(replies: Vec<Result<Completion, CallError>>) -> (Arc<Script>, Retry) {
        let script = Arc::new(Script::new(replies));
        (script.clone(), Retry::new(script, RetryPolicy::default()))
    }

    fn transient() -> Result<Completion, CallError> {
        Err(CallError::Transient("500".into()))
    }

    fn unreachable() -> Result<Completion, CallError> {
        Err(CallError::Unreachable("refused".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_with_growing_waits() {
        let (script, retry) = retry(vec![transient(), transient(), transient(), Ok(answer("a"))]);
        let start = Instant::now();
        assert_eq!(retry.complete(&call("0")).await.unwrap().text, "a");
        assert_eq!(script.asked(), 4);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(3500) && waited <= Duration::from_secs(7), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_the_last_retry() {
        let (script, retry) = retry((0..20).map(|_| transient()).collect());
        assert_eq!(retry.complete(&call("0")).await.unwrap_err(), CallError::Transient("500".into()));
        assert_eq!(script.asked(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_asked_again() {
        for error in [
            CallError::Rejected("bad".into()),
            CallError::Denied("key".into()),
            CallError::Budget("calls".into()),
            CallError::Interrupted,
        ] {
            let (script, retry) = retry(vec![Err(error.clone())]);
            assert_eq!(retry.complete(&call("0")).await.unwrap_err(), error);
            assert_eq!(script.asked(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_that_the_provider_asks_for_is_kept_up_to_the_longest() {
        let busy = |retry_after_ms| Err(CallError::Busy { message: "slow down".into(), retry_after_ms });
        let (_, patient) = retry(vec![busy(20_000), Ok(answer("a"))]);
        let start = Instant::now();
        patient.complete(&call("0")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 20);
        let (_, patient) = retry(vec![busy(86_400_000), Ok(answer("a"))]);
        let start = Instant::now();
        patient.complete(&call("0")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 60);
        let (_, patient) = retry((0..6).map(|_| busy(1)).collect());
        let error = patient.complete(&call("0")).await.unwrap_err();
        assert_eq!(error, CallError::Transient("slow down".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_was_never_reached_fails_within_a_second() {
        let (script, retry) = retry((0..20).map(|_| unreachable()).collect());
        let start = Instant::now();
        assert!(matches!(retry.complete(&call("0")).await, Err(CallError::Unreachable(_))));
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(script.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_was_reached_before_is_waited_for() {
        let mut replies = vec![Ok(answer("a"))];
        replies.extend((0..5).map(|_| unreachable()));
        replies.push(Ok(answer("b")));
        let (_, retry) = retry(replies);
        retry.complete(&call("0")).await.unwrap();
        assert_eq!(retry.complete(&call("1")).await.unwrap().text, "b");
    }
}
