//! What the search asks of whoever keeps the run's account, and how it stops at a limit.
//!
//! Two kinds of questions. [`Account::left`] rests on the answers that the run has paid for: the same in a resumed run,
//! so that decisions may rest on it. [`Account::shortage`] also knows the clock and what got lost: what rests on it is
//! journalled, and a resumed run goes by the journal.

use std::collections::BTreeMap;

use super::generation::State;
use super::meter::Meter;
use super::{Halt, Search};
use crate::dataset::Split;
use crate::eval::OutcomeError;
use crate::model::{Amount, CallError, ModelRole};
use crate::run::{AttemptsLost, Break, During, Event, LimitReached, Stopped};

/// The run's account. By default nothing is limited.
pub trait Account: Send + Sync {
    /// Calls of `role` that may still be made beside what is kept back, by what the run's answers have cost and what
    /// [`Account::count_lost`] said; `u64::MAX` without a limit.
    fn left(&self, _role: ModelRole) -> u64 {
        u64::MAX
    }

    /// The limit that leaves the fewest calls of `role`, as the config has it.
    fn limit(&self, _role: ModelRole) -> Option<String> {
        None
    }

    /// Why so many further calls, by role, can't be had, going by all that is known now.
    fn shortage(&self, _calls: &BTreeMap<ModelRole, u64>) -> Option<CallError> {
        None
    }

    /// What attempts without an answer count as so far, by role; empty where nothing is limited.
    fn lost(&self) -> BTreeMap<ModelRole, Amount> {
        BTreeMap::new()
    }

    /// Lets [`Account::left`] count so much as lost.
    fn count_lost(&self, _lost: BTreeMap<ModelRole, Amount>) {}

    /// Whether what a call takes is known only by the mean of those before: where money or tokens are limited.
    fn has_estimates(&self) -> bool {
        false
    }

    /// Keeps what so many task calls take back from now on, each role's in its own calls, tokens and money, of which each call
    /// of the task takes `takes` times the mean; 0 gives it free.
    fn keep_back(&self, _task_calls: u64, _takes: f64) {}

    /// Counts all that the run paid for: at its end, where a resumed run may not have come across every call again.
    ///
    /// # Errors
    /// The response store can't be read.
    fn settle(&self) -> Result<(), CallError> {
        Ok(())
    }

    /// Refuses every call that isn't stored with this error from now on; with none they are made again.
    fn close(&self, _reason: Option<CallError>) {}
}

/// An account without limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

impl Account for Unlimited {}

impl Search<'_> {
    /// Refuses calls up to the next break that is recorded: the run that was interrupted came to it, and so made none
    /// before it that isn't stored.
    pub(super) fn close_before_break(&self, state: &State) {
        self.account.close(self.recorded.breaks.get(state.breaks).map(|next| match next {
            Break::Limit(LimitReached { limit: Stopped::Time, .. }) => CallError::TimeUp,
            Break::Limit(reached) => CallError::Budget(reached.reason.clone()),
            Break::FellBack(fell_back) => CallError::Outage(fell_back.reason.clone()),
        }));
    }

    /// Journals a break and goes on to the next that is recorded.
    pub(super) fn take_break(&self, state: &mut State, event: Event) -> Result<(), Halt> {
        self.sink.emit(event)?;
        state.breaks += 1;
        self.close_before_break(state);
        Ok(())
    }

    /// Calls that the sealed test takes; as everywhere in the search, a call is a row's outcome, however many answers of
    /// the target that takes. Only the account counts those.
    pub(super) fn test_calls(&self) -> u64 {
        2 * self.dataset.rows(Split::Test).len() as u64
    }

    /// Whether a limit forbids to begin `generation`; journalled where it does.
    pub(super) fn forbidden(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        generation: u32,
    ) -> Result<Option<Stopped>, Halt> {
        self.keep_back_test(meter, &state.incumbent.prompts);
        let task_calls = self.least_calls(meter, state);
        if self.recorded.begun >= generation {
            return Ok(None);
        }
        if let Some(Break::Limit(reached)) = self.recorded.breaks.get(state.breaks)
            && (reached.generation, reached.during) == (generation, During::Before)
        {
            return self.stop_at(state, reached.clone()).map(Some);
        }
        let proposals = u64::from(self.settings.proposals).min(self.proposer_calls_left());
        let answers = task_calls.saturating_mul(self.evaluate.answers_a_row());
        let scoring = self.settings.calls.scoring;
        let of_scorers = [(ModelRole::Judge, scoring.judge), (ModelRole::Embedder, scoring.embedder)];
        let mut needs = BTreeMap::from([(ModelRole::Task, answers), (ModelRole::Proposer, proposals)]);
        let of_scorers = of_scorers.map(|(role, of_one)| (role, answers.saturating_mul(of_one)));
        needs.extend(of_scorers.into_iter().filter(|(_, calls)| *calls > 0));
        match self.account.shortage(&needs) {
            Some(error) => Ok(Some(self.reached(state, &error, generation, During::Before)?)),
            None => Ok(None),
        }
    }

    /// Lets the generation's decisions count what got lost so far; journalled where that is news.
    pub(super) fn count_lost(&self, state: &mut State, generation: u32) -> Result<(), Halt> {
        let lost = match self.recorded.lost.get(&generation) {
            Some(recorded) => Some(recorded.clone()),
            None if self.recorded.begun >= generation => None,
            None => Some(self.account.lost()).filter(|lost| *lost != state.lost),
        };
        let Some(lost) = lost else { return Ok(()) };
        self.account.count_lost(lost.clone());
        state.lost.clone_from(&lost);
        self.sink.emit(Event::AttemptsLost(AttemptsLost { generation, lost }))?;
        Ok(())
    }

    /// Where a limit was reached: journals it and says which, so that the run ends as planned. Any other halt stays one.
    pub(super) fn at_limit(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        halt: Halt,
        during: During,
    ) -> Result<Stopped, Halt> {
        match halt {
            Halt::Fault(OutcomeError::Call(error)) if error.is_limit() => {
                meter.journal_failures()?;
                let generation = if during == During::Test { self.settings.generations } else { state.generation };
                self.reached(state, &error, generation, during)
            }
            other => Err(other),
        }
    }

    fn reached(&self, state: &mut State, error: &CallError, generation: u32, during: During) -> Result<Stopped, Halt> {
        let (limit, reason) = match error {
            CallError::Budget(reason) => (Stopped::Budget, reason.clone()),
            _ => (Stopped::Time, Stopped::Time.words().to_owned()),
        };
        self.stop_at(state, LimitReached { generation, during, limit, reason })
    }

    fn stop_at(&self, state: &mut State, reached: LimitReached) -> Result<Stopped, Halt> {
        let limit = reached.limit;
        if reached.during != During::Test {
            state.why = if limit == Stopped::Budget { reached.reason.clone() } else { String::new() };
        }
        self.take_break(state, Event::LimitReached(reached))?;
        Ok(limit)
    }
}
