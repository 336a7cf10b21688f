//! `regex`: a pattern is found in the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// Most patterns from rows that are kept compiled; a pattern is some tens of kilobytes.
const KEPT_PATTERNS: usize = 1024;

/// Which pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegexOptions {
    /// The pattern (syntax of the Rust `regex` crate); absent: the row's expected text is its pattern.
    pub pattern: Option<String>,
    /// Whether upper and lower case are the same. Default: false.
    pub ignore_case: bool,
}

/// 1 if the pattern is found anywhere in the answer without the white space around it, else 0. `^…$` asks for the
/// whole answer.
#[derive(Debug)]
pub struct RegexMatch {
    name: String,
    ignore_case: bool,
    /// The pattern that holds for all rows.
    pattern: Option<Regex>,
    /// Patterns of rows: compiling costs a hundred times what matching does, and rows come again for each candidate.
    /// Shared, not cloned, since a clone begins with empty caches.
    of_rows: Mutex<HashMap<String, Arc<Regex>>>,
}

impl RegexMatch {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// A given pattern that doesn't compile; [`Scorer::check`](super::Scorer::check) tells those of rows.
    pub fn new(name: impl Into<String>, options: RegexOptions) -> Result<RegexMatch, ScorerSetupError> {
        let name = name.into();
        let pattern = match options.pattern {
            Some(source) => {
                Some(compile(&source, options.ignore_case).map_err(|error| ScorerSetupError::new(&name, error))?)
            }
            None => None,
        };
        Ok(RegexMatch { name, ignore_case: options.ignore_case, pattern, of_rows: Mutex::default() })
    }

    fn of_row(&self, source: &str) -> Result<Arc<Regex>, String> {
        let mut kept = self.of_rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = kept.get(source) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(compile(source, self.ignore_case)?);
        if kept.len() < KEPT_PATTERNS {
            kept.insert(source.to_owned(), Arc::clone(&pattern));
        }
        Ok(pattern)
    }
}

fn compile(source: &str, ignore_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|error| format!("pattern {} doesn't compile: {error}", quote(source)))
}

fn graded(pattern: &Regex, answer: &str) -> Grade {
    if pattern.is_match(answer) {
        Grade::pass()
    } else {
        Grade::fail(format!("{} is not found", quote(pattern.as_str())))
    }
}

impl Grader for RegexMatch {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.pattern.is_none()
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        if self.pattern.is_none() && example.expected.is_some() {
            self.of_row(&text_of(expected(example)?))?;
        }
        Ok(())
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let answer = answer.trim();
        match &self.pattern {
            Some(pattern) => Ok(graded(pattern, answer)),
            None => Ok(graded(self.of_row(&text_of(expected(example)?))?.as_ref(), answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::{reason, row, try_score, value};
    use super::*;

    fn given(pattern: &str, ignore_case: bool) -> RegexMatch {
        RegexMatch::new("regex", RegexOptions { pattern: Some(pattern.into()), ignore_case }).unwrap()
    }

    #[test]
    fn a_given_pattern_needs_no_expected() {
        let scorer = given(r"^\d{3}-\p{L}+$", false);
        assert!(!scorer.needs_expected());
        assert_eq!(value(&scorer, Value::Null, "123-é\n"), 1.0);
        assert_eq!(value(&scorer, Value::Null, "x 123-é"), 0.0);
        assert_eq!(value(&given("ÄB", true), Value::Null, "äb"), 1.0);
        assert_eq!(reason(&scorer, Value::Null, ""), r#""^\\d{3}-\\p{L}+$" is not found"#);
    }

    #[test]
    fn the_expected_text_is_the_pattern_where_none_is_given() {
        let scorer = RegexMatch::new("regex", RegexOptions::default()).unwrap();
        assert!(scorer.needs_expected());
        assert_eq!(value(&scorer, "^a+$", "aaa"), 1.0);
        assert_eq!(value(&scorer, "^a+$", "aab"), 0.0);
        assert_eq!(value(&scorer, "^a+$", "aa"), 1.0);
        assert!(try_score(&scorer, "(", "x").unwrap_err().message.contains("doesn't compile"));
        assert!(try_score(&scorer, Value::Null, "x").is_err());
        assert!(Grader::check(&scorer, &row("(")).unwrap_err().contains("doesn't compile"));
        assert_eq!(Grader::check(&scorer, &row("^a+$")), Ok(()));
    }

    #[test]
    fn a_given_pattern_that_does_not_compile_is_an_error_at_once() {
        let error = RegexMatch::new("regex", RegexOptions { pattern: Some("(".into()), ignore_case: false });
        assert!(error.unwrap_err().to_string().starts_with("scorer regex: pattern \"(\" doesn't compile"));
    }
}
