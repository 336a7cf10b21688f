//! Whether the model is more certain of what is right, where it tells the log probabilities of its answers.

use serde_json::{Value, json};

use super::percent;

/// How the log probabilities of answers go with their scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certainty {
    /// Rows whose answers have one.
    pub rows: usize,
    /// Mean log probability of a token over the rows that pass; none where none do.
    pub passing: Option<f64>,
    /// The same over the rows that fail.
    pub failing: Option<f64>,
    /// Share of the pairs of a passing and a failing row in which the passing one is the more certain, a tie counting
    /// half: the area under the ROC curve (Hanley and McNeil, Radiology 143, 1982). None without a pair.
    pub told_apart: Option<f64>,
}

impl Certainty {
    /// What answers that have a log probability show, each with whether its row passes, in any order; none where there is
    /// none.
    pub fn of(mut told: Vec<(f64, bool)>) -> Option<Self> {
        told.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mean = |passes: bool| {
            let of: Vec<f64> =
                told.iter().filter(|(_, passed)| *passed == passes).map(|(logprob, _)| *logprob).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        };
        let (passing, failing) = (mean(true), mean(false));
        (!told.is_empty()).then(|| Self { rows: told.len(), passing, failing, told_apart: area(&told) })
    }

    /// In one line.
    pub fn words(&self) -> String {
        let Some(((told_apart, passing), failing)) = self.told_apart.zip(self.passing).zip(self.failing) else {
            return format!("certainty: nothing to compare: of {} rows all pass or all fail", self.rows);
        };
        format!(
            "certainty: a token's mean log probability is {passing:.2} where rows pass, {failing:.2} where not; the passing row of \
             a pair has the higher one in {}",
            percent(told_apart)
        )
    }

    /// As an object of `--json`.
    pub fn json(&self) -> Value {
        json!({ "rows": self.rows, "passing": self.passing, "failing": self.failing, "told_apart": self.told_apart })
    }
}

/// The area under the ROC curve by ranks, those of ties being their mean (Mann and Whitney, 1947); `told` is in order.
fn area(told: &[(f64, bool)]) -> Option<f64> {
    let passing = told.iter().filter(|(_, passes)| *passes).count();
    let pairs = passing * (told.len() - passing);
    let (mut ranks, mut before) = (0.0, 0);
    for alike in told.chunk_by(|one, other| one.0 == other.0) {
        let mean_rank = before as f64 + (alike.len() + 1) as f64 / 2.0;
        ranks += mean_rank * alike.iter().filter(|(_, passes)| *passes).count() as f64;
        before += alike.len();
    }
    let below = ranks - (passing * (passing + 1)) as f64 / 2.0;
    (pairs > 0).then(|| below / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, bool)]) -> Option<Certainty> {
        Certainty::of(rows.to_vec())
    }

    #[test]
    fn it_is_the_share_of_pairs_in_which_the_passing_row_is_the_more_certain() {
        let some = of(&[(-0.1, true), (-0.3, true), (-0.2, false), (-0.3, false)]).unwrap();
        // Of four pairs: two and a half.
        assert_eq!((some.rows, some.told_apart), (4, Some(0.625)));
        assert!((some.passing.unwrap() + 0.2).abs() < 1e-12 && (some.failing.unwrap() + 0.25).abs() < 1e-12);
        assert!(some.words().contains("-0.20 where rows pass, -0.25 where not") && some.words().ends_with("62.5 %"));
        assert_eq!(of(&[(-1.0, false), (-0.5, true)]).unwrap().told_apart, Some(1.0));
    }

    #[test]
    fn without_a_pair_nothing_is_claimed() {
        let all = of(&[(-0.1, true), (-0.2, true)]).unwrap();
        assert_eq!((all.told_apart, all.failing), (None, None));
        assert!(all.words().contains("all pass or all fail"));
        assert_eq!(of(&[]), None);
    }
}
