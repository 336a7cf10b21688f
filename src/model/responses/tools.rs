//! Tools in OpenAI's Responses (<https://platform.openai.com/docs/guides/function-calling>): calls and what they gave are
//! items of the input, told by the call's id. Reasoning that came encrypted (`extra = { include =
//! ["reasoning.encrypted_content"] }`) comes back with the call that it led to: it is kept with the first one.

use serde_json::{Value, json};

use super::Item;
use crate::model::tools::{Choice, Offer, Part, Tool, ToolCall, Turn};
use crate::prompt::Role;

/// Where the items of reasoning are kept.
const KEPT: [&str; 2] = ["openai", "reasoning"];

/// Writes what the model may ask for.
pub(super) fn offer(body: &mut Value, offer: &Offer) {
    if offer.tools.is_empty() {
        return;
    }
    body["tools"] = offer.tools.iter().map(tool).collect();
    match &offer.choice {
        Choice::Auto => {}
        Choice::None => body["tool_choice"] = json!("none"),
        Choice::Required => body["tool_choice"] = json!("required"),
        Choice::Named(name) => body["tool_choice"] = json!({"type": "function", "name": name}),
    }
    if let Some(parallel) = offer.parallel {
        body["parallel_tool_calls"] = json!(parallel);
    }
}

/// What chat completions leave open is not strict there, and would be here.
fn tool(tool: &Tool) -> Value {
    let strict = tool.strict.unwrap_or(false);
    let mut written = json!({"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": strict});
    if let Some(description) = &tool.description {
        written["description"] = json!(description);
    }
    written
}

/// The items of a turn.
pub(super) fn items(turn: &Turn) -> Vec<Value> {
    let mut items = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => items.push(said(turn.role, text)),
            Part::Call(call) => {
                let thought = call.kept[KEPT[0]][KEPT[1]].as_array();
                // Before all that was said of that turn.
                items.splice(0..0, thought.into_iter().flatten().cloned());
                let (id, name) = (&call.id, &call.name);
                items.push(json!({"type": "function_call", "call_id": id, "name": name, "arguments": call.arguments}));
            }
            Part::Result(result) => {
                items.push(json!({"type": "function_call_output", "call_id": result.id, "output": result.text}));
            }
        }
    }
    items
}

fn said(role: Role, text: &str) -> Value {
    json!({"role": role, "content": text})
}

/// The calls among an answer's items.
pub(super) fn asked(items: &[Item]) -> Vec<ToolCall> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let call = |item: &Item| ToolCall {
        id: text(&item.call_id),
        name: text(&item.name),
        arguments: text(&item.arguments),
        kept: Value::Null,
    };
    let mut calls: Vec<ToolCall> = items.iter().filter(|item| item.kind == "function_call").map(call).collect();
    let thought = items.iter().filter_map(|item| {
        let (encrypted, summary) = (item.encrypted_content.as_ref()?, item.summary.iter().flatten());
        let summary: Vec<Value> = summary
            .map(|part| json!({"type": "summary_text", "text": part.text.clone().unwrap_or_default()}))
            .collect();
        Some(json!({"type": "reasoning", "id": item.id, "summary": summary, "encrypted_content": encrypted}))
    });
    let thought: Vec<Value> = thought.collect();
    if let Some(first) = calls.first_mut().filter(|_| !thought.is_empty()) {
        first.kept = json!({KEPT[0]: {KEPT[1]: thought}});
    }
    calls
}
