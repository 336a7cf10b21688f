//! What is put to the gate, and when: the merge of the survivors, or the best of them. A question takes a call for every
//! dev row, which is as much as a generation's races, so it waits until there is enough to show.

use std::sync::Arc;

use super::generation::{Candidate, State, Survivor, texts};
use super::meter::Meter;
use super::{Halt, Search, merge};
use crate::prompt::PromptSet;
use crate::run::{self, Event};

/// A question waits for more survivors until the gain that their races promise is this many of the standard errors that
/// it will have on dev. The gate asks for one; but survivors are chosen because they did well, and so promise two to
/// three times what they hold.
const WORTH_ASKING: f64 = 4.0;

/// A question to the gate.
pub(super) struct Question {
    pub candidate: Candidate,
    /// Ids of the survivors in it.
    pub parts: Vec<String>,
}

impl Search<'_> {
    /// Whether the survivors had better wait for those of the next generation, of which the trials will take about as
    /// many calls as this one's.
    pub(super) fn can_wait(&self, state: &State, trials: u64) -> bool {
        let is_last = self.generations_left(state) <= 1
            || state.unpaid.is_some()
            || self.task_calls_left() < 2 * self.gate_calls() + trials;
        let promised: f64 = state.survivors.iter().map(|survivor| survivor.difference).sum();
        let changed: f64 = state.survivors.iter().map(|survivor| survivor.changed).sum();
        let error = (changed.min(1.0) / self.gate_calls().max(1) as f64).sqrt();
        let may_wait = self.settings.parts.merge && !state.single_next && !is_last && self.is_short(state);
        may_wait && promised < WORTH_ASKING * error
    }

    /// What is put to the gate: the merge of the survivors or of the best two; or the best of them where they hurt one
    /// another, or the gate has judged their merge or is sure to refuse it.
    pub(super) async fn question(
        &self,
        meter: &Meter<'_>,
        state: &State,
        generation: u32,
    ) -> Result<Option<Question>, Halt> {
        let left = self.task_calls_left();
        if left < self.gate_calls() {
            return Ok(None);
        }
        let is_covered = |weight: f64| self.question_calls(meter, state, weight) <= left;
        // What is only shorter waits until no gain asks.
        let gains = state.survivors.partition_point(|survivor| survivor.difference > 0.0);
        let open = if gains > 0 { &state.survivors[..gains] } else { &state.survivors[..] };
        let all: Vec<&Candidate> = open.iter().map(|survivor| &survivor.candidate).collect();
        let merges = self.settings.parts.merge && !state.single_next;
        for together in [&all[..], &all[..all.len().min(2)]] {
            let Some((candidate, parts)) = self.merge_of(state, together).filter(|_| merges) else { break };
            if !is_covered(self.weight_of_merge(meter, state, &parts)) {
                continue;
            }
            let broken = self.pinned_broken_by(meter, state, &candidate, generation).await?;
            let parts: Vec<String> = parts.iter().map(|part| part.id.clone()).collect();
            self.sink.emit(Event::Merged(run::Merged {
                generation,
                candidate: candidate.id.clone(),
                parent: state.incumbent.id.clone(),
                parts: parts.clone(),
                prompts: texts(&candidate.prompts),
                tokens: candidate.prompts.tokens(),
                diff: state.incumbent.prompts.unified_diff(&candidate.prompts),
                better: broken.is_empty(),
                breaks_pinned: broken.clone(),
            }))?;
            if broken.is_empty() {
                return Ok(Some(Question { candidate, parts }));
            }
            if parts.len() == 2 {
                break;
            }
        }
        let is_open = |candidate: &&Candidate| {
            !state.judged.contains(&candidate.id) && is_covered(self.weight(meter, &candidate.prompts))
        };
        let best = all.into_iter().find(is_open);
        Ok(best.map(|best| Question { candidate: best.clone(), parts: vec![best.id.clone()] }))
    }

    /// The merge of as many of `survivors` (best first) as go together, with its parts; nothing where that is one
    /// alone, or a merge that the gate has judged.
    fn merge_of<'a>(&self, state: &State, survivors: &[&'a Candidate]) -> Option<(Candidate, Vec<&'a Candidate>)> {
        let sides: Vec<Arc<PromptSet>> = survivors.iter().map(|candidate| Arc::clone(&candidate.prompts)).collect();
        let fits = |prompts: &PromptSet| self.propose.fits(prompts);
        // Two sets of examples for the task as a whole are alternatives.
        let is_example_set = |candidate: &Candidate| {
            candidate.cluster.is_none() && candidate.quoted.len() > state.incumbent.quoted.len()
        };
        let alternatives =
            |one: usize, other: usize| is_example_set(survivors[one]) && is_example_set(survivors[other]);
        let base = &state.incumbent.prompts;
        let (prompts, parts) = merge::merge_survivors(base, &sides, fits, alternatives);
        if parts.len() < 2 || state.judged.contains(&prompts.digest().short()) {
            return None;
        }
        let parts: Vec<&Candidate> = parts.into_iter().map(|part| survivors[part]).collect();
        Some((merged_candidate(prompts, &parts), parts))
    }

    /// Whether a merge that wasn't kept does worse than its best part, on the rows that this part ran. If so, the best
    /// two survivors are run on all train rows measured, since the best one alone is the next question.
    pub(super) async fn hurts_itself(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        merged: &Candidate,
        parts: &[String],
        generation: u32,
    ) -> Result<bool, Halt> {
        let Some(best) = state.survivors.iter().find(|survivor| parts.contains(&survivor.candidate.id)).cloned() else {
            return Ok(false);
        };
        let mut rows = best.course.rows(best.run);
        rows.retain(|row| !merged.quoted.contains(&row.id));
        if self.task_calls_left() < self.gate_calls() + rows.len() as u64 {
            return Ok(false);
        }
        let of_merge = self.paired(meter, state, merged, &rows, generation).await?;
        let of_best = self.paired(meter, state, &best.candidate, &rows, generation).await?;
        if best.course.estimate(&of_merge.rows).gain >= best.course.estimate(&of_best.rows).gain {
            return Ok(false);
        }
        let judged = &state.judged;
        let mut open: Vec<Survivor> = state
            .survivors
            .iter()
            .filter(|survivor| !judged.contains(&survivor.candidate.id))
            .take(2)
            .cloned()
            .collect();
        for survivor in &mut open {
            self.run_out(meter, state, survivor, generation).await?;
        }
        for survivor in open {
            self.archive(meter, state, &survivor.candidate);
            state.survivors.retain(|of| of.candidate.id != survivor.candidate.id);
            state.survivors.push(survivor);
        }
        state.rank_survivors();
        Ok(true)
    }

    /// Runs a survivor on the rest of its course, as far as there are calls for it.
    async fn run_out(
        &self,
        meter: &Meter<'_>,
        state: &State,
        survivor: &mut Survivor,
        generation: u32,
    ) -> Result<(), Halt> {
        let whole = (survivor.course.failing.len(), survivor.course.passing.len());
        let rows = survivor.course.rows(whole);
        if self.task_calls_left() < self.gate_calls() + rows.len() as u64 {
            return Ok(());
        }
        let comparison = self.paired(meter, state, &survivor.candidate, &rows, generation).await?;
        let estimate = survivor.course.estimate(&comparison.rows);
        survivor.run = whole;
        survivor.difference = estimate.gain;
        survivor.changed = estimate.changed;
        Ok(())
    }
}

fn merged_candidate(prompts: PromptSet, parts: &[&Candidate]) -> Candidate {
    let join = |texts: Vec<&str>| texts.join("; ");
    Candidate {
        id: prompts.digest().short(),
        strategy: format!("merge of {}", parts.len()),
        cluster: None,
        rationale: join(parts.iter().map(|part| part.rationale.as_str()).collect()),
        quoted: parts.iter().flat_map(|part| part.quoted.iter().cloned()).collect(),
        prompts: Arc::new(prompts),
    }
}
