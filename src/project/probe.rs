//! A few rows before all others: a model that can't be had, or a scorer that always fails, shows before anything is paid for
//! in vain. Their answers are in the store when all rows are asked.

use std::sync::Arc;

use crate::dataset::Example;
use crate::eval::{Evaluate, OutcomeError, RowSource};
use crate::model::CallError;
use crate::prompt::PromptSet;

/// Rows that are asked one after another until one is answered and scored: if the provider fails on all of them, it is out.
const PROBES: usize = 3;

/// Rows of which not one may be answered and scored, where each error is the row's own: what fails on all of these fails on all
/// others too, each with an answer to be paid for.
const OWN_PROBES: usize = 20;

/// Apart in the order of probing, prime to the number of rows that are probed.
const STRIDE: usize = 7;

/// That not one row could be answered and scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Unready {
    /// What the first met, or one whose provider is at fault.
    pub error: OutcomeError,
    /// How many rows were asked in vain, and the id of the first, where each error is the row's own.
    pub own: Option<(usize, String)>,
}

impl From<CallError> for Unready {
    fn from(error: CallError) -> Self {
        Self { error: error.into(), own: None }
    }
}

impl Unready {
    /// How many rows it is about, in words, where each error is the row's own.
    pub fn context(&self) -> Option<String> {
        let done = if matches!(self.error, OutcomeError::Score(_)) { "scored" } else { "answered" };
        self.own.as_ref().map(|(rows, id)| format!("none of the first {rows} rows could be {done}; row `{id}`"))
    }
}

/// Asks rows spread over `rows` until one is answered and scored.
///
/// # Errors
/// [`Unready`]: a fault that no row can escape, or that none of these rows could be answered and scored.
pub async fn probe(evaluate: &dyn Evaluate, prompts: &Arc<PromptSet>, rows: &dyn RowSource) -> Result<(), Unready> {
    let chosen: Vec<Arc<Example>> = spread(rows.count()).into_iter().filter_map(|at| rows.row(at)).collect();
    let (first, others) = chosen.split_at(PROBES.min(chosen.len()));
    let mut failed = Vec::new();
    // What fails may take long, so those that are left are asked at once.
    for some in first.chunks(1).chain((!others.is_empty()).then_some(others)) {
        if failed.len() == PROBES && failed.iter().all(is_providers) {
            break;
        }
        match evaluate.evaluate(prompts, some, 0, &|_| ()).await {
            Ok(evaluation) => {
                let errors: Vec<_> =
                    evaluation.outcomes.into_iter().filter_map(|outcome| outcome.result.err()).collect();
                if errors.len() < some.len() {
                    return Ok(());
                }
                failed.extend(errors);
            }
            // One bad row looks like an outage as long as no other was answered.
            Err(OutcomeError::Call(error)) if error.is_outage() => failed.push(error.into()),
            Err(error) => return Err(Unready { error, own: None }),
        }
    }
    if let Some(error) = failed.iter().find(|error| is_providers(error)) {
        return Err(Unready { error: error.clone(), own: None });
    }
    match (failed.first(), first.first()) {
        (Some(error), Some(row)) => Err(Unready { error: error.clone(), own: Some((failed.len(), row.id.clone())) }),
        _ => Ok(()),
    }
}

/// Whether another row may well meet the same, since it is the provider's.
fn is_providers(error: &OutcomeError) -> bool {
    matches!(error, OutcomeError::Call(call) if call.is_providers())
}

