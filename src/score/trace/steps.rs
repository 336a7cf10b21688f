//! `trace_steps`: the way was as long as it may be.

use super::super::{Bounds, ScorerSetupError};
use super::StepAssertion;
use crate::model::TraceStep;

/// The number of steps is within limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    bounds: Bounds,
}

impl Steps {
    /// The assertion for the scorer called `scorer`.
    ///
    /// # Errors
    /// No limit at all, or a least above the most.
    pub fn new(scorer: &str, bounds: Bounds) -> Result<Steps, ScorerSetupError> {
        bounds.check(scorer)?;
        Ok(Steps { bounds })
    }
}

impl StepAssertion for Steps {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        self.bounds.grade(steps.len(), "step").reason
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn both_limits_are_allowed_themselves_and_one_is_needed() {
        let steps = Steps::new("s", Bounds { min: Some(1), max: Some(2) }).unwrap();
        assert_eq!(steps.objection(&trace(&["a"])), None);
        assert_eq!(steps.objection(&trace(&["a", "b"])), None);
        assert_eq!(steps.objection(&[]).unwrap(), "0 steps, of at least 1");
        assert_eq!(steps.objection(&trace(&["a", "b", "c"])).unwrap(), "3 steps, of at most 2");
        assert!(Steps::new("s", Bounds::default()).is_err());
    }
}
