//! Outcomes for tests.

use std::sync::Arc;

use super::{Answer, Outcome};
use crate::dataset::Example;
use crate::model::testing::answer;

/// The first draw of row `id`, with `value`.
pub(crate) fn outcome(id: impl ToString, value: f64) -> Outcome {
    let row = serde_json::json!({ "id": id.to_string(), "input": "x" });
    let example: Arc<Example> = Arc::new(serde_json::from_value(row).unwrap());
    Outcome { example, sample: 0, result: Ok(Answer { completion: answer("x"), scores: Vec::new(), value }) }
}
