//! Gemini's embedContent (<https://ai.google.dev/api/embeddings>). What the embedding is for, and how long it is to be,
//! stand in `extra`: `extra = { taskType = "SEMANTIC_SIMILARITY", outputDimensionality = 768 }`.

use reqwest::Url;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer, text};
use crate::model::gemini::Gemini;
use crate::model::http::{Problem, Refused, Reply, Wire, described, with_extra};
use crate::model::{CallError, ChatRequest};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct GeminiEmbeddings;

impl Wire for GeminiEmbeddings {
    fn url(&self, base: &Url, model: &str) -> Url {
        Gemini::operation(base, model, "embedContent")
    }

    fn key(&self, key: &str) -> (HeaderName, String) {
        Gemini.key(key)
    }

    fn body(&self, request: &ChatRequest, _: Refused) -> Result<Vec<u8>, CallError> {
        let model = request.model.trim_start_matches("models/");
        let content = json!({"parts": [{"text": text(request)}]});
        with_extra(json!({"model": format!("models/{model}"), "content": content}), request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error {
            return Ok(Reply::Problem(described(&error)));
        }
        let vectors = raw.embedding.map(|embedding| vec![embedding.values]);
        Ok(answer(vectors, raw.usage.and_then(|usage| usage.prompt_token_count)))
    }

    fn problem(&self, body: &[u8]) -> Problem {
        Gemini.problem(body)
    }
}

#[derive(Deserialize)]
struct RawReply {
    embedding: Option<RawEmbedding>,
    /// Not told by every model.
    #[serde(rename = "usageMetadata")]
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct RawEmbedding {
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawUsage {
    prompt_token_count: Option<u64>,
}
