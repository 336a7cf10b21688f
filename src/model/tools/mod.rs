//! Tools: what a model is offered, and what it asks for.
//!
//! A request holds them as OpenAI's chat completions write them ([`Tools`]), which is how programs speak and how most
//! providers are spoken to. The other dialects read them from there into one shape ([`Offer`], and the conversation as
//! [`Said`] or [`Turns`]), and write what a model asks for ([`ToolCall`]) back into it.
//!
//! | file | what it owns |
//! |---|---|
//! | here | what is offered, what is asked for |
//! | `turns.rs` | the conversation: who said what, which tools were asked for, what they gave |

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Call, CallError, Completion};
use crate::digest::Digest;
pub(super) use turns::{Part, Said, ToolResult, Turn, Turns, said};

mod turns;

/// A request's tools and its conversation, as OpenAI's chat completions write them
/// (<https://platform.openai.com/docs/api-reference/chat/create>), kept as they were written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tools {
    /// The whole conversation: plain messages, messages with `tool_calls`, and those of the role `tool`.
    pub messages: Vec<Value>,
    /// What the model may ask for; may be empty where only the conversation is about tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Whether it must, and which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Whether it may ask for several at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
}

/// The tools that a model is offered.
#[derive(Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Choice,
    /// Whether it may ask for several at once; `None` for the provider's default.
    pub(super) parallel: Option<bool>,
}

/// One tool.
#[derive(Debug, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// A JSON schema of an object.
    pub(super) parameters: Value,
    /// Whether the arguments are to keep to the schema to the letter.
    pub(super) strict: Option<bool>,
}

/// Whether a tool must be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    /// As the model likes.
    Auto,
    /// None may.
    None,
    /// One at least.
    Required,
    /// The one of this name.
    Named(String),
}

impl Tools {
    /// What is offered.
    ///
    /// # Errors
    /// [`CallError::Rejected`] for what no dialect but chat completions can say.
    pub(super) fn offer(&self) -> Result<Offer, CallError> {
        Ok(Offer {
            tools: self.tools.iter().map(tool).collect::<Result<_, _>>()?,
            choice: choice(self.tool_choice.as_ref())?,
            parallel: self.parallel_tool_calls,
        })
    }
}

impl Offer {
    /// An error where `parallel_tool_calls` is false, for `dialect`, which has no switch for it.
    pub(super) fn may_be_parallel(&self, dialect: &str) -> Result<(), CallError> {
        match self.parallel {
            Some(false) => Err(unsayable(dialect, "`parallel_tool_calls: false`", "leave it out")),
            _ => Ok(()),
        }
    }
}

/// That `what` can't be said in `dialect`, and what to do.
pub(super) fn unsayable(dialect: &str, what: &str, advice: &str) -> CallError {
    CallError::Rejected(format!("{what} can't be said in {dialect}: {advice}"))
}

fn tool(written: &Value) -> Result<Tool, CallError> {
    let kind = written["type"].as_str().unwrap_or_default();
    let function = &written["function"];
    let (true, Some(name)) = (kind == "function", function["name"].as_str()) else {
        let message = format!(
            "a tool of the type {kind:?}: this provider is offered functions alone; write {{\"type\": \"function\", \
             \"function\": {{\"name\": .., \"parameters\": ..}}}}"
        );
        return Err(CallError::Rejected(message));
    };
    let parameters = function.get("parameters").filter(|schema| !schema.is_null()).cloned();
    Ok(Tool {
        name: name.to_owned(),
        description: function["description"].as_str().map(str::to_owned),
        // A function without parameters is one of none.
        parameters: parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        strict: function["strict"].as_bool(),
    })
}

fn choice(written: Option<&Value>) -> Result<Choice, CallError> {
    let Some(written) = written else { return Ok(Choice::Auto) };
    let named = written["function"]["name"].as_str().filter(|_| written["type"] == "function");
    match (written.as_str(), named) {
        (Some("auto"), _) => Ok(Choice::Auto),
        (Some("none"), _) => Ok(Choice::None),
        (Some("required"), _) => Ok(Choice::Required),
        (_, Some(name)) => Ok(Choice::Named(name.to_owned())),
        _ => Err(CallError::Rejected(format!(
            "`tool_choice` is {written}: write \"auto\", \"none\", \"required\" or {{\"type\": \"function\", \"function\": \
             {{\"name\": ..}}}}"
        ))),
    }
}

/// A tool that a model asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ToolCall {
    /// Unique within its conversation; empty where the provider gives none (see [`name_calls`]).
    pub(super) id: String,
    pub(super) name: String,
    /// A JSON object as text; a model may write what is none.
    pub(super) arguments: String,
    /// What the provider wants to see again with the call, by the provider's name; null where that is nothing. It stands
    /// where Google puts the signatures of thoughts in chat completions (`extra_content`).
    pub(super) kept: Value,
}

impl ToolCall {
    /// The arguments for providers that take an object.
    ///
    /// # Errors
    /// [`CallError::Rejected`] for what is none.
    pub(super) fn object(&self) -> Result<Map<String, Value>, CallError> {
        let text = if self.arguments.trim().is_empty() { "{}" } else { &self.arguments };
        serde_json::from_str(text).map_err(|_| {
            let Self { id, name, .. } = self;
            CallError::Rejected(format!(
                "the arguments of the tool call {id:?} ({name}) are no JSON object, and this provider takes nothing else: \
                 mend them in the conversation, or ask again without that message"
            ))
        })
    }

