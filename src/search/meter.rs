//! Measuring within a search: remembers what was measured, shows progress, and keeps the errors that decisions rest
//! on, so that they can be journalled in an order that doesn't depend on timing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Halt;
use super::weight::Taken;
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
    /// The prompts that were measured first, and some of the rows that they were answered on: asked anew, they show whether
    /// anything runs.
    witnesses: Option<(Arc<PromptSet>, Vec<Arc<Example>>)>,
    /// Prompts that are at fault themselves for many rows that could not run, and what the first of those met.
    unanswerable: BTreeMap<Digest, OutcomeError>,
    /// What the answers to each prompt have taken, and to all together.
    taken: BTreeMap<Digest, Taken>,
    taken_by_all: Taken,
}

/// From this share of an evaluation on, rows that fail are asked about: is it what they are asked with, or does nothing
/// run any more?
const SHARE: f64 = 0.25;

/// From so many such rows on, they are no bad rows that happen to be together.
const ROWS: usize = 8;

/// Rows that are asked anew, one after another, to find out whether anything runs.
const WITNESSES: usize = 3;

/// The first of the errors of `outcomes`, where so many met one that it may be nobody's row.
fn error_of_many(outcomes: &[&Outcome]) -> Option<OutcomeError> {
    let errors = || outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    errors().next().filter(|_| errors().count() as f64 >= SHARE * outcomes.len() as f64).cloned()
}

/// The error of a provider that is out, where the first `outcomes` show it. Nothing is decided on them, or journalled: the
/// run halts, and asks for the missing rows again when it is resumed.
fn outage(outcomes: &[Outcome]) -> Option<OutcomeError> {
    // A program that dies of what it is asked is no provider that is out.
    let is_passing = |error: &CallError| error.is_transient() && !matches!(error, CallError::Crashed(_));
    let errors = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    let passing: Vec<&OutcomeError> =
        errors.filter(|error| matches!(error, OutcomeError::Call(error) if is_passing(error))).collect();
    let is_out = passing.len() >= ROWS && passing.len() as f64 >= SHARE * outcomes.len() as f64;
    passing.into_iter().next().filter(|_| is_out).cloned()
}

/// The halt of a baseline of which more rows could not run than could: the scorer, the program or the model is at fault,
/// and not so many rows.
pub(super) fn few_ran(outcomes: &[Outcome]) -> Option<Halt> {
    let errors = || outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    let (rows, ran) = (outcomes.len(), outcomes.len() - errors().count());
    let error = errors().next().filter(|_| 2 * ran < rows)?.clone();
    Some(Halt::FewRan { ran, rows, error: Box::new(error) })
}

/// Draws that only witnesses are asked for lie from here on, as many as this; far beyond all others.
const WITNESS_DRAWS: u32 = 10_000_000;

