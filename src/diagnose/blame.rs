//! Which prompt of an agent a failing row is about, read off the traces of all rows.
//!
//! It is told only where a trace tells it. The first that applies: the first prompt that gave the wrong label; the prompt
//! behind the first step that failed; the only prompt that was asked; the first prompt that gave what it gave on no
//! passing row with the same expected answer; where all before it gave what they give on passing rows, the last one. A prompt whose answers hardly repeat (prose) can't be
//! compared with other rows, and neither can a row without a passing one of the same expected answer.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::FailureKind;
use super::kind::canonical;
use crate::dataset::Example;
use crate::eval::{Answer, Outcome};
use crate::model::TraceStep;

/// What the prompts of a row gave, in the order in which they were first asked: each with all its answers.
type Course<'a> = Vec<(&'a str, Vec<String>)>;

/// What the prompts gave on all rows of an evaluation.
pub(super) struct Blame<'a> {
    /// The prompts whose answers repeat: on average at least two rows share one.
    repeating: BTreeSet<&'a str>,
    /// By expected answer and prompt, what it gave on rows that pass.
    passing: BTreeMap<(String, &'a str), BTreeSet<Vec<String>>>,
    prompts: usize,
}

impl<'a> Blame<'a> {
    /// Reads the traces of `outcomes`, of which those below `pass_threshold` fail.
    pub(super) fn of(outcomes: &'a [Outcome], pass_threshold: f64) -> Self {
        let mut given: BTreeMap<&str, BTreeMap<Vec<String>, usize>> = BTreeMap::new();
        let mut passing: BTreeMap<(String, &str), BTreeSet<Vec<String>>> = BTreeMap::new();
        for outcome in outcomes {
            let Ok(answer) = &outcome.result else { continue };
            let expected = outcome.example.expected.as_ref().filter(|_| !outcome.is_failing(pass_threshold));
            for (prompt, answers) in course(answer) {
                if let Some(expected) = expected {
                    passing.entry((expected.to_string(), prompt)).or_default().insert(answers.clone());
                }
                *given.entry(prompt).or_default().entry(answers).or_default() += 1;
            }
        }
        let repeats = |answers: &BTreeMap<Vec<String>, usize>| answers.len() * 2 <= answers.values().sum();
        let repeating = given.iter().filter(|(_, answers)| repeats(answers)).map(|(prompt, _)| *prompt).collect();
        Self { repeating, passing, prompts: given.len() }
    }

    /// The prompt that a failing answer is about; `None` where the trace doesn't tell, or there is only one prompt.
    fn row(&self, kind: &FailureKind, example: &Example, answer: &'a Answer) -> Option<&'a str> {
        if self.prompts < 2 {
            return None;
        }
        let steps = answer.completion.trace.as_deref()?;
        if let FailureKind::Confusion { answered, .. } = kind {
            let label = canonical(answered);
            let gave = |step: &&TraceStep| step.prompt.is_some() && canonical(&given(step)) == label;
            if let Some(step) = steps.iter().find(gave) {
                return step.prompt.as_deref();
            }
        }
        if let Some(failed) = steps.iter().position(|step| step.error.is_some()) {
            return steps[..=failed].iter().rev().find_map(|step| step.prompt.as_deref());
        }
        let course = course(answer);
        let (last, before) = course.split_last()?;
        for (prompt, answers) in before {
            let expected = example.expected.as_ref()?.to_string();
            let seen = self.passing.get(&(expected, *prompt)).filter(|_| self.repeating.contains(prompt))?;
            if !seen.contains(answers) {
                return Some(prompt);
            }
        }
        Some(last.0)
    }

    /// The prompt that more than half of the `rows`, which fail like `kind`, are about.
    pub(super) fn most(
        &self,
        kind: &FailureKind,
        rows: impl ExactSizeIterator<Item = (&'a Example, &'a Answer)>,
    ) -> Option<String> {
        let size = rows.len();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for prompt in rows.filter_map(|(example, answer)| self.row(kind, example, answer)) {
            *counts.entry(prompt).or_default() += 1;
        }
        counts.into_iter().find(|(_, count)| count * 2 > size).map(|(prompt, _)| prompt.to_owned())
    }
}

fn course(answer: &Answer) -> Course<'_> {
    let mut course: Course = Vec::new();
    for step in answer.completion.trace.iter().flatten() {
        let Some(prompt) = step.prompt.as_deref() else { continue };
        match course.iter_mut().find(|(known, _)| *known == prompt) {
            Some((_, answers)) => answers.push(given(step)),
            None => course.push((prompt, vec![given(step)])),
        }
    }
    course
}

