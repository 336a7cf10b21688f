//! Tools in Bedrock's Converse (<https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html>): what
//! is offered, what was asked for and what it gave, as blocks of a turn. Reasoning that came before a call comes back with
//! it, signed as it was: it is kept with the turn's first call.

use serde_json::{Value, json};

use super::Block;
use crate::model::CallError;
use crate::model::tools::{Choice, Offer, Part, Tool, ToolCall, Turn, unsayable};

const NAME: &str = "Bedrock's Converse";

/// Where the blocks of reasoning are kept.
const KEPT: [&str; 2] = ["bedrock", "reasoning"];

/// Writes what the model may ask for, in a conversation that `has_calls` or not.
///
/// # Errors
/// Calls one by one; no call at all where some were made before, as Converse wants to be told of the tools then.
pub(super) fn offer(body: &mut Value, offer: &Offer, has_calls: bool) -> Result<(), CallError> {
    offer.may_be_parallel(NAME)?;
    let choice = match &offer.choice {
        // Not to tell of any tool says the same.
        Choice::None if !has_calls => return Ok(()),
        Choice::None => {
            let advice = "leave it out, or ask without the messages about tools";
            return Err(unsayable(NAME, "`tool_choice: \"none\"` after tool calls", advice));
        }
        Choice::Auto => None,
        Choice::Required => Some(json!({"any": {}})),
        Choice::Named(name) => Some(json!({"tool": {"name": name}})),
    };
    if offer.tools.is_empty() {
        return Ok(());
    }
    body["toolConfig"] = json!({"tools": offer.tools.iter().map(tool).collect::<Vec<_>>()});
    if let Some(choice) = choice {
        body["toolConfig"]["toolChoice"] = choice;
    }
    Ok(())
}

fn tool(tool: &Tool) -> Value {
    let mut spec = json!({"name": tool.name, "inputSchema": {"json": tool.parameters}});
    if let Some(description) = &tool.description {
        spec["description"] = json!(description);
    }
    json!({ "toolSpec": spec })
}

/// A turn's blocks.
///
/// # Errors
/// Arguments that are no object.
pub(super) fn blocks(turn: &Turn) -> Result<Vec<Value>, CallError> {
    let mut blocks = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => blocks.push(json!({ "text": text })),
            Part::Call(call) => {
                let thought = call.kept[KEPT[0]][KEPT[1]].as_array().into_iter().flatten();
                // Before all that was said of that turn.
                blocks.splice(0..0, thought.map(|block| json!({ "reasoningContent": block })));
                let (id, name) = (&call.id, &call.name);
                blocks.push(json!({"toolUse": {"toolUseId": id, "name": name, "input": call.object()?}}));
            }
            Part::Result(result) => {
                let content = json!([{"text": result.text}]);
                blocks.push(json!({"toolResult": {"toolUseId": result.id, "content": content}}));
            }
        }
    }
    Ok(blocks)
}

/// The calls among an answer's blocks.
pub(super) fn asked(blocks: &[Block]) -> Vec<ToolCall> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |call: &Value| ToolCall {
        id: text(&call["toolUseId"]),
        name: text(&call["name"]),
        arguments: call.get("input").unwrap_or(&json!({})).to_string(),
        kept: Value::Null,
    };
    let mut calls: Vec<ToolCall> = blocks.iter().filter_map(|block| block.tool_use.as_ref()).map(call).collect();
    let thought: Vec<&Value> = blocks.iter().filter_map(|block| block.reasoning_content.as_ref()).collect();
    if let Some(first) = calls.first_mut().filter(|_| !thought.is_empty()) {
        first.kept = json!({KEPT[0]: {KEPT[1]: thought}});
    }
    calls
}
