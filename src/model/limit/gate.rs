//! Waiting: who may go, who is next, and the one timer that wakes the first in the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::health::{self, Blame, Change, Health, Passage};
use super::rate::{Buckets, Told};
use super::window::Window;
use super::{LimitSettings, Notice};
use crate::model::{Call, CallError, Completion};
use crate::seed;

/// Longest pause for a wait that a provider asks for: whoever asks for more is tried in between, and told of.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whoever waits is told of a wait for the rate that is longer.
const TOLD: Duration = Duration::from_secs(5);

type Listener = Box<dyn Fn(&Notice) + Send + Sync>;

/// The gate; see the module above.
pub(super) struct Gate {
    state: Mutex<State>,
    /// A call that the provider has answered, in this process or for one before it.
    answerable: OnceLock<Arc<Call>>,
    listener: OnceLock<Listener>,
}

struct State {
    window: Window,
    buckets: Buckets,
    health: Health,
    in_flight: usize,
    /// Calls that have failed and aren't given up.
    failing: usize,
    /// Nobody goes before then: the provider asked for it.
    pause: Option<Instant>,
    /// Until when people know that nobody goes.
    told_until: Option<Instant>,
    /// In order of arrival.
    waiting: VecDeque<Waiting>,
    /// When the gate looks again by itself.
    timer: Option<Instant>,
    jitter: ChaCha8Rng,
}

struct Waiting {
    tokens: f64,
    admit: oneshot::Sender<Result<Permit, CallError>>,
}

/// One attempt that may be sent. Dropped without [`Permit::leave`], it was given up.
pub(super) struct Permit {
    gate: Arc<Gate>,
    tokens: f64,
    /// The window's when it was let through.
    epoch: u64,
    /// Whether it tries a provider that is out.
    is_try: bool,
    /// What is to be asked for that in place of the call that it was given to.
    probe: Option<Arc<Call>>,
    left: bool,
}

/// A call that has failed and goes on.
pub(in crate::model) struct Failing(Arc<Gate>);

impl Drop for Failing {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.failing = state.failing.saturating_sub(1);
    }
}

/// Whether the next call may go.
enum Admission {
    /// Yes; whether it is a try.
    Go(bool),
    /// Not before then.
    At(Instant),
    /// When another one comes back.
    Later,
}

impl Gate {
    pub(super) fn new(settings: &LimitSettings) -> Arc<Self> {
        let state = State {
            window: Window::new(settings.max_concurrency),
            buckets: Buckets::new(settings.requests_per_minute, settings.tokens_per_minute),
            health: Health::new(settings.max_outage, Arc::clone(&settings.begun)),
            in_flight: 0,
            failing: 0,
            pause: None,
            told_until: None,
            waiting: VecDeque::new(),
            timer: None,
            jitter: seed::generator(settings.seed, 0, "waits"),
        };
        Arc::new(Self { state: Mutex::new(state), answerable: OnceLock::new(), listener: OnceLock::new() })
    }

    /// Takes note that the provider has answered `call`. The first such call stays.
    pub(super) fn note_answerable(&self, call: &Call) {
        self.answerable.get_or_init(|| Arc::new(call.clone()));
    }

    pub(super) fn listen(&self, listener: Listener) {
        // A provider has one run, and a run one listener.
        let _ = self.listener.set(listener);
    }

    /// Waits until `call` may be sent.
    ///
    /// # Errors
    /// [`CallError::Outage`] when the provider was out for too long.
    pub(super) async fn enter(self: &Arc<Self>, call: &Call) -> Result<Permit, CallError> {
        let admitted = {
            let mut state = self.lock();
            let tokens = state.buckets.estimate(&call.request);
            if state.waiting.is_empty()
                && let Admission::Go(is_try) = state.admission(tokens)
            {
                return Ok(self.permit(&mut state, tokens, is_try));
            }
            let (admit, admitted) = oneshot::channel();
            state.waiting.push_back(Waiting { tokens, admit });
            admitted
        };
        self.admit();
        // A sender is dropped with the gate alone, which this call holds.
        admitted.await.unwrap_or(Err(CallError::Interrupted))
    }

