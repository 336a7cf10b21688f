//! Any endpoint that speaks OpenAI's chat completions: one attempt, no retries. What a status or body means for the
//! stack is decided here; how bodies look is in [`wire`].
//!
//! The key goes into one header and nowhere else: `Debug` and errors never show it.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::log::note_status;
use super::{BoxFuture, Call, CallError, Chat, Completion, Limit, ProviderId};
use wire::{Meaning, Problem, Reply};

mod headers;
mod wire;

/// How to reach an endpoint.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// The address up to and without `/chat/completions`, for example `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The key; a local server may need none.
    pub api_key: Option<SecretString>,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time for a whole call.
    pub timeout: Duration,
    /// Longest time within a response's body in which nothing comes.
    pub idle_timeout: Duration,
}

impl OpenAiConfig {
    /// `base_url` without a key and with the usual patience: 10 s to connect, 120 s for a call, 30 s between two
    /// parts of a body.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// Why an endpoint can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiError {
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
    /// The HTTP client could not be built.
    #[error("can't set up HTTPS: {0}")]
    Client(String),
}

/// One endpoint.
pub struct OpenAi {
    client: Client,
    url: Url,
    base_url: String,
    api_key: Option<SecretString>,
    headers: HeaderMap,
    idle_timeout: Duration,
    /// Where to say what responses tell of the rate limits.
    limit: Option<Limit>,
}

/// Largest body that is read, in bytes; a longer one is no answer.
const LARGEST_BODY: usize = 32 << 20;

/// Up to this announced length, in bytes, memory is set aside before the body is there.
const TRUSTED_LENGTH: usize = 64 << 10;

/// Longest message of a provider that an error repeats, in characters.
const LONGEST_MESSAGE: usize = 400;

impl OpenAi {
    /// Sets up the endpoint; nothing is sent yet.
    ///
    /// # Errors
    /// [`OpenAiError`] when the address or the key can't be used.
    pub fn new(config: OpenAiConfig) -> Result<Self, OpenAiError> {
        let url = endpoint(&config.base_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &config.api_key {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim()))
                .map_err(|_| OpenAiError::Key)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let client = client(&config, &url)?;
        let OpenAiConfig { base_url, api_key, idle_timeout, .. } = config;
        Ok(Self { client, url, base_url, api_key, headers, idle_timeout, limit: None })
    }

    /// Has `limit` told what responses say of the rate limits.
    #[must_use]
    pub fn telling(self, limit: &Limit) -> Self {
        Self { limit: Some(limit.clone()), ..self }
    }

    /// Which provider this is, for keys.
    pub fn id(&self) -> ProviderId {
        ProviderId { kind: "openai".into(), base_url: self.base_url.trim_end_matches('/').into() }
    }

    async fn attempt(&self, call: &Call) -> Result<Completion, CallError> {
        let body = wire::body(&call.request).map_err(|error| CallError::Local(format!("request: {error}")))?;
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(|error| self.unsent(error))?;
        let body = self.read(&mut response).await;
        let (status, headers) = (response.status(), response.headers());
        note_status(status.as_u16());
        if let Some(limit) = &self.limit
            && let Some(told) = headers::rates(headers)
        {
            limit.told(&told);
        }
        if !status.is_success() {
            // An error's body is only told; that it was cut doesn't change what the status means.
            let problem = wire::problem(&body.unwrap_or_default());
            return Err(self.refused(status, headers, &problem));
        }
        match wire::reply(&body?) {
            Ok(Reply::Answer(completion)) => Ok(completion),
            Ok(Reply::Problem(problem)) => Err(self.failed_inside(headers, &problem)),
            Err(error) => Err(CallError::Unanswered(format!("{}: invalid body: {error}", self.place()))),
        }
    }

