//! The generation's one question to the gate: the merge of the survivors, or the best of them.

use std::sync::Arc;

use super::generation::{Candidate, State, Survivor, texts};
use super::meter::{Doing, Meter};
use super::{Halt, Search, merge};
use crate::dataset::{Example, Split};
use crate::prompt::PromptSet;
use crate::run::{self, Event};

impl Search<'_> {
    /// What is put to the gate: the merge of the survivors, or the best of them. With the ids of its
    /// parts.
    pub(super) async fn question(
        &self,
        meter: &Meter<'_>,
        state: &State,
        generation: u32,
    ) -> Result<Option<(Candidate, Vec<String>)>, Halt> {
        let mut open: Vec<&Survivor> =
            state.survivors.iter().filter(|survivor| !state.judged.contains(&survivor.candidate.id)).collect();
        // What is only shorter waits until no gain asks.
        let gains = open.partition_point(|survivor| survivor.difference > 0.0);
        if gains > 0 {
            open.truncate(gains);
        }
        let Some(best) = open.first() else { return Ok(None) };
        let single = || Some((best.candidate.clone(), vec![best.candidate.id.clone()]));
        let train: Vec<Arc<Example>> = self.dataset.rows(Split::Train);
        let affordable = self.task_calls_left() >= self.gate_calls() + train.len() as u64;
        if !self.settings.parts.merge || state.single_next || open.len() == 1 || !affordable {
            return Ok(single());
        }
        let mut together: Vec<&Candidate> = open.iter().map(|survivor| &survivor.candidate).collect();
        // All that go together; where they hurt one another, the best two.
        for _ in 0..2 {
            let Some((merged, parts)) = self.merge_of(state, &together) else { break };
            let (better, difference) = self.merge_is_better(meter, state, &merged, &best.candidate, generation).await?;
            let ids: Vec<String> = parts.iter().map(|part| part.id.clone()).collect();
            self.sink.emit(Event::Merged(run::Merged {
                generation,
                candidate: merged.id.clone(),
                parent: state.incumbent.id.clone(),
                parts: ids.clone(),
                prompts: texts(&merged.prompts),
                tokens: merged.prompts.tokens(),
                diff: state.incumbent.prompts.unified_diff(&merged.prompts),
                difference,
                better,
            }))?;
            if better {
                return Ok(Some((merged, ids)));
            }
            if parts.len() == 2 || self.task_calls_left() < self.gate_calls() + train.len() as u64 {
                break;
            }
            together = parts[..2].to_vec();
        }
        Ok(single())
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

    /// Whether the merge does no worse on train than its best part, with its mean difference from the incumbent.
    async fn merge_is_better(
        &self,
        meter: &Meter<'_>,
        state: &State,
        merged: &Candidate,
        best: &Candidate,
        generation: u32,
    ) -> Result<(bool, f64), Halt> {
        let train = self.dataset.rows(Split::Train);
        let rows: Vec<Arc<Example>> = train.into_iter().filter(|row| !merged.quoted.contains(&row.id)).collect();
        let doing = Doing { generation, stage: "merge", trying: merged.strategy.clone() };
        let reference = self.reference(meter, state, generation).await?;
        let of_merge = self.against(meter, &reference, merged, &rows, &doing).await?;
        let of_best = self.against(meter, &reference, best, &rows, &doing).await?;
        meter.journal_failures()?;
        let better = of_merge.difference >= of_best.difference && self.breaks_pinned(meter, &of_merge).is_empty();
        Ok((better, of_merge.difference))
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
