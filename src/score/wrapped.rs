//! What any scorer may be turned into: its opposite, or all or nothing.

use std::sync::Arc;

use super::set::checked;
use super::{Judge, Score, ScoreError, Scorer, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// A scorer whose values are turned; it has the scorer's name.
pub struct Wrapped {
    scorer: Arc<dyn Scorer>,
    turn: Turn,
}

/// What becomes of a value.
enum Turn {
    Opposite,
    AllOrNothing(f64),
}

impl Wrapped {
    /// 1 less the value of `scorer`. As the `not-` types of promptfoo, for graded scorers too.
    pub fn not(scorer: Arc<dyn Scorer>) -> Wrapped {
        Wrapped { scorer, turn: Turn::Opposite }
    }

    /// 1 where `scorer` gives at least `threshold`, in (0, 1], else 0.
    pub fn threshold(scorer: Arc<dyn Scorer>, threshold: f64) -> Wrapped {
        Wrapped { scorer, turn: Turn::AllOrNothing(threshold) }
    }
}

/// What rounding may take from a value that is a threshold: a mean of tenths, or 1 less 1 less a value.
pub(super) const ROUNDING: f64 = 1e-12;

/// All or nothing of what a scorer gave, and why nothing.
fn all_or_nothing(Score { scorer, value, reason, criterion }: Score, threshold: f64) -> Score {
    if value + ROUNDING >= threshold {
        return Score { scorer, value: 1.0, reason: None, criterion: None };
    }
    let reason = reason.unwrap_or_else(|| format!("gave {value:.2}, of at least {threshold}"));
    Score { scorer, value: 0.0, reason: Some(reason), criterion }
}

/// The opposite of all or nothing, from the opposite of what a scorer gave.
fn nothing_or_all(opposite: Score, threshold: f64) -> Score {
    if 1.0 - opposite.value + ROUNDING >= threshold {
        return Score { value: 0.0, ..opposite };
    }
    Score { value: 1.0, reason: None, criterion: None, ..opposite }
}

impl Scorer for Wrapped {
    fn name(&self) -> &str {
        self.scorer.name()
    }

    fn needs_expected(&self) -> bool {
        self.scorer.needs_expected()
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        self.scorer.check(example)
    }

    fn judges(&self) -> Vec<&Judge> {
        self.scorer.judges()
    }

    fn embeds(&self) -> u64 {
        self.scorer.embeds()
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        match self.turn {
            Turn::Opposite => self.scorer.opposite(example, completion, scoring),
            Turn::AllOrNothing(threshold) => Box::pin(async move {
                Ok(all_or_nothing(checked(self.scorer.score(example, completion, scoring).await?)?, threshold))
            }),
        }
    }

    fn opposite<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        match self.turn {
            Turn::Opposite => self.scorer.score(example, completion, scoring),
            Turn::AllOrNothing(threshold) => Box::pin(async move {
                Ok(nothing_or_all(self.scorer.opposite(example, completion, scoring).await?, threshold))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{gives, reason, try_score, value};
    use super::super::{Contains, ContainsOptions, Levenshtein};
    use super::*;

    #[test]
    fn not_gives_what_is_left_to_one() {
        let options = ContainsOptions { any: vec!["sorry".into()], ..Default::default() };
        let not = Wrapped::not(Arc::new(Contains::new("not-contains", options).unwrap()));
        assert_eq!(not.name(), "not-contains");
        assert!(!not.needs_expected());
        assert_eq!(value(&not, Value::Null, "Done."), 1.0);
        assert_eq!(reason(&not, Value::Null, "Done."), "");
        assert_eq!(reason(&not, Value::Null, "I'm sorry"), "was not to be so, and is: 1.00");
        let unlike = Wrapped::not(Arc::new(Levenshtein::new("levenshtein", None)));
        assert_eq!(value(&unlike, "abcd", "abcx"), 0.25);
        assert!(try_score(&unlike, Value::Null, "x").is_err(), "an error stays one");
    }

    #[test]
    fn rounding_keeps_no_value_below_the_threshold_that_it_is() {
        let tenths = 0.7 + 0.1;
        assert!(tenths < 0.8);
        assert_eq!(value(&Wrapped::threshold(gives("x", tenths), 0.8), "a", "a"), 1.0);
    }

    #[test]
    fn a_threshold_makes_it_all_or_nothing() {
        let near = Wrapped::threshold(Arc::new(Levenshtein::new("levenshtein", None)), 0.75);
        assert!(near.needs_expected());
        assert_eq!(value(&near, "abcd", "abcx"), 1.0);
        assert_eq!(reason(&near, "abcd", "abcx"), "");
        assert_eq!(value(&near, "abcd", "abxx"), 0.0);
        assert_eq!(reason(&near, "abcd", "abxx"), "2 of 4 characters differ");
        assert_eq!(reason(&Wrapped::threshold(gives("x", 0.5), 0.6), "a", "a"), "gave 0.50, of at least 0.6");
    }

    #[test]
    fn the_opposite_of_all_or_nothing_is_nothing_or_all() {
        let near = |threshold| Wrapped::threshold(Arc::new(Levenshtein::new("levenshtein", None)), threshold);
        let not = |threshold| Wrapped::not(Arc::new(near(threshold)));
        assert_eq!([0.75, 0.76].map(|threshold| value(&not(threshold), "abcd", "abcx")), [0.0, 1.0]);
        assert_eq!(reason(&not(0.75), "abcd", "abcx"), "was not to be so, and is: 0.75");
        assert_eq!(value(&Wrapped::not(Arc::new(not(0.75))), "abcd", "abcx"), 1.0);
        assert_eq!(value(&Wrapped::not(Arc::new(Wrapped::threshold(gives("x", 0.3), 0.3))), "a", "a"), 0.0);
    }

    #[test]
    fn what_is_no_score_does_not_become_one() {
        for wrong in [f64::NAN, 1.5, -0.5] {
            assert!(try_score(&Wrapped::not(gives("odd", wrong)), "a", "a").is_err());
            assert!(try_score(&Wrapped::threshold(gives("odd", wrong), 0.5), "a", "a").is_err());
        }
    }
}