    /// Reads the body, up to the largest size.
    async fn read(&self, response: &mut Response) -> Result<Vec<u8>, CallError> {
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let mut body = Vec::with_capacity(announced.min(TRUSTED_LENGTH));
        loop {
            // Nearly always the rest is there already: then no timer is set.
            let Ok(chunk) = timeout(self.idle_timeout, response.chunk()).await else {
                let seconds = self.idle_timeout.as_secs_f64();
                return Err(CallError::Unanswered(format!(
                    "{}: nothing for {seconds} s within the body",
                    self.place()
                )));
            };
            match chunk {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_BODY => {
                    let limit = LARGEST_BODY >> 20;
                    return Err(CallError::Unanswered(format!("{}: body of more than {limit} MiB", self.place())));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) if error.is_timeout() => {
                    return Err(CallError::Unanswered(format!("{}: timed out within the body", self.place())));
                }
                Err(error) => {
                    return Err(CallError::Unanswered(format!("{}: body cut: {}", self.place(), cause(&error))));
                }
            }
        }
    }

    /// What it means that there was no response.
    fn unsent(&self, error: reqwest::Error) -> CallError {
        let error = error.without_url();
        if error.is_connect() || error.is_dns() {
            CallError::Unreachable(self.scrub(&format!("{}: {}", self.place(), cause(&error))))
        } else if error.is_timeout() {
            CallError::Unanswered(format!("{}: timed out", self.place()))
        } else {
            CallError::Unanswered(self.scrub(&format!("{}: {}", self.place(), cause(&error))))
        }
    }

    /// What a status that isn't success means.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, problem: &Problem) -> CallError {
        let message = self.message(&format!("status {}", status.as_u16()), problem);
        match status.as_u16() {
            _ if problem.meaning == Meaning::OutOfQuota => CallError::Denied(message),
            429 if problem.meaning == Meaning::TooLarge => CallError::Rejected(message),
            401..=403 => CallError::Denied(message),
            429 | 529 => busy(message, headers),
            // A gateway that lost patience: the model behind it may have answered.
            504 | 524 => CallError::Unanswered(message),
            408 | 409 | 425 | 500.. => later(message, headers),
            _ => CallError::Rejected(message),
        }
    }

    /// What an error object in place of an answer means.
    fn failed_inside(&self, headers: &HeaderMap, problem: &Problem) -> CallError {
        let message = self.message("error in place of an answer", problem);
        match problem.meaning {
            Meaning::OutOfQuota | Meaning::NoAccess => CallError::Denied(message),
            Meaning::Refused | Meaning::TooLarge => CallError::Rejected(message),
            Meaning::Busy => busy(message, headers),
            Meaning::Unclear => later(message, headers),
        }
    }

    fn message(&self, what: &str, problem: &Problem) -> String {
        let said = self.scrub(&problem.message);
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let end = said.char_indices().nth(LONGEST_MESSAGE).map_or(said.len(), |(end, _)| end);
        let cut = if end < said.len() { "…" } else { "" };
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{}: {what}{colon}{}{cut}", self.place(), &said[..end])
    }

    /// The endpoint as errors name it: host and path, no query, since that may hold a key.
    fn place(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}{port}{}", self.url.host_str().unwrap_or_default(), self.url.path())
    }

    /// `text` without the key, should the provider have repeated it.
    fn scrub(&self, text: &str) -> String {
        match self.api_key.as_ref().map(|key| key.expose_secret().trim()) {
            Some(key) if !key.is_empty() => text.replace(key, "[key]"),
            _ => text.into(),
        }
    }
}

impl Chat for OpenAi {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.attempt(call))
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// A failure that may pass; that of a busy provider where it asks to wait.
fn later(message: String, headers: &HeaderMap) -> CallError {
    match headers::asked_for(headers) {
        Some(_) => busy(message, headers),
        None => CallError::Transient(message),
    }
}

/// The failure of a busy provider, with the wait that it asks for.
fn busy(message: String, headers: &HeaderMap) -> CallError {
    let wait = headers::asked_for(headers);
    CallError::Busy { message, retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) }
}

