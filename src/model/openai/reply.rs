//! What comes back. Typed all the way, so that fields which nobody reads cost nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::http::{Problem, Reply, described};
use crate::model::{Completion, FinishReason, Usage};

#[derive(Deserialize)]
struct RawReply<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    message: Option<RawMessage>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
    logprobs: Option<Value>,
    /// Where a gateway reports that the model behind it failed.
    error: Option<Value>,
}

#[derive(Deserialize)]
struct RawMessage {
    #[serde(default, deserialize_with = "content")]
    content: Content,
    refusal: Option<String>,
    tool_calls: Option<Value>,
    /// What the model thought, as vLLM, llama.cpp and DeepSeek name it.
    reasoning_content: Option<String>,
    /// The same, as OpenRouter, Groq and newer servers do.
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    prompt_tokens_details: Option<RawDetails>,
    completion_tokens_details: Option<RawDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<Count>,
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<Count>,
    reasoning_tokens: Option<Count>,
}

/// A number of tokens; none where a server that has no count says -1.
struct Count(Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = f64::deserialize(deserializer)?;
        Ok(Self((count >= 0.0).then_some(count as u64)))
    }
}

/// Reads a body with a status of success.
pub(in crate::model) fn reply(body: &[u8]) -> serde_json::Result<Reply> {
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
    let usage = raw.usage.and_then(usage);
    let refusal = message.refusal.or(message.content.refusal).filter(|refusal| !refusal.is_empty());
    let refused = refusal.is_some() && message.content.text.is_empty();
    let finish = if refused { FinishReason::Refusal } else { finish(choice.finish_reason.as_deref()) };
    let told = message.reasoning_content.or(message.reasoning).or(message.content.thinking);
    let (text, thought) = apart(if refused { refusal.unwrap_or_default() } else { message.content.text });
    let tool_calls = message.tool_calls.filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    // Some servers say that they are done, where a tool was asked for by name.
    let finish = if tool_calls.is_some() && finish == FinishReason::Stop { FinishReason::Tool } else { finish };
    let completion = Completion {
        tool_calls,
        logprob: choice.logprobs.as_ref().and_then(logprob),
        ..Completion::live(text, finish, usage.unwrap_or_default())
    };
    Ok(Reply::Answer(completion.thinking(told.or(thought))))
}

/// The mean log probability of an answer's tokens: OpenAI tells them token by token, Together as a list of numbers
/// (<https://docs.together.ai/docs/logprobs>), in which a token may have none.
fn logprob(told: &Value) -> Option<f64> {
    let of_tokens = told.get("content").and_then(mean_logprob);
    let listed = || told.get("token_logprobs")?.as_array();
    of_tokens.or_else(|| mean(&listed()?.iter().filter_map(Value::as_f64).collect::<Vec<_>>()))
}

/// The mean over tokens that each have a `logprob`; `None` where there are none.
pub(in crate::model) fn mean_logprob(tokens: &Value) -> Option<f64> {
    let logprob = |token: &Value| token.get("logprob")?.as_f64();
    mean(&tokens.as_array()?.iter().map(logprob).collect::<Option<Vec<f64>>>()?)
}

/// The mean of `logprobs`; `None` where there are none.
pub(in crate::model) fn mean(logprobs: &[f64]) -> Option<f64> {
    (!logprobs.is_empty()).then(|| logprobs.iter().sum::<f64>() / logprobs.len() as f64)
}

/// An answer without the reasoning that a server which doesn't know the model's marks leaves in front of it. Reasoning
/// that was cut has no end: then there is no answer.
pub(in crate::model) fn apart(text: String) -> (String, Option<String>) {
    let Some(rest) = text.trim_start().strip_prefix("<think>") else { return (text, None) };
    match rest.split_once("</think>") {
        Some((thought, answer)) => (answer.trim_start().to_owned(), Some(thought.trim().to_owned())),
        None => (String::new(), Some(rest.trim().to_owned())),
    }
}

/// Tokens in one form: with OpenAI's names cached tokens are a part of the input, with Anthropic's they stand beside it. Nothing
/// where one of the counts isn't known: a budget then counts the most.
fn usage(raw: RawUsage) -> Option<Usage> {
    let known = |count: Option<Count>| count.map_or(Some(0), |count| count.0);
    let cached = raw.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let cached = known(cached.or(raw.prompt_cache_hit_tokens).or(raw.cache_read_input_tokens))?;
    let reasoning = known(raw.completion_tokens_details.and_then(|details| details.reasoning_tokens))?;
    let cache_write = known(raw.cache_creation_input_tokens)?;
    Some(match (raw.prompt_tokens, raw.input_tokens) {
        (None, Some(input)) => {
            Usage { reasoning, ..Usage::beside(input.0?, known(raw.output_tokens)?, cached, cache_write) }
        }
        (input, _) => {
            Usage { input: known(input)?, output: known(raw.completion_tokens)?, cached, reasoning, cache_write }
        }
    })
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
    use serde_json::json;

    use super::*;

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
    fn a_count_that_is_none_costs_nobody_the_answer() {
        for (read, usage) in [(-1.0, Usage::default()), (30.0, Usage { input: 30, output: 4, ..Usage::default() })] {
            let body = json!({"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": read, "completion_tokens": 4}});
            let Reply::Answer(completion) = reply(body.to_string().as_bytes()).unwrap() else { panic!() };
            assert_eq!((completion.text.as_str(), completion.usage), ("a", usage));
        }
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

    #[test]
    fn tools_that_are_asked_for_are_kept_as_they_were_written() {
        let calls = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]);
        let asked = answer(json!({"content": null, "tool_calls": calls}), json!("tool_calls"));
        assert_eq!((asked.tool_calls, asked.finish), (Some(calls), FinishReason::Tool));
        assert_eq!(answer(json!({"content": "a", "tool_calls": []}), json!("stop")).tool_calls, None);
    }

    #[test]
    fn the_log_probability_is_the_mean_over_the_tokens() {
        let of = |logprobs: Value| {
            let choice = json!({"message": {"content": "a"}, "finish_reason": "stop", "logprobs": logprobs});
            match reply(json!({"choices": [choice]}).to_string().as_bytes()).unwrap() {
                Reply::Answer(completion) => completion.logprob,
                Reply::Problem(problem) => panic!("{problem:?}"),
            }
        };
        let tokens =
            json!([{"token": "bil", "logprob": -0.5, "top_logprobs": []}, {"token": "ling", "logprob": -0.25}]);
        assert_eq!(of(json!({"content": tokens, "refusal": null})), Some(-0.375));
        let listed = json!({"tokens": ["<s>", "bil", "ling"], "token_logprobs": [null, -0.5, -0.25]});
        assert_eq!(of(listed), Some(-0.375));
        for none in [
            Value::Null,
            json!({"content": null}),
            json!({"content": []}),
            json!({"tokens": ["a"], "token_logprobs": [null]}),
        ] {
            assert_eq!(of(none), None);
        }
    }
}
