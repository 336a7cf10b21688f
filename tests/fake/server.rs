//! A fake OpenAI-compatible server, for tests, benchmarks and by hand: serves any `Chat`, or one fixed answer, with a
//! latency and faults, and counts what it was asked. Binds to loopback only.
//!
//! Which requests fail is drawn from their content, not from their order of arrival, so that a test sees the same
//! faults every time.
#![allow(dead_code, reason = "tests, benchmarks and the example each use a part of it")]

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use prompt_ratchet::digest::Digest;
use prompt_ratchet::model::{AnswerFormat, Call, CallError, Chat, ChatRequest, Completion, FinishReason, ModelRole};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::wire::{Doom, Wires};

/// What answers.
pub enum Answers {
    /// A model.
    Chat(Arc<dyn Chat>),
    /// Always this text, without reading the request: as fast as the server can be.
    Fixed(String),
}

/// One way to fail.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Status 500.
    ServerError,
    /// Status 429 with this `Retry-After`.
    RateLimited(String),
    /// The connection is reset in place of a response.
    Reset,
    /// The body ends half way.
    Cut,
    /// No response, ever.
    Stall,
    /// An error object with status 200.
    ErrorBody,
    /// This status and this body, whatever they are.
    Raw(u16, String),
    /// The body stops half way, and the connection stays open.
    Hang,
    /// No fault, with these headers beside it.
    Beside(Vec<(&'static str, String)>),
}

/// A rate limit as providers have them: a bucket that holds three seconds' worth, told in `x-ratelimit-*` headers.
/// Whoever comes in vain gets status 429 and `retry-after-ms`.
#[derive(Debug, Clone, Copy)]
pub struct PerMinute(pub u32);

/// Bursts of status 429: at the end of `every` such time since the first request, all that come `within` are refused,
/// with a `Retry-After` up to its end.
#[derive(Debug, Clone, Copy)]
pub struct Bursts {
    pub every: Duration,
    pub within: Duration,
}

/// From when until when, since the first request, every request fails: by a reset, status 503 or 500, or none at all.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    pub from: Duration,
    pub until: Duration,
}

/// Shares of the requests that fail, from 0 to 1; together at most 1.
#[derive(Debug, Clone, Default)]
pub struct Rates(pub Vec<(f64, Fault)>);

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Time before each response.
    pub latency: Duration,
    /// Faults of the first requests, in order of arrival; `None` is no fault.
    pub first: VecDeque<Option<Fault>>,
    /// Faults of all others.
    pub rates: Rates,
    /// Requests that are taken.
    pub per_minute: Option<PerMinute>,
    /// Requests that are refused.
    pub bursts: Option<Bursts>,
    /// When nothing works.
    pub outage: Option<Outage>,
}

/// What the server was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Chat requests, those that were made to fail included.
    pub requests: u64,
    /// Of them, those that were answered.
    pub answered: u64,
    /// Different bodies among all requests.
    pub distinct: u64,
    /// Requests that were refused with status 429.
    pub refused: u64,
    /// Requests that came during the outage.
    pub during_outage: u64,
}

/// A running server; it stops when this is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    answers: Answers,
    latency: Duration,
    first: Mutex<VecDeque<Option<Fault>>>,
    rates: Rates,
    bucket: Option<Mutex<Bucket>>,
    bursts: Option<Bursts>,
    outage: Option<Outage>,
    began: OnceLock<Instant>,
    requests: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    during_outage: AtomicU64,
    /// How often each body was seen.
    bodies: Mutex<HashMap<Digest, u64>>,
    last: Mutex<Option<Received>>,
}

/// The last chat request.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its `Authorization` header.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Bytes,
}

