//! Messages as a stream (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>): the message without its content,
//! its blocks piece by piece, what is only known at the end, and a last event that says so.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error;
use serde_json::{Map, Value, json};

use crate::model::http::{Gather, Seen, Streams, append, renew};

/// How messages are streamed.
pub(super) struct Events;

impl Streams for Events {
    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered::default())
    }
}

/// What has come.
#[derive(Default)]
struct Gathered {
    message: Option<Map<String, Value>>,
    blocks: BTreeMap<u64, Block>,
    is_whole: bool,
}

/// A block of the content.
struct Block {
    block: Map<String, Value>,
    /// The JSON text of a tool's input, where it came in pieces.
    input: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Map<String, Value>,
    },
    ContentBlockStart {
        index: u64,
        content_block: Map<String, Value>,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Map<String, Value>,
        usage: Option<Map<String, Value>>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    /// A ping, the end of a block, or what is yet to come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: String },
    #[serde(other)]
    Other,
}

impl Gather for Gathered {
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen> {
        match serde_json::from_slice(data)? {
            Event::MessageStart { message } => self.message = Some(message),
            Event::ContentBlockStart { index, content_block } => {
                self.blocks.insert(index, Block { block: content_block, input: String::new() });
            }
            Event::ContentBlockDelta { index, delta } => {
                let block = self.blocks.get_mut(&index);
                let block = block.ok_or_else(|| serde_json::Error::custom(format!("no block {index} has begun")))?;
                match delta {
                    Delta::Text { text } => append(&mut block.block, "text", &text),
                    Delta::Thinking { thinking } => append(&mut block.block, "thinking", &thinking),
                    Delta::Signature { signature } => append(&mut block.block, "signature", &signature),
                    Delta::Input { partial_json } => block.input.push_str(&partial_json),
                    Delta::Other => {}
                }
            }
            Event::MessageDelta { delta, usage } => self.end(delta, usage.unwrap_or_default())?,
            Event::MessageStop => {
                self.is_whole = true;
                return Ok(Seen::Last);
            }
            Event::Error { error } => return Ok(Seen::Failure(json!({ "error": error }))),
            Event::Other => {}
        }
        Ok(Seen::Part)
    }

    fn body(self: Box<Self>) -> Option<Value> {
        let mut message = self.message.filter(|_| self.is_whole)?;
        let blocks = self.blocks.into_values().map(|Block { mut block, input }| {
            if !input.is_empty() {
                // One that was cut at the most tokens is no JSON, and told as it is.
                let input = serde_json::from_str(&input).unwrap_or(Value::String(input));
                block.insert("input".to_owned(), input);
            }
            Value::from(block)
        });
        message.insert("content".to_owned(), blocks.collect());
        Some(message.into())
    }
}

impl Gathered {
    /// What is only known at the end: the stop reason, and tokens, which are those so far, not those since.
    fn end(&mut self, delta: Map<String, Value>, usage: Map<String, Value>) -> serde_json::Result<()> {
        let message = self.message.as_mut().ok_or_else(|| serde_json::Error::custom("no message has begun"))?;
        renew(message, delta);
        match message.get_mut("usage") {
            Some(Value::Object(known)) => renew(known, usage),
            _ => drop(message.insert("usage".to_owned(), usage.into())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(events: &[Value]) -> Option<Value> {
        let mut gathered = Box::<Gathered>::default();
        for event in events {
            gathered.take(event.to_string().as_bytes()).unwrap_or_else(|error| panic!("{event}: {error}"));
        }
        gathered.body()
    }

    fn start() -> Value {
        json!({"type": "message_start", "message": {"type": "message", "content": [], "stop_reason": null,
               "usage": {"input_tokens": 20, "output_tokens": 1}}})
    }

    #[test]
    fn a_tools_input_is_read_from_its_pieces_and_kept_as_text_where_it_was_cut() {
        let piece = |text: &str| json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}});
        let tool = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        for (pieces, input) in
            [(vec!["", "{\"a\"", ": 1}"], json!({"a": 1})), (vec!["{\"a\""], json!("{\"a\"")), (vec![], json!({}))]
        {
            let mut events = vec![start(), json!({"type": "content_block_start", "index": 1, "content_block": tool})];
            events.extend(pieces.into_iter().map(piece));
            events.push(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9, "input_tokens": null}}));
            assert_eq!(gathered(&events), None, "it has not ended");
            events.push(json!({"type": "message_stop"}));
            let body = gathered(&events).unwrap();
            assert_eq!((&body["content"][0]["input"], &body["content"][0]["name"]), (&input, &json!("f")));
            assert_eq!(
                (&body["usage"], &body["stop_reason"]),
                (&json!({"input_tokens": 20, "output_tokens": 9}), &json!("tool_use"))
            );
        }
    }

    #[test]
    fn pieces_of_what_has_not_begun_are_invalid_and_unknown_events_are_passed_over() {
        let mut gathered = Gathered::default();
        for invalid in [
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "message_delta", "delta": {}}),
            json!({"type": "message_start"}),
            json!({"no": "type"}),
        ] {
            assert!(gathered.take(invalid.to_string().as_bytes()).is_err(), "{invalid}");
        }
        for unknown in ["{\"type\": \"ping\"}", "{\"type\": \"x\", \"a\": 1}"] {
            assert_eq!(gathered.take(unknown.as_bytes()).unwrap(), Seen::Part);
        }
    }
}
