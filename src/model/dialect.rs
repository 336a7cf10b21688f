//! The dialects that providers speak over HTTP, by name.

use super::anthropic::Anthropic;
use super::azure::Azure;
use super::bedrock::Bedrock;
use super::gemini::Gemini;
use super::http::{Endpoint, EndpointConfig, EndpointError};
use super::ollama::Ollama;
use super::openai::{Formats, OpenAi};
use super::responses::Responses;

/// What an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, by a server that knows these answer formats.
    Chat(Formats),
    /// OpenAI's Responses.
    Responses,
    /// Azure OpenAI's chat completions.
    Azure {
        /// The version of the API, as `2024-10-21`.
        api_version: String,
    },
    /// Anthropic's messages.
    Anthropic {
        /// Most tokens of an answer where a request doesn't say.
        max_tokens: u64,
    },
    /// Gemini's generateContent.
    Gemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Ollama's own chat.
    Ollama {
        /// Tokens of the context, read and written: what may not fit is not sent.
        context_length: u32,
    },
}

impl Default for Dialect {
    fn default() -> Self {
        Self::Chat(Formats::Both)
    }
}

impl Dialect {
    /// Sets up an endpoint that speaks it; nothing is sent yet.
    ///
    /// # Errors
    /// [`EndpointError`] when the address or the key can't be used.
    pub fn endpoint(self, config: EndpointConfig) -> Result<Endpoint, EndpointError> {
        match self {
            Self::Chat(formats) => Endpoint::with(OpenAi { formats }, config),
            Self::Responses => Endpoint::with(Responses, config),
            Self::Azure { api_version } => Endpoint::with(Azure { api_version }, config),
            Self::Anthropic { max_tokens } => Endpoint::with(Anthropic { max_tokens }, config),
            Self::Gemini => Endpoint::with(Gemini, config),
            Self::Bedrock => Endpoint::with(Bedrock, config),
            Self::Ollama { context_length } => Endpoint::with(Ollama { context_length }, config),
        }
    }
}
