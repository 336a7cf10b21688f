//! How a run begins where calls are short: the cheap things first. Examples need no model and are worth more than any
//! edit, and measuring the baseline on train takes as many calls as asking the gate about them, so the gate is asked
//! before that, without a race.

use super::generation::State;
use super::meter::Meter;
use super::question::Question;
use super::{Halt, Search, race};
use crate::propose::Sets;

impl Search<'_> {
    /// Whether the run opens with examples. Only where calls are limited: how many of them tokens or money leave is not known
    /// before the first answer.
    pub(super) fn opens(&self, state: &State) -> bool {
        if self.account.has_estimates() {
            return false;
        }
        let is_covered = self.task_calls_left() >= 2 * self.gate_calls();
        self.is_short(state) && is_covered && !self.free(state, Sets::Whole, 1).is_empty()
    }

    /// Puts the largest set of examples that breaks no pinned row to the gate; whether it was kept. Nothing where there is
    /// none: then the generation goes on as usual. Unless it was kept, the baseline is measured on train after all.
    pub(super) async fn open(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        generation: u32,
    ) -> Result<Option<bool>, Halt> {
        state.opens = false;
        let mut kept = None;
        for (strategy, proposed) in self.free(state, self.opening_sets(state), generation) {
            let Some(candidate) = self.admit(state, strategy, None, None, Ok(proposed), generation)? else { continue };
            if self.gate_calls() <= self.task_calls_left()
                && self.pinned_broken_by(meter, state, &candidate, generation).await?.is_empty()
            {
                let parts = vec![candidate.id.clone()];
                kept = Some(self.ask_gate(meter, state, Question { candidate, parts }, generation).await?);
                break;
            }
        }
        if kept != Some(true) {
            // A question that was refused took the calls for most of it.
            let count = if kept.is_some() { self.rows_of_incumbent(state) } else { usize::MAX };
            state.incumbent.train = self.on_train(meter, state, &state.incumbent, count).await?;
        }
        Ok(kept)
    }

    /// What is offered: where no other question can follow, no rows need be left to compare on.
    fn opening_sets(&self, state: &State) -> Sets {
        let of_next = self.rows_of_incumbent(state) as u64 + u64::from(self.settings.proposals) * race::BLOCK as u64;
        if self.task_calls_left() < 2 * self.gate_calls() + of_next { Sets::All } else { Sets::Whole }
    }
}
