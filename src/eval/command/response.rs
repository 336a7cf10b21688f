//! The loopback endpoint's responses, in the shape of OpenAI's chat completions, whole or as a stream
//! (<https://platform.openai.com/docs/api-reference/chat/streaming>).

use serde_json::{Map, Value, json};

use super::desk::{KEPT, ToolStep};
use super::request::Stream;
use crate::model::{Completion, FinishReason, TraceStep};

/// The response that holds `completions`, each a choice.
pub(super) fn response(model: &str, completions: &[Completion]) -> Value {
    let choice = |(index, completion): (usize, &Completion)| {
        let mut message = said(completion);
        message.insert("role".to_owned(), "assistant".into());
        json!({ "index": index, "message": message, "finish_reason": finish(completion) })
    };
    let choices: Vec<Value> = completions.iter().enumerate().map(choice).collect();
    json!({
        "id": ID,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": choices,
        "usage": usage(completions),
    })
}

/// The same as server-sent events: choice by choice all that is said and why it ended; then the tokens where they are
/// wanted, and the end.
pub(super) fn events(model: &str, completions: &[Completion], stream: Stream) -> String {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk =
            json!({ "id": ID, "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices });
        if stream.include_usage {
            chunk["usage"] = usage;
        }
        chunk
    };
    let mut chunks = Vec::new();
    for (index, completion) in completions.iter().enumerate() {
        let of = |delta: Value, finish: Value| json!([{ "index": index, "delta": delta, "finish_reason": finish }]);
        chunks.push(chunk(of(Value::Object(delta(completion)), Value::Null), Value::Null));
        chunks.push(chunk(of(json!({}), finish(completion).into()), Value::Null));
    }
    if stream.include_usage {
        chunks.push(chunk(json!([]), usage(completions)));
    }
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.chain(std::iter::once("data: [DONE]\n\n".to_owned())).collect()
}

/// All that `completion` says, as a stream has it.
fn delta(completion: &Completion) -> Map<String, Value> {
    let mut delta = said(completion);
    delta.insert("role".to_owned(), "assistant".into());
    if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
        (0..).zip(calls).for_each(|(index, call)| call["index"] = u64::into(index));
    }
    delta
}

/// What all responses are called: nobody can ask for one again.
const ID: &str = "chatcmpl-ratchet";

/// The fields of a message that hold what `completion` says.
fn said(completion: &Completion) -> Map<String, Value> {
    let is_refusal = completion.finish == FinishReason::Refusal;
    let text = || json!(completion.text);
    let has_text = !is_refusal && (!completion.text.is_empty() || completion.tool_calls.is_none());
    let mut fields = Map::new();
    fields.insert("content".to_owned(), if has_text { text() } else { Value::Null });
    fields.insert("refusal".to_owned(), if is_refusal { text() } else { Value::Null });
    if let Some(calls) = &completion.tool_calls {
        fields.insert("tool_calls".to_owned(), calls.clone());
        // Models that reason between calls want it back with them.
        fields.extend(
            completion.reasoning.iter().map(|thought| ("reasoning_content".to_owned(), thought.as_str().into())),
        );
    }
    fields
}

fn finish(completion: &Completion) -> &'static str {
    match completion.finish {
        FinishReason::Tool if completion.tool_calls.is_some() => "tool_calls",
        FinishReason::Stop | FinishReason::Tool | FinishReason::Refusal => "stop",
        FinishReason::Length => "length",
        FinishReason::Filter => "content_filter",
    }
}

/// All tokens: each of several answers was a call of its own, which read its own.
fn usage(completions: &[Completion]) -> Value {
    let sum = |of: fn(&Completion) -> u64| completions.iter().map(of).fold(0, u64::saturating_add);
    let (input, output) = (sum(|of| of.usage.input), sum(|of| of.usage.output));
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output) })
}

/// The response that says what went wrong.
pub(super) fn failure(kind: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "code": kind } })
}

