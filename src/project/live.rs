//! Keeping `live.json`: the file is written at most once a second, by a task of its own, so that it is up to date also
//! while nothing happens, and so that no row waits for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Models;
use crate::clock::{self, Clock};
use crate::model::Notice;
use crate::run::{Event, Held, LastEvent, Live, Outage, Progress, ProviderNotice, RunFolder, Spent, UnderWay};
use crate::search::Halt;

/// Time between two writes.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps one run's file for as long as this lives.
pub(super) struct LiveFile {
    shared: Arc<Shared>,
    _writer: AbortOnDropHandle<()>,
}

struct Shared {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    models: Arc<Models>,
    began: Duration,
    earlier_seconds: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Live,
    under_way: UnderWay,
    is_written: bool,
    has_ended: bool,
}

impl LiveFile {
    /// Begins to keep the file of the run in `folder`.
    pub fn new(folder: &RunFolder, clock: Arc<dyn Clock>, models: Arc<Models>) -> Self {
        let began = clock.now();
        let shared = Arc::new(Shared {
            earlier_seconds: Spent::read(&folder.path).seconds,
            folder: folder.path.clone(),
            began,
            models,
            state: Mutex::default(),
            clock,
        });
        shared.state().live = Live { since: clock::timestamp(began), ..Live::default() };
        let writing = Arc::clone(&shared);
        let writer = tokio::spawn(async move {
            loop {
                writing.write();
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { shared, _writer: AbortOnDropHandle::new(writer) }
    }

    /// Takes in one event.
    pub fn take(&self, event: &Event) {
        match event {
            Event::Measured(_) => {}
            Event::Progress(progress) => self.shared.progress(progress),
            Event::Provider(seen) => self.shared.provider(seen),
            event => self.shared.decided(event),
        }
    }

    /// The run has ended as planned, or is about to: what it came to is in its journal.
    pub fn ended(&self) {
        let mut state = self.shared.state();
        // The writer may be about to write once more.
        state.has_ended = true;
        Live::remove(&self.shared.folder);
    }

    /// The process stops before the run's end.
    pub fn halted(&self, halt: &Halt) {
        {
            let mut state = self.shared.state();
            state.live.halted = Some(halt.to_string());
            (state.is_written, state.has_ended) = (false, false);
        }
        self.shared.write();
    }
}

impl Shared {
    fn progress(&self, progress: &Progress) {
        let mut state = self.state();
        let state = &mut *state;
        state.under_way.take(progress);
        let live = &mut state.live;
        if live.stage != progress.stage || live.generation != progress.generation {
            live.stage = progress.stage.to_owned();
            live.generation = progress.generation;
            live.stage_since = clock::timestamp(self.clock.now());
        }
        (live.done, live.of, live.score) = state.under_way.sum();
        live.trying = state.under_way.trying(progress);
        state.is_written = false;
    }

    fn provider(&self, seen: &ProviderNotice) {
        let mut state = self.state();
        let (now, role) = (self.clock.now(), seen.role);
        match &seen.notice {
            Notice::Held { next_call } => {
                state.live.held = Some(Held { role, until: clock::timestamp(now + *next_call) });
            }
            Notice::Down { error, down_for, next_try } => {
                state.live.paused = Some(seen.words());
                state.live.outage = Some(Outage {
                    role,
                    error: error.clone(),
                    since: clock::timestamp(now.saturating_sub(*down_for)),
                    next_try: clock::timestamp(now + *next_try),
                });
            }
            Notice::Up { .. } => (state.live.paused, state.live.outage) = (None, None),
        }
        state.is_written = false;
    }

    fn decided(&self, event: &Event) {
        let Some(name) = event.name() else { return };
        let mut state = self.state();
        if matches!(event, Event::FellBack(_)) {
            // Nobody waits for that model any more.
            (state.live.paused, state.live.outage) = (None, None);
        }
        state.live.last = Some(LastEvent { event: name, at: clock::timestamp(self.clock.now()) });
        state.is_written = false;
    }

    fn write(&self) {
        let mut state = self.state();
        if state.has_ended || std::mem::replace(&mut state.is_written, true) {
            return;
        }
        let now = self.clock.now();
        state.live.updated = clock::timestamp(now);
        state.live.seconds = self.earlier_seconds + now.saturating_sub(self.began).as_secs_f64();
        state.live.spend = self.models.spend();
        state.live.lost = self.models.budget().lost();
        // Only those who look on miss it; what matters is in the journal, where an error ends the run.
        let _ = state.live.write(&self.folder);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
