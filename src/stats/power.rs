//! What a dataset can show: the smallest gain that would be noticed, and the rows that a gain needs.

use super::{normal_quantile, two_sided_z};

/// The smallest true mean difference that a two-sided paired test on `n` rows at `confidence` finds with probability
/// `power`: (z(confidence) + z(power)) * sd / sqrt(n), the normal approximation (Bloom, Minimum detectable effects,
/// Evaluation Review 19, 1995).
///
/// `standard_deviation` is that of the per-row differences; for 0/1 scores about the root of the share of discordant
/// rows. Infinite when `n` is 0.
pub fn minimum_detectable_effect(n: u64, standard_deviation: f64, confidence: f64, power: f64) -> f64 {
    if n == 0 {
        return f64::INFINITY;
    }
    factor(confidence, power) * standard_deviation.abs() / (n as f64).sqrt()
}

/// Rows needed to find a true mean difference of `effect` (its sign does not matter): the inverse of
/// [`minimum_detectable_effect`], rounded up, at least 1. `u64::MAX` where no number of rows would do.
pub fn rows_needed(effect: f64, standard_deviation: f64, confidence: f64, power: f64) -> u64 {
    let rows = (factor(confidence, power) * standard_deviation / effect).powi(2).ceil();
    // The cast saturates; 0 / 0 counts as never.
    if rows.is_nan() { u64::MAX } else { (rows as u64).max(1) }
}

fn factor(confidence: f64, power: f64) -> f64 {
    (two_sided_z(confidence) + normal_quantile(power)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_textbook_multiplier_is_2_80() {
        // Bloom 1995: 2.80 standard errors at 80 % power, two-sided 5 %.
        let found = minimum_detectable_effect(1, 1.0, 0.95, 0.8);
        assert!((found - (1.959_963_984_540_054 + 0.841_621_233_572_914)).abs() < 1e-9);
        // Half a standard deviation: 7.8489 / 0.25 = 31.4 rows.
        assert_eq!(rows_needed(0.5, 1.0, 0.95, 0.8), 32);
    }

    #[test]
    fn nothing_to_find_is_never_found() {
        assert_eq!(rows_needed(0.0, 0.3, 0.95, 0.8), u64::MAX);
        assert_eq!(rows_needed(0.0, 0.0, 0.95, 0.8), u64::MAX);
        assert_eq!(rows_needed(0.1, 0.0, 0.95, 0.8), 1);
        assert!(minimum_detectable_effect(0, 0.3, 0.95, 0.8).is_infinite());
    }

    proptest! {
        #[test]
        fn the_rows_needed_just_suffice(effect in 0.005..1.0_f64, sd in 0.01..1.0_f64, power in 0.5..0.99_f64) {
            let rows = rows_needed(effect, sd, 0.95, power);
            prop_assert!(minimum_detectable_effect(rows, sd, 0.95, power) <= effect * (1.0 + 1e-9));
            if rows > 1 {
                prop_assert!(minimum_detectable_effect(rows - 1, sd, 0.95, power) > effect * (1.0 - 1e-9));
            }
        }
    }
}
