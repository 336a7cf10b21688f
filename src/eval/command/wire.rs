//! The loopback endpoint's requests and responses, in the shape of OpenAI's chat completions
//! (<https://platform.openai.com/docs/api-reference/chat>): the part of it that any client library speaks.
//!
//! A request with tools is passed on as it is written, to models that are spoken to in the same way: its messages, which
//! plain ones can't say, stand in the request's `extra` and so in its key.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::desk::ToolStep;
use crate::eval::ChatSettings;
use crate::model::{AnswerFormat, ChatRequest, Completion, FinishReason, TraceStep};
use crate::prompt::{Message, Role};

/// Fields that say nothing about the answer.
const IDLE: [&str; 5] = ["model", "user", "metadata", "store", "safety_identifier"];

/// Fields that are about tools.
const TOOLS: [&str; 3] = ["tools", "tool_choice", "parallel_tool_calls"];

/// Where a request's messages stand as they were written.
const VERBATIM: &str = "messages";

/// A request of a program.
pub(super) struct Asked {
    /// As the task model is asked it: the model is the project's, and what the program leaves open is as settings say.
    pub(super) request: ChatRequest,
    /// Its messages up to the first that is about tools.
    pub(super) messages: Vec<Message>,
    /// What tools gave, by the ids that they were asked for with.
    pub(super) results: Vec<(String, Value)>,
    /// How the answer is streamed, if it is.
    pub(super) stream: Option<Stream>,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Stream {
    /// Whether the tokens are told at the end.
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Body {
    messages: Vec<Value>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    response_format: Option<Format>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<Stream>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct AskedMessage {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    Text,
    JsonObject,
    JsonSchema { json_schema: Schema },
}

#[derive(Deserialize)]
struct Schema {
    name: String,
    schema: Value,
}

/// What `body` asks; tools are passed on where they are `carried`.
///
/// # Errors
/// What can't be passed on, in words for the program's author.
pub(super) fn asked(body: &[u8], settings: &ChatSettings, carried: bool) -> Result<Asked, String> {
    let unreadable = |error: serde_json::Error| format!("this is no chat completions request: {error}");
    let mut body: Body = serde_json::from_slice(body).map_err(unreadable)?;
    if body.n.is_some_and(|n| n != 1) {
        return Err("one answer a request: leave `n` out and ask several times; each repeat is a fresh draw".to_owned());
    }
    if let Some(name) = ["functions", "function_call"].into_iter().find(|name| body.others.contains_key(*name)) {
        return Err(format!("`{name}` is not available here; write it as `tools`, which took its place"));
    }
    // No tools at all is what some libraries write as an empty list, and others as null.
    let is_none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    body.others.retain(|name, value| !(TOOLS.contains(&name.as_str()) && is_none(value)));
    let tools = body.others.keys().find(|name| TOOLS.contains(&name.as_str())).cloned();
    let tools = tools.or_else(|| body.messages.iter().any(is_about_tools).then(|| "tool".to_owned()));
    if let Some(name) = tools.as_ref().filter(|_| !carried) {
        return Err(format!(
            "`{name}` is passed on only to a task model that is asked by chat completions itself, and this project's isn't; ask \
             for JSON that names the tool, and call it yourself"
        ));
    }
    let plain = body.messages.iter().take_while(|message| !is_about_tools(message));
    let messages: Vec<Message> = plain.map(message).collect::<Result<_, _>>()?;
    let mut request = settings.request(if tools.is_some() { Vec::new() } else { messages.clone() });
    request.temperature = body.temperature.or(request.temperature);
    request.max_tokens = body.max_completion_tokens.or(body.max_tokens).or(request.max_tokens);
    request.format = match body.response_format {
        None | Some(Format::Text) => AnswerFormat::Text,
        Some(Format::JsonObject) => AnswerFormat::Json,
        Some(Format::JsonSchema { json_schema: Schema { name, schema } }) => AnswerFormat::Schema { name, schema },
    };
    request.extra.extend(body.others.into_iter().filter(|(name, _)| !IDLE.contains(&name.as_str())));
    let results = body.messages.iter().filter_map(result).collect();
    if tools.is_some() {
        request.extra.insert(VERBATIM.to_owned(), Value::Array(body.messages));
    }
    let stream = (body.stream == Some(true)).then(|| body.stream_options.unwrap_or_default());
    Ok(Asked { request, messages, results, stream })
}

/// Whether `message` is of a tool, or asks for one.
fn is_about_tools(message: &Value) -> bool {
    message["role"] == "tool" || message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty())
}

/// The messages of a request with tools, as they were written.
pub(super) fn verbatim(request: &ChatRequest) -> Option<&Value> {
    request.extra.get(VERBATIM)
}

/// The id and the text of a tool's result.
fn result(message: &Value) -> Option<(String, Value)> {
    let id = message["tool_call_id"].as_str().filter(|_| message["role"] == "tool")?;
    let content = Content::deserialize(&message["content"]).ok()?;
    Some((id.to_owned(), content.text().into()))
}

/// The tools that an answer asks for, as steps: their arguments are what they are given.
pub(super) fn tools(calls: &Value) -> Vec<ToolStep> {
    let step = |call: &Value| {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let name = call["function"]["name"].as_str().unwrap_or("tool").to_owned();
        // A model may write what is no JSON.
        let input = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
        let id = call["id"].as_str().unwrap_or_default().to_owned();
        ToolStep { id, step: TraceStep { name, input, ..TraceStep::default() } }
    };
    calls.as_array().into_iter().flatten().map(step).collect()
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        }
    }
}

