//! One dataset with the library's own search, model stack and scorers, all in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use prompt_ratchet::dataset::{Dataset, Example, Labels, Split, label_sets};
use prompt_ratchet::eval::{ChatSettings, ChatTarget, Evaluate, Evaluator, Summary};
use prompt_ratchet::model::embedded::{self, Embedded};
use prompt_ratchet::model::{
    Amount, Budget, Ceiling, Limit, Limits, ModelRole, Provider, ProviderId, RetryPolicy, Session, Stack, Store,
};
use prompt_ratchet::project::Project;
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::propose::{ModelProposer, ProposerSettings};
use prompt_ratchet::run::{Event, Pulls, Recorded, RunError, Sink};
use prompt_ratchet::search::{Account, Alone, CallLimits, CallsSpent, Parts, Search, Settings};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Most rows of train and of dev, so that small numbers of calls suffice for more than the baseline; the others are
/// test rows.
const MOST: usize = 100;

/// Calls of the embedded model under way at once.
const CONCURRENCY: usize = 8;

/// How a run ended: mean scores on dev and on the sealed test.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    pub dev: f64,
    pub test: f64,
}

/// A dataset with its first draft. The split is the dataset's own, whatever the seed of a run.
pub struct Task {
    pub project: Project,
    pub dataset: Dataset,
}

/// Keeps a run's events.
#[derive(Default)]
struct Gathered(Mutex<Vec<Event>>);

impl Sink for Gathered {
    fn emit(&self, event: Event) -> Result<(), RunError> {
        if event.is_journalled() {
            self.0.lock().unwrap().push(event);
        }
        Ok(())
    }
}

/// Keeps the sealed test's calls back from the search, as a project's run does.
struct Purse(Arc<Budget>);

impl Account for Purse {
    fn keep_back(&self, task_calls: u64, _takes: f64) {
        self.0.keep_back(&[(ModelRole::Task, Amount { calls: task_calls, ..Amount::default() })].into());
    }
}

impl Task {
    pub fn load(config: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(config);
        let project = runtime().block_on(Project::load(&path, &[])).unwrap();
        let mut dataset = project.dataset.unpacked();
        let mut rows: BTreeMap<Split, usize> = BTreeMap::new();
        for (split, example) in dataset.splits.iter_mut().zip(&dataset.examples) {
            let count = rows.entry(*split).or_default();
            *count += 1;
            if *count > MOST && !example.pinned {
                *split = Split::Test;
            }
        }
        Self { project, dataset }
    }

    pub fn name(&self) -> String {
        self.project.name()
    }

    pub fn rows(&self) -> [usize; 3] {
        Split::ALL.map(|split| self.dataset.rows(split).len())
    }

    /// Runs the search with so many task calls, the sealed test's left out.
    pub fn search(&self, calls: u64, seed: u64, parts: Parts) -> Ran {
        let of_test = 2 * self.dataset.rows(Split::Test).len() as u64;
        let calls = CallLimits { task: Some(calls + of_test), ..CallLimits::default() };
        let settings = Settings { seed, parts, calls, ..self.project.settings() };
        let session = session(calls.task);
        let stack = stack(&session);
        let (evaluator, proposer) = (self.evaluator(&stack), self.proposer(&stack));
        let live = |role| session.ledger.spend().roles.get(&role).map_or(0, |spend| spend.live);
        let spent = || {
            let (task, proposer) = (live(ModelRole::Task), live(ModelRole::Proposer));
            CallsSpent { total: task + proposer, task, proposer, ..CallsSpent::default() }
        };
        let sink = Gathered::default();
        let search = Search {
            settings: &settings,
            dataset: &self.dataset,
            baseline: Arc::clone(&self.project.prompts),
            task: &self.project.task(),
            evaluate: &evaluator,
            propose: &proposer,
            strategies: &self.project.strategies,
            sink: &sink,
            spent: &spent,
            account: &Purse(Arc::clone(&session.budget)),
            standby: &Alone,
            recorded: Recorded::default(),
            past: Pulls::default(),
        };
        runtime().block_on(search.run()).unwrap();
        self.ended(&sink.0.into_inner().unwrap())
    }

    /// Scores of the winner as the run itself measured them.
    fn ended(&self, events: &[Event]) -> Ran {
        let dev = events.iter().rev().find_map(|event| match event {
            Event::GenerationEnded(ended) => Some(ended.dev.score),
            Event::BaselineMeasured(measured) => Some(measured.dev.score),
            _ => None,
        });
        let test = events.iter().find_map(|event| match event {
            Event::TestOpened(opened) => Some(opened.winner.score),
            _ => None,
        });
        Ran { dev: dev.unwrap(), test: test.unwrap_or_else(|| self.draft().test) }
    }

    /// The prompt as it is.
    pub fn draft(&self) -> Ran {
        self.measured(&self.project.prompts)
    }

    /// Mean scores of `prompts` on dev and test.
    pub fn measured(&self, prompts: &Arc<PromptSet>) -> Ran {
        let session = session(None);
        let evaluator = self.evaluator(&stack(&session));
        let score = |split| {
            let rows = self.dataset.rows(split);
            let evaluation = runtime().block_on(evaluator.evaluate(prompts, &rows, 0, &|_| ())).unwrap();
            Summary::of(&evaluation.outcomes).score
        };
        Ran { dev: score(Split::Dev), test: score(Split::Test) }
    }

    /// The rows of a split.
    pub fn rows_of(&self, split: Split) -> Vec<Arc<Example>> {
        self.dataset.rows(split)
    }

    /// The labels of the answers, or of their fields.
    pub fn labels(&self) -> Vec<Labels> {
        label_sets(self.dataset.examples.iter().map(Arc::as_ref))
    }

    /// What asks the task model, and scores.
    pub fn evaluator(&self, stack: &Arc<Stack>) -> Evaluator {
        let settings = ChatSettings {
            model: embedded::NAME.to_owned(),
            deterministic: true,
            max_concurrency: CONCURRENCY,
            ..ChatSettings::default()
        };
        let target = ChatTarget::new(Arc::clone(stack) as _, settings);
        Evaluator::new(Arc::new(target), Arc::clone(&self.project.scorers))
    }

    /// What asks the proposer.
    pub fn proposer(&self, stack: &Arc<Stack>) -> ModelProposer {
        let settings = ProposerSettings { model: embedded::NAME.to_owned(), ..ProposerSettings::default() };
        ModelProposer::new(Arc::clone(stack) as _, settings, self.project.guards(&self.dataset))
    }
}

/// A run of its own, with so many calls of the task model.
pub fn session(task_calls: Option<u64>) -> Session {
    let by_role = task_calls
        .map(|calls| (ModelRole::Task, Ceiling { calls: Some(calls), ..Ceiling::default() }))
        .into_iter()
        .collect();
    Session {
        store: Store::in_memory(),
        run: "bench".into(),
        budget: Budget::new(Limits { by_role, ..Limits::default() }),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    }
}

/// The embedded model as a run calls it.
pub fn stack(session: &Session) -> Arc<Stack> {
    let provider = Provider {
        id: ProviderId { kind: embedded::NAME.to_owned(), base_url: embedded::VERSION.to_owned() },
        chat: Arc::new(Embedded::new()),
        limit: Limit::new(CONCURRENCY),
        retry: RetryPolicy::default(),
        price: None,
    };
    Arc::new(Stack::new(provider, session))
}

/// One thread for each run: there are as many runs at once as there are threads.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
