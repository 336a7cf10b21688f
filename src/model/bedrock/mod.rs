//! Bedrock's Converse, with a bearer key: what is sent, and what comes back.
//!
//! Parameters of one maker's models stand in `additionalModelRequestFields`, so `extra` does too. The system text and all
//! turns before the last are marked for the cache (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>);
//! a model that has none refuses the marks, and is asked without.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{CACHE_MARK, Meaning, Problem, Refused, Reply, Wire, is_given, problem, with_extra};
use super::tools::{Turn, Turns, written};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};

mod tools;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bedrock;

impl Wire for Bedrock {
    fn url(&self, base: &Url, model: &str) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // A model may be named by an ARN, whose slashes are no separators here.
            path.pop_if_empty().extend(["model", model, "converse"]);
        }
        url
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        let conversation = Turns::of(request)?;
        let has_calls = conversation.has_calls();
        let Turns { system, turns } = conversation;
        let mark = (!refused.cache).then(|| json!({"cachePoint": {"type": "default"}}));
        let marked = turns.len().checked_sub(2);
        let message = |(at, turn): (usize, &Turn)| -> Result<Value, CallError> {
            let mut content = tools::blocks(turn)?;
            content.extend(mark.clone().filter(|_| Some(at) == marked));
            Ok(json!({"role": turn.role, "content": content}))
        };
        let mut body = json!({"messages": turns.iter().enumerate().map(message).collect::<Result<Vec<_>, _>>()?});
        if let Some(system) = system {
            body["system"] = std::iter::once(json!({ "text": system })).chain(mark.clone()).collect();
        }
        if let Some(tools) = &request.tools {
            tools::offer(&mut body, &tools.offer()?, has_calls)?;
        }
        if let Some(temperature) = request.temperature.filter(|_| !refused.temperature) {
            body["inferenceConfig"]["temperature"] = json!(temperature);
        }
        if let Some(max_tokens) = request.max_tokens {
            body["inferenceConfig"]["maxTokens"] = json!(max_tokens);
        }
        // There is no form for just any object: the messages say it. A schema is a string here.
        if let AnswerFormat::Schema { name, schema } = &request.format
            && !refused.format
            && !is_given(&request.extra, &["outputConfig", "textFormat"])
        {
            let schema = json!({"name": name, "schema": schema.to_string()});
            body["outputConfig"] = json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}});
        }
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        let Some(message) = raw.output.and_then(|output| output.message) else {
            let said = raw.message.unwrap_or_else(|| "no output".to_owned());
            return Ok(Reply::Problem(Problem::saying(said)));
        };
        let usage = raw.usage.map_or_else(Usage::default, |raw| {
            let count = Option::unwrap_or_default;
            let (input, output) = (count(raw.input_tokens), count(raw.output_tokens));
            Usage::beside(input, output, count(raw.cache_read_input_tokens), count(raw.cache_write_input_tokens))
        });
        let text: String = message.content.iter().filter_map(|block| block.text.as_deref()).collect();
        let thought: String = message
            .content
            .iter()
            .filter_map(|block| block.reasoning_content.as_ref()?["reasoningText"]["text"].as_str())
            .collect();
        let tool_calls = written(tools::asked(&message.content));
        let completion = Completion { tool_calls, ..Completion::live(text, finish(raw.stop_reason.as_deref()), usage) };
        Ok(Reply::Answer(completion.thinking(Some(thought))))
    }

    fn problem(&self, body: &[u8]) -> Problem {
        let problem = problem(body);
        match ["did not allow prompt caching", "[cachePoint]"].iter().any(|words| problem.message.contains(words)) {
            true => Problem { meaning: Meaning::Unsupported, parameter: Some(CACHE_MARK.to_owned()), ..problem },
            false => problem,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReply {
    output: Option<Output>,
    stop_reason: Option<String>,
    usage: Option<RawUsage>,
    /// Of an error in place of an answer.
    message: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    message: Option<RawMessage>,
}

#[derive(Deserialize)]
struct RawMessage {
    #[serde(default)]
    content: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    /// A text with its signature, or what isn't shown.
    reasoning_content: Option<Value>,
    tool_use: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

/// The finish reason by its name.
fn finish(name: Option<&str>) -> FinishReason {
    match name {
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("guardrail_intervened" | "content_filtered") => FinishReason::Filter,
        Some("refusal") => FinishReason::Refusal,
        Some("tool_use" | "malformed_tool_use") => FinishReason::Tool,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;
    use crate::prompt::{Message, Role};

    #[test]
    fn the_request_is_one_of_converse_and_an_arn_is_one_segment() {
        let mut request = call("0").request;
        request.model = "arn:aws:bedrock:eu-west-1::profile/eu.maker.model-v1:0".into();
        request.messages.insert(0, Message { role: Role::System, content: "Sort tickets.".into() });
        request.max_tokens = Some(9);
        request.extra = json!({"additionalModelRequestFields": {"top_k": 5}}).as_object().unwrap().clone();
        request.format = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        let body: Value = serde_json::from_slice(&Bedrock.body(&request, Refused::default()).unwrap()).unwrap();
        let structure = json!({"jsonSchema": {"name": "verdict", "schema": "{\"type\":\"object\"}"}});
        assert_eq!(
            body,
            json!({"messages": [{"role": "user", "content": [{"text": "Ticket: my card was charged twice"}]}],
                   "system": [{"text": "Sort tickets."}, {"cachePoint": {"type": "default"}}],
                   "inferenceConfig": {"temperature": 0.0, "maxTokens": 9},
                   "outputConfig": {"textFormat": {"type": "json_schema", "structure": structure}},
                   "additionalModelRequestFields": {"top_k": 5}})
        );
        let url = Bedrock.url(&Url::parse("http://localhost/").unwrap(), &request.model);
        assert_eq!(url.path(), "/model/arn:aws:bedrock:eu-west-1::profile%2Feu.maker.model-v1:0/converse");
    }
}
