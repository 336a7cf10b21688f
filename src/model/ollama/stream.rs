//! Chat as a stream (<https://docs.ollama.com/api/streaming>): a line of JSON for each piece of the message, the last of which
//! says that it is done, why, and how many tokens there were.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::http::{Framing, Gather, Seen, Streams, append, renew};

/// How chat is streamed.
pub(super) struct Lines;

impl Streams for Lines {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered::default())
    }
}

/// What has come.
#[derive(Default)]
struct Gathered {
    message: Map<String, Value>,
    tool_calls: Vec<Value>,
    logprobs: Vec<Value>,
    /// All else that the last line says.
    last: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
    logprobs: Option<Vec<Value>>,
    #[serde(default)]
    done: bool,
    error: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Gather for Gathered {
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen> {
        let line: Line = serde_json::from_slice(data)?;
        if let Some(error) = line.error {
            return Ok(Seen::Failure(json!({ "error": error })));
        }
        if let Some(message) = line.message {
            for (key, text) in [("content", message.content), ("thinking", message.thinking)] {
                if let Some(text) = text {
                    append(&mut self.message, key, &text);
                }
            }
            self.tool_calls.extend(message.tool_calls.into_iter().flatten());
            renew(&mut self.message, message.rest);
        }
        self.logprobs.extend(line.logprobs.into_iter().flatten());
        if !line.done {
            return Ok(Seen::Part);
        }
        self.last = Some(line.rest);
        Ok(Seen::Last)
    }

    fn body(self: Box<Self>) -> Option<Value> {
        let (mut body, mut message) = (self.last?, self.message);
        if !self.tool_calls.is_empty() {
            message.insert("tool_calls".to_owned(), self.tool_calls.into());
        }
        if !self.logprobs.is_empty() {
            body.insert("logprobs".to_owned(), self.logprobs.into());
        }
        body.extend([("message".to_owned(), message.into()), ("done".to_owned(), json!(true))]);
        Some(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_message_are_put_together_under_what_the_last_line_says() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {}}});
        let lines = [
            json!({"model": "m", "message": {"role": "assistant", "content": "", "thinking": "a "}, "done": false}),
            json!({"message": {"content": "", "thinking": "card"}, "done": false}),
            json!({"message": {"content": "bil", "tool_calls": [call("f")]}, "logprobs": [{"logprob": -0.5}], "done": false}),
            json!({"message": {"content": "ling", "tool_calls": [call("g")]}, "logprobs": [{"logprob": -0.25}], "done": false}),
            json!({"message": {"content": ""}, "done": true, "done_reason": "stop", "eval_count": 9}),
        ];
        let mut gathered = Box::<Gathered>::default();
        let seen = lines.iter().map(|line| gathered.take(line.to_string().as_bytes()).unwrap());
        assert_eq!(seen.last(), Some(Seen::Last));
        let message = json!({"role": "assistant", "content": "billing", "thinking": "a card", "tool_calls": [call("f"), call("g")]});
        let logprobs = json!([{"logprob": -0.5}, {"logprob": -0.25}]);
        let body =
            json!({"message": message, "logprobs": logprobs, "done": true, "done_reason": "stop", "eval_count": 9});
        assert_eq!(gathered.body(), Some(body));
        let mut cut = Box::<Gathered>::default();
        cut.take(lines[0].to_string().as_bytes()).unwrap();
        assert_eq!(cut.body(), None);
    }
}
