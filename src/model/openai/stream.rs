//! Chat completions as a stream (<https://platform.openai.com/docs/api-reference/chat/streaming>): chunks with what is new,
//! then the finish reason, then the usage, then `[DONE]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::http::{DONE, Gather, Refused, STREAM_OPTIONS, Seen, Streams, append};

/// How chat completions are streamed.
pub(in crate::model) struct Chunks;

impl Streams for Chunks {
    fn asking(&self, refused: Refused) -> Vec<(&'static str, Value)> {
        let usage = (!refused.stream_options).then(|| (STREAM_OPTIONS, json!({"include_usage": true})));
        [("stream", json!(true))].into_iter().chain(usage).collect()
    }

    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered::default())
    }
}

/// What has come of the first choice.
#[derive(Default)]
struct Gathered {
    /// Parts, as a message may have them; text is one, however many pieces it came in.
    content: Vec<Value>,
    /// `refusal`, `reasoning_content` and `reasoning`, where there are any.
    texts: BTreeMap<&'static str, String>,
    tool_calls: Vec<ToolCall>,
    logprobs: Vec<Value>,
    finish_reason: Option<String>,
    usage: Option<Value>,
}

/// A tool call as far as it has come.
struct ToolCall {
    index: Option<u64>,
    call: Map<String, Value>,
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    /// `error` where an older server tells one without a frame.
    object: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    logprobs: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Content>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Map<String, Value>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Map<String, Value>>),
}

impl Gather for Gathered {
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen> {
        if data.trim_ascii() == DONE {
            return Ok(Seen::Last);
        }
        let chunk: Chunk = serde_json::from_slice(data)?;
        if chunk.object.as_deref() == Some("error") {
            return serde_json::from_slice(data).map(Seen::Failure);
        }
        let choice = chunk.choices.into_iter().flatten().find(|choice| choice.index.unwrap_or(0) == 0);
        let error = chunk.error.as_ref().or_else(|| choice.as_ref()?.error.as_ref());
        if let Some(error) = error.filter(|error| !error.is_null()) {
            return Ok(Seen::Failure(json!({ "error": error })));
        }
        self.usage = chunk.usage.filter(|usage| !usage.is_null()).or(self.usage.take());
        if let Some(choice) = choice {
            self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
            self.logprobs.extend(choice.logprobs.iter().flat_map(tokens));
            if let Some(delta) = choice.delta {
                self.add(delta);
            }
        }
        Ok(Seen::Part)
    }

    /// Whole with its finish reason alone: a gateway may say that it is done when it was cut off itself.
    fn body(self: Box<Self>) -> Option<Value> {
        let finish_reason = self.finish_reason?;
        let mut message =
            Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), Value::Null)]);
        message.extend(self.texts.into_iter().map(|(key, text)| (key.to_owned(), text.into())));
        if !self.content.is_empty() {
            message.insert("content".to_owned(), self.content.into());
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.into_iter().map(|call| Value::from(call.call));
            message.insert("tool_calls".to_owned(), calls.collect());
        }
        let logprobs = (!self.logprobs.is_empty()).then(|| json!({"content": self.logprobs}));
        let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs});
        Some(json!({"choices": [choice], "usage": self.usage}))
    }
}

/// Tokens with their log probabilities. Together tells the number alone, or a list of them.
fn tokens(told: &Value) -> Vec<Value> {
    if let Some(tokens) = told.get("content").and_then(Value::as_array) {
        return tokens.clone();
    }
    let listed = told.get("token_logprobs").and_then(Value::as_array);
    let numbers = listed.into_iter().flatten().chain(std::iter::once(told)).filter_map(Value::as_f64);
    numbers.map(|logprob| json!({ "logprob": logprob })).collect()
}

impl Gathered {
    fn add(&mut self, delta: Delta) {
        match delta.content {
            Some(Content::Text(text)) => self.add_text(&text),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    match part.get("text").and_then(Value::as_str) {
                        Some(text) => self.add_text(text),
                        None => self.content.push(part.into()),
                    }
                }
            }
            None => {}
        }
        let texts = [
            ("refusal", delta.refusal),
            ("reasoning_content", delta.reasoning_content),
            ("reasoning", delta.reasoning),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                self.texts.entry(key).or_default().push_str(&text);
            }
        }
        for piece in delta.tool_calls.into_iter().flatten() {
            self.add_call(piece);
        }
    }

    fn add_text(&mut self, text: &str) {
        match self.content.last_mut().and_then(Value::as_object_mut).filter(|part| part.contains_key("text")) {
            Some(part) => append(part, "text", text),
            None => self.content.push(json!({"type": "text", "text": text})),
        }
    }

    /// A piece of the call with its index; one with an id of its own begins another, which some servers count as the same.
    fn add_call(&mut self, mut piece: Map<String, Value>) {
        let index = piece.remove("index").and_then(|index| index.as_u64());
        let id = |call: &Map<String, Value>| call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let new = id(&piece);
        let known = self.tool_calls.iter().rposition(|of| of.index == index && (new.is_empty() || new == id(&of.call)));
        let at = known.unwrap_or_else(|| {
            self.tool_calls.push(ToolCall { index, call: Map::new() });
            self.tool_calls.len() - 1
        });
        let Some(ToolCall { call, .. }) = self.tool_calls.get_mut(at) else { return };
        for (key, value) in piece {
            match (call.get_mut(&key), value) {
                (Some(Value::Object(known)), Value::Object(more)) => add_function(known, more),
                (None | Some(Value::Null), value) => drop(call.insert(key, value)),
                // An id or a type that is told again.
                (Some(_), _) => {}
            }
        }
    }
}

