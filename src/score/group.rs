//! `all_of` and `any_of`: several scorers as one.

use std::sync::Arc;

use super::set::checked;
use super::wrapped::ROUNDING;
use super::{Judge, Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// How the values of several scorers become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The least: every one must be satisfied. Weights play no part.
    Least,
    /// 1 where the weighted mean is at least so much, else 0 (the assertion set of promptfoo, with a threshold).
    Mean(f64),
    /// The greatest, each value times its scorer's weight by the greatest weight: one is enough, and one of half the
    /// weight is worth a half.
    Greatest,
}

/// Several scorers as one.
pub struct Group {
    name: String,
    rule: Rule,
    /// At least one, each with its weight.
    scorers: Vec<(Arc<dyn Scorer>, f64)>,
}

impl Group {
    /// A scorer called `name` in reports, of `scorers` with their weights.
    ///
    /// # Errors
    /// No scorer, or a weight that isn't above zero and finite.
    pub fn new(
        name: impl Into<String>,
        rule: Rule,
        scorers: Vec<(Arc<dyn Scorer>, f64)>,
    ) -> Result<Group, ScorerSetupError> {
        let name = name.into();
        if scorers.is_empty() {
            return Err(ScorerSetupError::new(name, "has no scorers; list some as `scorers = [{ type = .. }, ..]`"));
        }
        match scorers.iter().find(|(_, weight)| !(weight.is_finite() && *weight > 0.0)) {
            Some((scorer, weight)) => {
                Err(ScorerSetupError::new(scorer.name(), format!("weight is {weight}; it must be above 0")))
            }
            None => Ok(Group { name, rule, scorers }),
        }
    }

    /// The value of the group, from those of its scorers.
    fn combine(&self, values: &[f64]) -> f64 {
        let with_weights = || values.iter().zip(&self.scorers).map(|(value, (_, weight))| (value, weight));
        match self.rule {
            Rule::Least => values.iter().copied().fold(1.0, f64::min),
            Rule::Greatest => {
                let heaviest = self.scorers.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
                with_weights().map(|(value, weight)| value * (weight / heaviest)).fold(0.0, f64::max)
            }
            Rule::Mean(threshold) => {
                let whole: f64 = self.scorers.iter().map(|(_, weight)| weight).sum();
                let sum: f64 = with_weights().map(|(value, weight)| value * weight).sum();
                // Rounding must not keep a mean below the threshold that it is.
                f64::from(u8::from(sum / whole + ROUNDING >= threshold))
            }
        }
    }

    /// Of the scorers at `of`, the one that cost the group the most, the first of equals: by its weight where weights say
    /// how much.
    fn dearest(&self, scores: &[Score], of: &[usize]) -> Option<usize> {
        let loss = |at: &usize| match self.rule {
            Rule::Least => 1.0 - scores[*at].value,
            Rule::Mean(_) | Rule::Greatest => self.scorers[*at].1 * (1.0 - scores[*at].value),
        };
        of.iter().copied().reduce(|dearest, at| if loss(&at) > loss(&dearest) { at } else { dearest })
    }

    /// The group's score from those of its scorers.
    fn score_of(&self, scores: &[Score]) -> Score {
        let values: Vec<f64> = scores.iter().map(|score| score.value).collect();
        self.blamed(self.combine(&values), scores, below_one(scores))
    }

    /// The score of the group's opposite from those of its scorers' opposites. Often all of them were met alike: judges come
    /// first then, since they say what was.
    fn opposite_of(&self, opposites: &[Score]) -> Score {
        let values: Vec<f64> = opposites.iter().map(|opposite| 1.0 - opposite.value).collect();
        let mut of = below_one(opposites);
        of.sort_by_key(|at| opposites[*at].criterion.is_none());
        self.blamed(1.0 - self.combine(&values), opposites, of)
    }

    /// A score of the group that the scorers at `of` took something from. Where a judge cost the most, its criterion is the
    /// group's, and what it says comes first.
    fn blamed(&self, value: f64, scores: &[Score], mut of: Vec<usize>) -> Score {
        let group = Score { scorer: self.name.clone(), value, reason: None, criterion: None };
        if value >= 1.0 {
            return group;
        }
        let judged = self.dearest(scores, &of).filter(|at| scores[*at].criterion.is_some());
        let Some(dearest) = judged else {
            return Score { reason: Some(self.reasons(scores, &of).join("; ")), ..group };
        };
        of.retain(|at| *at != dearest);
        of.insert(0, dearest);
        let criterion = scores[dearest].criterion.as_ref();
        Score {
            reason: Some(self.reasons(scores, &of).join("\n")),
            criterion: criterion.map(|criterion| format!("{}: {criterion}", self.name_within(&scores[dearest]))),
            ..group
        }
    }

