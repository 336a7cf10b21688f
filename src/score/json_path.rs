//! `json_path`: what lies at one place of a JSON answer is what it should be.

use serde_json::Value;

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError, json};
use crate::dataset::Example;

/// Which place, and what it should hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonPathOptions {
    /// The place: a singular query of RFC 9535 (`$.order.items[0]['sku']`, `$[-1]`), or names and indices joined by
    /// dots (`order.items.0.sku`).
    pub path: String,
    /// What it should hold; absent: the row's expected answer.
    pub equals: Option<Value>,
    /// Whether upper and lower case are the same in strings. Default: false.
    pub ignore_case: bool,
}

/// 1 if the place holds the value, by value (`1` is `1.0`, fields have no order), else 0. An expected text, as of a CSV
/// column, is also compared with the text of a value that is none. A place that isn't there holds nothing, not null. A
/// ``` fence around the JSON is forgiven.
#[derive(Debug, Clone)]
pub struct JsonPath {
    name: String,
    options: JsonPathOptions,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    /// From the end where negative.
    Index(i64),
    /// A name, or an index where it meets an array: of a path joined by dots.
    Either(String),
}

impl JsonPath {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// A path that isn't one, or that may lead to several places (`*`, `..`, slices, filters).
    pub fn new(name: impl Into<String>, options: JsonPathOptions) -> Result<JsonPath, ScorerSetupError> {
        let name = name.into();
        match steps(&options.path) {
            Some(steps) => Ok(JsonPath { name, options, steps }),
            None => Err(ScorerSetupError::new(
                name,
                format!(
                    "{} is no path to one place; write it like `order.items.0.sku` or `$.order.items[0]['sku']` (no \
                     `*`, `..`, slice or filter)",
                    quote(&options.path)
                ),
            )),
        }
    }
}

/// The steps of a path; none for what isn't a path to one place.
fn steps(path: &str) -> Option<Vec<Step>> {
    let Some(mut rest) = path.strip_prefix('$') else {
        let is_plain = |name: &str| !name.is_empty() && !name.contains(['*', '[', ']']);
        return path.split('.').map(|name| is_plain(name).then(|| Step::Either(name.to_owned()))).collect();
    };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('.') {
            Some(named) => name(named)?,
            None => bracket(rest.strip_prefix('[')?)?,
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

/// A member name after a dot, and what follows (RFC 9535, `member-name-shorthand`).
fn name(text: &str) -> Option<(Step, &str)> {
    let is_inside = |c: char| c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii();
    let end = text.find(|c| !is_inside(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| (Step::Name(name.to_owned()), rest))
}

/// An index or a quoted name after an opening bracket, and what follows the closing one.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let text = text.trim_start();
    let (step, rest) = match text.chars().next()? {
        mark @ ('\'' | '"') => quoted(&text[1..], mark)?,
        _ => {
            let end = text.find(|c: char| c != '-' && !c.is_ascii_digit())?;
            (Step::Index(index(&text[..end])?), &text[end..])
        }
    };
    Some((step, rest.trim_start().strip_prefix(']')?))
}

/// An index as RFC 9535 writes it: no leading zero, no `-0`.
fn index(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits == "0" && !text.starts_with('-') || !digits.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// A name up to the closing quote `mark`, its escapes read as those of a JSON string, and what follows.
fn quoted(text: &str, mark: char) -> Option<(Step, &str)> {
    let mut literal = String::from('"');
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == mark => {
                literal.push('"');
                return Some((Step::Name(serde_json::from_str(&literal).ok()?), &text[at + 1..]));
            }
            '\\' => match chars.next()?.1 {
                '\'' if mark == '\'' => literal.push('\''),
                '"' if mark == '\'' => return None,
                escaped => literal.extend(['\\', escaped]),
            },
            '"' => literal.push_str("\\\""),
            c => literal.push(c),
        }
    }
    None
}

/// What lies at the end of `steps`.
fn at<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Name(name) | Step::Either(name), Value::Object(fields)) => fields.get(name),
        (Step::Index(index), Value::Array(elements)) => {
            let place = if *index < 0 { index + i64::try_from(elements.len()).ok()? } else { *index };
            elements.get(usize::try_from(place).ok()?)
        }
        (Step::Either(index), Value::Array(elements)) => elements.get(index.parse::<usize>().ok()?),
        _ => None,
    })
}

