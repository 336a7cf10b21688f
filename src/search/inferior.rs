//! Whether a shorter prompt is not inferior to a longer one that stands.
//!
//! *Not inferior* means that the 95 % interval of the paired difference, shorter less longer, lies above minus a stated
//! margin (the usual rule for non-inferiority: Piaggio et al., CONSORT extension, JAMA 308, 2012), and that nothing is
//! lost on the rows themselves.
//!
//! Where the model is noisy, first draws can't tell that: what stands was chosen by its own, and looks worse by itself
//! the next time. So the rows that changed are sampled afresh, equally often in both arms, and their fresh means take the
//! place of the first draws; a loss that those samples make by luck is none.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::gate;
use super::meter::{Doing, Meter};
use super::{Halt, Search};
use crate::dataset::Example;
use crate::eval::{Comparison, Objective, Outcome};
use crate::prompt::PromptSet;
use crate::stats::{EProcess, student_t_quantile, variance};

/// Fresh samples of a row that changed, in each arm.
pub(super) const FRESH: u32 = 4;

/// Chance that a loss which is luck is taken for one.
const ALPHA: f64 = 0.05;

/// Whether `comparison`, of the shorter prompt with the longer, shows that the shorter one is not inferior by `margin`.
/// On the rows themselves no more may be lost than `luck`: the margin is for what so many rows can't show. Where no row
/// scores anything, none shows anything; a row that ran in one arm only counts against the shorter prompt.
pub(super) fn is_not_inferior(comparison: &Comparison, margin: f64, luck: f64) -> bool {
    !gate::misses_too_many(comparison)
        && comparison.after > 0.0
        && comparison.at_worst() >= -luck
        && comparison.interval.low - comparison.one_armed.at_stake > -margin
}

/// The longer prompt and the shorter one, with their first draws on the same rows.
pub(super) struct Arms<'a> {
    pub longer: &'a Arc<PromptSet>,
    pub shorter: &'a Arc<PromptSet>,
    pub with: &'a [Outcome],
    pub without: &'a [Outcome],
}

/// How the two compare.
pub(super) struct Finding {
    pub comparison: Comparison,
    /// Fresh samples of each row that changed, in either arm, that it rests on.
    pub samples: u32,
    pub is_not_inferior: bool,
}

/// Fresh draws of the rows that changed, in both arms.
#[derive(Default)]
struct Fresh {
    with: Vec<Vec<Outcome>>,
    without: Vec<Vec<Outcome>>,
    losses: EProcess,
}

impl Fresh {
    /// Takes in one draw, paired in row order.
    fn take(&mut self, with: Vec<Outcome>, without: Vec<Outcome>) {
        for (old, new) in with.iter().zip(&without) {
            if let (Some(old), Some(new)) = (old.value(), new.value())
                && old != new
            {
                self.losses.observe(new < old);
            }
        }
        self.with.push(with);
        self.without.push(without);
    }

    /// Whether the rows lose again and again, so that no further sample is needed.
    fn shows_loss(&self) -> bool {
        self.losses.rejects(ALPHA)
    }

    /// How the two compare with the fresh samples in place of the first draws.
    fn finding(&self, arms: &Arms<'_>, objective: &Objective, pass_threshold: f64, margin: f64) -> Finding {
        let compare = |draws: Range<usize>| {
            let with = in_place(arms.with, &self.with[draws.clone()]);
            let without = in_place(arms.without, &self.without[draws]);
            objective.compare(&with, &without, pass_threshold)
        };
        let samples = self.with.len();
        let each: Vec<f64> = (0..samples).map(|draw| compare(draw..draw + 1).difference).collect();
        // By t, since a few samples tell little of how far they scatter; one tells nothing of it.
        let luck = variance(&each).map_or(0.0, |variance| {
            student_t_quantile(1.0 - ALPHA, samples as f64 - 1.0) * (variance / samples as f64).sqrt()
        });
        let comparison = compare(0..samples);
        let is_not_inferior = !self.shows_loss() && is_not_inferior(&comparison, margin, luck);
        Finding { comparison, samples: samples as u32, is_not_inferior }
    }
}

/// `first` draws with `fresh` ones of some rows in place of theirs.
fn in_place(first: &[Outcome], fresh: &[Vec<Outcome>]) -> Vec<Outcome> {
    let again: BTreeSet<&str> = fresh.iter().flatten().map(|outcome| outcome.example.id.as_str()).collect();
    let others = first.iter().filter(|outcome| !again.contains(outcome.example.id.as_str()));
    others.chain(fresh.iter().flatten()).cloned().collect()
}

