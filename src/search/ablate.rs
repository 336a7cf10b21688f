//! Ablation: each hunk of a kept revision is left out in turn, and what does not earn its place goes.
//!
//! It goes where the prompt is not inferior without it (`inferior.rs`). Train and dev answer together, since dev alone can
//! show so little, and always against the revision as the gate kept it, so that the margins of several hunks do not add up.
//! What this asks of dev can only ever make a prompt shorter.
//!
//! It must not eat the calls: a hunk that matters is known after a block or two, because the rows that the revision
//! changed run first; and no hunk is begun that could take more than a stated share of the calls made or left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::seq::SliceRandom;

use super::generation::{Candidate, State, texts};
use super::inferior;
use super::judge::{ABLATION_DRAWS, fresh_draw};
use super::meter::{Doing, Meter};
use super::{Halt, Revision, Search};
use crate::dataset::{Example, Split};
use crate::eval::{Outcome, compare};
use crate::prompt::{Edit, PromptSet, hunks, merge};
use crate::propose::Proposed;
use crate::run::{Ablated, Event, Shortened};
use crate::seed;

/// Rows of the first block; each later one is as large as all before it.
const BLOCK: usize = 16;

/// Ablation may take one call in so many of those that the run has made, and of those that are left.
pub(super) const SHARE: u64 = 8;

/// Most lines of the incumbent that are left out, one by one, in a generation on a plateau.
const PRUNED: usize = 2;

/// A candidate that a kept revision consists of: itself, or a part of the merge.
pub(super) struct Part {
    pub id: String,
    pub prompts: Arc<PromptSet>,
}

/// One hunk of a kept revision, with the parts that have it.
#[derive(Debug, Clone, PartialEq)]
struct Hunk {
    edit: Edit,
    parts: Vec<usize>,
}

/// The hunks of `parts` against `base`. Those of different parts are different hunks, also where the merge has put them
/// side by side.
fn hunks_of(base: &PromptSet, parts: &[Part]) -> Vec<Hunk> {
    let mut found: Vec<Hunk> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let edits = base.iter().filter_map(|old| Some(hunks(old, part.prompts.get(old.name())?))).flatten();
        for edit in edits {
            match found.iter_mut().find(|hunk| hunk.edit == edit) {
                Some(known) => known.parts.push(index),
                None => found.push(Hunk { edit, parts: vec![index] }),
            }
        }
    }
    // What adds most to the prompt is asked about first; of equals the later part, which did less on train.
    found.sort_by_key(|hunk| std::cmp::Reverse((added(&hunk.edit), hunk.parts.clone())));
    found
}

/// Characters that an edit adds.
fn added(edit: &Edit) -> i64 {
    edit.replace.len() as i64 - edit.search.len() as i64
}

/// `base` with all `hunks` but those `left_out`; nothing where they don't go together.
fn without(base: &PromptSet, parts: usize, hunks: &[Hunk], left_out: &BTreeSet<usize>) -> Option<PromptSet> {
    let side = |part: usize| {
        let of_part =
            hunks.iter().enumerate().filter(|(at, hunk)| hunk.parts.contains(&part) && !left_out.contains(at));
        base.apply(&of_part.map(|(_, hunk)| hunk.edit.clone()).collect::<Vec<_>>()).ok()
    };
    let sides = (0..parts).map(side).collect::<Option<Vec<_>>>()?;
    merge(base, &sides.iter().collect::<Vec<_>>()).ok()
}

/// What became of a hunk that was left out.
enum Left {
    /// There is no room for the calls that would decide.
    Open,
    /// It stays.
    Stays,
    /// It went: the new revision.
    Went(Box<Revision>),
}

