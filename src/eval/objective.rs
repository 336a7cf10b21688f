//! [`Objective`]: what the score of a prompt is, and so what prompts are compared and decided by.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::labelled::{RESAMPLES, labelled, macro_f1_interval};
use super::{CONFIDENCE, Change, Comparison, Outcome, Summary, compare};
use crate::config;
use crate::dataset::Example;
use crate::seed::generator;
use crate::stats::{Cells, Labelled, label_scores, macro_f1, macro_f1_difference};

/// What the score of a prompt is. Which rows fail, and which are fixed or broken, goes by the rows' own scores under any
/// objective.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Objective {
    /// The weighted mean of the rows' scores.
    #[default]
    MeanScore,
    /// Macro F1: the mean of F1 over the labels, a rare label counting as much as a frequent one.
    MacroF1 {
        /// The labels, in any order.
        labels: Arc<[String]>,
        /// Seed of the resampling that intervals and p-values of a comparison come from.
        seed: u64,
    },
}

impl Objective {
    /// Which one it is, as the config has it.
    pub fn kind(&self) -> config::Objective {
        match self {
            Self::MeanScore => config::Objective::MeanScore,
            Self::MacroF1 { .. } => config::Objective::MacroF1,
        }
    }

    /// Sums up `outcomes`, one a row.
    pub fn summary(&self, outcomes: &[Outcome]) -> Summary {
        let labels: &[String] = if let Self::MacroF1 { labels, .. } = self { labels } else { &[] };
        self.summary_of(Summary::of(outcomes), || labelled(outcomes, labels).into_values().collect())
    }

    /// The same of rows that come to `of_rows` by their own scores; `labelled` are those of a task of labels that ran.
    pub fn summary_of(&self, of_rows: Summary, labelled: impl FnOnce() -> Cells<Labelled>) -> Summary {
        let Self::MacroF1 { labels, .. } = self else { return of_rows };
        let rows = labelled();
        let score = macro_f1(&label_scores(&rows, labels.len())).unwrap_or(0.0);
        Summary { score, interval: macro_f1_interval(&rows, labels.len()), ..of_rows }
    }

    /// Compares `after` with `before`, row by row as [`compare`] does, and by the difference of their scores.
    pub fn compare(&self, before: &[Outcome], after: &[Outcome], pass_threshold: f64) -> Comparison {
        let by_rows = compare(before, after, pass_threshold);
        let Self::MacroF1 { labels, seed } = self else { return by_rows };
        let pairs: Cells<(Labelled, Labelled)> = paired(before, after, labels).into_values().collect();
        let mut rng = generator(*seed, 0, "macro-f1");
        let found = macro_f1_difference(&pairs, labels.len(), CONFIDENCE, RESAMPLES, &mut rng);
        Comparison {
            before: found.before,
            after: found.after,
            difference: found.after - found.before,
            interval: found.interval,
            standard_error: found.standard_error,
            p_value: found.p_value,
            ..by_rows
        }
    }

    /// Ids of the rows by which `comparison`, of `after` with `before`, comes to its difference: those whose value differs
    /// or, where labels count, whose answer does.
    pub fn flipped(&self, comparison: &Comparison, before: &[Outcome], after: &[Outcome]) -> Vec<String> {
        match self {
            Self::MeanScore => {
                let changed = comparison.rows.iter().filter(|row| row.change != Change::Unchanged);
                changed.map(|row| row.id.clone()).collect()
            }
            Self::MacroF1 { labels, .. } => {
                let pairs = paired(before, after, labels).into_iter();
                pairs.filter(|(_, (old, new))| old.answered != new.answered).map(|(id, _)| id.to_owned()).collect()
            }
        }
    }

