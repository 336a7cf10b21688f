//! An endpoint reached over HTTP, whatever it speaks: one attempt, no retries. What a status or body means for the stack
//! is decided here; how requests and bodies look is a dialect's ([`Wire`]).
//!
//! | file | what it owns |
//! |---|---|
//! | `body.rs` | what the user wrote beside |
//! | `client.rs` | addresses, the HTTP client |
//! | `destination.rs` | where requests go |
//! | `endpoint.rs` | sending, and what statuses and bodies mean |
//! | `events.rs` | the events of a streamed body |
//! | `headers.rs` | waits and rate limits that responses tell |
//! | `hidden.rs` | what errors must not show |
//! | `problem.rs` | error objects, and what their codes mean |
//! | `reading.rs` | bodies as they come: how long is waited, how much is taken |
//! | `refusal.rs` | parameters that a model refuses, learnt from its errors |
//! | `stream.rs` | answers that come as a stream, gathered into a body |
//!
//! The key goes into one header and nowhere else: `Debug` and errors never show it, nor what stands in the address for an
//! environment variable.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::SecretString;

use super::{CallError, ChatRequest, Completion};
pub(super) use body::{is_given, with_extra};
pub use client::client_builder;
pub use endpoint::Endpoint;
pub(super) use events::Framing;
pub use hidden::Hidden;
pub(super) use problem::{Meaning, Problem, described, problem};
pub(super) use refusal::{CACHE_MARK, Refused, STREAM_OPTIONS};
pub(super) use stream::{DONE, Gather, Seen, Streams, append, renew};

mod body;
mod client;
mod destination;
mod endpoint;
mod events;
mod headers;
mod hidden;
mod problem;
mod reading;
mod refusal;
mod stream;

/// How to reach an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The provider's name as the config has it: a part of the store's keys.
    pub provider: String,
    /// The address up to what the dialect adds, for example `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The key; a local server may need none.
    pub api_key: Option<SecretString>,
    /// What of the address is shown otherwise.
    pub hidden: Hidden,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time for a whole call.
    pub timeout: Duration,
    /// Longest time within a response's body in which nothing comes; of a streamed one also before it.
    pub idle_timeout: Duration,
    /// Whether answers are asked for as a stream. No part of what an answer is stored under: it is the same.
    pub stream: bool,
}

impl EndpointConfig {
    /// `base_url` of the provider `openai`, without a key and with the usual patience: 10 s to connect, 120 s for a call,
    /// 30 s between two parts of a body, which is not streamed.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            provider: "openai".into(),
            base_url: base_url.into(),
            api_key: None,
            hidden: Hidden::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30),
            stream: false,
        }
    }
}

/// Why an endpoint can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address can't be used.
    #[error("base_url {url:?}: {problem}")]
    Address {
        /// As it was given, but for a password in it.
        url: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The key can't be sent.
    #[error("the API key holds characters that can't be sent in a header: check that it was copied whole, on one line")]
    Key,
    /// The provider embeds no texts.
    #[error("{0} has no embeddings; see docs/models.md for who does")]
    NoEmbeddings(String),
    /// What the provider sends as a stream is not read here.
    #[error("{0} has no stream that is read here: leave `stream` out")]
    NoStream(String),
    /// The HTTP client could not be built.
    #[error("can't set up HTTPS: {0}")]
    Client(String),
}

impl EndpointError {
    /// The same without what is `hidden`.
    fn without(self, hidden: &Hidden) -> Self {
        match self {
            Self::Address { url, problem } => {
                Self::Address { url: hidden.scrub(&url), problem: hidden.scrub(&problem) }
            }
            other => other,
        }
    }
}

/// What differs from one dialect to the next: addresses, headers and bodies.
pub(super) trait Wire: Send + Sync {
    /// Where requests for `model` go, from the base address.
    fn url(&self, base: &Url, model: &str) -> Url;

    /// The header that carries the key, and its value.
    fn key(&self, key: &str) -> (HeaderName, String) {
        (AUTHORIZATION, format!("Bearer {key}"))
    }

    /// Further headers of each request.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// The body to send, without what is `refused`.
    ///
    /// # Errors
    /// [`CallError::Rejected`] for a request that must not be sent, [`CallError::Local`] for one that can't be written.
    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError>;

    /// Reads a body with a status of success.
    ///
    /// # Errors
    /// A body that is no answer in this dialect.
    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply>;

    /// How it streams; `None` where it doesn't, or not so that it is read here.
    fn streams(&self) -> Option<&'static dyn Streams> {
        None
    }

    /// Reads the body of a failure.
    fn problem(&self, body: &[u8]) -> Problem {
        problem(body)
    }
}

/// What a body with a status of success holds.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// An answer.
    Answer(Completion),
    /// An error object, or nothing to take as an answer.
    Problem(Problem),
}
