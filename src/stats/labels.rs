//! Precision, recall and F1 by label, their macro mean, and its bootstrap.

use std::cmp::Ordering;

use rand::Rng;

use super::interval::percentile;
use super::{Cells, Interval, two_sided_level};

/// One classified row, labels by number; in an order of its own, so that rows that are alike can be counted.
#[derive(Debug, Clone, Copy)]
pub struct Labelled {
    /// The label that is right.
    pub expected: usize,
    /// The label that was answered; none for an answer that is no label.
    pub answered: Option<usize>,
    /// The row's weight, above zero.
    pub weight: f64,
}

impl Ord for Labelled {
    fn cmp(&self, other: &Self) -> Ordering {
        let labels = |row: &Self| (row.expected, row.answered);
        labels(self).cmp(&labels(other)).then(self.weight.total_cmp(&other.weight))
    }
}

impl PartialOrd for Labelled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Labelled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Labelled {}

/// How well one label is told, each in [0, 1]; 0 where it would be a share of nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LabelScore {
    /// Of the rows answered with it, the share that are it.
    pub precision: f64,
    /// Of the rows that are it, the share answered with it.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Weight of the rows that are it, and of those answered with it.
    pub weights: (f64, f64),
}

/// The score of each of so many `labels`, in their order (C. J. van Rijsbergen, Information Retrieval, 1979; as
/// `precision_recall_fscore_support` of scikit-learn with `zero_division=0` and row weights). An answer that is no label
/// counts against the recall of the label that was expected, and against no precision. Numbers beyond the labels are left
/// out.
pub fn label_scores(rows: &Cells<Labelled>, labels: usize) -> Vec<LabelScore> {
    scores_of(rows.iter(), labels)
}

/// Mean of F1 over the labels that are expected or answered in any row, each label counting alike (`f1_score` of
/// scikit-learn with `average="macro"`); none without such a label.
pub fn macro_f1(scores: &[LabelScore]) -> Option<f64> {
    let seen = || scores.iter().filter(|score| score.weights.0 + score.weights.1 > 0.0);
    let count = seen().count();
    (count > 0).then(|| seen().map(|score| score.f1).sum::<f64>() / count as f64)
}

/// Percentile bootstrap interval of macro F1 (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13), rows
/// drawn with replacement `resamples` times (at least once) from `rng`. A resample takes time by the kinds of rows, not by
/// their number. [0, 1] without rows. With few rows of a label it is too narrow, as all bootstraps are.
pub fn bootstrap_macro_f1<R: Rng + ?Sized>(
    rows: &Cells<Labelled>,
    labels: usize,
    confidence: f64,
    resamples: usize,
    rng: &mut R,
) -> Interval {
    if rows.rows() == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let mut figures: Vec<f64> =
        (0..resamples.max(1)).map(|_| macro_f1(&scores_of(rows.resampled(rng), labels)).unwrap_or(0.0)).collect();
    figures.sort_by(f64::total_cmp);
    let upper = two_sided_level(confidence);
    Interval { low: percentile(&figures, 1.0 - upper), high: percentile(&figures, upper) }
}

