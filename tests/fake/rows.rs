//! Rows whose right answer is a digest of their text, to see that each gets its own: evaluated with the whole stack.
#![allow(dead_code, reason = "tests and benchmarks each use a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prompt_ratchet::dataset::Example;
use prompt_ratchet::digest::Digest;
use prompt_ratchet::eval::{ChatSettings, ChatTarget, Evaluate, Evaluation, Evaluator};
use prompt_ratchet::model::{
    BoxFuture, Budget, Call, CallError, Chat, Completion, Dialect, EndpointConfig, FinishReason, Limit, LimitSettings,
    Limits, Notice, Provider, RetryPolicy, Session, Spend, Stack, Store, Usage,
};
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::score::{ExactMatch, ExactMatchOptions, ScorerSet};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::server::{Answers, Behaviour, Server};

/// Answers with a digest of what was asked: an answer that got to the wrong row is a wrong one.
struct Fingerprint;

fn fingerprint(text: &str) -> String {
    Digest::of(text.as_bytes()).short()
}

impl Chat for Fingerprint {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            Ok(Completion::live(
                fingerprint(&call.request.messages[0].content),
                FinishReason::Stop,
                Usage { input: 8, output: 2, ..Usage::default() },
            ))
        })
    }
}

/// A server that answers such rows.
pub async fn server(behaviour: Behaviour) -> Server {
    Server::start(0, Answers::Chat(Arc::new(Fingerprint)), behaviour).await.unwrap()
}

/// How the rows are asked.
pub struct Asking {
    pub concurrency: usize,
    /// Of one call.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

/// What became of them.
pub struct Asked {
    pub evaluation: Evaluation,
    pub spend: Spend,
    pub notices: Vec<Notice>,
}

/// What is asked of the model, but for the messages.
pub fn settings(max_concurrency: usize) -> ChatSettings {
    ChatSettings { model: "fingerprint".into(), deterministic: true, max_concurrency, ..ChatSettings::default() }
}

/// Evaluates so many rows on behalf of one run.
pub async fn evaluate(server: &Server, rows: usize, asking: &Asking, store: Arc<Store>) -> Asked {
    let limit = Limit::with(&LimitSettings {
        max_concurrency: asking.concurrency,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_outage: Duration::from_secs(600),
        begun: Arc::default(),
        seed: 1,
    });
    let notices = Arc::<Mutex<Vec<Notice>>>::default();
    let notes = Arc::clone(&notices);
    limit.listen(move |notice| notes.lock().unwrap().push(notice.clone()));
    let config = EndpointConfig { timeout: asking.timeout, ..EndpointConfig::new(server.base_url()) };
    let endpoint = Dialect::default().endpoint(config).unwrap().telling(&limit);
    let session = Session {
        store,
        run: "r1".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    };
    let retry = asking.retry.clone();
    let provider = Provider { id: endpoint.id(), chat: Arc::new(endpoint), limit, retry, price: None };
    let target = ChatTarget::new(Arc::new(Stack::new(provider, &session)), settings(asking.concurrency));
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
    let notices = notices.lock().unwrap().clone();
    Asked { evaluation, spend: session.ledger.spend(), notices }
}
