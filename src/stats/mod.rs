//! Statistics: paired tests, intervals and sequential tests, each citing its source.
//!
//! Owns every formula that a decision rests on; knows nothing of rows, prompts or files. All functions are pure, total
//! (odd input gives a documented value, never NaN and never a panic) and independent of the order of equal inputs.
//! A confidence is a share such as 0.95; what lies outside (0, 1) is pulled inside.
//! Non-finite values and rows whose weight is not a positive number are left out.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

mod agreement;
mod cells;
mod interval;
mod labels;
mod labels_paired;
mod paired;
mod power;
mod repeats;
mod sequential;

pub use agreement::{Agreement, Correlation, agreement, rank_correlation};
pub use cells::Cells;
pub use interval::{Interval, bootstrap, bootstrap_paired, mean_interval, wilson};
pub use labels::{LabelScore, Labelled, bootstrap_macro_f1, label_scores, macro_f1};
pub use labels_paired::{MacroF1Difference, macro_f1_difference};
pub use paired::{PairedDifference, matched_pairs_interval, mcnemar_mid_p, paired_difference, sign_test};
pub use power::{minimum_detectable_effect, rows_needed};
pub use repeats::pass_at;
pub use sequential::{EProcess, spend};

/// Arithmetic mean; `None` when there is nothing to average.
pub fn mean(values: &[f64]) -> Option<f64> {
    weighted_mean(values, None)
}

/// Mean of `values` by `weights` (one a value; `None` weighs all alike); `None` when no weight is positive.
pub fn weighted_mean(values: &[f64], weights: Option<&[f64]>) -> Option<f64> {
    let sample = Sample::new(values, weights);
    (sample.n > 0).then_some(sample.mean)
}

/// Sample variance (divisor n - 1) by Welford's algorithm (Technometrics 4, 1962); `None` below two values.
pub fn variance(values: &[f64]) -> Option<f64> {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for &value in values.iter().filter(|value| value.is_finite()) {
        n += 1.0;
        let delta = value - mean;
        mean += delta / n;
        squares += delta * (value - mean);
    }
    (n >= 2.0).then(|| squares / (n - 1.0))
}

/// The middle value, or the mean of the middle two; `None` when empty.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The standard normal's quantile at probability `p`, finite for every `p` (pulled into [1e-15, 1 - 1e-15]).
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(inner_probability(p))
}

/// Student's t quantile at probability `p` with `df` degrees of freedom (at least 1).
///
/// Above 1,000 degrees by the expansion around the normal quantile (Abramowitz and Stegun 26.7.5), which is exact to
/// ten digits there.
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    let df = df.max(1.0);
    match StudentsT::new(0.0, 1.0, df) {
        Ok(distribution) if df <= 1_000.0 => distribution.inverse_cdf(inner_probability(p)),
        _ => {
            let z = normal_quantile(p);
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            z + first / df + second / (df * df) + third / (df * df * df)
        }
    }
}

/// Two-sided p-value of Student's t statistic with `df` degrees of freedom (at least 1; normal above a million).
pub fn student_t_p_value(t: f64, df: f64) -> f64 {
    let df = df.max(1.0);
    let tail = match StudentsT::new(0.0, 1.0, df) {
        Ok(distribution) if df <= 1e6 => distribution.sf(t.abs()),
        _ => return two_sided_p_value(t),
    };
    (2.0 * tail).clamp(0.0, 1.0)
}

/// Two-sided p-value of a standard normal `z`.
fn two_sided_p_value(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).clamp(0.0, 1.0)
}

/// The z of a two-sided interval: 1.96 for 0.95.
fn two_sided_z(confidence: f64) -> f64 {
    normal_quantile(two_sided_level(confidence))
}

/// The probability below the upper limit of a two-sided interval: 0.975 for 0.95.
fn two_sided_level(confidence: f64) -> f64 {
    f64::midpoint(1.0, inner_probability(confidence))
}

fn inner_probability(p: f64) -> f64 {
    if p.is_nan() { 0.5 } else { p.clamp(1e-15, 1.0 - 1e-15) }
}

/// Moments of a weighted sample.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Values with a positive weight.
    n: usize,
    /// Kish's effective size, (sum w)^2 / sum w^2 (Survey Sampling, 1965); n when all weigh alike.
    effective: f64,
    /// Weighted mean; 0 when empty.
    mean: f64,
    /// Standard error of the mean, by the linearised variance of a ratio (Cochran, Sampling Techniques, 1977, 6.3):
    /// s / sqrt(n) when all weigh alike. 0 below two values.
    standard_error: f64,
    /// Whether every value weighs the same.
    unweighted: bool,
}