/// The tools that an answer asks for, as steps: their arguments are what they are given.
pub(super) fn tools(calls: &Value) -> Vec<ToolStep> {
    let step = |call: &Value| {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let name = call["function"]["name"].as_str().unwrap_or("tool").to_owned();
        // A model may write what is no JSON.
        let input = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
        let id = call["id"].as_str().unwrap_or_default().to_owned();
        ToolStep { id, kept: call[KEPT].clone(), step: TraceStep { name, input, ..TraceStep::default() } }
    };
    calls.as_array().into_iter().flatten().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::answer;

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    #[test]
    fn a_refusal_is_told_apart_from_an_answer() {
        let said = response("tiny", &[answer("yes")]);
        assert_eq!(said["choices"][0]["message"]["content"], "yes");
        assert_eq!(said["usage"]["total_tokens"], 12);
        let refused = response("tiny", &[Completion { finish: FinishReason::Refusal, ..answer("no") }]);
        assert_eq!(refused["choices"][0]["message"], json!({"role": "assistant", "content": null, "refusal": "no"}));
    }

    #[test]
    fn a_stream_is_the_answer_in_chunks_with_its_tokens_where_they_are_wanted() {
        let [bare, counted] = [false, true].map(|include_usage| Stream { include_usage });
        let chunks = |completions: &[Completion], stream| -> Vec<Value> {
            let text = events("tiny", completions, stream);
            let (chunks, end) = text.rsplit_once("data: [DONE]\n\n").unwrap();
            assert_eq!(end, "");
            chunks.split_terminator("\n\n").map(|event| serde_json::from_str(&event[6..]).unwrap()).collect()
        };
        let [said, end] = <[Value; 2]>::try_from(chunks(&[answer("yes\n\nno")], bare)).unwrap();
        assert_eq!(
            (&said["object"], &said["choices"][0]["delta"]["content"]),
            (&json!("chat.completion.chunk"), &json!("yes\n\nno"))
        );
        assert_eq!((&end["choices"][0]["finish_reason"], &end["choices"][0]["delta"]), (&json!("stop"), &json!({})));
        let asks = Completion {
            tool_calls: Some(json!([call("c1", "f", "{}"), call("c2", "g", "{}")])),
            finish: FinishReason::Tool,
            ..answer("")
        };
        let [said, end, usage] = <[Value; 3]>::try_from(chunks(&[asks], counted)).unwrap();
        let calls = &said["choices"][0]["delta"]["tool_calls"];
        assert_eq!(
            (&calls[0]["index"], &calls[1]["index"], &calls[1]["function"]["name"]),
            (&json!(0), &json!(1), &json!("g"))
        );
        assert_eq!((&end["choices"][0]["finish_reason"], &said["usage"]), (&json!("tool_calls"), &Value::Null));
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(12)));
        let both = chunks(&[answer("a"), answer("b")], counted);
        let indices: Vec<&Value> = both.iter().map(|chunk| &chunk["choices"][0]["index"]).collect();
        assert_eq!(indices, [&json!(0), &json!(0), &json!(1), &json!(1), &Value::Null]);
        assert_eq!(both[4]["usage"]["total_tokens"], 24);
    }

    #[test]
    fn the_tools_that_are_asked_for_come_back_and_are_steps_with_their_arguments() {
        let calls = json!([call("c1", "look_up", "{\"id\": 7}"), call("c2", "look_up", "{oops")]);
        let finish = FinishReason::Tool;
        let completion =
            Completion { tool_calls: Some(calls.clone()), finish, ..answer("") }.thinking(Some("hm".into()));
        let choice = &response("tiny", &[completion])["choices"][0];
        assert_eq!((&choice["message"]["tool_calls"], &choice["finish_reason"]), (&calls, &json!("tool_calls")));
        assert_eq!(
            (&choice["message"]["content"], &choice["message"]["reasoning_content"]),
            (&Value::Null, &json!("hm"))
        );
        let steps: Vec<_> = tools(&calls).into_iter().map(|tool| (tool.id, tool.step.name, tool.step.input)).collect();
        let look_up = "look_up".to_owned();
        assert_eq!(
            steps,
            [("c1".to_owned(), look_up.clone(), json!({"id": 7})), ("c2".to_owned(), look_up, json!("{oops"))]
        );
    }
}