impl Server {
    /// Listens on loopback at `port`, 0 for any that is free.
    pub async fn start(port: u16, answers: Answers, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answers,
            latency: behaviour.latency,
            first: Mutex::new(behaviour.first),
            rates: behaviour.rates,
            bucket: behaviour.per_minute.map(|limit| Mutex::new(Bucket::new(limit))),
            bursts: behaviour.bursts,
            outage: behaviour.outage,
            began: OnceLock::new(),
            requests: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            during_outage: AtomicU64::new(0),
            bodies: Mutex::default(),
            last: Mutex::default(),
        });
        let app = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .route("/stats", get(stats))
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Doom>();
        let task = tokio::spawn(async move {
            let _ = axum::serve(Wires(listener), app).await;
        });
        Ok(Self { address, shared, task })
    }

    /// What to give a client as `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it was asked so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The last chat request.
    pub fn last(&self) -> Option<Received> {
        self.shared.last.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn stats(&self) -> Stats {
        Stats {
            requests: self.requests.load(Ordering::SeqCst),
            answered: self.answered.load(Ordering::SeqCst),
            distinct: self.bodies.lock().unwrap().len() as u64,
            refused: self.refused.load(Ordering::SeqCst),
            during_outage: self.during_outage.load(Ordering::SeqCst),
        }
    }

    /// Notes the request; the fault that it gets, and how often the body was seen before.
    fn receive(&self, body: &Bytes) -> (Option<Fault>, u64) {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let digest = Digest::of(body);
        let seen = {
            let mut bodies = self.bodies.lock().unwrap();
            let count = bodies.entry(digest).or_default();
            *count += 1;
            *count - 1
        };
        let planned = self.first.lock().unwrap().pop_front();
        let fault = planned
            .unwrap_or_else(|| self.outage(number).or_else(|| self.burst()).or_else(|| self.rates.draw(digest, seen)));
        (fault, seen)
    }

    fn outage(&self, number: u64) -> Option<Fault> {
        let Outage { from, until } = self.outage?;
        if !(from..until).contains(&self.since_first()) {
            return None;
        }
        self.during_outage.fetch_add(1, Ordering::SeqCst);
        Some(match number % 4 {
            0 => Fault::Reset,
            1 => Fault::Raw(503, "upstream is gone".into()),
            2 => Fault::ServerError,
            _ => Fault::Stall,
        })
    }

    fn burst(&self) -> Option<Fault> {
        let Bursts { every, within } = self.bursts?;
        let left = every.as_secs_f64() - self.since_first().as_secs_f64() % every.as_secs_f64();
        (left < within.as_secs_f64()).then(|| Fault::RateLimited(format!("{left:.3}")))
    }

    fn since_first(&self) -> Duration {
        self.began.get_or_init(Instant::now).elapsed()
    }
}

/// The bucket behind [`PerMinute`].
struct Bucket {
    limit: PerMinute,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(limit: PerMinute) -> Self {
        let mut bucket = Self { limit, level: 0.0, at: Instant::now() };
        bucket.level = bucket.capacity();
        bucket
    }

    fn per_second(&self) -> f64 {
        f64::from(self.limit.0) / 60.0
    }

    fn capacity(&self) -> f64 {
        (self.per_second() * 3.0).max(1.0)
    }