/// What a step gave, as it compares with that of other rows.
fn given(step: &TraceStep) -> String {
    match step.output.as_str() {
        Some(text) => text.trim().to_lowercase(),
        None => step.output.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{example, outcome, scored};
    use super::*;

    /// A step by its name; those called `route` and `reply` are prompts, and an output that begins with `!` is an error.
    fn step(name: &str, output: &str) -> TraceStep {
        TraceStep {
            name: name.into(),
            output: output.into(),
            error: output.strip_prefix('!').map(str::to_owned),
            prompt: ["route", "reply"].contains(&name).then(|| format!("{name}.prompty")),
            ..TraceStep::default()
        }
    }

    fn row(id: usize, expected: Value, value: f64, steps: &[(&str, &str)]) -> Outcome {
        let mut answer = scored("said", &[("exact", value, None)]);
        answer.completion.trace = Some(steps.iter().map(|(name, output)| step(name, output)).collect());
        outcome(example(&format!("r{id:02}"), "hello", expected), answer)
    }

    /// Twelve rows that pass, and one that fails with `steps` where `expected` was expected; what it is about.
    fn blamed(expected: Value, steps: &[(&str, &str)]) -> Option<String> {
        told(&FailureKind::Format, expected, steps)
    }

    fn told(kind: &FailureKind, expected: Value, steps: &[(&str, &str)]) -> Option<String> {
        let way = [("rent", "calm"), ("rent", "urgent"), ("repairs", "calm")];
        let passes = |at: usize| {
            let (desk, pace) = way[at % 3];
            row(at, json!(desk), 1.0, &[("route", desk), ("lookup", "1"), ("reply", pace)])
        };
        let mut outcomes: Vec<Outcome> = (0..12).map(passes).collect();
        outcomes.push(row(99, expected, 0.0, steps));
        let failed = &outcomes[12];
        let rows = [(failed.example.as_ref(), failed.result.as_ref().unwrap())];
        Blame::of(&outcomes, 1.0).most(kind, rows.into_iter())
    }

    #[test]
    fn the_trace_tells_which_prompt_went_another_way_than_on_rows_that_pass() {
        let rent = || json!("rent");
        for (steps, told) in [
            (&[("route", "repairs"), ("lookup", "2"), ("reply", "calm")][..], Some("route.prompty")),
            (&[("route", " Rent\n"), ("lookup", "1"), ("reply", "urgent")], Some("reply.prompty")),
            (&[("route", "rent"), ("lookup", "1"), ("reply", "whatever")], Some("reply.prompty")),
            (&[("route", "heating"), ("lookup", "!no such desk")], Some("route.prompty")),
            (&[("route", "rent"), ("reply", "calm"), ("send", "!no network")], Some("reply.prompty")),
            (&[("route", "rent"), ("lookup", "1")], Some("route.prompty")),
            (&[("lookup", "!no such desk"), ("route", "rent")], None),
            (&[("lookup", "1")], None),
            (&[], None),
        ] {
            assert_eq!(blamed(rent(), steps).as_deref(), told, "{steps:?}");
        }
    }

    #[test]
    fn where_no_passing_row_can_be_compared_nothing_is_told() {
        let steps = [("route", "rent"), ("lookup", "1"), ("reply", "calm")];
        assert_eq!(blamed(json!("contracts"), &steps), None);
        assert_eq!(blamed(Value::Null, &steps), None);
        let prose = |at: usize| {
            let steps = [("route", &*format!("prose {at}")), ("reply", "calm")];
            row(at, json!("rent"), f64::from(at > 0), &steps)
        };
        let outcomes: Vec<Outcome> = (0..9).map(prose).collect();
        let failed = [(outcomes[0].example.as_ref(), outcomes[0].result.as_ref().unwrap())];
        assert_eq!(Blame::of(&outcomes, 1.0).most(&FailureKind::Format, failed.into_iter()), None);
    }

    #[test]
    fn the_prompt_that_gave_the_wrong_label_is_told_though_no_row_of_the_right_one_passes() {
        let kind = FailureKind::Confusion { expected: "contracts".into(), answered: "Rent".into() };
        let steps = [("reply", "calm"), ("route", "rent."), ("reply", "calm")];
        assert_eq!(told(&kind, json!("contracts"), &steps).as_deref(), Some("route.prompty"));
        assert_eq!(told(&kind, json!("contracts"), &steps[..1]).as_deref(), Some("reply.prompty"));
    }

    #[test]
    fn a_single_prompt_is_not_told() {
        let outcomes = [row(1, json!("rent"), 0.0, &[("route", "repairs")])];
        let failed = [(outcomes[0].example.as_ref(), outcomes[0].result.as_ref().unwrap())];
        assert_eq!(Blame::of(&outcomes, 1.0).most(&FailureKind::Format, failed.into_iter()), None);
    }
}
