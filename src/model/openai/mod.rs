//! OpenAI's chat completions, and whatever speaks like them: what is sent, and what comes back. Typed all the way, so
//! that fields which nobody reads cost nothing.

use std::fmt;

use reqwest::Url;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::http::{Problem, Refused, Reply, Wire, described};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenAi {
    /// Which answer formats the server knows.
    pub(super) formats: Formats,
}

/// The answer formats that a server knows: the others would be refused, or passed over in silence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Formats {
    /// Objects and schemas.
    #[default]
    Both,
    /// Objects: a schema is asked for as one.
    Object,
    /// Schemas: an object is asked for in words alone.
    Schema,
}

impl Wire for OpenAi {
    fn url(&self, base: &Url, _: &ChatRequest) -> Url {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').trim_end_matches("/chat/completions");
        url.set_path(&format!("{path}/chat/completions"));
        url
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        body(request, self.formats, refused)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        reply(body)
    }
}

/// The body to send, serialised once and directly.
pub(super) fn body(request: &ChatRequest, formats: Formats, refused: Refused) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(&Body { request, formats, refused })
        .map_err(|error| CallError::Local(format!("request: {error}")))
}

struct Body<'a> {
    request: &'a ChatRequest,
    formats: Formats,
    refused: Refused,
}

impl Body<'_> {
    fn response_format(&self) -> Option<Value> {
        let object = json!({"type": "json_object"});
        match (&self.request.format, self.formats) {
            _ if self.refused.format => None,
            (AnswerFormat::Text, _) | (AnswerFormat::Json, Formats::Schema) => None,
            (AnswerFormat::Json, _) | (AnswerFormat::Schema { .. }, Formats::Object) => Some(object),
            (AnswerFormat::Schema { name, schema }, _) => {
                let schema = json!({"name": name, "schema": schema, "strict": true});
                Some(json!({"type": "json_schema", "json_schema": schema}))
            }
        }
    }
}

impl Serialize for Body<'_> {
    /// A key in `extra` takes the place of ours: it is what the user wrote.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ChatRequest { model, messages, temperature, max_tokens, format: _, extra } = self.request;
        let ours = |key: &str| !extra.contains_key(key);
        let mut map = serializer.serialize_map(None)?;
        if ours("model") {
            map.serialize_entry("model", model)?;
        }
        if ours("messages") {
            map.serialize_entry("messages", messages)?;
        }
        if let Some(temperature) = temperature.filter(|_| ours("temperature") && !self.refused.temperature) {
            map.serialize_entry("temperature", &temperature)?;
        }
        let most = if self.refused.max_tokens { "max_completion_tokens" } else { "max_tokens" };
        if let Some(max_tokens) = max_tokens.filter(|_| ours("max_tokens") && ours(most)) {
            map.serialize_entry(most, &max_tokens)?;
        }
        if let Some(format) = self.response_format().filter(|_| ours("response_format")) {
            map.serialize_entry("response_format", &format)?;
        }
        for (key, value) in extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
struct RawReply {
    choices: Option<Vec<Choice>>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<RawMessage>,
    finish_reason: Option<String>,
    /// Where a gateway reports that the model behind it failed.
    error: Option<Value>,
}

