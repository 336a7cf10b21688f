//! One endpoint: a request sent, its body read, and what status, headers and body mean for the stack.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::destination::{Destination, Destinations, place};
use super::problem::{Meaning, Problem};
use super::reading::Reading;
use super::refusal::Refusals;
use super::stream::{Told, asking, gather};
use super::{EndpointConfig, EndpointError, Hidden, Reply, Streams, Wire, client, headers};
use crate::model::chat::WEB_PAGE;
use crate::model::log::note_status;
use crate::model::tools::name_calls;
use crate::model::{BoxFuture, Call, CallError, Chat, ChatRequest, Completion, FinishReason, Limit, ProviderId, Usage};

/// One endpoint.
pub struct Endpoint {
    client: Client,
    wire: Box<dyn Wire>,
    provider: String,
    base_url: String,
    /// `base_url`, parsed.
    base: Url,
    destinations: Destinations,
    hidden: Hidden,
    idle_timeout: Duration,
    /// How answers are streamed, if they are.
    streams: Option<&'static dyn Streams>,
    refusals: Refusals,
    /// Where to say what responses tell of the rate limits.
    limit: Option<Limit>,
}

/// Longest message of a provider that an error repeats, in characters.
const LONGEST_MESSAGE: usize = 400;

/// How an attempt ended without an answer.
enum Failed {
    /// The model refuses a parameter, which is known now: without it the request may be taken.
    Refusal,
    For(CallError),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::For(error)
    }
}

