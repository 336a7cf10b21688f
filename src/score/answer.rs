//! What the pure scorers share in reading a row: its expected answer, comparison without case, short quotes.

use std::borrow::Cow;

use serde_json::Value;

use crate::dataset::Example;
pub(super) use crate::text::quote;

/// The row's expected answer, or the message that it has none.
pub(super) fn expected(example: &Example) -> Result<&Value, String> {
    example
        .expected
        .as_ref()
        .ok_or_else(|| "the row has no expected answer; give it one, or use a scorer that needs none".to_owned())
}

/// The texts that an answer is measured against, at least one: the elements of an expected array, else the expected text.
/// The best of them counts.
pub(super) fn references(example: &Example) -> Result<Vec<Cow<'_, str>>, String> {
    match expected(example)? {
        Value::Array(texts) if texts.is_empty() => {
            Err("the row's expected list is empty; give it the texts that would do, or one".to_owned())
        }
        Value::Array(texts) => Ok(texts.iter().map(text_of).collect()),
        one => Ok(vec![text_of(one)]),
    }
}

/// A JSON string as it is, any other value as JSON.
pub(super) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Whether two texts are the same, by Unicode lower case where case is ignored. Allocates nothing.
pub(super) fn same(a: &str, b: &str, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_ignored_by_unicode_lower_case() {
        assert!(same("ÄRGER", "ärger", true));
        assert!(!same("ÄRGER", "ärger", false));
        assert!(!same("a", "ab", true));
    }
}
