//! Trying candidates out on train: all of a generation at once, each screened where it should show and raced against
//! the incumbent.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::choose::kind;
use super::generation::{Candidate, State, Survivor, attempt};
use super::meter::{Doing, Meter};
use super::race::{self, Standing};
use super::{Halt, Search, screen};
use crate::dataset::{Example, Split};
use crate::eval::{Change, Comparison, Outcome, compare};
use crate::run::{self, Event};

/// How a candidate's trial on train went.
struct Trial {
    screened: Option<run::Screened>,
    raced: Option<run::Raced>,
}

impl Trial {
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
            (Some(screened), None) if !screened.passed => {
                Some(Err(format!("dropped at the screen: fixed {}, broke {}", screened.fixed, screened.broken)))
            }
            (_, None) => None,
        }
    }
}

impl Search<'_> {
    /// Screens and races all candidates at once, and takes in how they did.
    pub(super) async fn try_out(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        candidates: Vec<Candidate>,
        generation: u32,
    ) -> Result<(), Halt> {
        let reference = self.reference(meter, state, generation).await?;
        let spare = self.task_calls_left().saturating_sub(self.gate_calls());
        let share = usize::try_from(spare / candidates.len().max(1) as u64).unwrap_or(usize::MAX);
        let trials = join_all(
            candidates.iter().map(|candidate| self.trial(meter, state, candidate, &reference, generation, share)),
        )
        .await;
        meter.journal_failures()?;
        for (candidate, trial) in candidates.into_iter().zip(trials) {
            let trial = trial?;
            let fate = trial.fate();
            let Trial { screened, raced } = trial;
            if let Some(fate) = fate {
                if self.settings.parts.bandit {
                    state.bandit.observe(&candidate.strategy, kind(candidate.cluster.as_ref()), raced.as_ref());
                }
                state.tried.extend(fate.err().map(|ended| attempt(&candidate, ended)));
            }
            let survived = raced.as_ref().is_some_and(|raced| raced.survived);
            if let Some(screened) = screened {
                self.sink.emit(Event::Screened(screened))?;
            }
            if let Some(raced) = raced {
                let difference = raced.difference;
                if raced.rows == self.unquoted(&candidate.quoted).len() {
                    self.archive(meter, state, &candidate);
                }
                self.sink.emit(Event::Raced(raced))?;
                if survived {
                    state.survivors.push(Survivor { candidate, difference });
                }
            }
        }
        // Best first; the shorter prompt on a tie.
        state.survivors.sort_by(|one, other| {
            other
                .difference
                .total_cmp(&one.difference)
                .then_with(|| one.candidate.prompts.tokens().cmp(&other.candidate.prompts.tokens()))
                .then_with(|| one.candidate.id.cmp(&other.candidate.id))
        });
        Ok(())
    }

    /// The incumbent on train, to race against: a fresh draw where the model is noisy, since rows that were chosen
    /// because they failed look better by themselves the next time.
    pub(super) async fn reference(
        &self,
        meter: &Meter<'_>,
        state: &State,
        generation: u32,
    ) -> Result<Vec<Outcome>, Halt> {
        let train = self.dataset.rows(Split::Train);
        let affordable = self.task_calls_left() >= self.gate_calls() + 2 * train.len() as u64;
        let sample = u32::from(state.noisy && affordable);
        let doing = Doing { generation, stage: "race", trying: "the incumbent once more".to_owned() };
        meter.measure(&state.incumbent.prompts, &train, sample, &doing).await
    }

    async fn trial(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        reference: &[Outcome],
        generation: u32,
        most_rows: usize,
    ) -> Result<Trial, Halt> {
        let shorter = candidate.prompts.tokens() < state.incumbent.prompts.tokens();
        let mut trial = Trial { screened: None, raced: None };
        let mut spent = 0;
        if let Some(cluster) = candidate.cluster.as_ref().filter(|_| self.settings.parts.screen) {
            let rows: Vec<Arc<Example>> = screen::rows(cluster, reference, self.settings.pass_threshold)
                .into_iter()
                .filter(|row| !candidate.quoted.contains(&row.id))
                .collect();
            if rows.len() > most_rows {
                return Ok(trial);
            }
            spent = rows.len();
            let doing = Doing { generation, stage: "screen", trying: candidate.strategy.clone() };
            let comparison = self.against(meter, reference, candidate, &rows, &doing).await?;
            let (fixed, broken) = (comparison.fixed(), comparison.broken());
            let passed = screen::passes(fixed, broken, shorter);
            trial.screened = Some(run::Screened {
                generation,
                candidate: candidate.id.clone(),
                fixed,
                broken,
                rows: comparison.rows.len(),
                passed,
            });
            if !passed {
                return Ok(trial);
            }
        }
        let train = self.dataset.rows(Split::Train);
        let mut rows: Vec<Arc<Example>> = race::order(&train, self.settings.seed, generation)
            .into_iter()
            .filter(|row| !candidate.quoted.contains(&row.id))
            .collect();
        rows.truncate(most_rows - spent);
        trial.raced = self.race(meter, candidate, reference, &rows, shorter, generation).await?;
        Ok(trial)
    }

    async fn race(
        &self,
        meter: &Meter<'_>,
        candidate: &Candidate,
        reference: &[Outcome],
        rows: &[Arc<Example>],
        shorter: bool,
        generation: u32,
    ) -> Result<Option<run::Raced>, Halt> {
        let doing = Doing { generation, stage: "race", trying: candidate.strategy.clone() };
        let mut ran = 0;
        while ran < rows.len() {
            ran = (ran + race::BLOCK).min(rows.len());
            let comparison = self.against(meter, reference, candidate, &rows[..ran], &doing).await?;
            let breaks_pinned = self.breaks_pinned(meter, &comparison);
            let standing = if breaks_pinned.is_empty() {
                race::standing(&comparison, ran, rows.len(), shorter)
            } else {
                Standing::Dropped
            };
            if standing != Standing::Running {
                return Ok(Some(run::Raced {
                    generation,
                    candidate: candidate.id.clone(),
                    rows: ran,
                    of: rows.len(),
                    fixed: comparison.fixed(),
                    broken: comparison.broken(),
                    difference: comparison.difference,
                    standard_error: comparison.standard_error,
                    survived: standing == Standing::Survived,
                    breaks_pinned,
                }));
            }
        }
        Ok(None)
    }

    /// Pinned rows for which the gate is sure to refuse. Where the model may be noisy, the gate asks again first.
    pub(super) fn breaks_pinned(&self, meter: &Meter<'_>, comparison: &Comparison) -> Vec<String> {
        if !self.settings.protected.pinned || !meter.is_deterministic() {
            return Vec::new();
        }
        let pinned = |id: &&str| self.dataset.examples.iter().any(|example| example.pinned && example.id == *id);
        comparison.ids(Change::Broken).filter(pinned).map(str::to_owned).collect()
    }

    /// The candidate on `rows`, paired with the incumbent's outcomes in `reference`.
    pub(super) async fn against(
        &self,
        meter: &Meter<'_>,
        reference: &[Outcome],
        candidate: &Candidate,
        rows: &[Arc<Example>],
        doing: &Doing,
    ) -> Result<Comparison, Halt> {
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let before: Vec<Outcome> =
            reference.iter().filter(|outcome| ids.contains(outcome.example.id.as_str())).cloned().collect();
        let after = meter.measure(&candidate.prompts, rows, 0, doing).await?;
        Ok(compare(&before, &after, self.settings.pass_threshold))
    }
}
