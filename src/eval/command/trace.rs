//! The steps of an agent: those that it reports and the model calls that were recorded, put together.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::{TraceStep, Usage};

/// A step as a program reports it. What else it says of it is its own business.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Reported {
    name: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    error: Option<String>,
    #[serde(default, deserialize_with = "milliseconds")]
    latency_ms: Option<u64>,
    #[serde(default)]
    tokens: Option<Tokens>,
}

/// Tokens as a program reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Tokens {
    input: u64,
    output: u64,
}

/// A time as clocks give it, to the millisecond.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let time = Option::<f64>::deserialize(deserializer)?;
    match time.filter(|time| !(time.is_finite() && *time >= 0.0)) {
        Some(time) => Err(serde::de::Error::custom(format!("{time} is no time: give milliseconds from 0"))),
        None => Ok(time.map(|time| time.round() as u64)),
    }
}

impl Reported {
    /// The tokens that were spent where nobody but the program saw it.
    fn usage(&self) -> Usage {
        let Tokens { input, output } = self.tokens.unwrap_or_default();
        Usage { input, output, ..Usage::default() }
    }

    /// The step; where it stands for the recorded `call`, what it leaves out comes from there.
    fn step(self, call: Option<TraceStep>) -> TraceStep {
        let usage = self.tokens.map(|_| self.usage());
        let call = call.unwrap_or_default();
        let given = |reported: Value, recorded: Value| if reported.is_null() { recorded } else { reported };
        TraceStep {
            name: self.name,
            input: given(self.input, call.input),
            output: given(self.output, call.output),
            error: self.error.or(call.error),
            latency_ms: self.latency_ms.or(call.latency_ms),
            tokens: call.tokens.or(usage),
            prompt: None,
            call: call.call,
        }
    }
}

/// All steps in order, and the tokens of those that went past Ratchet.
///
/// A reported step stands for the next recorded call of its name, where there is one; calls that no reported step stands
/// for come before the next that one stands for, the rest at the end.
pub(super) fn merged(reported: Vec<Reported>, recorded: Vec<TraceStep>) -> (Vec<TraceStep>, Usage) {
    let mut recorded: std::collections::VecDeque<TraceStep> = recorded.into();
    let (mut steps, mut elsewhere) = (Vec::new(), Usage::default());
    for step in reported {
        let Some(at) = recorded.iter().position(|call| call.name == step.name) else {
            let usage = step.usage();
            elsewhere.input = elsewhere.input.saturating_add(usage.input);
            elsewhere.output = elsewhere.output.saturating_add(usage.output);
            steps.push(step.step(None));
            continue;
        };
        steps.extend(recorded.drain(..at));
        let call = recorded.pop_front();
        steps.push(step.step(call));
    }
    steps.extend(recorded);
    (steps, elsewhere)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(name: &str, output: &str) -> TraceStep {
        let tokens = Some(Usage { input: 5, output: 1, ..Usage::default() });
        TraceStep { name: name.into(), output: output.into(), latency_ms: Some(7), tokens, ..TraceStep::default() }
    }

    fn reported(steps: Value) -> Vec<Reported> {
        serde_json::from_value(steps).unwrap()
    }

    #[test]
    fn a_reported_step_stands_for_the_next_recorded_call_of_its_name() {
        let steps = json!([
            {"name": "route", "output": "billing"},
            {"name": "lookup", "input": "billing", "tokens": {"input": 3, "output": 4}},
            {"name": "answer"},
        ]);
        let calls = vec![call("route", "billing."), call("model", "aside"), call("answer", "done"), call("model", "x")];
        let (steps, elsewhere) = merged(reported(steps), calls);
        let seen: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.output.clone())).collect();
        assert_eq!(
            seen,
            [
                ("route", json!("billing")),
                ("lookup", Value::Null),
                ("model", json!("aside")),
                ("answer", json!("done")),
                ("model", json!("x"))
            ]
        );
        assert_eq!((steps[0].latency_ms, steps[1].latency_ms), (Some(7), None));
        assert_eq!((elsewhere.input, elsewhere.output), (3, 4), "recorded calls were counted already");
    }

    #[test]
    fn calls_alone_are_a_trace_and_so_are_steps_alone() {
        assert_eq!(merged(Vec::new(), vec![call("model", "a")]).0, [call("model", "a")]);
        let (steps, _) = merged(reported(json!([{"name": "search", "error": "no network", "latency_ms": 3}])), vec![]);
        assert_eq!((steps[0].error.as_deref(), steps[0].latency_ms), (Some("no network"), Some(3)));
    }

    #[test]
    fn steps_are_taken_as_programs_write_them() {
        let steps = json!([
            {"name": "a", "latency_ms": 12.6, "tokens": {"input": 3}, "call": "00", "parent": null},
            {"name": "b", "latency_ms": null, "tokens": {"output": 4, "total": 4}},
        ]);
        let (steps, elsewhere) = merged(reported(steps), Vec::new());
        assert_eq!((steps[0].latency_ms, steps[1].latency_ms, steps[0].call), (Some(13), None, None));
        assert_eq!((elsewhere.input, elsewhere.output), (3, 4));
    }
}
