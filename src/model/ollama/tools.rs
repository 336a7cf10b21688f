//! Tools in Ollama's own chat (<https://docs.ollama.com/capabilities/tool-calling>): messages with `tool_calls`, whose
//! arguments are objects, and messages of the role `tool`, which say the name of the tool.

use serde_json::{Value, json};

use crate::model::CallError;
use crate::model::tools::{Choice, Offer, Said, Tool, ToolCall, unsayable};

const NAME: &str = "Ollama's own chat";

/// Writes what the model may ask for.
///
/// # Errors
/// That it must ask, or one by one, for which there are no switches.
pub(super) fn offer(body: &mut Value, offer: &Offer) -> Result<(), CallError> {
    offer.may_be_parallel(NAME)?;
    let advice = "leave `tool_choice` out, or use the provider `openai` at the same address, with /v1";
    match &offer.choice {
        Choice::Required => return Err(unsayable(NAME, "`tool_choice: \"required\"`", advice)),
        Choice::Named(name) => return Err(unsayable(NAME, &format!("`tool_choice` of {name:?}"), advice)),
        // Not to tell of any tool says the same.
        Choice::None => return Ok(()),
        Choice::Auto => {}
    }
    if !offer.tools.is_empty() {
        body["tools"] = offer.tools.iter().map(tool).collect();
    }
    Ok(())
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name, "parameters": tool.parameters});
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    json!({"type": "function", "function": function})
}

/// The messages of a conversation.
///
/// # Errors
/// Arguments that are no object.
pub(super) fn messages(said: &[Said]) -> Result<Vec<Value>, CallError> {
    said.iter().map(message).collect()
}

fn message(said: &Said) -> Result<Value, CallError> {
    Ok(match said {
        Said::Text(role, text) => json!({"role": role, "content": text}),
        Said::Result(result) => json!({"role": "tool", "tool_name": result.name, "content": result.text}),
        Said::Calls { text, thought, calls } => {
            let call = |call: &ToolCall| -> Result<Value, CallError> {
                Ok(json!({"function": {"name": call.name, "arguments": call.object()?}}))
            };
            let calls = calls.iter().map(call).collect::<Result<Vec<_>, _>>()?;
            let mut message = json!({"role": "assistant", "content": text, "tool_calls": calls});
            if let Some(thought) = thought {
                message["thinking"] = json!(thought);
            }
            message
        }
    })
}

/// The calls of an answer.
pub(super) fn asked(calls: &[Value]) -> Vec<ToolCall> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |call: &Value| ToolCall {
        // Newer servers give one.
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: call["function"].get("arguments").unwrap_or(&json!({})).to_string(),
        kept: Value::Null,
    };
    calls.iter().map(call).collect()
}
