//! Asking the gate: measures what [`gate`] wants to see, in its order, and no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::seq::SliceRandom;

use super::gate::{self, Confirmation, FirstLook, points};
use super::generation::{Candidate, State};
use super::inferior;
use super::meter::{Doing, Meter};
use super::weight::weighted;
use super::{Halt, Search};
use crate::dataset::{Example, Split};
use crate::eval::{Comparison, Outcome};
use crate::run::{Decision, Verdict};
use crate::seed;
use crate::stats::spend;
use crate::text::plural;

/// A verdict with what it rests on.
pub(super) struct Judgement {
    pub verdict: Verdict,
    /// The candidate on dev, first draws: on half of it, where that decided.
    pub dev: Vec<Outcome>,
    /// Dev rows, paired with the incumbent's.
    pub comparison: Comparison,
}

/// Both arms of a comparison.
struct Arms<'a> {
    state: &'a State,
    candidate: &'a Candidate,
    generation: u32,
}

/// Draws that are only ever used to confirm in one generation: the gate's from 100 x generation on, the guards' from 50
/// further, then those by which a shorter prompt is compared.
pub(super) fn fresh_draw(generation: u32, number: u32) -> u32 {
    100 * generation + number
}

/// Where the guards' fresh draws begin.
const GUARD_DRAWS: u32 = 50;

/// Where those of a shorter prompt begin: as a question to the gate, and as what was kept without a hunk.
const SHORTER_DRAWS: u32 = 80;
pub(super) const ABLATION_DRAWS: u32 = 90;

