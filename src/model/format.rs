//! The form that an answer must have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The form that an answer must have. A provider that has no such form is asked without it: what the messages say must
/// do then, so a reader has to parse strictly either way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum AnswerFormat {
    /// Any text.
    #[default]
    Text,
    /// One JSON object. The messages must say so too: some providers refuse a request that doesn't.
    Json,
    /// JSON that fits a schema.
    Schema {
        /// Its name, of ASCII letters, digits, `_` and `-`, at most 64.
        name: String,
        /// A JSON schema. The strict forms of several providers want every property required, and no others.
        schema: Value,
    },
}

impl AnswerFormat {
    /// The schema of an object that has all of `properties`, a map of schemas by name, and no others.
    pub fn closed(properties: Value) -> Value {
        let names: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
        json!({ "type": "object", "required": names, "properties": properties, "additionalProperties": false })
    }

    /// Whether any text will do.
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// How a format is written in a request, and so in its key: as the flag that there was before there were schemas.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Json(bool),
    Schema { name: String, schema: Value },
}

impl From<Written> for AnswerFormat {
    fn from(written: Written) -> Self {
        match written {
            Written::Json(false) => Self::Text,
            Written::Json(true) => Self::Json,
            Written::Schema { name, schema } => Self::Schema { name, schema },
        }
    }
}

impl From<AnswerFormat> for Written {
    fn from(format: AnswerFormat) -> Self {
        match format {
            AnswerFormat::Text => Self::Json(false),
            AnswerFormat::Json => Self::Json(true),
            AnswerFormat::Schema { name, schema } => Self::Schema { name, schema },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    #[test]
    fn requests_for_text_and_for_json_keep_the_keys_that_they_always_had() {
        let mut request = call("0").request;
        let plain = r#"{"model":"tiny","messages":[{"role":"user","content":"Ticket: my card was charged twice"}],"temperature":0.0}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), plain);
        request.format = AnswerFormat::Json;
        let flagged = plain.replace("0.0}", r#"0.0,"json":true}"#);
        assert_eq!(serde_json::to_string(&request).unwrap(), flagged);
        let schema = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        request.format = schema.clone();
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(written["json"], json!({"name": "verdict", "schema": {"type": "object"}}));
        let read: crate::model::ChatRequest = serde_json::from_value(written).unwrap();
        assert_eq!(read.format, schema);
        assert_eq!(serde_json::from_str::<crate::model::ChatRequest>(plain).unwrap().format, AnswerFormat::Text);
    }
}
