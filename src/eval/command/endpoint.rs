//! The loopback endpoint for a program's own model calls: OpenAI-compatible, on 127.0.0.1 alone, and each worker has a
//! random key of its own. The key says which worker calls, and so which row the call is for: a worker answers one row at
//! a time. Calls lead into the task model's stack and are recorded as steps of the row.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::join_all;
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::desk::{Desk, RowCalls, lock};
use super::request::{self, Stream};
use super::response;
use crate::digest::Digest;
use crate::eval::ChatSettings;
use crate::model::{Call, CallError, Chat, Completion, Dialect, Interrupt, ModelRole, Stack, TraceStep};

/// The header that names a call's step. Without it the step is called as the prompt whose messages the call begins with,
/// and where there is none [`STEP`].
const STEP_HEADER: &str = "x-ratchet-step";
const STEP: &str = "model";
/// Longest request, in bytes.
const LONGEST: usize = 64 << 20;

/// What a program's model calls go through.
#[derive(Clone)]
pub struct ModelCalls {
    /// The task model's stack; see [`Stack::for_parts`].
    pub stack: Arc<Stack>,
    /// How it is asked where the program leaves it open.
    pub settings: ChatSettings,
    /// How the model is spoken to, where it is reached over HTTP: others know no tools.
    pub dialect: Option<Dialect>,
    /// Set when the run is to stop: no call is begun any more.
    pub interrupt: Interrupt,
}

/// The running endpoint; it stops when this is dropped.
pub(super) struct Endpoint {
    /// The base URL that clients are given.
    pub(super) base_url: String,
    desks: Arc<Desks>,
    _server: AbortOnDropHandle<()>,
}

/// Which worker each key belongs to. Keys are kept as digests, so that looking one up tells nothing by its time.
struct Desks {
    calls: ModelCalls,
    by_key: Mutex<BTreeMap<Digest, Weak<Desk>>>,
}

impl Endpoint {
    /// Starts it. Must be called within a tokio runtime, which then serves it.
    pub(super) async fn start(calls: ModelCalls) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let desks = Arc::new(Desks { calls, by_key: Mutex::default() });
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .fallback(elsewhere)
            .method_not_allowed_fallback(elsewhere)
            .layer(DefaultBodyLimit::max(LONGEST))
            .with_state(Arc::clone(&desks));
        let server = tokio::spawn(async move {
            // Ends with the handle; where the listener fails, clients see a closed port.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { base_url, desks, _server: AbortOnDropHandle::new(server) })
    }

    /// A new worker's desk and key.
    pub(super) fn desk(&self) -> io::Result<(Arc<Desk>, SecretString)> {
        let mut bytes = [0_u8; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let desk = Arc::new(Desk::default());
        let mut by_key = lock(&self.desks.by_key);
        by_key.retain(|_, desk| desk.strong_count() > 0);
        by_key.insert(Digest::of(key.as_bytes()), Arc::downgrade(&desk));
        Ok((desk, key.into()))
    }
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    (status, Json(response::failure(kind, message))).into_response()
}

/// What any other request is told.
async fn elsewhere() -> Response {
    let message = "this endpoint takes chat completions alone: POST to the base URL with /chat/completions behind it";
    refused(StatusCode::NOT_FOUND, "not_found_error", message)
}

/// One request of a program: as many model calls as it wants answers.
async fn complete(State(desks): State<Arc<Desks>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let desk = key.and_then(|key| lock(&desks.by_key).get(&Digest::of(key.trim().as_bytes()))?.upgrade());
    let Some(desk) = desk else {
        let message = "this endpoint is for the workers of one run: use OPENAI_API_KEY as the worker was given it";
        return refused(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
    };
    let Some(row) = desk.row() else {
        let message = "no row is being answered: ask between a request line and its answer line";
        return refused(StatusCode::CONFLICT, "no_row", message);
    };
    let calls = &desks.calls;
    let mut asked = match request::asked(&body, &calls.settings, calls.dialect.as_ref()) {
        Ok(asked) => asked,
        Err(message) => {
            let fault = CallError::Local(format!("the target's program asked for what can't be passed on: {message}"));
            let place = lock(&row).reserve();
            lock(&row).refuse(place, fault);
            return refused(StatusCode::BAD_REQUEST, "invalid_request_error", &message);
        }
    };
    let named = headers.get(STEP_HEADER).and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty());
    let step = named.or(lock(&row).prompt(&asked.messages)).unwrap_or(STEP).to_owned();
    let (places, id) = {
        let mut row = lock(&row);
        row.complete(&mut asked.request);
        let mut results = asked.results;
        let open = |_| row.open(&asked.request, std::mem::take(&mut results));
        ((0..asked.answers).map(open).collect::<Vec<_>>(), row.id().to_owned())
    };
    let last = places.last().map(|(place, _)| *place);
    let draws = places.into_iter().map(|(place, draw)| {
        let call = Call { role: ModelRole::Task, request: asked.request.clone(), draw, row: id.clone() };
        drawn(calls, &row, step.clone(), place, call)
    });
    // In the order in which they were asked, whichever came first.
    let drawn: Result<Vec<Completion>, CallError> = join_all(draws).await.into_iter().collect();
    match drawn {
        Ok(completions) => answer(&asked.request.model, &completions, asked.stream),
        // The request is what the program made it: asking again gets the same, and the program may know better.
        Err(error) if error.is_refusal() => {
            let response = refused(StatusCode::BAD_REQUEST, "invalid_request_error", &error.to_string());
            if let Some(last) = last {
                lock(&row).refuse(last, error);
            }
            response
        }
        Err(error) => {
            // A status that client libraries don't ask again for: the stack has done so.
            let response = refused(StatusCode::FORBIDDEN, "ratchet_stopped", &error.to_string());
            lock(&row).fail(error);
            response
        }
    }
}

/// One answer to a request: it becomes the step at `place` of its row.
async fn drawn(
    calls: &ModelCalls,
    row: &Mutex<RowCalls>,
    step: String,
    place: usize,
    call: Call,
) -> Result<Completion, CallError> {
    let result = if calls.interrupt.is_set() { Err(CallError::Interrupted) } else { calls.stack.complete(&call).await };
    let tools = result.as_ref().ok().and_then(|completion| completion.tool_calls.as_ref()).map(response::tools);
    lock(row).close(place, recorded(step, &call, calls, &result), tools.unwrap_or_default());
    result
}

/// `completions` in the form that was asked for. They are whole before any of it is sent.
fn answer(model: &str, completions: &[Completion], stream: Option<Stream>) -> Response {
    match stream {
        None => Json(response::response(model, completions)).into_response(),
        Some(stream) => {
            let events = response::events(model, completions, stream);
            ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
        }
    }
}

/// The call as a step of the row.
fn recorded(name: String, call: &Call, calls: &ModelCalls, result: &Result<Completion, CallError>) -> TraceStep {
    let input = request::verbatim(&call.request).unwrap_or_else(|| json!(call.request.messages));
    let step = TraceStep { name, input, ..TraceStep::default() };
    match result {
        Ok(completion) => TraceStep {
            // What is asked for is the answer, where nothing is said beside.
            output: match &completion.tool_calls {
                Some(tools) if completion.text.is_empty() => tools.clone(),
                _ => completion.text.clone().into(),
            },
            latency_ms: Some(completion.latency_ms),
            tokens: Some(completion.usage),
            call: Some(calls.stack.key(call)),
            ..step
        },
        Err(error) => TraceStep { error: Some(error.to_string()), ..step },
    }
}
