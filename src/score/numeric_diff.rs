//! `numeric_diff`: how near the number in the answer is to the expected one.

use super::numeric::{self, expected_number};
use super::{Grade, Grader};
use crate::dataset::Example;

/// `1 - |a - b| / (|a| + |b|)` of the expected number and the last one in the answer, in [0, 1]; 1 where both are 0, 0
/// where the signs differ or the answer has no number. Numbers are read as in [`Numeric`](super::Numeric).
///
/// As autoevals' `NumericDiff` (Python, 0.4.1), whose documentation says 0.95 of 105 and 100, while its code gives
/// 0.9756, as here.
#[derive(Debug, Clone)]
pub struct NumericDiff {
    name: String,
}

impl NumericDiff {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>) -> NumericDiff {
        NumericDiff { name: name.into() }
    }
}

/// Nearness of two finite numbers, in [0, 1].
pub(super) fn nearness(a: f64, b: f64) -> f64 {
    if a == b {
        return 1.0;
    }
    // Halves, so that no sum overflows.
    let (a, b) = (a / 2.0, b / 2.0);
    (1.0 - (a - b).abs() / (a.abs() + b.abs())).clamp(0.0, 1.0)
}

impl Grader for NumericDiff {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        expected_number(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        numeric::grade(example, answer, nearness)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::samples::{reason, row, try_score, value};
    use super::*;

    #[test]
    fn nearness_is_that_of_autoevals() {
        for (answer, wanted, expected) in [
            (105.0, 100.0, 0.975_609_756_097_561),
            (0.0, 0.0, 1.0),
            (0.0, 5.0, 0.0),
            (-3.0, 3.0, 0.0),
            (1.0, 3.0, 0.5),
            (-10.0, -12.0, 0.909_090_909_090_909_1),
        ] {
            assert!((nearness(wanted, answer) - expected).abs() < 1e-12, "{answer} {wanted}");
        }
    }

    #[test]
    fn numbers_are_read_from_texts() {
        let scorer = NumericDiff::new("numeric_diff");
        assert_eq!(value(&scorer, 100, "it is 100.0"), 1.0);
        assert_eq!(value(&scorer, "3 items", "$1.00"), 0.5);
        assert_eq!(reason(&scorer, 3, "1"), "expected 3, answered 1");
        assert_eq!(value(&scorer, 3, "many"), 0.0);
        assert!(scorer.check(&row("many")).is_err());
        assert!(try_score(&scorer, Value::Null, "1").is_err());
    }

    proptest! {
        #[test]
        fn any_two_numbers_are_between_zero_and_one_apart(a: f64, b: f64) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert!((0.0..=1.0).contains(&nearness(a, b)));
            prop_assert_eq!(nearness(a, b), nearness(b, a));
        }
    }
}
