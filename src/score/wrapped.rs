//! What any scorer may be turned into: its opposite ([`Not`]), or all or nothing ([`Threshold`]).

use std::sync::Arc;

use super::set::checked;
use super::{Judge, Score, ScoreError, Scorer, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// 1 less the value of a scorer, whose name it has. As the `not-` types of promptfoo, for graded scorers too.
pub struct Not {
    scorer: Arc<dyn Scorer>,
}

impl Not {
    /// The opposite of `scorer`.
    pub fn new(scorer: Arc<dyn Scorer>) -> Not {
        Not { scorer }
    }
}

/// 1 where a scorer gives at least so much, else 0; it has the scorer's name.
pub struct Threshold {
    scorer: Arc<dyn Scorer>,
    threshold: f64,
}

impl Threshold {
    /// All or nothing from `threshold` on, in (0, 1].
    pub fn new(scorer: Arc<dyn Scorer>, threshold: f64) -> Threshold {
        Threshold { scorer, threshold }
    }
}

impl Scorer for Not {
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

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let Score { scorer, value, .. } = checked(self.scorer.score(example, completion, scoring).await?)?;
            // What the scorer complains of is what was asked for.
            let reason = (value > 0.0).then(|| format!("was not to be so, and is: {value:.2}"));
            Ok(Score { scorer, value: 1.0 - value, reason, criterion: None })
        })
    }
}

impl Scorer for Threshold {
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

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let Score { scorer, value, reason, criterion } =
                checked(self.scorer.score(example, completion, scoring).await?)?;
            if value >= self.threshold {
                return Ok(Score { scorer, value: 1.0, reason: None, criterion: None });
            }
            let reason = reason.unwrap_or_else(|| format!("gave {value:.2}, of at least {}", self.threshold));
            Ok(Score { scorer, value: 0.0, reason: Some(reason), criterion })
        })
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
        let not = Not::new(Arc::new(Contains::new("not-contains", options).unwrap()));
        assert_eq!(not.name(), "not-contains");
        assert!(!not.needs_expected());
        assert_eq!(value(&not, Value::Null, "Done."), 1.0);
        assert_eq!(reason(&not, Value::Null, "Done."), "");
        assert_eq!(reason(&not, Value::Null, "I'm sorry"), "was not to be so, and is: 1.00");
        let unlike = Not::new(Arc::new(Levenshtein::new("levenshtein", None)));
        assert_eq!(value(&unlike, "abcd", "abcx"), 0.25);
        assert!(try_score(&unlike, Value::Null, "x").is_err(), "an error stays one");
    }

    #[test]
    fn a_threshold_makes_it_all_or_nothing() {
        let near = Threshold::new(Arc::new(Levenshtein::new("levenshtein", None)), 0.75);
        assert!(near.needs_expected());
        assert_eq!(value(&near, "abcd", "abcx"), 1.0);
        assert_eq!(reason(&near, "abcd", "abcx"), "");
        assert_eq!(value(&near, "abcd", "abxx"), 0.0);
        assert_eq!(reason(&near, "abcd", "abxx"), "2 of 4 characters differ");
        assert_eq!(reason(&Threshold::new(gives("x", 0.5), 0.6), "a", "a"), "gave 0.50, of at least 0.6");
    }

    #[test]
    fn what_is_no_score_does_not_become_one() {
        for wrong in [f64::NAN, 1.5, -0.5] {
            assert!(try_score(&Not::new(gives("odd", wrong)), "a", "a").is_err());
            assert!(try_score(&Threshold::new(gives("odd", wrong), 0.5), "a", "a").is_err());
        }
    }
}
