//! Whether a provider is out, and what is done about it: nobody asks but one call at a time, at growing intervals,
//! until it answers again or was out for too long.
//!
//! A failure is the row's own where others are answered meanwhile, and the provider's where nobody is. Where only rows are
//! left that always fail, the two look alike: so a call that was answered before is asked again now and then in place of
//! the next in the queue, and shows which it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use tokio::time::Instant;

use super::Notice;
use crate::model::CallError;

/// So many failures in a row, and the provider is taken to be out. Of a provider that fails one call in ten, it happens
/// once in a hundred million calls; and if so, the next answer ends it.
const IN_A_ROW: u32 = 8;

/// First and longest time between two tries of a provider that is out.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A wait asked for that is longer than this is told like an outage.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// Nobody waits for longer, whatever is configured: a point in time must be able to hold it.
const LONGEST_OUTAGE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Where no call is known to be answerable: as long as fewer calls than this fail, each of them may be at fault itself...
const FEW_CALLS: usize = 3;

/// ... and is given up after it has failed for so long.
const PATIENCE: Duration = Duration::from_secs(150);

/// From this try of an outage on, counted from 0, every second one is made with a call that is known to be answerable. Most
/// outages are over by then, and cost no such call.
const FIRST_PROBE: u32 = 2;

/// How a provider is doing.
#[derive(Debug)]
pub(super) struct Health {
    max_outage: Duration,
    /// Whether a provider of this run has ever answered: only then is any of them waited for.
    begun: Arc<AtomicBool>,
    /// Whether it ever responded, if only with an error.
    reached: bool,
    /// When the latest of the requests was sent that it answered, be it that it refused what they ask.
    answered: Option<Instant>,
    /// Failures since the last answer, and the first of them.
    failures: u32,
    failing_since: Option<Instant>,
    /// Whether it answered a probe while it was taken to be out, and nothing else since: the calls may be at fault.
    is_cleared: bool,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// Tries so far.
    tries: u32,
    /// When the next one is due.
    next: Instant,
    /// Whether one is under way.
    trying: bool,
    /// Whether people know.
    told: bool,
    /// What it failed with last.
    error: String,
    /// When it asked for the wait that goes on, where it did: an answer to what was sent before doesn't end that.
    asked: Option<Instant>,
}

/// Whether a call may go to the provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// As far as the provider's health goes.
    Free,
    /// As the one that tries whether it is back.
    Try,
    /// Not before then.
    At(Instant),
    /// Not before the one that tries has come back.
    Later,
}

/// What a failure means to the call that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Blame {
    /// Nobody yet: the call may ask again while it has retries left.
    Open,
    /// The provider was never reached, nor any other of the run: there is most likely something wrong with its address.
    NeverReached,
    /// No provider of the run ever gave an answer.
    NeverAnswered,
    /// The provider is out: the call waits for it, which doesn't count as a retry.
    Provider,
    /// The call itself.
    Call,
}

/// What a failed attempt changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The provider is taken to be out from now on.
    WentDown,
    /// It was out for too long: nobody waits any longer.
    Over(CallError),
}

