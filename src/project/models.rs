//! From `[models]` to model stacks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::configured::has_own;
use super::provider::{addresses, chats, concurrency};
use super::{Project, ProjectError, limits};
use crate::config::{Config, ModelConfig};
use crate::dataset::Dataset;
use crate::digest::Digest;
use crate::eval::{ChatSettings, Evaluator, RepeatRule, Repeats};
use crate::model::embedded;
use crate::model::{
    Amount, Budget, CallError, Chat, Fault, Interrupt, Ledger, Limit, LimitSettings, Limits, ModelRole, Notice,
    Provider, RetryPolicy, Session, Spend, Stack, Store,
};
use crate::propose::{ModelProposer, ProposerSettings};

/// Who makes the calls, for the store's books.
#[derive(Debug, Clone)]
pub struct Use {
    /// The run that pays, or another name for what isn't a run.
    pub payer: String,
    /// The most of everything.
    pub limits: Limits,
    /// Cancelled to stop.
    pub interrupt: CancellationToken,
}

/// Told of outages, once there is somebody to tell.
type Listener = Arc<OnceLock<Box<dyn Fn(ModelRole, &Notice) + Send + Sync>>>;

/// The model stacks of a project, sharing one store, budget and ledger.
pub struct Models {
    /// Answers rows.
    pub task: Arc<Stack>,
    /// Proposes edits.
    pub proposer: Arc<Stack>,
    /// Answers rows in place of the task model, where the target is a program.
    pub(super) target: Option<Arc<Stack>>,
    /// Scores answers.
    pub judge: Arc<Stack>,
    /// Embeds texts for scorers, where the project has such a model.
    pub embedder: Option<Arc<Stack>>,
    session: Session,
    /// Set by the first answer of any of them.
    begun: Arc<AtomicBool>,
    listener: Listener,
}

impl Models {
    /// What is left of the limits.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.session.budget
    }

    /// What was used, call by call.
    pub fn ledger(&self) -> &Ledger {
        &self.session.ledger
    }

    /// What stops their calls.
    pub(super) fn interrupt(&self) -> Interrupt {
        self.session.interrupt.clone()
    }

    /// Has `listener` told when a provider is out and when it is back. The first listener stays.
    pub fn listen(&self, listener: impl Fn(ModelRole, &Notice) + Send + Sync + 'static) {
        // A run has one listener.
        let _ = self.listener.set(Box::new(listener));
    }

    /// Counts all that was paid for, also what this process has not come across.
    pub(super) fn settle(&self) -> Result<(), CallError> {
        let Session { ledger, store, run, .. } = &self.session;
        ledger.settle(&store.paid(run)?);
        Ok(())
    }

    /// What the run has paid for by `booked` and the store has no answers to, by role: it is asked for again.
    pub(super) fn gone(&self, booked: &Spend) -> Result<BTreeMap<ModelRole, Amount>, CallError> {
        let stored = self.session.store.paid(&self.session.run)?;
        let gone = booked.roles.iter().map(|(role, used)| {
            let stored = stored.get(role).copied().unwrap_or_default();
            let tokens = (used.tokens_in + used.tokens_out).saturating_sub(stored.usage.input + stored.usage.output);
            let (calls, money) = (used.live.saturating_sub(stored.calls), used.cost.saturating_sub(stored.cost));
            (*role, Amount { calls, tokens, money })
        });
        Ok(gone.filter(|(_, gone)| gone.calls > 0).collect())
    }

    /// What was used so far.
    pub fn spend(&self) -> Spend {
        self.ledger().spend()
    }

    /// The model of `role`.
    pub(super) fn of(&self, role: ModelRole) -> &Arc<Stack> {
        match role {
            ModelRole::Task => &self.task,
            ModelRole::Proposer => &self.proposer,
            ModelRole::Judge => &self.judge,
            // Without one of its own nothing is embedded.
            ModelRole::Embedder => self.embedder.as_ref().unwrap_or(&self.task),
        }
    }

    /// Whose model met `error`; where none has met just that, whose failed last.
    pub fn whose(&self, error: &CallError) -> ModelRole {
        let of = |role: ModelRole| self.of(role).met().map(move |fault| (role, fault));
        let mut faults: Vec<(ModelRole, Fault)> = ModelRole::ALL.into_iter().flat_map(of).collect();
        // Stable: the task's comes first where it is another role's too.
        faults.sort_by_key(|(_, fault)| (fault.error != *error, std::cmp::Reverse(fault.at)));
        faults.first().map_or(ModelRole::Task, |(role, _)| *role)
    }

    /// The role whose table the model of `role` has: its own, or the task's.
    pub(super) fn owner(&self, role: ModelRole) -> ModelRole {
        if Arc::ptr_eq(self.of(role), &self.task) { ModelRole::Task } else { role }
    }
}

