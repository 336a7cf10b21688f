//! The models of a run as they are at the moment, and what takes their place when one can't be had any more.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Models, Project, ProjectError};
use crate::config;
use crate::dataset::{Dataset, Example, Labels};
use crate::eval::{Evaluate, Evaluation, Evaluator, OnOutcome, OutcomeError};
use crate::model::embedded;
use crate::model::{BoxFuture, CallError, Chat, ModelRole, Stack};
use crate::prompt::PromptSet;
use crate::propose::{Ask, Dropped, ModelProposer, Propose, Proposed};
use crate::run::{FellBack, Successor};
use crate::search::Standby;

/// What answers, judges and proposes in a run.
pub(super) struct Lineup {
    /// The run's project, with the models as they are at the moment.
    project: Mutex<Project>,
    cast: RwLock<Arc<Cast>>,
    dataset: Arc<Dataset>,
    /// Answers go on counting in it, whoever gives them.
    models: Arc<Models>,
}

/// One lineup of models.
struct Cast {
    models: Arc<Models>,
    evaluator: Evaluator,
    proposer: ModelProposer,
}

impl Cast {
    fn of(project: &Project, dataset: &Dataset, models: Arc<Models>) -> Arc<Self> {
        let (evaluator, proposer) = (project.evaluator(&models), project.proposer(&models, dataset));
        Arc::new(Self { models, evaluator, proposer })
    }
}

impl Lineup {
    /// The `models` of `project`'s run, whose rows are those of `dataset`.
    pub fn new(project: Project, dataset: Arc<Dataset>, models: Arc<Models>) -> Self {
        let cast = RwLock::new(Cast::of(&project, &dataset, Arc::clone(&models)));
        Self { project: Mutex::new(project), cast, dataset, models }
    }

    fn cast(&self) -> Arc<Cast> {
        Arc::clone(&self.cast.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has `to` answer in `role` from now on.
    fn put(&self, project: &Project, models: Models, role: ModelRole) {
        // What a call takes is another question with another model.
        self.models.ledger().forget_outlook(role);
        *self.cast.write().unwrap_or_else(PoisonError::into_inner) = Cast::of(project, &self.dataset, Arc::new(models));
    }

    /// The next fallback of `role` that can be reached: which one, its name, and the models with it.
    async fn next(&self, project: &mut Project, role: ModelRole) -> Option<(Successor, String, Models)> {
        let earlier = self.cast();
        for number in 0.. {
            let name = succeed(&mut project.config.models, role, Successor::Fallback(0))?;
            if let Ok(models) = project.changed(&earlier.models, role).await
                && reach(models.of(role)).await.is_ok()
            {
                return Some((Successor::Fallback(number), name, models));
            }
        }
        None
    }
}

impl Project {
    /// The models after a change of that of `role`, whose scorers are set up for it.
    async fn changed(&mut self, earlier: &Models, role: ModelRole) -> Result<Models, ProjectError> {
        if role != ModelRole::Proposer {
            self.rebuild_scorers().await?;
        }
        self.models_after(earlier, role)
    }
}

impl Standby for Lineup {
    fn whose(&self, error: &CallError) -> ModelRole {
        self.cast().models.owner(self.models.ledger().whose(error))
    }

    fn take_over<'a>(
        &'a self,
        role: ModelRole,
        generation: u32,
        error: &'a CallError,
    ) -> BoxFuture<'a, Option<FellBack>> {
        Box::pin(async move {
            let mut project = self.project.lock().await;
            let (to, model, models) = self.next(&mut project, role).await?;
            self.put(&project, models, role);
            Some(FellBack { generation, role, to, model, reason: error.to_string() })
        })
    }

    fn repeat<'a>(&'a self, change: &'a FellBack) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let mut project = self.project.lock().await;
            let missing = || CallError::Local(format!("the run's snapshot doesn't have {}", change.model));
            succeed(&mut project.config.models, change.role, change.to).ok_or_else(missing)?;
            let models = project.changed(&self.cast().models, change.role).await;
            let models = models.map_err(|error| CallError::Local(error.to_string()))?;
            self.put(&project, models, change.role);
            Ok(())
        })
    }
}

impl Evaluate for Lineup {
    fn evaluate<'a>(
        &'a self,
        prompts: &'a Arc<PromptSet>,
        examples: &'a [Arc<Example>],
        sample: u32,
        on_outcome: OnOutcome<'a>,
    ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
        let cast = self.cast();
        Box::pin(async move { cast.evaluator.evaluate(prompts, examples, sample, on_outcome).await })
    }

    fn is_deterministic(&self) -> bool {
        self.cast().evaluator.is_deterministic()
    }

    fn answers_a_row(&self) -> u64 {
        self.cast().evaluator.answers_a_row()
    }
}

impl Propose for Lineup {
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>> {
        let cast = self.cast();
        Box::pin(async move { cast.proposer.propose(ask).await })
    }

    fn free(
        &self,
        prompts: &PromptSet,
        train: &[Arc<Example>],
        labels: &[Labels],
        seed: u64,
    ) -> Vec<(String, Proposed)> {
        self.cast().proposer.free(prompts, train, labels, seed)
    }

    fn shorter(
        &self,
        prompts: &PromptSet,
        seen: &std::collections::BTreeSet<crate::digest::Digest>,
    ) -> Vec<(String, Proposed)> {
        self.cast().proposer.shorter(prompts, seen)
    }

    fn is_sound(&self, before: &PromptSet, after: &PromptSet) -> bool {
        self.cast().proposer.is_sound(before, after)
    }

    fn fits(&self, prompts: &PromptSet) -> bool {
        self.cast().proposer.fits(prompts)
    }
}

/// Puts `successor` in the place of the model in `role`, which keeps the fallbacks that come after it. What that is, none
/// where there is no such successor. Scorers that ask a model have to be built anew afterwards.
pub(super) fn succeed(models: &mut config::Models, role: ModelRole, successor: Successor) -> Option<String> {
    let config::Models { task, proposer, judge, embedder } = models;
    let own = match role {
        ModelRole::Task => None,
        ModelRole::Proposer => proposer.as_mut(),
        ModelRole::Judge => judge.as_mut(),
        ModelRole::Embedder => embedder.as_mut(),
    };
    let model = own.unwrap_or(task);
    let Successor::Fallback(number) = successor;
    let mut rest = model.fallback.clone().into_iter().skip(number);
    let mut next = rest.next()?;
    next.fallback = rest.collect();
    *model = next;
    let name = model.model.clone().unwrap_or_else(|| embedded::NAME.to_owned());
    Some(match &model.base_url {
        Some(base_url) => format!("{name} at {base_url}"),
        None => name,
    })
}

/// Waits between two tries to reach a provider.
const CONTACTS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(500)];

/// Finds out whether `model` can be reached, without asking it anything.
pub(super) async fn reach(model: &Arc<Stack>) -> Result<(), CallError> {
    let mut waits = CONTACTS.into_iter();
    loop {
        match (model.reach().await, waits.next()) {
            (Err(CallError::Unreachable(_)), Some(wait)) => tokio::time::sleep(wait).await,
            (result, _) => return result,
        }
    }
}
