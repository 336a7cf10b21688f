//! Whether a judge's scores go with the length of the answers.

use serde_json::{Value, json};

use crate::eval::{CONFIDENCE, Outcome};
use crate::score::ScorerSet;
use crate::stats::{Correlation, rank_correlation};

/// How the scores of one judge go with the length of the answers, in characters.
#[derive(Debug, Clone, PartialEq)]
pub struct LengthBias {
    /// The scorer's name.
    pub scorer: String,
    /// Rows that ran.
    pub rows: usize,
    /// Rank correlation of score and length; none where either is always the same, or rows are few.
    pub correlation: Option<Correlation>,
}

impl LengthBias {
    /// What the scores of each judge among `scorers` show.
    pub fn of_judges(outcomes: &[Outcome], scorers: &ScorerSet) -> Vec<Self> {
        scorers.judges().map(|judge| Self::of(outcomes, judge.label())).collect()
    }

    /// What the scores that `scorer` gave in `outcomes` show.
    pub fn of(outcomes: &[Outcome], scorer: &str) -> Self {
        let pairs: Vec<(f64, f64)> = outcomes
            .iter()
            .filter_map(|outcome| {
                let answer = outcome.result.as_ref().ok()?;
                let score = answer.scores.iter().find(|score| score.scorer == scorer)?;
                Some((answer.completion.text.chars().count() as f64, score.value))
            })
            .collect();
        let correlation = rank_correlation(&pairs, CONFIDENCE);
        Self { scorer: scorer.to_owned(), rows: pairs.len(), correlation }
    }

    /// In one line. A correlation alone is no bias: thorough answers may be both longer and better.
    pub fn words(&self) -> String {
        let Some(Correlation { rho, interval }) = self.correlation else {
            return format!("{}: score and length can't be compared: one of them hardly changes", self.scorer);
        };
        let what = if interval.low > 0.0 {
            "longer answers score higher"
        } else if interval.high < 0.0 {
            "longer answers score lower"
        } else {
            "no sign that length matters"
        };
        format!("{}: {what} (rank correlation {rho:.2} [{:.2}, {:.2}])", self.scorer, interval.low, interval.high)
    }

    /// As an object of `--json`.
    pub fn json(&self) -> Value {
        let of = self.correlation;
        json!({
            "scorer": self.scorer,
            "rows": self.rows,
            "correlation": of.map(|of| of.rho),
            "interval": of.map(|of| [of.interval.low, of.interval.high]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing;
    use crate::score::Score;

    fn outcomes(value: impl Fn(usize) -> f64) -> Vec<Outcome> {
        let outcome = |row: usize| {
            let mut outcome = testing::outcome(row, value(row));
            if let Ok(answer) = &mut outcome.result {
                answer.completion.text = "a".repeat(1 + row);
                answer.scores =
                    vec![Score { scorer: "judge".to_owned(), value: value(row), reason: None, criterion: None }];
            }
            outcome
        };
        (0..20).map(outcome).collect()
    }

    #[test]
    fn scores_that_grow_with_the_answers_are_told() {
        let grows = LengthBias::of(&outcomes(|row| row as f64 / 20.0), "judge");
        assert_eq!((grows.rows, grows.correlation.unwrap().rho), (20, 1.0));
        assert!(grows.words().contains("longer answers score higher"), "{}", grows.words());
        let even = LengthBias::of(&outcomes(|row| (row % 2) as f64), "judge");
        assert!(even.words().contains("no sign"), "{}", even.words());
        let same = LengthBias::of(&outcomes(|_| 1.0), "judge");
        assert_eq!(same.json()["correlation"], Value::Null);
        assert_eq!(LengthBias::of(&outcomes(|_| 1.0), "other").rows, 0);
    }
}
