//! `trace_called`: steps were taken.

use super::{StepAssertion, went};
use crate::model::TraceStep;

/// Each of some steps was taken, in whatever order and however often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    steps: Vec<String>,
}

impl Called {
    /// The assertion on steps of these names.
    pub fn new(steps: Vec<String>) -> Called {
        Called { steps }
    }
}

impl StepAssertion for Called {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        let missing = self.steps.iter().find(|name| steps.iter().all(|step| step.name != **name))?;
        Some(format!("{missing} was not called; {}", went(steps)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn all_named_steps_must_be_there_in_any_order() {
        let called = Called::new(vec!["search".into(), "book".into()]);
        assert_eq!(called.objection(&trace(&["book", "x", "search"])), None);
        assert_eq!(called.objection(&trace(&["search"])).unwrap(), "book was not called; search");
        assert_eq!(called.objection(&[]).unwrap(), "search was not called; nothing");
    }
}
