//! Azure OpenAI's embeddings: OpenAI's at a deployment's address, with a key of its own header.

use reqwest::Url;
use reqwest::header::HeaderName;

use super::openai;
use crate::model::azure::Azure;
use crate::model::http::{Refused, Reply, Wire};
use crate::model::{CallError, ChatRequest};

/// The dialect.
#[derive(Debug, Clone)]
pub(in crate::model) struct AzureEmbeddings(pub(in crate::model) Azure);

impl Wire for AzureEmbeddings {
    fn url(&self, base: &Url, model: &str) -> Url {
        self.0.operation(base, model, &["embeddings"])
    }

    fn key(&self, key: &str) -> (HeaderName, String) {
        self.0.key(key)
    }

    fn body(&self, request: &ChatRequest, _: Refused) -> Result<Vec<u8>, CallError> {
        openai::body(request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        openai::reply(body)
    }
}