/// The draw by which witnesses are asked where the rows `failed` could not run.
fn witness_draw(prompts: Digest, sample: u32, failed: &BTreeSet<&str>) -> u32 {
    let draw = sample.to_le_bytes();
    let parts = [prompts.as_bytes().as_slice(), &draw].into_iter().chain(failed.iter().map(|id| id.as_bytes()));
    let drawn = Digest::of_parts(parts).as_u64() % u64::from(WITNESS_DRAWS);
    WITNESS_DRAWS + u32::try_from(drawn).unwrap_or_default()
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
    ///
    /// # Errors
    /// As the evaluation; and where many rows could not run, and neither could some that ran before.
    pub async fn measure(
        &self,
        prompts: &Arc<PromptSet>,
        rows: &[Arc<Example>],
        sample: u32,
        doing: &Doing,
    ) -> Result<Vec<Outcome>, Halt> {
        let digest = prompts.digest();
        let (unknown, mut outcomes) = self.take_recorded(digest, rows, sample);
        let mut measured = Vec::new();
        if !unknown.is_empty() {
            let tally = Mutex::new(Tally::default());
            let candidate = digest.short();
            let on_outcome = |outcome: &Outcome| {
                // Told in the order in which they are counted.
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                let (done, score) = tally.take(outcome, self.objective);
                self.sight(doing, &candidate, (done, unknown.len()), score);
            };
            measured = self.evaluate.evaluate(prompts, &unknown, sample, &on_outcome).await?.outcomes;
            outcomes.extend(measured.iter().cloned());
        }
        self.find_fault(prompts, sample, &outcomes).await?;
        self.remember(prompts, sample, &measured);
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

    /// How many average answers one to `prompts` takes in tokens or money; `None` where nothing is known of them.
    pub fn weight(&self, prompts: &PromptSet) -> Option<f64> {
        let memory = self.memory();
        memory.taken.get(&prompts.digest())?.in_average(&memory.taken_by_all)
    }

    /// What the first of many rows met that could not run with `prompts`, where others ran at the same time with other
    /// prompts.
    pub fn unanswerable(&self, prompts: &PromptSet) -> Option<OutcomeError> {
        self.memory().unanswerable.get(&prompts.digest()).cloned()
    }

    /// Where many of `outcomes` could not run: asks rows anew that ran with the first prompts. If one runs, `prompts` are
    /// at fault, otherwise whatever runs them. Which draw is asked depends on the rows alone, so that a resumed run
    /// reads the same answer back.
    async fn find_fault(&self, prompts: &Arc<PromptSet>, sample: u32, outcomes: &[Outcome]) -> Result<(), Halt> {
        let Some((first, rows)) = self.memory().witnesses.clone() else {
            return outage(outcomes).map_or(Ok(()), |error| Err(error.into()));
        };
        let fail_anyway = self.failing_with(&first);
        let asked: Vec<&Outcome> =
            outcomes.iter().filter(|outcome| !fail_anyway.contains(&outcome.example.id)).collect();
        let Some(error) = error_of_many(&asked) else { return Ok(()) };
        let failed: BTreeSet<&str> =
            asked.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.example.id.as_str()).collect();
        let draw = witness_draw(prompts.digest(), sample, &failed);
        let mut last = error.clone();
        for row in rows {
            let evaluation = self.evaluate.evaluate(&first, &[row], draw, &|_| {}).await?;
            match evaluation.outcomes.into_iter().find_map(|outcome| outcome.result.err()) {
                Some(error) => last = error,
                None if failed.len() >= ROWS => {
                    self.memory().unanswerable.entry(prompts.digest()).or_insert(error);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        Err(last.into())
    }

    /// Rows that could not run with `prompts`.
    fn failing_with(&self, prompts: &PromptSet) -> BTreeSet<String> {
        let memory = self.memory();
        let known = memory.outcomes.get(&(prompts.digest(), 0)).into_iter().flatten();
        known.filter(|(_, outcome)| outcome.result.is_err()).map(|(id, _)| id.clone()).collect()
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

    fn remember(&self, prompts: &Arc<PromptSet>, sample: u32, outcomes: &[Outcome]) {
        let digest = prompts.digest();
        let mut memory = self.memory();
        for outcome in outcomes {
            let id = outcome.example.id.clone();
            if let Err(error) = &outcome.result {
                memory.unjournalled.insert((digest, id.clone(), sample), error.clone());
            }
            memory.taken.entry(digest).or_default().add(outcome);
            memory.taken_by_all.add(outcome);
            memory.outcomes.entry((digest, sample)).or_default().insert(id, outcome.clone());
        }
        let ran = outcomes.iter().filter(|outcome| outcome.result.is_ok());
        let witnesses: Vec<_> = ran.map(|outcome| Arc::clone(&outcome.example)).take(WITNESSES).collect();
        if memory.witnesses.is_none() && !witnesses.is_empty() {
            memory.witnesses = Some((Arc::clone(prompts), witnesses));
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::eval::{Evaluation, OnOutcome, testing};
    use crate::model::BoxFuture;
    use crate::prompt::Prompt;
    use crate::run::RunError;

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

    /// What a model that fails on `rows` fails with, where `fails` says so of the prompt's tokens.
    struct Model {
        fails: fn(usize) -> bool,
        is_gone: AtomicBool,
        asked: Mutex<Vec<(Digest, String, u32)>>,
    }

    impl Evaluate for Model {
        fn evaluate<'a>(
            &'a self,
            prompts: &'a Arc<PromptSet>,
            examples: &'a [Arc<Example>],
            sample: u32,
            _: OnOutcome<'a>,
        ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
            let fails = (self.fails)(prompts.tokens()) || self.is_gone.load(Ordering::Relaxed);
            let outcomes = examples.iter().map(|example| {
                self.asked.lock().unwrap().push((prompts.digest(), example.id.clone(), sample));
                let mut outcome = Outcome { sample, ..testing::outcome(&example.id, 1.0) };
                if fails {
                    outcome.result = Err(CallError::Rejected("status 400".into()).into());
                }
                outcome
            });
            let outcomes = outcomes.collect();
            Box::pin(async move { Ok(Evaluation { prompts: prompts.digest(), outcomes }) })
        }

        fn is_deterministic(&self) -> bool {
            false
        }
    }

    struct Nowhere;

    impl Sink for Nowhere {
        fn emit(&self, _: Event) -> Result<(), RunError> {
            Ok(())
        }
    }

    fn prompts(text: &str) -> Arc<PromptSet> {
        Arc::new(PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap())
    }

    fn rows(count: usize) -> Vec<Arc<Example>> {
        (0..count).map(|row| testing::outcome(row, 1.0).example).collect()
    }

    const GATE: Doing = Doing { generation: 1, stage: "gate", trying: String::new() };

    #[tokio::test]
    async fn a_prompt_that_the_model_can_not_answer_is_told_from_a_model_that_answers_nothing() {
        let model = Model { fails: |tokens| tokens > 20, is_gone: AtomicBool::new(false), asked: Mutex::default() };
        let objective = Objective::default();
        let (short, long) = (prompts("{{ input }}"), prompts(&format!("{} {{{{ input }}}}", "and so on ".repeat(20))));
        let meter = Meter::new(&model, &Nowhere, FailedRows::new(), &objective);
        meter.measure(&short, &rows(16), 0, &GATE).await.unwrap();
        let outcomes = meter.measure(&long, &rows(16), 0, &GATE).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
        assert!(meter.unanswerable(&long).unwrap().to_string().ends_with("status 400"));
        let asked = std::mem::take(&mut *model.asked.lock().unwrap());
        let (witness, _, draw) = &asked[32];
        assert_eq!(
            (asked.len(), *witness),
            (33, short.digest()),
            "one row of the first prompt, with a draw of its own"
        );
        assert!(*draw >= WITNESS_DRAWS && meter.unanswerable(&short).is_none());

        // A resumed run that reads the failures back asks the same.
        let failed = asked[16..32].iter().map(|key| (key.clone(), CallError::Rejected("status 400".into()).into()));
        let again = Meter::new(&model, &Nowhere, failed.collect(), &objective);
        again.measure(&short, &rows(16), 0, &GATE).await.unwrap();
        again.measure(&long, &rows(16), 0, &GATE).await.unwrap();
        assert_eq!(model.asked.lock().unwrap()[16..], asked[32..]);
        assert!(again.unanswerable(&long).is_some());

        model.is_gone.store(true, Ordering::Relaxed);
        for (other, count) in [("{{ input }}!", 16), ("{{ input }}?", 2)] {
            let halt = meter.measure(&prompts(other), &rows(count), 0, &GATE).await.unwrap_err();
            assert!(matches!(halt, Halt::Fault(OutcomeError::Call(CallError::Rejected(_)))), "{halt}");
        }
        let other = meter.measure(&prompts("{{ input }}!"), &rows(1), 0, &GATE).await;
        assert!(other.is_err(), "what was met as the run halted is asked for again");
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