impl Endpoint {
    /// Sets up an endpoint that speaks `wire`; nothing is sent yet.
    pub(in crate::model) fn with(wire: impl Wire + 'static, config: EndpointConfig) -> Result<Self, EndpointError> {
        let base = client::address(&config.base_url).map_err(|error| error.without(&config.hidden))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(wire.headers());
        if let Some(key) = &config.api_key {
            let (name, value) = wire.key(key.expose_secret().trim());
            let mut value = HeaderValue::from_str(&value).map_err(|_| EndpointError::Key)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let streams = match (config.stream, wire.streams()) {
            (true, None) => return Err(EndpointError::NoStream(config.provider)),
            (true, streams) => streams,
            (false, _) => None,
        };
        let client = client::client(&config, &base, headers)?;
        let EndpointConfig { provider, base_url, api_key, mut hidden, idle_timeout, .. } = config;
        api_key.iter().for_each(|key| hidden.hide_key(key.expose_secret()));
        Ok(Self {
            client,
            wire: Box::new(wire),
            provider,
            base_url,
            base,
            destinations: Destinations::default(),
            hidden,
            idle_timeout,
            streams,
            refusals: Refusals::default(),
            limit: None,
        })
    }

    /// Has `limit` told what responses say of the rate limits.
    #[must_use]
    pub fn telling(self, limit: &Limit) -> Self {
        Self { limit: Some(limit.clone()), ..self }
    }

    /// Which provider this is, for keys.
    pub fn id(&self) -> ProviderId {
        ProviderId { kind: self.provider.clone(), base_url: self.base_url.trim_end_matches('/').into() }
    }

    /// Asks once; and again at once without a parameter that the model turns out to refuse, which nobody bills.
    async fn attempt(&self, call: &Call) -> Result<Completion, CallError> {
        let request = call.seeded();
        loop {
            match self.send(&request).await {
                // Each refusal leaves one more out, so this comes to an end.
                Err(Failed::Refusal) => {}
                Err(Failed::For(error)) => return Err(error),
                Ok(mut completion) => {
                    name_calls(&mut completion, call);
                    // Whoever notes the address of an answer must not find a key in it.
                    if self.hidden.is_in(&self.base_url) {
                        completion.endpoint = Some(self.scrub(self.base_url.trim_end_matches('/')));
                    }
                    return Ok(completion);
                }
            }
        }
    }

    async fn send(&self, request: &ChatRequest) -> Result<Completion, Failed> {
        let refused = self.refusals.of(&request.model);
        let destination = self.destinations.of(&request.model, || {
            let url = self.wire.url(&self.base, &request.model);
            let url = self.streams.map_or(url.clone(), |streams| streams.url(url));
            Destination { place: self.place(&url), url }
        });
        let place = &destination.place;
        let mut body = self.wire.body(request, refused)?;
        if let Some(streams) = self.streams {
            body = asking(streams, &body, request, refused)?;
        }
        let mut response = self.post(&destination, body).await?;
        let told = self.read(place, &mut response).await;
        let (status, headers) = (response.status(), response.headers());
        note_status(status.as_u16());
        if let Some(limit) = &self.limit
            && let Some(told) = headers::rates(headers)
        {
            limit.told(&told);
        }
        if !status.is_success() {
            // An error's body is only told; that it was cut doesn't change what the status means.
            let problem = self.wire.problem(&told.map(Told::into_bytes).unwrap_or_default());
            if problem.meaning == Meaning::Filtered && status.is_client_error() {
                return Ok(filtered());
            }
            // Bedrock says so with the status of a key that isn't accepted.
            let is_refusal = matches!(status.as_u16(), 400 | 422) || problem.meaning == Meaning::Unsupported;
            if is_refusal && self.refusals.learn(&problem, request, refused) {
                return Err(Failed::Refusal);
            }
            return Err(self.refused(place, status, headers, &problem).into());
        }
        let reply = match told? {
            Told::Failure(body) => Reply::Problem(self.wire.problem(&body)),
            Told::Body(body) => self.wire.reply(&body).map_err(|error| {
                let fault = self.shown(&fault_of(&body, &error));
                CallError::Unanswered(format!("{place}: invalid body: {fault}"))
            })?,
        };
        match reply {
            Reply::Answer(completion) => Ok(completion),
            Reply::Problem(problem) if problem.meaning == Meaning::Filtered => Ok(filtered()),
            Reply::Problem(problem) => Err(self.failed_inside(place, headers, &problem).into()),
        }
    }

    /// Sends `body`, and waits for the head of the response.
    async fn post(&self, Destination { url, place }: &Destination, body: Vec<u8>) -> Result<Response, CallError> {
        let sent = self.client.post(url.clone()).body(body).send();
        let sent = match self.streams {
            // The whole of a stream may take long, each wait within it may not.
            Some(_) => timeout(self.idle_timeout, sent).await.map_err(|_| {
                CallError::Unanswered(format!("{place}: nothing for {} s", self.idle_timeout.as_secs_f64()))
            })?,
            None => sent.await,
        };
        sent.map_err(|error| self.unsent(place, error))
    }

    /// Reads the body; that of a success as a stream, where one was asked for.
    async fn read(&self, place: &str, response: &mut Response) -> Result<Told, CallError> {
        let is_success = response.status().is_success();
        let mut reading = Reading::of(response, place, self.idle_timeout);
        let told = match self.streams.filter(|_| is_success) {
            Some(streams) => gather(&mut reading, streams).await,
            None => reading.whole(Vec::new()).await.map(Told::Body),
        };
        told.map_err(|error| match error {
            // What is wrong with an event may repeat what stands in it.
            CallError::Unanswered(why) => CallError::Unanswered(self.shown(&why)),
            other => other,
        })
    }

    /// What it means that there was no response.
    fn unsent(&self, place: &str, error: reqwest::Error) -> CallError {
        let error = error.without_url();
        if error.is_connect() || error.is_dns() {
            CallError::Unreachable(self.scrub(&format!("{place}: {}", cause(&error))))
        } else if error.is_timeout() {
            CallError::Unanswered(format!("{place}: timed out"))
        } else {
            CallError::Unanswered(self.scrub(&format!("{place}: {}", cause(&error))))
        }
    }

    /// What a status that isn't success means.
    fn refused(&self, place: &str, status: StatusCode, headers: &HeaderMap, problem: &Problem) -> CallError {
        let message = self.message(place, &format!("status {}", status.as_u16()), problem);
        match status.as_u16() {
            _ if problem.meaning == Meaning::OutOfQuota => CallError::OutOfQuota(message),
            429 if problem.meaning == Meaning::TooLarge => CallError::Rejected(message),
            400 if problem.meaning == Meaning::NoAccess => CallError::Denied(message),
            402 => CallError::OutOfQuota(message),
            401 | 403 => CallError::Denied(message),
            429 | 529 => busy(message, headers, problem),
            // A gateway that lost patience: the model behind it may have answered.
            504 | 524 => CallError::Unanswered(message),
            408 | 409 | 424 | 425 | 500.. => later(message, headers, problem),
            300..400 => {
                CallError::Rejected(format!("{message}: a redirect, which is not followed; check the base_url"))
            }
            _ => CallError::Rejected(message),
        }
    }

    /// What an error object in place of an answer means.
    fn failed_inside(&self, place: &str, headers: &HeaderMap, problem: &Problem) -> CallError {
        let message = self.message(place, "error in place of an answer", problem);
        match problem.meaning {
            Meaning::OutOfQuota => CallError::OutOfQuota(message),
            Meaning::NoAccess => CallError::Denied(message),
            Meaning::Refused | Meaning::TooLarge | Meaning::Unsupported | Meaning::Filtered => {
                CallError::Rejected(message)
            }
            Meaning::Busy => busy(message, headers, problem),
            Meaning::Unclear => later(message, headers, problem),
        }
    }

    fn message(&self, place: &str, what: &str, problem: &Problem) -> String {
        let said = self.shown(&problem.message);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{place}: {what}{colon}{said}")
    }

    /// What a provider sent, as an error repeats it: on one line, not too long, without the key.
    fn shown(&self, text: &str) -> String {
        let text = self.scrub(text).split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(LONGEST_MESSAGE) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// `text` without the key, should the provider have repeated it, and without what the address hides.
    fn scrub(&self, text: &str) -> String {
        self.hidden.scrub(text)
    }

    fn place(&self, url: &Url) -> String {
        self.scrub(&place(url))
    }
}

impl Chat for Endpoint {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.attempt(call))
    }