impl Search<'_> {
    /// Compares a shorter prompt with a longer one. Where first draws don't show that it is not inferior and the model is
    /// noisy, the rows that changed are sampled afresh, with draws from `draw` on; nothing where that takes more than `calls`.
    pub(super) async fn compare_shorter(
        &self,
        meter: &Meter<'_>,
        arms: &Arms<'_>,
        draw: u32,
        calls: u64,
        doing: &Doing,
    ) -> Result<Option<Finding>, Halt> {
        let Search { settings, .. } = self;
        let (objective, threshold, margin) = (&settings.objective, settings.pass_threshold, settings.gate.prune_margin);
        let comparison = objective.compare(arms.with, arms.without, threshold);
        let first = is_not_inferior(&comparison, margin, 0.0);
        let flipped: BTreeSet<String> = objective.flipped(&comparison, arms.with, arms.without).into_iter().collect();
        let at_first = Finding { comparison, samples: 0, is_not_inferior: first };
        if first || meter.is_deterministic() || flipped.is_empty() || gate::misses_too_many(&at_first.comparison) {
            return Ok(Some(at_first));
        }
        let rows: Vec<Arc<Example>> = arms.with.iter().map(|outcome| Arc::clone(&outcome.example)).collect();
        let rows: Vec<Arc<Example>> = rows.into_iter().filter(|row| flipped.contains(&row.id)).collect();
        let mut fresh = Fresh::default();
        let before = meter.measured();
        for number in draw..draw + FRESH.min(settings.gate.max_samples) {
            if fresh.shows_loss() {
                break;
            }
            let unknown = meter.unknown(arms.longer, &rows, number) + meter.unknown(arms.shorter, &rows, number);
            if meter.measured() - before + unknown > calls {
                return Ok(None);
            }
            let with = meter.measure(arms.longer, &rows, number, doing).await?;
            let without = meter.measure(arms.shorter, &rows, number, doing).await?;
            fresh.take(with, without);
        }
        Ok(Some(fresh.finding(arms, objective, threshold, margin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{comparison, outcome};

    #[test]
    fn a_prompt_is_not_inferior_only_if_the_whole_interval_lies_above_the_margin_and_nothing_is_lost() {
        let holds = |rows, fixed, broken, margin| is_not_inferior(&comparison(rows, fixed, broken, 0), margin, 0.0);
        assert!(holds(200, 0, 0, 0.02) && holds(200, 4, 1, 0.02));
        assert!(!holds(200, 0, 3, 0.02));
        // Above the margin, but what was gained is not lost again.
        assert!(!holds(1000, 1, 2, 0.02));
        // So few rows can't show it, whatever they say.
        assert!(!holds(60, 0, 0, 0.02) && holds(60, 0, 0, 0.05));
    }

    #[test]
    fn missing_rows_prove_nothing() {
        assert!(!is_not_inferior(&comparison(160, 0, 0, 40), 0.02, 0.0));
        assert!(!is_not_inferior(&comparison(0, 0, 0, 0), 0.02, 0.0));
    }

    /// A hundred rows of which the first `values.len()` have these values and the others pass.
    fn arm(values: &[f64]) -> Vec<Outcome> {
        (0..100).map(|row| outcome(row, values.get(row).copied().unwrap_or(1.0))).collect()
    }

    /// What `draws`, each of the first rows with and without, come to where the first draws are `with` and `without`.
    fn found(with: &[f64], without: &[f64], draws: &[(&[f64], &[f64])]) -> Finding {
        let (with, without) = (arm(with), arm(without));
        let prompts = Arc::new(PromptSet::one(crate::prompt::Prompt::parse("p", "{{ input }}").unwrap()).unwrap());
        let arms = Arms { longer: &prompts, shorter: &prompts, with: &with, without: &without };
        let mut fresh = Fresh::default();
        for (number, (old, new)) in draws.iter().enumerate() {
            let draw = |values: &[f64]| -> Vec<Outcome> {
                let values = values.iter().enumerate();
                values.map(|(row, value)| Outcome { sample: 80 + number as u32, ..outcome(row, *value) }).collect()
            };
            fresh.take(draw(old), draw(new));
        }
        fresh.finding(&arms, &Objective::default(), 1.0, 0.05)
    }

    #[test]
    fn fresh_samples_in_both_arms_tell_a_lucky_draw_from_a_loss() {
        // Three coins that all fell well for what was kept.
        let coins: [(&[f64], &[f64]); 4] = [
            (&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]),
            (&[0.0, 1.0, 1.0], &[1.0, 0.0, 1.0]),
            (&[1.0, 1.0, 0.0], &[1.0, 0.0, 1.0]),
            (&[0.0, 0.0, 1.0], &[0.0, 0.0, 0.0]),
        ];
        let luck = found(&[1.0; 3], &[0.0; 3], &coins);
        assert!(luck.is_not_inferior && luck.comparison.difference < 0.0 && luck.samples == 4);
        let lost: (&[f64], &[f64]) = (&[1.0; 3], &[0.0; 3]);
        assert!(!found(&[1.0; 3], &[0.0; 3], &[lost; 4]).is_not_inferior);
        let one: (&[f64], &[f64]) = (&[1.0], &[0.0]);
        assert!(!found(&[1.0], &[0.0], &[one; 4]).is_not_inferior, "one row that is lost each time is no luck");
        assert!(!found(&[1.0; 8], &[0.0; 8], &[(&[1.0; 8], &[0.0; 8])]).is_not_inferior);
    }

    #[test]
    fn rows_that_lose_again_and_again_need_no_further_sample() {
        let shows = |rows: usize| {
            let mut fresh = Fresh::default();
            let draw = |value| (0..rows).map(|row| outcome(row, value)).collect();
            fresh.take(draw(1.0), draw(0.0));
            fresh.shows_loss()
        };
        assert_eq!([0, 3, 8].map(shows), [false, false, true]);
    }
}
