//! Measuring within a search: remembers what was measured, shows progress, and keeps the errors that decisions rest
//! on, so that they can be journalled in an order that doesn't depend on timing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Halt;
use crate::dataset::Example;
use crate::digest::Digest;
use crate::eval::{Evaluate, Objective, Outcome, OutcomeError, Tally};
use crate::model::CallError;
use crate::prompt::PromptSet;
use crate::run::{Event, FailedRows, Measured, Progress, RowFailed, Sink};

/// Measures prompts on rows.
pub(super) struct Meter<'a> {
    evaluate: &'a dyn Evaluate,
    sink: &'a dyn Sink,
    /// What the score is that people see.
    objective: &'a Objective,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    outcomes: BTreeMap<(Digest, u32), BTreeMap<String, Outcome>>,
    /// Errors that an interrupted run has journalled: given again, not asked for.
    recorded: FailedRows,
    /// Errors met and not yet journalled.
    unjournalled: FailedRows,
}

/// From so many rows on, and this share of an evaluation, that fail for a passing reason after all retries, they are no
/// longer bad rows but a provider that is out.
const OUTAGE: (usize, f64) = (8, 0.25);

/// The error of a provider that is out, where `outcomes` show it. Nothing is decided on them, or journalled: the run
/// halts, and asks for the missing rows again when it is resumed.
fn outage(outcomes: &[Outcome]) -> Option<&OutcomeError> {
    let errors = || outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    // A program that dies of what it is asked is no provider that is out.
    let is_passing = |error: &CallError| error.is_transient() && !matches!(error, CallError::Crashed(_));
    let passing = || errors().filter(|error| matches!(error, OutcomeError::Call(error) if is_passing(error)));
    let (rows, share) = OUTAGE;
    let failed = passing().count();
    let is_out = failed >= rows && failed as f64 >= share * outcomes.len() as f64;
    passing().next().filter(|_| is_out)
}

/// The halt of a baseline of which more rows could not run than could: the scorer, the program or the model is at fault,
/// and not so many rows.
pub(super) fn few_ran(outcomes: &[Outcome]) -> Option<Halt> {
    let errors = || outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    let (rows, ran) = (outcomes.len(), outcomes.len() - errors().count());
    let error = errors().next().filter(|_| 2 * ran < rows)?.clone();
    Some(Halt::FewRan { ran, rows, error })
}

/// The stage at which the sealed test is open.
pub(super) const TEST: &str = "test";

/// What is being measured, for people.
#[derive(Debug, Clone)]
pub(super) struct Doing {
    pub generation: u32,
    pub stage: &'static str,
    pub trying: String,
}

impl<'a> Meter<'a> {
    pub fn new(evaluate: &'a dyn Evaluate, sink: &'a dyn Sink, recorded: FailedRows, objective: &'a Objective) -> Self {
        let memory = Memory { recorded, ..Memory::default() };
        Self { evaluate, sink, objective, memory: Mutex::new(memory) }
    }

    pub fn is_deterministic(&self) -> bool {
        self.evaluate.is_deterministic()
    }

    /// One outcome a row, in the order of `rows`; asks only for what is not known.
    pub async fn measure(
        &self,
        prompts: &Arc<PromptSet>,
        rows: &[Arc<Example>],
        sample: u32,
        doing: &Doing,
    ) -> Result<Vec<Outcome>, Halt> {
        let digest = prompts.digest();
        let (unknown, mut outcomes) = self.take_recorded(digest, rows, sample);
        if !unknown.is_empty() {
            let tally = Mutex::new(Tally::default());
            let candidate = digest.short();
            let on_outcome = |outcome: &Outcome| {
                // Told in the order in which they are counted.
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                let (done, score) = tally.take(outcome, self.objective);
                self.sight(doing, &candidate, (done, unknown.len()), score);
            };
            let evaluation = self.evaluate.evaluate(prompts, &unknown, sample, &on_outcome).await?;
            if let Some(outage) = outage(&evaluation.outcomes) {
                return Err(outage.clone().into());
            }
            self.remember(digest, sample, &evaluation.outcomes);
            outcomes.extend(evaluation.outcomes);
        }
        if !outcomes.is_empty() {
            let places: BTreeMap<&str, usize> =
                rows.iter().enumerate().map(|(place, row)| (row.id.as_str(), place)).collect();
            outcomes.sort_by_key(|outcome| places.get(outcome.example.id.as_str()).copied());
            self.sink.emit(Event::Measured(Measured {
                generation: doing.generation,
                sealed: doing.stage == TEST,
                candidate: digest.short(),
                outcomes,
            }))?;
        }
        let memory = self.memory();
        let known = memory.outcomes.get(&(digest, sample));
        Ok(rows.iter().filter_map(|row| known.and_then(|known| known.get(&row.id)).cloned()).collect())
    }

    /// First draws of `prompts` on `rows`, where all of them are known: asks for nothing.
    pub fn known(&self, prompts: &PromptSet, rows: &[Arc<Example>]) -> Option<Vec<Outcome>> {
        let memory = self.memory();
        let known = memory.outcomes.get(&(prompts.digest(), 0))?;
        rows.iter().map(|row| known.get(&row.id).cloned()).collect()
    }

