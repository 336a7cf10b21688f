//! From `[models]` to model stacks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

use super::provider::{chat, concurrency};
use super::{Project, ProjectError, limits};
use crate::config::{self, Config, ModelConfig};
use crate::dataset::Dataset;
use crate::digest::Digest;
use crate::eval::{ChatSettings, Evaluator, RepeatRule, Repeats};
use crate::model::embedded;
use crate::model::{
    Amount, Budget, CallError, Chat, Interrupt, Ledger, Limit, LimitSettings, Limits, ModelRole, Notice, Provider,
    RetryPolicy, Session, Spend, Stack, Store,
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
    store: Arc<Store>,
    payer: String,
    ledger: Arc<Ledger>,
    budget: Arc<Budget>,
    limits: Vec<(ModelRole, Limit)>,
}

impl Models {
    /// What is left of the limits.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// What was used, call by call.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Has `listener` told when a provider is out and when it is back. The first listener stays.
    pub fn listen(&self, listener: impl Fn(ModelRole, &Notice) + Clone + Send + Sync + 'static) {
        for (role, limit) in &self.limits {
            let (role, listener) = (*role, listener.clone());
            limit.listen(move |notice| listener(role, notice));
        }
    }

    /// Counts all that was paid for, also what this process has not come across.
    pub(super) fn settle(&self) -> Result<(), CallError> {
        self.ledger.settle(&self.store.paid(&self.payer)?);
        Ok(())
    }

    /// What was used so far.
    pub fn spend(&self) -> Spend {
        self.ledger.spend()
    }
}

impl Project {
    /// Builds the project's models. The response store's file appears with its first answer.
    ///
    /// # Errors
    /// A key that isn't set, an endpoint that can't be set up, a store that can't be opened.
    pub fn models(&self, use_: &Use) -> Result<Models, ProjectError> {
        let store = Store::open(&self.root.join(&self.config.store.path))?;
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
        let begun = Arc::<AtomicBool>::default();
        let mut limits = Vec::new();
        let mut built = |role| -> Result<Provider, ProjectError> {
            let model = Self::model(&self.config, role);
            let provider = provider(model, role, role.name(), &self.root, &use_.payer, &begun)?;
            limits.push((role, provider.limit.clone()));
            Ok(provider)
        };
        let stack = |provider| Arc::new(Stack::new(provider, &session));
        let provider = built(ModelRole::Task)?;
        let target = self.target_stack(provider.clone(), &session)?;
        let task = stack(provider);
        let proposer = match &self.config.models.proposer {
            Some(_) => stack(built(ModelRole::Proposer)?),
            None => Arc::clone(&task),
        };
        let judge = match &self.config.models.judge {
            Some(_) => stack(built(ModelRole::Judge)?),
            None => Arc::clone(&task),
        };
        let embedder = match &self.config.models.embedder {
            Some(_) => Some(stack(built(ModelRole::Embedder)?)),
            None => None,
        };
        let Session { store, ledger, budget, .. } = session;
        Ok(Models { task, proposer, target, judge, embedder, store, payer: use_.payer.clone(), ledger, budget, limits })
    }

    /// Puts the first fallback of the model in `role` into its place; what that is, none where there is no further one.
    /// Scorers that ask a judge have to be built anew afterwards.
    pub(super) fn fall_back(&mut self, role: ModelRole) -> Option<String> {
        let config::Models { task, proposer, judge, embedder } = &mut self.config.models;
        let own = match role {
            ModelRole::Task => None,
            ModelRole::Proposer => proposer.as_mut(),
            ModelRole::Judge => judge.as_mut(),
            ModelRole::Embedder => embedder.as_mut(),
        };
        let model = own.unwrap_or(task);
        let mut rest = std::mem::take(&mut model.fallback).into_iter();
        let mut next = rest.next()?;
        next.fallback = rest.collect();
        *model = next;
        let name = model.model.clone().unwrap_or_else(|| embedded::NAME.to_owned());
        Some(match &model.base_url {
            Some(base_url) => format!("{name} at {base_url}"),
            None => name,
        })
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
        let evaluator =
            Evaluator::new(self.target(models), Arc::clone(&self.scorers)).judged_by(judge).repeated(repeats);
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
        provider(model, role, &path.join("."), root, "", &Arc::default())?;
    }
    Ok(())
}

/// The provider of `model` in `role`, which stands at `models.{path}`, for calls that `payer` pays for; `begun` is shared by all of
/// a run's providers.
fn provider(
    model: &ModelConfig,
    role: ModelRole,
    path: &str,
    root: &Path,
    payer: &str,
    begun: &Arc<AtomicBool>,
) -> Result<Provider, ProjectError> {
    let limit = Limit::with(&LimitSettings {
        max_concurrency: concurrency(model),
        requests_per_minute: model.requests_per_minute.map(|limit| limit as f64),
        tokens_per_minute: model.tokens_per_minute.map(|limit| limit as f64),
        max_outage: Project::duration(model.max_outage_seconds),
        begun: Arc::clone(begun),
        seed: Digest::of_parts([payer.as_bytes(), path.as_bytes()]).as_u64(),
    });
    let price = limits::price(model);
    let retry = RetryPolicy { retries: model.retries as usize, ..RetryPolicy::default() };
    let (id, chat) = chat(model, role, path, root, &limit)?;
    Ok(Provider { id, chat, limit, retry, price })
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
