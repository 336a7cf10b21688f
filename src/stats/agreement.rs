//! How far two ratings of the same things agree, and whether two quantities go together.

use super::interval::{Interval, wilson};
use super::normal_quantile;

/// How far two raters agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Things that both rated.
    pub n: usize,
    /// Share on which they agree, in [0, 1].
    pub agreement: f64,
    /// Cohen's kappa: agreement beyond what their habits alone would give, in [-1, 1]; 0 is chance.
    pub kappa: f64,
    /// Its interval.
    pub interval: Interval,
}

/// Agreement of two raters, given the categories that they put each thing in; `None` when there is nothing, or when both
/// use one category alone, the same, so that there is nothing to agree about.
///
/// Cohen, "A coefficient of agreement for nominal scales" (Educational and Psychological Measurement 20, 1960), with its
/// large-sample standard error sqrt(p_o (1 - p_o) / (n (1 - p_e)^2)). Where raters agree on all or nothing that error is zero, which
/// a few things don't prove: there the interval is that of Wilson's for p_o.
pub fn agreement(ratings: &[(usize, usize)], confidence: f64) -> Option<Agreement> {
    let n = ratings.len() as f64;
    let categories = ratings.iter().map(|(one, other)| *one.max(other) + 1).max()?;
    let (mut first, mut second) = (vec![0.0; categories], vec![0.0; categories]);
    for (one, other) in ratings {
        first[*one] += 1.0;
        second[*other] += 1.0;
    }
    let observed = ratings.iter().filter(|(one, other)| one == other).count() as f64 / n;
    let by_chance: f64 = first.iter().zip(&second).map(|(one, other)| one * other).sum::<f64>() / (n * n);
    if by_chance >= 1.0 {
        return None;
    }
    let kappa = (observed - by_chance) / (1.0 - by_chance);
    let error = (observed * (1.0 - observed) / n).sqrt() / (1.0 - by_chance);
    let half = normal_quantile(f64::midpoint(1.0, confidence)) * error;
    let interval = if error > 0.0 {
        Interval { low: (kappa - half).max(-1.0), high: (kappa + half).min(1.0) }
    } else {
        let of_share = wilson(observed * n, n, confidence);
        let beyond = |share: f64| ((share - by_chance) / (1.0 - by_chance)).clamp(-1.0, 1.0);
        Interval { low: beyond(of_share.low).min(kappa), high: beyond(of_share.high).max(kappa) }
    };
    Some(Agreement { n: ratings.len(), agreement: observed, kappa, interval })
}

/// How two quantities go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Spearman's rank correlation, in [-1, 1].
    pub rho: f64,
    /// Its interval.
    pub interval: Interval,
}

/// Spearman's rank correlation of pairs, equal values sharing their mean rank; `None` below four pairs, or where one of
/// the two never changes.
///
/// The interval is Fisher's z with the variance 1.06 / (n - 3) of Fieller, Hartley and Pearson, "Tests for rank
/// correlation coefficients I" (Biometrika 44, 1957).
pub fn rank_correlation(pairs: &[(f64, f64)], confidence: f64) -> Option<Correlation> {
    let pairs: Vec<(f64, f64)> = pairs.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if pairs.len() < 4 {
        return None;
    }
    let (xs, ys): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (xs, ys) = (ranks(&xs), ranks(&ys));
    // Ranks have the same mean, ties or not.
    let mean = (pairs.len() as f64 + 1.0) / 2.0;
    let product = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = (product(&xs, &xs) * product(&ys, &ys)).sqrt();
    if spread <= 0.0 {
        return None;
    }
    let rho = (product(&xs, &ys) / spread).clamp(-1.0, 1.0);
    let half = normal_quantile(f64::midpoint(1.0, confidence)) * (1.06 / (pairs.len() as f64 - 3.0)).sqrt();
    // At -1 and 1 there is no z; a hair inside, the interval still ends there.
    let z = rho.clamp(-1.0 + 1e-12, 1.0 - 1e-12).atanh();
    Some(Correlation { rho, interval: Interval { low: (z - half).tanh().min(rho), high: (z + half).tanh().max(rho) } })
}

