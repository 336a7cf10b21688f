//! Trying candidates out on train: all of a generation at once, in rounds, each screened where it should show and raced
//! against the incumbent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;

use super::choose::kind;
use super::generation::{Candidate, State, Survivor, attempt};
use super::meter::{Doing, Meter};
use super::race::{self, BLOCK, Course, DISTANCE, Standing};
use super::weight::weighted;
use super::{Halt, Search, screen};
use crate::dataset::Example;
use crate::eval::{Comparison, Outcome, OutcomeError, compare};
use crate::run::{self, Event};

/// What a candidate runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// Failing rows, until it mends one.
    Screen,
    /// Passing rows, then both kinds.
    Race,
    /// Pinned rows, before it survives.
    Pinned,
    /// Nothing.
    Over,
}

/// A candidate's trial on train.
struct Trial {
    candidate: Candidate,
    course: Course,
    /// Whether its prompt is the shorter one.
    shorter: bool,
    leg: Leg,
    /// Failing and passing rows of the course that it has run.
    run: (usize, usize),
    /// Rows that it runs before it is taken to be ahead.
    least: usize,
    /// Pinned rows, which its race may not have taken.
    pinned: Vec<Arc<Example>>,
    screened: Option<run::Screened>,
    raced: Option<run::Raced>,
    /// Share of train rows that it changes.
    changed: f64,
}

impl Trial {
    /// The rows of the next round.
    fn next(&self) -> Vec<Arc<Example>> {
        let (failing, passing) = self.run;
        let (to_failing, to_passing) = self.after_round();
        match self.leg {
            Leg::Pinned => self.pinned.clone(),
            _ => [&self.course.failing[failing..to_failing], &self.course.passing[passing..to_passing]].concat(),
        }
    }

    /// How many failing and passing rows will have been run after the next round.
    fn after_round(&self) -> (usize, usize) {
        let (failing, passing) = self.run;
        let (more_failing, more_passing) = match self.leg {
            Leg::Screen => (BLOCK, 0),
            // Where every row fails there is nothing to catch up on.
            Leg::Race if passing == 0 && !self.course.passing.is_empty() => (0, BLOCK),
            Leg::Race => (BLOCK, BLOCK),
            Leg::Pinned | Leg::Over => (0, 0),
        };
        (
            (failing + more_failing).min(self.course.failing.len()),
            (passing + more_passing).min(self.course.passing.len()),
        )
    }

    /// Most rows of its race.
    fn distance(&self) -> usize {
        DISTANCE.max(self.least)
    }

    /// Whether the race has no more rows to take.
    fn is_at_end(&self) -> bool {
        self.run.0 + self.run.1 >= self.distance() || self.run == (self.course.failing.len(), self.course.passing.len())
    }

    /// Takes in how it did on its rows so far and decides what it runs next.
    fn take(&mut self, comparison: &Comparison, generation: u32, screens: bool) {
        match self.leg {
            Leg::Screen => {
                let mends = comparison.rows.iter().any(|row| row.after > row.before);
                let failing = self.run.0;
                let looks_left = failing < screen::rows(self.least) && failing < self.course.failing.len();
                let passed = mends || self.shorter || !screens;
                if !passed && looks_left {
                    return;
                }
                self.leg = if passed { Leg::Race } else { Leg::Over };
                self.screened = screens.then(|| run::Screened {
                    generation,
                    candidate: self.candidate.id.clone(),
                    fixed: comparison.fixed(),
                    broken: comparison.broken(),
                    rows: comparison.rows.len(),
                    passed,
                    could_not_run: None,
                });
            }
            Leg::Race => self.stand(comparison, self.is_at_end(), generation),
            Leg::Pinned | Leg::Over => {}
        }
    }

    /// Where it stands in the race; `at_end` decides it.
    fn stand(&mut self, comparison: &Comparison, at_end: bool, generation: u32) {
        let estimate = self.course.estimate(&comparison.rows);
        let standing = race::standing(&estimate, at_end, self.shorter);
        let too_soon = standing == Standing::Survived && !at_end && self.run.0 + self.run.1 < self.least;
        if standing == Standing::Running || too_soon {
            return;
        }
        let survived = standing == Standing::Survived;
        self.changed = estimate.changed;
        self.leg = if survived && !self.pinned.is_empty() { Leg::Pinned } else { Leg::Over };
        let changes = comparison.changes();
        self.raced = Some(run::Raced {
            generation,
            candidate: self.candidate.id.clone(),
            rows: comparison.rows.len(),
            of: self.distance().min(self.course.failing.len() + self.course.passing.len()),
            fixed: changes.fixed,
            broken: changes.broken,
            improved: changes.improved,
            worsened: changes.worsened,
            difference: estimate.gain,
            standard_error: estimate.standard_error(),
            survived,
            breaks_pinned: Vec::new(),
        });
    }

