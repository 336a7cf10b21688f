//! `list_match`: the answer lists the expected items, in order.

use super::answer::{expected, quote};
use super::{Grade, Grader, ItemOptions, ScorerSetupError};
use crate::dataset::Example;

/// The share of places that hold the expected item, in [0, 1]: equal places by the length of the longer list. Two empty
/// lists are the same.
#[derive(Debug, Clone)]
pub struct ListMatch {
    name: String,
    options: ItemOptions,
}

impl ListMatch {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// An empty separator.
    pub fn new(name: impl Into<String>, options: ItemOptions) -> Result<ListMatch, ScorerSetupError> {
        let name = name.into();
        options.check(&name)?;
        Ok(ListMatch { name, options })
    }
}

impl Grader for ListMatch {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected = self.options.of_value(expected(example)?);
        let answer = self.options.of_text(answer);
        let longer = expected.len().max(answer.len());
        let first_wrong = (0..longer).find(|&at| expected.get(at) != answer.get(at));
        let Some(at) = first_wrong else {
            return Ok(Grade::pass());
        };
        let equal = expected.iter().zip(&answer).filter(|(expected, answer)| expected == answer).count();
        let shown =
            |item: Option<&_>| item.map_or("nothing".to_owned(), |item: &std::borrow::Cow<'_, str>| quote(item));
        Ok(Grade {
            value: equal as f64 / longer as f64,
            reason: Some(format!(
                "{equal} of {longer} places are right; first wrong is {}: expected {}, answered {}",
                at + 1,
                shown(expected.get(at)),
                shown(answer.get(at))
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer() -> ListMatch {
        ListMatch::new("list_match", ItemOptions::default()).unwrap()
    }

    #[test]
    fn places_are_compared_one_by_one() {
        assert_eq!(value(&scorer(), json!(["a", "b"]), "a, b"), 1.0);
        assert_eq!(value(&scorer(), json!(["a", "b"]), "b, a"), 0.0);
        assert_eq!(value(&scorer(), json!(["a", "b"]), "a"), 0.5);
        assert_eq!(value(&scorer(), json!(["a"]), "a, b, c, d"), 0.25);
        assert_eq!(
            reason(&scorer(), "a, b", "a"),
            r#"1 of 2 places are right; first wrong is 2: expected "b", answered nothing"#
        );
    }

    #[test]
    fn an_empty_answer_is_right_only_where_nothing_is_expected() {
        assert_eq!(value(&scorer(), json!([]), " "), 1.0);
        assert_eq!(value(&scorer(), json!(["é"]), ""), 0.0);
        assert!(try_score(&scorer(), Value::Null, "a").is_err());
    }
}
