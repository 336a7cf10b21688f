//! Paired comparisons: what changed between two arms on the same rows, and whether that is more than luck.

use serde::{Deserialize, Serialize};

use super::{
    Interval, Sample, student_t_p_value, student_t_quantile, two_sided_level, two_sided_p_value, two_sided_z, weighted,
};

/// The difference between two arms over paired rows (second minus first, so that positive is better).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Pairs with a positive weight.
    pub n: usize,
    /// (Weighted) mean difference; 0 without pairs.
    pub mean: f64,
    /// Standard error of the mean; 0 below two pairs or where all differences are alike.
    pub standard_error: f64,
    /// Two-sided interval of the mean difference within [-1, 1]; [-1, 1] without pairs.
    pub interval: Interval,
    /// Two-sided p-value against no difference; 1 without pairs.
    pub p_value: f64,
    /// `mean / standard_error`; 0 where the standard error is 0.
    pub t: f64,
    /// Degrees of freedom: effective number of pairs less one, at least 1 (0 without pairs).
    pub df: f64,
}

/// Compares paired rows by their differences in [-1, 1], with an optional weight for each.
///
/// - All differences -1, 0 or 1 and equal weights (0/1 scores): the interval of [`matched_pairs_interval`] and the
///   p-value of [`mcnemar_mid_p`], or the interval's own where that is larger. With few rows that changed the interval's
///   approximation leaves zero out too early (in 5.5 % of samples of ten rows in which nothing changed), so it is widened to
///   hold zero wherever the test doesn't reject at the same level: the two never contradict each other. At 95 % each side
///   leaves zero out by luck in at most 2.6 % of samples, whatever the number of rows and the share that changes.
/// - Otherwise Student's paired t test and interval. Where less than half of the rows differ, or all differ by the
///   same, t claims too much (four rows of eighty up by the same amount would be enough), so the two pseudo-rows of
///   Agresti and Min are added there too, scaled to the root mean square of the differences that are not 0.
pub fn paired_difference(differences: &[f64], weights: Option<&[f64]>, confidence: f64) -> PairedDifference {
    let sample = Sample::new(differences, weights);
    if sample.n == 0 {
        let interval = Interval { low: -1.0, high: 1.0 };
        return PairedDifference { n: 0, mean: 0.0, standard_error: 0.0, interval, p_value: 1.0, t: 0.0, df: 0.0 };
    }
    let df = sample.df();
    let t = if sample.standard_error > 0.0 { sample.mean / sample.standard_error } else { 0.0 };
    let count = |wanted: f64| weighted(differences, weights).filter(|(value, _)| *value == wanted).count() as u64;
    let (fixed, broken, same) = (count(1.0), count(-1.0), count(0.0));
    let (interval, p_value) = if sample.unweighted && fixed + broken + same == sample.n as u64 {
        tested_interval(fixed, broken, sample.n as u64, confidence)
    } else {
        let sparse = 2 * same > sample.n as u64 || sample.standard_error == 0.0;
        let (centre, error) =
            if sparse { shrunk(&sample, differences, weights) } else { (sample.mean, sample.standard_error) };
        let quantile = student_t_quantile(two_sided_level(confidence), df);
        (Interval::around(centre, quantile * error, (-1.0, 1.0)), student_t_p_value(centre / error, df))
    };
    PairedDifference { n: sample.n, mean: sample.mean, standard_error: sample.standard_error, interval, p_value, t, df }
}

/// Interval of the difference of two paired shares, (fixed - broken) / n, clipped to [-1, 1].
///
/// Agresti and Min, Simple improved confidence intervals for comparing matched proportions, Statistics in Medicine 24
/// (2005) 729-740: Wald's interval after adding half a pair to each of the four cells. Chosen over Tango's (1998) and
/// Newcombe's (1998, method 10), whose coverage is as good, because it needs only the three counts. By itself it claims too
/// much of few rows. [-1, 1] when `n` is 0.
pub fn matched_pairs_interval(fixed: u64, broken: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { low: -1.0, high: 1.0 };
    }
    let (centre, error) = matched_pairs(fixed, broken, n);
    Interval::around(centre, two_sided_z(confidence) * error, (-1.0, 1.0))
}

