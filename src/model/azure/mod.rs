//! Azure OpenAI: chat completions at a deployment's address, with a key of its own header. The model's name is the
//! deployment's.

use reqwest::Url;
use reqwest::header::HeaderName;

use super::http::{Refused, Reply, Streams, Wire};
use super::openai::{self, Accent};
use super::{CallError, ChatRequest};

/// The dialect.
#[derive(Debug, Clone)]
pub(super) struct Azure {
    /// The version of the API, as `2024-10-21`.
    pub(super) api_version: String,
}

impl Azure {
    /// The address of an operation of the request's deployment.
    pub(super) fn operation(&self, base: &Url, model: &str, operation: &[&str]) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["openai", "deployments", model]).extend(operation);
        }
        url.query_pairs_mut().append_pair("api-version", &self.api_version);
        url
    }
}

impl Wire for Azure {
    fn url(&self, base: &Url, model: &str) -> Url {
        self.operation(base, model, &["chat", "completions"])
    }

    fn key(&self, key: &str) -> (HeaderName, String) {
        (HeaderName::from_static("api-key"), key.to_owned())
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        openai::body(request, Accent::NONE, refused)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        openai::reply(body)
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&openai::Chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    #[test]
    fn the_deployment_and_the_version_stand_in_the_address() {
        let mut request = call("0").request;
        request.model = "my deployment/2".into();
        let azure = Azure { api_version: "2024-10-21".into() };
        for base in ["https://mine.openai.azure.com", "https://mine.openai.azure.com/"] {
            assert_eq!(
                azure.url(&Url::parse(base).unwrap(), &request.model).as_str(),
                "https://mine.openai.azure.com/openai/deployments/my%20deployment%2F2/chat/completions?api-version=2024-10-21"
            );
        }
    }
}