/// The places of the rows that are probed, of `count`: the first ones may be of one kind, so they lie apart.
fn spread(count: usize) -> Vec<usize> {
    if count <= OWN_PROBES {
        return (0..count).collect();
    }
    (0..OWN_PROBES).map(|at| (at * STRIDE % OWN_PROBES) * count / OWN_PROBES).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::eval::{Evaluation, OnOutcome, testing};
    use crate::model::BoxFuture;
    use crate::score::ScoreError;

    /// Fails on rows as it is told, and notes which were asked.
    struct Failing(Box<dyn Fn(usize) -> Option<OutcomeError> + Send + Sync>, Mutex<Vec<usize>>);

    impl Evaluate for Failing {
        fn evaluate<'a>(
            &'a self,
            prompts: &'a Arc<PromptSet>,
            examples: &'a [Arc<Example>],
            _: u32,
            _: OnOutcome<'a>,
        ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
            Box::pin(async move {
                let mut outcomes = Vec::new();
                for example in examples {
                    let row: usize = example.id.parse().unwrap();
                    self.1.lock().unwrap().push(row);
                    let mut outcome = testing::outcome(row, 1.0);
                    match (self.0)(row) {
                        Some(fault @ OutcomeError::Call(CallError::Outage(_) | CallError::Denied(_))) => {
                            return Err(fault);
                        }
                        Some(error) => outcome.result = Err(error),
                        None => {}
                    }
                    outcomes.push(outcome);
                }
                Ok(Evaluation { prompts: prompts.digest(), outcomes })
            })
        }

        fn is_deterministic(&self) -> bool {
            true
        }
    }

    async fn probed(
        rows: usize,
        fails: impl Fn(usize) -> Option<OutcomeError> + Send + Sync + 'static,
    ) -> (Result<(), Unready>, Vec<usize>) {
        let failing = Failing(Box::new(fails), Mutex::default());
        let examples: Vec<Arc<Example>> = (0..rows).map(|row| testing::outcome(row, 1.0).example).collect();
        let prompt = crate::prompt::Prompt::parse("p", "{{ input }}").unwrap();
        let prompts = Arc::new(PromptSet::one(prompt).unwrap());
        let result = probe(&failing, &prompts, &examples).await;
        (result, failing.1.into_inner().unwrap())
    }

    fn rejected() -> OutcomeError {
        CallError::Rejected("content".into()).into()
    }

    #[tokio::test]
    async fn rows_are_asked_until_one_can_be_had() {
        assert_eq!(probed(100, |_| None).await, (Ok(()), vec![0]));
        assert_eq!(probed(100, |row| (row == 0).then(rejected)).await, (Ok(()), vec![0, 35]));
        let (result, asked) = probed(100, |row| (row < 71).then(rejected)).await;
        assert_eq!((result, asked.len()), (Ok(()), OWN_PROBES));
        assert_eq!(probed(0, |_| None).await, (Ok(()), vec![]));
    }

    #[tokio::test]
    async fn errors_of_rows_are_told_after_twenty_and_a_providers_after_three() {
        let (result, asked) = probed(100, |_| Some(rejected())).await;
        assert_eq!(asked.len(), OWN_PROBES);
        let unready = result.unwrap_err();
        let context = unready.context().unwrap();
        assert!(context.starts_with("none of the first 20 rows could be answered; row `"), "{context}");
        let scorer = |_| Some(OutcomeError::Score(ScoreError::of_row("s", "no")));
        let context = probed(2, scorer).await.0.unwrap_err().context().unwrap();
        assert!(context.starts_with("none of the first 2 rows could be scored"), "{context}");
        for fault in [CallError::Outage("out".into()), CallError::Transient("500".into())] {
            let fails = fault.clone();
            let (result, asked) = probed(100, move |_| Some(fails.clone().into())).await;
            assert_eq!((result, asked.len()), (Err(Unready { error: fault.into(), own: None }), PROBES));
        }
        let (result, asked) = probed(100, |_| Some(CallError::Denied("key".into()).into())).await;
        assert_eq!((result.unwrap_err().own, asked.len()), (None, 1));
    }

    #[test]
    fn the_rows_lie_apart() {
        for count in [0, 1, 19, 20, 21, 47, 1000] {
            let mut places = spread(count);
            assert_eq!(places.len(), count.min(OWN_PROBES));
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), count.min(OWN_PROBES));
            assert!(places.last().is_none_or(|last| *last < count));
        }
    }
}
