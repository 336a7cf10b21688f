//! Outcomes and comparisons for tests.

use std::sync::Arc;

use super::{Answer, Change, Comparison, Outcome, PairedRow};
use crate::dataset::Example;
use crate::model::testing::answer;

/// The first draw of row `id`, with `value`.
pub(crate) fn outcome(id: impl ToString, value: f64) -> Outcome {
    let row = serde_json::json!({ "id": id.to_string(), "input": "x" });
    let example: Arc<Example> = Arc::new(serde_json::from_value(row).unwrap());
    Outcome { example, sample: 0, result: Ok(Answer { completion: answer("x"), scores: Vec::new(), value }) }
}

/// `fixed` and `broken` of `rows`, with others `missing`.
pub(crate) fn comparison(rows: usize, fixed: usize, broken: usize, missing: usize) -> Comparison {
    let paired = (0..rows).map(|row| {
        let (before, after) = match row {
            row if row < fixed => (0.0, 1.0),
            row if row < fixed + broken => (1.0, 0.0),
            _ => (1.0, 1.0),
        };
        PairedRow { id: row.to_string(), before, after, change: Change::of(before, after, 1.0) }
    });
    Comparison::of_rows(paired.collect(), &vec![1.0; rows], missing)
}
