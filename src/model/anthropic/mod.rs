//! Anthropic's messages: what is sent, and what comes back.
//!
//! The system text stands apart, turns alternate, and `max_tokens` must be there. The system text and all turns before
//! the last one are marked for the provider's cache: they are the same for every row of a prompt with shown examples. A
//! prefix that is too short to be cached is passed over by the provider without a charge.

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::{Meaning, Problem, Refused, Reply, Streams, Wire, described, is_given, problem, with_extra};
use super::tools::{Turn, Turns, written};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};

mod stream;
mod tools;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anthropic {
    /// Most tokens of an answer where the request doesn't say.
    pub(super) max_tokens: u64,
}

impl Wire for Anthropic {
    fn url(&self, base: &Url, _: &str) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/messages");
        url.set_path(&format!("{path}/messages"));
        url
    }

    fn key(&self, key: &str) -> (HeaderName, String) {
        (HeaderName::from_static("x-api-key"), key.to_owned())
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"))]
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        let Turns { system, turns } = Turns::of(request)?;
        let marked = turns.len().checked_sub(2);
        let message = |(at, turn): (usize, &Turn)| -> Result<Value, CallError> {
            let mut content = tools::blocks(turn)?;
            if let Some(last) = content.last_mut().filter(|_| Some(at) == marked) {
                mark(last);
            }
            Ok(json!({"role": turn.role, "content": content}))
        };
        let mut body = json!({
            "model": request.model,
            "max_tokens": request.max_tokens.map_or(self.max_tokens, u64::from),
            "messages": turns.iter().enumerate().map(message).collect::<Result<Vec<_>, _>>()?,
        });
        if let Some(system) = &system {
            body["system"] = json!([{"type": "text", "text": system}]);
            mark(&mut body["system"][0]);
        }
        if let Some(tools) = &request.tools {
            tools::offer(&mut body, &tools.offer()?);
        }
        if let Some(temperature) = request.temperature.filter(|_| !refused.temperature) {
            body["temperature"] = json!(temperature);
        }
        // There is no form for just any object: the messages say it.
        if let AnswerFormat::Schema { schema, .. } = &request.format
            && !refused.format
            && !is_given(&request.extra, &["output_config", "format"])
        {
            body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
        }
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error {
            return Ok(Reply::Problem(described(&error)));
        }
        let Some(blocks) = raw.content else { return Ok(Reply::Problem(Problem::saying("no content"))) };
        let usage = raw.usage.map_or_else(Usage::default, |raw| {
            let count = Option::unwrap_or_default;
            let (input, output) = (count(raw.input_tokens), count(raw.output_tokens));
            Usage::beside(input, output, count(raw.cache_read_input_tokens), count(raw.cache_creation_input_tokens))
        });
        let of_kind = |kind: &'static str| blocks.iter().filter(move |block| block.kind == kind);
        let text: String = of_kind("text").filter_map(|block| block.text.as_deref()).collect();
        let thought: Vec<&str> = of_kind("thinking").filter_map(|block| block.thinking.as_deref()).collect();
        let tool_calls = written(tools::asked(&blocks));
        let completion = Completion { tool_calls, ..Completion::live(text, finish(raw.stop_reason.as_deref()), usage) };
        Ok(Reply::Answer(completion.thinking(Some(thought.join("\n\n")))))
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&stream::Events)
    }

    fn problem(&self, body: &[u8]) -> Problem {
        let problem = problem(body);
        // The one error of an account without money comes as an invalid request.
        match problem.message.contains("credit balance is too low") {
            true => Problem { meaning: Meaning::OutOfQuota, ..problem },
            false => problem,
        }
    }
}

/// Marks all up to `block` for the cache.
fn mark(block: &mut Value) {
    block["cache_control"] = json!({"type": "ephemeral"});
}

#[derive(Deserialize)]
struct RawReply {
    content: Option<Vec<Block>>,
    stop_reason: Option<String>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

/// A block; those of thinking are written again as they were.
#[derive(Deserialize, Serialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    /// Of thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    /// Thinking that isn't shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Of a tool, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Value>,
}

#[derive(Deserialize)]
struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

/// The finish reason by its name. A turn that the provider paused is not the whole answer.
fn finish(name: Option<&str>) -> FinishReason {
    match name {
        Some("max_tokens" | "model_context_window_exceeded" | "pause_turn") => FinishReason::Length,
        Some("refusal") => FinishReason::Refusal,
        Some("tool_use") => FinishReason::Tool,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;
    use crate::prompt::{Message, Role};

    fn sent(request: &ChatRequest) -> Value {
        let body = Anthropic { max_tokens: 1000 }.body(request, Refused::default()).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn the_system_text_stands_apart_and_the_prefix_is_marked_for_the_cache() {
        let mut request = call("0").request;
        let message = |role, content: &str| Message { role, content: content.into() };
        request.messages = vec![
            message(Role::System, "Sort tickets."),
            message(Role::User, "my card"),
            message(Role::Assistant, "billing"),
            message(Role::User, "my login"),
        ];
        request.temperature = None;
        let text = |text: &str| json!({"type": "text", "text": text});
        let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
        assert_eq!(
            sent(&request),
            json!({"model": "tiny", "max_tokens": 1000, "system": [marked("Sort tickets.")], "messages": [
                {"role": "user", "content": [text("my card")]}, {"role": "assistant", "content": [marked("billing")]},
                {"role": "user", "content": [text("my login")]}]})
        );
        request.messages.truncate(2);
        request.max_tokens = Some(7);
        assert_eq!(
            (&sent(&request)["messages"][0]["content"][0], &sent(&request)["max_tokens"]),
            (&text("my card"), &json!(7))
        );
    }

    #[test]
    fn a_schema_is_sent_and_a_refused_one_or_the_users_own_is_not() {
        let mut request = call("0").request;
        request.format = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        let format = json!({"type": "json_schema", "schema": {"type": "object"}});
        assert_eq!(sent(&request)["output_config"]["format"], format);
        let refused = Refused { format: true, temperature: true, ..Refused::default() };
        let body = Anthropic { max_tokens: 1 }.body(&request, refused).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body.get("output_config").is_none() && body.get("temperature").is_none(), "{body}");
        request.extra = json!({"output_config": {"effort": "low"}}).as_object().unwrap().clone();
        assert_eq!(sent(&request)["output_config"], json!({"format": format, "effort": "low"}));
    }
}
