//! The evaluation engine: runs a target over examples, scores the answers, keeps the order of the examples.
//!
//! Rows run concurrently as the target allows; what comes back first changes nothing but the progress that is seen.
//! One row's error is that row's outcome. Only a fault that no later call can escape ends an evaluation early; where
//! that is the budget or the time, the calls under way are waited for. An interrupt ends it as soon as no call is under
//! way: scoring is not waited for, since it costs nothing to do again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Answer, Evaluation, Outcome, OutcomeError, Repeats, Target};
use crate::dataset::{Example, Rows};
use crate::model::{BoxFuture, CallError, Chat, Interrupt, UNSTORED};
use crate::prompt::PromptSet;
use crate::score::{ScoreError, ScorerSet, Scoring};

/// Called for every outcome as it arrives, in no particular order; for progress only.
pub type OnOutcome<'a> = &'a (dyn Fn(&Outcome) + Send + Sync);

/// Rows to be evaluated: held in memory, or made into examples one by one.
pub trait RowSource: Send + Sync {
    /// How many rows there are.
    fn count(&self) -> usize;

    /// The row at a place, from 0.
    fn row(&self, at: usize) -> Option<Arc<Example>>;
}

impl RowSource for Vec<Arc<Example>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn row(&self, at: usize) -> Option<Arc<Example>> {
        self.get(at).cloned()
    }
}

impl RowSource for Rows {
    fn count(&self) -> usize {
        self.len()
    }

    fn row(&self, at: usize) -> Option<Arc<Example>> {
        self.get(at)
    }
}

/// Takes an outcome and the place of its row. Outcomes come in no particular order, each once.
pub type TakeOutcome<'a> = &'a mut (dyn FnMut(usize, Outcome) + Send);

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

    /// How many answers of the target one outcome takes.
    fn answers_a_row(&self) -> u64 {
        1
    }
}

/// Rows under way beyond the calls that the target takes at a time, where models score the answers: those that wait for a
/// judge, while others are asked.
const JUDGED: usize = 1024;

/// How long outcomes gather before they are taken. Waking up for each one would cost more than all that is done with it.
const GATHER: Duration = Duration::from_millis(1);

/// The rows of an evaluation, and which is next.
struct Work {
    prompts: Arc<PromptSet>,
    rows: Arc<dyn RowSource>,
    next: Arc<AtomicUsize>,
}

/// Runs a target and scores its answers.
#[derive(Clone)]
pub struct Evaluator {
    target: Arc<dyn Target>,
    scorers: Arc<ScorerSet>,
    judge: Option<Arc<dyn Chat>>,
    embedder: Option<Arc<dyn Chat>>,
    repeats: Repeats,
    interrupt: Interrupt,
}

impl Evaluator {
    /// An evaluator of `target` by `scorers`.
    pub fn new(target: Arc<dyn Target>, scorers: Arc<ScorerSet>) -> Self {
        let interrupt = CancellationToken::new().into();
        Self { target, scorers, judge: None, embedder: None, repeats: Repeats::ONCE, interrupt }
    }

    /// The same with the model that judges among the scorers ask.
    pub fn judged_by(self, judge: Arc<dyn Chat>) -> Self {
        Self { judge: Some(judge), ..self }
    }

    /// The same with the model that embeds texts for scorers.
    pub fn embedded_by(self, embedder: Arc<dyn Chat>) -> Self {
        Self { embedder: Some(embedder), ..self }
    }