/// The hunks of one kept revision and what became of them so far.
pub(super) struct Ablation {
    /// In which it was kept.
    generation: u32,
    /// The incumbent before.
    base: Revision,
    /// The revision as the gate kept it: what every hunk is measured against.
    kept: Revision,
    parts: Vec<Part>,
    hunks: Vec<Hunk>,
    /// The next hunk to leave out.
    next: usize,
    /// Those that went.
    gone: BTreeSet<usize>,
}

impl Ablation {
    /// Of `kept` in `generation`, which is the merge of `parts` into `base`; nothing where there is only one hunk.
    pub fn new(base: Revision, kept: Revision, parts: Vec<Part>, generation: u32) -> Option<Self> {
        let hunks = hunks_of(&base.prompts, &parts);
        let whole = without(&base.prompts, parts.len(), &hunks, &BTreeSet::new())?;
        let is_whole = hunks.len() > 1 && whole.digest() == kept.prompts.digest();
        is_whole.then_some(Self { generation, base, kept, parts, hunks, next: 0, gone: BTreeSet::new() })
    }

    /// The prompts without the hunks that went and hunk `index`.
    fn without(&self, index: usize) -> Option<PromptSet> {
        let left_out = self.gone.iter().copied().chain([index]).collect();
        without(&self.base.prompts, self.parts.len(), &self.hunks, &left_out)
    }
}

