//! What a scorer's process is told of a row, and what its reply means.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Grade, ScoreError};
use crate::dataset::Example;
use crate::model::{Completion, TraceStep};
use crate::worker::{Failure, Worker};

/// What a reply looks like.
pub(super) const EXAMPLE: &str = "{\"id\": 1, \"score\": 0.5}";

/// A row as the process sees it; its worker adds the `id`. `None` leaves a field out, `Some(None)` sends null.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub output: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Option<&'a Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a serde_json::Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Option<&'a [TraceStep]>>,
}

impl<'a> Row<'a> {
    /// The answer with those fields of the row that `wants` accepts by name.
    pub(super) fn new(example: &'a Example, completion: &'a Completion, wants: impl Fn(&str) -> bool) -> Row<'a> {
        Row {
            output: &completion.text,
            input: wants("input").then_some(&example.input),
            expected: wants("expected").then_some(example.expected.as_ref()),
            metadata: wants("metadata").then_some(&example.metadata),
            tags: wants("tags").then_some(&example.tags),
            trace: wants("trace").then_some(completion.trace.as_deref()),
        }
    }

    /// Has `worker` grade the row.
    ///
    /// # Errors
    /// The process failed, or its reply says that the row can't be scored, or has no score; `scorer` is named.
    pub(super) async fn graded(&self, worker: &Worker, scorer: &str) -> Result<Grade, ScoreError> {
        let of_row = |message: String| ScoreError::of_row(scorer, message);
        let row = serde_json::to_string(self).map_err(|error| of_row(format!("row is not JSON: {error}")))?;
        let reply = worker.ask(row).await.map_err(|failure| match failure {
            Failure::NoReply(message) | Failure::Died(message) | Failure::Late(message) => of_row(message),
            Failure::Gone(message) => ScoreError::of_scorer(scorer, message),
        })?;
        let reply: Reply = serde_json::from_value(Value::Object(reply))
            .map_err(|error| of_row(format!("gave a reply of another shape than {EXAMPLE}: {error}")))?;
        reply.into_grade().map_err(of_row)
    }
}

/// A reply.
#[derive(Debug, Deserialize)]
struct Reply {
    #[serde(default)]
    score: Value,
    #[serde(default)]
    reason: Option<String>,
    /// Why the row can't be scored.
    #[serde(default)]
    error: Option<String>,
}

impl Reply {
    fn into_grade(self) -> Result<Grade, String> {
        let Reply { score, reason, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        match &score {
            Value::Bool(is_right) => Ok(Grade { value: f64::from(u8::from(*is_right)), reason }),
            Value::Number(number) => Ok(Grade { value: number.as_f64().unwrap_or(f64::NAN), reason }),
            other => Err(format!("gave {other} as its score; a score must be a number from 0 to 1")),
        }
    }
}
