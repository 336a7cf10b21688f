//! The loopback endpoint's requests and responses, in the shape of OpenAI's chat completions
//! (<https://platform.openai.com/docs/api-reference/chat>): the part of it that any client library speaks.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::eval::ChatSettings;
use crate::model::{AnswerFormat, ChatRequest, Completion, FinishReason};
use crate::prompt::{Message, Role};

/// Fields that say nothing about the answer.
const IDLE: [&str; 6] = ["model", "user", "stream_options", "metadata", "store", "safety_identifier"];

#[derive(Deserialize)]
struct Asked {
    messages: Vec<AskedMessage>,
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

/// The request in `body` as the task model is asked it: the model is the project's, and what the program leaves open is
/// as `settings` say.
///
/// # Errors
/// What can't be passed on, in words for the program's author.
pub(super) fn request(body: &[u8], settings: &ChatSettings) -> Result<ChatRequest, String> {
    let asked: Asked =
        serde_json::from_slice(body).map_err(|error| format!("this is no chat completions request: {error}"))?;
    if asked.stream == Some(true) {
        return Err("streams are not available here; leave `stream` out".to_owned());
    }
    if asked.n.is_some_and(|n| n != 1) {
        return Err("one answer a request: leave `n` out and ask several times; each repeat is a fresh draw".to_owned());
    }
    if let Some(name) = ["tools", "functions", "tool_choice"].into_iter().find(|name| asked.others.contains_key(*name))
    {
        return Err(format!("`{name}` is not available here; ask for JSON that names the tool, and call it yourself"));
    }
    let mut request = settings.request(asked.messages.into_iter().map(message).collect::<Result<_, _>>()?);
    request.temperature = asked.temperature.or(request.temperature);
    request.max_tokens = asked.max_completion_tokens.or(asked.max_tokens).or(request.max_tokens);
    request.format = match asked.response_format {
        None | Some(Format::Text) => AnswerFormat::Text,
        Some(Format::JsonObject) => AnswerFormat::Json,
        Some(Format::JsonSchema { json_schema: Schema { name, schema } }) => AnswerFormat::Schema { name, schema },
    };
    request.extra.extend(asked.others.into_iter().filter(|(name, _)| !IDLE.contains(&name.as_str())));
    Ok(request)
}

fn message(asked: AskedMessage) -> Result<Message, String> {
    let role = match asked.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(format!("a message's role is {other:?}; system, user and assistant are available")),
    };
    let content = match asked.content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
    };
    Ok(Message { role, content })
}

/// The response that holds `completion`.
pub(super) fn response(model: &str, completion: &Completion) -> Value {
    let (finish, is_refusal) = match completion.finish {
        FinishReason::Stop | FinishReason::Tool => ("stop", false),
        FinishReason::Refusal => ("stop", true),
        FinishReason::Length => ("length", false),
        FinishReason::Filter => ("content_filter", false),
    };
    let (content, refusal) =
        if is_refusal { (Value::Null, json!(completion.text)) } else { (json!(completion.text), Value::Null) };
    let usage = &completion.usage;
    json!({
        "id": "chatcmpl-ratchet",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": refusal },
            "finish_reason": finish,
        }],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input.saturating_add(usage.output),
        },
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
        request(body.to_string().as_bytes(), &settings())
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
            (json!({"messages": user, "stream": true}), "leave `stream` out"),
            (json!({"messages": user, "n": 2}), "leave `n` out"),
            (json!({"messages": user, "tools": []}), "`tools` is not available"),
            (json!({"messages": user, "response_format": {"type": "xml"}}), "unknown variant `xml`"),
            (json!({"messages": [{"role": "tool", "content": "a"}]}), "role is \"tool\""),
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
}