fn message(asked: &Value) -> Result<Message, String> {
    let asked =
        AskedMessage::deserialize(asked).map_err(|error| format!("this is no chat completions request: {error}"))?;
    let role = match asked.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(format!("a message's role is {other:?}; system, user, assistant and tool are available")),
    };
    Ok(Message { role, content: asked.content.text() })
}

/// The response that holds `completion`.
pub(super) fn response(model: &str, completion: &Completion) -> Value {
    let mut message = said(completion);
    message.insert("role".to_owned(), "assistant".into());
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish(completion) });
    json!({
        "id": ID,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage(completion),
    })
}

/// The same as server-sent events: all that is said, why it ended, the tokens where they are wanted, and the end.
pub(super) fn events(model: &str, completion: &Completion, stream: Stream) -> String {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk =
            json!({ "id": ID, "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices });
        if stream.include_usage {
            chunk["usage"] = usage;
        }
        chunk
    };
    let mut delta = said(completion);
    delta.insert("role".to_owned(), "assistant".into());
    if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
        (0..).zip(calls).for_each(|(index, call)| call["index"] = u64::into(index));
    }
    let of = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut chunks = vec![
        chunk(of(Value::Object(delta), Value::Null), Value::Null),
        chunk(of(json!({}), finish(completion).into()), Value::Null),
    ];
    if stream.include_usage {
        chunks.push(chunk(json!([]), usage(completion)));
    }
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.chain(std::iter::once("data: [DONE]\n\n".to_owned())).collect()
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

fn usage(completion: &Completion) -> Value {
    let usage = &completion.usage;
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

/// The response that says what went wrong.
pub(super) fn failure(kind: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "code": kind } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::answer;

    fn settings() -> ChatSettings {
        ChatSettings {
            model: "tiny".into(),
            temperature: Some(0.0),
            max_tokens: Some(50),
            extra: Map::from_iter([("top_p".to_owned(), json!(0.5))]),
            ..ChatSettings::default()
        }
    }

    fn read(body: &Value) -> Result<ChatRequest, String> {
        asked(body.to_string().as_bytes(), &settings(), true).map(|asked| asked.request)
    }

    #[test]
    fn the_project_says_which_model_and_the_program_what_is_asked() {
        let asked = read(&json!({
            "model": "whatever", "user": "me", "seed": 3, "max_completion_tokens": 9,
            "response_format": {"type": "json_object"},
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
        }))
        .unwrap();
        assert_eq!((asked.model.as_str(), asked.temperature, asked.max_tokens), ("tiny", Some(0.0), Some(9)));
        assert_eq!(asked.format, AnswerFormat::Json);
        assert_eq!(Value::Object(asked.extra), json!({"top_p": 0.5, "seed": 3}));
        assert_eq!(asked.messages[0].role, Role::System);
        assert_eq!(asked.messages[1].content, "ab");
    }

    #[test]
    fn what_can_not_be_passed_on_is_refused_with_what_to_do() {
        let user = json!([{"role": "user", "content": "a"}]);
        for (body, told) in [
            (json!({"messages": user, "n": 2}), "leave `n` out"),
            (json!({"messages": user, "functions": []}), "write it as `tools`"),
            (json!({"messages": user, "response_format": {"type": "xml"}}), "unknown variant `xml`"),
            (json!({"messages": [{"role": "robot", "content": "a"}]}), "role is \"robot\""),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
                "no chat completions request",
            ),
            (json!([]), "no chat completions request"),
        ] {
            let error = read(&body).unwrap_err();
            assert!(error.contains(told), "{body}: {error}");
        }
    }

    #[test]
    fn a_refusal_is_told_apart_from_an_answer() {
        let said = response("tiny", &answer("yes"));
        assert_eq!(said["choices"][0]["message"]["content"], "yes");
        assert_eq!(said["usage"]["total_tokens"], 12);
        let refused = response("tiny", &Completion { finish: FinishReason::Refusal, ..answer("no") });
        assert_eq!(refused["choices"][0]["message"], json!({"role": "assistant", "content": null, "refusal": "no"}));
    }

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    #[test]
    fn tools_and_the_messages_about_them_are_passed_on_as_they_are_written() {
        let messages = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "my card"}]},
            {"role": "assistant", "content": null, "tool_calls": [call("c1", "look_up", "{\"id\": 7}")]},
            {"role": "tool", "tool_call_id": "c1", "content": "gold"},
        ]);
        let tools = json!([{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]);
        let body = json!({"messages": messages, "tools": tools, "tool_choice": "auto", "user": "me"});
        let read = |carried| asked(body.to_string().as_bytes(), &settings(), carried);
        let whole = read(true).unwrap();
        let expected = json!({"top_p": 0.5, "tools": tools, "tool_choice": "auto", "messages": messages});
        assert_eq!((Value::Object(whole.request.extra.clone()), whole.request.messages.len()), (expected, 0));
        assert_eq!(verbatim(&whole.request), Some(&messages));
        assert_eq!(
            whole.messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(),
            ["Be brief.", "my card"]
        );
        assert_eq!(whole.results, [("c1".to_owned(), json!("gold"))]);
        assert!(read(false).err().unwrap().contains("`tool_choice` is passed on only to a task model"));
    }

    #[test]
    fn no_tools_are_none_however_they_are_written() {
        let user = json!([{"role": "user", "content": "a"}]);
        let plain = read(&json!({"messages": user})).unwrap();
        for none in [json!([]), Value::Null] {
            let body = json!({"messages": user, "tools": none, "tool_choice": null}).to_string();
            let asked = asked(body.as_bytes(), &settings(), false).unwrap();
            assert_eq!(asked.request, plain);
        }
    }

    #[test]
    fn a_stream_is_the_answer_in_chunks_with_its_tokens_where_they_are_wanted() {
        let user = json!([{"role": "user", "content": "a"}]);
        let stream = |body: Value| asked(body.to_string().as_bytes(), &settings(), true).unwrap().stream;
        assert_eq!(stream(json!({"messages": user, "stream": false})), None);
        let bare = stream(json!({"messages": user, "stream": true})).unwrap();
        let counted =
            stream(json!({"messages": user, "stream": true, "stream_options": {"include_usage": true}})).unwrap();
        let chunks = |completion: &Completion, stream| -> Vec<Value> {
            let text = events("tiny", completion, stream);
            let (chunks, end) = text.rsplit_once("data: [DONE]\n\n").unwrap();
            assert_eq!(end, "");
            chunks.split_terminator("\n\n").map(|event| serde_json::from_str(&event[6..]).unwrap()).collect()
        };
        let [said, end] = <[Value; 2]>::try_from(chunks(&answer("yes\n\nno"), bare)).unwrap();
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
        let [said, end, usage] = <[Value; 3]>::try_from(chunks(&asks, counted)).unwrap();
        let calls = &said["choices"][0]["delta"]["tool_calls"];
        assert_eq!(
            (&calls[0]["index"], &calls[1]["index"], &calls[1]["function"]["name"]),
            (&json!(0), &json!(1), &json!("g"))
        );
        assert_eq!((&end["choices"][0]["finish_reason"], &said["usage"]), (&json!("tool_calls"), &Value::Null));
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(12)));
    }

    #[test]
    fn the_tools_that_are_asked_for_come_back_and_are_steps_with_their_arguments() {
        let calls = json!([call("c1", "look_up", "{\"id\": 7}"), call("c2", "look_up", "{oops")]);
        let finish = FinishReason::Tool;
        let completion =
            Completion { tool_calls: Some(calls.clone()), finish, ..answer("") }.thinking(Some("hm".into()));
        let choice = &response("tiny", &completion)["choices"][0];
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
