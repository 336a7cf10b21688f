//! `trace_no_error`: no step failed.

use super::StepAssertion;
use crate::model::TraceStep;
use crate::text::quote;

/// No step has an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoError;

impl StepAssertion for NoError {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        steps.iter().find_map(|step| Some(format!("{} failed: {}", step.name, quote(step.error.as_deref()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn the_first_step_that_failed_is_named() {
        let mut steps = trace(&["route", "lookup", "answer"]);
        assert_eq!(NoError.objection(&steps), None);
        steps[1].error = Some("no such desk".into());
        assert_eq!(NoError.objection(&steps).unwrap(), "lookup failed: \"no such desk\"");
    }
}
