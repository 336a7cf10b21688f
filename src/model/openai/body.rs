//! What is sent: serialised once and directly.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Accent, Formats, Logprobs};
use crate::model::http::Refused;
use crate::model::{AnswerFormat, CallError, ChatRequest, Tools};

/// The body to send.
pub(in crate::model) fn body(request: &ChatRequest, accent: Accent, refused: Refused) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::with_capacity(request.size());
    serde_json::to_writer(&mut body, &Body { request, accent, refused })
        .map_err(|error| CallError::Local(format!("request: {error}")))?;
    Ok(body)
}

struct Body<'a> {
    request: &'a ChatRequest,
    accent: Accent,
    refused: Refused,
}

impl Body<'_> {
    fn response_format(&self) -> Option<Value> {
        let object = json!({"type": "json_object"});
        match (&self.request.format, self.accent.formats) {
            _ if self.refused.format => None,
            (AnswerFormat::Text, _) | (AnswerFormat::Json, Formats::Schema) => None,
            (AnswerFormat::Json, _) | (AnswerFormat::Schema { .. }, Formats::Object) => Some(object),
            (AnswerFormat::Schema { name, schema }, _) => {
                let schema = json!({"name": name, "schema": schema, "strict": true});
                Some(json!({"type": "json_schema", "json_schema": schema}))
            }
        }
    }
}

impl Serialize for Body<'_> {
    /// A key in `extra` takes the place of ours: it is what the user wrote.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ChatRequest { model, messages, temperature, max_tokens, seed, logprobs, format: _, tools, extra } =
            self.request;
        let ours = |key: &str| !extra.contains_key(key);
        let mut map = serializer.serialize_map(None)?;
        if ours("model") {
            map.serialize_entry("model", model)?;
        }
        match tools {
            Some(tools) if ours("messages") => map.serialize_entry("messages", &tools.messages)?,
            None if ours("messages") => map.serialize_entry("messages", messages)?,
            _ => {}
        }
        if let Some(tools) = tools {
            offered(&mut map, tools, ours)?;
        }
        if let Some(temperature) = temperature.filter(|_| ours("temperature") && !self.refused.temperature) {
            map.serialize_entry("temperature", &temperature)?;
        }
        let most = if self.refused.max_tokens { "max_completion_tokens" } else { "max_tokens" };
        if let Some(max_tokens) = max_tokens.filter(|_| ours("max_tokens") && ours(most)) {
            map.serialize_entry(most, &max_tokens)?;
        }
        if let Some((name, seed)) = self.accent.seed.zip(*seed).filter(|(name, _)| ours(name)) {
            map.serialize_entry(name, &seed)?;
        }
        if *logprobs && ours("logprobs") {
            match self.accent.logprobs {
                Logprobs::Flag => map.serialize_entry("logprobs", &true)?,
                Logprobs::Count => map.serialize_entry("logprobs", &1)?,
            }
        }
        if let Some(format) = self.response_format().filter(|_| ours("response_format")) {
            map.serialize_entry("response_format", &format)?;
        }
        for (key, value) in extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Writes what the model may ask for, as it was written.