    /// A call has failed for the first time; it counts as failing until what is returned is dropped.
    pub(super) fn begin_failing(self: &Arc<Self>) -> Failing {
        self.lock().failing += 1;
        Failing(Arc::clone(self))
    }

    fn permit(self: &Arc<Self>, state: &mut State, tokens: f64, is_try: bool) -> Permit {
        // Those who wait, and the one that goes.
        let have_all_failed = state.failing > state.waiting.len();
        let probe = self.answerable.get().filter(|_| is_try && state.health.is_probe_due(have_all_failed)).cloned();
        state.take(tokens, is_try);
        Permit { gate: Arc::clone(self), tokens, epoch: state.window.epoch(), is_try, probe, left: false }
    }

    /// Lets through whoever may go, and sees to it that the gate looks again in time.
    fn admit(self: &Arc<Self>) {
        let held = self.admit_all();
        self.tell(held);
    }

    /// What people should know of the wait of those who may not go.
    fn admit_all(self: &Arc<Self>) -> Option<Notice> {
        loop {
            let (waiting, permit) = {
                let mut state = self.lock();
                while state.waiting.front().is_some_and(|waiting| waiting.admit.is_closed()) {
                    state.waiting.pop_front();
                }
                let tokens = state.waiting.front().map(|waiting| waiting.tokens)?;
                match state.admission(tokens) {
                    Admission::Later => return None,
                    Admission::At(when) => {
                        self.look_again(&mut state, when);
                        return state.held_until(when);
                    }
                    Admission::Go(is_try) => {
                        let waiting = state.waiting.pop_front()?;
                        (waiting, self.permit(&mut state, tokens, is_try))
                    }
                }
            };
            // One that was given up in this moment drops its permit, which gives the place back: without the lock.
            let _ = waiting.admit.send(Ok(permit));
        }
    }

