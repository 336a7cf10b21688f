//! `json_diff`: how alike the JSON of the answer and of the expected value are.

use serde_json::{Map, Value};

use super::answer::expected;
use super::levenshtein::similarity;
use super::numeric_diff::nearness;
use super::{Grade, Grader};
use crate::dataset::Example;

/// Similarity of two JSON values in [0, 1], as autoevals' `JSONDiff` (Python, 0.4.1):
///
/// - objects: mean over the fields of either; a field that is absent is null;
/// - arrays: sum over the places that both have, by the length of the longer;
/// - strings: Levenshtein similarity, white space included; numbers: [`NumericDiff`](super::NumericDiff);
/// - null and null 1, null and anything else 0; values of different kinds: Levenshtein similarity of their JSON.
///
/// A string that holds a JSON object or array is that object or array, at any depth, unless `preserve_strings`. An answer that
/// isn't JSON is a string, and a fence around JSON makes it one. Unlike autoevals, which is given a string whatever the model
/// meant, the whole answer is read as any JSON, a number too, where a text isn't expected: `42` is 42. Python counts true and false as 1 and 0, and
/// so does this; autoevals in TypeScript compares their names, letter by letter. Unlike Python, letters beyond ASCII
/// aren't escaped where the JSON of values of different kinds is compared.
#[derive(Debug, Clone)]
pub struct JsonDiff {
    name: String,
    preserve_strings: bool,
}

impl JsonDiff {
    /// A scorer called `name` in reports. `preserve_strings`: strings within the values aren't read as JSON (the answer
    /// itself, and an expected text, still are).
    pub fn new(name: impl Into<String>, preserve_strings: bool) -> JsonDiff {
        JsonDiff { name: name.into(), preserve_strings }
    }

    fn diff(&self, answer: &Value, expected: &Value) -> f64 {
        let (read_answer, read_expected) =
            if self.preserve_strings { (None, None) } else { (container_in(answer), container_in(expected)) };
        let answer = read_answer.as_ref().unwrap_or(answer);
        let expected = read_expected.as_ref().unwrap_or(expected);
        match (answer, expected) {
            (Value::Object(answer), Value::Object(expected)) => self.objects(answer, expected),
            (Value::Array(answer), Value::Array(expected)) => self.arrays(answer, expected),
            (Value::String(answer), Value::String(expected)) => similarity(answer, expected),
            (Value::Null, Value::Null) => 1.0,
            (Value::Null, _) | (_, Value::Null) => 0.0,
            _ => match (number(answer), number(expected)) {
                (Some(answer), Some(expected)) => nearness(answer, expected),
                _ => similarity(&answer.to_string(), &expected.to_string()),
            },
        }
    }

    fn objects(&self, answer: &Map<String, Value>, expected: &Map<String, Value>) -> f64 {
        let others = answer.keys().filter(|key| !expected.contains_key(*key));
        let (mut sum, mut fields) = (0.0, 0);
        for key in expected.keys().chain(others) {
            sum += self.diff(answer.get(key).unwrap_or(&Value::Null), expected.get(key).unwrap_or(&Value::Null));
            fields += 1;
        }
        if fields == 0 { 1.0 } else { sum / f64::from(fields) }
    }

    fn arrays(&self, answer: &[Value], expected: &[Value]) -> f64 {
        let longer = answer.len().max(expected.len());
        let sum: f64 = answer.iter().zip(expected).map(|(answer, expected)| self.diff(answer, expected)).sum();
        if longer == 0 { 1.0 } else { sum / longer as f64 }
    }
}

/// The object or array that a string holds as JSON.
fn container_in(value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim_start();
    // Most strings are none, and are not worth a parser.
    let value: Value = text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok())??;
    (value.is_object() || value.is_array()).then_some(value)
}

/// A number, or a bool as Python sees it.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
}

impl Grader for JsonDiff {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let whole = |value: Value| container_in(&value).unwrap_or(value);
        let expected = whole(expected(example)?.clone());
        let read = if expected.is_string() { None } else { serde_json::from_str(answer).ok() };
        let is_json = read.is_some();
        let answer = read.unwrap_or_else(|| whole(Value::from(answer)));
        let value = self.diff(&answer, &expected);
        let reason =
            || if is_json || expected.is_string() { self.reason(&answer, &expected) } else { "not JSON".to_owned() };
        Ok(Grade::graded(value, reason))
    }
}

