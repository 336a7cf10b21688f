//! The models of a run as they are at the moment, and what takes their place when one can't be had any more.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::configured::shown_name;
use super::{Models, Project, ProjectError, Use, judges};
use crate::config;
use crate::dataset::{Dataset, Example};
use crate::eval::{Evaluate, Evaluation, Evaluator, OnOutcome, OutcomeError};
use crate::model::{BoxFuture, CallError, Chat, ModelRole, Stack};
use crate::prompt::PromptSet;
use crate::propose::{Ask, Dropped, FreeAsk, ModelProposer, Propose, Proposed};
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
    /// What the judges were calibrated at.
    judge_noise: f64,
}

impl Cast {
    fn of(project: &Project, dataset: &Dataset, models: Arc<Models>) -> Arc<Self> {
        let (evaluator, proposer) = (project.evaluator(&models), project.proposer(&models, dataset));
        let judge_noise = judges::noise(&project.config, &project.scorers, &project.calibrations);
        Arc::new(Self { models, evaluator, proposer, judge_noise })
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

    /// Has `models` answer from now on, after a change of that of `role`.
    fn put(&self, project: &Project, models: Models, change: &FellBack) {
        if matches!(change.to, Successor::Fallback(_)) {
            // What a call takes is another question with another model.
            self.models.ledger().forget_outlook(change.role);
        }
        *self.cast.write().unwrap_or_else(PoisonError::into_inner) = Cast::of(project, &self.dataset, Arc::new(models));
    }

    /// What can be reached in place of the model of `role` that met `error`, its name, and the models with it: the same
    /// model at its other addresses, or else its next fallback.
    async fn next(
        &self,
        project: &mut Project,
        role: ModelRole,
        error: &CallError,
    ) -> Option<(Successor, String, Models)> {
        let earlier = self.cast();
        let before = project.config.models.clone();
        let mut to = first_successor(&earlier.models, role, error);
        loop {
            project.config.models = before.clone();
            let name = succeed(&mut project.config.models, role, &to)?;
            let out = match project.changed(&earlier.models, role).await {
                Err(_) => 0,
                Ok(models) => match reach(models.of(role)).await {
                    Ok(()) => return Some((to, name, models)),
                    Err(error) => out(&models, role, &error),
                },
            };
            to = match to {
                Successor::At(mut left) if left.len() > 1 => {
                    left.remove(out.min(left.len() - 1));
                    Successor::At(left)
                }
                Successor::At(_) => Successor::Fallback(0),
                Successor::Fallback(number) => Successor::Fallback(number + 1),
            };
        }
    }
}

/// What comes first in place of the model of `role` that met `error`: itself at its other addresses, where it has some.
pub(super) fn first_successor(models: &Models, role: ModelRole, error: &CallError) -> Successor {
    match models.of(role).addresses() {
        1 => Successor::Fallback(0),
        count => {
            let out = out(models, role, error);
            Successor::At((0..count).filter(|at| *at != out).collect())
        }
    }
}

/// At which address the model of `role` met `error`; where it was at none, the one that failed last.
fn out(models: &Models, role: ModelRole, error: &CallError) -> usize {
    let faults = models.of(role).faults();
    faults.max_by_key(|(_, fault)| (fault.error == *error, fault.at)).map_or(0, |(at, _)| at)
}

impl Project {
    /// Leaves out addresses that can't be reached of models that score prompts and have several, and says so. All that is
    /// asked from here on is asked without them, so that nothing that is compared rests on two lineups.
    ///
    /// # Errors
    /// As [`Project::models`]; scorers that can't be set up.
    pub async fn leave_out_addresses(&mut self, use_: &Use) -> Result<Vec<String>, ProjectError> {
        let mut notes = Vec::new();
        while self.config.models.all().iter().any(|(_, model)| !model.also_at.is_empty()) {
            let models = self.models(use_)?;
            let Some((role, error)) = self.out_of_reach(&models).await else { break };
            let to = first_successor(&models, role, &error);
            let Some(next) = succeed(&mut self.config.models, role, &to) else { break };
            notes.push(format!(
                "warning: an address of the {role} model is out ({error}); it is asked as {next}, and what is stored from \
                 the other one counts for nothing here"
            ));
            self.rebuild_scorers().await?;
        }
        Ok(notes)
    }