    /// Looks again at `when`. One timer serves all who wait.
    fn look_again(self: &Arc<Self>, state: &mut State, when: Instant) {
        if state.timer.is_some_and(|timer| timer <= when) {
            return;
        }
        state.timer = Some(when);
        let gate = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(when).await;
            let Some(gate) = gate.upgrade() else { return };
            {
                let mut state = gate.lock();
                if state.timer == Some(when) {
                    state.timer = None;
                }
            }
            gate.admit();
        });
    }

    pub(super) fn told(&self, told: &Told) {
        let mut state = self.lock();
        let in_flight = state.in_flight;
        state.buckets.told(told, in_flight, Instant::now());
    }

    pub(super) fn blame(&self, error: &CallError, failing_since: Instant) -> Blame {
        let mut state = self.lock();
        let others = state.waiting.iter().filter(|waiting| !waiting.admit.is_closed()).take(8).count();
        state.health.blame(error, failing_since, others, self.can_probe(), Instant::now())
    }

    pub(super) fn blame_at_last(&self, error: &CallError, failing_since: Instant) -> Blame {
        let mut state = self.lock();
        let State { health, jitter, window, .. } = &mut *state;
        let blame = health.blame_at_last(error, failing_since, self.can_probe(), Instant::now(), jitter);
        if blame == Blame::Provider {
            window.restart();
        }
        blame
    }

    fn can_probe(&self) -> bool {
        self.answerable.get().is_some()
    }

    pub(super) fn jitter(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.lock().jitter.random_range(0.0..=1.0))
    }

    fn tell(&self, notice: Option<Notice>) {
        if let (Some(listener), Some(notice)) = (self.listener.get(), notice) {
            listener(&notice);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere could leave half changed are numbers that correct themselves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a call of `tokens` may go now. Where nothing is limited but the number at once, no clock is read.
    fn admission(&mut self, tokens: f64) -> Admission {
        if !self.health.is_up() {
            return match self.health.passage(Instant::now()) {
                Passage::Free => Admission::Go(false),
                Passage::Try => Admission::Go(true),
                Passage::At(when) => Admission::At(when),
                Passage::Later => Admission::Later,
            };
        }
        if let Some(pause) = self.pause {
            if pause > Instant::now() {
                return Admission::At(pause);
            }
            self.pause = None;
        }
        if self.in_flight >= self.window.places() {
            return Admission::Later;
        }
        if self.buckets.are_none() {
            return Admission::Go(false);
        }
        self.buckets.ready_at(tokens, Instant::now()).map_or(Admission::Go(false), Admission::At)
    }

    /// What people should know of a wait until `when`, once. Of an outage they are told in its own way.
    fn held_until(&mut self, when: Instant) -> Option<Notice> {
        let now = Instant::now();
        let next_call = when.saturating_duration_since(now);
        if !self.health.is_up() || next_call < TOLD || self.told_until.is_some_and(|until| until > now) {
            return None;
        }
        self.told_until = Some(when);
        Some(Notice::Held { next_call })
    }

    fn take(&mut self, tokens: f64, is_try: bool) {
        self.in_flight += 1;
        self.buckets.take(tokens);
        if is_try {
            self.health.begin_try();
        }
    }

    /// The provider asks to wait: everybody does, and only few go first afterwards.
    fn pause(&mut self, asked: Duration, now: Instant) {
        // The random part keeps several processes apart.
        let random = self.jitter.random_range(0.0..=0.05);
        let until = now + asked.min(LONGEST_PAUSE).mul_f64(1.0 + random);
        self.pause = self.pause.max(Some(until));
        self.window.restart();
    }
}

impl Permit {
    /// The call to ask in place of the one that goes: whether the provider is back matters more than what that one gets.
    pub(super) fn probe(&self) -> Option<Arc<Call>> {
        self.probe.clone()
    }

    /// The attempt, sent at `sent`, has ended with `result`.
    ///
    /// # Errors
    /// [`CallError::Outage`] in place of the result's error, when this was the last that a provider was waited for.
    pub(super) fn leave(
        mut self,
        result: &Result<Completion, CallError>,
        sent: Instant,
        now: Instant,
    ) -> Result<(), CallError> {
        self.left = true;
        let mut over = None;
        let notice = {
            let mut state = self.gate.lock();
            state.in_flight -= 1;
            match result {
                Ok(completion) => {
                    state.buckets.settle(self.tokens, &completion.usage);
                    state.window.answered();
                    state.health.answered(sent, self.probe.is_some(), now)
                }
                Err(error) => {
                    state.buckets.release(self.tokens, matches!(error, CallError::Busy { .. }));
                    if error.is_refusal() || error.is_denial() {
                        // A refusal is an answer too.
                        state.health.answered(sent, self.probe.is_some(), now)
                    } else {
                        self.failed(&mut state, error, now, &mut over)
                    }
                }
            }
        };
        self.gate.tell(notice);
        if let Some((error, waiting)) = over {
            for waiting in waiting {
                let _ = waiting.admit.send(Err(error.clone()));
            }
            return Err(error);
        }
        self.gate.admit();
        Ok(())
    }

    /// Takes note of `error`; `over` becomes what everybody is to be told in place of an admission.
    fn failed(
        &self,
        state: &mut State,
        error: &CallError,
        now: Instant,
        over: &mut Option<(CallError, VecDeque<Waiting>)>,
    ) -> Option<Notice> {
        if !error.is_transient() {
            // It didn't come from the provider.
            if self.is_try {
                state.health.abandon_try();
            }
            return None;
        }
        if matches!(error, CallError::Busy { .. }) && state.health.is_up() {
            state.window.overloaded(self.epoch);
        }
        let State { health, jitter, .. } = &mut *state;
        match health.failed(error, self.is_try, now, jitter) {
            Change::Over(error) => {
                *over = Some((error, std::mem::take(&mut state.waiting)));
                return None;
            }
            Change::WentDown => state.window.restart(),
            Change::None if state.health.is_up() => {
                if let Some(asked) = health::asked_wait(error).filter(|asked| !asked.is_zero()) {
                    state.pause(asked, now);
                }
                return None;
            }
            Change::None if !self.is_try => return None,
            Change::None => {}
        }
        state.health.notice(now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        {
            let mut state = self.gate.lock();
            state.in_flight -= 1;
            state.buckets.release(self.tokens, false);
            if self.is_try {
                state.health.abandon_try();
            }
        }
        self.gate.admit();
    }
}
