//! `trace_path`: these steps were taken, and no others.

use super::{StepAssertion, went};
use crate::model::TraceStep;

/// The steps were these, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<String>,
}

impl Path {
    /// The assertion on a whole trace; no step at all may be wanted too.
    pub fn new(steps: Vec<String>) -> Path {
        Path { steps }
    }
}

impl StepAssertion for Path {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        let is_it = self.steps.iter().eq(steps.iter().map(|step| &step.name));
        (!is_it).then(|| format!("went {}, not {}", went(steps), self.steps.join(" > ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn every_step_must_be_at_its_place() {
        let path = Path::new(vec!["route".into(), "answer".into()]);
        assert_eq!(path.objection(&trace(&["route", "answer"])), None);
        for other in [&["route"][..], &["answer", "route"], &["route", "answer", "answer"], &[]] {
            assert!(path.objection(&trace(other)).unwrap().ends_with(", not route > answer"), "{other:?}");
        }
    }
}
