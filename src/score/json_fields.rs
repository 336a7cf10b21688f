//! `json_fields`: the fields of a JSON answer have the expected values.

use std::borrow::Cow;

use serde_json::Value;

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError, json};
use crate::dataset::Example;

/// Which fields are compared, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonFieldsOptions {
    /// Paths with weights above zero: names and array indices joined by dots, `order.items.0.sku`. Empty: every leaf
    /// of the expected object (anything but a non-empty object is a leaf), all of the same weight.
    pub fields: Vec<(String, f64)>,
    /// Whether upper and lower case are the same in strings. Default: false.
    pub ignore_case: bool,
}

/// The weighted share of fields that are equal by value, in [0, 1]; the reason names those that differ.
///
/// A field that is null and one that isn't there are the same. Fields that nobody asked for don't count. A ``` fence
/// around the JSON is forgiven (`json_valid` is strict about it). An answer that isn't a JSON object scores 0.
#[derive(Debug, Clone)]
pub struct JsonFields {
    name: String,
    options: JsonFieldsOptions,
}

impl JsonFields {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// An empty path, a path given twice, or a weight that isn't above zero and finite.
    pub fn new(name: impl Into<String>, options: JsonFieldsOptions) -> Result<JsonFields, ScorerSetupError> {
        let name = name.into();
        for (at, (path, weight)) in options.fields.iter().enumerate() {
            if path.split('.').any(str::is_empty) {
                return Err(ScorerSetupError::new(name, format!("field {path:?} is not a path such as `order.total`")));
            }
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(ScorerSetupError::new(
                    name,
                    format!("field {path:?} has weight {weight}; it must be above 0"),
                ));
            }
            if options.fields[..at].iter().any(|(earlier, _)| earlier == path) {
                return Err(ScorerSetupError::new(name, format!("field {path:?} is listed twice")));
            }
        }
        Ok(JsonFields { name, options })
    }
}

/// The expected object; a string holds it as JSON, as in a CSV column.
fn expected_object(example: &Example) -> Result<Cow<'_, Value>, String> {
    let value = expected(example)?;
    let object = match value {
        Value::String(text) => serde_json::from_str(text).map(Cow::Owned).unwrap_or(Cow::Borrowed(value)),
        _ => Cow::Borrowed(value),
    };
    if object.is_object() {
        Ok(object)
    } else {
        Err(format!("the row's expected answer must be a JSON object, it is {}", quote(&text_of(value))))
    }
}

/// What lies at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Weights of the fields seen, of those that are equal, and what the others are.
#[derive(Default)]
struct Tally {
    ignore_case: bool,
    total: f64,
    equal: f64,
    differ: Vec<String>,
}

impl Tally {
    fn field(&mut self, path: &str, weight: f64, expected: Option<&Value>, answer: Option<&Value>) {
        let (expected, answer) = (expected.unwrap_or(&Value::Null), answer.unwrap_or(&Value::Null));
        self.total += weight;
        if json::equal(expected, answer, self.ignore_case) {
            self.equal += weight;
        } else {
            self.differ.push(format!("{path} (expected {}, answered {})", short(expected), short(answer)));
        }
    }

    fn leaves<'a>(&mut self, path: &mut Vec<&'a str>, expected: &'a Value, answer: Option<&Value>) {
        match expected {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    path.push(name);
                    self.leaves(path, value, answer.and_then(|answer| answer.get(name)));
                    path.pop();
                }
            }
            leaf => self.field(&path.join("."), 1.0, Some(leaf), answer),
        }
    }

    fn grade(self) -> Grade {
        if self.differ.is_empty() {
            return Grade::pass();
        }
        Grade { value: self.equal / self.total, reason: Some(format!("differs in {}", self.differ.join(", "))) }
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null => "nothing".to_owned(),
        other => other.to_string().chars().take(80).collect(),
    }
}

