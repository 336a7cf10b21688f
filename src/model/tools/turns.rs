//! Conversations, with tools or without: who said what, which tools were asked for and what they gave. One by one
//! ([`said`]), or as turns that user and assistant take ([`Turns`]), for providers that take the system text apart.

use serde_json::Value;

use super::ToolCall;
use crate::model::{CallError, ChatRequest};
use crate::prompt::Role;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::model) enum Said {
    /// Text of a role.
    Text(Role, String),
    /// What the model answered when it asked for tools: maybe a text, what it thought before where that was shown, and
    /// at least one call.
    Calls { text: String, thought: Option<String>, calls: Vec<ToolCall> },
    /// What a tool gave.
    Result(ToolResult),
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::model) struct ToolResult {
    /// Of the call.
    pub(in crate::model) id: String,
    /// The tool's name.
    pub(in crate::model) name: String,
    /// Whether the provider gave the call its id.
    pub(in crate::model) has_own_id: bool,
    pub(in crate::model) text: String,
}

/// A conversation for providers that take the system text apart and want user and assistant to take turns.
#[derive(Debug, PartialEq)]
pub(in crate::model) struct Turns {
    /// All system messages; `None` where there are none, or nothing else: then they are what is asked.
    pub(in crate::model) system: Option<String>,
    /// At least one, of user and assistant by turns.
    pub(in crate::model) turns: Vec<Turn>,
}

/// One turn.
#[derive(Debug, PartialEq)]
pub(in crate::model) struct Turn {
    /// User or assistant; tools answer for the user.
    pub(in crate::model) role: Role,
    /// At least one.
    pub(in crate::model) parts: Vec<Part>,
}

/// A part of a turn.
#[derive(Debug, PartialEq)]
pub(in crate::model) enum Part {
    /// Neighbouring texts are one, a blank line between them.
    Text(String),
    Call(ToolCall),
    Result(ToolResult),
}

/// The conversation of `request`, message by message.
///
/// # Errors
/// [`CallError::Rejected`] for what is no text, or the result of a tool that nobody asked for.
pub(in crate::model) fn said(request: &ChatRequest) -> Result<Vec<Said>, CallError> {
    let plain = request.messages.iter().map(|message| Said::Text(message.role, message.content.clone()));
    let mut list: Vec<Said> = plain.collect();
    for message in request.tools.iter().flat_map(|tools| &tools.messages) {
        let one = read(message, &list)?;
        list.push(one);
    }
    Ok(list)
}

fn read(message: &Value, before: &[Said]) -> Result<Said, CallError> {
    let text = text(&message["content"])?;
    let calls = message["tool_calls"].as_array().filter(|calls| !calls.is_empty());
    match (message["role"].as_str(), calls) {
        (Some("assistant"), Some(calls)) => {
            let thought = message["reasoning_content"].as_str().map(str::to_owned);
            Ok(Said::Calls { text, thought, calls: calls.iter().map(ToolCall::read).collect::<Result<_, _>>()? })
        }
        (Some("tool"), _) => {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let asked = before.iter().rev().filter_map(|said| match said {
                Said::Calls { calls, .. } => Some(calls),
                _ => None,
            });
            let Some(call) = asked.flatten().find(|call| call.id == id) else {
                let message = format!(
                    "a message of the role tool has the `tool_call_id` {id:?}, which no message before it asked for"
                );
                return Err(CallError::Rejected(message));
            };
            let (id, name, has_own_id) = (id.to_owned(), call.name.clone(), call.has_own_id());
            Ok(Said::Result(ToolResult { id, name, has_own_id, text }))
        }
        (Some("system" | "developer"), _) => Ok(Said::Text(Role::System, text)),
        (Some("user"), _) => Ok(Said::Text(Role::User, text)),
        (Some("assistant"), None) => Ok(Said::Text(Role::Assistant, text)),
        (role, _) => Err(CallError::Rejected(format!(
            "a message's role is {:?}; system, user, assistant and tool are available",
            role.unwrap_or_default()
        ))),
    }
}

/// A content's text: a string, none, or a list of texts.
fn text(content: &Value) -> Result<String, CallError> {
    let part = |part: &Value| part["text"].as_str().map(str::to_owned);
    let text = match content {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => None,
    };
    text.ok_or_else(|| {
        CallError::Rejected(
            "a message's content holds what is no text, and only text is passed on to this provider".to_owned(),
        )
    })
}

