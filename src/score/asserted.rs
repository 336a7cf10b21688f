//! Scorers that need no expected answer: something holds for how an answer came, or doesn't.

use super::{Grade, Score, ScoreError, Scorer, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// Something that holds for how an answer came, or doesn't.
pub trait Assertion: Send + Sync {
    /// Why it doesn't hold for `completion`; nothing where it does.
    ///
    /// # Errors
    /// What has to be known for it and isn't, and what to do. The row is missing then.
    fn objection(&self, completion: &Completion) -> Result<Option<String>, String>;
}

/// 1 if an assertion holds for the answer, else 0.
pub struct Asserted {
    name: String,
    assertion: Box<dyn Assertion>,
}

impl Asserted {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>, assertion: impl Assertion + 'static) -> Self {
        Self { name: name.into(), assertion: Box::new(assertion) }
    }
}

impl Scorer for Asserted {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn score<'a>(
        &'a self,
        _: &'a Example,
        completion: &'a Completion,
        _: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        let score = match self.assertion.objection(completion) {
            Ok(objection) => {
                let Grade { value, reason } = objection.map_or_else(Grade::pass, Grade::fail);
                Ok(Score { scorer: self.name.clone(), value, reason, criterion: None })
            }
            Err(unknown) => Err(ScoreError::of_row(&self.name, unknown)),
        };
        Box::pin(std::future::ready(score))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::samples::{row, says};
    use super::*;

    /// Short texts are fine, long ones not, and of none nothing is known.
    struct Short;

    impl Assertion for Short {
        fn objection(&self, completion: &Completion) -> Result<Option<String>, String> {
            match completion.text.len() {
                0 => Err("no text".to_owned()),
                1..=3 => Ok(None),
                _ => Ok(Some("too long".to_owned())),
            }
        }
    }

    #[test]
    fn an_assertion_is_one_or_nothing_with_its_reason_or_an_error_of_the_row() {
        let scorer = Asserted::new("short", Short);
        assert!(scorer.name() == "short" && !scorer.needs_expected());
        let score = |text: &str| scorer.score(&row("x"), &says(text), Scoring::default()).now_or_never().unwrap();
        assert_eq!((score("abc").unwrap().value, score("abc").unwrap().reason), (1.0, None));
        let failed = score("abcd").unwrap();
        assert_eq!((failed.value, failed.reason.as_deref()), (0.0, Some("too long")));
        let error = score("").unwrap_err();
        assert_eq!((error.systemic, error.to_string().as_str()), (false, "scorer short: no text"));
    }
}