impl Health {
    pub(super) fn new(max_outage: Duration, begun: Arc<AtomicBool>) -> Self {
        let max_outage = max_outage.min(LONGEST_OUTAGE);
        let (reached, answered, failures, failing_since) = (false, None, 0, None);
        Self { max_outage, begun, reached, answered, failures, failing_since, is_cleared: false, down: None }
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether everybody may go.
    pub(super) fn is_up(&self) -> bool {
        self.down.is_none()
    }

    /// Whether a call may go now.
    pub(super) fn passage(&self, now: Instant) -> Passage {
        match &self.down {
            None => Passage::Free,
            Some(down) if down.trying => Passage::Later,
            Some(down) if down.next > now => Passage::At(down.next),
            Some(_) => Passage::Try,
        }
    }

    /// Whether the next try is to be made with a call that is known to be answerable, rather than with one that may fail
    /// whatever becomes of the provider. That is paid for twice, so a call that has never failed goes first:
    /// `have_all_failed` says that none is waiting.
    pub(super) fn is_probe_due(&self, have_all_failed: bool) -> bool {
        let tries = self.down.as_ref().map_or(0, |down| down.tries);
        let is_due = tries >= FIRST_PROBE && tries.is_multiple_of(2);
        !self.has_begun() || have_all_failed && (self.is_cleared || is_due)
    }

    /// A call goes as the one that tries.
    pub(super) fn begin_try(&mut self) {
        if let Some(down) = &mut self.down {
            down.trying = true;
        }
    }

    /// The call that tried came back without having learnt anything.
    pub(super) fn abandon_try(&mut self) {
        if let Some(down) = &mut self.down {
            down.trying = false;
        }
    }

    /// The provider answered what was sent at `sent`, a probe or any other call; for how long it was out before, where that
    /// was.
    pub(super) fn answered(&mut self, sent: Instant, is_probe: bool, now: Instant) -> Option<Notice> {
        (self.reached, self.answered, self.is_cleared) = (true, self.answered.max(Some(sent)), is_probe);
        if !self.has_begun() {
            self.begun.store(true, Ordering::Relaxed);
        }
        if self.failures == 0 && self.down.is_none() {
            return None;
        }
        if self.down.as_ref().and_then(|down| down.asked).is_some_and(|asked| sent < asked) {
            return None;
        }
        (self.failures, self.failing_since) = (0, None);
        let down = self.down.take().filter(|down| down.told)?;
        Some(Notice::Up { down_for: now - down.since })
    }

    /// An attempt failed with `error`, which may pass; `was_try` if it was the one that tries.
    pub(super) fn failed(&mut self, error: &CallError, was_try: bool, now: Instant, jitter: &mut ChaCha8Rng) -> Change {
        self.reached |= !matches!(error, CallError::Unreachable(_));
        if self.down.is_none() && matches!(error, CallError::Crashed(_)) {
            return Change::None;
        }
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        let asked = asked_wait(error).unwrap_or_default();
        let Some(down) = &mut self.down else {
            let is_out = self.failures >= IN_A_ROW || asked > LONG_WAIT;
            if is_out && self.has_begun() {
                self.go_down(error, now, jitter);
                return Change::WentDown;
            }
            return Change::None;
        };
        if was_try && !self.begun.load(Ordering::Relaxed) {
            self.down = None;
            return Change::Over(never_answered(error));
        }
        let end = since + self.max_outage;
        down.error = error.to_string();
        if !asked.is_zero() {
            down.asked = Some(now);
        }
        if was_try {
            down.trying = false;
            down.tries += 1;
            if now >= end {
                let error = CallError::Outage(format!(
                    "no answer for {} s, and max_outage_seconds is {}; the last try: {}",
                    (now - since).as_secs(),
                    self.max_outage.as_secs_f64(),
                    down.error
                ));
                *self = Self::new(self.max_outage, Arc::clone(&self.begun));
                return Change::Over(error);
            }
            down.next = (now + interval(down.tries, jitter).max(asked)).min(end);
        } else {
            // One that was under way before: it may know better how long to wait.
            down.next = down.next.max(now + asked).min(end).max(now);
        }
        Change::None
    }

    /// What a call is to make of `error`, having failed since `failing_since`, with `others` waiting besides.
    /// `can_probe` says whether any call is known to be answerable.
    pub(super) fn blame(
        &mut self,
        error: &CallError,
        failing_since: Instant,
        others: usize,
        can_probe: bool,
        now: Instant,
    ) -> Blame {
        let is_known = self.reached || self.has_begun();
        let Some(down) = &mut self.down else {
            return if is_known { Blame::Open } else { Blame::NeverReached };
        };
        // Whoever is refused or can't even connect isn't at fault.
        let is_passing = matches!(error, CallError::Transient(_) | CallError::Unanswered(_) | CallError::Crashed(_));
        let may_be_at_fault = is_passing && !can_probe && others + 1 < FEW_CALLS;
        if may_be_at_fault && now - failing_since > PATIENCE {
            // The next call needn't wait to find out.
            down.next = now;
            return Blame::Call;
        }
        Blame::Provider
    }

    /// The same when its retries are used up. Answers to what was sent before it failed say nothing: the provider may
    /// have gone out since. A program that dies is no provider that is out.
    pub(super) fn blame_at_last(
        &mut self,
        error: &CallError,
        failing_since: Instant,
        can_probe: bool,
        now: Instant,
        jitter: &mut ChaCha8Rng,
    ) -> Blame {
        match self.answered {
            _ if matches!(error, CallError::Crashed(_)) => Blame::Call,
            None if !self.has_begun() && !can_probe => Blame::NeverAnswered,
            Some(sent) if sent > failing_since => Blame::Call,
            _ => {
                self.go_down(error, now, jitter);
                Blame::Provider
            }
        }
    }

    fn go_down(&mut self, error: &CallError, now: Instant, jitter: &mut ChaCha8Rng) {
        if self.down.is_some() {
            return;
        }
        let since = *self.failing_since.get_or_insert(now);
        let asked = asked_wait(error).filter(|asked| !asked.is_zero());
        let wait = interval(0, jitter).max(asked.unwrap_or_default());
        let asked = asked.map(|_| now);
        let next = (now + wait).min(since + self.max_outage).max(now);
        self.down = Some(Down { since, tries: 0, next, trying: false, told: false, error: error.to_string(), asked });
    }

    /// What people should know: of an outage that outlasts its first try, or will.
    pub(super) fn notice(&mut self, now: Instant) -> Option<Notice> {
        let down = self.down.as_mut()?;
        let next_try = down.next.saturating_duration_since(now);
        if down.tries == 0 && next_try <= INTERVALS.0 {
            return None;
        }
        down.told = true;
        Some(Notice::Down { error: down.error.clone(), down_for: now - down.since, next_try })
    }
}

/// That a provider has given no answer yet, and fails with `error`.
pub(in crate::model) fn never_answered(error: &CallError) -> CallError {
    CallError::NeverAnswered(error.to_string())
}

/// The wait that a provider asks for.
pub(super) fn asked_wait(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Busy { retry_after_ms, .. } => retry_after_ms.map(Duration::from_millis),
        _ => None,
    }
}

/// The wait before try number `tries`, counted from 0: doubled each time, and a random part of up to half taken off.
fn interval(tries: u32, jitter: &mut ChaCha8Rng) -> Duration {
    let (first, longest) = INTERVALS;
    let whole = first.saturating_mul(1 << tries.min(16)).min(longest);
    whole.mul_f64(jitter.random_range(0.5..=1.0))
}
