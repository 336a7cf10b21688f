//! What the search does where a model can't be had any more and another one takes its place.
//!
//! Scores of two models can't be compared, so nothing that the one answered or judged is compared with anything of the
//! other: the generation under way ends and doesn't count, the incumbent and the noise are measured anew, and the search goes on from
//! there; the sealed test is the last one's alone. Only proposals are nobody's score: another proposer is asked for those
//! that are missing, and nothing else changes. When a model is given up depends on the clock and the network, so each
//! change is journalled, and a resumed run makes it at the same place.

use std::sync::Arc;

use futures_util::future::join_all;

use super::generation::State;
use super::meter::{Doing, Meter};
use super::{GateSettings, Halt, Revision, Search};
use crate::dataset::Split;
use crate::eval::OutcomeError;
use crate::model::{BoxFuture, CallError, ModelRole};
use crate::propose::{Ask, Dropped, Proposed, quoted_rows};
use crate::run::{Break, Event, FellBack, IncumbentMeasured};

/// The models that can take the place of those of a run.
pub trait Standby: Send + Sync {
    /// Whose model met `error`. A role without a model of its own has the task's.
    fn whose(&self, error: &CallError) -> ModelRole;

    /// Puts the next model that can be reached in the place of that of `role`, which met `error` in `generation`; nothing
    /// where there is none.
    fn take_over<'a>(
        &'a self,
        role: ModelRole,
        generation: u32,
        error: &'a CallError,
    ) -> BoxFuture<'a, Option<FellBack>>;

    /// Makes a change that an interrupted run made.
    ///
    /// # Errors
    /// The model can't be set up.
    fn repeat<'a>(&'a self, change: &'a FellBack) -> BoxFuture<'a, Result<(), CallError>>;

    /// [`GateSettings::judge_noise`] of the models that judge at the moment; nothing where they are those of the settings.
    fn judge_noise(&self) -> Option<f64> {
        None
    }
}

/// No model but those of the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Standby for Alone {
    fn whose(&self, _error: &CallError) -> ModelRole {
        ModelRole::Task
    }

    fn take_over<'a>(
        &'a self,
        _role: ModelRole,
        _generation: u32,
        _error: &'a CallError,
    ) -> BoxFuture<'a, Option<FellBack>> {
        Box::pin(std::future::ready(None))
    }

    fn repeat<'a>(&'a self, change: &'a FellBack) -> BoxFuture<'a, Result<(), CallError>> {
        let problem = format!("the run took {} as the {} model, which isn't there", change.model, change.role);
        Box::pin(std::future::ready(Err(CallError::Local(problem))))
    }
}

