//! Rows that are alike in all that counts, taken together: resampling them takes time by their kinds, not by their number.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use statrs::function::gamma::ln_gamma;

/// How many rows there are of each kind, in the order of the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells<K>(BTreeMap<K, u64>);

impl<K> Default for Cells<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Extend<K> for Cells<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| *self.0.entry(row).or_default() += 1);
    }
}

impl<K: Ord> FromIterator<K> for Cells<K> {
    fn from_iter<I: IntoIterator<Item = K>>(rows: I) -> Self {
        let mut cells = Self::default();
        cells.extend(rows);
        cells
    }
}

impl<K> Cells<K> {
    /// The kinds, each with how many rows are of it (at least 1).
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.0.iter().map(|(kind, count)| (kind, *count))
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.0.values().sum()
    }

    /// As many rows drawn with replacement: the kinds, each with how many of them are of it. The counts are multinomial,
    /// each binomial given those before it (Devroye, Non-Uniform Random Variate Generation, 1986, ch. XI.1.4).
    pub(super) fn resampled<R: Rng + ?Sized>(&self, rng: &mut R) -> impl Iterator<Item = (&K, u64)> {
        let (mut rows, mut draws) = (self.rows(), self.rows());
        self.iter().map(move |(kind, count)| {
            let drawn = binomial(draws, count as f64 / rows as f64, rng);
            (rows, draws) = (rows - count, draws - drawn);
            (kind, drawn)
        })
    }
}

/// How many of so many trials succeed, each with probability `p` in [0, 1]. Below ten to be expected by inversion, else by
/// the algorithm BTRS of W. Hörmann, The generation of binomial random variates (J. Stat. Comput. Simul. 46, 1993).
pub(super) fn binomial<R: Rng + ?Sized>(trials: u64, p: f64, rng: &mut R) -> u64 {
    if p > 0.5 {
        return trials - binomial(trials, 1.0 - p, rng);
    }
    if p <= 0.0 {
        0
    } else if trials as f64 * p < 10.0 {
        by_inversion(trials, p, rng)
    } else {
        by_rejection(trials, p, rng)
    }
}

/// Adds up probabilities from 0 on until they exceed a uniform draw.
fn by_inversion<R: Rng + ?Sized>(trials: u64, p: f64, rng: &mut R) -> u64 {
    let n = trials as f64;
    let mut left: f64 = rng.random();
    let mut probability = (n * (-p).ln_1p()).exp();
    let mut count = 0;
    while left > probability && count < trials {
        left -= probability;
        count += 1;
        probability *= (n - count as f64 + 1.0) / count as f64 * (p / (1.0 - p));
    }
    count
}

/// Hörmann's transformed rejection, with his constants; for at least ten expected successes and `p` up to one half.
fn by_rejection<R: Rng + ?Sized>(trials: u64, p: f64, rng: &mut R) -> u64 {
    let n = trials as f64;
    let spread = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * spread;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let certain = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * spread;
    let odds = (p / (1.0 - p)).ln();
    let mode = ((n + 1.0) * p).floor();
    let ways = |k: f64| ln_gamma(k + 1.0) + ln_gamma(n - k + 1.0);
    loop {
        let (u, v) = (rng.random::<f64>() - 0.5, rng.random::<f64>());
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + n * p + 0.5).floor();
        if !(0.0..=n).contains(&k) {
            continue;
        }
        let is_within = us >= 0.07 && v <= certain;
        if is_within || (v * alpha / (a / (us * us) + b)).ln() <= ways(mode) - ways(k) + (k - mode) * odds {
            return k as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::distribution::{Binomial, Discrete};

    use super::*;
    use crate::seed::generator;

    /// Pearson's statistic of counts of draws against the probabilities, pooled so that at least eight are expected in each
    /// group; and how many groups.
    fn misfit(trials: u64, p: f64, draws: u32) -> (f64, f64) {
        let mut rng = generator(1, 0, "binomial");
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        (0..draws).for_each(|_| *counts.entry(binomial(trials, p, &mut rng)).or_default() += 1);
        let exact = Binomial::new(p, trials).unwrap();
        let (mut statistic, mut groups, mut found, mut wanted) = (0.0, 0.0, 0.0, 0.0);
        for k in 0..=trials {
            found += f64::from(counts.get(&k).copied().unwrap_or_default());
            wanted += exact.pmf(k) * f64::from(draws);
            if wanted >= 8.0 || k == trials {
                statistic += (found - wanted).powi(2) / wanted.max(1e-9);
                groups += 1.0;
                (found, wanted) = (0.0, 0.0);
            }
        }
        (statistic, groups)
    }

    #[test]
    fn draws_follow_the_binomial_distribution_however_they_are_made() {
        for (trials, p) in [(1, 0.3), (9, 0.5), (40, 0.1), (40, 0.5), (60, 0.8), (1_000, 0.02), (3_000, 0.4)] {
            let (statistic, groups) = misfit(trials, p, 40_000);
            // The mean of chi squared and five of its standard deviations.
            let most = groups + 5.0 * (2.0 * groups).sqrt();
            assert!(statistic < most, "{trials} at {p}: {statistic} over {groups} groups");
        }
        let mut rng = generator(1, 0, "binomial");
        assert_eq!([(0, 0.5), (7, 0.0), (7, 1.0)].map(|(trials, p)| binomial(trials, p, &mut rng)), [0, 0, 7]);
        // A million trials, as many as rows: within six standard deviations of the mean.
        let found = binomial(1_000_000, 0.25, &mut rng) as f64;
        assert!((found - 250_000.0).abs() < 6.0 * 433.1, "{found}");
    }

    proptest! {
        #[test]
        fn as_many_rows_are_drawn_as_there_are_and_none_of_a_kind_that_is_not_there(
            rows in prop::collection::vec(0_u8..9, 0..200), seed in any::<u64>(),
        ) {
            let cells: Cells<u8> = rows.iter().copied().collect();
            prop_assert_eq!(cells.rows(), rows.len() as u64);
            let drawn: Vec<(&u8, u64)> = cells.resampled(&mut generator(seed, 0, "cells")).collect();
            prop_assert_eq!(drawn.iter().map(|(_, count)| count).sum::<u64>(), rows.len() as u64);
            prop_assert!(drawn.iter().all(|(kind, _)| rows.contains(kind)));
        }
    }
}
