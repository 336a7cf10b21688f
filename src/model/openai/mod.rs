//! OpenAI's chat completions, and whatever speaks like them.
//!
//! | file | what it owns |
//! |---|---|
//! | `body.rs` | what is sent |
//! | `reply.rs` | what comes back |
//! | `stream.rs` | what comes back as a stream |

use reqwest::Url;

use super::http::{Refused, Reply, Streams, Wire};
use super::{CallError, ChatRequest};
pub(super) use body::body;
pub(super) use reply::{apart, mean, mean_logprob, reply};
pub(super) use stream::Chunks;

mod body;
mod reply;
mod stream;

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenAi {
    /// How the server departs from it.
    pub(super) accent: Accent,
}

/// How a server that speaks like OpenAI departs from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent {
    /// Which answer formats it knows.
    pub formats: Formats,
    /// What it calls a seed; `None` where it has none.
    pub seed: Option<&'static str>,
    /// How it is asked for log probabilities.
    pub logprobs: Logprobs,
}

impl Accent {
    /// As OpenAI itself.
    pub const NONE: Self = Self { formats: Formats::Both, seed: Some("seed"), logprobs: Logprobs::Flag };
}

impl Default for Accent {
    fn default() -> Self {
        Self::NONE
    }
}

/// The answer formats that a server knows: the others would be refused, or passed over in silence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Formats {
    /// Objects and schemas.
    #[default]
    Both,
    /// Objects: a schema is asked for as one.
    Object,
    /// Schemas: an object is asked for in words alone.
    Schema,
}

/// How a server is asked for log probabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Logprobs {
    /// Whether they are wanted.
    #[default]
    Flag,
    /// For how many tokens at each place; the one that was chosen is the first.
    Count,
}

impl Wire for OpenAi {
    fn url(&self, base: &Url, _: &str) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/chat/completions");
        url.set_path(&format!("{path}/chat/completions"));
        url
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        body(request, self.accent, refused)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        reply(body)
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&Chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    #[test]
    fn the_path_is_added_to_whatever_form_the_address_has() {
        let request = call("0").request;
        for (base, url) in [
            ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000", "http://localhost:8000/chat/completions"),
            ("https://api.example/v1/chat/completions", "https://api.example/v1/chat/completions"),
            ("https://api.example/d/x?api-version=1", "https://api.example/d/x/chat/completions?api-version=1"),
        ] {
            assert_eq!(OpenAi::default().url(&Url::parse(base).unwrap(), &request.model).as_str(), url);
        }
    }
}