impl Search<'_> {
    /// Another model in the place of the one that answers or judges and for which the search halts.
    ///
    /// # Errors
    /// The halt, where it has another reason, or no model can take over.
    pub(super) async fn fall_back(&self, meter: &Meter<'_>, state: &mut State, halt: Halt) -> Result<(), Halt> {
        let error = match &halt {
            Halt::Fault(error) => Some(error),
            Halt::FewRan { error, .. } => Some(error.as_ref()),
            _ => None,
        };
        let error = match error {
            Some(OutcomeError::Call(error)) if error.is_providers() => error.clone(),
            _ => return Err(halt),
        };
        let role = match self.recorded_change(state) {
            Some(change) => change.role,
            None => self.standby.whose(&error),
        };
        // A proposer of its own was replaced where its proposals were missing, if it could be.
        if role == ModelRole::Proposer || !self.change(meter, state, role, &error).await? {
            return Err(halt);
        }
        state.changes += 1;
        Ok(())
    }

    /// The recorded change of a model that comes next, where that is what comes next.
    fn recorded_change(&self, state: &State) -> Option<&FellBack> {
        match self.recorded.breaks.get(state.breaks) {
            Some(Break::FellBack(change)) => Some(change),
            _ => None,
        }
    }

    /// Changes the model of `role`, which met `error`, as it is recorded or else as it can be done now; whether that was
    /// so.
    async fn change(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        role: ModelRole,
        error: &CallError,
    ) -> Result<bool, Halt> {
        let change = match self.recorded_change(state) {
            Some(change) => {
                self.standby.repeat(change).await.map_err(OutcomeError::Call)?;
                change.clone()
            }
            None => match self.standby.take_over(role, state.generation, error).await {
                Some(change) => change,
                None => return Ok(false),
            },
        };
        // What was measured to its end stays so in a resumed run: with the rows that failed.
        meter.journal_failures()?;
        self.take_break(state, Event::FellBack(change))?;
        Ok(true)
    }

    /// What the proposer says to `asks`. Where it can't be had, another one is asked for what is missing.
    pub(super) async fn replies(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        asks: &[Ask],
        generation: u32,
    ) -> Result<Vec<Result<Proposed, Dropped>>, Halt> {
        let mut replies = join_all(asks.iter().map(|ask| self.reply(ask, generation))).await;
        loop {
            let recorded = self.recorded_change(state).filter(|change| change.generation == generation);
            let error = match recorded.filter(|change| change.role == ModelRole::Proposer) {
                Some(change) => Some(CallError::Outage(change.reason.clone())),
                None => replies.iter().find_map(|reply| fault(reply).cloned()),
            };
            let Some(error) = error else { return Ok(replies) };
            let is_own = recorded.is_some() || self.standby.whose(&error) == ModelRole::Proposer;
            if !is_own || !self.change(meter, state, ModelRole::Proposer, &error).await? {
                return Ok(replies);
            }
            for (reply, ask) in replies.iter_mut().zip(asks) {
                if fault(reply).is_some() {
                    *reply = self.reply(ask, generation).await;
                }
            }
        }
    }

    async fn reply(&self, ask: &Ask, generation: u32) -> Result<Proposed, Dropped> {
        match self.recorded.asks.get(&(generation, ask.slot)) {
            Some(error) => Err(Dropped::Call(error.clone())),
            None => self.propose.propose(ask).await,
        }
    }

    /// The incumbent, which is not the starting prompt, as the models see it that answer and judge from here on.
    pub(super) async fn measure_anew(&self, meter: &Meter<'_>, state: &State) -> Result<Revision, Halt> {
        let generation = state.generation;
        let doing = |trying: &str| Doing { generation, stage: "baseline", trying: trying.to_owned() };
        let rows = self.dataset.rows(Split::Dev);
        let before = self.first_draws(meter, &self.baseline, &rows, &doing("the baseline anew")).await?;
        let dev = meter.measure(&state.incumbent.prompts, &rows, 0, &doing("the incumbent anew")).await?;
        let mut incumbent = Revision { train: Vec::new(), dev, ..state.incumbent.clone() };
        incumbent.train = self.on_train(meter, state, &incumbent, self.rows_of_incumbent(state)).await?;
        let objective = &self.settings.objective;
        self.sink.emit(Event::IncumbentMeasured(IncumbentMeasured {
            generation,
            incumbent: incumbent.id.clone(),
            train: objective.summary(&incumbent.train),
            dev: objective.summary(&incumbent.dev),
            baseline_dev: objective.summary(&before),
        }))?;
        Ok(incumbent)
    }

    /// The gate's settings: a judge that took over has the noise of its own calibration, or none.
    pub(super) fn gate(&self) -> GateSettings {
        let gate = self.settings.gate;
        GateSettings { judge_noise: self.standby.judge_noise().unwrap_or(gate.judge_noise), ..gate }
    }

    /// The baseline before it is measured.
    pub(super) fn unmeasured(&self) -> Revision {
        Revision {
            id: self.baseline.digest().short(),
            prompts: Arc::clone(&self.baseline),
            quoted: quoted_rows(self.dataset.rows(Split::Train), &self.baseline),
            train: Vec::new(),
            dev: Vec::new(),
        }
    }
}

/// Why there is no reply, where no later one can be had from this proposer either.
fn fault(reply: &Result<Proposed, Dropped>) -> Option<&CallError> {
    match reply {
        Err(Dropped::Call(error)) if error.is_systemic() && error.is_providers() => Some(error),
        _ => None,
    }
}
