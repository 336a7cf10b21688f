//! Tools in Anthropic's messages (<https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview>): what is
//! offered, what was asked for and what it gave, as blocks of a turn. Thinking that came before a call has to come back
//! with it, signed as it was: it is kept with the turn's first call.

use serde_json::{Value, json};

use super::Block;
use crate::model::CallError;
use crate::model::tools::{Choice, Offer, Part, Tool, ToolCall, Turn};

/// Where the blocks of thinking are kept.
const KEPT: [&str; 2] = ["anthropic", "thinking"];

/// Writes what the model may ask for. A choice among no tools would be refused.
pub(super) fn offer(body: &mut Value, offer: &Offer) {
    if offer.tools.is_empty() {
        return;
    }
    body["tools"] = offer.tools.iter().map(tool).collect();
    let one_by_one = offer.parallel == Some(false);
    let mut choice = match &offer.choice {
        Choice::Auto if !one_by_one => return,
        Choice::Auto => json!({"type": "auto"}),
        Choice::None => json!({"type": "none"}),
        Choice::Required => json!({"type": "any"}),
        Choice::Named(name) => json!({"type": "tool", "name": name}),
    };
    if one_by_one && offer.choice != Choice::None {
        choice["disable_parallel_tool_use"] = json!(true);
    }
    body["tool_choice"] = choice;
}

fn tool(tool: &Tool) -> Value {
    let mut written = json!({"name": tool.name, "input_schema": tool.parameters});
    if let Some(description) = &tool.description {
        written["description"] = json!(description);
    }
    written
}

/// A turn's blocks.
///
/// # Errors
/// Arguments that are no object.
pub(super) fn blocks(turn: &Turn) -> Result<Vec<Value>, CallError> {
    let mut blocks = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => blocks.push(json!({"type": "text", "text": text})),
            Part::Call(call) => {
                let thought = call.kept[KEPT[0]][KEPT[1]].as_array();
                // Before all that was said of that turn.
                blocks.splice(0..0, thought.into_iter().flatten().cloned());
                blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.object()?}));
            }
            Part::Result(result) => {
                blocks.push(json!({"type": "tool_result", "tool_use_id": result.id, "content": result.text}));
            }
        }
    }
    Ok(blocks)
}

/// The calls among an answer's blocks.
pub(super) fn asked(blocks: &[Block]) -> Vec<ToolCall> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let call = |block: &Block| ToolCall {
        id: text(&block.id),
        name: text(&block.name),
        arguments: block.input.as_ref().unwrap_or(&json!({})).to_string(),
        kept: Value::Null,
    };
    let mut calls: Vec<ToolCall> = blocks.iter().filter(|block| block.kind == "tool_use").map(call).collect();
    let thinking = blocks.iter().filter(|block| matches!(block.kind.as_str(), "thinking" | "redacted_thinking"));
    let thinking: Vec<&Block> = thinking.collect();
    if let Some(first) = calls.first_mut().filter(|_| !thinking.is_empty()) {
        first.kept = json!({KEPT[0]: {KEPT[1]: thinking}});
    }
    calls
}
