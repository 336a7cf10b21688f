//! `trace_at_most`: a step was not taken too often.

use super::StepAssertion;
use crate::model::TraceStep;
use crate::text::plural;

/// A step was taken so often at most; never is fine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtMost {
    step: String,
    times: usize,
}

impl AtMost {
    /// The assertion on steps of this name.
    pub fn new(step: String, times: usize) -> AtMost {
        AtMost { step, times }
    }
}

impl StepAssertion for AtMost {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        let taken = steps.iter().filter(|step| step.name == self.step).count();
        (taken > self.times)
            .then(|| format!("{} was called {}, of at most {}", self.step, plural(taken, "time"), self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn the_limit_itself_is_allowed_and_zero_forbids() {
        let search = |times| AtMost::new("search".into(), times);
        assert_eq!(search(2).objection(&trace(&["search", "x", "search"])), None);
        assert_eq!(
            search(1).objection(&trace(&["search", "search"])).unwrap(),
            "search was called 2 times, of at most 1"
        );
        assert_eq!(search(0).objection(&trace(&["search"])).unwrap(), "search was called 1 time, of at most 0");
        assert_eq!(search(0).objection(&trace(&["x"])), None);
    }
}
