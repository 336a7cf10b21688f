//! The dialects that providers speak over HTTP, by name.

use super::anthropic::Anthropic;
use super::azure::Azure;
use super::bedrock::Bedrock;
use super::embeddings::{AzureEmbeddings, GeminiEmbeddings, OllamaEmbeddings, OpenAiEmbeddings};
use super::gemini::Gemini;
use super::http::{Endpoint, EndpointConfig, EndpointError};
use super::ollama::Ollama;
use super::openai::{Accent, OpenAi};
use super::responses::Responses;

/// What an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, as a server with this accent speaks them.
    Chat(Accent),
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
    /// The embeddings of a provider that otherwise speaks this; not every one has any.
    Embeddings(Box<Dialect>),
}

impl Default for Dialect {
    fn default() -> Self {
        Self::Chat(Accent::NONE)
    }
}

impl Dialect {
    /// Sets up an endpoint that speaks it; nothing is sent yet.
    ///
    /// # Errors
    /// [`EndpointError`] when the address or the key can't be used, or a dialect without embeddings is asked for some.
    pub fn endpoint(self, config: EndpointConfig) -> Result<Endpoint, EndpointError> {
        match self {
            Self::Chat(accent) => Endpoint::with(OpenAi { accent }, config),
            Self::Responses => Endpoint::with(Responses, config),
            Self::Azure { api_version } => Endpoint::with(Azure { api_version }, config),
            Self::Anthropic { max_tokens } => Endpoint::with(Anthropic { max_tokens }, config),
            Self::Gemini => Endpoint::with(Gemini, config),
            Self::Bedrock => Endpoint::with(Bedrock, config),
            Self::Ollama { context_length } => Endpoint::with(Ollama { context_length }, config),
            Self::Embeddings(dialect) => match *dialect {
                Self::Chat(_) => Endpoint::with(OpenAiEmbeddings, config),
                Self::Azure { api_version } => Endpoint::with(AzureEmbeddings(Azure { api_version }), config),
                Self::Gemini => Endpoint::with(GeminiEmbeddings, config),
                Self::Ollama { context_length } => Endpoint::with(OllamaEmbeddings { context_length }, config),
                _ => Err(EndpointError::NoEmbeddings(config.provider)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::http::Wire;

    fn wires() -> Vec<Box<dyn Wire>> {
        vec![
            Box::new(OpenAi::default()),
            Box::new(Responses),
            Box::new(Anthropic { max_tokens: 9 }),
            Box::new(Gemini),
            Box::new(Bedrock),
            Box::new(Ollama { context_length: 4096 }),
            Box::new(OpenAiEmbeddings),
            Box::new(GeminiEmbeddings),
            Box::new(OllamaEmbeddings { context_length: 4096 }),
        ]
    }

    /// Keys that dialects read, around whatever a provider may put there.
    fn bodies() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-zé<>/ ]{0,12}".prop_map(Value::from),
            Just(json!("<think>")),
        ];
        let key = proptest::sample::select(vec![
            "choices",
            "message",
            "content",
            "text",
            "error",
            "candidates",
            "parts",
            "output",
            "usage",
            "details",
            "type",
            "summary",
            "promptFeedback",
            "usageMetadata",
            "done_reason",
            "stop_reason",
            "thinking",
            "metadata",
            "tool_calls",
            "function",
            "functionCall",
            "toolUse",
            "arguments",
        ]);
        leaf.prop_recursive(5, 40, 4, move |inner| {
            let key = key.clone();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
            ]
        })
    }

    /// What an event may carry, under names that dialects know.
    fn events() -> impl Strategy<Value = Value> {
        let kind = proptest::sample::select(vec![
            "message_start",
            "content_block_start",
            "content_block_delta",
            "message_delta",
            "message_stop",
            "response.output_item.done",
            "response.completed",
            "error",
        ]);
        let inner = proptest::sample::select(vec!["text_delta", "input_json_delta", "x"]);
        (bodies(), bodies(), bodies(), kind, inner).prop_map(|(mut event, body, piece, kind, inner)| {
            if let Some(event) = event.as_object_mut() {
                let delta =
                    json!({"type": inner, "text": "a", "partial_json": "{", "content": piece, "tool_calls": [body]});
                let choice = json!({"delta": delta, "finish_reason": "stop", "logprobs": piece});
                let more = json!({"type": kind, "index": 0, "delta": delta, "choices": [choice], "message": body,
                    "content_block": body, "usage": piece, "response": body, "item": piece, "output_index": 1,
                    "candidates": [{"content": body, "finishReason": "STOP"}], "done": inner == "x"});
                event.extend(more.as_object().cloned().unwrap_or_default());
            }
            event
        })
    }

    proptest! {
        #[test]
        fn no_body_makes_a_dialect_panic(body in bodies(), cut in 0.0..1.0f64) {
            let body = body.to_string().into_bytes();
            let part = &body[..(body.len() as f64 * cut) as usize];
            for wire in wires() {
                let _ = wire.reply(&body);
                let _ = wire.reply(part);
                wire.problem(&body);
                wire.problem(part);
            }
        }

        #[test]
        fn no_stream_makes_a_dialect_panic(events in prop::collection::vec(events(), 0..6)) {
            for streams in wires().iter().filter_map(|wire| wire.streams()) {
                let mut gathered = streams.gather();
                for event in &events {
                    let _ = gathered.take(event.to_string().as_bytes());
                }
                gathered.body();
            }
        }
    }
}
