//! How thorough a generation is, by the calls that are left for it: a run with few of them must not have spent all after
//! three generations, and one with many should not decide on a few rows.

use super::generation::State;
use super::{Search, race};

/// Calls are short where a generation's share of them is less than so many questions to the gate.
const SHORT: u64 = 4;

/// Least train rows on which a new incumbent is measured: enough to diagnose and to race on.
const LEAST_OF_INCUMBENT: usize = 28;

/// The measuring of a new incumbent takes one call in so many of a generation's share.
const SHARE_OF_INCUMBENT: u64 = 8;

impl Search<'_> {
    /// Generations that the run may still have, the one under way among them.
    pub(super) fn generations_left(&self, state: &State) -> u32 {
        self.settings.generations.saturating_sub(state.whole)
    }

    /// The calls of the generation under way, if all that are left are shared out evenly.
    fn share(&self, state: &State) -> u64 {
        self.task_calls_left() / u64::from(self.generations_left(state).max(1))
    }

    /// Whether calls are so short that a question to the gate has to be worth them.
    pub(super) fn is_short(&self, state: &State) -> bool {
        self.share(state) < SHORT * self.gate_calls()
    }

    /// Train rows on which a new incumbent is measured.
    pub(super) fn rows_of_incumbent(&self, state: &State) -> usize {
        let share = self.share(state) / SHARE_OF_INCUMBENT;
        usize::try_from(share).unwrap_or(usize::MAX).max(LEAST_OF_INCUMBENT)
    }

    /// Train rows that a candidate runs before it is taken to be ahead: what a generation can spend besides its question
    /// to the gate, shared out to its proposals.
    pub(super) fn rows_of_candidate(&self, state: &State) -> usize {
        let races = self.share(state).saturating_sub(self.gate_calls());
        let rows = races / u64::from(self.settings.proposals).max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).max(2 * race::BLOCK)
    }
}