/// Arguments come in pieces, a name comes whole.
fn add_function(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (known.get(&key), value) {
            (_, Value::String(text)) if key == "arguments" => append(known, &key, &text),
            (None | Some(Value::Null), value) => drop(known.insert(key, value)),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::http::Reply;
    use crate::model::{Completion, FinishReason};

    fn gathered(chunks: &[Value]) -> Option<Value> {
        let mut gathered = Box::<Gathered>::default();
        for chunk in chunks {
            assert_eq!(gathered.take(chunk.to_string().as_bytes()).unwrap(), Seen::Part, "{chunk}");
        }
        gathered.body()
    }

    fn answer(chunks: &[Value]) -> Completion {
        match super::super::reply(gathered(chunks).unwrap().to_string().as_bytes()).unwrap() {
            Reply::Answer(completion) => completion,
            Reply::Problem(problem) => panic!("{problem:?}"),
        }
    }

    fn delta(delta: Value) -> Value {
        json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn finish(reason: &str) -> Value {
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": null})
    }

    #[test]
    fn text_refusals_and_reasoning_are_put_together_each_for_itself() {
        let thinking = |text: &str| json!([{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]);
        for chunks in [
            vec![json!({"reasoning": "a ", "reasoning_content": null}), json!({"reasoning": "card"})],
            vec![json!({"reasoning_content": "a card", "content": null})],
            vec![json!({"content": thinking("a ")}), json!({"content": thinking("card")})],
            vec![json!({"content": "<think>a c"}), json!({"content": "ard</think>\n"})],
        ] {
            let texts = [json!({"content": "bil"}), json!({"content": [{"type": "text", "text": "ling"}]})];
            let chunks: Vec<Value> = chunks.into_iter().chain(texts).map(delta).chain([finish("stop")]).collect();
            let completion = answer(&chunks);
            let told = (completion.text.as_str(), completion.reasoning.as_deref(), completion.finish);
            assert_eq!(told, ("billing", Some("a card"), FinishReason::Stop), "{chunks:?}");
        }
        let refused = answer(&[delta(json!({"refusal": "I "})), delta(json!({"refusal": "can't"})), finish("stop")]);
        assert_eq!((refused.text.as_str(), refused.finish), ("I can't", FinishReason::Refusal));
        let other =
            json!({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "a"}}]});
        assert_eq!(answer(&[other, finish("length")]).text, "a");
        assert_eq!(answer(&[finish("content_filter")]).finish, FinishReason::Filter);
    }

    #[test]
    fn calls_of_tools_are_put_together_by_their_index_or_their_id() {
        let whole = json!([
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]);
        let pieces = [
            json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "{\"a\""}}),
            json!({"index": 1, "id": "c2", "type": "function", "function": {"name": "g"}}),
            json!({"index": 0, "id": "c1", "function": {"name": "f", "arguments": ": 1}"}}),
            json!({"index": 1, "id": null, "function": {"name": null, "arguments": "{}"}}),
        ];
        let chunks: Vec<Value> = pieces.into_iter().map(|piece| delta(json!({"tool_calls": [piece]}))).collect();
        let asked = answer(&[&chunks[..], &[finish("tool_calls")]].concat());
        assert_eq!((asked.tool_calls, asked.finish), (Some(whole.clone()), FinishReason::Tool));
        // Whole ones, all of them counted as the first, or not counted.
        for index in [json!(0), Value::Null] {
            let calls = whole.as_array().unwrap().iter().map(|call| {
                let mut call = call.clone();
                call["index"] = index.clone();
                delta(json!({"tool_calls": [call]}))
            });
            let chunks: Vec<Value> = calls.chain([finish("tool_calls")]).collect();
            assert_eq!(answer(&chunks).tool_calls, Some(whole.clone()));
        }
    }

    #[test]
    fn usage_and_log_probabilities_are_those_of_the_whole_answer() {
        let told = |logprob: f64| json!({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": logprob}]}}]});
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
        let completion = answer(&[told(-0.5), told(-0.25), finish("stop"), usage]);
        assert_eq!((completion.logprob, completion.usage.input, completion.usage.output), (Some(-0.375), 3, 2));
        assert_eq!(answer(&[finish("stop")]).usage, Default::default());
        let number = |told: Value| json!({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": told}]});
        let listed = number(json!({"tokens": ["a"], "token_logprobs": [-0.25]}));
        assert_eq!(answer(&[number(json!(-0.5)), listed, finish("stop")]).logprob, Some(-0.375));
    }

    #[test]
    fn an_answer_without_its_finish_reason_is_not_whole() {
        assert_eq!(gathered(&[delta(json!({"content": "bill"}))]), None);
        let mut cut = Box::<Gathered>::default();
        assert_eq!(cut.take(b"[DONE]").unwrap(), Seen::Last);
        assert_eq!(cut.body(), None);
        for invalid in ["{", "a", "[]", "{\"choices\": 1}", "{\"choices\": [{\"delta\": {\"content\": 1}}]}"] {
            assert!(Gathered::default().take(invalid.as_bytes()).is_err(), "{invalid}");
        }
    }

    #[test]
    fn an_error_is_told_in_every_form() {
        let error = json!({"message": "overloaded", "code": 502});
        for chunk in [
            json!({ "error": error }),
            json!({"error": error, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}),
            json!({"choices": [{"index": 0, "error": error}]}),
        ] {
            let seen = Gathered::default().take(chunk.to_string().as_bytes()).unwrap();
            assert_eq!(seen, Seen::Failure(json!({ "error": error })), "{chunk}");
        }
        let bare = json!({"object": "error", "message": "overloaded", "code": 502});
        assert_eq!(Gathered::default().take(bare.to_string().as_bytes()).unwrap(), Seen::Failure(bare));
    }
}
