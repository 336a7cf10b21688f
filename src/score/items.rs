//! The items of an answer: what `set_match` and `list_match` compare.

use std::borrow::Cow;

use serde_json::Value;

use super::ScorerSetupError;
use super::answer::text_of;

/// How a text becomes items. A JSON array is its elements; any other text is split. Items are trimmed, and empty ones
/// are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemOptions {
    /// What stands between two items. Default: a comma.
    pub separator: String,
    /// Whether upper and lower case are the same, by Unicode lower case. Default: false.
    pub ignore_case: bool,
}

impl Default for ItemOptions {
    fn default() -> Self {
        ItemOptions { separator: ",".to_owned(), ignore_case: false }
    }
}

impl ItemOptions {
    /// Refuses an empty separator, which would split between all characters.
    pub(super) fn check(&self, scorer: &str) -> Result<(), ScorerSetupError> {
        if self.separator.is_empty() {
            return Err(ScorerSetupError::new(scorer, "the separator is empty; the default is \",\""));
        }
        Ok(())
    }

    /// The items of a JSON value: of an array its elements, of anything else those of its text.
    pub(super) fn of_value<'a>(&self, value: &'a Value) -> Vec<Cow<'a, str>> {
        match value {
            Value::Array(elements) => elements.iter().filter_map(|element| self.item(text_of(element))).collect(),
            Value::String(text) => self.of_text(text),
            other => self.item(text_of(other)).into_iter().collect(),
        }
    }

    /// The items of a text.
    pub(super) fn of_text<'a>(&self, text: &'a str) -> Vec<Cow<'a, str>> {
        let text = text.trim();
        if text.starts_with('[')
            && let Ok(elements) = serde_json::from_str::<Vec<Value>>(text)
        {
            return elements.iter().filter_map(|item| self.item(text_of(item).into_owned().into())).collect();
        }
        text.split(self.separator.as_str()).filter_map(|item| self.item(Cow::Borrowed(item))).collect()
    }

    fn item<'a>(&self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let item = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        let item = if self.ignore_case { Cow::Owned(item.to_lowercase()) } else { item };
        (!item.is_empty()).then_some(item)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_come_from_a_json_array_or_from_splitting() {
        let options = ItemOptions::default();
        assert_eq!(options.of_text(" a, b ,,é "), ["a", "b", "é"]);
        assert_eq!(options.of_text(r#"["a, b", 3]"#), ["a, b", "3"]);
        assert_eq!(options.of_text("[a, b"), ["[a", "b"]);
        assert!(options.of_text("  ").is_empty());
        assert_eq!(options.of_value(&json!(["x", 1, ""])), ["x", "1"]);
        assert_eq!(options.of_value(&json!("x, y")), ["x", "y"]);
        assert_eq!(options.of_value(&json!(1.5)), ["1.5"]);
    }

    #[test]
    fn separator_and_case_are_options() {
        let options = ItemOptions { separator: "\n".into(), ignore_case: true };
        assert_eq!(options.of_text("A, b\nÖ"), ["a, b", "ö"]);
        assert!(ItemOptions { separator: String::new(), ignore_case: false }.check("x").is_err());
    }
}