impl Search<'_> {
    /// Leaves out each hunk of what was kept last, as far as the calls go; what does not earn its place goes. What is
    /// left is done after a later generation, unless something else was kept meanwhile.
    pub(super) async fn ablate(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        generation: u32,
        is_last: bool,
    ) -> Result<(), Halt> {
        // What waits for the gate was raced against the incumbent as it is; on a noisy model, something always does.
        if !self.settings.parts.ablate || state.is_anything_waiting() && !is_last {
            return Ok(());
        }
        let Some(mut ablation) = state.ablation.take() else { return Ok(()) };
        let rows = self.ablation_rows(&ablation.base, &ablation.kept);
        while ablation.next < ablation.hunks.len() {
            let index = ablation.next;
            if let Some(candidate) = self.without_hunk(state, &ablation, index) {
                if !self.affords_ablation(meter, state, &candidate, &rows) {
                    state.ablation = Some(ablation);
                    break;
                }
                match self.leave_out(meter, state, &ablation, &candidate, &rows, generation).await? {
                    Left::Open => {
                        state.ablation = Some(ablation);
                        break;
                    }
                    Left::Stays => {}
                    Left::Went(revision) => {
                        ablation.gone.insert(index);
                        state.incumbent = *revision;
                        state.survivors.clear();
                        state.judged.clear();
                        state.archive_incumbent();
                    }
                }
            }
            ablation.next += 1;
        }
        Ok(())
    }

    /// What to try in this generation of what only makes the incumbent shorter: on a plateau, as many lines as the share
    /// of ablation has races for, once the hunks that were kept last are through. They take their share at once; most
    /// lines matter and lose after a block or two.
    pub(super) fn to_prune(&self, meter: &Meter<'_>, state: &mut State) -> Vec<(String, Proposed)> {
        if !self.settings.parts.ablate || state.without_gain == 0 || state.ablation.is_some() {
            return Vec::new();
        }
        let race = (self.dataset.rows(Split::Train).len() as u64).max(1);
        let share = self.room(meter, state);
        let mut found = self.propose.shorter(&state.incumbent.prompts, &state.seen);
        found.truncate(usize::try_from(share / race).unwrap_or(usize::MAX).min(PRUNED));
        state.ablation_calls += race * found.len() as u64;
        found
    }

    /// The incumbent without hunk `index`, where that is a prompt to ask about.
    fn without_hunk(&self, state: &State, ablation: &Ablation, index: usize) -> Option<Candidate> {
        let prompts = ablation.without(index)?;
        let base = &ablation.base.prompts;
        let is_shorter = prompts.tokens() < state.incumbent.prompts.tokens();
        if !is_shorter || prompts.digest() == base.digest() || !self.propose.is_sound(base, &prompts) {
            return None;
        }
        Some(Candidate {
            id: prompts.digest().short(),
            strategy: "ablation".to_owned(),
            cluster: None,
            rationale: String::new(),
            // A row that was quoted once stays left out: whatever it showed is no evidence.
            quoted: ablation.kept.quoted.clone(),
            prompts: Arc::new(prompts),
        })
    }

    /// All train and dev rows that are not quoted: those that the revision changed first, because there its hunks show.
    fn ablation_rows(&self, base: &Revision, kept: &Revision) -> Vec<Arc<Example>> {
        let both = |of: &Revision| -> Vec<Outcome> { of.train.iter().chain(&of.dev).cloned().collect() };
        let (before, after) = (both(base), both(kept));
        let changes = compare(&before, &after, self.settings.pass_threshold);
        let changed: BTreeSet<String> =
            self.settings.objective.flipped(&changes, &before, &after).into_iter().collect();
        let outcomes = kept.train.iter().chain(&kept.dev);
        let mut rows: Vec<Arc<Example>> =
            outcomes.map(|outcome| Arc::clone(&outcome.example)).filter(|row| !kept.quoted.contains(&row.id)).collect();
        rows.shuffle(&mut seed::generator(self.settings.seed, 0, "ablate"));
        rows.sort_by_key(|row| !changed.contains(&row.id));
        rows
    }

    /// Whether the calls that `candidate` may take are within the share of ablation.
    fn affords_ablation(&self, meter: &Meter<'_>, state: &State, candidate: &Candidate, rows: &[Arc<Example>]) -> bool {
        let unknown = meter.unknown(&candidate.prompts, rows, 0);
        unknown <= self.room(meter, state)
    }

    /// Calls that ablation may take now.
    fn room(&self, meter: &Meter<'_>, state: &State) -> u64 {
        (meter.measured() / SHARE).saturating_sub(state.ablation_calls).min(self.task_calls_left() / SHARE)
    }

    /// Runs `candidate`, which lacks the next hunk, as far as it takes to decide, and says how that went.
    async fn leave_out(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        ablation: &Ablation,
        candidate: &Candidate,
        rows: &[Arc<Example>],
        generation: u32,
    ) -> Result<Left, Halt> {
        let margin = self.settings.gate.prune_margin;
        let doing = Doing { generation, stage: "ablate", trying: "without a hunk".to_owned() };
        state.seen.insert(candidate.prompts.digest());
        let before = meter.measured();
        let with: Vec<Outcome> = of_rows(&ablation.kept, rows);
        let mut ran = 0;
        let found = loop {
            ran = (2 * ran).max(BLOCK).min(rows.len());
            let mut after = meter.measure(&candidate.prompts, &rows[..ran], 0, &doing).await?;
            after.extend(with[ran..].iter().cloned());
            let arms = inferior::Arms {
                longer: &ablation.kept.prompts,
                shorter: &candidate.prompts,
                with: &with,
                without: &after,
            };
            let room = self.room(meter, state).saturating_sub(meter.measured() - before);
            let draw = fresh_draw(ablation.generation, ABLATION_DRAWS);
            let Some(found) = self.compare_shorter(meter, &arms, draw, room, &doing).await? else {
                state.ablation_calls += meter.measured() - before;
                meter.journal_failures()?;
                return Ok(Left::Open);
            };
            // Rows that have not run count as unchanged: a hunk that would stay even so stays.
            if !found.is_not_inferior || ran == rows.len() {
                break found;
            }
        };
        state.ablation_calls += meter.measured() - before;
        meter.journal_failures()?;
        let (mut guard, mut went) = (None, None);
        if found.is_not_inferior {
            let dev = meter.measure(&candidate.prompts, &self.dataset.rows(Split::Dev), 0, &doing).await?;
            guard = self.guard_against(meter, state, candidate, generation).await?;
            if guard.is_none() {
                let Candidate { id, prompts, quoted, .. } = candidate.clone();
                let mut revision = Revision { id, prompts, quoted, train: Vec::new(), dev };
                revision.train = self.on_train(meter, state, &revision, self.rows_of_incumbent(state)).await?;
                went = Some(revision);
            }
        }
        let hunk = &ablation.hunks[ablation.next];
        let changes = found.comparison.changes();
        self.sink.emit(Event::Ablated(Ablated {
            generation,
            revision: ablation.kept.id.clone(),
            candidate: candidate.id.clone(),
            parent: ablation.base.id.clone(),
            parts: hunk.parts.iter().map(|part| ablation.parts[*part].id.clone()).collect(),
            hunk: hunk.edit.clone(),
            removed: state.incumbent.prompts.unified_diff(&candidate.prompts),
            rows: ran,
            fixed: changes.fixed,
            broken: changes.broken,
            improved: changes.improved,
            worsened: changes.worsened,
            samples: found.samples,
            difference: found.comparison.difference,
            interval: found.comparison.interval,
            margin,
            guard,
            prompts: if went.is_some() { BTreeMap::new() } else { texts(&candidate.prompts) },
            shortened: went.as_ref().map(|revision| Shortened {
                prompts: texts(&revision.prompts),
                tokens: revision.prompts.tokens(),
                diff: ablation.base.prompts.unified_diff(&revision.prompts),
                dev: self.settings.objective.summary(&revision.dev),
            }),
        }))?;
        Ok(went.map_or(Left::Stays, |revision| Left::Went(Box::new(revision))))
    }
}