/// The innermost cause: reqwest's own words ("error sending request") say little.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The address that calls are sent to.
fn endpoint(base_url: &str) -> Result<Url, OpenAiError> {
    let problem = |url: &str, problem: &str| OpenAiError::Address { url: url.into(), problem: problem.into() };
    let mut url = Url::parse(base_url.trim()).map_err(|error| {
        // What can't be parsed can't be cleared of a password either.
        let shown = if base_url.contains('@') { "…" } else { base_url };
        problem(shown, &format!("{error}; write it like http://127.0.0.1:8000/v1"))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(problem(url.host_str().unwrap_or("…"), "no password may stand in an address; use api_key_env"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem(base_url, "it must begin with http:// or https://"));
    }
    let path = url.path().trim_end_matches('/').trim_end_matches("/chat/completions").to_owned();
    url.set_path(&format!("{path}/chat/completions"));
    Ok(url)
}

/// The HTTP client.
fn client(config: &OpenAiConfig, url: &Url) -> Result<Client, OpenAiError> {
    // Building a client panics without a provider. That another one was installed before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .connect_timeout(config.connect_timeout)
        .timeout(config.timeout)
        // A redirect would turn the call into a GET, or carry the key elsewhere.
        .redirect(redirect::Policy::none())
        // Retries are a layer of the stack, where each is reserved and counted.
        .retry(reqwest::retry::never());
    if url.scheme() == "http" {
        // Reading the system's certificates takes longer than everything else at the start.
        builder = builder.tls_certs_only([]);
    }
    if url.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| OpenAiError::Client(cause(&error)))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str) -> OpenAiConfig {
        OpenAiConfig { api_key: Some("sk-very-secret".into()), ..OpenAiConfig::new(base_url) }
    }

    #[test]
    fn the_path_is_added_to_whatever_form_the_address_has() {
        for (base, url) in [
            ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000", "http://localhost:8000/chat/completions"),
            ("https://api.example/v1/chat/completions", "https://api.example/v1/chat/completions"),
            ("https://api.example/d/x?api-version=1", "https://api.example/d/x/chat/completions?api-version=1"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), url);
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_advice() {
        for (base, advice) in [
            ("127.0.0.1:8000", "write it like"),
            ("ftp://example.org", "http://"),
            ("", "write it like"),
            ("http://me:hunter2@example.org/v1", "api_key_env"),
            ("http://me:hunter2@exa mple.org:x/v1", "write it like"),
        ] {
            let error = OpenAi::new(config(base)).unwrap_err().to_string();
            assert!(error.contains(advice) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_without_showing_it() {
        let config = OpenAiConfig { api_key: Some("sk-\nvery".into()), ..OpenAiConfig::new("http://localhost/v1") };
        let error = OpenAi::new(config).unwrap_err();
        assert!(matches!(error, OpenAiError::Key) && !error.to_string().contains("sk-"));
    }

    #[test]
    fn the_key_shows_in_no_debug_form_and_no_error() {
        let config = config("http://localhost:1/v1?key=query-secret");
        assert!(!format!("{config:?}").contains("very-secret"));
        let provider = OpenAi::new(config).unwrap();
        let shown = format!("{provider:?} {:?}", provider.headers);
        assert!(!shown.contains("very-secret") && !shown.contains("query-secret"), "{shown}");
        let problem = Problem { message: "wrong key: sk-very-secret".into(), ..Problem::default() };
        let error = provider.refused(StatusCode::UNAUTHORIZED, &HeaderMap::new(), &problem);
        assert_eq!(
            error.to_string(),
            "no access to the provider: localhost:1/v1/chat/completions: status 401: wrong key: [key]"
        );
    }

    #[test]
    fn every_status_means_what_the_stack_needs_to_know() {
        let provider = OpenAi::new(config("http://localhost:1/v1")).unwrap();
        let kind = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match provider.refused(status, &HeaderMap::new(), &Problem::default()) {
                CallError::Denied(_) => "denied",
                CallError::Rejected(_) => "rejected",
                CallError::Transient(_) => "transient",
                CallError::Unanswered(_) => "unanswered",
                CallError::Busy { .. } => "busy",
                _ => "other",
            }
        };
        for (statuses, expected) in [
            (vec![401, 402, 403], "denied"),
            (vec![301, 400, 404, 405, 413, 422], "rejected"),
            (vec![408, 409, 425, 500, 502, 503], "transient"),
            (vec![429, 529], "busy"),
            (vec![504, 524], "unanswered"),
        ] {
            assert!(statuses.iter().all(|status| kind(*status) == expected), "{expected}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let provider = OpenAi::new(config("http://localhost:1/v1")).unwrap();
        let problem = Problem { message: "é".repeat(5000), ..Problem::default() };
        let message = provider.message("status 400", &problem);
        assert!(message.ends_with("é…") && message.chars().count() < 500);
    }
}
