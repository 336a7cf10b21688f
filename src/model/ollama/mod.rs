//! Ollama's own chat: what is sent, and what comes back. Its OpenAI-compatible endpoint takes no context length, and what
//! is longer than the context is cut in silence there.
//!
//! Here the context is set with every request, and a request that may not fit is not sent: no tokenizer makes more tokens
//! than there are bytes, so what fits by its bytes fits for certain, with the room that its answer may take.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::amount::{DEFAULT_MAX_OUTPUT, most_input};
use super::http::{Problem, Refused, Reply, Streams, Wire, described, is_given, with_extra};
use super::openai::{apart, mean_logprob};
use super::tools::{said, written};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};

mod stream;
mod tools;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ollama {
    /// Tokens of the context, read and written.
    pub(super) context_length: u32,
}

/// Least room that an answer without a `max_tokens` needs, in tokens.
const LEAST_ANSWER: u64 = 256;

impl Ollama {
    /// The address of an operation; the base may end with that of either interface.
    pub(super) fn operation(base: &Url, operation: &str) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/api");
        url.set_path(&format!("{path}/api/{operation}"));
        url
    }

    /// How many tokens an answer to `request` may have.
    fn room(&self, request: &ChatRequest) -> Result<u64, CallError> {
        let (read, context) = (most_input(request), u64::from(self.context_length));
        let wanted = request.max_tokens.map_or(LEAST_ANSWER, u64::from);
        if read.saturating_add(wanted) > context {
            return Err(CallError::Rejected(format!(
                "the request may take {read} tokens (one a byte at most) and its answer {wanted}, which a context of \
                 {context} may not hold: raise context_length, or lower max_tokens"
            )));
        }
        // No more than a call is reserved at where nothing else is said.
        Ok(request.max_tokens.map_or((context - read).min(DEFAULT_MAX_OUTPUT), u64::from))
    }
}

impl Wire for Ollama {
    fn url(&self, base: &Url, _: &str) -> Url {
        Self::operation(base, "chat")
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        let mut options = json!({"num_ctx": self.context_length, "num_predict": self.room(request)?});
        if let Some(temperature) = request.temperature.filter(|_| !refused.temperature) {
            options["temperature"] = json!(temperature);
        }
        if let Some(seed) = request.seed {
            options["seed"] = json!(seed);
        }
        // `truncate` and `shift` are for a model whose own context is smaller: newer servers refuse then, or stop.
        let mut body = json!({
            "model": request.model, "messages": tools::messages(&said(request)?)?, "stream": false, "options": options,
            "truncate": false, "shift": false,
        });
        if let Some(tools) = &request.tools {
            tools::offer(&mut body, &tools.offer()?)?;
        }
        if request.logprobs {
            body["logprobs"] = json!(true);
        }
        if !refused.format && !is_given(&request.extra, &["format"]) {
            match &request.format {
                AnswerFormat::Text => {}
                AnswerFormat::Json => body["format"] = json!("json"),
                AnswerFormat::Schema { schema, .. } => body["format"] = schema.clone(),
            }
        }
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error {
            return Ok(Reply::Problem(described(&error)));
        }
        let Some(message) = raw.message else { return Ok(Reply::Problem(Problem::saying("no message"))) };
        if raw.done_reason.as_deref() == Some("load") {
            return Ok(Reply::Problem(Problem::saying("the model was loaded, and nothing was asked of it")));
        }
        let tool_calls = written(tools::asked(&message.tool_calls.unwrap_or_default()));
        let finish = match raw.done_reason.as_deref() {
            Some("length") => FinishReason::Length,
            _ if tool_calls.is_some() => FinishReason::Tool,
            _ => FinishReason::Stop,
        };
        let count = Option::<u64>::unwrap_or_default;
        let usage = Usage { input: count(raw.prompt_eval_count), output: count(raw.eval_count), ..Usage::default() };
        let (text, thought) = apart(message.content.unwrap_or_default());
        let logprob = raw.logprobs.as_ref().and_then(mean_logprob);
        let completion = Completion { tool_calls, logprob, ..Completion::live(text, finish, usage) };
        Ok(Reply::Answer(completion.thinking(message.thinking.or(thought))))
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&stream::Lines)
    }
}

#[derive(Deserialize)]
struct RawReply {
    message: Option<RawMessage>,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    logprobs: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct RawMessage {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    const OLLAMA: Ollama = Ollama { context_length: 1000 };

    #[test]
    fn the_context_is_set_with_every_request() {
        let mut request = call("0").request;
        let body: Value = serde_json::from_slice(&OLLAMA.body(&request, Refused::default()).unwrap()).unwrap();
        let room = 1000 - most_input(&request);
        assert_eq!(body["options"], json!({"num_ctx": 1000, "num_predict": room, "temperature": 0.0}));
        assert_eq!((&body["stream"], &body["truncate"]), (&json!(false), &json!(false)));
        request.max_tokens = Some(5);
        request.format = AnswerFormat::Json;
        let body: Value = serde_json::from_slice(&OLLAMA.body(&request, Refused::default()).unwrap()).unwrap();
        assert_eq!((&body["options"]["num_predict"], &body["format"]), (&json!(5), &json!("json")));
        for base in ["http://localhost:11434", "http://localhost:11434/v1", "http://localhost:11434/api/"] {
            assert_eq!(OLLAMA.url(&Url::parse(base).unwrap(), &request.model).path(), "/api/chat");
        }
    }

    #[test]
    fn what_might_be_cut_is_not_sent() {
        let mut request = call("0").request;
        request.messages[0].content = "é".repeat(400);
        let error = OLLAMA.body(&request, Refused::default()).unwrap_err();
        assert!(matches!(&error, CallError::Rejected(message) if message.contains("context_length")), "{error}");
        request.messages[0].content = "short".into();
        request.max_tokens = Some(990);
        assert!(OLLAMA.body(&request, Refused::default()).is_err());
    }
}
