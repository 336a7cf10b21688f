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

use super::{Grade, Score, ScoreError, Scorer, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion, TraceStep};

/// Something that holds for a trace or doesn't.
pub trait Assertion: Send + Sync {
    /// Why it doesn't hold for `steps`; nothing where it does.
    fn objection(&self, steps: &[TraceStep]) -> Option<String>;
}

/// 1 if an assertion holds for the answer's trace, else 0. A row whose answer has no trace is missing: only a command
/// target gives one.
pub struct TraceScorer {
    name: String,
    assertion: Box<dyn Assertion>,
}

impl TraceScorer {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>, assertion: impl Assertion + 'static) -> TraceScorer {
        TraceScorer { name: name.into(), assertion: Box::new(assertion) }
    }
}

impl Scorer for TraceScorer {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn score<'a>(
        &'a self,
        _: &'a Example,
        completion: &'a Completion,
        _: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        let score = match &completion.trace {
            Some(steps) => {
                let Grade { value, reason } = self.assertion.objection(steps).map_or_else(Grade::pass, Grade::fail);
                Ok(Score { scorer: self.name.clone(), value, reason, criterion: None })
            }
            None => Err(ScoreError::of_row(&self.name, "the answer has no trace; only a [target] gives one")),
        };
        Box::pin(std::future::ready(score))
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
    use futures_util::FutureExt;

    use super::super::samples::{row, says};
    use super::*;

    /// Steps of these names.
    pub(super) fn trace(names: &[&str]) -> Vec<TraceStep> {
        names.iter().map(|name| TraceStep { name: (*name).to_owned(), ..TraceStep::default() }).collect()
    }

    #[test]
    fn an_assertion_is_one_or_nothing_with_its_reason_and_needs_a_trace() {
        let scorer = TraceScorer::new("search", Called::new(vec!["search".into()]));
        let score = |trace| {
            let completion = Completion { trace, ..says("x") };
            scorer.score(&row("x"), &completion, Scoring::default()).now_or_never().unwrap()
        };
        assert_eq!(score(Some(trace(&["search"]))).unwrap().value, 1.0);
        let failed = score(Some(trace(&["route", "answer"]))).unwrap();
        assert_eq!((failed.value, failed.reason.as_deref()), (0.0, Some("search was not called; route > answer")));
        assert!(score(None).unwrap_err().message.contains("only a [target] gives one"));
    }
}
