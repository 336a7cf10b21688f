//! `json_valid`: the answer is JSON.

use serde::de::IgnoredAny;

use super::{Grade, Grader, json};
use crate::dataset::Example;

/// What counts as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonValidOptions {
    /// Whether a ``` fence around the JSON is forgiven. Default: false, since a program that parses the answer would
    /// fail on it.
    pub allow_fence: bool,
}

/// 1 if the whole answer is one JSON value, else 0.
#[derive(Debug, Clone)]
pub struct JsonValid {
    name: String,
    options: JsonValidOptions,
}

impl JsonValid {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>, options: JsonValidOptions) -> JsonValid {
        JsonValid { name: name.into(), options }
    }
}

impl Grader for JsonValid {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn grade(&self, _example: &Example, answer: &str) -> Result<Grade, String> {
        let text = if self.options.allow_fence { json::unfenced(answer) } else { answer };
        Ok(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Grade::pass(),
            Err(error) => Grade::fail(format!("not JSON: {error}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{reason, value};
    use super::*;

    #[test]
    fn the_whole_answer_must_be_one_json_value() {
        let scorer = JsonValid::new("json_valid", JsonValidOptions::default());
        assert!(!scorer.needs_expected());
        for good in ["{}", " [1, \"é\"]\n", "3", "null", "\"text\""] {
            assert_eq!(value(&scorer, Value::Null, good), 1.0, "{good}");
        }
        for bad in ["", "{", "{} {}", "{'a': 1}", "Sure: {}", "NaN", "```json\n{}\n```"] {
            assert_eq!(value(&scorer, Value::Null, bad), 0.0, "{bad}");
        }
        assert!(reason(&scorer, Value::Null, "{\n\"a\" 1}").contains("line 2 column"));
    }

    #[test]
    fn a_fence_is_forgiven_on_request() {
        let scorer = JsonValid::new("json_valid", JsonValidOptions { allow_fence: true });
        assert_eq!(value(&scorer, Value::Null, "```json\n{}\n```"), 1.0);
        assert_eq!(value(&scorer, Value::Null, "```json\n{\n```"), 0.0);
    }

    #[test]
    fn nesting_without_end_is_a_failing_answer_and_no_crash() {
        let scorer = JsonValid::new("json_valid", JsonValidOptions::default());
        assert_eq!(value(&scorer, Value::Null, &"[".repeat(100_000)), 0.0);
    }
}
