//! Bad networks over real sockets: whatever the fake provider does, every row is answered once and scored right.

use std::time::Duration;

use prompt_ratchet::model::{Call, CallError, Chat, Dialect, EndpointConfig, ModelRole, RetryPolicy, Store};
use prompt_ratchet::prompt::{Message, Role};

use crate::fake::rows::{Asking, evaluate, server, settings};
use crate::fake::server::{Behaviour, Bursts, Fault, Outage, PerMinute, Rates, Server};

/// Evaluates so many rows, all of which are answered and scored right.
async fn all_right(server: &Server, rows: usize) {
    let retry = RetryPolicy { retries: 5, base: Duration::from_millis(20), longest: Duration::from_millis(200) };
    // Long enough for any machine: an answer that comes later is paid for and not seen.
    let asking = Asking { concurrency: 16, timeout: Duration::from_secs(3), retry };
    let asked = evaluate(server, rows, &asking, Store::in_memory()).await;
    for (at, outcome) in asked.evaluation.outcomes.iter().enumerate() {
        assert_eq!(outcome.value(), Some(1.0), "row {at}: {:?}", outcome.result);
    }
    assert_eq!(asked.evaluation.outcomes.len(), rows);
    let stats = server.stats();
    assert_eq!((stats.answered, stats.distinct), (rows as u64, rows as u64), "every row is paid for once: {stats:?}");
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
    all_right(&server, 600).await;
    let stats = server.stats();
    assert!(stats.refused + stats.during_outage > 0 && stats.requests > 650, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_headers_say_keeps_requests_below_the_rate_limit() {
    let server = server(Behaviour { per_minute: Some(PerMinute(3_000)), ..Behaviour::default() }).await;
    all_right(&server, 250).await;
    let stats = server.stats();
    assert!(stats.refused <= 25, "{stats:?}");
}

#[tokio::test]
async fn a_200_is_an_answer_whatever_stands_beside_it() {
    let beside =
        [("retry-after", "3600"), ("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "0")];
    let beside = beside.map(|(name, value)| (name, value.to_owned())).to_vec();
    let behaviour = Behaviour { first: [Some(Fault::Beside(beside))].into(), ..Behaviour::default() };
    let server = server(behaviour).await;
    // An hour's wait would outlast any test.
    all_right(&server, 1).await;
}

#[tokio::test]
async fn a_body_in_which_nothing_comes_any_more_is_cut() {
    let server = server(Behaviour { first: [Some(Fault::Hang)].into(), ..Behaviour::default() }).await;
    let config = EndpointConfig { idle_timeout: Duration::from_millis(30), ..EndpointConfig::new(server.base_url()) };
    let messages = vec![Message { role: Role::User, content: "ticket 1".into() }];
    let call =
        Call { role: ModelRole::Task, request: settings(1).request(messages), draw: "0".into(), row: String::new() };
    let error = Dialect::default().endpoint(config).unwrap().complete(&call).await.unwrap_err();
    assert!(matches!(&error, CallError::Unanswered(text) if text.contains("nothing for 0.03 s")), "{error}");
}
