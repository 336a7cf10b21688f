//! Outcomes of a task of labels as rows that were classified.

use std::collections::BTreeMap;

use super::{CONFIDENCE, Outcome};
use crate::seed::generator;
use crate::stats::{Cells, Interval, Labelled, bootstrap_macro_f1};

/// Resamples of a bootstrap, and permutations of a test.
pub(super) const RESAMPLES: usize = 2_000;

/// The rows that ran and whose expected answer is one of `labels`, by id; white space around an answer is ignored,
/// and one that was refused, withheld or cut is none of the labels. Of several samples of a row, the first that ran.
pub fn labelled<'o>(outcomes: &'o [Outcome], labels: &[String]) -> BTreeMap<&'o str, Labelled> {
    let place: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(at, label)| (label.trim(), at)).collect();
    let mut rows = BTreeMap::new();
    for outcome in outcomes {
        let (Ok(answer), Some(expected)) = (&outcome.result, outcome.example.expected_text()) else { continue };
        if let Some(&expected) = place.get(expected.trim()) {
            let answered = Some(&answer.completion).filter(|completion| completion.finish.is_whole());
            let answered = answered.and_then(|completion| place.get(completion.text.trim()).copied());
            let row = Labelled { expected, answered, weight: outcome.example.weight };
            rows.entry(outcome.example.id.as_str()).or_insert(row);
        }
    }
    rows
}

/// The 95 % interval of the macro F1 of `rows`, of so many labels: always the same for the same rows.
pub fn macro_f1_interval(rows: &Cells<Labelled>, labels: usize) -> Interval {
    bootstrap_macro_f1(rows, labels, CONFIDENCE, RESAMPLES, &mut generator(0, 0, "macro-f1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::outcome;
    use crate::model::FinishReason;

    #[test]
    fn an_answer_that_is_not_whole_is_none_of_the_labels() {
        let answered = |finish| {
            let mut outcome = outcome(1, 0.0);
            if let Ok(answer) = &mut outcome.result {
                answer.completion.finish = finish;
            }
            let mut example = (*outcome.example).clone();
            example.expected = Some("x".into());
            outcome.example = std::sync::Arc::new(example);
            labelled(&[outcome], &["x".to_owned()])["1"].answered
        };
        assert_eq!(answered(FinishReason::Stop), Some(0));
        assert_eq!(answered(FinishReason::Length), None);
    }
}
