//! The gate before a provider: how many attempts are under way at once, how many are sent in a minute, and who waits
//! while it is out. All calls of a provider go through one gate, in the order in which they came.
//!
//! `window.rs` holds the number of attempts at once, `rate.rs` the buckets, `health.rs` what is known of outages, each
//! without waiting for anything; `gate.rs` waits. None of it decides what a search decides: only when a call is made.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{BoxFuture, Call, CallError, Chat, Completion};
pub(super) use gate::Failing;
use gate::Gate;
pub(super) use health::{Blame, never_answered};
pub(super) use rate::{Rate, Told};

mod gate;
mod health;
mod rate;
mod window;

/// How a provider may be asked.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Most attempts at a time; zero is taken as one. Fewer while the provider is overloaded.
    pub max_concurrency: usize,
    /// Most requests a minute; absent means as the provider says.
    pub requests_per_minute: Option<f64>,
    /// Most tokens a minute, read and written; absent means as the provider says.
    pub tokens_per_minute: Option<f64>,
    /// How long the provider may be out until its calls fail.
    pub max_outage: Duration,
    /// Set by the first answer of any provider that shares it. Before, nothing is waited for: a run that can't begin
    /// says so at once.
    pub begun: Arc<AtomicBool>,
    /// Seed of the random part of waits.
    pub seed: u64,
}

/// What people may want to know of a provider while they wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It is out: all calls wait for the next try.
    Down {
        /// What it failed with last.
        error: String,
        /// Since when.
        down_for: Duration,
        /// Until it is tried again.
        next_try: Duration,
    },
    /// No call may go for some time, by its rate limits or since it asked for that.
    Held {
        /// Until the next call.
        next_call: Duration,
    },
    /// It answers again.
    Up {
        /// How long it was out.
        down_for: Duration,
    },
}

/// What a provider is to blame for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the latest call that it failed has ended with.
    pub error: CallError,
    /// When it did.
    pub at: Instant,
}

/// The gate before one provider, shared by every stack that asks it.
#[derive(Clone)]
pub struct Limit {
    gate: Arc<Gate>,
    max_concurrency: usize,
    fault: Arc<Mutex<Option<Fault>>>,
    /// The same for any error.
    met: Arc<Mutex<Option<Fault>>>,
}

impl Limit {
    /// At most `max_concurrency` attempts at a time, as many a minute as the provider says, and half an hour's patience
    /// with an outage.
    pub fn new(max_concurrency: usize) -> Self {
        Self::with(&LimitSettings {
            max_concurrency,
            requests_per_minute: None,
            tokens_per_minute: None,
            max_outage: Duration::from_secs(1_800),
            begun: Arc::default(),
            seed: 0,
        })
    }

    /// A gate as `settings` say.
    pub fn with(settings: &LimitSettings) -> Self {
        let max_concurrency = settings.max_concurrency.max(1);
        Self { gate: Gate::new(settings), max_concurrency, fault: Arc::default(), met: Arc::default() }
    }

    /// Has `listener` told of outages. The first listener stays.
    pub fn listen(&self, listener: impl Fn(&Notice) + Send + Sync + 'static) {
        self.gate.listen(Box::new(listener));
    }

    /// Takes note that the provider has answered `call`, now or earlier: asked again, it shows whether the provider is there.
    pub(super) fn note_answerable(&self, call: &Call) {
        self.gate.note_answerable(call);
    }

    /// Takes note of what a call, or the first contact, has ended with.
    pub(super) fn ended_with(&self, error: &CallError) {
        let fault = Fault { error: error.clone(), at: Instant::now() };
        if error.is_providers() {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
        }
        *self.met.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// What the latest call that failed, or the first contact, has ended with.
    pub(super) fn met(&self) -> Option<Fault> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the provider is to blame for. An answer doesn't take it back: it may be one that was asked for before.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Most attempts at a time.
    pub(super) fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Takes over what the provider says of its rate limits beside a response.
    pub(super) fn told(&self, told: &Told) {
        self.gate.told(told);
    }

    /// A call has failed for the first time; it counts as failing until what is returned is dropped.
    pub(super) fn begin_failing(&self) -> Failing {
        self.gate.begin_failing()
    }

    /// What a call is to make of `error`, having failed since `failing_since`.
    pub(super) fn blame(&self, error: &CallError, failing_since: Instant) -> Blame {
        self.gate.blame(error, failing_since)
    }

    /// The same when its retries are used up, which leaves nothing open.
    pub(super) fn blame_at_last(&self, error: &CallError, failing_since: Instant) -> Blame {
        self.gate.blame_at_last(error, failing_since)
    }

    /// A random wait of up to `longest` ("full jitter").
    pub(super) fn jitter(&self, longest: Duration) -> Duration {
        self.gate.jitter(longest)
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").finish_non_exhaustive()
    }
}

/// The layer that waits at the gate, then asks the provider and takes the time.
pub(super) struct Limited {
    pub(super) inner: Arc<dyn Chat>,
    /// The same for an answer that only shows that there is one.
    pub(super) probe: Arc<dyn Chat>,
    pub(super) limit: Limit,
}

impl Chat for Limited {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            loop {
                let permit = self.limit.gate.enter(call).await?;
                let probe = permit.probe();
                let started = Instant::now();
                let mut result = match &probe {
                    Some(answerable) => self.probe.complete(answerable).await,
                    None => self.inner.complete(call).await,
                };
                let ended = Instant::now();
                if let Ok(completion) = &mut result {
                    completion.latency_ms = u64::try_from((ended - started).as_millis()).unwrap_or(u64::MAX);
                }
                permit.leave(&result, started, ended)?;
                let may_go_on = match &result {
                    Ok(_) => true,
                    Err(error) => error.is_refusal() || error.is_transient(),
                };
                if probe.is_none() || !may_go_on {
                    return result;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