    /// The same with several answers a row.
    pub fn repeated(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// The same, ended by `interrupt`: the one of the models that it asks.
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// How many rows are under way beyond the calls that the target takes at a time: those whose answers are being stored or
    /// judged, while others are asked. More of them would wait with their requests put together, and be gone from the
    /// processor's caches when their turn comes.
    fn beyond_calls(&self) -> usize {
        if self.judge.is_some() || self.embedder.is_some() { JUDGED } else { UNSTORED }
    }

    async fn outcome(&self, prompts: &PromptSet, example: &Arc<Example>, sample: u32) -> Outcome {
        let result = self.answers(prompts, example, sample).await;
        Outcome { example: Arc::clone(example), sample, result }
    }

    /// All answers of a row as one. Where one is missing the row is: fewer answers would be another measure.
    async fn answers(&self, prompts: &PromptSet, example: &Example, sample: u32) -> Result<Answer, OutcomeError> {
        let (first, others) = self.repeats.draws(sample);
        let first = self.answer(prompts, example, first).await?;
        let mut rest = Vec::new();
        for draw in others {
            rest.push(self.answer(prompts, example, draw).await?);
        }
        Ok(self.repeats.sum_up(first, rest))
    }

    async fn answer(&self, prompts: &PromptSet, example: &Example, draw: u32) -> Result<Answer, OutcomeError> {
        let scoring = Scoring { sample: draw, judge: self.judge.as_deref(), embedder: self.embedder.as_deref() };
        let completion = self.target.answer(prompts, example, draw).await?;
        let (scores, value) = tokio::select! {
            biased;
            scored = self.scorers.score(example, &completion, scoring) => {
                scored.map_err(|error| ScoreError { answer: Some(completion.text.clone()), ..error })?
            }
            () = self.interrupt.over() => return Err(CallError::Interrupted.into()),
        };
        Ok(Answer { completion, scores, value })
    }

    /// Takes one row after another until none is left, or nobody wants the outcomes any more.
    async fn work(self, work: Work, sample: u32, done: UnboundedSender<(usize, Outcome)>) {
        loop {
            let index = work.next.fetch_add(1, Ordering::Relaxed);
            let Some(example) = work.rows.row(index) else { break };
            let outcome = self.outcome(&work.prompts, &example, sample).await;
            if done.send((index, outcome)).is_err() {
                break;
            }
            // Where nothing makes a row wait (stored answers, the embedded model), others must get their turn.
            consume_budget().await;
        }
    }

    /// Hands the outcome of every row to `take` as it comes and keeps none: an evaluation of any length in little
    /// memory.
    ///
    /// # Errors
    /// As [`Evaluate::evaluate`]; what was taken before counts for nothing then.
    pub async fn stream(
        &self,
        prompts: &Arc<PromptSet>,
        rows: Arc<dyn RowSource>,
        sample: u32,
        take: TakeOutcome<'_>,
    ) -> Result<(), OutcomeError> {
        let count = rows.count();
        let next = Arc::new(AtomicUsize::new(0));
        let (done, mut finished) = unbounded_channel();
        let mut workers = JoinSet::new();
        for _ in 0..self.target.concurrency().saturating_add(self.beyond_calls()).min(count) {
            let work = Work { prompts: Arc::clone(prompts), rows: Arc::clone(&rows), next: Arc::clone(&next) };
            workers.spawn(self.clone().work(work, sample, done.clone()));
        }
        drop(done);
        let (mut batch, mut used_up) = (Vec::new(), None);
        let mut left = count;
        while finished.recv_many(&mut batch, count.max(1)).await > 0 {
            left -= batch.len();
            for (index, outcome) in batch.drain(..) {
                match outcome.systemic_fault() {
                    // What is on its way is within the budget and paid for: it is waited for, so that it gets stored.
                    Some(fault @ OutcomeError::Call(error)) if error.is_limit() => {
                        next.store(count, Ordering::Relaxed);
                        used_up.get_or_insert_with(|| fault.clone());
                        continue;
                    }
                    Some(fault) => return Err(fault.clone()),
                    None => {}
                }
                take(index, outcome);
            }
            if left > 0 && used_up.is_none() {
                sleep(GATHER).await;
            }
        }
        while let Some(joined) = workers.join_next().await {
            joined.map_err(|error| CallError::Store(format!("a row's task ended: {error}")))?;
        }
        used_up.map_or(Ok(()), Err)
    }

    async fn run(
        &self,
        prompts: &Arc<PromptSet>,
        examples: &[Arc<Example>],
        sample: u32,
        on_outcome: OnOutcome<'_>,
    ) -> Result<Evaluation, OutcomeError> {
        let mut slots: Vec<Option<Outcome>> = vec![None; examples.len()];
        let mut take = |at: usize, outcome: Outcome| {
            on_outcome(&outcome);
            if let Some(slot) = slots.get_mut(at) {
                *slot = Some(outcome);
            }
        };
        self.stream(prompts, Arc::new(examples.to_vec()), sample, &mut take).await?;
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
        self.target.is_deterministic() && self.scorers.is_deterministic()
    }

    fn answers_a_row(&self) -> u64 {
        u64::from(self.repeats.samples)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::model::Completion;
    use crate::model::testing::answer;
    use crate::prompt::Prompt;
    use crate::score::{Score, Scorer};

    struct Answers;

    impl Target for Answers {
        fn answer<'a>(
            &'a self,
            _: &'a PromptSet,
            _: &'a Example,
            _: u32,
        ) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(ready(Ok(answer("yes"))))
        }

        fn is_deterministic(&self) -> bool {
            true
        }

        fn concurrency(&self) -> usize {
            1
        }
    }

    /// Scores every row by what the function gives.
    struct Gives<F>(F);

    impl<F> Scorer for Gives<F>
    where
        F: Fn() -> BoxFuture<'static, Result<Score, ScoreError>> + Send + Sync,
    {
        fn name(&self) -> &str {
            "gives"
        }

        fn needs_expected(&self) -> bool {
            false
        }

        fn score<'a>(
            &'a self,
            _: &'a Example,
            _: &'a Completion,
            _: Scoring<'a>,
        ) -> BoxFuture<'a, Result<Score, ScoreError>> {
            (self.0)()
        }
    }

    async fn evaluated(
        scorer: impl Scorer + 'static,
        interrupt: CancellationToken,
    ) -> Result<Evaluation, OutcomeError> {
        let scorers = ScorerSet::new(vec![(Arc::new(scorer), 1.0)]).unwrap();
        let evaluator = Evaluator::new(Arc::new(Answers), Arc::new(scorers)).interrupted_by(interrupt.into());
        let prompts = Arc::new(PromptSet::one(Prompt::parse("prompt", "{{ input }}").unwrap()).unwrap());
        let row = |at| Arc::new(serde_json::from_value(serde_json::json!({"id": at, "input": "x"})).unwrap());
        evaluator.evaluate(&prompts, &["1", "2", "3"].map(row), 0, &|_| ()).await
    }

    #[tokio::test]
    async fn an_interrupt_does_not_wait_for_a_scorer() {
        let token = CancellationToken::new();
        let interrupt = token.clone();
        let hangs = move || -> BoxFuture<'static, _> {
            interrupt.cancel();
            Box::pin(pending())
        };
        let ended = evaluated(Gives(hangs), token).await;
        assert_eq!(ended.unwrap_err(), CallError::Interrupted.into());
    }

    #[tokio::test]
    async fn an_answer_that_could_not_be_scored_is_kept() {
        let throws = || -> BoxFuture<'static, _> { Box::pin(ready(Err(ScoreError::of_row("throws", "KeyError")))) };
        let outcomes = evaluated(Gives(throws), CancellationToken::new()).await.unwrap().outcomes;
        assert!(outcomes.iter().all(|outcome| outcome.value().is_none() && outcome.answered() == Some("yes")));
    }
}
