//! `latency`: the answer came in time.

use super::{Assertion, ScorerSetupError};
use crate::model::Completion;

/// 1 if the answer took at most a given time, else 0, as promptfoo's `latency`. A stored answer took as long as it did
/// when it was live, so that a score stays what it was.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    max_seconds: f64,
}

impl Latency {
    /// The most seconds that an answer may take; the scorer is called `name`.
    ///
    /// # Errors
    /// A time that isn't above zero and finite.
    pub fn new(name: impl Into<String>, max_seconds: f64) -> Result<Latency, ScorerSetupError> {
        if !(max_seconds.is_finite() && max_seconds > 0.0) {
            return Err(ScorerSetupError::new(name, format!("`max_seconds` is {max_seconds}; it must be above 0")));
        }
        Ok(Latency { max_seconds })
    }
}

impl Assertion for Latency {
    fn objection(&self, completion: &Completion) -> Result<Option<String>, String> {
        let seconds = completion.latency_ms as f64 / 1000.0;
        Ok((seconds > self.max_seconds).then(|| format!("took {seconds} s, of at most {} s", self.max_seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::says;
    use super::*;

    #[test]
    fn an_answer_in_time_is_fine_and_a_late_one_not() {
        let latency = Latency::new("latency", 1.5).unwrap();
        let objection = |latency_ms| latency.objection(&Completion { latency_ms, ..says("x") }).unwrap();
        assert_eq!(objection(1500), None);
        assert_eq!(objection(1501).unwrap(), "took 1.501 s, of at most 1.5 s");
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Latency::new("latency", wrong).is_err());
        }
    }
}
