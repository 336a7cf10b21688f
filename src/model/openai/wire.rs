//! The bodies of chat completions: what is sent, and what comes back. Typed all the way, so that fields which nobody
//! reads cost nothing.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::model::{ChatRequest, Completion, FinishReason, Origin, Usage};

/// The body to send, serialised once and directly.
pub(super) fn body(request: &ChatRequest) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body(request))
}

struct Body<'a>(&'a ChatRequest);

#[derive(Serialize)]
struct ResponseFormat {
    r#type: &'static str,
}

impl Serialize for Body<'_> {
    /// A key in `extra` takes the place of ours: it is what the user wrote.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ChatRequest { model, messages, temperature, max_tokens, json, extra } = self.0;
        let ours = |key: &str| !extra.contains_key(key);
        let mut map = serializer.serialize_map(None)?;
        if ours("model") {
            map.serialize_entry("model", model)?;
        }
        if ours("messages") {
            map.serialize_entry("messages", messages)?;
        }
        if let Some(temperature) = temperature.filter(|_| ours("temperature")) {
            map.serialize_entry("temperature", &temperature)?;
        }
        if let Some(max_tokens) = max_tokens.filter(|_| ours("max_tokens")) {
            map.serialize_entry("max_tokens", &max_tokens)?;
        }
        if *json && ours("response_format") {
            map.serialize_entry("response_format", &ResponseFormat { r#type: "json_object" })?;
        }
        for (key, value) in extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What a body with a status of success holds.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// An answer.
    Answer(Completion),
    /// An error object, or no choice to take.
    Problem(Problem),
}

/// What a provider says of a failure.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// In its own words.
    pub(super) message: String,
    /// What it means, as far as its code tells.
    pub(super) meaning: Meaning,
}

/// What the code of an error object means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that is known.
    #[default]
    Unclear,
    /// The account has nothing left, which no waiting mends.
    OutOfQuota,
    /// The key isn't accepted.
    NoAccess,
    /// The request is more than is ever allowed at once, though it is called a rate limit.
    TooLarge,
    /// The request or its content is refused.
    Refused,
    /// The provider has too much to do.
    Busy,
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
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<RawDetails>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<u64>,
}

/// Reads a body with a status of success.
pub(super) fn reply(body: &[u8]) -> serde_json::Result<Reply> {
    let raw: RawReply = serde_json::from_slice(body)?;
    let mut choice = raw.choices.unwrap_or_default().into_iter().next();
    let error = raw.error.or_else(|| choice.as_mut().and_then(|choice| choice.error.take()));
    if let Some(error) = error.filter(|error| !error.is_null()) {
        return Ok(Reply::Problem(described(&error)));
    }
    let nothing = |what: &str| Reply::Problem(Problem { message: what.into(), ..Problem::default() });
    let Some(choice) = choice else { return Ok(nothing("no choices")) };
    if choice.finish_reason.as_deref() == Some("error") {
        return Ok(nothing("the model behind the endpoint failed"));
    }
    let Some(message) = choice.message else { return Ok(nothing("a choice without a message")) };
    let usage = raw.usage.map(usage);
    let refusal = message.refusal.or(message.content.refusal).filter(|refusal| !refusal.is_empty());
    let refused = refusal.is_some() && message.content.text.is_empty();
    let finish = if refused { FinishReason::Refusal } else { finish(choice.finish_reason.as_deref()) };
    Ok(Reply::Answer(Completion {
        text: if refused { refusal.unwrap_or_default() } else { message.content.text },
        finish,
        usage: usage.unwrap_or_default(),
        latency_ms: 0,
        cost: None,
        origin: Origin::Live,
        trace: None,
    }))
}