/// Centre and standard error of that interval.
fn matched_pairs(fixed: u64, broken: u64, n: u64) -> (f64, f64) {
    let (fixed, broken, n) = (fixed as f64, broken as f64, n as f64);
    agresti_min(n, (fixed - broken) / n, (fixed + broken) / n, 1.0)
}

/// The interval and the p-value of 0/1 rows, each with the other's word on zero.
fn tested_interval(fixed: u64, broken: u64, n: u64, confidence: f64) -> (Interval, f64) {
    let (centre, error) = matched_pairs(fixed, broken, n);
    let p_value = mcnemar_mid_p(fixed, broken).max(two_sided_p_value(centre / error));
    let interval = matched_pairs_interval(fixed, broken, n, confidence);
    (if p_value > 1.0 - confidence { interval.with_zero() } else { interval }, p_value)
}

/// McNemar's test (Psychometrika 12, 1947), as the mid-P value of its conditional binomial form: two-sided p-value that
/// `fixed` and `broken` rows are equally likely, in which what was seen counts half. 1 when nothing changed.
///
/// Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than
/// exact conditional, BMC Medical Research Methodology 13 (2013) 91: the exact test errs far below its level.
pub fn mcnemar_mid_p(fixed: u64, broken: u64) -> f64 {
    let (fewer, changed) = (fixed.min(broken), fixed.saturating_add(broken));
    let below = fewer.checked_sub(1).map_or(0.0, |below| half_binomial(below, changed));
    (half_binomial(fewer, changed) + below).min(1.0)
}

/// Exact two-sided sign test: `up` against `down` under a fair coin. 1 when both are 0.
pub fn sign_test(up: u64, down: u64) -> f64 {
    (2.0 * half_binomial(up.min(down), up.saturating_add(down))).min(1.0)
}

/// P(X <= k) for X ~ Binomial(n, 1/2) and k <= n / 2.
fn half_binomial(k: u64, n: u64) -> f64 {
    use statrs::function::factorial::ln_binomial;
    // Downwards from the largest term, each by its ratio to the one before.
    let (mut tail, mut term) = (0.0, (ln_binomial(n, k) - n as f64 * std::f64::consts::LN_2).exp());
    for at in (0..=k).rev() {
        tail += term;
        if at == 0 || term < tail * 1e-17 {
            break;
        }
        term *= at as f64 / (n - at + 1) as f64;
    }
    tail.min(1.0)
}

/// Mean and standard error after adding two pseudo-rows that between them hold half a row of `+scale` and half a row
/// of `-scale`; `n` rows of the given mean and mean square.
fn agresti_min(n: f64, mean: f64, mean_square: f64, scale: f64) -> (f64, f64) {
    let total = n + 2.0;
    let centre = n * mean / total;
    let square = (n * mean_square + scale * scale) / total;
    (centre, ((square - centre * centre).max(0.0) / total).sqrt())
}