impl JsonDiff {
    /// Which fields differ, of objects; else nothing more than that they do.
    fn reason(&self, answer: &Value, expected: &Value) -> String {
        let (Value::Object(answer), Value::Object(expected)) = (answer, expected) else {
            return "differs".to_owned();
        };
        let others = answer.keys().filter(|key| !expected.contains_key(*key));
        let differ = expected.keys().chain(others).filter(|key| {
            self.diff(answer.get(*key).unwrap_or(&Value::Null), expected.get(*key).unwrap_or(&Value::Null)) < 1.0
        });
        let differ: Vec<&str> = differ.map(String::as_str).collect();
        format!("differs in {}", differ.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn close(answer: &Value, expected: Value, wanted: f64) {
        let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        let found = value(&JsonDiff::new("json_diff", false), expected.clone(), &text);
        assert!((found - wanted).abs() < 1e-12, "{answer} and {expected}: {found}, not {wanted}");
    }

    /// Printed by `JSONDiff().json_diff` of autoevals 0.4.1 (Python).
    #[test]
    fn similarity_is_that_of_autoevals() {
        close(&json!({"a": 1, "b": "cat"}), json!({"a": 1, "b": "car"}), 0.833_333_333_333_333_4);
        close(&json!({"a": [1, 2]}), json!({"a": [1, 2, 3]}), 0.666_666_666_666_666_6);
        close(&json!({"a": null}), json!({}), 1.0);
        close(&json!({"a": 1}), json!({"b": 1}), 0.0);
        close(&json!("{\"a\": 1}"), json!({"a": 2}), 0.666_666_666_666_666_7);
        close(&json!("not json"), json!({"a": 1}), 0.0);
        close(&json!([]), json!([]), 1.0);
        close(&json!({"a": true}), json!({"a": false}), 0.0);
        close(&json!({"a": true}), json!({"a": 5}), 0.333_333_333_333_333_37);
        close(&json!({"a": "1"}), json!({"a": 1}), 0.333_333_333_333_333_37);
        close(&json!({"a": "[1, 2]"}), json!({"a": [1, 2]}), 1.0);
        close(&json!([1, "x", null]), json!([1, "y", 3]), 0.333_333_333_333_333_3);
        close(&json!("12"), json!("13"), 0.5);
        close(&json!({"x": -1}), json!({"x": 1}), 0.0);
        close(
            &json!({"name": "John Smith", "age": 30, "skills": ["python", "javascript"]}),
            json!({"name": "John A. Smith", "age": 31, "skills": ["python", "typescript"]}),
            0.850_945_775_535_939_4,
        );
        close(&json!(" lead"), json!("lead"), 0.8);
        close(&json!([1.0]), json!("[1]"), 1.0);
        close(&json!({"a": 1}), json!(3), 0.0);
        close(&json!([[1]]), json!("[2"), 0.199_999_999_999_999_96);
        close(&json!({"b": 1, "a": [true, null, 1.5]}), json!("zzzz"), 0.074_074_074_074_074_07);
    }

    /// autoevals takes these for strings: `true` is 2/3 like true there, and `42` half like 42.
    #[test]
    fn a_whole_answer_is_read_as_any_json_where_no_text_is_expected() {
        let scorer = JsonDiff::new("json_diff", false);
        for (answer, expected, wanted) in [
            ("42", json!(42), 1.0),
            (" 42\n", json!(42), 1.0),
            ("true", json!(true), 1.0),
            ("null", json!([1]), 0.0),
            ("null", json!({"a": 1}), 0.0),
            ("\"x\"", json!(["x"]), similarity("\"x\"", "[\"x\"]")),
            ("42", json!("42"), 1.0),
            ("\"x\"", json!("x"), similarity("\"x\"", "x")),
        ] {
            assert_eq!(value(&scorer, expected.clone(), answer), wanted, "{answer} and {expected}");
        }
        assert_eq!(reason(&scorer, json!([1]), "null"), "differs");
        assert_eq!(reason(&scorer, json!(42), "forty-two"), "not JSON");
    }

    #[test]
    fn strings_stay_strings_where_asked() {
        let keep = JsonDiff::new("json_diff", true);
        assert!(value(&keep, json!({"a": [1, 2]}), r#"{"a": "[1, 2]"}"#) < 1.0);
        assert_eq!(value(&keep, json!({"a": 1}).to_string(), r#"{"a": 1}"#), 1.0, "the whole is read all the same");
    }

    #[test]
    fn the_reason_names_the_fields_that_differ() {
        let scorer = JsonDiff::new("json_diff", false);
        assert_eq!(reason(&scorer, json!({"a": 1, "b": 2, "c": null}), r#"{"a": 1, "x": 0}"#), "differs in b, x");
        assert_eq!(reason(&scorer, json!({"a": 1}), "a is 1"), "not JSON");
        assert_eq!(reason(&scorer, json!([1]), "[2]"), "differs");
        assert!(try_score(&scorer, Value::Null, "x").is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_between_zero_and_one_and_a_value_is_like_itself(answer in "\\PC{0,30}", nested in "[\\[\\]{}\":,1a ]{0,30}") {
            let scorer = JsonDiff::new("json_diff", false);
            for text in [&answer, &nested] {
                let score = value(&scorer, json!({"a": [1, {"b": "x"}]}), text);
                prop_assert!((0.0..=1.0).contains(&score));
                prop_assert_eq!(value(&scorer, text.as_str(), text), 1.0);
            }
        }
    }
}