#[derive(Deserialize)]
struct RawMessage {
    #[serde(default, deserialize_with = "content")]
    content: Content,
    refusal: Option<String>,
    /// What the model thought, as vLLM, llama.cpp and DeepSeek name it.
    reasoning_content: Option<String>,
    /// The same, as OpenRouter, Groq and newer servers do.
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<RawDetails>,
    completion_tokens_details: Option<RawDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// Reads a body with a status of success.
pub(super) fn reply(body: &[u8]) -> serde_json::Result<Reply> {
    let raw: RawReply = serde_json::from_slice(body)?;
    let mut choice = raw.choices.unwrap_or_default().into_iter().next();
    let error = raw.error.or_else(|| choice.as_mut().and_then(|choice| choice.error.take()));
    if let Some(error) = error.filter(|error| !error.is_null()) {
        return Ok(Reply::Problem(described(&error)));
    }
    let nothing = |what: &str| Reply::Problem(Problem::saying(what));
    let Some(choice) = choice else { return Ok(nothing("no choices")) };
    if matches!(choice.finish_reason.as_deref(), Some("error" | "insufficient_system_resource" | "abort")) {
        return Ok(nothing("the model behind the endpoint failed"));
    }
    let Some(message) = choice.message else { return Ok(nothing("a choice without a message")) };
    let usage = raw.usage.map(usage);
    let refusal = message.refusal.or(message.content.refusal).filter(|refusal| !refusal.is_empty());
    let refused = refusal.is_some() && message.content.text.is_empty();
    let finish = if refused { FinishReason::Refusal } else { finish(choice.finish_reason.as_deref()) };
    let told = message.reasoning_content.or(message.reasoning).or(message.content.thinking);
    let (text, thought) = apart(if refused { refusal.unwrap_or_default() } else { message.content.text });
    let completion = Completion::live(text, finish, usage.unwrap_or_default());
    Ok(Reply::Answer(completion.thinking(told.or(thought))))
}

/// An answer without the reasoning that a server which doesn't know the model's marks leaves in front of it. Reasoning
/// that was cut has no end: then there is no answer.
pub(super) fn apart(text: String) -> (String, Option<String>) {
    let Some(rest) = text.trim_start().strip_prefix("<think>") else { return (text, None) };
    match rest.split_once("</think>") {
        Some((thought, answer)) => (answer.trim_start().to_owned(), Some(thought.trim().to_owned())),
        None => (String::new(), Some(rest.trim().to_owned())),
    }
}

/// Tokens in one form: with OpenAI's names cached tokens are a part of the input, with Anthropic's they stand beside it.
fn usage(raw: RawUsage) -> Usage {
    let cached = raw.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let cached = cached.or(raw.prompt_cache_hit_tokens).or(raw.cache_read_input_tokens).unwrap_or_default();
    let reasoning = raw.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or_default();
    let cache_write = raw.cache_creation_input_tokens.unwrap_or_default();
    match (raw.prompt_tokens, raw.input_tokens) {
        (None, Some(input)) => {
            Usage { reasoning, ..Usage::beside(input, raw.output_tokens.unwrap_or_default(), cached, cache_write) }
        }
        (input, _) => Usage {
            input: input.unwrap_or_default(),
            output: raw.completion_tokens.unwrap_or_default(),
            cached,
            reasoning,
            cache_write,
        },
    }
}

/// The finish reason by its name; names that nobody else uses (`eos`, `end_turn`) mean that the model was done.
fn finish(name: Option<&str>) -> FinishReason {
    match name {
        Some("length" | "max_tokens" | "model_length") => FinishReason::Length,
        Some("content_filter") => FinishReason::Filter,
        Some("refusal") => FinishReason::Refusal,
        Some("tool_calls" | "function_call") => FinishReason::Tool,
        _ => FinishReason::Stop,
    }
}

/// A message's content: a string, null, or a list of parts, whose texts are joined.
#[derive(Default)]
struct Content {
    text: String,
    refusal: Option<String>,
    thinking: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    refusal: Option<String>,
    /// Mistral's reasoning: a list of parts itself.
    #[serde(default, deserialize_with = "content")]
    thinking: Content,
}

fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
    struct ContentVisitor;
    impl<'de> Visitor<'de> for ContentVisitor {
        type Value = Content;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, null or a list of parts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Content, E> {
            Ok(Content { text: text.into(), ..Content::default() })
        }