    /// Whether the provider gave it its id.
    pub(super) fn has_own_id(&self) -> bool {
        !self.id.starts_with(MADE_UP)
    }

    fn read(written: &Value) -> Result<Self, CallError> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let function = &written["function"];
        let (Some(id), Some(name)) = (text(&written["id"]), text(&function["name"])) else {
            let message = format!("a tool call has no `id` or no `function.name`: {written}");
            return Err(CallError::Rejected(message));
        };
        let arguments = text(&function["arguments"]).unwrap_or_default();
        Ok(Self { id, name, arguments, kept: written["extra_content"].clone() })
    }

    fn written(self) -> Value {
        let function = json!({"name": self.name, "arguments": self.arguments});
        let mut call = json!({"id": self.id, "type": "function", "function": function});
        if !self.kept.is_null() {
            call["extra_content"] = self.kept;
        }
        call
    }
}

/// What is asked for as a [`Completion`] holds it; nothing for an empty list.
pub(super) fn written(calls: Vec<ToolCall>) -> Option<Value> {
    (!calls.is_empty()).then(|| calls.into_iter().map(ToolCall::written).collect())
}

/// How ids begin that no provider gave.
const MADE_UP: &str = "call_ratchet_";

/// Gives an id to each tool that `completion` asks for without one, which what the tool gives will be told by. It is made of
/// the request and its draw, so that it is the same one whenever the call is made, and another one in each request of a
/// conversation.
pub(super) fn name_calls(completion: &mut Completion, call: &Call) {
    let calls = completion.tool_calls.iter_mut().filter_map(Value::as_array_mut).flatten();
    for (at, written) in calls.enumerate() {
        if written["id"].as_str().is_none_or(str::is_empty) && written.is_object() {
            let request = serde_json::to_vec(&call.request).unwrap_or_default();
            let digest = Digest::of_parts([request.as_slice(), call.draw.as_bytes()]);
            written["id"] = json!(format!("{MADE_UP}{}_{at}", digest.short()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{answer, call};

    fn tools(tools: Value, choice: Value) -> Tools {
        let tools = serde_json::from_value(tools).unwrap();
        Tools { tools, tool_choice: (!choice.is_null()).then_some(choice), ..Tools::default() }
    }

    #[test]
    fn an_offer_is_read_with_its_choice() {
        let schema = json!({"type": "object", "properties": {"id": {"type": "integer"}}});
        let written = json!([
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": true}},
            {"type": "function", "function": {"name": "g"}},
        ]);
        let offer = tools(written, json!("required")).offer().unwrap();
        let [f, g] = <[Tool; 2]>::try_from(offer.tools).unwrap();
        assert_eq!((f.parameters, f.description.as_deref(), f.strict), (schema, Some("d"), Some(true)));
        assert_eq!((g.parameters, g.description), (json!({"type": "object", "properties": {}}), None));
        for (written, read) in [
            (Value::Null, Choice::Auto),
            (json!("auto"), Choice::Auto),
            (json!("none"), Choice::None),
            (json!("required"), Choice::Required),
            (json!({"type": "function", "function": {"name": "f"}}), Choice::Named("f".into())),
        ] {
            assert_eq!(tools(json!([]), written).offer().unwrap().choice, read);
        }
    }

    #[test]
    fn what_no_other_dialect_can_say_is_refused_by_name() {
        for (offer, told) in [
            (tools(json!([{"type": "custom", "custom": {"name": "f"}}]), Value::Null), "the type \"custom\""),
            (tools(json!([]), json!("always")), "`tool_choice` is \"always\""),
        ] {
            let error = offer.offer().unwrap_err();
            assert!(matches!(&error, CallError::Rejected(message) if message.contains(told)), "{error}");
        }
        let mut one_by_one = tools(json!([]), Value::Null);
        one_by_one.parallel_tool_calls = Some(false);
        let error = one_by_one.offer().unwrap().may_be_parallel("Gemini's dialect").unwrap_err();
        assert!(
            error.to_string().contains("`parallel_tool_calls: false` can't be said in Gemini's dialect"),
            "{error}"
        );
    }

    #[test]
    fn arguments_are_an_object_or_nothing() {
        let of = |arguments: &str| ToolCall { arguments: arguments.into(), ..ToolCall::default() }.object();
        assert_eq!((of("").unwrap().len(), of("{\"a\": 1}").unwrap().len()), (0, 1));
        assert!(of("[1]").is_err() && of("{oops").is_err());
    }

    #[test]
    fn calls_without_an_id_get_one_that_is_the_same_again_and_another_in_another_request() {
        let ids = |draw: &str| -> Vec<String> {
            let asked = ["", "own", ""].map(|id| ToolCall { id: id.into(), name: "f".into(), ..ToolCall::default() });
            let mut completion = Completion { tool_calls: written(asked.into()), ..answer("") };
            name_calls(&mut completion, &call(draw));
            let calls = completion.tool_calls.unwrap();
            calls.as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
        };
        let first = ids("0");
        assert!(first[0].starts_with(MADE_UP) && first[0] != first[2], "{first:?}");
        assert_eq!((first[1].as_str(), &first), ("own", &ids("0")));
        assert_ne!(first[0], ids("1")[0]);
    }
}