impl Project {
    /// Builds the project's models. The response store's file appears with its first answer.
    ///
    /// # Errors
    /// A key that isn't set, an endpoint that can't be set up, a store that can't be opened.
    pub fn models(&self, use_: &Use) -> Result<Models, ProjectError> {
        self.models_on(Store::open(&self.root.join(&self.config.store.path))?, use_)
    }

    /// The project's models with a store that is gone with them: what they are asked leaves nothing behind.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub(super) fn models_without_store(&self, use_: &Use) -> Result<Models, ProjectError> {
        self.models_on(Store::in_memory(), use_)
    }

    fn models_on(&self, store: Arc<Store>, use_: &Use) -> Result<Models, ProjectError> {
        let budget = Budget::new(use_.limits.clone());
        for (role, paid) in store.paid(&use_.payer)? {
            let tokens = paid.usage.input.saturating_add(paid.usage.output);
            budget.carry_over(role, Amount { calls: paid.calls, tokens, money: paid.cost });
        }
        let session = Session {
            store,
            run: use_.payer.as_str().into(),
            budget,
            ledger: Arc::default(),
            interrupt: Interrupt::new(use_.interrupt.clone(), Self::duration(self.config.grace_seconds)),
        };
        self.stacks(session, Arc::default(), Listener::default(), |_| None)
    }

    /// The models after that of `role` was changed in the config: `earlier` ones but for those that have its table.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub(super) fn models_after(&self, earlier: &Models, role: ModelRole) -> Result<Models, ProjectError> {
        let kept = |of: ModelRole| (earlier.owner(of) != role).then(|| Arc::clone(earlier.of(of)));
        let target = earlier.target.clone().filter(|_| role != ModelRole::Task);
        let (begun, listener) = (Arc::clone(&earlier.begun), Arc::clone(&earlier.listener));
        let models = self.stacks(earlier.session.clone(), begun, listener, kept)?;
        Ok(Models { target: target.or(models.target), ..models })
    }

    /// The stacks of all roles; `kept` are those that are there already.
    fn stacks(
        &self,
        session: Session,
        begun: Arc<AtomicBool>,
        listener: Listener,
        kept: impl Fn(ModelRole) -> Option<Arc<Stack>>,
    ) -> Result<Models, ProjectError> {
        let built = |role: ModelRole| -> Result<Vec<Provider>, ProjectError> {
            let model = Self::model(&self.config, role);
            let providers = providers(model, role, role.name(), &self.root, &session.run, &begun)?;
            for provider in &providers {
                let listener = Arc::clone(&listener);
                provider.limit.listen(move |notice| {
                    if let Some(listener) = listener.get() {
                        listener(role, notice);
                    }
                });
            }
            Ok(providers)
        };
        let (task, target) = match kept(ModelRole::Task) {
            Some(task) => (task, None),
            None => {
                let providers = built(ModelRole::Task)?;
                let target = self.target_stack(&providers, &session)?;
                (Arc::new(Stack::new(providers, &session)), target)
            }
        };
        let of = |role: ModelRole| match (kept(role), has_own(&self.config, role)) {
            (Some(kept), _) => Ok(kept),
            (None, true) => built(role).map(|providers| Arc::new(Stack::new(providers, &session))),
            (None, false) => Ok(Arc::clone(&task)),
        };
        let (proposer, judge) = (of(ModelRole::Proposer)?, of(ModelRole::Judge)?);
        let embedder = has_own(&self.config, ModelRole::Embedder).then(|| of(ModelRole::Embedder)).transpose()?;
        Ok(Models { task, proposer, target, judge, embedder, session, begun, listener })
    }

    /// What measures prompts.
    pub fn evaluator(&self, models: &Models) -> Evaluator {
        let judge = Arc::clone(&models.judge) as Arc<dyn Chat>;
        let config = &self.config.repeats;
        let rule = match (config.at_least, config.pass_at) {
            (Some(least), _) => RepeatRule::AtLeast(least),
            (None, Some(k)) => RepeatRule::PassAt(k),
            (None, None) => RepeatRule::Mean,
        };
        let repeats = Repeats { samples: config.samples, rule, pass_threshold: self.config.pass_threshold };
        let evaluator = Evaluator::new(self.target(models), Arc::clone(&self.scorers))
            .judged_by(judge)
            .repeated(repeats)
            .interrupted_by(models.interrupt());
        match &models.embedder {
            Some(embedder) => evaluator.embedded_by(Arc::clone(embedder) as Arc<dyn Chat>),
            None => evaluator,
        }
    }

    /// What makes proposals; `dataset` is the project's.
    pub fn proposer(&self, models: &Models, dataset: &Dataset) -> ModelProposer {
        let config = Self::model(&self.config, ModelRole::Proposer);
        let chat = chat_settings(config);
        // A task's temperature and answer length suit its answers; without a model of its own, a proposer gets the
        // provider's defaults.
        let own = self.config.models.proposer.is_some();
        let settings = ProposerSettings {
            model: chat.model,
            temperature: chat.temperature.filter(|_| own),
            max_tokens: chat.max_tokens.filter(|_| own),
            seed: chat.seed,
            extra: chat.extra,
            disabled: self.config.search.disable.clone(),
        };
        ModelProposer::new(Arc::clone(&models.proposer) as Arc<dyn Chat>, settings, self.guards(dataset))
    }
}