    /// Ends it, since many of its rows could not run.
    fn give_up(&mut self, error: &OutcomeError, generation: u32) {
        self.leg = Leg::Over;
        self.raced = None;
        self.screened = Some(run::Screened {
            generation,
            candidate: self.candidate.id.clone(),
            fixed: 0,
            broken: 0,
            rows: 0,
            passed: false,
            could_not_run: Some(error.to_string()),
        });
    }

    /// Whether the candidate survived, or how it ended, in words; nothing where the budget did not allow to try it.
    fn fate(&self) -> Option<Result<(), String>> {
        match (&self.screened, &self.raced) {
            (_, Some(raced)) if raced.survived => Some(Ok(())),
            (_, Some(raced)) if !raced.breaks_pinned.is_empty() => {
                Some(Err(format!("dropped for breaking pinned {}", raced.breaks_pinned.join(", "))))
            }
            (_, Some(raced)) => Some(Err(format!(
                "lost the race on train: fixed {}, broke {} of {}",
                raced.fixed, raced.broken, raced.rows
            ))),
            (Some(run::Screened { could_not_run: Some(error), .. }), None) => {
                Some(Err(format!("dropped, since the model could not answer it: {error}")))
            }
            (Some(screened), None) if !screened.passed => {
                Some(Err(format!("dropped at the screen: fixed none of {} failing rows", screened.rows)))
            }
            (_, None) => None,
        }
    }
}

