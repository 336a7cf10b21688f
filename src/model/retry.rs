//! Asking again: what may pass is retried with exponential backoff and full jitter (Brooker, "Exponential Backoff and
//! Jitter", 2015), or after the wait that the provider asked for. While the provider is out, calls wait at the gate of
//! [`Limit`], and that counts as no retry. When attempts are made decides nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::limit::{Blame, Failing, never_answered};
use super::{BoxFuture, Call, CallError, Chat, Completion, Limit};

/// How often and how patiently a call is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one, while others are answered. A provider that is busy is asked four times as often.
    pub retries: usize,
    /// Longest wait before the first of them, doubled each time; the wait is drawn from between zero and that.
    pub base: Duration,
    /// What it is doubled up to.
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

/// Retries of a call that was refused because the provider is busy, for each one that it has otherwise: what it meets is
/// not its own fault, and being refused costs nothing.
const WHEN_BUSY: usize = 4;

/// Doublings of the wait when the provider is busy: the gate makes all calls wait by then.
const BUSY_DOUBLINGS: usize = 3;

/// The layer that asks again.
pub(super) struct Retry {
    inner: Arc<dyn Chat>,
    policy: RetryPolicy,
    limit: Limit,
}

/// What a call has met so far.
struct Met {
    /// Has it counted as failing.
    _failing: Failing,
    since: Instant,
    /// Attempts that failed, but for those below.
    failed: usize,
    /// Attempts that a busy provider refused.
    refused: usize,
    first_contacts: std::array::IntoIter<Duration, 2>,
}

impl Retry {
    /// Asks `inner` again as `policy` says. `limit` is the gate that attempts of `inner` go through.
    pub(super) fn new(inner: Arc<dyn Chat>, policy: RetryPolicy, limit: Limit) -> Self {
        Self { inner, policy, limit }
    }

    async fn ask(&self, call: &Call) -> Result<Completion, CallError> {
        let mut met = None;
        loop {
            let error = match self.inner.complete(call).await {
                Err(error) if error.is_transient() => error,
                settled => return settled,
            };
            let met = met.get_or_insert_with(|| Met {
                _failing: self.limit.begin_failing(),
                since: Instant::now(),
                failed: 0,
                refused: 0,
                first_contacts: FIRST_CONTACT.into_iter(),
            });
            let wait = self.again(met, error)?;
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    /// How long to wait before the next attempt, at the gate not counted; the error where there is none.
    fn again(&self, met: &mut Met, error: CallError) -> Result<Duration, CallError> {
        match self.limit.blame(&error, met.since) {
            Blame::Provider => return Ok(Duration::ZERO),
            Blame::NeverReached => {
                let wait = met.first_contacts.next().filter(|_| self.policy.retries > 0);
                return wait.ok_or(error);
            }
            Blame::Open => {}
            Blame::Call | Blame::NeverAnswered => return Err(settled(error)),
        }
        let (before, most, doublings) = match &error {
            CallError::Busy { .. } => (&mut met.refused, WHEN_BUSY * self.policy.retries, BUSY_DOUBLINGS),
            _ => (&mut met.failed, self.policy.retries, usize::MAX),
        };
        if *before < most {
            let longest =
                self.policy.base.saturating_mul(1 << (*before).min(doublings).min(16)).min(self.policy.longest);
            *before += 1;
            return Ok(self.limit.jitter(longest));
        }
        if self.policy.retries == 0 {
            return Err(settled(error));
        }
        match self.limit.blame_at_last(&error, met.since) {
            Blame::Provider => Ok(Duration::ZERO),
            Blame::NeverAnswered if !matches!(error, CallError::Unreachable(_)) => Err(never_answered(&error)),
            _ => Err(settled(error)),
        }
    }
}

/// The error as others see it: that a wait was asked for no longer matters.
fn settled(error: CallError) -> CallError {
    match error {
        CallError::Busy { message, .. } => CallError::Transient(message),
        other => other,
    }
}

impl Chat for Retry {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.ask(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::Limited;
    use crate::model::testing::{Script, answer, call};

    fn retry(replies: Vec<Result<Completion, CallError>>) -> (Arc<Script>, Retry) {
        let script = Arc::new(Script::new(replies));
        let limit = Limit::new(8);
        let limited = Arc::new(Limited { inner: script.clone(), probe: script.clone(), limit: limit.clone() });
        (script, Retry::new(limited, RetryPolicy::default(), limit))
    }

    fn transient() -> Result<Completion, CallError> {
        Err(CallError::Transient("500".into()))
    }

    fn unreachable() -> Result<Completion, CallError> {
        Err(CallError::Unreachable("refused".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_with_waits_up_to_a_growing_longest() {
        let (script, retry) = retry(vec![transient(), transient(), transient(), Ok(answer("a"))]);
        let start = Instant::now();
        assert_eq!(retry.complete(&call("0")).await.unwrap().text, "a");
        assert_eq!(script.asked(), 4);
        let waited = start.elapsed();
        assert!(waited > Duration::ZERO && waited <= Duration::from_millis(3_500), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_never_answered_is_given_up_after_the_last_retry() {
        let (script, retry) = retry((0..20).map(|_| transient()).collect());
        let error = retry.complete(&call("0")).await.unwrap_err();
        assert!(matches!(&error, CallError::NeverAnswered(message) if message.ends_with("500")), "{error}");
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
    async fn the_wait_that_the_provider_asks_for_is_kept_up_to_a_minute_before_its_first_answer() {
        let busy = |ms| Err(CallError::Busy { message: "slow down".into(), retry_after_ms: Some(ms) });
        for (asked, waited) in [(20_000, 20..22), (86_400_000, 60..65)] {
            let (_, patient) = retry(vec![busy(asked), Ok(answer("a"))]);
            let start = Instant::now();
            patient.complete(&call("0")).await.unwrap();
            assert!(waited.contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        }
        let (script, patient) = retry((0..40).map(|_| busy(1)).collect());
        let error = patient.complete(&call("0")).await.unwrap_err();
        assert!(matches!(&error, CallError::NeverAnswered(message) if message.ends_with("slow down")), "{error}");
        assert_eq!(script.asked(), 21, "being refused is no failure of the call");
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
        replies.extend((0..12).map(|_| unreachable()));
        replies.push(Ok(answer("b")));
        let (_, retry) = retry(replies);
        retry.complete(&call("0")).await.unwrap();
        assert_eq!(retry.complete(&call("1")).await.unwrap().text, "b");
    }
}
