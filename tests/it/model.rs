//! The model layer over real HTTP, against the fake provider.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prompt_ratchet::model::embedded::Embedded;
use prompt_ratchet::model::{
    Budget, Call, CallError, Chat, ChatRequest, Completion, Dialect, Endpoint, EndpointConfig, Limit, Limits,
    ModelRole, Provider, RetryPolicy, Session, Stack, Store,
};
use prompt_ratchet::prompt::{Message, Role};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fake::server::{Answers, Behaviour, Fault, Rates, Server};

fn call(content: &str) -> Call {
    let request = ChatRequest {
        model: "tiny".into(),
        messages: vec![Message { role: Role::User, content: content.into() }],
        ..ChatRequest::default()
    };
    Call { role: ModelRole::Task, request, draw: "0".into(), row: String::new() }
}

async fn server(behaviour: Behaviour) -> Server {
    Server::start(0, Answers::Fixed("billing".into()), behaviour).await.unwrap()
}

fn client(server: &Server) -> Endpoint {
    let config = EndpointConfig { api_key: Some("sk-very-secret".into()), ..EndpointConfig::new(server.base_url()) };
    Dialect::default().endpoint(config).unwrap()
}

/// What a client makes of the first response being `fault`.
async fn outcome(fault: Fault) -> Result<Completion, CallError> {
    let server = server(Behaviour { first: [Some(fault)].into(), ..Behaviour::default() }).await;
    client(&server).complete(&call("hello")).await
}

fn session(store: &Arc<Store>) -> Session {
    Session {
        store: Arc::clone(store),
        run: "r1".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    }
}

/// A stack that asks again at once.
fn stack(provider: Endpoint, session: &Session) -> Stack {
    let provider = Provider {
        id: provider.id(),
        chat: Arc::new(provider),
        limit: Limit::new(16),
        retry: RetryPolicy { retries: 8, base: Duration::from_millis(1), longest: Duration::from_millis(1) },
        price: None,
    };
    Stack::new(provider, session)
}

#[tokio::test]
async fn an_answer_comes_back_and_the_key_goes_into_its_header_alone() {
    let server = server(Behaviour::default()).await;
    let completion = client(&server).complete(&call("hello")).await.unwrap();
    assert_eq!((completion.text.as_str(), completion.usage.input), ("billing", 1));
    let received = server.last().unwrap();
    assert_eq!(received.authorization.as_deref(), Some("Bearer sk-very-secret"));
    let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body, json!({"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}));
}

#[tokio::test]
async fn statuses_become_the_errors_that_the_stack_acts_on() {
    let raw = |status, body: &str| outcome(Fault::Raw(status, body.into()));
    let quota = r#"{"error": {"message": "no credit", "code": "insufficient_quota"}}"#;
    let leak = r#"{"error": {"message": "bad key sk-very-secret"}}"#;
    assert!(matches!(raw(401, leak).await, Err(CallError::Denied(message)) if message.contains("[key]")));
    assert!(matches!(raw(429, quota).await, Err(CallError::OutOfQuota(message)) if message.contains("no credit")));
    assert!(matches!(raw(200, quota).await, Err(CallError::OutOfQuota(_))));
    assert!(
        matches!(raw(404, "no such model").await, Err(CallError::Rejected(text)) if text.ends_with("no such model"))
    );
    assert!(matches!(raw(400, "{}").await, Err(CallError::Rejected(_))));
    assert!(matches!(raw(503, "").await, Err(CallError::Transient(_))));
    assert!(matches!(raw(200, "<html>").await, Err(CallError::Unanswered(_))));
    assert!(matches!(raw(200, r#"{"choices": []}"#).await, Err(CallError::Transient(_))));
}

#[tokio::test]
async fn faults_of_the_line_may_pass_and_those_that_may_have_been_billed_are_told_apart() {
    for (fault, sent) in
        [(Fault::ServerError, false), (Fault::ErrorBody, false), (Fault::Reset, true), (Fault::Cut, true)]
    {
        let error = outcome(fault.clone()).await.unwrap_err();
        assert!(error.is_transient(), "{fault:?}: {error}");
        assert_eq!(matches!(error, CallError::Unanswered(_)), sent, "{fault:?}: {error}");
    }
    let error = outcome(Fault::RateLimited("7".into())).await.unwrap_err();
    assert!(matches!(error, CallError::Busy { retry_after_ms: Some(7_000), .. }), "{error}");
}

#[tokio::test]
async fn a_call_without_a_response_ends_with_its_timeout() {
    let server = server(Behaviour { first: [Some(Fault::Stall)].into(), ..Behaviour::default() }).await;
    let config = EndpointConfig { timeout: Duration::from_millis(30), ..EndpointConfig::new(server.base_url()) };
    let error = Dialect::default().endpoint(config).unwrap().complete(&call("hello")).await.unwrap_err();
    assert!(matches!(&error, CallError::Unanswered(message) if message.contains("timed out")), "{error}");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let provider = Dialect::default().endpoint(EndpointConfig::new(base_url)).unwrap();
    let error = provider.complete(&call("hello")).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable(message) if message.contains("refused")), "{error}");
}

#[tokio::test]
async fn identical_calls_at_the_same_time_are_one_request() {
    let server = server(Behaviour { latency: Duration::from_millis(20), ..Behaviour::default() }).await;
    let stack = stack(client(&server), &session(&Store::in_memory()));
    let same = call("hello");
    let answers = join_all((0..40).map(|_| stack.complete(&same))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().text == "billing"));
    assert_eq!(server.stats().requests, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_every_row_is_answered_once_and_never_asked_again() {
    let rates = Rates(vec![
        (0.08, Fault::ServerError),
        (0.05, Fault::RateLimited("0".into())),
        (0.05, Fault::Reset),
        (0.05, Fault::Cut),
        (0.05, Fault::ErrorBody),
    ]);
    let server = server(Behaviour { rates, ..Behaviour::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.sqlite");
    let calls: Vec<_> = (0..200).map(|row| call(&format!("row {row}"))).collect();
    for round in 0..2 {
        // The second round is another process, as far as the store can tell.
        let session = session(&Store::open(&path).unwrap());
        let stack = stack(client(&server), &session);
        let answers = join_all(calls.iter().map(|call| stack.complete(call))).await;
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
        let spend = session.ledger.spend().total();
        assert_eq!((spend.live, spend.stored), (200, 0), "round {round}");
    }
    let stats = server.stats();
    assert_eq!(stats.distinct, 200);
    assert!(stats.requests > 210, "no faults were drawn: {stats:?}");
    let store = Store::open(&path).unwrap();
    assert_eq!(store.paid("r1").unwrap()[&ModelRole::Task].calls, 200);
}

#[tokio::test]
async fn the_embedded_model_answers_the_same_over_http() {
    let embedded = Arc::new(Embedded::new());
    let server = Server::start(0, Answers::Chat(embedded.clone()), Behaviour::default()).await.unwrap();
    let prompt = "Answer with one word.\n- billing: charges, invoices\n- access: login, password\nTicket: my invoice";
    let direct = embedded.complete(&call(prompt)).await.unwrap();
    let over_http = client(&server).complete(&call(prompt)).await.unwrap();
    assert_eq!((over_http.text, over_http.usage), (direct.text, direct.usage));
}