    /// Asks for the base address. Whatever comes back, there is somebody.
    fn reach(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async {
            let sent = self.client.get(self.base.clone()).send().await;
            match sent.map_err(|error| self.unsent(&self.place(&self.base), error)) {
                Err(error @ CallError::Unreachable(_)) => Err(error),
                _ => Ok(()),
            }
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("place", &self.place(&self.base)).finish_non_exhaustive()
    }
}

/// What the model did with a request that the provider's filter took offence at: an answer that was withheld, and no fault
/// of the line.
fn filtered() -> Completion {
    Completion::live(String::new(), FinishReason::Filter, Usage::default())
}

/// A failure that may pass; that of a busy provider where it asks to wait.
fn later(message: String, headers: &HeaderMap, problem: &Problem) -> CallError {
    match headers::asked_for(headers).or(problem.wait) {
        Some(_) => busy(message, headers, problem),
        None => CallError::Transient(message),
    }
}

/// The failure of a busy provider, with the wait that it asks for.
fn busy(message: String, headers: &HeaderMap, problem: &Problem) -> CallError {
    let wait = headers::asked_for(headers).or(problem.wait);
    CallError::Busy { message, retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) }
}

/// The innermost cause: reqwest's own words ("error sending request") say little.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What is wrong with a body that `error` was found in.
fn fault_of(body: &[u8], error: &impl fmt::Display) -> String {
    match std::str::from_utf8(body) {
        Err(error) => format!("it isn't UTF-8 (byte {})", error.valid_up_to()),
        Ok(text) if text.trim_start().starts_with('<') => format!("{WEB_PAGE} ({error}); check the base_url"),
        Ok(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::openai::OpenAi;

    fn config(base_url: &str) -> EndpointConfig {
        EndpointConfig { api_key: Some("sk-very-secret".into()), ..EndpointConfig::new(base_url) }
    }

    fn endpoint(config: EndpointConfig) -> Result<Endpoint, EndpointError> {
        Endpoint::with(OpenAi::default(), config)
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_without_showing_it() {
        let config = EndpointConfig { api_key: Some("sk-\nvery".into()), ..EndpointConfig::new("http://localhost/v1") };
        let error = endpoint(config).unwrap_err();
        assert!(matches!(error, EndpointError::Key) && !error.to_string().contains("sk-"));
    }

    #[test]
    fn a_body_that_is_no_answer_is_told_by_what_it_is() {
        for (body, told) in [
            (b"caf\xe9".as_slice(), "it isn't UTF-8 (byte 3)"),
            (b" <html>", "a web page (why); check the base_url"),
            (b"[", "why"),
        ] {
            assert_eq!(fault_of(body, &"why"), told);
        }
    }

    #[test]
    fn the_key_shows_in_no_debug_form_and_no_error() {
        let config = config("http://localhost:1/v1?key=query-secret");
        assert!(!format!("{config:?}").contains("very-secret"));
        let provider = endpoint(config).unwrap();
        let shown = format!("{provider:?} {:?}", provider.client);
        assert!(!shown.contains("very-secret") && !shown.contains("query-secret"), "{shown}");
        let problem = Problem { message: "wrong key: sk-very-secret".into(), ..Problem::default() };
        let error =
            provider.refused("localhost:1/v1/chat/completions", StatusCode::UNAUTHORIZED, &HeaderMap::new(), &problem);
        assert_eq!(
            error.to_string(),
            "no access to the provider: localhost:1/v1/chat/completions: status 401: wrong key: [key]"
        );
    }

    #[test]
    fn every_status_means_what_the_stack_needs_to_know() {
        let provider = endpoint(config("http://localhost:1/v1")).unwrap();
        let kind = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match provider.refused("here", status, &HeaderMap::new(), &Problem::default()) {
                CallError::Denied(_) => "denied",
                CallError::OutOfQuota(_) => "no credit",
                CallError::Rejected(_) => "rejected",
                CallError::Transient(_) => "transient",
                CallError::Unanswered(_) => "unanswered",
                CallError::Busy { .. } => "busy",
                _ => "other",
            }
        };
        for (statuses, expected) in [
            (vec![401, 403], "denied"),
            (vec![402], "no credit"),
            (vec![301, 400, 404, 405, 413, 422], "rejected"),
            (vec![408, 409, 424, 425, 500, 502, 503], "transient"),
            (vec![429, 529], "busy"),
            (vec![504, 524], "unanswered"),
        ] {
            assert!(statuses.iter().all(|status| kind(*status) == expected), "{expected}");
        }
        let moved = provider.refused("here", StatusCode::FOUND, &HeaderMap::new(), &Problem::default()).to_string();
        assert!(moved.ends_with("here: status 302: a redirect, which is not followed; check the base_url"), "{moved}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let provider = endpoint(config("http://localhost:1/v1")).unwrap();
        let problem = Problem { message: "é".repeat(5000), ..Problem::default() };
        let message = provider.message("here", "status 400", &problem);
        assert!(message.ends_with("é…") && message.chars().count() < 500);
    }
}