/// The rank of each value, from 1; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|at| values[**at] == values[order[start]]).count();
        let shared = start as f64 + (equal as f64 + 1.0) / 2.0;
        order[start..start + equal].iter().for_each(|at| ranks[*at] = shared);
        start += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ratings with such counts: rows are the first rater's categories.
    fn table(counts: &[&[usize]]) -> Vec<(usize, usize)> {
        let cells = counts.iter().enumerate().flat_map(|(one, row)| {
            row.iter().enumerate().flat_map(move |(other, count)| std::iter::repeat_n((one, other), *count))
        });
        cells.collect()
    }

    #[test]
    fn kappa_is_that_of_cohens_own_example() {
        // Cohen (1960), table 1: proportions of 200 cases; kappa = .492.
        let found = agreement(&table(&[&[88, 14, 18], &[10, 40, 10], &[2, 6, 12]]), 0.95).unwrap();
        assert!((found.agreement - 0.70).abs() < 1e-12);
        assert!((found.kappa - 0.4915).abs() < 1e-4, "{}", found.kappa);
        // His standard error is .055.
        let error = (found.interval.high - found.interval.low) / 2.0 / 1.959_964;
        assert!((error - 0.0549).abs() < 1e-4, "{error}");
    }

    #[test]
    fn nothing_to_agree_about_has_no_kappa() {
        assert_eq!(agreement(&[], 0.95), None);
        assert_eq!(agreement(&[(1, 1), (1, 1)], 0.95), None);
        assert_eq!(agreement(&[(0, 0), (1, 1)], 0.95).unwrap().kappa, 1.0);
        assert_eq!(agreement(&[(0, 1), (1, 0)], 0.95).unwrap().kappa, -1.0);
    }

    #[test]
    fn few_things_that_are_all_agreed_on_prove_little() {
        let two = agreement(&[(0, 0), (1, 1)], 0.95).unwrap().interval;
        assert!(two.low < 0.0 && (two.high - 1.0).abs() < 1e-12, "{two:?}");
        let many = agreement(&table(&[&[50, 0], &[0, 50]]), 0.95).unwrap().interval;
        assert!(many.low > 0.9 && many.low < 1.0, "{many:?}");
    }

    #[test]
    fn the_rank_correlation_is_that_of_a_worked_example() {
        // IQ and hours of television of ten people: rho = -29 / 165.
        let iq = [106.0, 100.0, 86.0, 101.0, 99.0, 103.0, 97.0, 113.0, 112.0, 110.0];
        let hours = [7.0, 27.0, 2.0, 50.0, 28.0, 29.0, 20.0, 12.0, 6.0, 17.0];
        let pairs: Vec<(f64, f64)> = iq.into_iter().zip(hours).collect();
        let found = rank_correlation(&pairs, 0.95).unwrap();
        assert!((found.rho + 29.0 / 165.0).abs() < 1e-12);
        assert!(found.interval.low < -0.5 && found.interval.high > 0.4, "{found:?}");
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(rank_correlation(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0), (1.0, 4.0)], 0.95), None);
    }

    proptest! {
        #[test]
        fn what_comes_out_is_in_range(
            ratings in prop::collection::vec((0_usize..4, 0_usize..4), 0..40),
            pairs in prop::collection::vec((-3_i8..3, any::<f64>()), 0..40),
        ) {
            if let Some(found) = agreement(&ratings, 0.95) {
                prop_assert!((-1.0..=1.0).contains(&found.kappa) && (0.0..=1.0).contains(&found.agreement));
                prop_assert!(found.interval.low <= found.kappa && found.kappa <= found.interval.high);
            }
            let pairs: Vec<(f64, f64)> = pairs.into_iter().map(|(x, y)| (f64::from(x), y)).collect();
            if let Some(found) = rank_correlation(&pairs, 0.95) {
                prop_assert!((-1.0..=1.0).contains(&found.rho));
                prop_assert!(found.interval.low <= found.rho && found.rho <= found.interval.high);
            }
        }
    }
}
