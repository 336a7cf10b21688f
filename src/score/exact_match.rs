//! `exact_match`: the answer is the expected one.

use serde_json::Value;

use super::answer::{expected, quote, same, text_of};
use super::{Grade, Grader, json};
use crate::dataset::Example;

/// What counts as the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactMatchOptions {
    /// Whether white space around the two texts is ignored. Default: true.
    pub trim: bool,
    /// Whether upper and lower case are the same, by Unicode lower case. Default: false.
    pub ignore_case: bool,
}

impl Default for ExactMatchOptions {
    fn default() -> Self {
        ExactMatchOptions { trim: true, ignore_case: false }
    }
}

/// 1 if the answer is the expected one, else 0.
///
/// An expected string is compared as text. Any other expected JSON value is compared by value with the answer parsed
/// as JSON (`1` is `1.0`, fields have no order), and an answer that isn't JSON with the value's JSON text.
#[derive(Debug, Clone)]
pub struct ExactMatch {
    name: String,
    options: ExactMatchOptions,
}

impl ExactMatch {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>, options: ExactMatchOptions) -> ExactMatch {
        ExactMatch { name: name.into(), options }
    }

    fn is_same_text(&self, wanted: &str, answer: &str) -> bool {
        if self.options.trim {
            same(wanted.trim(), answer.trim(), self.options.ignore_case)
        } else {
            same(wanted, answer, self.options.ignore_case)
        }
    }
}

impl Grader for ExactMatch {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected = expected(example)?;
        let wanted = text_of(expected);
        let is_same = self.is_same_text(&wanted, answer)
            || (!expected.is_string()
                && serde_json::from_str::<Value>(answer)
                    .is_ok_and(|value| json::equal(&value, expected, self.options.ignore_case)));
        Ok(if is_same {
            Grade::pass()
        } else {
            Grade::fail(format!("expected {}, answered {}", quote(&wanted), quote(answer.trim())))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer(trim: bool, ignore_case: bool) -> ExactMatch {
        ExactMatch::new("exact_match", ExactMatchOptions { trim, ignore_case })
    }

    #[test]
    fn space_around_the_answer_counts_only_without_trim() {
        assert_eq!(value(&scorer(true, false), "billing", " billing\n"), 1.0);
        assert_eq!(value(&scorer(false, false), "billing", " billing\n"), 0.0);
        assert_eq!(value(&scorer(true, false), "", "  "), 1.0);
        assert_eq!(value(&scorer(true, false), "", "x"), 0.0);
    }

    #[test]
    fn case_counts_unless_it_is_ignored() {
        assert_eq!(value(&scorer(true, false), "Größe", "GRÖßE"), 0.0);
        assert_eq!(value(&scorer(true, true), "Größe", "GRÖßE"), 1.0);
    }

    #[test]
    fn a_json_value_is_compared_by_value() {
        let scorer = scorer(true, false);
        assert_eq!(value(&scorer, 42, "42"), 1.0);
        assert_eq!(value(&scorer, 42, " 42.0 "), 1.0);
        assert_eq!(value(&scorer, true, "true"), 1.0);
        assert_eq!(value(&scorer, json!({"a": 1, "b": 2}), r#"{ "b": 2, "a": 1 }"#), 1.0);
        assert_eq!(value(&scorer, json!({"a": 1}), "a is 1"), 0.0);
        assert_eq!(value(&scorer, "42", "42.0"), 0.0, "a string is text");
    }

    #[test]
    fn the_reason_shows_both_answers() {
        assert_eq!(reason(&scorer(true, false), "billing", "refunds\n"), r#"expected "billing", answered "refunds""#);
    }

    #[test]
    fn a_row_without_expected_is_an_error_and_no_zero() {
        let error = try_score(&scorer(true, false), Value::Null, "x").unwrap_err();
        assert!(error.to_string().starts_with("scorer exact_match: the row has no expected answer"), "{error}");
        assert!(!error.systemic);
    }
}
