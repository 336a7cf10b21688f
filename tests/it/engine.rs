//! The evaluation engine over real HTTP: every row is asked for once, and never again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prompt_ratchet::dataset::Example;
use prompt_ratchet::eval::{ChatSettings, ChatTarget, Evaluate, Evaluation, Evaluator, OutcomeError};
use prompt_ratchet::model::{
    Budget, CallError, Ceiling, Dialect, EndpointConfig, Limit, Limits, ModelRole, Origin, Provider, RetryPolicy,
    Session, Stack, Store,
};
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::score::{ExactMatch, ExactMatchOptions, ScorerSet};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fake::server::{Answers, Behaviour, Server, Stats};

const ROWS: usize = 400;
const CONCURRENCY: usize = 16;

/// Evaluates all rows on behalf of `run`, with the store at `path`.
async fn evaluate(server: &Server, path: &Path, run: &str, limits: Limits) -> Result<Evaluation, OutcomeError> {
    let endpoint = Dialect::default().endpoint(EndpointConfig::new(server.base_url())).unwrap();
    let session = Session {
        store: Store::open(path).unwrap(),
        run: run.into(),
        budget: Budget::new(limits),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    };
    let provider = Provider {
        id: endpoint.id(),
        chat: Arc::new(endpoint),
        limit: Limit::new(CONCURRENCY),
        retry: RetryPolicy::default(),
        price: None,
    };
    let settings = ChatSettings {
        model: "fixed".into(),
        temperature: Some(0.0),
        deterministic: true,
        max_concurrency: CONCURRENCY,
        ..ChatSettings::default()
    };
    let target = ChatTarget::new(Arc::new(Stack::new(provider, &session)), settings);
    let exact_match = ExactMatch::new("exact_match", ExactMatchOptions::default());
    let scorers = ScorerSet::new(vec![(Arc::new(exact_match), 1.0)]).unwrap();
    let prompts = Arc::new(PromptSet::one(Prompt::parse("prompt", "Ticket: {{ input }}").unwrap()).unwrap());
    let row = |at: usize| json!({"id": format!("{at}"), "input": format!("ticket {at}"), "expected": "billing"});
    let rows: Vec<Arc<Example>> = (0..ROWS).map(|at| Arc::new(serde_json::from_value(row(at)).unwrap())).collect();
    Evaluator::new(Arc::new(target), Arc::new(scorers)).evaluate(&prompts, &rows, 0, &|_| ()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_asked_for_once_and_a_stored_evaluation_asks_for_nothing() {
    let server = Server::start(0, Answers::Fixed("billing".into()), Behaviour::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.sqlite");
    for (run, origin) in [("r1", Origin::Live), ("r1", Origin::Live), ("r2", Origin::Stored)] {
        let outcomes = evaluate(&server, &path, run, Limits::default()).await.unwrap().outcomes;
        let ids: Vec<String> = outcomes.iter().map(|outcome| outcome.example.id.clone()).collect();
        assert_eq!(ids, (0..ROWS).map(|at| at.to_string()).collect::<Vec<_>>(), "the order of the examples");
        for outcome in outcomes {
            let answer = outcome.result.unwrap();
            assert_eq!((answer.value, answer.completion.origin), (1.0, origin));
        }
        let rows = ROWS as u64;
        assert_eq!(server.stats(), Stats { requests: rows, answered: rows, distinct: rows, ..Stats::default() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_ends_an_evaluation_with_every_allowed_answer_stored() {
    let behaviour = Behaviour { latency: Duration::from_millis(5), ..Behaviour::default() };
    let server = Server::start(0, Answers::Fixed("billing".into()), behaviour).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.sqlite");
    let limits = Limits { together: Ceiling { calls: Some(100), ..Ceiling::default() }, ..Limits::default() };
    let fault = evaluate(&server, &path, "r1", limits).await.unwrap_err();
    assert!(matches!(fault, OutcomeError::Call(CallError::Budget(_))), "{fault}");
    assert_eq!(server.stats(), Stats { requests: 100, answered: 100, distinct: 100, ..Stats::default() });
    assert_eq!(Store::open(&path).unwrap().paid("r1").unwrap()[&ModelRole::Task].calls, 100);
}
