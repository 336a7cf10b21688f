//! The least and the most of something: what `word_count` and `length` share.

use super::{Grade, ScorerSetupError};
use crate::text::{count, plural};

/// How many of something an answer may have, both limits included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Option<usize>,
    /// The most.
    pub max: Option<usize>,
}

impl Bounds {
    /// Refuses limits that no answer, or every answer, keeps.
    pub(super) fn check(self, scorer: &str) -> Result<(), ScorerSetupError> {
        match (self.min, self.max) {
            (None, None) => Err(ScorerSetupError::new(scorer, "has no limit; give `min`, `max` or both")),
            (Some(min), Some(max)) if min > max => {
                Err(ScorerSetupError::new(scorer, format!("`min` is {min}, above `max`, which is {max}; swap them")))
            }
            _ => Ok(()),
        }
    }

    /// 1 within the limits, else 0; `thing` is what is counted, in the singular.
    pub(super) fn grade(self, found: usize, thing: &str) -> Grade {
        if let Some(min) = self.min.filter(|min| found < *min) {
            return Grade::fail(format!("{}, of at least {}", plural(found, thing), count(min as u64)));
        }
        if let Some(max) = self.max.filter(|max| found > *max) {
            return Grade::fail(format!("{}, of at most {}", plural(found, thing), count(max as u64)));
        }
        Grade::pass()
    }
}
