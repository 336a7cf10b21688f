//! Whether a judge's scores go with the length of the answers.

use serde_json::{Value, json};

use crate::eval::CONFIDENCE;
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
    /// Whether all answers are equally long, so that there is nothing to compare any judge's scores with.
    pub is_even: bool,
}

impl LengthBias {
    /// What the scores of `scorer` show: pairs of an answer's length and its score, one a row that ran.
    pub fn of(scorer: &str, pairs: &[(f64, f64)]) -> Self {
        let is_even = pairs.windows(2).all(|two| two[0].0 == two[1].0);
        let correlation = rank_correlation(pairs, CONFIDENCE);
        Self { scorer: scorer.to_owned(), rows: pairs.len(), correlation, is_even }
    }

    /// What is to be said of several judges, a line each; that all answers are equally long is said once.
    pub fn lines(of_judges: &[Self]) -> Vec<String> {
        if of_judges.len() > 1 && of_judges.iter().all(|of| of.is_even) {
            return vec!["score and length can't be compared: all answers are equally long".to_owned()];
        }
        of_judges.iter().map(Self::words).collect()
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

    fn of(value: impl Fn(usize) -> f64) -> LengthBias {
        LengthBias::of("judge", &(0..20).map(|row| (1.0 + row as f64, value(row))).collect::<Vec<_>>())
    }

    #[test]
    fn that_all_answers_are_equally_long_is_said_once() {
        let even = |judge| LengthBias::of(judge, &[(5.0, 0.0), (5.0, 1.0), (5.0, 0.5), (5.0, 1.0)]);
        let lines = LengthBias::lines(&[even("a"), even("b")]);
        assert_eq!(lines, ["score and length can't be compared: all answers are equally long"]);
        let uneven = LengthBias::of("c", &[(5.0, 0.0), (6.0, 1.0)]);
        assert_eq!(LengthBias::lines(&[even("a"), uneven]).len(), 2);
    }

    #[test]
    fn scores_that_grow_with_the_answers_are_told() {
        let grows = of(|row| row as f64 / 20.0);
        assert_eq!((grows.rows, grows.correlation.unwrap().rho), (20, 1.0));
        assert!(grows.words().contains("longer answers score higher"), "{}", grows.words());
        let even = of(|row| (row % 2) as f64);
        assert!(even.words().contains("no sign"), "{}", even.words());
        let same = of(|_| 1.0);
        assert_eq!(same.json()["correlation"], Value::Null);
    }
}