    /// Takes a request out; whether there was one, and the headers that say what is left.
    fn take(&mut self) -> (bool, Vec<(&'static str, String)>) {
        let now = Instant::now();
        self.level = (self.level + (now - self.at).as_secs_f64() * self.per_second()).min(self.capacity());
        self.at = now;
        let is_taken = self.level >= 1.0;
        if is_taken {
            self.level -= 1.0;
        }
        let reset = (self.capacity() - self.level) / self.per_second();
        let mut headers = vec![
            ("x-ratelimit-limit-requests", self.capacity().floor().to_string()),
            ("x-ratelimit-remaining-requests", self.level.floor().to_string()),
            ("x-ratelimit-reset-requests", format!("{}ms", (reset * 1e3).ceil())),
        ];
        if !is_taken {
            headers.push(("retry-after-ms", ((1.0 - self.level) / self.per_second() * 1e3).ceil().to_string()));
        }
        (is_taken, headers)
    }
}

impl Rates {
    /// The fault of the `seen`-th request with this body.
    fn draw(&self, body: Digest, seen: u64) -> Option<Fault> {
        if self.0.is_empty() {
            return None;
        }
        let drawn = Digest::of_parts([body.as_bytes().as_slice(), &seen.to_le_bytes()]).as_u64();
        let mut at = drawn as f64 / u64::MAX as f64;
        self.0.iter().find_map(|(rate, fault)| {
            at -= rate;
            (at < 0.0).then(|| fault.clone())
        })
    }
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    json_response(StatusCode::OK, &shared.stats())
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Route {
    Chat,
    Embeddings,
}

async fn chat(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(doom): ConnectInfo<Doom>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response {
    serve(Route::Chat, shared, doom, headers, body).await
}

async fn embeddings(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(doom): ConnectInfo<Doom>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response {
    serve(Route::Embeddings, shared, doom, headers, body).await
}

async fn serve(route: Route, shared: Arc<Shared>, doom: Doom, headers: axum::http::HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (fault, seen) = shared.receive(&body);
    *shared.last.lock().unwrap() = Some(Received { authorization, body: body.clone() });
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    if let Some(bucket) = &shared.bucket {
        let (is_taken, headers) = bucket.lock().unwrap().take();
        if !is_taken {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            return with(headers, failure(StatusCode::TOO_MANY_REQUESTS, "slow down"));
        }
        if fault.is_none() {
            shared.answered.fetch_add(1, Ordering::SeqCst);
            return with(headers, answer(route, &shared.answers, &body, seen).await);
        }
    }
    match fault {
        None | Some(Fault::Beside(_)) => {
            shared.answered.fetch_add(1, Ordering::SeqCst);
            let answer = answer(route, &shared.answers, &body, seen).await;
            if let Some(Fault::Beside(headers)) = fault { with(headers, answer) } else { answer }
        }
        Some(Fault::ServerError) => failure(StatusCode::INTERNAL_SERVER_ERROR, "injected fault"),
        Some(Fault::RateLimited(retry_after)) => {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            let response = failure(StatusCode::TOO_MANY_REQUESTS, "slow down");
            ([(header::RETRY_AFTER, retry_after)], response).into_response()
        }
        Some(Fault::Reset) => {
            doom.reset();
            StatusCode::OK.into_response()
        }
        Some(Fault::Cut) => cut(answer(route, &shared.answers, &body, seen).await, Some(())).await,
        Some(Fault::Hang) => cut(answer(route, &shared.answers, &body, seen).await, None).await,
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::ErrorBody) => failure(StatusCode::OK, "overloaded"),
        Some(Fault::Raw(status, body)) => {
            (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

/// The first half of `response`, under the length of the whole. Then it breaks, or without an `end` nothing comes.
async fn cut(response: Response, end: Option<()>) -> Response {
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let half = stream::iter([Ok(body.slice(..body.len() / 2))]);
    // The pause lets the half be sent before the error closes the connection.
    let end = stream::once(async move {
        tokio::task::yield_now().await;
        if end.is_none() {
            std::future::pending::<()>().await;
        }
        Err(io::Error::other("cut"))
    });
    let headers = [(header::CONTENT_LENGTH, body.len().to_string()), (header::CONTENT_TYPE, "application/json".into())];
    (headers, Body::from_stream(half.chain(end))).into_response()
}

/// `response` with further headers.
fn with(headers: Vec<(&'static str, String)>, mut response: Response) -> Response {
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn failure(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!({"error": {"message": message, "type": "fake"}}))
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], serde_json::to_vec(body).unwrap()).into_response()
}

/// A request's body; everything else that it may hold is passed on as `extra`.
#[derive(Deserialize)]
struct Incoming {
    model: String,
    messages: Vec<prompt_ratchet::prompt::Message>,
    temperature: Option<f64>,
    max_tokens: Option<u32>,
    response_format: Option<Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

async fn answer(route: Route, answers: &Answers, body: &Bytes, seen: u64) -> Response {
    match route {
        Route::Chat => completed(answers, body, seen).await,
        Route::Embeddings => embedded(body),
    }
}

/// How many numbers an embedding of the fake has.
const DIMENSIONS: usize = 33;

/// The embedding of the request's `input`: each of its words counts for or against one number, whatever the model is. The
/// last number is 1, so that no two texts are quite unlike, as with real models.
fn embedded(body: &Bytes) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(text) = request["input"].as_str().filter(|text| !text.is_empty()) else {
        return failure(StatusCode::BAD_REQUEST, "input cannot be an empty string");
    };
    let mut embedding = vec![0.0_f32; DIMENSIONS];
    embedding[DIMENSIONS - 1] = 1.0;
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut count = 0_u64;
    for word in words {
        let [place, sign, ..] = *Digest::of(word.to_lowercase().as_bytes()).as_bytes();
        embedding[usize::from(place) % (DIMENSIONS - 1)] += if sign % 2 == 0 { 1.0 } else { -1.0 };
        count += 1;
    }
    let data = json!([{"object": "embedding", "index": 0, "embedding": embedding}]);
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    json_response(StatusCode::OK, &json!({"object": "list", "data": data, "model": request["model"], "usage": usage}))
}

async fn completed(answers: &Answers, body: &Bytes, seen: u64) -> Response {
    let chat = match answers {
        Answers::Fixed(text) => return completion("fixed", text, "stop", 1, 1),
        Answers::Chat(chat) => chat,
    };
    let mut incoming: Incoming = match serde_json::from_slice(body) {
        Ok(incoming) => incoming,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let is_streamed = incoming.extra.remove("stream") == Some(true.into());
    let wants_usage = incoming.extra.remove("stream_options") == Some(json!({"include_usage": true}));
    let request = ChatRequest {
        model: incoming.model,
        messages: incoming.messages,
        temperature: incoming.temperature,
        max_tokens: incoming.max_tokens,
        format: match incoming.response_format {
            Some(format) if format["type"] == "json_object" => AnswerFormat::Json,
            _ => AnswerFormat::Text,
        },
        extra: incoming.extra,
        ..ChatRequest::default()
    };
    // HTTP doesn't say what a call is for, nor which draw it is: every repeat is another one.
    let call = Call { role: ModelRole::Task, request, draw: seen.to_string(), row: String::new() };
    match chat.complete(&call).await {
        Ok(Completion { text, finish, usage, .. }) => {
            let finish = match finish {
                FinishReason::Stop | FinishReason::Refusal => "stop",
                FinishReason::Length => "length",
                FinishReason::Filter => "content_filter",
                FinishReason::Tool => "tool_calls",
            };
            match is_streamed {
                true => events(&text, finish, wants_usage.then_some((usage.input, usage.output))),
                false => completion(&call.request.model, &text, finish, usage.input, usage.output),
            }
        }
        Err(error @ CallError::Denied(_)) => failure(StatusCode::UNAUTHORIZED, &error.to_string()),
        Err(error @ CallError::Rejected(_)) => failure(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    id: &'static str,
    object: &'static str,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Value,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: OutgoingMessage<'a>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct OutgoingMessage<'a> {
    role: &'static str,
    content: &'a str,
}

/// An answer as a stream, a letter a chunk.
fn events(content: &str, finish_reason: &str, usage: Option<(u64, u64)>) -> Response {
    let chunk = |delta: Value, finish: Option<&str>| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    chunks.extend(content.chars().map(|letter| chunk(json!({"content": letter}), None)));
    chunks.push(chunk(json!({}), Some(finish_reason)));
    if let Some((input, output)) = usage {
        let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        chunks.push(json!({"object": "chat.completion.chunk", "choices": [], "usage": usage}));
    }
    let body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], body + "data: [DONE]\n\n").into_response()
}

fn completion(model: &str, content: &str, finish_reason: &str, input: u64, output: u64) -> Response {
    let choice = Choice { index: 0, message: OutgoingMessage { role: "assistant", content }, finish_reason };
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    let body = Outgoing { id: "fake", object: "chat.completion", model, choices: [choice], usage };
    json_response(StatusCode::OK, &body)
}
