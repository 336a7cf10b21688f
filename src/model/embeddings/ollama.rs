//! Ollama's own embeddings (<https://docs.ollama.com/api/embed>). As for chat, the context is set with every request and a
//! text that is longer is refused: a cut text has another embedding.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer, text};
use crate::model::http::{Refused, Reply, Wire, described, with_extra};
use crate::model::ollama::Ollama;
use crate::model::{CallError, ChatRequest};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct OllamaEmbeddings {
    /// Tokens of the context; the server takes less where the model has less.
    pub(in crate::model) context_length: u32,
}

impl Wire for OllamaEmbeddings {
    fn url(&self, base: &Url, _: &str) -> Url {
        Ollama::operation(base, "embed")
    }

    fn body(&self, request: &ChatRequest, _: Refused) -> Result<Vec<u8>, CallError> {
        let options = json!({"num_ctx": self.context_length});
        let body = json!({"model": request.model, "input": text(request), "truncate": false, "options": options});
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error {
            return Ok(Reply::Problem(described(&error)));
        }
        Ok(answer(raw.embeddings, raw.prompt_eval_count))
    }
}

#[derive(Deserialize)]
struct RawReply {
    embeddings: Option<Vec<Vec<f32>>>,
    prompt_eval_count: Option<u64>,
    error: Option<Value>,
}