impl Grader for JsonFields {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        expected_object(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected = expected_object(example)?;
        let answer = match serde_json::from_str::<Value>(json::unfenced(answer)) {
            Ok(answer) if answer.is_object() => answer,
            Ok(_) => return Ok(Grade::fail("not a JSON object")),
            Err(error) => return Ok(Grade::fail(format!("not JSON: {error}"))),
        };
        let mut tally = Tally { ignore_case: self.options.ignore_case, ..Tally::default() };
        if self.options.fields.is_empty() {
            tally.leaves(&mut Vec::new(), &expected, Some(&answer));
        } else {
            for (path, weight) in &self.options.fields {
                tally.field(path, *weight, at(&expected, path), at(&answer, path));
            }
        }
        Ok(tally.grade())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{reason, row, try_score, value};
    use super::*;

    fn scorer(fields: &[(&str, f64)]) -> JsonFields {
        let fields = fields.iter().map(|(path, weight)| ((*path).to_owned(), *weight)).collect();
        JsonFields::new("json_fields", JsonFieldsOptions { fields, ignore_case: false }).unwrap()
    }

    #[test]
    fn every_leaf_of_expected_counts_alike() {
        let expected = json!({"name": "Zoë", "order": {"total": 3, "items": ["a", "b"]}, "note": null});
        let answer = r#"{"name": "Zoë", "order": {"total": 3.0, "items": ["b", "a"]}, "extra": 1}"#;
        assert_eq!(value(&scorer(&[]), expected.clone(), answer), 0.75);
        assert_eq!(
            reason(&scorer(&[]), expected.clone(), answer),
            r#"differs in order.items (expected ["a","b"], answered ["b","a"])"#
        );
        assert_eq!(value(&scorer(&[]), expected.clone(), &expected.to_string()), 1.0);
        assert_eq!(value(&scorer(&[]), expected.to_string(), &expected.to_string()), 1.0, "expected as JSON text");
    }

    #[test]
    fn listed_fields_count_by_their_weights() {
        let scorer = scorer(&[("a.b", 3.0), ("list.1", 1.0)]);
        let expected = json!({"a": {"b": 1}, "list": [1, 2], "other": 1});
        assert_eq!(value(&scorer, expected.clone(), r#"{"a": {"b": 1}, "list": [1, 3]}"#), 0.75);
        assert_eq!(value(&scorer, expected.clone(), r#"{"a": 5, "list": [0, 2]}"#), 0.25);
        assert_eq!(reason(&scorer, expected, r#"{"list": [1, 2]}"#), "differs in a.b (expected 1, answered nothing)");
    }

    #[test]
    fn a_fence_is_forgiven_and_other_text_scores_zero() {
        let expected = json!({"a": 1});
        assert_eq!(value(&scorer(&[]), expected.clone(), "```json\n{\"a\": 1}\n```"), 1.0);
        assert_eq!(value(&scorer(&[]), expected.clone(), "a is 1"), 0.0);
        assert_eq!(value(&scorer(&[]), expected.clone(), ""), 0.0);
        assert_eq!(reason(&scorer(&[]), expected, "[1]"), "not a JSON object");
    }

    #[test]
    fn an_expected_answer_that_is_no_object_is_an_error_of_the_row() {
        for wrong in [Value::Null, json!("text"), json!([1]), json!(3)] {
            assert!(scorer(&[]).check(&row(wrong.clone())).is_err());
            assert!(try_score(&scorer(&[]), wrong, "{}").is_err());
        }
        assert_eq!(value(&scorer(&[]), json!({}), "{}"), 1.0);
    }

    #[test]
    fn bad_options_are_refused() {
        for fields in
            [vec![("", 1.0)], vec![("a..b", 1.0)], vec![("a", 0.0)], vec![("a", f64::NAN)], vec![("a", 1.0); 2]]
        {
            let fields = fields.into_iter().map(|(path, weight)| (path.to_owned(), weight)).collect();
            assert!(JsonFields::new("json_fields", JsonFieldsOptions { fields, ignore_case: false }).is_err());
        }
    }
}