fn offered<M: SerializeMap>(map: &mut M, tools: &Tools, ours: impl Fn(&str) -> bool) -> Result<(), M::Error> {
    if !tools.tools.is_empty() && ours("tools") {
        map.serialize_entry("tools", &tools.tools)?;
    }
    if let Some(choice) = tools.tool_choice.as_ref().filter(|_| ours("tool_choice")) {
        map.serialize_entry("tool_choice", choice)?;
    }
    if let Some(parallel) = tools.parallel_tool_calls.filter(|_| ours("parallel_tool_calls")) {
        map.serialize_entry("parallel_tool_calls", &parallel)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    fn sent(request: &ChatRequest) -> Vec<u8> {
        body(request, Accent::NONE, Refused::default()).unwrap()
    }

    #[test]
    fn only_what_is_set_is_sent_and_extra_keys_win() {
        let mut request = call("0").request;
        request.temperature = None;
        let plain: Value = serde_json::from_slice(&sent(&request)).unwrap();
        let messages = json!([{"role": "user", "content": "Ticket: my card was charged twice"}]);
        assert_eq!(plain, json!({"model": "tiny", "messages": messages}));
        request.temperature = Some(0.0);
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        request.extra = json!({"max_tokens": 3, "seed": 1}).as_object().unwrap().clone();
        let full = String::from_utf8(sent(&request)).unwrap();
        assert_eq!(full.matches("max_tokens").count(), 1);
        let full: Value = serde_json::from_str(&full).unwrap();
        assert_eq!(
            full,
            json!({"model": "tiny", "messages": messages, "temperature": 0.0, "max_tokens": 3, "seed": 1,
                   "response_format": {"type": "json_object"}})
        );
    }

    #[test]
    fn a_refused_parameter_is_left_out_or_goes_by_its_other_name() {
        let mut request = call("0").request;
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        let refused = Refused { temperature: true, max_tokens: true, format: true, ..Refused::default() };
        let mut sent: Value = serde_json::from_slice(&body(&request, Accent::NONE, refused).unwrap()).unwrap();
        sent.as_object_mut().unwrap().remove("messages");
        assert_eq!(sent, json!({"model": "tiny", "max_completion_tokens": 9}));
    }

    #[test]
    fn a_schema_is_sent_where_the_server_knows_schemas() {
        let mut request = call("0").request;
        let form = |request: &ChatRequest, formats| {
            let body: Value =
                serde_json::from_slice(&body(request, Accent { formats, ..Accent::NONE }, Refused::default()).unwrap())
                    .unwrap();
            body["response_format"].clone()
        };
        request.format = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        let schema = json!({"name": "verdict", "schema": {"type": "object"}, "strict": true});
        assert_eq!(form(&request, Formats::Both), json!({"type": "json_schema", "json_schema": schema}));
        assert_eq!(form(&request, Formats::Object), json!({"type": "json_object"}));
        request.format = AnswerFormat::Json;
        assert_eq!(form(&request, Formats::Schema), Value::Null);
    }

    #[test]
    fn tools_and_the_messages_about_them_are_sent_as_they_were_written() {
        let (messages, offered) = (json!([{"role": "tool", "odd": 1}]), json!([{"type": "odd"}]));
        let tools: Tools = serde_json::from_value(json!({
            "messages": messages, "tools": offered, "tool_choice": "auto", "parallel_tool_calls": false,
        }))
        .unwrap();
        let request = ChatRequest { messages: Vec::new(), tools: Some(tools), temperature: None, ..call("0").request };
        let body: Value = serde_json::from_slice(&sent(&request)).unwrap();
        let whole = json!({"model": "tiny", "messages": messages, "tools": offered, "tool_choice": "auto", "parallel_tool_calls": false});
        assert_eq!(body, whole);
    }

    #[test]
    fn a_seed_goes_by_the_name_that_the_server_has_for_it() {
        let mut request = call("0").request;
        (request.seed, request.logprobs) = (Some(7), true);
        let sent = |request: &ChatRequest, seed| -> Value {
            let accent = Accent { seed, ..Accent::NONE };
            serde_json::from_slice(&body(request, accent, Refused::default()).unwrap()).unwrap()
        };
        let asked = sent(&request, Some("random_seed"));
        assert_eq!(
            (&asked["random_seed"], &asked["seed"], &asked["logprobs"]),
            (&json!(7), &Value::Null, &json!(true))
        );
        assert_eq!(sent(&request, None)["seed"], Value::Null);
        request.extra = json!({"seed": 1, "logprobs": false}).as_object().unwrap().clone();
        let asked = sent(&request, Some("seed"));
        assert_eq!((&asked["seed"], &asked["logprobs"]), (&json!(1), &json!(false)));
    }
}