fn shrunk(sample: &Sample, differences: &[f64], weights: Option<&[f64]>) -> (f64, f64) {
    let squares: Vec<f64> = differences.iter().map(|value| value * value).collect();
    let mean_square = Sample::new(&squares, weights).mean;
    let (mut sum, mut changed) = (0.0, 0.0);
    for (square, _) in weighted(&squares, weights).filter(|(square, _)| *square > 0.0) {
        sum += square;
        changed += 1.0;
    }
    // Without any difference a future one may still be as large as they come.
    let scale = if changed > 0.0 { f64::sqrt(sum / changed) } else { 1.0 };
    agresti_min(sample.effective, sample.mean, mean_square, scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;
    use proptest::prelude::*;
    use rand::RngExt;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() < within, "{found} is not {expected}");
    }

    fn binary(fixed: usize, broken: usize, n: usize) -> Vec<f64> {
        let mut rows = vec![1.0; fixed];
        rows.extend(vec![-1.0; broken]);
        rows.resize(n, 0.0);
        rows
    }

    #[test]
    fn the_t_test_matches_students_sleep_data() {
        // Student, The probable error of a mean, Biometrika 6 (1908); t, p and limits as R's t.test prints them.
        // The hours are divided by ten to lie in [-1, 1].
        let hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let tenths: Vec<f64> = hours.iter().map(|hour| hour / 10.0).collect();
        let found = paired_difference(&tenths, None, 0.95);
        close(found.mean, 0.158, 1e-12);
        close(found.t, 4.062_127_683, 1e-8);
        close(found.df, 9.0, 1e-9);
        close(found.p_value, 0.002_832_890, 1e-8);
        close(found.interval.low, 0.070_011_42, 1e-7);
        close(found.interval.high, 0.245_988_58, 1e-7);
    }

    #[test]
    fn mcnemar_and_the_sign_test_match_fractions_and_published_values() {
        close(sign_test(6, 0), 2.0 / 64.0, 1e-12);
        close(sign_test(7, 1), 18.0 / 256.0, 1e-12);
        close(mcnemar_mid_p(6, 0), 1.0 / 64.0, 1e-12);
        // Fagerland et al. 2013, airway hyper-responsiveness (Bentur et al. 2009): exact 0.0703, mid-P 0.0391.
        close(sign_test(1, 7), 0.0703, 5e-5);
        close(mcnemar_mid_p(1, 7), 10.0 / 256.0, 1e-12);
        assert_eq!((mcnemar_mid_p(0, 0), sign_test(5, 5)), (1.0, 1.0));
        close(mcnemar_mid_p(5, 5), 1.0, 1e-12);
        assert!(mcnemar_mid_p(60_000, 40_000) < 1e-100);
    }

    #[test]
    fn the_matched_pairs_interval_matches_its_formula_worked_out_independently() {
        // Wald+2 as Agresti published it in R, evaluated apart from this code: (20 +- z sqrt(61 - 400 / 162)) / 162.
        let found = matched_pairs_interval(40, 20, 160, 0.95);
        close(found.low, 0.030_896_321_507_827, 1e-9);
        close(found.high, 0.216_017_258_739_087, 1e-9);
    }

    #[test]
    fn interval_and_test_never_contradict_each_other() {
        for n in (5_u64..=60).chain([80, 100, 150, 200, 1_000]) {
            for changed in 0..=n {
                for fixed in changed.div_ceil(2)..=changed {
                    let (interval, p_value) = tested_interval(fixed, changed - fixed, n, 0.95);
                    let told = format!("{fixed} of {changed} changed of {n}: {interval:?}, {p_value}");
                    assert_eq!(interval.low > 0.0, p_value <= 0.05, "{told}");
                    assert!(interval.high > 0.0, "{told}");
                }
            }
        }
    }

    #[test]
    fn where_nothing_changed_better_is_luck_in_hardly_more_than_one_of_forty_samples() {
        use statrs::function::factorial::ln_binomial;
        for n in [10_u64, 20, 40, 80, 200] {
            // By how many rows changed: the chance that so many of them are fixed that "better" is said.
            let luck = |changed: u64| {
                let is_shown = |broken: &u64| tested_interval(changed - broken, *broken, n, 0.95).0.low > 0.0;
                (0..=changed / 2).rev().find(is_shown).map_or(0.0, |broken| half_binomial(broken, changed))
            };
            let luck: Vec<f64> = (0..=n).map(luck).collect();
            for share in (1..40).map(|step| f64::from(step) / 40.0) {
                let of = |changed: u64, luck: f64| {
                    let ln = ln_binomial(n, changed)
                        + changed as f64 * share.ln()
                        + (n - changed) as f64 * (1.0 - share).ln();
                    ln.exp() * luck
                };
                let said: f64 = (0..=n).zip(&luck).map(|(changed, luck)| of(changed, *luck)).sum();
                assert!(said <= 0.026, "{n} rows, of which {share} change: {said}");
            }
        }
    }

    /// The probability over all tables of `n` pairs that the interval holds the truth, by enumeration.
    fn coverage(n: u64, up: f64, down: f64) -> f64 {
        use statrs::function::factorial::ln_factorial;
        let mut covered = 0.0;
        for fixed in 0..=n {
            for broken in 0..=(n - fixed) {
                let same = n - fixed - broken;
                let ln = ln_factorial(n) - ln_factorial(fixed) - ln_factorial(broken) - ln_factorial(same)
                    + fixed as f64 * up.ln()
                    + broken as f64 * down.ln()
                    + same as f64 * (1.0 - up - down).ln();
                if ln > -25.0 && tested_interval(fixed, broken, n, 0.95).0.contains(up - down) {
                    covered += ln.exp();
                }
            }
        }
        covered
    }

    #[test]
    fn coverage_at_80_rows_with_a_tenth_discordant_is_93_to_99_percent() {
        for up in [0.05, 0.06, 0.075, 0.09] {
            let covered = coverage(80, up, 0.1 - up);
            assert!((0.93..=0.99).contains(&covered), "{up}: {covered}");
        }
    }

    #[test]
    fn graded_scores_with_few_differences_claim_better_in_hardly_more_than_one_of_forty_samples() {
        let mut rng = generator(3, 0, "simulation");
        let mut claimed = 0;
        for _ in 0..2_000 {
            let rows: Vec<f64> = (0..60)
                .map(|_| match rng.random_range(0..100) {
                    0..4 => f64::from(rng.random_range(1..4)) / 3.0,
                    4..8 => f64::from(rng.random_range(1..4)) / -3.0,
                    _ => 0.0,
                })
                .collect();
            claimed += u32::from(paired_difference(&rows, None, 0.95).interval.low > 0.0);
        }
        assert!(claimed <= 60, "{claimed} of 2000");
    }

    #[test]
    fn no_pairs_and_no_differences_say_nothing() {
        let empty = paired_difference(&[], None, 0.95);
        assert_eq!((empty.n, empty.p_value, empty.standard_error), (0, 1.0, 0.0));
        for rows in [vec![0.0; 80], vec![0.0]] {
            let same = paired_difference(&rows, None, 0.95);
            assert_eq!((same.p_value, same.standard_error, same.t), (1.0, 0.0, 0.0));
            assert!(same.interval.low < 0.0 && same.interval.high > 0.0);
        }
        let weighted = paired_difference(&[0.0, 0.0], Some(&[1.0, 2.0]), 0.95);
        assert_eq!(weighted.p_value, 1.0);
    }

    #[test]
    fn two_equal_gains_prove_nothing_and_eighty_do() {
        assert!(paired_difference(&[0.5, 0.5], None, 0.95).interval.low < 0.0);
        let many = paired_difference(&[0.1; 80], None, 0.95);
        assert_eq!(many.standard_error, 0.0);
        assert!(many.interval.low > 0.09 && many.p_value < 1e-9, "{many:?}");
    }

    proptest! {
        #[test]
        fn a_difference_is_never_nan_and_mirrors_when_the_arms_swap(
            rows in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), Just(-1.0), -1.0..=1.0_f64], 0..30),
            weights in prop::collection::vec(0.0..3.0_f64, 30),
            use_weights: bool,
        ) {
            let weights = use_weights.then_some(weights.as_slice());
            let found = paired_difference(&rows, weights, 0.95);
            let swapped = paired_difference(&rows.iter().map(|row| -row).collect::<Vec<_>>(), weights, 0.95);
            let Interval { low, high } = found.interval;
            for number in [found.mean, found.standard_error, found.p_value, found.t, found.df, low, high] {
                prop_assert!(number.is_finite());
            }
            prop_assert!((0.0..=1.0).contains(&found.p_value) && low <= high);
            prop_assert!((low + swapped.interval.high).abs() < 1e-9 && (found.p_value - swapped.p_value).abs() < 1e-9);
        }

        #[test]
        fn binary_rows_use_the_matched_pairs_interval(fixed in 0..20_usize, broken in 0..20_usize, same in 1..60_usize) {
            let found = paired_difference(&binary(fixed, broken, fixed + broken + same), None, 0.9);
            let n = (fixed + broken + same) as u64;
            let expected = tested_interval(fixed as u64, broken as u64, n, 0.9);
            prop_assert_eq!((found.interval, found.p_value), expected);
        }
    }
}