impl Grader for JsonPath {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.options.equals.is_none()
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let wanted = match &self.options.equals {
            Some(value) => value,
            None => expected(example)?,
        };
        let answer: Value = match serde_json::from_str(json::unfenced(answer)) {
            Ok(answer) => answer,
            Err(error) => return Ok(Grade::fail(format!("not JSON: {error}"))),
        };
        let path = &self.options.path;
        let Some(found) = at(&answer, &self.steps) else {
            return Ok(Grade::fail(format!("{path}: expected {}, nothing is there", quote(&text_of(wanted)))));
        };
        let ignore_case = self.options.ignore_case;
        let is_same = json::equal(found, wanted, ignore_case)
            || (wanted.is_string()
                && !found.is_string()
                && json::equal(&Value::from(found.to_string()), wanted, ignore_case));
        Ok(if is_same {
            Grade::pass()
        } else {
            let (wanted, found) = (quote(&text_of(wanted)), quote(&text_of(found)));
            Grade::fail(format!("{path}: expected {wanted}, answered {found}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer(path: &str, equals: Option<Value>) -> JsonPath {
        JsonPath::new("json_path", JsonPathOptions { path: path.into(), equals, ignore_case: false }).unwrap()
    }

    fn found(path: &str, value: &Value) -> Option<Value> {
        at(value, &steps(path).expect(path)).cloned()
    }

    /// The singular queries among the examples of RFC 9535: 1.5, 2.2.3, 2.3.1.3 and 2.3.3.3.
    #[test]
    fn singular_queries_lead_where_rfc_9535_says() {
        let named = json!({"o": {"j j": {"k.k": 3}}, "'": {"@": 2}});
        assert_eq!(found("$.o['j j']", &named), Some(json!({"k.k": 3})));
        assert_eq!(found("$.o['j j']['k.k']", &named), Some(json!(3)));
        assert_eq!(found("$.o[\"j j\"][\"k.k\"]", &named), Some(json!(3)));
        assert_eq!(found("$[\"'\"][\"@\"]", &named), Some(json!(2)));
        assert_eq!(found("$", &json!({"k": "v"})), Some(json!({"k": "v"})));
        let list = json!(["a", "b"]);
        assert_eq!(found("$[1]", &list), Some(json!("b")));
        assert_eq!(found("$[-2]", &list), Some(json!("a")));
        assert_eq!(found("$[2]", &list), None);
        let store = json!({"store": {"book": [{"title": "Sayings of the Century"}, {"price": 12.99}]}});
        assert_eq!(found("$.store.book[0].title", &store), Some(json!("Sayings of the Century")));
        assert_eq!(found("$['store']['book'][1]['price']", &store), Some(json!(12.99)));
        assert_eq!(found(r"$['\u263a\'']", &json!({"☺'": 1})), Some(json!(1)));
    }

    #[test]
    fn names_and_indices_may_be_joined_by_dots() {
        let order = json!({"order": {"items": [{"sku": "x"}], "0": "zero"}});
        assert_eq!(found("order.items.0.sku", &order), Some(json!("x")));
        assert_eq!(found("order.0", &order), Some(json!("zero")));
        assert_eq!(found("order.items.sku", &order), None);
    }

    #[test]
    fn a_path_to_no_one_place_is_refused_with_advice() {
        for path in [
            "",
            "a..b",
            "$..a",
            "$.*",
            "$[*]",
            "$[0:2]",
            "$[?@.a]",
            "$[01]",
            "$[-0]",
            "$.a[",
            "$['a",
            "$[a]",
            "$a",
            "a[0]",
            "$.1",
            "$['a','b']",
            "$[]",
        ] {
            let options = JsonPathOptions { path: path.into(), ..Default::default() };
            let error = JsonPath::new("json_path", options).unwrap_err().to_string();
            assert!(error.contains("no path to one place; write it like"), "{path}: {error}");
        }
    }

    #[test]
    fn the_value_is_the_given_or_the_expected_one() {
        let given = scorer("$.priority", Some(json!(2)));
        assert!(!given.needs_expected());
        assert_eq!(value(&given, Value::Null, r#"{"priority": 2.0}"#), 1.0);
        assert_eq!(value(&given, Value::Null, r#"{"priority": "2"}"#), 0.0);
        let expected = scorer("category", None);
        assert!(expected.needs_expected());
        assert_eq!(value(&expected, "billing", "```json\n{\"category\": \"billing\"}\n```"), 1.0);
        assert_eq!(value(&expected, "3", r#"{"category": 3}"#), 1.0, "a CSV column holds text");
        assert_eq!(value(&scorer("a", Some(json!({"x": [1]}))), Value::Null, r#"{"a": {"x": [1.0]}}"#), 1.0);
        assert!(try_score(&expected, Value::Null, "{}").is_err());
    }

    #[test]
    fn the_reason_names_the_path() {
        let expected = scorer("category", None);
        let told = reason(&expected, "billing", r#"{"category": "refunds"}"#);
        assert_eq!(told, r#"category: expected "billing", answered "refunds""#);
        assert_eq!(reason(&expected, "billing", "{}"), r#"category: expected "billing", nothing is there"#);
        assert!(reason(&expected, "billing", "billing").starts_with("not JSON: "));
    }

    proptest! {
        #[test]
        fn any_path_can_be_read(path in "\\PC{0,20}", marks in "[$.\\[\\]'\"\\\\0-9a-]{0,16}") {
            steps(&path);
            if let Some(steps) = steps(&marks) {
                at(&json!({"a": [1, {"a": 2}]}), &steps);
            }
        }

        #[test]
        fn any_name_can_be_quoted(name: String) {
            let path = format!("$[{}]", Value::from(name.as_str()));
            prop_assert_eq!(steps(&path), Some(vec![Step::Name(name)]));
        }
    }
}
