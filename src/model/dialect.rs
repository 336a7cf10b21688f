//! The dialects that providers speak over HTTP, by name.

use super::http::{Endpoint, EndpointConfig, EndpointError};
use super::openai::{Formats, OpenAi};

/// What an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, by a server that knows these answer formats.
    Chat(Formats),
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
        }
    }
}