impl Sample {
    fn new(values: &[f64], weights: Option<&[f64]>) -> Self {
        let pairs = || weighted(values, weights);
        let n = pairs().count();
        let mut sample = Self { n, effective: 0.0, mean: 0.0, standard_error: 0.0, unweighted: true };
        let Some((_, first)) = pairs().next() else { return sample };
        // Relative to the largest weight, so that no square overflows.
        let largest = pairs().map(|(_, weight)| weight).fold(first, f64::max);
        let (mut total, mut total_squares, mut sum) = (0.0, 0.0, 0.0);
        for (value, weight) in pairs() {
            let share = weight / largest;
            total += share;
            total_squares += share * share;
            sum += share * value;
            sample.unweighted &= weight == first;
        }
        // A plain sum: shares of rows that pass come out as they are written, 0.75 and not 0.7499999999999999.
        sample.mean = sum / total;
        sample.effective = total * total / total_squares;
        if n >= 2 {
            let spread: f64 = pairs().map(|(value, weight)| (weight / largest * (value - sample.mean)).powi(2)).sum();
            sample.standard_error = (spread * n as f64 / (n as f64 - 1.0)).sqrt() / total;
        }
        // Equal values leave rounding noise, which must not pass for a tiny but certain spread.
        if sample.standard_error <= 1e-14 * sample.mean.abs() {
            sample.standard_error = 0.0;
        }
        sample
    }

    /// Degrees of freedom of a t interval of the mean, at least 1.
    fn df(&self) -> f64 {
        (self.effective - 1.0).max(1.0)
    }
}

/// The values that count, each with its weight.
fn weighted<'a>(values: &'a [f64], weights: Option<&'a [f64]>) -> impl Iterator<Item = (f64, f64)> + 'a {
    values
        .iter()
        .enumerate()
        .map(move |(at, &value)| (value, weights.map_or(1.0, |weights| weights.get(at).copied().unwrap_or(0.0))))
        .filter(|(value, weight)| value.is_finite() && weight.is_finite() && *weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn quantiles_match_published_tables() {
        close(normal_quantile(0.975), 1.959_963_984_540_054);
        close(normal_quantile(0.8), 0.841_621_233_572_914);
        // Exact: t with 1 degree of freedom is Cauchy, with 2 it is (2p - 1) / sqrt(2 p (1 - p)).
        close(student_t_quantile(0.975, 1.0), 12.706_204_736_174_7);
        close(student_t_quantile(0.975, 2.0), 4.302_652_729_749_46);
        close(student_t_quantile(0.975, 10.0), 2.228_138_851_986_27);
        close(student_t_quantile(0.5, 7.0), 0.0);
        close(student_t_p_value(2.228_138_851_986_27, 10.0), 0.05);
    }

    #[test]
    fn quantiles_stay_finite_for_odd_input() {
        for p in [f64::NAN, -1.0, 0.0, 1.0, 2.0] {
            assert!(normal_quantile(p).is_finite());
            assert!(student_t_quantile(p, 0.0).is_finite());
        }
        close(student_t_quantile(0.975, 1e12), normal_quantile(0.975));
        assert!((student_t_quantile(0.975, 1e7) - normal_quantile(0.975)).abs() < 1e-6);
        for df in [2.5, 80.0, 999.0, 1_001.0, 50_000.0] {
            for p in [0.6, 0.975, 0.999_9] {
                close(student_t_p_value(student_t_quantile(p, df), df), 2.0 * (1.0 - p));
            }
        }
    }

    #[test]
    fn moments_match_hand_computation() {
        close(mean(&[1.0, 2.0, 6.0]).unwrap(), 3.0);
        close(variance(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap(), 32.0 / 7.0);
        close(weighted_mean(&[1.0, 0.0], Some(&[3.0, 1.0])).unwrap(), 0.75);
        close(median(&[3.0, 1.0, 2.0, 10.0]).unwrap(), 2.5);
        assert_eq!((mean(&[]), variance(&[1.0]), median(&[])), (None, None, None));
    }

    proptest! {
        #[test]
        fn a_constant_weight_changes_nothing(values in prop::collection::vec(0.0..1.0_f64, 1..40), weight in 0.001..1e6_f64) {
            let plain = Sample::new(&values, None);
            let weighted = Sample::new(&values, Some(&vec![weight; values.len()]));
            prop_assert!((plain.mean - weighted.mean).abs() < 1e-12);
            prop_assert!((plain.standard_error - weighted.standard_error).abs() < 1e-12);
            prop_assert!((weighted.effective - values.len() as f64).abs() < 1e-9);
            prop_assert!(weighted.unweighted);
        }
    }
}