/// What `revision` did on `rows`, in their order.
fn of_rows(revision: &Revision, rows: &[Arc<Example>]) -> Vec<Outcome> {
    let outcomes = || revision.train.iter().chain(&revision.dev);
    let known: BTreeMap<&str, &Outcome> = outcomes().map(|outcome| (outcome.example.id.as_str(), outcome)).collect();
    rows.iter().filter_map(|row| known.get(row.id.as_str()).map(|outcome| (*outcome).clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Prompt;

    fn set(text: &str) -> PromptSet {
        PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap()
    }

    fn part(id: &str, text: &str) -> Part {
        Part { id: id.to_owned(), prompts: Arc::new(set(text)) }
    }

    #[test]
    fn hunks_that_a_merge_put_side_by_side_are_left_out_one_by_one() {
        let base = set("one\ntwo\n{{ input }}\n");
        let parts =
            [part("a", "one\na, which is longer\ntwo\n{{ input }}\n"), part("b", "one\nb\ntwo\nc\n{{ input }}\n")];
        let hunks = hunks_of(&base, &parts);
        assert_eq!(hunks.iter().map(|hunk| hunk.parts.clone()).collect::<Vec<_>>(), [vec![0], vec![1], vec![1]]);
        let left = |left_out: &[usize]| {
            without(&base, 2, &hunks, &left_out.iter().copied().collect()).unwrap().first().text().to_owned()
        };
        assert_eq!(left(&[]), "one\na, which is longer\nb\ntwo\nc\n{{ input }}\n");
        assert_eq!(left(&[0]), "one\nb\ntwo\nc\n{{ input }}\n");
        assert_eq!(left(&[1, 2]), "one\na, which is longer\ntwo\n{{ input }}\n");
        assert_eq!(left(&[0, 1, 2]), "one\ntwo\n{{ input }}\n");
    }

    #[test]
    fn a_hunk_that_two_parts_have_is_one() {
        let base = set("one\n{{ input }}\n");
        let parts = [part("a", "one\nsame\n{{ input }}\n"), part("b", "one\nsame\n{{ input }}\nend\n")];
        let hunks = hunks_of(&base, &parts);
        assert_eq!(hunks.len(), 2);
        assert!(hunks.iter().any(|hunk| hunk.parts == [0, 1]));
    }
}
