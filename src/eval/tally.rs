//! The score of rows that come one by one, for those who look on.

use super::{Objective, Outcome, labelled};
use crate::stats::{Cells, Labelled, label_scores, macro_f1};

/// The score so far. Rows that could not run count nowhere; weights, which only shift it a little, are left to the summary
/// where the score is the mean.
#[derive(Debug, Default)]
pub struct Tally {
    done: usize,
    ran: usize,
    sum: f64,
    labelled: Cells<Labelled>,
}

impl Tally {
    /// Takes a row in. How many there are, and their score by `objective`: 0 as long as none ran.
    pub fn take(&mut self, outcome: &Outcome, objective: &Objective) -> (usize, f64) {
        self.done += 1;
        if let Some(value) = outcome.value() {
            (self.ran, self.sum) = (self.ran + 1, self.sum + value);
        }
        let score = match objective {
            Objective::MeanScore => self.sum / self.ran.max(1) as f64,
            Objective::MacroF1 { labels, .. } => {
                self.labelled.extend(labelled(std::slice::from_ref(outcome), labels).into_values());
                macro_f1(&label_scores(&self.labelled, labels.len())).unwrap_or(0.0)
            }
        };
        (self.done, score)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::eval::{Answer, OutcomeError};
    use crate::model::{CallError, testing};

    fn outcome(expected: &str, answer: Option<&str>) -> Outcome {
        let row = json!({"id": expected, "input": "text", "expected": expected});
        let result = match answer {
            None => Err(OutcomeError::Call(CallError::Transient("reset".to_owned()))),
            Some(text) => {
                let value = f64::from(u8::from(text == expected));
                Ok(Answer { completion: testing::answer(text), scores: Vec::new(), value })
            }
        };
        Outcome { example: Arc::new(serde_json::from_value(row).unwrap()), sample: 0, result }
    }

    #[test]
    fn the_score_is_the_objectives_over_the_rows_that_ran() {
        let rows = [("a", Some("a")), ("a", Some("a")), ("b", None), ("a", Some("a")), ("b", Some("a"))];
        let outcomes: Vec<Outcome> = rows.iter().map(|(expected, answer)| outcome(expected, *answer)).collect();
        let told = |objective: &Objective| -> Vec<(usize, f64)> {
            let mut tally = Tally::default();
            outcomes.iter().map(|outcome| tally.take(outcome, objective)).collect()
        };
        assert_eq!(told(&Objective::MeanScore), [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 0.75)]);
        let macro_f1 = Objective::MacroF1 { labels: ["a", "b"].map(str::to_owned).into(), seed: 1 };
        // At the end 6 / 7 for `a` and 0 for `b`.
        assert_eq!(told(&macro_f1), [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 3.0 / 7.0)]);
    }
}
