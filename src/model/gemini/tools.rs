//! Tools in Gemini's generateContent (<https://ai.google.dev/gemini-api/docs/function-calling>): what is offered, what was
//! asked for and what it gave, as parts of a turn. The signature of the thought behind a call has to come back with it
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>): it is kept where Google's own chat completions put it.

use serde_json::{Map, Value, json};

use super::Part as Answered;
use crate::model::CallError;
use crate::model::tools::{Choice, Offer, Part, Tool, ToolCall, ToolResult, Turn};

/// Writes what the model may ask for.
///
/// # Errors
/// Calls one by one, for which there is no switch.
pub(super) fn offer(body: &mut Value, offer: &Offer) -> Result<(), CallError> {
    offer.may_be_parallel("Gemini's generateContent")?;
    if offer.tools.is_empty() {
        return Ok(());
    }
    body["tools"] = json!([{"functionDeclarations": offer.tools.iter().map(tool).collect::<Vec<_>>()}]);
    let calling = match &offer.choice {
        Choice::Auto => return Ok(()),
        Choice::None => json!({"mode": "NONE"}),
        Choice::Required => json!({"mode": "ANY"}),
        Choice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    body["toolConfig"] = json!({ "functionCallingConfig": calling });
    Ok(())
}

fn tool(tool: &Tool) -> Value {
    let mut declared = json!({"name": tool.name, "parametersJsonSchema": tool.parameters});
    if let Some(description) = &tool.description {
        declared["description"] = json!(description);
    }
    declared
}

/// A turn's parts.
///
/// # Errors
/// Arguments that are no object.
pub(super) fn parts(turn: &Turn) -> Result<Vec<Value>, CallError> {
    turn.parts.iter().map(part).collect()
}

fn part(part: &Part) -> Result<Value, CallError> {
    Ok(match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Call(call) => {
            let mut asked = json!({"name": call.name, "args": call.object()?});
            if call.has_own_id() {
                asked["id"] = json!(call.id);
            }
            let mut part = json!({ "functionCall": asked });
            let signature = &call.kept["google"]["thought_signature"];
            if !signature.is_null() {
                part["thoughtSignature"] = signature.clone();
            }
            part
        }
        Part::Result(result) => {
            let mut gave = json!({"name": result.name, "response": response(result)});
            if result.has_own_id {
                gave["id"] = json!(result.id);
            }
            json!({ "functionResponse": gave })
        }
    })
}

/// What a tool gave must be an object; the key for what is none is Gemini's own.
fn response(result: &ToolResult) -> Map<String, Value> {
    let object = serde_json::from_str(&result.text);
    object.unwrap_or_else(|_| Map::from_iter([("output".to_owned(), json!(result.text))]))
}

/// The calls among an answer's parts.
pub(super) fn asked(parts: &[Answered]) -> Vec<ToolCall> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |part: &Answered| {
        let call = part.function_call.as_ref()?;
        let kept = part.thought_signature.as_ref();
        Some(ToolCall {
            id: text(&call["id"]),
            name: text(&call["name"]),
            arguments: call.get("args").unwrap_or(&json!({})).to_string(),
            kept: kept.map_or(Value::Null, |signature| json!({"google": {"thought_signature": signature}})),
        })
    };
    parts.iter().filter_map(call).collect()
}
