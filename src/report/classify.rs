//! A task of labels: precision, recall and F1 by label, and macro F1 with a bootstrap interval.

use crate::eval::{Objective, Outcome, labelled, macro_f1_interval};
use crate::stats::{Cells, Interval, LabelScore, Labelled, label_scores, macro_f1};

/// How well each label is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The labels with their scores and the number of rows that are them, in the order of the labels; labels that are
    /// neither expected nor answered are left out.
    pub labels: Vec<(String, LabelScore, usize)>,
    /// Their mean F1.
    pub macro_f1: MacroF1,
}

/// Macro F1, or a difference of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacroF1 {
    /// The figure: in [0, 1], a difference in [-1, 1].
    pub value: f64,
    /// Its 95 % interval, by bootstrap over rows.
    pub interval: Interval,
}

impl Classified {
    /// Sums up rows that ran, by their weights. Nothing where no answer is a label: then this is
    /// no task of labels, whatever is expected.
    pub fn of(rows: &Cells<Labelled>, labels: &[String]) -> Option<Classified> {
        let scores = label_scores(rows, labels.len());
        let value = macro_f1(&scores).filter(|_| rows.iter().any(|(row, _)| row.answered.is_some()))?;
        let interval = macro_f1_interval(rows, labels.len());
        let of_label = |label: usize| rows.iter().filter(move |(row, _)| row.expected == label);
        let count = |label: usize| of_label(label).map(|(_, count)| count).sum::<u64>() as usize;
        let seen = labels.iter().zip(scores).enumerate().filter(|(_, (_, score))| score.weights != (0.0, 0.0));
        let labels = seen.map(|(at, (label, score))| (label.clone(), score, count(at))).collect();
        Some(Classified { labels, macro_f1: MacroF1 { value, interval } })
    }
}

/// The difference of macro F1 over the rows that ran in both arms; nothing where either arm answers no label.
pub fn macro_f1_difference(before: &[Outcome], after: &[Outcome], labels: &[String]) -> Option<MacroF1> {
    let answers_labels = |arm| labelled(arm, labels).values().any(|row| row.answered.is_some());
    if !answers_labels(before) || !answers_labels(after) {
        return None;
    }
    let found = Objective::MacroF1 { labels: labels.into(), seed: 0 }.compare(before, after, 1.0);
    Some(MacroF1 { value: found.difference, interval: found.interval })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::eval::{Answer, OutcomeError};
    use crate::model::{CallError, testing};

    fn outcomes(of: &[(&str, Option<&str>)]) -> Vec<Outcome> {
        let outcome = |(at, (expected, answer)): (usize, &(&str, Option<&str>))| {
            let row = json!({"id": format!("{at}"), "input": "text", "expected": expected});
            let result = match answer {
                None => Err(OutcomeError::Call(CallError::Transient("reset".to_owned()))),
                Some(text) => Ok(Answer { completion: testing::answer(text), scores: Vec::new(), value: 1.0 }),
            };
            Outcome { example: Arc::new(serde_json::from_value(row).unwrap()), sample: 0, result }
        };
        of.iter().enumerate().map(outcome).collect()
    }

    fn labels() -> Vec<String> {
        ["b", "a", "unused"].map(str::to_owned).to_vec()
    }

    fn classified(outcomes: &[Outcome]) -> Option<Classified> {
        Classified::of(&labelled(outcomes, &labels()).into_values().collect(), &labels())
    }

    #[test]
    fn labels_have_precision_recall_and_f1_over_the_rows_that_ran() {
        let outcomes =
            outcomes(&[("a", Some("a ")), ("a", Some("b")), ("b", Some("b")), ("b", None), ("b", Some("?"))]);
        let found = classified(&outcomes).unwrap();
        let [(b, of_b, rows_b), (a, of_a, rows_a)] = &found.labels[..] else { panic!("{found:?}") };
        assert_eq!((b.as_str(), a.as_str(), *rows_b, *rows_a), ("b", "a", 2, 2));
        assert_eq!((of_a.precision, of_a.recall), (1.0, 0.5));
        assert_eq!((of_b.precision, of_b.recall), (0.5, 0.5));
        assert!((found.macro_f1.value - f64::midpoint(0.5, 2.0 / 3.0)).abs() < 1e-12);
        assert!(found.macro_f1.interval.contains(found.macro_f1.value));
    }

    #[test]
    fn answers_that_are_no_labels_are_no_task_of_labels() {
        let outcomes = outcomes(&[("a", Some("{\"label\": \"a\"}")), ("b", Some("{}"))]);
        assert_eq!(classified(&outcomes), None);
        assert_eq!(macro_f1_difference(&outcomes, &outcomes, &labels()), None);
    }

    #[test]
    fn a_difference_is_of_the_rows_that_ran_in_both_arms() {
        let before = outcomes(&[("a", Some("a")), ("a", Some("b")), ("b", Some("b")), ("b", Some("a"))]);
        let after = outcomes(&[("a", Some("a")), ("a", Some("a")), ("b", Some("b")), ("b", None)]);
        let found = macro_f1_difference(&before, &after, &labels()).unwrap();
        assert!((found.value - (1.0 - 2.0 / 3.0)).abs() < 1e-12, "{found:?}");
        assert!(found.interval.contains(found.value));
    }
}