    /// The difference between the arms with `fresh` outcomes of some rows in place of theirs, before and after; nothing
    /// where the rows' own differences say it.
    pub fn fresh_difference(&self, arms: [&[Outcome]; 2], fresh: [&[Outcome]; 2]) -> Option<f64> {
        let Self::MacroF1 { labels, .. } = self else { return None };
        let [before, after] = [0, 1].map(|arm| {
            let mut rows = labelled(arms[arm], labels);
            for outcome in fresh[arm] {
                rows.remove(outcome.example.id.as_str());
            }
            rows.extend(labelled(fresh[arm], labels));
            rows
        });
        let (before, after): (Vec<Labelled>, Vec<Labelled>) = in_both(before, &after).into_values().unzip();
        let [before, after] =
            [before, after].map(|rows| macro_f1(&label_scores(&rows.into_iter().collect(), labels.len())));
        Some(after.unwrap_or(0.0) - before.unwrap_or(0.0))
    }

    /// What each of `rows` weighs in a mean of their scores that goes with the objective, by id: its weight; where labels
    /// count alike, that by the weight of all rows of its label. Their mean is then the mean recall of the labels.
    pub fn weights<E: Borrow<Example>>(&self, rows: impl IntoIterator<Item = E>) -> BTreeMap<String, f64> {
        let rows: Vec<E> = rows.into_iter().collect();
        let rows = || rows.iter().map(Borrow::borrow);
        let mut of_label: BTreeMap<Option<String>, f64> = BTreeMap::new();
        let label = |row: &Example| match self {
            Self::MeanScore => None,
            Self::MacroF1 { .. } => row.expected_label(),
        };
        rows().for_each(|row| *of_label.entry(label(row)).or_default() += row.weight);
        let weight = |row: &Example| match self {
            Self::MeanScore => row.weight,
            Self::MacroF1 { .. } => row.weight / of_label[&label(row)],
        };
        rows().map(|row| (row.id.clone(), weight(row))).collect()
    }

    /// As many rows of equal weight tell as much as `rows` do: all of them, or where labels count alike, Kish's effective
    /// size of their weights (Survey Sampling, 1965).
    pub fn effective_rows<E: Borrow<Example>>(&self, rows: impl Iterator<Item = E>) -> usize {
        if *self == Self::MeanScore {
            return rows.count();
        }
        let weights = self.weights(rows);
        let (sum, squares) =
            weights.values().fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
        if squares > 0.0 { (sum * sum / squares).round() as usize } else { 0 }
    }
}

/// The rows that ran in both arms and whose expected answer is a label, by id.
fn paired<'o>(
    before: &'o [Outcome],
    after: &'o [Outcome],
    labels: &[String],
) -> BTreeMap<&'o str, (Labelled, Labelled)> {
    in_both(labelled(before, labels), &labelled(after, labels))
}