    /// A role whose model has several addresses, not all of which can be reached.
    async fn out_of_reach(&self, models: &Models) -> Option<(ModelRole, CallError)> {
        for role in self.roles().into_iter().filter(|role| *role != ModelRole::Proposer) {
            let model = models.of(role);
            if model.addresses() > 1
                && let Err(error) = reach(model).await
                && error.is_providers()
            {
                return Some((models.owner(role), error));
            }
        }
        None
    }

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
        self.cast().models.whose(error)
    }

    fn take_over<'a>(
        &'a self,
        role: ModelRole,
        generation: u32,
        error: &'a CallError,
    ) -> BoxFuture<'a, Option<FellBack>> {
        Box::pin(async move {
            let mut project = self.project.lock().await;
            let (to, model, models) = self.next(&mut project, role, error).await?;
            let change = FellBack { generation, role, to, model, reason: error.to_string() };
            self.put(&project, models, &change);
            Some(change)
        })
    }

    fn repeat<'a>(&'a self, change: &'a FellBack) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let mut project = self.project.lock().await;
            let missing = || CallError::Local(format!("the run's snapshot doesn't have {}", change.model));
            succeed(&mut project.config.models, change.role, &change.to).ok_or_else(missing)?;
            let models = project.changed(&self.cast().models, change.role).await;
            let models = models.map_err(|error| CallError::Local(error.to_string()))?;
            self.put(&project, models, change);
            Ok(())
        })
    }

    fn judge_noise(&self) -> Option<f64> {
        Some(self.cast().judge_noise)
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

    fn free(&self, ask: &FreeAsk<'_>) -> Vec<(String, Proposed)> {
        self.cast().proposer.free(ask)
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
pub(super) fn succeed(models: &mut config::Models, role: ModelRole, successor: &Successor) -> Option<String> {
    let config::Models { task, proposer, judge, embedder } = models;
    let own = match role {
        ModelRole::Task => None,
        ModelRole::Proposer => proposer.as_mut(),
        ModelRole::Judge => judge.as_mut(),
        ModelRole::Embedder => embedder.as_mut(),
    };
    let model = own.unwrap_or(task);
    match successor {
        Successor::Fallback(number) => {
            let mut rest = model.fallback.clone().into_iter().skip(*number);
            let mut next = rest.next()?;
            next.fallback = rest.collect();
            *model = next;
        }
        Successor::At(left) => {
            let all: Vec<Option<String>> =
                std::iter::once(model.base_url.clone()).chain(model.also_at.iter().cloned().map(Some)).collect();
            let mut left = left.iter().map(|at| all.get(*at).cloned()).collect::<Option<Vec<_>>>()?.into_iter();
            model.base_url = left.next()?;
            model.also_at = left.flatten().collect();
        }
    }
    let name = shown_name(model);
    let addresses: Vec<&str> = model.base_url.iter().chain(&model.also_at).map(String::as_str).collect();
    Some(if addresses.is_empty() { name } else { format!("{name} at {}", addresses.join(", ")) })
}

/// Waits between two tries to reach a provider.
const CONTACTS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(500)];

/// Finds out whether all addresses of `model` can be reached, without asking it anything.
pub(super) async fn reach(model: &Arc<Stack>) -> Result<(), CallError> {
    let mut waits = CONTACTS.into_iter();
    loop {
        match (model.reach().await, waits.next()) {
            (Err(CallError::Unreachable(_)), Some(wait)) => tokio::time::sleep(wait).await,
            (result, _) => return result,
        }
    }
}
