//! The noise floor: how often the same prompt gets another value on the same row, and what gain dev can therefore show.

use std::sync::Arc;

use rand::seq::SliceRandom;

use crate::dataset::Example;
use crate::eval::Outcome;
use crate::run::NoiseMeasured;
use crate::seed;
use crate::stats::{minimum_detectable_effect, rows_needed};

/// Of what may be spent, the share that measuring the noise may take.
const BUDGET_SHARE: u64 = 40;

/// Most rows run twice.
pub(super) const MOST_ROWS: usize = 100;

/// An edit that does anything changes the value of about one row in ten; the smallest spread a difference can have.
const EDIT_CHANGES: f64 = 0.1;

/// The dev rows to run a second time, scaled to `calls_left`: all up to a hundred, but at most a fortieth of the calls.
pub(super) fn rows(dev: &[Arc<Example>], calls_left: u64, seed: u64) -> Vec<Arc<Example>> {
    let most = usize::try_from(calls_left / BUDGET_SHARE).unwrap_or(usize::MAX).min(MOST_ROWS);
    let mut rows = dev.to_vec();
    rows.shuffle(&mut seed::generator(seed, 0, "noise"));
    rows.truncate(most);
    rows
}

/// Sums up two draws of the same rows, where the dev rows tell as much as `told` rows of equal weight do, and judges by
/// themselves make so much noise. Without rows, a target that is `deterministic` is taken at its word that it has no noise.
pub(super) fn measured(
    deterministic: bool,
    first: &[Outcome],
    second: &[Outcome],
    (dev_rows, told): (usize, usize),
    judge_noise: f64,
) -> NoiseMeasured {
    let pairs: Vec<(&Outcome, f64, f64)> =
        first.iter().zip(second).filter_map(|(first, second)| Some((first, first.value()?, second.value()?))).collect();
    let flaky: Vec<String> =
        pairs.iter().filter(|(_, one, two)| one != two).map(|(outcome, ..)| outcome.example.id.clone()).collect();
    let squares: f64 = pairs.iter().map(|(_, one, two)| (one - two).powi(2)).sum();
    let noise_variance = if pairs.is_empty() { 0.0 } else { squares / pairs.len() as f64 };
    let flip_rate = if pairs.is_empty() { 0.0 } else { flaky.len() as f64 / pairs.len() as f64 };
    let (detectable, rows_for_half) = detectable_gain(dev_rows, told, noise_variance.max(judge_noise));
    let mut noise = match (deterministic, first.len(), pairs.len()) {
        (true, ..) => "the target declares itself deterministic".to_owned(),
        (false, 0, _) => "the model's noise comes on top: too few calls are left to measure it".to_owned(),
        (false, _, 0) => "the model's noise comes on top: no row could be asked twice".to_owned(),
        (false, _, pairs) => format!("{} of {pairs} rows changed when asked twice", flaky.len()),
    };
    if judge_noise > noise_variance {
        noise += ", and the judge changes its mind more often, as it was calibrated";
    }
    let words = format!(
        "{noise}; with {dev_rows} dev rows, gains under {:.1} points can't be told from luck by dev alone, and \
         {rows_for_half} rows would show {:.1}",
        100.0 * detectable,
        50.0 * detectable
    );
    NoiseMeasured { rows: pairs.len(), flip_rate, flaky, detectable, rows_for_half, words }
}

/// What gain `dev_rows` can show that tell as much as `told` of equal weight do, where two draws of a row differ by the
/// square root of `noise_variance` in the quadratic mean: (gain in [0, 1], dev rows that would show half of it).
pub fn detectable_gain(dev_rows: usize, told: usize, noise_variance: f64) -> (f64, u64) {
    let spread = (EDIT_CHANGES + noise_variance).sqrt();
    let detectable = minimum_detectable_effect(told as u64, spread, 0.95, 0.8).min(1.0);
    let needed = rows_needed(detectable / 2.0, spread, 0.95, 0.8);
    if told == dev_rows {
        return (detectable, needed);
    }
    (detectable, (needed as f64 * dev_rows as f64 / told.max(1) as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::outcome;

    #[test]
    fn rows_that_differ_are_flaky_and_noise_raises_what_can_be_detected() {
        let first: Vec<Outcome> = (0..10).map(|row| outcome(row, 1.0)).collect();
        let second: Vec<Outcome> = (0..10).map(|row| outcome(row, f64::from(row != 3))).collect();
        let noisy = measured(false, &first, &second, (80, 80), 0.0);
        assert_eq!((noisy.rows, noisy.flip_rate, noisy.flaky.as_slice()), (10, 0.1, ["3".to_owned()].as_slice()));
        let quiet = measured(false, &first, &first, (80, 80), 0.0);
        assert!(quiet.flaky.is_empty() && quiet.detectable < noisy.detectable);
        assert!(noisy.words.contains("1 of 10 rows changed"), "{}", noisy.words);
        let judged = measured(false, &first, &second, (80, 80), 0.3);
        assert!(judged.detectable > noisy.detectable && judged.words.contains("as it was calibrated"));
        assert_eq!(measured(false, &first, &second, (80, 80), 0.05), noisy, "what was measured is more");
    }

    #[test]
    fn noise_that_was_not_measured_is_not_said_to_be_none() {
        let words = |deterministic, first: &[Outcome], second: &[Outcome]| {
            measured(deterministic, first, second, (80, 80), 0.0).words
        };
        assert!(words(true, &[], &[]).starts_with("the target declares itself deterministic; with 80"));
        assert!(words(false, &[], &[]).contains("comes on top: too few calls are left to measure it; with 80"));
        let mut failed = outcome(0, 1.0);
        failed.result = Err(crate::model::CallError::TimeUp.into());
        let unmeasured = words(false, &[outcome(0, 1.0)], &[failed]);
        assert!(unmeasured.contains("no row could be asked twice"), "{unmeasured}");
    }

    #[test]
    fn its_cost_is_scaled_to_what_may_be_spent() {
        let dev: Vec<Arc<Example>> = (0..300).map(|row| outcome(row, 1.0).example).collect();
        assert_eq!(rows(&dev, 0, 1).len(), 0);
        assert_eq!(rows(&dev, 400, 1).len(), 10);
        assert_eq!(rows(&dev, u64::MAX, 1).len(), MOST_ROWS);
    }
}
