//! Intervals of a mean or share that lies in [0, 1], and the bootstrap.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{Sample, student_t_quantile, two_sided_level, two_sided_z, weighted};

/// A closed range that is claimed to hold the true value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit, not below `low`.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies within, limits included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The same, as far as it must reach to hold zero.
    pub(super) fn with_zero(self) -> Self {
        Self { low: self.low.min(0.0), high: self.high.max(0.0) }
    }

    pub(super) fn around(centre: f64, half_width: f64, bounds: (f64, f64)) -> Self {
        Self {
            low: (centre - half_width).clamp(bounds.0, bounds.1),
            high: (centre + half_width).clamp(bounds.0, bounds.1),
        }
    }
}

/// Wilson's score interval of a share (J. Am. Stat. Assoc. 22, 1927), without continuity correction.
///
/// `successes` of `n` trials; fractions are allowed, for effective sizes. [0, 1] when `n` is not positive.
pub fn wilson(successes: f64, n: f64, confidence: f64) -> Interval {
    if !(n > 0.0 && n.is_finite() && successes.is_finite()) {
        return Interval { low: 0.0, high: 1.0 };
    }
    let share = (successes / n).clamp(0.0, 1.0);
    let z = two_sided_z(confidence);
    let z2 = z * z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half_width = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    let mut interval = Interval::around(centre, half_width, (0.0, 1.0));
    // At the ends the limit is the share itself; rounding must not leave it out.
    interval.low = interval.low.min(share);
    interval.high = interval.high.max(share);
    interval
}

/// Interval of the mean of `values` in [0, 1], with an optional weight for each.
///
/// Wilson's where all values are 0 or 1 or all are alike (a spread of nothing proves nothing; by Kish's effective size
/// where weights differ), else Student's t interval clipped to [0, 1]. [0, 1] when empty.
pub fn mean_interval(values: &[f64], weights: Option<&[f64]>, confidence: f64) -> Interval {
    let sample = Sample::new(values, weights);
    let binary = weighted(values, weights).all(|(value, _)| value == 0.0 || value == 1.0);
    if binary || sample.standard_error == 0.0 {
        return wilson(sample.mean * sample.effective, sample.effective, confidence);
    }
    let t = student_t_quantile(two_sided_level(confidence), sample.df());
    Interval::around(sample.mean, t * sample.standard_error, (0.0, 1.0))
}

/// Percentile bootstrap interval of the mean (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
///
/// Draws `resamples` (at least 1) samples with replacement from `rng`. [0, 0] when empty; a single value or constant
/// values give an interval of no width, so use it only where there are many rows.
pub fn bootstrap<R: Rng + ?Sized>(values: &[f64], confidence: f64, resamples: usize, rng: &mut R) -> Interval {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if values.is_empty() {
        return Interval { low: 0.0, high: 0.0 };
    }
    let n = values.len();
    let mut means: Vec<f64> =
        (0..resamples.max(1)).map(|_| (0..n).map(|_| values[rng.random_range(0..n)]).sum::<f64>() / n as f64).collect();
    means.sort_by(f64::total_cmp);
    let upper = two_sided_level(confidence);
    Interval { low: percentile(&means, 1.0 - upper), high: percentile(&means, upper) }
}

/// Percentile bootstrap interval of the mean of `after - before`, resampling rows so that pairs stay together.
///
/// Both slices hold the same rows in the same order; what one has beyond the other is left out.
pub fn bootstrap_paired<R: Rng + ?Sized>(
    before: &[f64],
    after: &[f64],
    confidence: f64,
    resamples: usize,
    rng: &mut R,
) -> Interval {
    let differences: Vec<f64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    bootstrap(&differences, confidence, resamples, rng)
}

/// Linear interpolation between order statistics (Hyndman and Fan, Am. Stat. 50, 1996, type 7) of a sorted slice.
pub(super) fn percentile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;
    use proptest::prelude::*;

    fn close(found: Interval, low: f64, high: f64, within: f64) {
        assert!((found.low - low).abs() < within && (found.high - high).abs() < within, "{found:?}");
    }

    #[test]
    fn wilson_matches_newcombes_published_table() {
        // Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
        close(wilson(81.0, 263.0, 0.95), 0.2553, 0.3662, 5e-5);
        close(wilson(15.0, 148.0, 0.95), 0.0624, 0.1605, 5e-5);
        close(wilson(0.0, 20.0, 0.95), 0.0, 0.1611, 5e-5);
        close(wilson(1.0, 29.0, 0.95), 0.0061, 0.1718, 5e-5);
        // At no successes the upper limit is z^2 / (n + z^2), exactly.
        let z2 = 1.959_963_984_540_054_f64.powi(2);
        close(wilson(0.0, 20.0, 0.95), 0.0, z2 / (20.0 + z2), 1e-9);
    }

    #[test]
    fn binary_means_use_wilson_and_graded_ones_student_t() {
        assert_eq!(mean_interval(&[1.0, 0.0, 1.0, 1.0], None, 0.95), wilson(3.0, 4.0, 0.95));
        // mean 0.5, s^2 = 0.1/3, t(0.975, 3) = 3.182446305284263.
        let half = 3.182_446_305_284_263 * (0.1_f64 / 3.0 / 4.0).sqrt();
        close(mean_interval(&[0.3, 0.4, 0.6, 0.7], None, 0.95), 0.5 - half, 0.5 + half, 1e-9);
    }

    #[test]
    fn constant_values_do_not_pass_for_certainty() {
        let interval = mean_interval(&[0.7; 3], None, 0.95);
        assert!(interval.low < 0.5 && interval.high > 0.8, "{interval:?}");
        assert_eq!(mean_interval(&[], None, 0.95), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_bootstrap_agrees_with_the_normal_interval_on_many_rows() {
        let values: Vec<f64> = (0..400).map(|at| f64::from(at % 10) / 9.0).collect();
        let found = bootstrap(&values, 0.95, 2_000, &mut generator(1, 0, "bootstrap"));
        let normal = mean_interval(&values, None, 0.95);
        close(found, normal.low, normal.high, 0.005);
    }

    #[test]
    fn the_paired_bootstrap_keeps_pairs_together() {
        let before: Vec<f64> = (0..50).map(|at| f64::from(at % 7) / 10.0).collect();
        let after: Vec<f64> = before.iter().map(|value| value + 0.25).collect();
        let found = bootstrap_paired(&before, &after, 0.95, 200, &mut generator(1, 0, "bootstrap"));
        close(found, 0.25, 0.25, 1e-9);
    }

    proptest! {
        #[test]
        fn every_interval_is_ordered_and_holds_the_mean(
            values in prop::collection::vec(0.0..=1.0_f64, 1..60),
            weights in prop::collection::vec(0.0..5.0_f64, 60),
            confidence in 0.5..0.999_f64,
        ) {
            for weights in [None, Some(weights.as_slice())] {
                let interval = mean_interval(&values, weights, confidence);
                prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
                let mean = super::super::weighted_mean(&values, weights).unwrap_or(0.5);
                prop_assert!(interval.low <= mean + 1e-12 && mean <= interval.high + 1e-12);
            }
        }
    }
}
