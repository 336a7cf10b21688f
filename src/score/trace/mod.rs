//! Scorers of the way that an agent went: assertions over the steps of its trace, one a file. `docs/targets.md` says what
//! becomes a step.

mod at_most;
mod called;
mod no_error;
mod order;
mod path;
mod steps;

pub use at_most::AtMost;
pub use called::Called;
pub use no_error::NoError;
pub use order::Order;
pub use path::Path;
pub use steps::Steps;

use super::Assertion;
use crate::model::{Completion, TraceStep};

/// Something that holds for the steps of an answer's trace, or doesn't. A row whose answer has no trace is missing: only a
/// command target gives one.
pub trait StepAssertion: Send + Sync {
    /// Why it doesn't hold for `steps`; nothing where it does.
    fn objection(&self, steps: &[TraceStep]) -> Option<String>;
}

impl<A: StepAssertion> Assertion for A {
    fn objection(&self, completion: &Completion) -> Result<Option<String>, String> {
        let steps = completion.trace.as_deref().ok_or("the answer has no trace; only a [target] gives one")?;
        Ok(StepAssertion::objection(self, steps))
    }
}

/// The steps' names in order, for a reason.
fn went(steps: &[TraceStep]) -> String {
    if steps.is_empty() {
        return "nothing".to_owned();
    }
    steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(" > ")
}

#[cfg(test)]
mod tests {
    use super::super::samples::says;
    use super::*;

    /// Steps of these names.
    pub(super) fn trace(names: &[&str]) -> Vec<TraceStep> {
        names.iter().map(|name| TraceStep { name: (*name).to_owned(), ..TraceStep::default() }).collect()
    }

    #[test]
    fn an_answer_without_a_trace_is_an_error_of_the_row() {
        let called = Called::new(vec!["search".into()]);
        let objection = |trace| Assertion::objection(&called, &Completion { trace, ..says("x") });
        assert_eq!(objection(Some(trace(&["search"]))), Ok(None));
        assert_eq!(objection(Some(trace(&["route"]))).unwrap().unwrap(), "search was not called; route");
        assert!(objection(None).unwrap_err().contains("only a [target] gives one"));
    }
}
