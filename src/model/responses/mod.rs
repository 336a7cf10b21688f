//! OpenAI's Responses: what is sent, and what comes back.
//!
//! `store` is false: nothing of a conversation is to be kept at the provider. `extra = { reasoning = { effort = "low",
//! summary = "auto" } }` asks for reasoning and its summary.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Problem, Refused, Reply, Streams, Wire, described, is_given, with_extra};
use super::openai::mean_logprob;
use super::tools::{Turns, written};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};

mod stream;
mod tools;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Responses;

impl Wire for Responses {
    fn url(&self, base: &Url, _: &str) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/responses");
        url.set_path(&format!("{path}/responses"));
        url
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        let Turns { system, turns } = Turns::of(request)?;
        let mut body = json!({
            "model": request.model, "input": turns.iter().flat_map(tools::items).collect::<Vec<_>>(), "store": false,
        });
        if let Some(system) = system {
            body["instructions"] = json!(system);
        }
        if let Some(tools) = &request.tools {
            tools::offer(&mut body, &tools.offer()?);
        }
        if let Some(temperature) = request.temperature.filter(|_| !refused.temperature) {
            body["temperature"] = json!(temperature);
        }
        if let Some(max_tokens) = request.max_tokens {
            body["max_output_tokens"] = json!(max_tokens);
        }
        if request.logprobs {
            body["include"] = json!(["message.output_text.logprobs"]);
        }
        if !refused.format && !is_given(&request.extra, &["text", "format"]) {
            match &request.format {
                AnswerFormat::Text => {}
                AnswerFormat::Json => body["text"] = json!({"format": {"type": "json_object"}}),
                AnswerFormat::Schema { name, schema } => {
                    let format = json!({"type": "json_schema", "name": name, "schema": schema, "strict": true});
                    body["text"] = json!({ "format": format });
                }
            }
        }
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error.filter(|error| !error.is_null()) {
            return Ok(Reply::Problem(described(&error)));
        }
        if matches!(raw.status.as_deref(), Some("failed" | "cancelled" | "queued" | "in_progress")) {
            return Ok(Reply::Problem(Problem::saying(format!("status {}", raw.status.unwrap_or_default()))));
        }
        let Some(items) = raw.output else { return Ok(Reply::Problem(Problem::saying("no output"))) };
        let usage = raw.usage.map(usage).unwrap_or_default();
        let of_kind = |kind: &'static str| items.iter().filter(move |item| item.kind == kind);
        let parts = || of_kind("message").flat_map(|item| item.content.iter().flatten());
        let text: String = parts().filter_map(|part| part.text.as_deref()).collect();
        let tokens = parts().flat_map(|part| part.logprobs.iter().flatten());
        let logprob = mean_logprob(&tokens.cloned().collect());
        let refusal: String = parts().filter_map(|part| part.refusal.as_deref()).collect();
        let thought: Vec<&str> = of_kind("reasoning")
            .flat_map(|item| item.summary.iter().flatten())
            .filter_map(|part| part.text.as_deref())
            .collect();
        let is_refused = text.is_empty() && !refusal.is_empty();
        let finish = match raw.incomplete_details.and_then(|details| details.reason).as_deref() {
            Some("content_filter") => FinishReason::Filter,
            Some(_) => FinishReason::Length,
            None if is_refused => FinishReason::Refusal,
            None if of_kind("function_call").next().is_some() => FinishReason::Tool,
            None => FinishReason::Stop,
        };
        let tool_calls = written(tools::asked(&items));
        let text = if is_refused { refusal } else { text };
        let completion = Completion { tool_calls, logprob, ..Completion::live(text, finish, usage) };
        Ok(Reply::Answer(completion.thinking(Some(thought.join("\n\n")))))
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&stream::Events)
    }
}

#[derive(Deserialize)]
struct RawReply {
    status: Option<String>,
    error: Option<Value>,
    incomplete_details: Option<Incomplete>,
    output: Option<Vec<Item>>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    content: Option<Vec<Part>>,
    summary: Option<Vec<Part>>,
    id: Option<String>,
    /// Of reasoning, where it was asked for.
    encrypted_content: Option<String>,
    /// Of a tool, as what follows.
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    refusal: Option<String>,
    logprobs: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<RawDetails>,
    output_tokens_details: Option<RawDetails>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

fn usage(raw: RawUsage) -> Usage {
    Usage {
        input: raw.input_tokens.unwrap_or_default(),
        output: raw.output_tokens.unwrap_or_default(),
        cached: raw.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or_default(),
        reasoning: raw.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or_default(),
        cache_write: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;
    use crate::prompt::{Message, Role};

    #[test]
    fn log_probabilities_are_asked_for_and_their_mean_is_taken_over_all_parts() {
        let request = ChatRequest { logprobs: true, ..call("0").request };
        let body: Value = serde_json::from_slice(&Responses.body(&request, Refused::default()).unwrap()).unwrap();
        assert_eq!(body["include"], json!(["message.output_text.logprobs"]));
        let part = |logprob: f64| json!({"type": "output_text", "text": "a", "logprobs": [{"token": "a", "logprob": logprob, "top_logprobs": []}]});
        let output = json!([{"type": "message", "content": [part(-0.5), part(-0.25)]}]);
        let reply = |output: Value| match Responses.reply(json!({ "output": output }).to_string().as_bytes()).unwrap() {
            Reply::Answer(completion) => completion.logprob,
            Reply::Problem(problem) => panic!("{problem:?}"),
        };
        let none = json!([{"type": "message", "content": [{"type": "output_text", "text": "a", "logprobs": []}]}]);
        assert_eq!((reply(output), reply(none)), (Some(-0.375), None));
    }

    #[test]
    fn the_system_text_becomes_instructions_and_nothing_is_kept_at_the_provider() {
        let mut request = call("0").request;
        request.messages.insert(0, Message { role: Role::System, content: "Sort tickets.".into() });
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        request.extra = json!({"text": {"verbosity": "low"}}).as_object().unwrap().clone();
        let body: Value = serde_json::from_slice(&Responses.body(&request, Refused::default()).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({"model": "tiny", "instructions": "Sort tickets.", "store": false, "temperature": 0.0,
                   "input": [{"role": "user", "content": "Ticket: my card was charged twice"}],
                   "max_output_tokens": 9, "text": {"format": {"type": "json_object"}, "verbosity": "low"}})
        );
    }
}