    /// Of how many of `rows` this draw is not known yet.
    pub fn unknown(&self, prompts: &PromptSet, rows: &[Arc<Example>], sample: u32) -> u64 {
        let memory = self.memory();
        let known = memory.outcomes.get(&(prompts.digest(), sample));
        rows.iter().filter(|row| known.is_none_or(|known| !known.contains_key(&row.id))).count() as u64
    }

    /// Outcomes measured so far, live or stored: a measure of the search's size that a resumed run has too.
    pub fn measured(&self) -> u64 {
        self.memory().outcomes.values().map(|known| known.len() as u64).sum()
    }

    /// Those of `rows` whose first draw is known or can be had for `calls` calls.
    pub fn within(&self, prompts: &PromptSet, rows: &[Arc<Example>], calls: u64) -> Vec<Arc<Example>> {
        let memory = self.memory();
        let known = memory.outcomes.get(&(prompts.digest(), 0));
        let mut left = calls;
        let mut affordable = |row: &&Arc<Example>| {
            let is_known = known.is_some_and(|known| known.contains_key(&row.id));
            let is_affordable = is_known || left > 0;
            left -= u64::from(!is_known && is_affordable);
            is_affordable
        };
        rows.iter().filter(|row| affordable(row)).cloned().collect()
    }

    /// Journals the errors met since the last call, in canonical order. Called before every decision.
    pub fn journal_failures(&self) -> Result<(), Halt> {
        let failures = std::mem::take(&mut self.memory().unjournalled);
        for ((prompts, example, sample), error) in failures {
            self.sink.emit(Event::RowFailed(RowFailed { prompts, example, sample, error }))?;
        }
        Ok(())
    }

    /// Says what is being done before any row of it is.
    pub fn announce(&self, doing: &Doing) {
        self.sight(doing, "", (0, 0), 0.0);
    }

    /// Rows not known yet, and the outcomes of those whose error is on record, which become known on the way.
    fn take_recorded(&self, digest: Digest, rows: &[Arc<Example>], sample: u32) -> (Vec<Arc<Example>>, Vec<Outcome>) {
        let mut memory = self.memory();
        let (mut unknown, mut recorded) = (Vec::new(), Vec::new());
        for row in rows {
            if memory.outcomes.get(&(digest, sample)).is_some_and(|known| known.contains_key(&row.id)) {
                continue;
            }
            let key = (digest, row.id.clone(), sample);
            if let Some(error) = memory.recorded.get(&key).cloned() {
                memory.unjournalled.insert(key, error.clone());
                let outcome = Outcome { example: Arc::clone(row), sample, result: Err(error) };
                recorded.push(outcome.clone());
                memory.outcomes.entry((digest, sample)).or_default().insert(row.id.clone(), outcome);
            } else {
                unknown.push(Arc::clone(row));
            }
        }
        (unknown, recorded)
    }

    fn remember(&self, digest: Digest, sample: u32, outcomes: &[Outcome]) {
        let mut memory = self.memory();
        for outcome in outcomes {
            let id = outcome.example.id.clone();
            if let Err(error) = &outcome.result {
                memory.unjournalled.insert((digest, id.clone(), sample), error.clone());
            }
            memory.outcomes.entry((digest, sample)).or_default().insert(id, outcome.clone());
        }
    }

    fn sight(&self, doing: &Doing, candidate: &str, (done, of): (usize, usize), score: f64) {
        let progress = Progress {
            generation: doing.generation,
            stage: doing.stage,
            trying: doing.trying.clone(),
            candidate: candidate.to_owned(),
            done,
            of,
            score,
        };
        // Progress is a sighting: a terminal that is gone must not end the run.
        let _ = self.sink.emit(Event::Progress(progress));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing;

    /// `ran` rows that ran and `failed` ones with `error`.
    fn outcomes(ran: usize, failed: usize, error: &CallError) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = (0..ran + failed).map(|row| testing::outcome(row, 1.0)).collect();
        outcomes[ran..].iter_mut().for_each(|outcome| outcome.result = Err(error.clone().into()));
        outcomes
    }

    #[test]
    fn many_rows_that_fail_for_a_passing_reason_are_an_outage_and_bad_rows_are_not() {
        let passing = CallError::Transient("503".into());
        assert!(outage(&outcomes(0, 16, &passing)).is_some());
        assert!(outage(&outcomes(24, 8, &passing)).is_some());
        assert!(outage(&outcomes(0, 7, &passing)).is_none(), "few rows may all be bad ones");
        assert!(outage(&outcomes(25, 8, &passing)).is_none(), "some rows of many");
        assert!(outage(&outcomes(0, 16, &CallError::Rejected("content".into()))).is_none());
    }

    #[test]
    fn a_baseline_of_which_most_rows_can_not_run_decides_nothing() {
        let error = CallError::Rejected("content".into());
        for (ran, failed) in [(0, 1), (2, 3), (2, 94)] {
            let halt = few_ran(&outcomes(ran, failed, &error)).unwrap().to_string();
            assert!(
                halt.starts_with(&format!("only {ran} of {} rows of the baseline could run", ran + failed)),
                "{halt}"
            );
            assert!(halt.ends_with("content"), "{halt}");
        }
        for (ran, failed) in [(1, 1), (2, 2), (48, 1), (4, 0)] {
            assert!(few_ran(&outcomes(ran, failed, &error)).is_none(), "{failed} of {}", ran + failed);
        }
    }
}
