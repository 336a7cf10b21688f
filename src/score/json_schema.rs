//! `json_schema`: the answer is JSON that a schema takes.

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::{Grade, Grader, ScorerSetupError, json};
use crate::dataset::Example;

/// Most violations that a reason tells.
const TOLD: usize = 3;

/// 1 if the whole answer is JSON that a JSON Schema takes, else 0.
///
/// Drafts 4, 6, 7, 2019-09 and 2020-12 by `$schema`, else 2020-12 (the `jsonschema` crate). `format` is only asserted
/// by the drafts that say so. Patterns are Rust `regex` patterns, so that no answer makes one run for long: without
/// look-around and back-references.
#[derive(Debug)]
pub struct JsonSchema {
    name: String,
    schema: Validator,
    allow_fence: bool,
}

impl JsonSchema {
    /// A scorer called `name` in reports. `allow_fence`: a ``` fence around the JSON is forgiven.
    ///
    /// # Errors
    /// A schema that doesn't compile, or that refers to another file or address: nothing is fetched.
    pub fn new(name: impl Into<String>, schema: &Value, allow_fence: bool) -> Result<JsonSchema, ScorerSetupError> {
        let name = name.into();
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).offline();
        match options.build(schema) {
            Ok(schema) => Ok(JsonSchema { name, schema, allow_fence }),
            Err(error) => {
                let at = error.instance_path().as_str();
                let at = if at.is_empty() { "the schema".to_owned() } else { format!("the schema at `{at}`") };
                Err(ScorerSetupError::new(
                    name,
                    format!(
                        "{at} doesn't compile: {error}; see json-schema.org for what a schema may say (references to \
                         other files or addresses are not followed)"
                    ),
                ))
            }
        }
    }
}

/// `/order/total: value is not of type "number"`, without the answer's own text.
fn told(error: &ValidationError<'_>) -> String {
    let message = error.masked();
    match error.instance_path().as_str() {
        "" => message.to_string(),
        path => format!("{path}: {message}"),
    }
}

impl Grader for JsonSchema {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn grade(&self, _example: &Example, answer: &str) -> Result<Grade, String> {
        let text = if self.allow_fence { json::unfenced(answer) } else { answer };
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Ok(Grade::fail(format!("not JSON: {error}"))),
        };
        let mut errors = self.schema.iter_errors(&value);
        let first: Vec<String> = errors.by_ref().take(TOLD).map(|error| told(&error)).collect();
        if first.is_empty() {
            return Ok(Grade::pass());
        }
        let more = errors.count();
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        Ok(Grade::fail(format!("{}{more}", first.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{reason, value};
    use super::*;

    fn ticket() -> JsonSchema {
        let schema = json!({
            "type": "object", "required": ["category"], "additionalProperties": false,
            "properties": {"category": {"enum": ["billing", "refunds"]}, "priority": {"type": "integer", "minimum": 1}}
        });
        JsonSchema::new("json_schema", &schema, false).unwrap()
    }

    #[test]
    fn an_answer_that_the_schema_takes_is_one_and_any_other_nothing() {
        assert_eq!(value(&ticket(), Value::Null, r#"{"category": "billing", "priority": 2.0}"#), 1.0);
        for wrong in
            [r#"{"priority": 1}"#, r#"{"category": "other"}"#, "[]", "billing", "", r#"{"category": "billing"} ok"#]
        {
            assert_eq!(value(&ticket(), Value::Null, wrong), 0.0, "{wrong}");
        }
    }

    #[test]
    fn a_fence_is_forgiven_only_where_asked() {
        let schema = json!({"type": "array"});
        assert_eq!(value(&JsonSchema::new("s", &schema, true).unwrap(), Value::Null, "```json\n[1]\n```"), 1.0);
        assert_eq!(value(&JsonSchema::new("s", &schema, false).unwrap(), Value::Null, "```json\n[1]\n```"), 0.0);
    }

    #[test]
    fn the_reason_says_where_without_repeating_the_answer() {
        let told = reason(&ticket(), Value::Null, r#"{"category": "billing", "priority": "a secret"}"#);
        assert_eq!(told, r#"/priority: value is not of type "integer""#);
        let told = reason(&ticket(), Value::Null, r#"{"a": 1, "priority": 0}"#);
        assert!(told.contains("required property") && told.contains("/priority: "), "{told}");
    }

    #[test]
    fn a_schema_that_does_not_compile_is_refused_with_its_place() {
        let error = |schema: Value| JsonSchema::new("s", &schema, false).unwrap_err().to_string();
        let told = error(json!({"properties": {"a": {"type": "strng"}}}));
        assert!(told.starts_with("scorer s: the schema at `/properties/a/type` doesn't compile: "), "{told}");
        assert!(error(json!({"pattern": "("})).contains("doesn't compile"));
        assert!(error(json!({"$ref": "https://example.com/x.json"})).contains("references"));
        assert!(error(json!({"$ref": "#/definitions/none"})).contains("doesn't compile"));
        assert!(error(json!([])).contains("doesn't compile"));
    }

    /// From the JSON Schema test suite, draft 2020-12: `oneOf.json` ("oneOf") and `dependentRequired.json`.
    #[test]
    fn published_cases_hold() {
        let one_of = json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                            "oneOf": [{"type": "integer"}, {"minimum": 2}]});
        let one_of = JsonSchema::new("s", &one_of, false).unwrap();
        for (answer, wanted) in [("1", 1.0), ("2.5", 1.0), ("3", 0.0), ("1.5", 0.0)] {
            assert_eq!(value(&one_of, Value::Null, answer), wanted, "{answer}");
        }
        let dependent = json!({"dependentRequired": {"bar": ["foo"]}});
        let dependent = JsonSchema::new("s", &dependent, false).unwrap();
        for (answer, wanted) in [("{}", 1.0), (r#"{"foo": 1}"#, 1.0), (r#"{"bar": 2}"#, 0.0), (r#"["bar"]"#, 1.0)] {
            assert_eq!(value(&dependent, Value::Null, answer), wanted, "{answer}");
        }
    }
}
