//! Responses as a stream (<https://platform.openai.com/docs/api-reference/responses-streaming>). The last event holds the
//! whole response, so that of all others only finished items matter: some gateways leave them out at the end.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::http::{DONE, Gather, Seen, Streams};

/// How responses are streamed.
pub(super) struct Events;

impl Streams for Events {
    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered::default())
    }
}

/// What has come.
#[derive(Default)]
struct Gathered {
    /// Finished items of the output by their place.
    items: BTreeMap<u64, Value>,
    /// The whole, at the end.
    response: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    response: Option<Map<String, Value>>,
    output_index: Option<u64>,
    item: Option<Value>,
    error: Option<Value>,
    code: Option<Value>,
    message: Option<Value>,
    param: Option<Value>,
}

impl Gather for Gathered {
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen> {
        if data.trim_ascii() == DONE {
            return Ok(Seen::Last);
        }
        let event: Event = serde_json::from_slice(data)?;
        match event.kind.as_deref() {
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                self.response = event.response;
                return Ok(Seen::Last);
            }
            Some("response.output_item.done") => {
                if let (Some(at), Some(item)) = (event.output_index, event.item) {
                    self.items.insert(at, item);
                }
            }
            // In a frame, or as the documentation has it.
            Some("error") | None => {
                let bare = json!({"code": event.code, "message": event.message, "param": event.param});
                return Ok(Seen::Failure(json!({"error": event.error.unwrap_or(bare)})));
            }
            Some(_) => {}
        }
        Ok(Seen::Part)
    }

    fn body(self: Box<Self>) -> Option<Value> {
        let mut response = self.response?;
        let is_empty = response.get("output").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if is_empty && !self.items.is_empty() {
            response.insert("output".to_owned(), self.items.into_values().collect());
        }
        Some(response.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_the_last_event_leaves_out_are_those_that_were_finished() {
        let item = |at: u64| json!({"type": "response.output_item.done", "output_index": at, "item": {"n": at}});
        let last = |output: Value| json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
        for (events, output) in [
            (vec![item(1), item(0), last(json!([]))], json!([{"n": 0}, {"n": 1}])),
            (vec![item(0), last(Value::Null)], json!([{"n": 0}])),
            (vec![item(0), last(json!([{"n": 7}]))], json!([{"n": 7}])),
            (vec![last(json!([]))], json!([])),
        ] {
            let mut gathered = Box::<Gathered>::default();
            let seen: Vec<Seen> =
                events.iter().map(|event| gathered.take(event.to_string().as_bytes()).unwrap()).collect();
            assert_eq!(seen.last(), Some(&Seen::Last));
            assert_eq!(gathered.body().unwrap()["output"], output, "{events:?}");
        }
    }

    #[test]
    fn an_event_that_nobody_knows_is_passed_over_and_one_without_a_name_is_none() {
        let mut gathered = Box::<Gathered>::default();
        assert_eq!(gathered.take(br#"{"type": "keepalive", "sequence_number": 3}"#).unwrap(), Seen::Part);
        assert!(matches!(gathered.take(br#"{"message": "words"}"#).unwrap(), Seen::Failure(_)));
        assert_eq!(gathered.take(b"[DONE]").unwrap(), Seen::Last);
        assert_eq!(gathered.body(), None);
    }
}
