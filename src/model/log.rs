//! What the log says of calls, where someone listens (RUST_LOG): a span for each call and one for each attempt, with role,
//! model, status and time. Never what was asked or answered, nor a provider's words: both may hold rows.
//!
//! With nobody listening, a call costs two loads of an atomic more.

use std::cell::Cell;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span, debug, debug_span, enabled, warn};

use super::{BoxFuture, Call, CallError, Chat, Completion};

tokio::task_local! {
    /// Attempts of the call that is being made.
    static ATTEMPTS: Cell<u32>;
}

/// The layer around a call and all its attempts.
pub(super) struct LoggedCall {
    pub(super) inner: Arc<dyn Chat>,
}

impl Chat for LoggedCall {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let answer = self.inner.complete(call);
        if !enabled!(Level::WARN) {
            return answer;
        }
        let span = debug_span!("call", role = %call.role, model = call.request.model, draw = call.draw);
        Box::pin(ATTEMPTS.scope(Cell::new(0), answer.instrument(span)))
    }
}

/// The layer around one attempt.
pub(super) struct LoggedAttempt {
    pub(super) inner: Arc<dyn Chat>,
}

impl Chat for LoggedAttempt {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let answer = self.inner.complete(call);
        if !enabled!(Level::WARN) {
            return answer;
        }
        let attempt = ATTEMPTS.try_with(|attempts| attempts.replace(attempts.get() + 1)).map_or(1, |before| before + 1);
        let span = debug_span!("attempt", attempt, http = Empty);
        Box::pin(told(answer).instrument(span))
    }
}

async fn told(answer: BoxFuture<'_, Result<Completion, CallError>>) -> Result<Completion, CallError> {
    let began = Instant::now();
    let result = answer.await;
    let latency_ms = began.elapsed().as_millis() as u64;
    match &result {
        Ok(Completion { usage, .. }) => {
            debug!(status = "ok", latency_ms, input = usage.input, output = usage.output, cached = usage.cached);
        }
        Err(error) => warn!(status = kind(error), latency_ms),
    }
    result
}

/// Notes the status of a response in the span of its attempt.
pub(super) fn note_status(status: u16) {
    Span::current().record("http", status);
}

/// A failure without a provider's words.
fn kind(error: &CallError) -> String {
    let value = serde_json::to_value(error).unwrap_or_default();
    value["kind"].as_str().unwrap_or("failed").to_owned()
}
