//! The evaluation engine: runs a target over examples, scores the answers, keeps the order of the examples.
//!
//! Rows run concurrently as the target allows; what comes back first changes nothing but the progress that is seen.
//! One row's error is that row's outcome. Only a fault that no later call can escape ends an evaluation early.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Answer, Evaluation, Outcome, OutcomeError, Target};
use crate::dataset::Example;
use crate::model::{BoxFuture, CallError};
use crate::prompt::PromptSet;
use crate::score::ScorerSet;

/// Called for every outcome as it arrives, in no particular order; for progress only.
pub type OnOutcome<'a> = &'a (dyn Fn(&Outcome) + Send + Sync);

/// Measures prompts on examples: the seam between the search and whatever answers.
pub trait Evaluate: Send + Sync {
    /// One outcome an example, in the order of `examples`, all of draw `sample`.
    ///
    /// # Errors
    /// A fault that no later row can escape: interrupted, budget used up, no access, store broken, scorer gone.
    fn evaluate<'a>(
        &'a self,
        prompts: &'a Arc<PromptSet>,
        examples: &'a [Arc<Example>],
        sample: u32,
        on_outcome: OnOutcome<'a>,
    ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>>;

    /// Whether another draw of the same question gets the same outcome.
    fn is_deterministic(&self) -> bool;
}

/// Runs a target and scores its answers.
#[derive(Clone)]
pub struct Evaluator {
    target: Arc<dyn Target>,
    scorers: Arc<ScorerSet>,
}

impl Evaluator {
    /// An evaluator of `target` by `scorers`.
    pub fn new(target: Arc<dyn Target>, scorers: Arc<ScorerSet>) -> Self {
        Self { target, scorers }
    }

    async fn outcome(self, prompts: Arc<PromptSet>, example: Arc<Example>, sample: u32) -> Outcome {
        let result = match self.target.answer(&prompts, &example, sample).await {
            Ok(completion) => match self.scorers.score(&example, &completion).await {
                Ok((scores, value)) => Ok(Answer { completion, scores, value }),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
        Outcome { example, sample, result }
    }

    async fn run(
        &self,
        prompts: &Arc<PromptSet>,
        examples: &[Arc<Example>],
        sample: u32,
        on_outcome: OnOutcome<'_>,
    ) -> Result<Evaluation, OutcomeError> {
        let mut slots: Vec<Option<Outcome>> = vec![None; examples.len()];
        let mut waiting = examples.iter().enumerate();
        let mut running = JoinSet::new();
        let concurrency = self.target.concurrency().max(1);
        loop {
            while running.len() < concurrency
                && let Some((index, example)) = waiting.next()
            {
                let row = self.clone().outcome(Arc::clone(prompts), Arc::clone(example), sample);
                running.spawn(async move { (index, row.await) });
            }
            let Some(joined) = running.join_next().await else { break };
            let (index, outcome) = joined.map_err(|error| CallError::Store(format!("a row's task ended: {error}")))?;
            if let Some(fault) = outcome.systemic_fault() {
                return Err(fault.clone());
            }
            on_outcome(&outcome);
            slots[index] = Some(outcome);
        }
        Ok(Evaluation { prompts: prompts.digest(), outcomes: slots.into_iter().flatten().collect() })
    }
}

impl Evaluate for Evaluator {
    fn evaluate<'a>(
        &'a self,
        prompts: &'a Arc<PromptSet>,
        examples: &'a [Arc<Example>],
        sample: u32,
        on_outcome: OnOutcome<'a>,
    ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
        Box::pin(self.run(prompts, examples, sample, on_outcome))
    }

    fn is_deterministic(&self) -> bool {
        self.target.is_deterministic()
    }
}