/// The scores of rows that count so many times.
pub(super) fn scores_of<'r>(rows: impl Iterator<Item = (&'r Labelled, u64)>, labels: usize) -> Vec<LabelScore> {
    let mut sums = vec![(0.0, 0.0, 0.0); labels];
    for (row, times) in rows {
        let weight = row.weight * times as f64;
        if let Some(sum) = sums.get_mut(row.expected) {
            sum.0 += weight;
            sum.2 += if row.answered == Some(row.expected) { weight } else { 0.0 };
        }
        if let Some(sum) = row.answered.and_then(|answered| sums.get_mut(answered)) {
            sum.1 += weight;
        }
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    sums.into_iter()
        .map(|(expected, answered, both)| LabelScore {
            precision: share(both, answered),
            recall: share(both, expected),
            f1: share(2.0 * both, expected + answered),
            weights: (expected, answered),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::seed::generator;

    fn rows(of: &[(usize, Option<usize>, f64)]) -> Cells<Labelled> {
        of.iter().map(|&(expected, answered, weight)| Labelled { expected, answered, weight }).collect()
    }

    fn close(scores: &[LabelScore], wanted: &[[f64; 3]], macro_mean: f64) {
        for (score, wanted) in scores.iter().zip(wanted) {
            for (found, wanted) in [score.precision, score.recall, score.f1].iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-8, "{scores:?}");
            }
        }
        assert!((macro_f1(scores).unwrap() - macro_mean).abs() < 1e-12, "{scores:?}");
    }

    /// The example of scikit-learn's documentation of `confusion_matrix` (ant, bird, cat), and one with an answer that is
    /// no label, without and with weights; figures printed by scikit-learn 1.9.1.
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let animals = [
            (2, Some(0), 1.0),
            (0, Some(0), 1.0),
            (2, Some(2), 1.0),
            (2, Some(2), 1.0),
            (0, Some(0), 1.0),
            (1, Some(2), 1.0),
        ];
        close(
            &label_scores(&rows(&animals), 3),
            &[[0.666_666_67, 1.0, 0.8], [0.0, 0.0, 0.0], [0.666_666_67, 0.666_666_67, 0.666_666_67]],
            0.488_888_888_888_888_93,
        );
        let mut other = [
            (0, Some(0), 1.0),
            (0, Some(0), 1.0),
            (0, Some(1), 1.0),
            (1, Some(1), 1.0),
            (1, None, 1.0),
            (2, Some(2), 1.0),
        ];
        let wanted = [[1.0, 0.666_666_67, 0.8], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]];
        close(&label_scores(&rows(&other), 3), &wanted, 0.766_666_666_666_666_6);
        (other[1].2, other[4].2) = (2.0, 3.0);
        let wanted = [[1.0, 0.75, 0.857_142_857], [0.5, 0.25, 0.333_333_333], [1.0, 1.0, 1.0]];
        close(&label_scores(&rows(&other), 3), &wanted, 0.730_158_730_158_730_2);
    }

    #[test]
    fn a_label_that_never_occurs_does_not_count_in_the_macro_mean() {
        let scores = label_scores(&rows(&[(0, Some(0), 1.0)]), 3);
        assert_eq!(macro_f1(&scores), Some(1.0));
        assert_eq!(macro_f1(&label_scores(&rows(&[]), 3)), None);
    }

    #[test]
    fn the_interval_holds_the_figure() {
        let rows: Cells<Labelled> = (0..120)
            .map(|at| Labelled { expected: at % 3, answered: Some(if at % 5 == 0 { 0 } else { at % 3 }), weight: 1.0 })
            .collect();
        let figure = macro_f1(&label_scores(&rows, 3)).unwrap();
        let interval = bootstrap_macro_f1(&rows, 3, 0.95, 500, &mut generator(1, 0, "macro-f1"));
        assert!(interval.contains(figure) && interval.high - interval.low < 0.2, "{interval:?}");
        let none = bootstrap_macro_f1(&self::rows(&[]), 3, 0.95, 9, &mut generator(1, 0, "x"));
        assert_eq!(none, Interval { low: 0.0, high: 1.0 });
    }

    /// Rows of three labels, one of them rare, some answered wrong or with no label, of two weights.
    fn mixed(count: usize) -> Vec<Labelled> {
        let row = |at: usize| {
            let expected = [0, 1, 0, 1, 0, 1, 2][at % 7];
            let answered = [Some(expected), Some(expected), Some(1), None, Some(expected)][at % 5];
            Labelled { expected, answered, weight: [1.0, 2.5, 1.0][at % 3] }
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn the_interval_is_that_of_drawing_row_by_row() {
        let rows = mixed(210);
        let mut rng = generator(2, 0, "row by row");
        let mut figures: Vec<f64> = (0..4_000)
            .map(|_| {
                let drawn = (0..rows.len()).map(|_| rows[rng.random_range(0..rows.len())]);
                macro_f1(&label_scores(&drawn.collect(), 3)).unwrap()
            })
            .collect();
        figures.sort_by(f64::total_cmp);
        let cells: Cells<Labelled> = rows.iter().copied().collect();
        for confidence in [0.5, 0.8, 0.95] {
            let upper = two_sided_level(confidence);
            let found = bootstrap_macro_f1(&cells, 3, confidence, 4_000, &mut generator(1, 0, "macro-f1"));
            // Some four standard errors of the difference of two such quantiles.
            for (found, level) in [(found.low, 1.0 - upper), (found.high, upper)] {
                let wanted = percentile(&figures, level);
                assert!((found - wanted).abs() < 0.008, "{confidence}: {found} for {wanted}");
            }
        }
    }

    #[test]
    fn a_million_rows_take_no_longer_than_their_kinds() {
        let cells: Cells<Labelled> = mixed(1_000_020).into_iter().collect();
        let found = bootstrap_macro_f1(&cells, 3, 0.95, 2_000, &mut generator(1, 0, "macro-f1"));
        let figure = macro_f1(&label_scores(&cells, 3)).unwrap();
        assert!(found.contains(figure) && found.high - found.low < 0.004, "{found:?} around {figure}");
    }

    proptest! {
        #[test]
        fn figures_stay_between_zero_and_one(
            of in prop::collection::vec((0..5_usize, prop::option::of(0..5_usize), 0.1..3.0_f64), 0..30),
        ) {
            let scores = label_scores(&rows(&of), 4);
            for score in &scores {
                for share in [score.precision, score.recall, score.f1] {
                    prop_assert!((0.0..=1.0 + 1e-12).contains(&share));
                }
            }
            if let Some(mean) = macro_f1(&scores) {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&mean));
            }
        }
    }
}
