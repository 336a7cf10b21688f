//! `contains`: the answer contains what it should.

use std::borrow::Cow;

use serde_json::Value;

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// What the answer should contain. Without `any` and `all` it is the row's expected text (of an expected array: each
/// element).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainsOptions {
    /// At least one of these.
    pub any: Vec<String>,
    /// Every one of these.
    pub all: Vec<String>,
    /// Whether upper and lower case are the same, by Unicode lower case. Default: false.
    pub ignore_case: bool,
}

/// 1 if the answer contains what it should, else 0.
#[derive(Debug, Clone)]
pub struct Contains {
    name: String,
    options: ContainsOptions,
}

impl Contains {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// An empty text in `any` or `all`: every answer contains it.
    pub fn new(name: impl Into<String>, mut options: ContainsOptions) -> Result<Contains, ScorerSetupError> {
        let name = name.into();
        if options.any.iter().chain(&options.all).any(String::is_empty) {
            return Err(ScorerSetupError::new(name, "`any` or `all` lists an empty text, which every answer contains"));
        }
        if options.ignore_case {
            for text in options.any.iter_mut().chain(&mut options.all) {
                *text = text.to_lowercase();
            }
        }
        Ok(Contains { name, options })
    }

    fn grade_all<'a>(&self, answer: &str, texts: impl Iterator<Item = Cow<'a, str>>) -> Result<Grade, String> {
        let mut missing = Vec::new();
        for text in texts {
            if text.is_empty() {
                return Err("the row's expected text is empty, which every answer contains; give it one".to_owned());
            }
            if !answer.contains(self.folded(&text).as_ref()) {
                missing.push(text);
            }
        }
        Ok(if missing.is_empty() { Grade::pass() } else { Grade::fail(format!("lacks {}", listed(missing))) })
    }

    fn folded<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.options.ignore_case { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) }
    }
}

fn listed<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().map(|text| quote(text.as_ref())).collect::<Vec<_>>().join(", ")
}

impl Grader for Contains {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.options.any.is_empty() && self.options.all.is_empty()
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let answer = self.folded(answer);
        if self.needs_expected() {
            return match expected(example)? {
                Value::Array(elements) => self.grade_all(&answer, elements.iter().map(text_of)),
                one => self.grade_all(&answer, std::iter::once(text_of(one))),
            };
        }
        let ContainsOptions { any, all, .. } = &self.options;
        if !any.is_empty() && !any.iter().any(|text| answer.contains(text.as_str())) {
            return Ok(Grade::fail(format!("contains none of {}", listed(any))));
        }
        let missing: Vec<&String> = all.iter().filter(|text| !answer.contains(text.as_str())).collect();
        Ok(if missing.is_empty() { Grade::pass() } else { Grade::fail(format!("lacks {}", listed(missing))) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer(any: &[&str], all: &[&str], ignore_case: bool) -> Contains {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Contains::new("contains", ContainsOptions { any: owned(any), all: owned(all), ignore_case }).unwrap()
    }

    #[test]
    fn without_lists_the_expected_text_is_looked_for() {
        let plain = scorer(&[], &[], false);
        assert!(plain.needs_expected());
        assert_eq!(value(&plain, "refund", "a refund, please"), 1.0);
        assert_eq!(value(&plain, "refund", "Refund"), 0.0);
        assert_eq!(value(&scorer(&[], &[], true), "ÄRGER", "so ein ärger!"), 1.0);
        assert_eq!(value(&plain, json!(["a", "b"]), "b, a"), 1.0);
        assert_eq!(value(&plain, json!(["a", "x"]), "b, a"), 0.0);
        assert_eq!(value(&plain, 42, "it is 42"), 1.0);
    }

    #[test]
    fn any_wants_one_and_all_wants_every_one() {
        let both = scorer(&["yes", "ja"], &["sir"], true);
        assert!(!both.needs_expected());
        assert_eq!(value(&both, Value::Null, "JA, Sir"), 1.0);
        assert_eq!(reason(&both, Value::Null, "no, sir"), r#"contains none of "yes", "ja""#);
        assert_eq!(reason(&both, Value::Null, "yes"), r#"lacks "sir""#);
    }

    #[test]
    fn an_empty_text_is_refused_rather_than_always_found() {
        let options = ContainsOptions { any: vec![String::new()], ..Default::default() };
        assert!(Contains::new("contains", options).is_err());
        assert!(try_score(&scorer(&[], &[], false), "", "x").is_err());
    }

    #[test]
    fn a_row_without_expected_is_an_error() {
        assert!(try_score(&scorer(&[], &[], false), Value::Null, "x").is_err());
    }
}