fn in_both<'o>(
    before: BTreeMap<&'o str, Labelled>,
    after: &BTreeMap<&'o str, Labelled>,
) -> BTreeMap<&'o str, (Labelled, Labelled)> {
    before.into_iter().filter_map(|(id, row)| Some((id, (row, *after.get(id)?)))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::eval::{Answer, OutcomeError};
    use crate::model::{CallError, testing};

    fn macro_f1() -> Objective {
        Objective::MacroF1 { labels: ["a", "b", "c"].map(str::to_owned).into(), seed: 1 }
    }

    /// Rows with what is expected and answered; no answer is one that could not be had.
    fn outcomes(of: &[(&str, Option<&str>)]) -> Vec<Outcome> {
        let outcome = |(at, (expected, answer)): (usize, &(&str, Option<&str>))| {
            let row = json!({"id": format!("{at:02}"), "input": "text", "expected": expected});
            let result = match answer {
                None => Err(OutcomeError::Call(CallError::Transient("reset".to_owned()))),
                Some(text) => {
                    let value = f64::from(u8::from(text == expected));
                    Ok(Answer { completion: testing::answer(text), scores: Vec::new(), value })
                }
            };
            Outcome { example: Arc::new(serde_json::from_value(row).unwrap()), sample: 0, result }
        };
        of.iter().enumerate().map(outcome).collect()
    }

    /// So many rows of `a`, all right, and four of `b`, of which so many are.
    fn uneven(of_a: usize, right: usize) -> Vec<Outcome> {
        let rows: Vec<(&str, Option<&str>)> = (0..of_a + 4)
            .map(|at| if at < of_a { ("a", Some("a")) } else { ("b", Some(if at < of_a + right { "b" } else { "a" })) })
            .collect();
        outcomes(&rows)
    }

    #[test]
    fn the_mean_score_is_what_it_was() {
        let (before, after) = (uneven(36, 1), uneven(36, 3));
        let objective = Objective::default();
        assert_eq!(objective.summary(&after), Summary::of(&after));
        assert_eq!(objective.compare(&before, &after, 1.0), compare(&before, &after, 1.0));
        assert_eq!(objective.fresh_difference([&before, &after], [&[], &[]]), None);
        let rows: Vec<Arc<Example>> = before.iter().map(|outcome| Arc::clone(&outcome.example)).collect();
        assert_eq!(objective.effective_rows(rows.iter().map(AsRef::<Example>::as_ref)), 40);
        assert!(objective.weights(rows.iter().map(AsRef::<Example>::as_ref)).values().all(|weight| *weight == 1.0));
    }

    #[test]
    fn macro_f1_has_a_rare_label_count_as_much_as_a_frequent_one() {
        let (before, after) = (uneven(36, 1), uneven(36, 3));
        // 2 right / (expected + answered), by label.
        let wanted = |right: f64| f64::midpoint(72.0 / (76.0 - right), 2.0 * right / (4.0 + right));
        let summary = macro_f1().summary(&after);
        assert!((summary.score - wanted(3.0)).abs() < 1e-12, "{summary:?}");
        assert_eq!((summary.examples, summary.errors), (40, 0));
        let found = macro_f1().compare(&before, &after, 1.0);
        assert_eq!((found.rows.len(), found.fixed(), found.broken()), (40, 2, 0));
        assert!((found.difference - wanted(3.0) + wanted(1.0)).abs() < 1e-12, "{found:?}");
        assert!(found.difference > 4.0 * compare(&before, &after, 1.0).difference);
        assert!(found.interval.contains(0.0) && found.p_value > 0.3, "two rows prove nothing: {found:?}");
        assert_eq!(found, macro_f1().compare(&before, &after, 1.0));
    }

    #[test]
    fn an_answer_that_changes_from_one_wrong_label_to_another_counts() {
        let before = outcomes(&[("a", Some("b")), ("a", Some("a")), ("b", Some("b")), ("c", None)]);
        let after = outcomes(&[("a", Some("c")), ("a", Some("a")), ("b", Some("b")), ("c", Some("c"))]);
        let found = macro_f1().compare(&before, &after, 1.0);
        assert_eq!((found.rows.len(), found.missing, found.fixed() + found.broken()), (3, 1, 0));
        assert_eq!(macro_f1().flipped(&found, &before, &after), ["00"]);
        assert!(Objective::MeanScore.flipped(&found, &before, &after).is_empty());
        assert!(found.difference != 0.0);
    }

    #[test]
    fn fresh_outcomes_take_the_place_of_the_first_ones() {
        let (before, after) = (uneven(36, 1), uneven(36, 3));
        let gain = |fresh: [&[Outcome]; 2]| macro_f1().fresh_difference([&before, &after], fresh).unwrap();
        let first = macro_f1().compare(&before, &after, 1.0).difference;
        assert_eq!(gain([&[], &[]]), first);
        assert_eq!(gain([&after[36..], &after[36..]]), 0.0);
        assert_eq!(gain([&after[36..], &before[36..]]), -first);
    }

    #[test]
    fn weights_give_every_label_the_same_say_and_a_rare_one_makes_the_rows_tell_less() {
        let rows: Vec<Arc<Example>> = uneven(36, 0).iter().map(|outcome| Arc::clone(&outcome.example)).collect();
        let weights = macro_f1().weights(rows.iter().map(AsRef::<Example>::as_ref));
        assert!((weights["00"] - 1.0 / 36.0).abs() < 1e-12 && (weights["39"] - 0.25).abs() < 1e-12);
        // 2^2 / (1 / 36 + 1 / 4) = 14.4.
        assert_eq!(macro_f1().effective_rows(rows.iter().map(AsRef::<Example>::as_ref)), 14);
        assert_eq!(macro_f1().effective_rows(std::iter::empty::<Example>()), 0);
    }
}