impl Turns {
    /// The conversation of `request`.
    ///
    /// # Errors
    /// As [`said`].
    pub(in crate::model) fn of(request: &ChatRequest) -> Result<Self, CallError> {
        let mut system = Vec::new();
        let mut turns: Vec<Turn> = Vec::new();
        for one in said(request)? {
            match one {
                Said::Text(Role::System, text) => system.push(text),
                Said::Text(role, text) => add(&mut turns, role, Part::Text(text)),
                Said::Result(result) => add(&mut turns, Role::User, Part::Result(result)),
                Said::Calls { text, calls, .. } => {
                    // Where something else is said, an empty text is nothing, and refused by some.
                    let text = (!text.is_empty()).then_some(Part::Text(text));
                    let parts = text.into_iter().chain(calls.into_iter().map(Part::Call));
                    parts.for_each(|part| add(&mut turns, Role::Assistant, part));
                }
            }
        }
        let system = (!system.is_empty()).then(|| system.join("\n\n"));
        if turns.is_empty() {
            let parts = vec![Part::Text(system.unwrap_or_default())];
            return Ok(Self { system: None, turns: vec![Turn { role: Role::User, parts }] });
        }
        Ok(Self { system, turns })
    }

    /// Whether a tool was asked for.
    pub(in crate::model) fn has_calls(&self) -> bool {
        self.turns.iter().flat_map(|turn| &turn.parts).any(|part| matches!(part, Part::Call(_)))
    }
}

/// Adds `part` to the turn of `role`.
fn add(turns: &mut Vec<Turn>, role: Role, part: Part) {
    match turns.last_mut() {
        Some(turn) if turn.role == role => match (turn.parts.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => {
                before.push_str("\n\n");
                before.push_str(&text);
            }
            (_, part) => turn.parts.push(part),
        },
        _ => turns.push(Turn { role, parts: vec![part] }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::tools::Tools;
    use crate::prompt::Message;

    fn plain(messages: &[(Role, &str)]) -> ChatRequest {
        let message = |(role, content): &(Role, &str)| Message { role: *role, content: (*content).into() };
        ChatRequest { messages: messages.iter().map(message).collect(), ..ChatRequest::default() }
    }

    fn with_tools(messages: Value) -> ChatRequest {
        let messages = serde_json::from_value(messages).unwrap();
        ChatRequest { tools: Some(Tools { messages, ..Tools::default() }), ..ChatRequest::default() }
    }

    fn turn(role: Role, text: &str) -> Turn {
        Turn { role, parts: vec![Part::Text(text.into())] }
    }

    #[test]
    fn system_texts_stand_apart_and_neighbours_of_one_role_are_one_turn() {
        let request = plain(&[
            (Role::System, "be brief"),
            (Role::User, "a"),
            (Role::User, "b"),
            (Role::Assistant, "c"),
            (Role::System, "be kind"),
            (Role::User, "d"),
        ]);
        let turns = vec![turn(Role::User, "a\n\nb"), turn(Role::Assistant, "c"), turn(Role::User, "d")];
        let system = Some("be brief\n\nbe kind".to_owned());
        assert_eq!(Turns::of(&request).unwrap(), Turns { system, turns });
        let alone = Turns { system: None, turns: vec![turn(Role::User, "be brief")] };
        assert_eq!(Turns::of(&plain(&[(Role::System, "be brief")])).unwrap(), alone);
    }

    #[test]
    fn tools_that_are_asked_for_and_what_they_gave_are_parts_of_turns() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "look_up", "arguments": "{}"}});
        let request = with_tools(json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": null, "tool_calls": [call("c1"), call("call_ratchet_2")]},
            {"role": "tool", "tool_call_id": "c1", "content": "gold"},
            {"role": "tool", "tool_call_id": "call_ratchet_2", "content": "silver"},
            {"role": "user", "content": "so?"},
        ]));
        let Turns { system, turns } = Turns::of(&request).unwrap();
        assert_eq!((system.as_deref(), turns.len()), (Some("be brief"), 3));
        let asked = |id: &str| {
            let (id, name, arguments) = (id.to_owned(), "look_up".to_owned(), "{}".to_owned());
            Part::Call(ToolCall { id, name, arguments, kept: Value::Null })
        };
        let gave = |id: &str, has_own_id, text: &str| {
            let (id, name, text) = (id.to_owned(), "look_up".to_owned(), text.to_owned());
            Part::Result(ToolResult { id, name, has_own_id, text })
        };
        assert_eq!(turns[1], Turn { role: Role::Assistant, parts: vec![asked("c1"), asked("call_ratchet_2")] });
        let parts = vec![gave("c1", true, "gold"), gave("call_ratchet_2", false, "silver"), Part::Text("so?".into())];
        assert_eq!(turns[2], Turn { role: Role::User, parts });
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        for (message, told) in [
            (json!({"role": "tool", "tool_call_id": "c9", "content": "x"}), "\"c9\", which no message before it"),
            (json!({"role": "robot", "content": "x"}), "role is \"robot\""),
            (json!({"role": "user", "content": [{"type": "image_url"}]}), "no text"),
            (json!({"role": "assistant", "tool_calls": [{"id": "c1"}]}), "no `function.name`"),
        ] {
            let error = Turns::of(&with_tools(json!([message]))).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
