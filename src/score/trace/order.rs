//! `trace_order`: steps were taken one after the other.

use super::{StepAssertion, went};
use crate::model::TraceStep;

/// Some steps were taken in this order; others may stand before, between and behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    steps: Vec<String>,
}

impl Order {
    /// The assertion on steps of these names.
    pub fn new(steps: Vec<String>) -> Order {
        Order { steps }
    }
}

impl StepAssertion for Order {
    fn objection(&self, steps: &[TraceStep]) -> Option<String> {
        let mut left = steps.iter();
        let missed = self.steps.iter().position(|name| !left.any(|step| step.name == *name))?;
        let behind = match missed.checked_sub(1) {
            Some(before) => format!(" after {}", self.steps[before]),
            None => String::new(),
        };
        Some(format!("{} was not called{behind}; {}", self.steps[missed], went(steps)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::trace;
    use super::*;

    #[test]
    fn the_steps_must_follow_one_another_but_not_at_once() {
        let order = Order::new(vec!["route".into(), "lookup".into(), "lookup".into()]);
        assert_eq!(order.objection(&trace(&["x", "route", "y", "lookup", "lookup", "z"])), None);
        assert_eq!(
            order.objection(&trace(&["lookup", "route", "lookup"])).unwrap(),
            "lookup was not called after lookup; lookup > route > lookup"
        );
        assert_eq!(order.objection(&trace(&["lookup"])).unwrap(), "route was not called; lookup");
    }
}
