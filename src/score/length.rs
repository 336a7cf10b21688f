//! `length`: the answer is as long as it may be.

use super::{Bounds, Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// 1 if the answer, without white space around it, has as many characters (Unicode scalar values) as the limits allow,
/// else 0.
#[derive(Debug, Clone)]
pub struct Length {
    name: String,
    bounds: Bounds,
}

impl Length {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// No limit at all, or a least above the most.
    pub fn new(name: impl Into<String>, bounds: Bounds) -> Result<Length, ScorerSetupError> {
        let name = name.into();
        bounds.check(&name)?;
        Ok(Length { name, bounds })
    }
}

impl Grader for Length {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn grade(&self, _example: &Example, answer: &str) -> Result<Grade, String> {
        Ok(self.bounds.grade(answer.trim().chars().count(), "character"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{reason, value};
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let scorer = Length::new("length", Bounds { min: Some(1), max: Some(4) }).unwrap();
        assert_eq!(value(&scorer, Value::Null, " éàüö\n"), 1.0);
        assert_eq!(value(&scorer, Value::Null, "  "), 0.0);
        assert_eq!(reason(&scorer, Value::Null, "eau de vie"), "10 characters, of at most 4");
        assert!(Length::new("length", Bounds::default()).is_err());
    }
}
