//! Rows and answers that the tests of scorers are written with.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::dataset::Example;
use crate::model::{BoxFuture, Completion, FinishReason, Usage};
use crate::score::{Score, ScoreError, Scorer, Scoring};

/// A row with `expected`; `Value::Null` makes it a row without.
pub(super) fn row(expected: impl Into<Value>) -> Example {
    let expected = expected.into();
    Example {
        id: "r1".into(),
        input: "what is it?".into(),
        expected: (!expected.is_null()).then_some(expected),
        tags: vec!["edge".into()],
        metadata: Map::from_iter([("level".to_owned(), Value::from(2))]),
        pinned: false,
        weight: 1.0,
        group: None,
        split: None,
    }
}

/// A completed answer.
pub(super) fn says(text: &str) -> Completion {
    Completion::live(text.into(), FinishReason::Stop, Usage::default())
}

/// Scores one answer with a pure scorer.
pub(super) fn try_score(scorer: &dyn Scorer, expected: impl Into<Value>, answer: &str) -> Result<Score, ScoreError> {
    let (row, answer) = (row(expected), says(answer));
    futures_util::FutureExt::now_or_never(scorer.score(&row, &answer, Scoring::default()))
        .expect("a pure scorer never waits")
}

/// The value that a pure scorer gives.
pub(super) fn value(scorer: &dyn Scorer, expected: impl Into<Value>, answer: &str) -> f64 {
    try_score(scorer, expected, answer).expect("the row can be scored").value
}

/// The reason that a pure scorer gives, or nothing.
pub(super) fn reason(scorer: &dyn Scorer, expected: impl Into<Value>, answer: &str) -> String {
    try_score(scorer, expected, answer).expect("the row can be scored").reason.unwrap_or_default()
}

/// A scorer that always gives the same value.
pub(super) fn gives(name: &'static str, value: f64) -> Arc<dyn Scorer> {
    Arc::new(Gives(name, value))
}

struct Gives(&'static str, f64);

impl Scorer for Gives {
    fn name(&self) -> &str {
        self.0
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn score<'a>(
        &'a self,
        _: &'a Example,
        _: &'a Completion,
        _: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        let score = Score { scorer: self.0.into(), value: self.1, reason: None, criterion: None };
        Box::pin(std::future::ready(Ok(score)))
    }
}