impl Search<'_> {
    /// Judges `candidate` against the incumbent on dev.
    pub(super) async fn judge(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        generation: u32,
    ) -> Result<Judgement, Halt> {
        let doing = Doing { generation, stage: "gate", trying: candidate.strategy.clone() };
        let arms = Arms { state, candidate, generation };
        let mut judgement = self.look(meter, &arms, &doing).await?;
        if let Some(error) = meter.unanswerable(&candidate.prompts) {
            judgement.verdict.decision = Decision::Rejected;
            judgement.verdict.reason = format!("the model could not answer it: {error}");
        }
        Ok(judgement)
    }

    /// The judgement, by the rows that ran.
    async fn look(&self, meter: &Meter<'_>, arms: &Arms<'_>, doing: &Doing) -> Result<Judgement, Halt> {
        let Arms { state, candidate, generation } = *arms;
        let saved = state.incumbent.prompts.tokens() as i64 - candidate.prompts.tokens() as i64;
        let rows = self.dataset.rows(Split::Dev);
        // What is shorter may be kept without a gain, which takes all rows.
        if saved <= 0 {
            let half = self.half_of_dev(generation);
            let (dev, comparison) = self.on_dev(meter, arms, &half, doing).await?;
            if let Some(verdict) = gate::halfway(&comparison, rows.len()) {
                return Ok(Judgement { verdict, dev, comparison });
            }
        }
        let (dev, comparison) = self.on_dev(meter, arms, &rows, doing).await?;
        let look = gate::first_look(&comparison, &self.gate(), meter.is_deterministic(), saved);
        let mut verdict = match look {
            FirstLook::Decided(verdict) => verdict,
            FirstLook::Confirm => self.confirm(meter, arms, &dev, &comparison, doing).await?,
        };
        if verdict.decision != Decision::Kept
            && saved > 0
            && !gate::misses_too_many(&comparison)
            && let Some(reason) = self.not_inferior(meter, arms, &dev, saved, doing).await?
        {
            verdict.decision = Decision::Kept;
            verdict.reason = reason;
        }
        if verdict.decision == Decision::Kept
            && let Some(reason) = self.broken_guard(meter, arms, doing).await?
        {
            verdict.decision = Decision::Rejected;
            verdict.reason = reason;
        }
        Ok(Judgement { verdict, dev, comparison })
    }

    /// The candidate on `rows` of dev, and paired with the incumbent there.
    async fn on_dev(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        rows: &[Arc<Example>],
        doing: &Doing,
    ) -> Result<(Vec<Outcome>, Comparison), Halt> {
        let after = meter.measure(&arms.candidate.prompts, rows, 0, doing).await?;
        let asked: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let incumbent = arms.state.incumbent.dev.iter();
        let before: Vec<Outcome> =
            incumbent.filter(|outcome| asked.contains(outcome.example.id.as_str())).cloned().collect();
        let comparison = self.settings.objective.compare(&before, &after, self.settings.pass_threshold);
        Ok((after, comparison))
    }

    /// The half of dev that a generation's question begins with: another one each time, so that none wears out faster.
    fn half_of_dev(&self, generation: u32) -> Vec<Arc<Example>> {
        let mut rows = self.dataset.rows(Split::Dev);
        rows.shuffle(&mut seed::generator(self.settings.seed, generation, "half of dev"));
        rows.truncate(rows.len() / 2);
        rows
    }

    /// Why a candidate that is shorter by `saved` tokens may take the incumbent's place without a gain, if it may: train
    /// and dev together show that it is not inferior.
    async fn not_inferior(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        dev: &[Outcome],
        saved: i64,
        doing: &Doing,
    ) -> Result<Option<String>, Halt> {
        let measured = arms.state.incumbent.train.iter().map(|outcome| Arc::clone(&outcome.example));
        let rows: Vec<Arc<Example>> = measured.filter(|row| !arms.candidate.quoted.contains(&row.id)).collect();
        if self.task_calls_left() < meter.unknown(&arms.candidate.prompts, &rows, 0) {
            return Ok(None);
        }
        let mut after = meter.measure(&arms.candidate.prompts, &rows, 0, doing).await?;
        let train = arms.state.incumbent.train.iter();
        let mut before: Vec<Outcome> =
            train.filter(|outcome| !arms.candidate.quoted.contains(&outcome.example.id)).cloned().collect();
        before.extend(arms.state.incumbent.dev.iter().cloned());
        after.extend(dev.iter().cloned());
        let shorter = inferior::Arms {
            longer: &arms.state.incumbent.prompts,
            shorter: &arms.candidate.prompts,
            with: &before,
            without: &after,
        };
        let draw = fresh_draw(arms.generation, SHORTER_DRAWS);
        let Some(found) = self.compare_shorter(meter, &shorter, draw, self.task_calls_left(), doing).await? else {
            return Ok(None);
        };
        let (margin, low) = (self.settings.gate.prune_margin, found.comparison.interval.low);
        let fresh = match found.samples {
            0 => String::new(),
            samples => format!(" with {} of each flipped row", plural(samples as usize, "fresh sample")),
        };
        Ok(found.is_not_inferior.then(|| {
            format!(
                "{} less, and on train and dev not inferior{fresh}: at worst {} (margin {})",
                plural(saved.unsigned_abs() as usize, "token"),
                points(low),
                points(margin).trim_start_matches('+')
            )
        }))
    }

    /// Samples the flipped rows afresh in both arms until the gain is shown to be more than noise, or until samples or
    /// budget are used up.
    async fn confirm(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        dev: &[Outcome],
        comparison: &Comparison,
        doing: &Doing,
    ) -> Result<Verdict, Halt> {
        let objective = &self.settings.objective;
        let first = [arms.state.incumbent.dev.as_slice(), dev];
        let flipped = objective.flipped(comparison, first[0], first[1]);
        let rows: Vec<Arc<Example>> = self.rows_named(&flipped.iter().map(String::as_str).collect());
        let weight = |prompts| self.weight(meter, prompts);
        let both = weight(&arms.state.incumbent.prompts) + weight(&arms.candidate.prompts);
        let calls = weighted(rows.len() as u64, both.max(2.0));
        let mut evidence = Confirmation::new(spend(self.settings.gate.alpha, arms.generation), comparison);
        for number in 0..self.settings.gate.max_samples {
            if evidence.is_shown() || evidence.is_futile() || self.task_calls_left() < calls {
                break;
            }
            let (before, after) = self.fresh(meter, arms, &rows, number, doing).await?;
            evidence.observe(&before, &after, objective.fresh_difference(first, [&before, &after]));
        }
        Ok(evidence.verdict(comparison, &self.gate()))
    }

    /// One fresh draw of `rows` in both arms.
    async fn fresh(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        rows: &[Arc<Example>],
        number: u32,
        doing: &Doing,
    ) -> Result<(Vec<Outcome>, Vec<Outcome>), Halt> {
        let draw = fresh_draw(arms.generation, number);
        let before = meter.measure(&arms.state.incumbent.prompts, rows, draw, doing).await?;
        let after = meter.measure(&arms.candidate.prompts, rows, draw, doing).await?;
        Ok((before, after))
    }

    /// Why a hard guard refuses `candidate` in place of the incumbent, if one does.
    pub(super) async fn guard_against(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        generation: u32,
    ) -> Result<Option<String>, Halt> {
        let doing = Doing { generation, stage: "gate", trying: candidate.strategy.clone() };
        self.broken_guard(meter, &Arms { state, candidate, generation }, &doing).await
    }

    /// Why a hard guard refuses, if one does: a pinned row that breaks, or a protected tag whose mean drops.
    async fn broken_guard(&self, meter: &Meter<'_>, arms: &Arms<'_>, doing: &Doing) -> Result<Option<String>, Halt> {
        let broken = self.broken_pinned(meter, arms, doing).await?;
        if !broken.is_empty() {
            return Ok(Some(format!("breaks pinned {}", broken.join(", "))));
        }
        for (tag, margin) in &self.settings.protected.tags {
            if let Some(drop) = self.tag_drop(meter, arms, tag, *margin, doing).await? {
                return Ok(Some(format!("the mean of tag `{tag}` drops by {}", points(drop).trim_start_matches('+'))));
            }
        }
        Ok(None)
    }

    /// The rows that must not break.
    pub(super) fn pinned_rows(&self) -> Vec<Arc<Example>> {
        let is_guarded = |example: &&Arc<Example>| self.settings.protected.pinned && example.pinned;
        self.dataset.examples.iter().filter(is_guarded).cloned().collect()
    }

    /// Ids of the pinned rows that `candidate` breaks, which would have the gate refuse it: confirmed by fresh draws unless
    /// the target is deterministic. They are far fewer than dev's rows, so they are asked first.
    pub(super) async fn pinned_broken_by(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        generation: u32,
    ) -> Result<Vec<String>, Halt> {
        let doing = Doing { generation, stage: "race", trying: candidate.strategy.clone() };
        self.broken_pinned(meter, &Arms { state, candidate, generation }, &doing).await
    }

    async fn broken_pinned(&self, meter: &Meter<'_>, arms: &Arms<'_>, doing: &Doing) -> Result<Vec<String>, Halt> {
        let pinned = self.pinned_rows();
        let before = meter.measure(&arms.state.incumbent.prompts, &pinned, 0, doing).await?;
        let after = meter.measure(&arms.candidate.prompts, &pinned, 0, doing).await?;
        let passes = |outcome: &Outcome| outcome.value().is_some_and(|value| value >= self.settings.pass_threshold);
        // What can't run any more is broken, too.
        let seem_broken = before.iter().zip(&after).filter(|(before, after)| passes(before) && !passes(after));
        let ids: BTreeSet<&str> = seem_broken.map(|(_, after)| after.example.id.as_str()).collect();
        if meter.is_deterministic() || ids.is_empty() {
            return Ok(ids.into_iter().map(str::to_owned).collect());
        }
        let rows = self.rows_named(&ids);
        let (before, after) = self.guard_draws(meter, arms, &rows, pinned.len(), doing).await?;
        let confirmed = rows.iter().enumerate().filter(|(index, _)| {
            let values = |draws: &[Vec<Outcome>]| -> Vec<Option<f64>> {
                draws.iter().map(|draw| draw.get(*index).and_then(Outcome::value)).collect()
            };
            gate::is_confirmed_broken(&values(&before), &values(&after), self.settings.pass_threshold)
        });
        Ok(confirmed.map(|(_, row)| row.id.clone()).collect())
    }

    /// By how much the mean of `tag` on dev drops, where that is beyond `margin`; confirmed by fresh draws of the rows that
    /// changed unless the target is deterministic. A row that the candidate can't run counts as worth nothing.
    async fn tag_drop(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        tag: &str,
        margin: f64,
        doing: &Doing,
    ) -> Result<Option<f64>, Halt> {
        let mut rows = self.dataset.rows(Split::Dev);
        rows.retain(|row| row.tags.iter().any(|of| of == tag));
        let before = meter.measure(&arms.state.incumbent.prompts, &rows, 0, doing).await?;
        let after = meter.measure(&arms.candidate.prompts, &rows, 0, doing).await?;
        let drops = |before: &[Outcome], after: &[Outcome]| -> Vec<f64> {
            let pairs = before.iter().zip(after);
            pairs.filter_map(|(old, new)| Some(old.value()? - new.value().unwrap_or_default())).collect()
        };
        let count = before.iter().filter(|outcome| outcome.value().is_some()).count().max(1) as f64;
        let drop = drops(&before, &after).iter().sum::<f64>() / count;
        if drop <= margin {
            return Ok(None);
        }
        if meter.is_deterministic() {
            return Ok(Some(drop));
        }
        let pairs = before.iter().zip(&after).filter(|(old, new)| old.value() != new.value());
        let changed: Vec<Arc<Example>> = pairs.map(|(old, _)| Arc::clone(&old.example)).collect();
        let (before, after) = self.guard_draws(meter, arms, &changed, rows.len(), doing).await?;
        let fresh: f64 = before.iter().zip(&after).flat_map(|(old, new)| drops(old, new)).sum();
        let drop = fresh / before.len().max(1) as f64 / count;
        Ok((drop > margin).then_some(drop))
    }

    /// Fresh draws of guarded rows in both arms: more the more rows are guarded.
    async fn guard_draws(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        rows: &[Arc<Example>],
        guarded: usize,
        doing: &Doing,
    ) -> Result<(Vec<Vec<Outcome>>, Vec<Vec<Outcome>>), Halt> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for number in 0..gate::guard_samples(guarded) {
            let (old, new) = self.fresh(meter, arms, rows, GUARD_DRAWS + number, doing).await?;
            before.push(old);
            after.push(new);
        }
        Ok((before, after))
    }

    fn rows_named(&self, ids: &BTreeSet<&str>) -> Vec<Arc<Example>> {
        self.dataset.examples.iter().filter(|example| ids.contains(example.id.as_str())).cloned().collect()
    }
}
