//! [`Repeats`]: several answers to each row, and how their values become one.

use std::ops::Range;

use super::Answer;
use crate::stats::pass_at;

/// How the values of several answers to one row become one. An answer passes whose value reaches the pass threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatRule {
    /// Their mean.
    Mean,
    /// 1 where at least so many pass, else 0.
    AtLeast(u32),
    /// The chance that at least one of so many answers passes: pass@k.
    PassAt(u32),
}

/// How often each row is answered, and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repeats {
    /// Answers a row, at least 1.
    pub samples: u32,
    /// What they come to.
    pub rule: RepeatRule,
    /// The value from which an answer passes.
    pub pass_threshold: f64,
}

impl Repeats {
    /// One answer a row, whose value is the row's.
    pub const ONCE: Repeats = Repeats { samples: 1, rule: RepeatRule::Mean, pass_threshold: 1.0 };

    /// The target's draws that make up draw `sample` of a row, the first and the others: no two samples share one.
    pub(super) fn draws(&self, sample: u32) -> (u32, Range<u32>) {
        let first = sample.saturating_mul(self.samples);
        (first, first.saturating_add(1)..first.saturating_add(self.samples))
    }

    /// One answer for all of a row: the completion, reasons and criteria are those of the first of the worst answers,
    /// scores are means.
    pub(super) fn sum_up(&self, first: Answer, others: Vec<Answer>) -> Answer {
        let answers = || std::iter::once(&first).chain(&others);
        let values: Vec<f64> = answers().map(|answer| answer.value).collect();
        let value = self.value(&values);
        let mean_of = |scorer: usize| {
            let sum: f64 = answers().filter_map(|answer| answer.scores.get(scorer)).map(|score| score.value).sum();
            (sum / values.len() as f64).clamp(0.0, 1.0)
        };
        let means: Vec<f64> = (0..first.scores.len()).map(mean_of).collect();
        let worse = |worst: Answer, answer: Answer| if answer.value < worst.value { answer } else { worst };
        let mut worst = others.into_iter().fold(first, worse);
        for (score, mean) in worst.scores.iter_mut().zip(means) {
            score.value = mean;
        }
        Answer { value, ..worst }
    }

    /// What the values of a row's answers come to, in [0, 1].
    fn value(&self, values: &[f64]) -> f64 {
        let passing = values.iter().filter(|value| **value >= self.pass_threshold).count() as u32;
        match self.rule {
            RepeatRule::Mean => (values.iter().sum::<f64>() / values.len().max(1) as f64).clamp(0.0, 1.0),
            RepeatRule::AtLeast(least) => f64::from(u8::from(passing >= least)),
            RepeatRule::PassAt(k) => pass_at(k, passing, values.len() as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::outcome;
    use crate::score::Score;

    fn answer(text: &str, value: f64) -> Answer {
        let mut answer = outcome(1, value).result.unwrap();
        answer.completion.text = text.to_owned();
        answer.scores = vec![Score { scorer: "s".into(), value, reason: Some(format!("of {text}")), criterion: None }];
        answer
    }

    fn value(rule: RepeatRule, values: &[f64]) -> f64 {
        Repeats { samples: values.len() as u32, rule, pass_threshold: 0.5 }.value(values)
    }

    #[test]
    fn values_become_their_mean_a_count_that_is_enough_or_a_chance() {
        let values = [1.0, 0.5, 0.25, 0.0, 0.0];
        assert_eq!(value(RepeatRule::Mean, &values), 0.35);
        assert_eq!([2, 3].map(|least| value(RepeatRule::AtLeast(least), &values)), [1.0, 0.0]);
        assert!((value(RepeatRule::PassAt(1), &values) - 0.4).abs() < 1e-12);
        assert!((value(RepeatRule::PassAt(3), &values) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn the_worst_answer_stands_for_all_with_mean_scores() {
        let repeats = Repeats { samples: 3, rule: RepeatRule::AtLeast(2), pass_threshold: 1.0 };
        let all = repeats.sum_up(answer("good", 1.0), vec![answer("bad", 0.0), answer("worse", 0.0)]);
        assert_eq!((all.completion.text.as_str(), all.value), ("bad", 0.0));
        assert!((all.scores[0].value - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(all.scores[0].reason.as_deref(), Some("of bad"));
    }

    #[test]
    fn one_answer_is_itself() {
        let one = answer("x", 0.7);
        assert_eq!(Repeats::ONCE.sum_up(one.clone(), Vec::new()), one);
        assert_eq!(Repeats::ONCE.draws(7), (7, 8..8));
    }

    #[test]
    fn no_two_samples_share_a_draw() {
        let repeats = Repeats { samples: 5, ..Repeats::ONCE };
        assert_eq!([0, 1, 101].map(|sample| repeats.draws(sample)), [(0, 1..5), (5, 6..10), (505, 506..510)]);
    }
}