    /// `contains: lacks "a"` and `length: 9 characters, of at most 4`.
    fn reasons(&self, scores: &[Score], of: &[usize]) -> Vec<String> {
        let told = |at: &usize| match &scores[*at] {
            score @ Score { reason: Some(reason), .. } => format!("{}: {reason}", self.name_within(score)),
            score => format!("{}: {:.2}", self.name_within(score), score.value),
        };
        of.iter().map(told).collect()
    }

    /// The name of a scorer without that of the group before it.
    fn name_within<'s>(&self, score: &'s Score) -> &'s str {
        score.scorer.strip_prefix(&self.name).and_then(|name| name.strip_prefix('/')).unwrap_or(&score.scorer)
    }
}

/// Where the scores are that took something from the group.
fn below_one(scores: &[Score]) -> Vec<usize> {
    (0..scores.len()).filter(|at| scores[*at].value < 1.0).collect()
}

impl Scorer for Group {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.scorers.iter().any(|(scorer, _)| scorer.needs_expected())
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        self.scorers.iter().try_for_each(|(scorer, _)| scorer.check(example))
    }

    fn judges(&self) -> Vec<&Judge> {
        self.scorers.iter().flat_map(|(scorer, _)| scorer.judges()).collect()
    }

    fn embeds(&self) -> u64 {
        self.scorers.iter().map(|(scorer, _)| scorer.embeds()).sum()
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let mut scores = Vec::with_capacity(self.scorers.len());
            for (scorer, _) in &self.scorers {
                scores.push(checked(scorer.score(example, completion, scoring).await?)?);
            }
            Ok(self.score_of(&scores))
        })
    }

    fn opposite<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let mut opposites = Vec::with_capacity(self.scorers.len());
            for (scorer, _) in &self.scorers {
                opposites.push(checked(scorer.opposite(example, completion, scoring).await?)?);
            }
            Ok(self.opposite_of(&opposites))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{gives, reason, try_score, value};
    use super::super::{ExactMatch, ExactMatchOptions, Wrapped};
    use super::*;

    fn group(rule: Rule, of: &[(&'static str, f64, f64)]) -> Group {
        let scorers = of.iter().map(|(name, value, weight)| (gives(name, *value), *weight)).collect();
        Group::new("group", rule, scorers).unwrap()
    }

    fn of(rule: Rule, of: &[(&'static str, f64, f64)]) -> f64 {
        value(&group(rule, of), Value::Null, "x")
    }

    #[test]
    fn all_of_is_the_least_and_any_of_the_greatest() {
        let scorers = [("group/a", 1.0, 1.0), ("group/b", 0.25, 1.0)];
        assert_eq!(of(Rule::Least, &scorers), 0.25);
        assert_eq!(of(Rule::Greatest, &scorers), 1.0);
        assert_eq!(of(Rule::Least, &[("a", 1.0, 1.0), ("b", 1.0, 1.0)]), 1.0);
        assert_eq!(reason(&group(Rule::Least, &scorers), Value::Null, "x"), "b: 0.25");
        assert_eq!(reason(&group(Rule::Greatest, &scorers), Value::Null, "x"), "");
    }

    #[test]
    fn in_any_of_a_lighter_scorer_is_worth_less() {
        assert_eq!(of(Rule::Greatest, &[("exact", 0.0, 2.0), ("near", 1.0, 1.0)]), 0.5);
        assert_eq!(of(Rule::Greatest, &[("exact", 1.0, 0.2), ("near", 1.0, 0.1)]), 1.0);
    }

    #[test]
    fn with_a_threshold_the_weighted_mean_decides() {
        let scorers = [("a", 1.0, 0.6), ("b", 0.5, 0.2), ("c", 0.0, 0.2)];
        assert_eq!(of(Rule::Mean(0.7), &scorers), 1.0);
        assert_eq!(of(Rule::Mean(0.71), &scorers), 0.0);
        assert_eq!(reason(&group(Rule::Mean(0.9), &scorers), Value::Null, "x"), "b: 0.50; c: 0.00");
        assert_eq!(of(Rule::Mean(1.0), &[("a", 1.0, 0.1), ("b", 1.0, 0.2), ("c", 1.0, 0.3)]), 1.0);
    }

    fn said(scorer: &str, value: f64, criterion: Option<&str>) -> Score {
        Score {
            scorer: scorer.to_owned(),
            value,
            reason: criterion.map(|criterion| format!("{criterion}: it is not (no)\nlength: too long (partly)")),
            criterion: criterion.map(str::to_owned),
        }
    }

    #[test]
    fn the_criterion_of_the_judge_that_cost_the_most_is_the_groups_and_is_told_first() {
        let scores = [said("group/a", 0.5, None), said("group/judge", 0.2, Some("tone")), said("b", 1.0, None)];
        let parts = |judge: f64| [("group/a", 0.5, 3.0), ("group/judge", 0.2, judge), ("b", 1.0, 1.0)];
        let found = group(Rule::Least, &parts(1.0)).score_of(&scores);
        assert_eq!((found.value, found.criterion.as_deref()), (0.2, Some("judge: tone")));
        let lines = "judge: tone: it is not (no)\nlength: too long (partly)\na: 0.50";
        assert_eq!(found.reason.as_deref(), Some(lines));
        let best = group(Rule::Greatest, &parts(4.0)).score_of(&scores);
        assert_eq!((best.value, best.criterion.as_deref()), (0.375, Some("judge: tone")));
        let heavy = group(Rule::Mean(0.9), &parts(4.0)).score_of(&scores);
        assert_eq!(heavy.criterion.as_deref(), Some("judge: tone"));
        let light = group(Rule::Mean(0.9), &parts(1.0)).score_of(&scores);
        assert_eq!((light.criterion, light.reason.unwrap().starts_with("a: 0.50; judge: ")), (None, true));
    }

    #[test]
    fn the_opposite_of_a_group_is_one_less_its_value_and_says_who_was_met() {
        let opposite = |rule, of: &[(&'static str, f64, f64)]| {
            let not = Wrapped::not(Arc::new(group(rule, of)));
            let score = try_score(&not, Value::Null, "x").unwrap();
            (score.value, score.reason.unwrap_or_default())
        };
        let scorers = [("group/a", 1.0, 1.0), ("group/b", 0.25, 2.0)];
        let both = "a: was not to be so, and is: 1.00; b: was not to be so, and is: 0.25";
        assert_eq!(opposite(Rule::Least, &scorers), (0.75, both.to_owned()));
        assert_eq!(opposite(Rule::Greatest, &scorers), (0.5, both.to_owned()));
        assert_eq!(opposite(Rule::Mean(0.5), &scorers), (0.0, both.to_owned()));
        assert_eq!(opposite(Rule::Mean(0.6), &scorers), (1.0, String::new()));
    }

    #[test]
    fn the_opposite_of_a_group_names_the_criterion_that_was_met_and_should_not_be() {
        let parts = group(Rule::Least, &[("group/a", 1.0, 1.0), ("group/judge", 1.0, 1.0)]);
        let found = parts.opposite_of(&[said("group/a", 0.0, None), said("group/judge", 0.0, Some("tone"))]);
        assert_eq!((found.value, found.criterion.as_deref()), (0.0, Some("judge: tone")));
        let found = parts.opposite_of(&[said("group/a", 0.0, None), said("group/judge", 0.5, Some("tone"))]);
        assert_eq!((found.value, found.criterion), (0.5, None), "another was met more");
    }

    #[test]
    fn errors_and_needs_of_one_are_those_of_all() {
        let exact = || Arc::new(ExactMatch::new("exact", ExactMatchOptions::default())) as Arc<dyn Scorer>;
        let both = Group::new("g", Rule::Greatest, vec![(gives("a", 1.0), 1.0), (exact(), 1.0)]).unwrap();
        assert!(both.needs_expected());
        assert_eq!(try_score(&both, Value::Null, "x").unwrap_err().scorer, "exact");
        assert_eq!(try_score(&group(Rule::Least, &[("odd", 1.5, 1.0)]), Value::Null, "x").unwrap_err().scorer, "odd");
        assert!(Group::new("g", Rule::Least, vec![]).is_err());
        assert!(Group::new("g", Rule::Least, vec![(gives("a", 1.0), 0.0)]).is_err());
    }
}
