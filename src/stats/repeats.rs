//! What repeated trials say of a single one.

/// pass@k: the chance that at least one of `k` answers passes, from `passing` of `samples` that did; 1 - C(n - c, k) /
/// C(n, k), the unbiased estimator of M. Chen et al., Evaluating large language models trained on code, 2021
/// (arXiv:2107.03374), equation 1, by the product of their figure 3. In [0, 1]; 0 without samples or for a `k` of 0. `k`
/// above `samples` is taken as `samples`.
pub fn pass_at(k: u32, passing: u32, samples: u32) -> f64 {
    let (k, passing) = (k.min(samples), passing.min(samples));
    if k == 0 {
        return 0.0;
    }
    if samples - passing < k {
        return 1.0;
    }
    let none: f64 = (samples - passing + 1..=samples).map(|n| 1.0 - f64::from(k) / f64::from(n)).product();
    (1.0 - none).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Printed by the code of figure 3 of the paper.
    #[test]
    fn the_chance_is_that_of_the_papers_code() {
        for (samples, passing, k, wanted) in [
            (5, 2, 1, 0.4),
            (5, 2, 3, 0.9),
            (5, 0, 1, 0.0),
            (5, 5, 5, 1.0),
            (200, 10, 10, 0.408_547_866_081_417_24),
            (10, 3, 8, 1.0),
            (100, 1, 100, 1.0),
            (7, 4, 4, 1.0),
        ] {
            let found = pass_at(k, passing, samples);
            assert!((found - wanted).abs() < 1e-12, "{samples} {passing} {k}: {found}");
        }
        assert_eq!((pass_at(1, 0, 0), pass_at(0, 1, 1), pass_at(9, 1, 2)), (0.0, 0.0, 1.0));
    }

    proptest! {
        #[test]
        fn it_is_the_share_of_subsets_that_hold_a_passing_answer(samples in 1..9_u32, passing in 0..9_u32, k in 1..9_u32) {
            let (passing, k) = (passing.min(samples), k.min(samples));
            let subsets = (0..1_u32 << samples).filter(|subset| subset.count_ones() == k);
            let holds = |subset: &u32| subset & ((1 << passing) - 1) != 0;
            let (all, with) = subsets.fold((0, 0), |(all, with), subset| (all + 1, with + u32::from(holds(&subset))));
            prop_assert!((pass_at(k, passing, samples) - f64::from(with) / f64::from(all)).abs() < 1e-12);
        }
    }
}
