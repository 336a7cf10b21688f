//! Telling people by webhook how a run goes: a few tries within a few seconds, and no harm done where none succeeds.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::ProjectError;
use crate::config::{Notify, NotifyFormat};
use crate::model::client_builder;

/// Waits before the second and the third try.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_000)];

/// Longest time for one try, and for all of them together: a run's end waits no longer.
const LONGEST: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(8));

/// Whom to tell.
pub struct Notifier {
    client: Client,
    /// Whoever knows it can post: as good as a key.
    address: SecretString,
    format: NotifyFormat,
}

/// What to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `finished`, `failed`, `interrupted`, `paused`, `resumed` or `fell_back`.
    pub event: &'static str,
    /// For people, on a line or two. Nothing of rows, prompts, answers or what a provider said.
    pub text: String,
    /// For scripts: further keys of the object.
    pub facts: Value,
}

impl Notifier {
    /// Whom `config` names; `None` where it names nobody.
    ///
    /// # Errors
    /// A variable that isn't set, an address that can't be used.
    pub fn new(config: &Notify) -> Result<Option<Self>, ProjectError> {
        let (key, address) = match (&config.webhook, &config.webhook_env) {
            (_, Some(name)) => {
                let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
                let unset = || ProjectError::Environment {
                    key: "notify.webhook_env".to_owned(),
                    name: name.clone(),
                    advice: "put the webhook's address there (export it)".to_owned(),
                };
                ("notify.webhook_env", value.ok_or_else(unset)?)
            }
            (Some(address), None) => ("notify.webhook", address.clone()),
            (None, None) => return Ok(None),
        };
        let unusable = |problem: &str| ProjectError::Webhook { key: key.to_owned(), problem: problem.to_owned() };
        let url = Url::parse(address.trim()).map_err(|error| unusable(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("it must begin with http:// or https://"));
        }
        let client = client_builder(&url).timeout(LONGEST.0).build();
        let client = client.map_err(|error| unusable(&error.without_url().to_string()))?;
        Ok(Some(Self { client, address: address.trim().to_owned().into(), format: config.format }))
    }

    /// Posts `message`, again where that failed for a passing reason; ends within ten seconds.
    ///
    /// # Errors
    /// In words, without the address: nobody was told.
    pub async fn send(&self, message: &Message) -> Result<(), String> {
        let body = match self.format {
            NotifyFormat::Json => generic(message),
            NotifyFormat::Slack => json!({ "text": escaped(&message.text) }),
        };
        let body = body.to_string();
        match tokio::time::timeout(LONGEST.1, self.tries(&body)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no response within {} s", LONGEST.1.as_secs())),
        }
    }

    async fn tries(&self, body: &str) -> Result<(), String> {
        let mut waits = WAITS.into_iter();
        loop {
            let (problem, may_pass) = match self.post(body).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => {
                    let may_pass = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                    (format!("status {}", status.as_u16()), may_pass)
                }
                Err(error) => {
                    let problem = if error.is_timeout() { "timed out" } else { "can't be reached" };
                    (problem.to_owned(), true)
                }
            };
            match waits.next().filter(|_| may_pass) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(problem),
            }
        }
    }

    async fn post(&self, body: &str) -> Result<StatusCode, reqwest::Error> {
        let request = self.client.post(self.address.expose_secret()).body(body.to_owned());
        let response = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).send().await?;
        Ok(response.status())
    }
}

/// The object for scripts.
fn generic(message: &Message) -> Value {
    let mut object = json!({ "v": 1, "event": message.event, "text": message.text });
    for (key, value) in message.facts.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

/// Slack reads these three as the beginnings of mentions and links.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;

    use super::*;

    type Posted = Arc<Mutex<Vec<Value>>>;

    /// A server that fails so often before it takes what it is sent.
    async fn server(statuses: &'static [u16]) -> (String, Posted) {
        let posted = Posted::default();
        let take = move |State(posted): State<Posted>, body: Bytes| async move {
            let mut posted = posted.lock().unwrap();
            posted.push(serde_json::from_slice(&body).unwrap());
            StatusCode::from_u16(statuses.get(posted.len() - 1).copied().unwrap_or(200)).unwrap()
        };
        let app = Router::new().route("/hook", post(take)).with_state(Arc::clone(&posted));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (address, posted)
    }

    fn notifier(address: String, format: NotifyFormat) -> Notifier {
        Notifier::new(&Notify { webhook: Some(address), webhook_env: None, format }).unwrap().unwrap()
    }

    fn message() -> Message {
        Message { event: "finished", text: "a & <b>: done".to_owned(), facts: json!({ "kept": 1 }) }
    }

    #[tokio::test]
    async fn what_is_posted_is_an_object_for_scripts_or_a_text_for_slack() {
        let (address, posted) = server(&[500]).await;
        notifier(address.clone(), NotifyFormat::Json).send(&message()).await.unwrap();
        notifier(address, NotifyFormat::Slack).send(&message()).await.unwrap();
        let posted = posted.lock().unwrap();
        let object = json!({ "v": 1, "event": "finished", "text": "a & <b>: done", "kept": 1 });
        assert_eq!(posted[..], [object.clone(), object, json!({ "text": "a &amp; &lt;b&gt;: done" })]);
    }

    #[tokio::test]
    async fn what_will_not_pass_is_not_tried_again_and_no_error_holds_the_address() {
        let (address, posted) = server(&[404]).await;
        let error = notifier(address, NotifyFormat::Json).send(&message()).await.unwrap_err();
        assert_eq!((error.as_str(), posted.lock().unwrap().len()), ("status 404", 1));
        let nobody = notifier("http://127.0.0.1:9/secret".to_owned(), NotifyFormat::Json);
        assert_eq!(nobody.send(&message()).await.unwrap_err(), "can't be reached");
        let config = |address: &str| Notify { webhook: Some(address.to_owned()), ..Notify::default() };
        for address in ["ftp://example.org/secret", "secret"] {
            let error = Notifier::new(&config(address)).err().unwrap().to_string();
            assert!(error.starts_with("notify.webhook: ") && !error.contains("secret"), "{error}");
        }
        assert!(Notifier::new(&Notify::default()).unwrap().is_none());
    }
}