        fn visit_unit<E>(self) -> Result<Content, E> {
            Ok(Content::default())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
            let mut content = Content::default();
            while let Some(part) = parts.next_element::<Part>()? {
                content.text.push_str(part.text.as_deref().unwrap_or_default());
                content.refusal = content.refusal.or(part.refusal);
                if !part.thinking.text.is_empty() {
                    content.thinking.get_or_insert_default().push_str(&part.thinking.text);
                }
            }
            Ok(content)
        }
    }
    deserializer.deserialize_any(ContentVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    fn sent(request: &ChatRequest) -> Vec<u8> {
        body(request, Formats::Both, Refused::default()).unwrap()
    }

    fn answer(message: Value, finish_reason: Value) -> Completion {
        let body = json!({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]});
        match reply(body.to_string().as_bytes()).unwrap() {
            Reply::Answer(completion) => completion,
            Reply::Problem(problem) => panic!("{problem:?}"),
        }
    }

    fn failure(body: &Value) -> Problem {
        match reply(body.to_string().as_bytes()).unwrap() {
            Reply::Problem(problem) => problem,
            Reply::Answer(completion) => panic!("{completion:?}"),
        }
    }

    #[test]
    fn the_path_is_added_to_whatever_form_the_address_has() {
        let request = call("0").request;
        for (base, url) in [
            ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000", "http://localhost:8000/chat/completions"),
            ("https://api.example/v1/chat/completions", "https://api.example/v1/chat/completions"),
            ("https://api.example/d/x?api-version=1", "https://api.example/d/x/chat/completions?api-version=1"),
        ] {
            assert_eq!(OpenAi::default().url(&Url::parse(base).unwrap(), &request).as_str(), url);
        }
    }

    #[test]
    fn only_what_is_set_is_sent_and_extra_keys_win() {
        let mut request = call("0").request;
        request.temperature = None;
        let plain: Value = serde_json::from_slice(&sent(&request)).unwrap();
        let messages = json!([{"role": "user", "content": "Ticket: my card was charged twice"}]);
        assert_eq!(plain, json!({"model": "tiny", "messages": messages}));
        request.temperature = Some(0.0);
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        request.extra = json!({"max_tokens": 3, "seed": 1}).as_object().unwrap().clone();
        let full = String::from_utf8(sent(&request)).unwrap();
        assert_eq!(full.matches("max_tokens").count(), 1);
        let full: Value = serde_json::from_str(&full).unwrap();
        assert_eq!(
            full,
            json!({"model": "tiny", "messages": messages, "temperature": 0.0, "max_tokens": 3, "seed": 1,
                   "response_format": {"type": "json_object"}})
        );
    }

    #[test]
    fn a_refused_parameter_is_left_out_or_goes_by_its_other_name() {
        let mut request = call("0").request;
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        let refused = Refused { temperature: true, max_tokens: true, format: true };
        let mut sent: Value = serde_json::from_slice(&body(&request, Formats::Both, refused).unwrap()).unwrap();
        sent.as_object_mut().unwrap().remove("messages");
        assert_eq!(sent, json!({"model": "tiny", "max_completion_tokens": 9}));
    }

    #[test]
    fn a_schema_is_sent_where_the_server_knows_schemas() {
        let mut request = call("0").request;
        let form = |request: &ChatRequest, formats| {
            let body: Value = serde_json::from_slice(&body(request, formats, Refused::default()).unwrap()).unwrap();
            body["response_format"].clone()
        };
        request.format = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        let schema = json!({"name": "verdict", "schema": {"type": "object"}, "strict": true});
        assert_eq!(form(&request, Formats::Both), json!({"type": "json_schema", "json_schema": schema}));
        assert_eq!(form(&request, Formats::Object), json!({"type": "json_object"}));
        request.format = AnswerFormat::Json;
        assert_eq!(form(&request, Formats::Schema), Value::Null);
    }

