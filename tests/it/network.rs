//! Bad networks over real sockets: whatever the fake provider does, every row is answered once and scored right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prompt_ratchet::dataset::Example;
use prompt_ratchet::digest::Digest;
use prompt_ratchet::eval::{ChatSettings, ChatTarget, Evaluate, Evaluation, Evaluator};
use prompt_ratchet::model::{
    BoxFuture, Budget, Call, CallError, Chat, Completion, FinishReason, Limit, LimitSettings, Limits, ModelRole,
    OpenAi, OpenAiConfig, Origin, Provider, RetryPolicy, Session, Stack, Store, Usage,
};
use prompt_ratchet::prompt::{Message, Prompt, PromptSet, Role};
use prompt_ratchet::score::{ExactMatch, ExactMatchOptions, ScorerSet};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::fake::server::{Answers, Behaviour, Bursts, Fault, Outage, PerMinute, Rates, Server};

/// Answers with a digest of what was asked: an answer that got to the wrong row is a wrong one.
struct Fingerprint;

fn fingerprint(text: &str) -> String {
    Digest::of(text.as_bytes()).short()
}

impl Chat for Fingerprint {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            Ok(Completion {
                text: fingerprint(&call.request.messages[0].content),
                finish: FinishReason::Stop,
                usage: Usage { input: 8, output: 2, ..Usage::default() },
                latency_ms: 0,
                cost: None,
                origin: Origin::Live,
                trace: None,
            })
        })
    }
}

async fn server(behaviour: Behaviour) -> Server {
    Server::start(0, Answers::Chat(Arc::new(Fingerprint)), behaviour).await.unwrap()
}

fn settings() -> ChatSettings {
    ChatSettings {
        model: "fingerprint".into(),
        temperature: None,
        max_tokens: None,
        extra: Map::new(),
        deterministic: true,
        max_concurrency: 16,
    }
}

/// Evaluates `rows` rows, all of which are answered and scored right.
async fn evaluate(server: &Server, rows: usize) -> Evaluation {
    let limit = Limit::with(&LimitSettings {
        max_concurrency: 16,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_outage: Duration::from_secs(60),
        begun: Arc::default(),
        seed: 1,
    });
    let config = OpenAiConfig { timeout: Duration::from_millis(300), ..OpenAiConfig::new(server.base_url()) };
    let endpoint = OpenAi::new(config).unwrap().telling(&limit);
    let session = Session {
        store: Store::in_memory(),
        run: "r1".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new(),
    };
    let retry = RetryPolicy { retries: 5, base: Duration::from_millis(20), longest: Duration::from_millis(200) };
    let provider = Provider { id: endpoint.id(), chat: Arc::new(endpoint), limit, retry, price: None };
    let target = ChatTarget::new(Arc::new(Stack::new(provider, &session)), settings());
    let exact_match = ExactMatch::new("exact_match", ExactMatchOptions::default());
    let scorers = ScorerSet::new(vec![(Arc::new(exact_match), 1.0)]).unwrap();
    let prompts = Arc::new(PromptSet::one(Prompt::parse("prompt", "{{ input }}").unwrap()).unwrap());
    let row = |at: usize| {
        let input = format!("ticket {at}");
        json!({"id": at.to_string(), "expected": fingerprint(&input), "input": input})
    };
    let examples: Vec<Arc<Example>> = (0..rows).map(|at| Arc::new(serde_json::from_value(row(at)).unwrap())).collect();
    let evaluator = Evaluator::new(Arc::new(target), Arc::new(scorers));
    let evaluation = evaluator.evaluate(&prompts, &examples, 0, &|_| ()).await.unwrap();
    for (at, outcome) in evaluation.outcomes.iter().enumerate() {
        assert_eq!(outcome.value(), Some(1.0), "row {at}: {:?}", outcome.result);
    }
    assert_eq!(evaluation.outcomes.len(), rows);
    let stats = server.stats();
    assert_eq!((stats.answered, stats.distinct), (rows as u64, rows as u64), "every row is paid for once: {stats:?}");
    evaluation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bad_network_no_row_is_lost_or_scored_wrong_or_paid_twice() {
    let rates = Rates(vec![
        (0.05, Fault::ServerError),
        (0.02, Fault::Reset),
        (0.02, Fault::Cut),
        (0.01, Fault::Stall),
        (0.02, Fault::ErrorBody),
    ]);
    let behaviour = Behaviour {
        latency: Duration::from_millis(2),
        rates,
        bursts: Some(Bursts { every: Duration::from_millis(300), within: Duration::from_millis(60) }),
        outage: Some(Outage { from: Duration::from_millis(150), until: Duration::from_millis(900) }),
        ..Behaviour::default()
    };
    let server = server(behaviour).await;
    evaluate(&server, 600).await;
    let stats = server.stats();
    assert!(stats.refused > 0 && stats.requests > 700, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_headers_say_keeps_requests_below_the_rate_limit() {
    let server = server(Behaviour { per_minute: Some(PerMinute(3_000)), ..Behaviour::default() }).await;
    let started = Instant::now();
    evaluate(&server, 250).await;
    let (stats, took) = (server.stats(), started.elapsed());
    assert!(stats.refused <= 25, "{stats:?}");
    assert!(took < Duration::from_secs(5), "250 requests, of which 150 at once, at 50 a second took {took:?}");
}

#[tokio::test]
async fn a_200_is_an_answer_whatever_stands_beside_it() {
    let beside =
        [("retry-after", "3600"), ("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "0")];
    let beside = beside.map(|(name, value)| (name, value.to_owned())).to_vec();
    let behaviour = Behaviour { first: [Some(Fault::Beside(beside))].into(), ..Behaviour::default() };
    let server = server(behaviour).await;
    let started = Instant::now();
    evaluate(&server, 1).await;
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_in_which_nothing_comes_any_more_is_cut() {
    let server = server(Behaviour { first: [Some(Fault::Hang)].into(), ..Behaviour::default() }).await;
    let config = OpenAiConfig { idle_timeout: Duration::from_millis(30), ..OpenAiConfig::new(server.base_url()) };
    let messages = vec![Message { role: Role::User, content: "ticket 1".into() }];
    let call = Call { role: ModelRole::Task, request: settings().request(messages), draw: "0".into() };
    let error = OpenAi::new(config).unwrap().complete(&call).await.unwrap_err();
    assert!(matches!(&error, CallError::Unanswered(text) if text.contains("nothing for 0.03 s")), "{error}");
}