/// Checks what can be checked of the models without a call: keys, addresses and programs.
pub(super) fn check(config: &Config, root: &Path) -> Result<(), ProjectError> {
    for (path, model) in config.models.all() {
        let role = ModelRole::ALL.into_iter().find(|role| role.name() == path[0]).unwrap_or(ModelRole::Task);
        providers(model, role, &path.join("."), root, "", &Arc::default())?;
    }
    Ok(())
}

/// The providers of `model` in `role`, one for each of its addresses, of which there is at least one. It stands at
/// `models.{path}`; `payer` pays for its calls, and `begun` is shared by all of a run's providers.
fn providers(
    model: &ModelConfig,
    role: ModelRole,
    path: &str,
    root: &Path,
    payer: &str,
    begun: &Arc<AtomicBool>,
) -> Result<Vec<Provider>, ProjectError> {
    let count = addresses(model).len();
    // Each address has its share of what the model may be asked.
    let share = |limit: u64| limit as f64 / count as f64;
    let limit = |at: usize| {
        let place = if at == 0 { path.to_owned() } else { format!("{path}.{at}") };
        Limit::with(&LimitSettings {
            max_concurrency: concurrency(model).div_ceil(count),
            requests_per_minute: model.requests_per_minute.map(share),
            tokens_per_minute: model.tokens_per_minute.map(share),
            max_outage: Project::duration(model.max_outage_seconds),
            begun: Arc::clone(begun),
            seed: Digest::of_parts([payer.as_bytes(), place.as_bytes()]).as_u64(),
        })
    };
    let limits: Vec<Limit> = (0..count).map(limit).collect();
    let price = limits::price(model);
    let retry = RetryPolicy { retries: model.retries as usize, ..RetryPolicy::default() };
    let chats = chats(model, role, path, root, &limits)?;
    let provider = |((id, chat), limit)| Provider { id, chat, limit, retry: retry.clone(), price };
    Ok(chats.into_iter().zip(limits).map(provider).collect())
}

pub(super) fn chat_settings(model: &ModelConfig) -> ChatSettings {
    ChatSettings {
        model: model.model.clone().unwrap_or_else(|| embedded::NAME.to_owned()),
        temperature: model.temperature,
        max_tokens: model.max_tokens,
        seed: model.seed,
        logprobs: model.logprobs,
        extra: model.extra.clone(),
        deterministic: model.is_deterministic(),
        max_concurrency: concurrency(model),
    }
}
