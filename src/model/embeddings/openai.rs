//! OpenAI's embeddings, and whatever speaks like them (<https://platform.openai.com/docs/api-reference/embeddings>).

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer, text};
use crate::model::http::{Refused, Reply, Wire, described, with_extra};
use crate::model::{CallError, ChatRequest};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct OpenAiEmbeddings;

impl Wire for OpenAiEmbeddings {
    fn url(&self, base: &Url, _: &str) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/embeddings");
        url.set_path(&format!("{path}/embeddings"));
        url
    }

    fn body(&self, request: &ChatRequest, _: Refused) -> Result<Vec<u8>, CallError> {
        body(request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        reply(body)
    }
}

/// The body to send.
pub(super) fn body(request: &ChatRequest) -> Result<Vec<u8>, CallError> {
    with_extra(json!({"model": request.model, "input": text(request)}), request)
}

#[derive(Deserialize)]
struct RawReply {
    data: Option<Vec<RawEmbedding>>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct RawEmbedding {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
}

/// Reads a body with a status of success.
pub(super) fn reply(body: &[u8]) -> serde_json::Result<Reply> {
    let raw: RawReply = serde_json::from_slice(body)?;
    if let Some(error) = raw.error.filter(|error| !error.is_null()) {
        return Ok(Reply::Problem(described(&error)));
    }
    let vectors = raw.data.map(|data| data.into_iter().map(|one| one.embedding).collect());
    Ok(answer(vectors, raw.usage.and_then(|usage| usage.prompt_tokens)))
}
