//! The loopback endpoint's requests, in the shape of OpenAI's chat completions
//! (<https://platform.openai.com/docs/api-reference/chat>): the part of it that any client library speaks.
//!
//! A request with tools is passed on as it is written, in the request's [`Tools`]: models that are spoken to in another way
//! are told it in theirs, by the model layer.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::eval::ChatSettings;
use crate::model::{AnswerFormat, ChatRequest, Dialect, Tools};
use crate::prompt::{Message, Role};

/// Fields that say nothing about the answer.
const IDLE: [&str; 6] = ["model", "user", "metadata", "store", "safety_identifier", "prompt_cache_key"];

/// Fields that are about tools.
const TOOLS: [&str; 3] = ["tools", "tool_choice", "parallel_tool_calls"];

/// Most answers to one request, as OpenAI has it.
const MOST_ANSWERS: usize = 128;

/// A request of a program.
pub(super) struct Asked {
    /// As the task model is asked it: the model is the project's, and what the program leaves open is as settings say.
    pub(super) request: ChatRequest,
    /// Its messages up to the first that is about tools.
    pub(super) messages: Vec<Message>,
    /// What tools gave, by the ids that they were asked for with.
    pub(super) results: Vec<(String, Value)>,
    /// How many answers are asked for, each a draw of its own: 1 to [`MOST_ANSWERS`].
    pub(super) answers: usize,
    /// How they are streamed, if they are.
    pub(super) stream: Option<Stream>,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Stream {
    /// Whether the tokens are told at the end.
    #[serde(default)]
    pub(super) include_usage: bool,
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
    n: Option<usize>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct AskedMessage {
    role: String,
    content: Option<Content>,
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

/// What `body` asks of a model that is spoken to in `dialect`; without one it knows no tools, and gets parameters as they are
/// written.
///
/// # Errors
/// What can't be passed on, in words for the program's author.
pub(super) fn asked(body: &[u8], settings: &ChatSettings, dialect: Option<&Dialect>) -> Result<Asked, String> {
    let unreadable = |error: serde_json::Error| format!("this is no chat completions request: {error}");
    let mut body: Body = serde_json::from_slice(body).map_err(unreadable)?;
    // Client libraries write what isn't set as null.
    body.others.retain(|_, value| !value.is_null());
    let answers = body.n.unwrap_or(1);
    if !(1..=MOST_ANSWERS).contains(&answers) {
        return Err(format!("`n` is {answers}: ask for 1 to {MOST_ANSWERS} answers"));
    }
    if let Some(name) = ["functions", "function_call"].into_iter().find(|name| body.others.contains_key(*name)) {
        return Err(format!("`{name}` is not available here; write it as `tools`, which took its place"));
    }
    // No tools at all is what some libraries write as an empty list, and others as null.
    let is_none = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let mut about_tools = Map::new();
    for name in TOOLS {
        about_tools.extend(body.others.remove_entry(name).filter(|(_, value)| !is_none(value)));
    }
    let named = about_tools.keys().next().map(String::as_str);
    let named = named.or_else(|| body.messages.iter().any(is_about_tools).then_some("tool"));
    if let Some(name) = named.filter(|_| dialect.is_none()) {
        return Err(format!(
            "`{name}` can't be passed on to this project's task model, which knows no tools; ask for JSON that names the tool, \
             and call it yourself"
        ));
    }
    let has_tools = named.is_some();
    let plain = body.messages.iter().take_while(|message| !is_about_tools(message));
    let messages: Vec<Message> = plain.map(message).collect::<Result<_, _>>()?;
    let mut request = settings.request(if has_tools { Vec::new() } else { messages.clone() });
    request.temperature = body.temperature.or(request.temperature);
    request.max_tokens = body.max_completion_tokens.or(body.max_tokens).or(request.max_tokens);
    request.format = match body.response_format {
        None | Some(Format::Text) => AnswerFormat::Text,
        Some(Format::JsonObject) => AnswerFormat::Json,
        Some(Format::JsonSchema { json_schema: Schema { name, schema } }) => AnswerFormat::Schema { name, schema },
    };
    body.others.retain(|name, _| !IDLE.contains(&name.as_str()));
    pass_on(&mut request.extra, body.others, dialect)?;
    let results = body.messages.iter().filter_map(result).collect();
    if has_tools {
        // What the program gives takes the place of the project's.
        about_tools.keys().for_each(|name| drop(request.extra.remove(name)));
        about_tools.insert("messages".to_owned(), Value::Array(body.messages));
        request.tools = Some(Tools::deserialize(Value::Object(about_tools)).map_err(unreadable)?);
    }
    let stream = (body.stream == Some(true)).then(|| body.stream_options.unwrap_or_default());
    Ok(Asked { request, messages, results, answers, stream })
}

/// Puts `parameters` into `extra`, as the model's dialect says them.
fn pass_on(
    extra: &mut Map<String, Value>,
    parameters: Map<String, Value>,
    dialect: Option<&Dialect>,
) -> Result<(), String> {
    let Some(dialect) = dialect else {
        extra.extend(parameters);
        return Ok(());
    };
    for (name, value) in parameters {
        if !dialect.say(extra, &name, value) {
            return Err(format!(
                "`{name}` can't be passed on: this project's task model has no such parameter; leave it out"
            ));
        }
    }
    Ok(())
}

/// Whether `message` is of a tool, or asks for one.
fn is_about_tools(message: &Value) -> bool {
    message["role"] == "tool" || message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty())
}

/// The messages of a request with tools, as they were written.
pub(super) fn verbatim(request: &ChatRequest) -> Option<Value> {
    request.tools.as_ref().map(|tools| Value::Array(tools.messages.clone()))
}

/// The id and the text of a tool's result.
fn result(message: &Value) -> Option<(String, Value)> {
    let id = message["tool_call_id"].as_str().filter(|_| message["role"] == "tool")?;
    let content = Content::deserialize(&message["content"]).ok()?;
    Some((id.to_owned(), content.text().into()))
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
    let parts = asked["content"].as_array().into_iter().flatten();
    let kind = |part: &Value| part["type"].as_str().map(str::to_owned);
    if let Some(kind) = parts.filter_map(kind).find(|kind| kind != "text") {
        return Err(format!("a message has a part of type {kind:?}, which can't be passed on: only text can"));
    }
    let asked =
        AskedMessage::deserialize(asked).map_err(|error| format!("this is no chat completions request: {error}"))?;
    let role = match asked.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(format!("a message's role is {other:?}; system, user, assistant and tool are available")),
    };
    let content = match asked.content {
        Some(content) => content.text(),
        // What a model answers that said nothing.
        None if role == Role::Assistant => String::new(),
        None => return Err(format!("a message of the {} has no `content`", asked.role)),
    };
    Ok(Message { role, content })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        asked(body.to_string().as_bytes(), &settings(), Some(&Dialect::default())).map(|asked| asked.request)
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
            (json!({"messages": user, "n": 0}), "`n` is 0: ask for 1 to 128 answers"),
            (json!({"messages": user, "n": 129}), "`n` is 129"),
            (json!({"messages": user, "functions": []}), "write it as `tools`"),
            (json!({"messages": user, "response_format": {"type": "xml"}}), "unknown variant `xml`"),
            (json!({"messages": [{"role": "robot", "content": "a"}]}), "role is \"robot\""),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
                "a part of type \"image_url\", which can't be passed on: only text can",
            ),
            (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "no chat completions request"),
            (json!([]), "no chat completions request"),
        ] {
            let error = read(&body).unwrap_err();
            assert!(error.contains(told), "{body}: {error}");
        }
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
        let read = |dialect| asked(body.to_string().as_bytes(), &settings(), dialect);
        let dialect = Dialect::default();
        let whole = read(Some(&dialect)).unwrap();
        let expected = json!({"tools": tools, "tool_choice": "auto", "messages": messages});
        assert_eq!((json!(whole.request.tools), whole.request.messages.len()), (expected, 0));
        assert_eq!(Value::Object(whole.request.extra.clone()), json!({"top_p": 0.5}));
        assert_eq!(verbatim(&whole.request), Some(messages));
        assert_eq!(
            whole.messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(),
            ["Be brief.", "my card"]
        );
        assert_eq!(whole.results, [("c1".to_owned(), json!("gold"))]);
        assert!(read(None).err().unwrap().contains("`tool_choice` can't be passed on"));
    }

    #[test]
    fn no_tools_are_none_however_they_are_written() {
        let user = json!([{"role": "user", "content": "a"}]);
        let plain = read(&json!({"messages": user})).unwrap();
        for none in [json!([]), Value::Null] {
            let body = json!({"messages": user, "tools": none, "tool_choice": null}).to_string();
            let asked = asked(body.as_bytes(), &settings(), None).unwrap();
            assert_eq!(asked.request, plain);
        }
    }

    #[test]
    fn parameters_are_said_as_the_model_has_them_or_refused_by_name_and_nulls_are_none() {
        let user = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]);
        let body = json!({"messages": user, "stop": "END", "seed": null, "top_p": 0.25}).to_string();
        let read = |dialect| asked(body.as_bytes(), &settings(), Some(&dialect));
        let request = read(Dialect::Anthropic { max_tokens: 9 }).unwrap().request;
        assert_eq!(Value::Object(request.extra), json!({"top_p": 0.25, "stop_sequences": ["END"]}));
        assert_eq!((request.messages[1].role, request.messages[1].content.as_str()), (Role::Assistant, ""));
        let error = read(Dialect::Responses).err().unwrap();
        assert!(error.starts_with("`stop` can't be passed on"), "{error}");
        let silent = json!({"messages": [{"role": "user", "content": null}]}).to_string();
        let error = asked(silent.as_bytes(), &settings(), None).err().unwrap();
        assert_eq!(error, "a message of the user has no `content`");
    }

    #[test]
    fn a_stream_is_given_where_it_is_asked_for() {
        let user = json!([{"role": "user", "content": "a"}]);
        let stream = |body: Value| asked(body.to_string().as_bytes(), &settings(), None).unwrap().stream;
        assert_eq!(stream(json!({"messages": user, "stream": false})), None);
        let bare = stream(json!({"messages": user, "stream": true}));
        assert_eq!(bare, Some(Stream { include_usage: false }));
        let counted = json!({"messages": user, "stream": true, "stream_options": {"include_usage": true}});
        assert_eq!(stream(counted), Some(Stream { include_usage: true }));
    }
}