impl Search<'_> {
    /// Screens and races all candidates, and takes in how they did. Says whether there are new survivors.
    pub(super) async fn try_out(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        candidates: Vec<Candidate>,
        generation: u32,
    ) -> Result<bool, Halt> {
        let mut trials: Vec<Trial> =
            candidates.into_iter().map(|candidate| self.trial(state, candidate, generation)).collect();
        while trials.iter().any(|trial| trial.leg != Leg::Over) {
            self.round(meter, state, &mut trials, generation).await?;
        }
        let survivors = state.survivors.len();
        for trial in trials {
            let fate = trial.fate();
            let Trial { candidate, course, run, screened, raced, changed, .. } = trial;
            if let Some(fate) = fate {
                if self.settings.parts.bandit {
                    state.bandit.observe(&candidate.strategy, kind(candidate.cluster.as_ref()), raced.as_ref());
                }
                state.tried.extend(fate.err().map(|ended| attempt(&candidate, ended)));
            }
            if let Some(screened) = screened {
                self.sink.emit(Event::Screened(screened))?;
            }
            if let Some(raced) = raced {
                let (survived, difference) = (raced.survived, raced.difference);
                self.sink.emit(Event::Raced(raced))?;
                if survived {
                    let survivor = Survivor { candidate, difference, changed, course, run };
                    state.survivors.push(survivor);
                }
            }
        }
        let new = state.survivors.len() > survivors;
        state.rank_survivors();
        Ok(new)
    }

    fn trial(&self, state: &State, candidate: Candidate, generation: u32) -> Trial {
        let measured = state.incumbent.train.iter().map(|outcome| outcome.example.as_ref());
        let weights = self.settings.objective.weights(measured);
        let course = Course::new(
            candidate.cluster.as_ref(),
            &state.incumbent.train,
            &candidate.quoted,
            &weights,
            self.settings.pass_threshold,
            (self.settings.seed, generation),
        );
        Trial {
            shorter: candidate.prompts.tokens() < state.incumbent.prompts.tokens(),
            candidate,
            course,
            least: self.rows_of_candidate(state),
            leg: Leg::Screen,
            run: (0, 0),
            pinned: self.pinned_rows(),
            screened: None,
            raced: None,
            changed: 0.0,
        }
    }

    /// One round of all trials: each runs its next rows, and then it is decided how each goes on. Where the calls that
    /// the gate doesn't need do not suffice for all, the last ones end as they stand.
    async fn round(&self, meter: &Meter<'_>, state: &State, trials: &mut [Trial], generation: u32) -> Result<(), Halt> {
        let mut left = self.task_calls_left();
        let mut next = Vec::new();
        for trial in trials.iter_mut() {
            let rows = trial.next();
            let weight = self.weight(meter, &trial.candidate.prompts);
            let calls = weighted(rows.len() as u64, weight.max(1.0));
            if calls > left.saturating_sub(self.question_calls(meter, state, weight)) {
                if trial.leg == Leg::Race && trial.run.1 > 0 {
                    let comparison =
                        self.paired(meter, state, &trial.candidate, &trial.course.rows(trial.run), generation).await?;
                    trial.stand(&comparison, true, generation);
                }
                trial.leg = Leg::Over;
                next.push(Vec::new());
                continue;
            }
            left -= calls;
            next.push(rows);
        }
        let measured = join_all(trials.iter().zip(&next).map(|(trial, rows)| {
            let stage = if trial.leg == Leg::Screen { "screen" } else { "race" };
            let doing = Doing { generation, stage, trying: trial.candidate.strategy.clone() };
            async move { meter.measure(&trial.candidate.prompts, rows, 0, &doing).await }
        }))
        .await;
        for outcomes in measured {
            outcomes?;
        }
        for trial in trials.iter_mut() {
            if let Some(error) = meter.unanswerable(&trial.candidate.prompts) {
                trial.give_up(&error, generation);
            }
        }
        meter.journal_failures()?;
        self.ask_again(meter, state, trials.iter().zip(&next), generation).await?;
        for trial in trials.iter_mut().filter(|trial| trial.leg != Leg::Over) {
            if trial.leg == Leg::Pinned {
                let broken = self.pinned_broken_by(meter, state, &trial.candidate, generation).await?;
                if let Some(raced) = &mut trial.raced {
                    raced.breaks_pinned = broken;
                    raced.survived = raced.breaks_pinned.is_empty();
                }
                trial.leg = Leg::Over;
                continue;
            }
            trial.run = trial.after_round();
            let comparison =
                self.paired(meter, state, &trial.candidate, &trial.course.rows(trial.run), generation).await?;
            trial.take(&comparison, generation, self.settings.parts.screen);
        }
        meter.journal_failures()
    }

    /// Asks the incumbent again, once for all trials, for the rows that changed in this round.
    async fn ask_again<'t>(
        &self,
        meter: &Meter<'_>,
        state: &State,
        trials: impl Iterator<Item = (&'t Trial, &'t Vec<Arc<Example>>)>,
        generation: u32,
    ) -> Result<(), Halt> {
        if !state.noisy {
            return Ok(());
        }
        let mut again = BTreeMap::new();
        for (trial, rows) in trials.filter(|(trial, _)| trial.leg != Leg::Over) {
            let doing = Doing { generation, stage: "race", trying: trial.candidate.strategy.clone() };
            let before = meter.measure(&state.incumbent.prompts, rows, 0, &doing).await?;
            let after = meter.measure(&trial.candidate.prompts, rows, 0, &doing).await?;
            let changed = before.iter().zip(&after).filter(|(old, new)| old.value() != new.value());
            again.extend(changed.map(|(old, _)| (old.example.id.clone(), Arc::clone(&old.example))));
        }
        let rows: Vec<Arc<Example>> = again.into_values().collect();
        let doing = Doing { generation, stage: "race", trying: "the incumbent once more".to_owned() };
        meter.measure(&state.incumbent.prompts, &rows, 1, &doing).await?;
        Ok(())
    }

    /// The candidate on `rows`, paired with the incumbent. Where the model is noisy, the incumbent is asked again for the
    /// rows that changed: a row that was chosen because it failed looks better by itself the next time.
    pub(super) async fn paired(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        rows: &[Arc<Example>],
        generation: u32,
    ) -> Result<Comparison, Halt> {
        let doing = Doing { generation, stage: "race", trying: candidate.strategy.clone() };
        let incumbent = &state.incumbent.prompts;
        let mut before = meter.measure(incumbent, rows, 0, &doing).await?;
        let after = meter.measure(&candidate.prompts, rows, 0, &doing).await?;
        let first = compare(&before, &after, self.settings.pass_threshold);
        if !state.noisy {
            return Ok(first);
        }
        let changed: BTreeSet<&str> =
            first.rows.iter().filter(|row| row.before != row.after).map(|row| row.id.as_str()).collect();
        let again: Vec<Arc<Example>> = rows.iter().filter(|row| changed.contains(row.id.as_str())).cloned().collect();
        let again = meter.measure(incumbent, &again, 1, &doing).await?;
        let is_again = |outcome: &Outcome| changed.contains(outcome.example.id.as_str());
        before.retain(|outcome| !is_again(outcome));
        before.extend(again);
        Ok(compare(&before, &after, self.settings.pass_threshold))
    }
}