    #[test]
    fn reasoning_is_kept_apart_from_the_answer_wherever_it_stands() {
        let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "a card"}]},
                           {"type": "text", "text": "billing"}]);
        for message in [
            json!({"content": "billing", "reasoning_content": "a card"}),
            json!({"content": "billing", "reasoning": "a card"}),
            json!({"content": parts}),
            json!({"content": "<think>\na card\n</think>\n\nbilling"}),
        ] {
            let completion = answer(message.clone(), json!("stop"));
            assert_eq!(
                (completion.text.as_str(), completion.reasoning.as_deref()),
                ("billing", Some("a card")),
                "{message}"
            );
        }
        let cut = answer(json!({"content": "<think>a card and"}), json!("length"));
        assert_eq!((cut.text.as_str(), cut.finish), ("", FinishReason::Length));
        assert_eq!(answer(json!({"content": "a <think> tag", "reasoning": ""}), json!("stop")).reasoning, None);
    }

    #[test]
    fn content_may_be_a_string_null_absent_or_parts() {
        let parts = json!([{"type": "text", "text": "bil"}, {"type": "image"}, {"type": "text", "text": "ling"}]);
        for (message, text) in [
            (json!({"role": "assistant", "content": "billing"}), "billing"),
            (json!({"content": null}), ""),
            (json!({}), ""),
            (json!({"content": parts}), "billing"),
        ] {
            let completion = answer(message, json!("stop"));
            assert_eq!((completion.text.as_str(), completion.finish), (text, FinishReason::Stop));
        }
    }

    #[test]
    fn finish_reasons_are_told_apart() {
        for (name, reason) in [
            (json!("stop"), FinishReason::Stop),
            (json!(null), FinishReason::Stop),
            (json!("eos"), FinishReason::Stop),
            (json!("length"), FinishReason::Length),
            (json!("content_filter"), FinishReason::Filter),
            (json!("tool_calls"), FinishReason::Tool),
        ] {
            assert_eq!(answer(json!({"content": "a"}), name).finish, reason);
        }
    }

    #[test]
    fn a_refusal_is_an_answer_whose_text_is_the_refusal() {
        let parts = json!([{"type": "refusal", "refusal": "I can't"}]);
        for message in [json!({"content": null, "refusal": "I can't"}), json!({"content": parts})] {
            let completion = answer(message, json!("stop"));
            assert_eq!((completion.text.as_str(), completion.finish), ("I can't", FinishReason::Refusal));
        }
        let fine = answer(json!({"content": "billing", "refusal": null}), json!("stop"));
        assert_eq!(fine.finish, FinishReason::Stop);
    }

    #[test]
    fn usage_is_read_with_cached_tokens_and_may_be_absent() {
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 30,
            "completion_tokens": 4, "total_tokens": 34, "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens_details": {"reasoning_tokens": 3}}});
        let Reply::Answer(completion) = reply(body.to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(completion.usage, Usage { input: 30, output: 4, cached: 20, reasoning: 3, cache_write: 0 });
        assert_eq!(answer(json!({"content": "a"}), json!("stop")).usage, Usage::default());
    }

    #[test]
    fn tokens_that_are_counted_beside_the_input_become_a_part_of_it() {
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": {"input_tokens": 10, "output_tokens": 4,
            "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5}});
        let Reply::Answer(completion) = reply(body.to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(completion.usage, Usage { input: 35, output: 4, cached: 20, reasoning: 0, cache_write: 5 });
    }

    #[test]
    fn an_error_object_or_no_choice_is_no_answer() {
        assert_eq!(failure(&json!({"choices": []})).message, "no choices");
        assert_eq!(failure(&json!({"error": {"message": "overloaded", "code": 502}})).message, "overloaded");
        assert_eq!(failure(&json!({"error": "overloaded", "choices": null})).message, "overloaded");
        let inner = json!({"choices": [{"message": {"content": ""}, "error": {"message": "gone"}}]});
        assert_eq!(failure(&inner).message, "gone");
        for reason in ["error", "insufficient_system_resource"] {
            assert!(!failure(&json!({"choices": [{"finish_reason": reason}]})).message.is_empty());
        }
        assert!(reply(b"{\"choices\": [{\"mess").is_err());
        assert!(reply(b"<html>").is_err());
    }
}
