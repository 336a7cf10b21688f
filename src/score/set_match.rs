//! `set_match`: the answer lists the expected items, in any order.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::answer::{expected, quote};
use super::{Grade, Grader, ItemOptions, ScorerSetupError};
use crate::dataset::Example;

/// F1 of the two sets of items, in [0, 1]: twice the items in both, by the sum of the two sizes (C. J. van Rijsbergen,
/// Information Retrieval, 1979; also Dice's coefficient). Repeats count once. Two empty sets are the same.
#[derive(Debug, Clone)]
pub struct SetMatch {
    name: String,
    options: ItemOptions,
}

impl SetMatch {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// An empty separator.
    pub fn new(name: impl Into<String>, options: ItemOptions) -> Result<SetMatch, ScorerSetupError> {
        let name = name.into();
        options.check(&name)?;
        Ok(SetMatch { name, options })
    }
}

fn listed<'a>(items: impl Iterator<Item = &'a Cow<'a, str>>) -> String {
    items.map(|item| quote(item)).collect::<Vec<_>>().join(", ")
}

impl Grader for SetMatch {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected: BTreeSet<Cow<'_, str>> = self.options.of_value(expected(example)?).into_iter().collect();
        let answer: BTreeSet<Cow<'_, str>> = self.options.of_text(answer).into_iter().collect();
        if expected == answer {
            return Ok(Grade::pass());
        }
        let common = expected.intersection(&answer).count();
        let value = 2.0 * common as f64 / (expected.len() + answer.len()) as f64;
        let mut reasons = Vec::new();
        if expected.len() > common {
            reasons.push(format!("missing: {}", listed(expected.difference(&answer))));
        }
        if answer.len() > common {
            reasons.push(format!("not wanted: {}", listed(answer.difference(&expected))));
        }
        Ok(Grade { value, reason: Some(reasons.join("; ")) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer() -> SetMatch {
        SetMatch::new("set_match", ItemOptions::default()).unwrap()
    }

    #[test]
    fn the_score_is_f1_in_any_order() {
        assert_eq!(value(&scorer(), json!(["a", "b"]), "b, a, a"), 1.0);
        assert_eq!(value(&scorer(), "a, b", r#"["b", "a"]"#), 1.0);
        assert_eq!(value(&scorer(), json!(["a", "b", "c"]), "a"), 0.5);
        assert_eq!(value(&scorer(), json!(["a"]), "b"), 0.0);
        assert_eq!(reason(&scorer(), "a, b", "b, é"), r#"missing: "a"; not wanted: "é""#);
    }

    #[test]
    fn an_empty_answer_is_right_only_where_nothing_is_expected() {
        assert_eq!(value(&scorer(), json!([]), ""), 1.0);
        assert_eq!(value(&scorer(), json!([]), "[]"), 1.0);
        assert_eq!(value(&scorer(), json!([]), "a"), 0.0);
        assert_eq!(value(&scorer(), json!(["a"]), ""), 0.0);
        assert!(try_score(&scorer(), Value::Null, "a").is_err());
    }
}
