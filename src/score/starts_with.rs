//! `starts_with`: the answer begins with what it should.

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// 1 if the answer begins with a text, else 0. White space counts, as in promptfoo's `starts-with`.
#[derive(Debug, Clone)]
pub struct StartsWith {
    name: String,
    prefix: Option<String>,
    ignore_case: bool,
}

impl StartsWith {
    /// A scorer called `name` in reports. Without `prefix` the row's expected text is looked for; `ignore_case` makes
    /// upper and lower case the same, by Unicode lower case.
    ///
    /// # Errors
    /// An empty `prefix`: every answer begins with it.
    pub fn new(
        name: impl Into<String>,
        prefix: Option<String>,
        ignore_case: bool,
    ) -> Result<StartsWith, ScorerSetupError> {
        let name = name.into();
        if prefix.as_deref() == Some("") {
            return Err(ScorerSetupError::new(name, "`prefix` is empty, and every answer begins with that"));
        }
        Ok(StartsWith { name, prefix, ignore_case })
    }
}

impl Grader for StartsWith {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.prefix.is_none()
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let wanted = match &self.prefix {
            Some(prefix) => prefix.into(),
            None => text_of(expected(example)?),
        };
        if wanted.is_empty() {
            return Err("the row's expected text is empty, and every answer begins with that; give it one".to_owned());
        }
        let is_start = answer.starts_with(wanted.as_ref())
            || (self.ignore_case && answer.to_lowercase().starts_with(&wanted.to_lowercase()));
        Ok(if is_start {
            Grade::pass()
        } else {
            Grade::fail(format!("doesn't begin with {}: {}", quote(&wanted), quote(answer)))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn given(prefix: &str, ignore_case: bool) -> StartsWith {
        StartsWith::new("starts_with", Some(prefix.into()), ignore_case).unwrap()
    }

    #[test]
    fn the_prefix_or_the_expected_text_is_looked_for_at_the_very_start() {
        assert_eq!(value(&given("Dear", false), Value::Null, "Dear Zoë,"), 1.0);
        assert_eq!(value(&given("Dear", false), Value::Null, " Dear Zoë,"), 0.0, "as in promptfoo");
        assert_eq!(value(&given("Dear", false), Value::Null, "dear Zoë,"), 0.0);
        assert_eq!(value(&given("LIEBE Ä", true), Value::Null, "liebe ärztin"), 1.0);
        let expected = StartsWith::new("starts_with", None, false).unwrap();
        assert!(expected.needs_expected() && !given("x", false).needs_expected());
        assert_eq!(value(&expected, 42, "42 is it"), 1.0);
        assert_eq!(reason(&expected, "42", "it is 42"), r#"doesn't begin with "42": "it is 42""#);
    }

    #[test]
    fn an_empty_prefix_is_refused_rather_than_always_found() {
        assert!(StartsWith::new("starts_with", Some(String::new()), false).is_err());
        let expected = StartsWith::new("starts_with", None, false).unwrap();
        assert!(try_score(&expected, "", "x").is_err());
        assert!(try_score(&expected, Value::Null, "x").is_err());
    }
}