/// Tokens in one form: with OpenAI's names cached tokens are a part of the input, with Anthropic's they stand beside it.
fn usage(raw: RawUsage) -> Usage {
    let cached = raw.prompt_tokens_details.and_then(|details| details.cached_tokens).or(raw.cache_read_input_tokens);
    let cached = cached.unwrap_or_default();
    let cache_write = raw.cache_creation_input_tokens.unwrap_or_default();
    match (raw.prompt_tokens, raw.input_tokens) {
        (None, Some(input)) => Usage::beside(input, raw.output_tokens.unwrap_or_default(), cached, cache_write),
        (input, _) => Usage {
            input: input.unwrap_or_default(),
            output: raw.completion_tokens.unwrap_or_default(),
            cached,
            cache_write,
        },
    }
}

/// The finish reason by its name; names that nobody else uses (`eos`, `end_turn`) mean that the model was done.
fn finish(name: Option<&str>) -> FinishReason {
    match name {
        Some("length" | "max_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::Filter,
        Some("refusal") => FinishReason::Refusal,
        Some("tool_calls" | "function_call") => FinishReason::Tool,
        _ => FinishReason::Stop,
    }
}

/// Reads the body of a failure: an error object where there is one, otherwise its text.
pub(super) fn problem(body: &[u8]) -> Problem {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(map)) => described(map.get("error").unwrap_or(&Value::Object(map.clone()))),
        _ => Problem { message: String::from_utf8_lossy(body).into_owned(), ..Problem::default() },
    }
}

/// An error object in one of its many forms: a string, or a map with `message` (or `detail`), `code` and `type`.
fn described(error: &Value) -> Problem {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let message = error.as_str().or_else(|| text("message")).or_else(|| text("detail"));
    let message = message.map_or_else(|| error.to_string(), str::to_owned);
    let meaning = if message.starts_with("Request too large") { Meaning::TooLarge } else { meaning(error) };
    Problem { message, meaning }
}

/// What `code` and `type` of an error object say; the code may be a word or a status.
fn meaning(error: &Value) -> Meaning {
    let word = |key: &str| {
        Some(match error.get(key)?.as_str()? {
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => Meaning::OutOfQuota,
            "invalid_api_key" | "authentication_error" | "permission_error" => Meaning::NoAccess,
            "content_filter"
            | "content_policy_violation"
            | "context_length_exceeded"
            | "invalid_request_error"
            | "model_not_found"
            | "not_found_error" => Meaning::Refused,
            "rate_limit_exceeded" | "rate_limit_error" | "overloaded_error" => Meaning::Busy,
            _ => return None,
        })
    };
    let number = |key: &str| match error.get(key)?.as_u64()? {
        401..=403 => Some(Meaning::NoAccess),
        400 | 404 | 405 | 413 | 422 => Some(Meaning::Refused),
        429 | 529 => Some(Meaning::Busy),
        _ => None,
    };
    let known = ["code", "type"].into_iter().find_map(word).or_else(|| number("code"));
    known.unwrap_or_default()
}

/// A message's content: a string, null, or a list of parts, whose texts are joined.
#[derive(Default)]
struct Content {
    text: String,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    refusal: Option<String>,
}

fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
    struct ContentVisitor;
    impl<'de> Visitor<'de> for ContentVisitor {
        type Value = Content;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, null or a list of parts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Content, E> {
            Ok(Content { text: text.into(), refusal: None })
        }

        fn visit_unit<E>(self) -> Result<Content, E> {
            Ok(Content::default())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
            let mut content = Content::default();
            while let Some(part) = parts.next_element::<Part>()? {
                content.text.push_str(part.text.as_deref().unwrap_or_default());
                content.refusal = content.refusal.or(part.refusal);
            }
            Ok(content)
        }
    }
    deserializer.deserialize_any(ContentVisitor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::testing::call;

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
    fn only_what_is_set_is_sent_and_extra_keys_win() {
        let mut request = call("0").request;
        request.temperature = None;
        let plain: Value = serde_json::from_slice(&body(&request).unwrap()).unwrap();
        let messages = json!([{"role": "user", "content": "Ticket: my card was charged twice"}]);
        assert_eq!(plain, json!({"model": "tiny", "messages": messages}));
        request.temperature = Some(0.0);
        request.max_tokens = Some(9);
        request.json = true;
        request.extra = json!({"max_tokens": 3, "seed": 1}).as_object().unwrap().clone();
        let full = String::from_utf8(body(&request).unwrap()).unwrap();
        assert_eq!(full.matches("max_tokens").count(), 1);
        let full: Value = serde_json::from_str(&full).unwrap();
        assert_eq!(
            full,
            json!({"model": "tiny", "messages": messages, "temperature": 0.0, "max_tokens": 3, "seed": 1,
                   "response_format": {"type": "json_object"}})
        );
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
            "completion_tokens": 4, "total_tokens": 34, "prompt_tokens_details": {"cached_tokens": 20}}});
        let Reply::Answer(completion) = reply(body.to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(completion.usage, Usage { input: 30, output: 4, cached: 20, cache_write: 0 });
        assert_eq!(answer(json!({"content": "a"}), json!("stop")).usage, Usage::default());
    }

    #[test]
    fn tokens_that_are_counted_beside_the_input_become_a_part_of_it() {
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": {"input_tokens": 10, "output_tokens": 4,
            "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5}});
        let Reply::Answer(completion) = reply(body.to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(completion.usage, Usage { input: 35, output: 4, cached: 20, cache_write: 5 });
    }

    #[test]
    fn an_error_object_or_no_choice_is_no_answer() {
        assert_eq!(failure(&json!({"choices": []})).message, "no choices");
        assert_eq!(failure(&json!({"error": {"message": "overloaded", "code": 502}})).message, "overloaded");
        assert_eq!(failure(&json!({"error": "overloaded", "choices": null})).message, "overloaded");
        let inner = json!({"choices": [{"message": {"content": ""}, "error": {"message": "gone"}}]});
        assert_eq!(failure(&inner).message, "gone");
        assert!(!failure(&json!({"choices": [{"finish_reason": "error"}]})).message.is_empty());
        assert!(reply(b"{\"choices\": [{\"mess").is_err());
        assert!(reply(b"<html>").is_err());
    }

    #[test]
    fn the_code_of_an_error_says_what_it_means() {
        for (error, meaning) in [
            (json!({"code": "insufficient_quota", "type": "invalid_request_error"}), Meaning::OutOfQuota),
            (json!({"code": "invalid_api_key", "type": "invalid_request_error"}), Meaning::NoAccess),
            (json!({"code": null, "type": "invalid_request_error"}), Meaning::Refused),
            (json!({"code": "content_filter"}), Meaning::Refused),
            (json!({"type": "overloaded_error"}), Meaning::Busy),
            (json!({"code": 429}), Meaning::Busy),
            (json!({"code": 403}), Meaning::NoAccess),
            (json!({"code": 502}), Meaning::Unclear),
            (json!("overloaded"), Meaning::Unclear),
        ] {
            assert_eq!(failure(&json!({ "error": error })).meaning, meaning, "{error}");
        }
    }

    #[test]
    fn the_body_of_a_failure_is_understood_in_every_form() {
        let quota = problem(br#"{"error": {"message": "no money", "type": "insufficient_quota", "code": null}}"#);
        assert_eq!(quota.meaning, Meaning::OutOfQuota);
        let large = problem(br#"{"error": {"message": "Request too large for tiny", "code": "rate_limit_exceeded"}}"#);
        assert_eq!(large.meaning, Meaning::TooLarge);
        assert_eq!(problem(br#"{"detail": "not found"}"#).message, "not found");
        assert_eq!(problem(b"upstream\nfailed").message, "upstream\nfailed");
        assert_eq!(problem(&[0xff]).message, "\u{fffd}");
        assert_eq!(problem(b"").message, "");
    }
}
