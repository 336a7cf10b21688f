//! [`ScorerSet`]: all scorers of an evaluation, combined, and the rules that hold for every one of them.

use std::sync::Arc;

use super::{Judge, Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{Completion, FinishReason};

/// Scorers with their weights. An answer's value is the weighted mean of its scores.
#[derive(Clone)]
pub struct ScorerSet {
    /// At least one; names differ; weights are finite and above zero.
    scorers: Vec<(Arc<dyn Scorer>, f64)>,
}

/// Calls of models that scoring one answer takes, by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScoringCalls {
    /// The judge's.
    pub judge: u64,
    /// The embedder's.
    pub embedder: u64,
}

impl ScoringCalls {
    /// All together.
    pub fn total(self) -> u64 {
        self.judge.saturating_add(self.embedder)
    }
}

impl ScorerSet {
    /// Combines scorers, in the config's order, each with its weight.
    ///
    /// # Errors
    /// No scorer at all, two of the same name, or a weight that isn't above zero and finite.
    pub fn new(scorers: Vec<(Arc<dyn Scorer>, f64)>) -> Result<ScorerSet, ScorerSetupError> {
        if scorers.is_empty() {
            return Err(ScorerSetupError::new("(none)", "there is no scorer; add one as [[scorers]]"));
        }
        for (at, (scorer, weight)) in scorers.iter().enumerate() {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(ScorerSetupError::new(scorer.name(), format!("weight is {weight}; it must be above 0")));
            }
            if scorers[..at].iter().any(|(earlier, _)| earlier.name() == scorer.name()) {
                return Err(ScorerSetupError::new(scorer.name(), "two scorers have this name; give each a `name`"));
            }
        }
        Ok(ScorerSet { scorers })
    }

    /// The scorers' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scorers.iter().map(|(scorer, _)| scorer.name())
    }

    /// The name of a scorer that can't work on a row without `expected`, if there is one.
    pub fn needs_expected(&self) -> Option<&str> {
        self.scorers.iter().find(|(scorer, _)| scorer.needs_expected()).map(|(scorer, _)| scorer.name())
    }

    /// The judges among the scorers.
    pub fn judges(&self) -> impl Iterator<Item = &Judge> {
        self.scorers.iter().flat_map(|(scorer, _)| scorer.judges())
    }

    /// The judges with the share that the scorer which asks them has in an answer's value, in (0, 1].
    pub fn judge_shares(&self) -> impl Iterator<Item = (&Judge, f64)> {
        let whole: f64 = self.scorers.iter().map(|(_, weight)| weight).sum();
        self.scorers
            .iter()
            .flat_map(move |(scorer, weight)| scorer.judges().into_iter().map(move |judge| (judge, weight / whole)))
    }

    /// Whether the same answer always gets the same scores.
    pub fn is_deterministic(&self) -> bool {
        self.judges().all(Judge::is_deterministic)
    }

    /// Calls that scoring one answer takes.
    pub fn calls(&self) -> ScoringCalls {
        ScoringCalls {
            judge: self.judges().map(Judge::calls).sum(),
            embedder: self.scorers.iter().map(|(scorer, _)| scorer.embeds()).sum(),
        }
    }

    /// Whether every scorer can score `example`, whatever the answer is.
    ///
    /// # Errors
    /// The name of the first scorer that can't, and why.
    pub fn check(&self, example: &Example) -> Result<(), (&str, String)> {
        let mut scorers = self.scorers.iter();
        scorers.try_for_each(|(scorer, _)| scorer.check(example).map_err(|problem| (scorer.name(), problem)))
    }

    /// One score a scorer, in order, and their weighted mean, in [0, 1].
    ///
    /// An answer that was refused, withheld or cut at the token limit scores 0 everywhere, with that as the reason; no scorer
    /// sees it.
    ///
    /// # Errors
    /// The first scorer that fails, or that gives NaN or a value outside [0, 1].
    pub async fn score(
        &self,
        example: &Example,
        completion: &Completion,
        scoring: Scoring<'_>,
    ) -> Result<(Vec<Score>, f64), ScoreError> {
        if let Some(reason) = unfinished(completion.finish) {
            return Ok((self.names().map(|name| failed(name, reason)).collect(), 0.0));
        }
        let mut scores = Vec::with_capacity(self.scorers.len());
        let (mut sum, mut weights) = (0.0, 0.0);
        for (scorer, weight) in &self.scorers {
            let score = checked(scorer.score(example, completion, scoring).await?)?;
            sum += weight * score.value;
            weights += weight;
            scores.push(score);
        }
        // Rounding may leave a mean of ones a hair above one.
        Ok((scores, (sum / weights).clamp(0.0, 1.0)))
    }
}

