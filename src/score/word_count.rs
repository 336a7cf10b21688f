//! `word_count`: the answer has as many words as it may have.

use super::{Bounds, Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// 1 if the number of words is within the limits, else 0. Words are what white space separates, as in promptfoo's
/// `word-count`.
#[derive(Debug, Clone)]
pub struct WordCount {
    name: String,
    bounds: Bounds,
}

impl WordCount {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// No limit at all, or a least above the most.
    pub fn new(name: impl Into<String>, bounds: Bounds) -> Result<WordCount, ScorerSetupError> {
        let name = name.into();
        bounds.check(&name)?;
        Ok(WordCount { name, bounds })
    }
}

impl Grader for WordCount {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn grade(&self, _example: &Example, answer: &str) -> Result<Grade, String> {
        Ok(self.bounds.grade(answer.split_whitespace().count(), "word"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{reason, value};
    use super::*;

    #[test]
    fn both_limits_are_allowed_themselves() {
        let scorer = WordCount::new("word_count", Bounds { min: Some(2), max: Some(3) }).unwrap();
        for (answer, wanted) in [("", 0.0), ("one", 0.0), ("it's two", 1.0), (" one - three\n", 1.0), ("1 2 3 4", 0.0)]
        {
            assert_eq!(value(&scorer, Value::Null, answer), wanted, "{answer}");
        }
        assert_eq!(reason(&scorer, Value::Null, "one"), "1 word, of at least 2");
        assert_eq!(reason(&scorer, Value::Null, "1 2 3 4"), "4 words, of at most 3");
    }

    #[test]
    fn limits_that_limit_nothing_or_everything_are_refused() {
        let error = |min, max| WordCount::new("word_count", Bounds { min, max }).unwrap_err().to_string();
        assert_eq!(error(None, None), "scorer word_count: has no limit; give `min`, `max` or both");
        assert!(error(Some(3), Some(2)).contains("`min` is 3, above `max`"));
    }
}