impl std::fmt::Debug for ScorerSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.scorers.iter().map(|(scorer, weight)| (scorer.name(), weight))).finish()
    }
}

/// Why an answer that ended so is no whole answer of the model's.
fn unfinished(finish: FinishReason) -> Option<&'static str> {
    match finish {
        FinishReason::Refusal => Some("refused"),
        FinishReason::Filter => Some("withheld by the provider's filter"),
        FinishReason::Length => Some("cut at the token limit"),
        FinishReason::Stop | FinishReason::Tool => None,
    }
}

fn failed(name: &str, reason: &str) -> Score {
    Score { scorer: name.to_owned(), value: 0.0, reason: Some(reason.to_owned()), criterion: None }
}

/// The score, if its value is one.
pub(super) fn checked(score: Score) -> Result<Score, ScoreError> {
    // NaN is in no range.
    if (0.0..=1.0).contains(&score.value) {
        return Ok(score);
    }
    Err(ScoreError::of_row(score.scorer, format!("gave {}; a score must be a number from 0 to 1", score.value)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::samples::{gives, row, says};
    use super::super::{ExactMatch, ExactMatchOptions};
    use super::*;

    fn set(scorers: Vec<(&'static str, f64, f64)>) -> Result<ScorerSet, ScorerSetupError> {
        let scorers = scorers.into_iter();
        ScorerSet::new(scorers.map(|(name, value, weight)| (gives(name, value), weight)).collect())
    }

    fn scored(set: &ScorerSet, completion: &Completion) -> Result<(Vec<Score>, f64), ScoreError> {
        set.score(&row("yes"), completion, Scoring::default()).now_or_never().unwrap()
    }

    #[test]
    fn the_value_is_the_weighted_mean() {
        let set = set(vec![("a", 1.0, 3.0), ("b", 0.5, 1.0)]).unwrap();
        let (scores, value) = scored(&set, &says("yes")).unwrap();
        assert_eq!(value, 0.875);
        assert_eq!(scores.iter().map(|score| score.scorer.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.needs_expected(), None);
    }

    #[test]
    fn a_mean_of_ones_is_one_whatever_the_weights() {
        let set = set(vec![("a", 1.0, 0.1), ("b", 1.0, 0.2), ("c", 1.0, 0.3)]).unwrap();
        assert_eq!(scored(&set, &says("yes")).unwrap().1, 1.0);
    }

    #[test]
    fn a_value_outside_zero_to_one_is_an_error_that_names_the_scorer() {
        for wrong in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            let error = scored(&set(vec![("fine", 1.0, 1.0), ("odd", wrong, 1.0)]).unwrap(), &says("x")).unwrap_err();
            assert_eq!(error.scorer, "odd");
            assert!(error.message.contains("from 0 to 1"), "{error}");
        }
    }

    #[test]
    fn an_answer_that_was_refused_withheld_or_cut_scores_zero_and_no_scorer_sees_it() {
        let set = set(vec![("odd", f64::NAN, 1.0)]).unwrap();
        for (finish, told) in [
            (FinishReason::Refusal, "refused"),
            (FinishReason::Filter, "withheld by the provider's filter"),
            (FinishReason::Length, "cut at the token limit"),
        ] {
            let (scores, value) = scored(&set, &Completion { finish, ..says("yes") }).unwrap();
            assert_eq!((value, scores[0].reason.as_deref()), (0.0, Some(told)));
        }
    }

    #[test]
    fn an_error_stops_at_the_first_scorer_that_has_one() {
        let exact = || Arc::new(ExactMatch::new("exact_match", ExactMatchOptions::default())) as Arc<dyn Scorer>;
        let set = ScorerSet::new(vec![(exact(), 1.0), (gives("odd", f64::NAN), 1.0)]).unwrap();
        let error = set
            .score(&row(serde_json::Value::Null), &says("x"), Scoring::default())
            .now_or_never()
            .unwrap()
            .unwrap_err();
        assert_eq!(error.scorer, "exact_match");
    }

    #[test]
    fn a_set_needs_scorers_of_different_names_and_weights_above_zero() {
        assert!(set(vec![]).is_err());
        assert!(set(vec![("a", 1.0, 1.0), ("a", 1.0, 1.0)]).unwrap_err().to_string().contains("two scorers"));
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(set(vec![("a", 1.0, weight)]).is_err());
        }
    }
}
