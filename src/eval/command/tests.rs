//! Programs that are lines of shell, and the endpoint asked by hand.
#![cfg(unix)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::*;
use crate::eval::ChatSettings;
use crate::model::testing::{answer, call};
use crate::model::{Budget, Dialect, Limit, Limits, Provider, ProviderId, RetryPolicy, Session, Stack, Store};
use crate::prompt::{Message, Prompt, Role};

/// Says how often it was asked, and what.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
}

impl Chat for Echo {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let times = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            match call.request.messages.last().map(|message| message.content.as_str()) {
                Some("no key") => Err(CallError::Denied("key".into())),
                Some("too long") => Err(CallError::Rejected("too long".into())),
                said => Ok(answer(&format!("{times}: {}", said.unwrap_or_default()))),
            }
        })
    }
}

fn session() -> Session {
    Session {
        store: Store::in_memory(),
        run: "r1".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    }
}

fn calls(session: &Session) -> ModelCalls {
    let provider = Provider {
        id: ProviderId { kind: "echo".into(), base_url: String::new() },
        chat: Arc::new(Echo::default()),
        limit: Limit::new(4),
        retry: RetryPolicy::default(),
        price: None,
    };
    let settings =
        ChatSettings { model: "echo".into(), deterministic: true, max_concurrency: 4, ..ChatSettings::default() };
    let stack = Arc::new(Stack::new(provider, session).for_parts());
    ModelCalls { stack, settings, dialect: Some(Dialect::default()), interrupt: session.interrupt.clone() }
}

fn options(command: &[&str]) -> ProgramOptions {
    ProgramOptions {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        dir: ".".into(),
        timeout: Duration::from_secs(60),
        hidden_env: Vec::new(),
        shown_env: Vec::new(),
    }
}

/// A program of two workers that does `on_line` with each `$line`; `$id` is the line's id.
fn target_of(on_line: &str, change: impl FnOnce(&mut ProgramOptions)) -> CommandTarget {
    let script = format!("while read -r line; do id=${{line#*:}}; id=${{id%%,*}}; {on_line}; done");
    let mut options = options(&["sh", "-c", &script]);
    change(&mut options);
    let session = session();
    let program = Arc::new(Program::new(options, calls(&session)));
    let id = ProviderId { kind: "target".into(), base_url: "digest".into() };
    let settings = CommandSettings {
        name: "sh".into(),
        prompt_names: [("route.prompty", "route"), ("reply.prompty", "reply")]
            .map(|(file, name)| (file.to_owned(), name.to_owned()))
            .into(),
        deterministic: true,
        workers: 2,
    };
    CommandTarget::new(Arc::new(Stack::of_target(id, program, 2, &session)), settings)
}

fn target(on_line: &str) -> CommandTarget {
    target_of(on_line, |_| ())
}

const REPLY: &str = r#"printf '{"id": %s, "output": "fine"}\n' "$id""#;

fn prompts() -> PromptSet {
    let parse = |name, text| Prompt::parse(name, text).unwrap();
    PromptSet::new([
        parse("route.prompty", "system:\nRoute it.\nuser:\n{{ input }}\n"),
        parse("reply.prompty", "Reply in {{ input }}"),
    ])
    .unwrap()
}

fn example(input: &str) -> Example {
    let row = json!({"id": "e1", "input": input, "expected": "secret", "tags": ["t"], "metadata": {"m": 1}});
    serde_json::from_value(row).unwrap()
}

async fn ask(target: &CommandTarget, input: &str) -> Result<Completion, CallError> {
    target.answer(&prompts(), &example(input), 0).await
}

#[tokio::test]
async fn a_program_is_told_the_prompts_by_name_and_the_example_without_what_is_for_scorers() {
    let dir = tempfile::tempdir().unwrap();
    let write = format!(r#"printf '%s\n' "$line" > row.json; {REPLY}"#);
    let target = target_of(&write, |options| options.dir = dir.path().into());
    let completion = ask(&target, "x").await.unwrap();
    assert_eq!((completion.text.as_str(), completion.trace.unwrap().len()), ("fine", 0));
    let row: Value = serde_json::from_slice(&std::fs::read(dir.path().join("row.json")).unwrap()).unwrap();
    assert_eq!(
        row,
        json!({
            "id": 1, "sample": 0, "example": {"id": "e1", "input": "x"},
            "prompts": {
                "route": {
                    "text": "system:\nRoute it.\nuser:\n{{ input }}\n",
                    "messages": [{"role": "system", "content": "Route it."}, {"role": "user", "content": "x"}],
                },
                "reply": {"text": "Reply in {{ input }}", "messages": [{"role": "user", "content": "Reply in x"}]},
            },
        })
    );
}

#[tokio::test]
async fn an_answer_is_asked_for_once_and_another_draw_anew() {
    let dir = tempfile::tempdir().unwrap();
    let target = target_of(&format!("echo >> asked; {REPLY}"), |options| options.dir = dir.path().into());
    for sample in [0, 0, 1, 0] {
        target.answer(&prompts(), &example("x"), sample).await.unwrap();
    }
    assert_eq!(std::fs::read(dir.path().join("asked")).unwrap().len(), 2);
}

#[tokio::test]
async fn a_row_that_kills_its_worker_is_an_error_and_the_others_go_on() {
    let target = target(&format!(r#"case "$line" in *deadly*) echo overflow >&2; exit 7;; esac; {REPLY}"#));
    let inputs = ["a", "deadly 1", "b", "c", "deadly 2", "d"];
    let results = join_all(inputs.iter().map(|input| ask(&target, input))).await;
    for (input, result) in inputs.iter().zip(results) {
        match result {
            Ok(completion) => assert_eq!((completion.text.as_str(), input.len()), ("fine", 1)),
            Err(error) => {
                let told = "the target's program: its process ended (exit status: 7), having written \"overflow\", 2 times while at this row";
                assert!(input.starts_with("deadly"), "{input}: {error}");
                assert_eq!(error, CallError::Local(told.into()));
            }
        }
    }
}

#[tokio::test]
async fn a_program_that_always_dies_or_is_not_there_ends_the_evaluation() {
    let dying = target("exit 3");
    let mut last = ask(&dying, "0").await.unwrap_err();
    for input in 1..6 {
        last = ask(&dying, &input.to_string()).await.unwrap_err();
        if last.is_systemic() {
            break;
        }
    }
    assert!(matches!(&last, CallError::Program(message) if message.contains("5 times in a row")), "{last}");
    let missing = target_of("", |options| options.command = vec!["no-such-program".into()]);
    let error = ask(&missing, "x").await.unwrap_err();
    assert!(error.is_systemic() && error.to_string().contains("there is no such program"), "{error}");
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_of_the_row_that_says_what_was_found() {
    for (reply, told) in [
        (r#"printf '{"id": %s, "error": "no model"}\n' "$id""#, "no model"),
        (r#"printf '{"id": %s}\n' "$id""#, "has no `output`"),
        (r#"printf '{"id": %s, "ouput": 1}\n' "$id""#, "has no `output`"),
        (r#"printf '{"id": "%s", "output": 1}\n' "$id""#, "and must be the number that was given"),
        (r#"printf '{"id": %s, "output": 1, "trace": [{}]}\n' "$id""#, "missing field `name`"),
        ("echo debugging", "wrote \"debugging\", which is no reply"),
        (r"printf 'caf\351\n'", "isn't UTF-8"),
    ] {
        let error = ask(&target(reply), "x").await.unwrap_err();
        assert!(matches!(&error, CallError::Local(message) if message.contains(told)), "{reply}: {error}");
    }
    let json =
        target(r#"printf '{"id": %s, "output": {"a": 1}, "trace": [{"name": "s"}, {"name": "reply"}]}\n' "$id""#);
    let completion = ask(&json, "x").await.unwrap();
    let steps = completion.trace.unwrap();
    assert_eq!((completion.text.as_str(), steps[0].name.as_str()), (r#"{"a":1}"#, "s"));
    // A step that is called as a prompt is that prompt's.
    assert_eq!([&steps[0].prompt, &steps[1].prompt], [&None, &Some("reply.prompty".to_owned())]);
}

#[tokio::test]
async fn a_row_that_takes_too_long_is_an_error_and_the_next_has_a_new_worker() {
    let slow = target_of(&format!(r#"case "$line" in *slow*) read -r never;; esac; {REPLY}"#), |options| {
        options.timeout = Duration::from_millis(200);
    });
    let error = ask(&slow, "slow").await.unwrap_err();
    assert!(matches!(&error, CallError::Local(message) if message.contains("no reply within 0.2 s")), "{error}");
    assert!(!error.is_systemic());
}

/// One request to the endpoint, by hand: status and body.
async fn post(endpoint: &Endpoint, key: &str, step: &str, content: &str) -> (u16, Value) {
    post_body(endpoint, key, step, json!({"messages": [{"role": "user", "content": content}]})).await
}

async fn post_body(endpoint: &Endpoint, key: &str, step: &str, body: Value) -> (u16, Value) {
    post_to("chat/completions", endpoint, key, step, body).await
}

async fn post_to(path: &str, endpoint: &Endpoint, key: &str, step: &str, body: Value) -> (u16, Value) {
    let address = endpoint.base_url.trim_start_matches("http://").trim_end_matches("/v1");
    let body = body.to_string();
    let request = format!(
        "POST /v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nX-Ratchet-Step: {step}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn calls_need_the_key_of_a_worker_and_become_steps_of_its_row() {
    let endpoint = Endpoint::start(calls(&session())).await.unwrap();
    assert!(endpoint.base_url.starts_with("http://127.0.0.1:"));
    let (desk, key) = endpoint.desk().unwrap();
    let (other, other_key) = endpoint.desk().unwrap();
    let key = key.expose_secret();
    desk.begin(&call("0"), Vec::new());
    assert_eq!(post(&endpoint, "guess", "s", "a").await.0, 401);
    let (status, body) = post_to("embeddings", &endpoint, key, "s", json!({"input": "a"})).await;
    assert_eq!((status, body["error"]["type"].as_str()), (404, Some("not_found_error")));
    assert!(body["error"]["message"].as_str().unwrap().contains("chat completions alone"), "{body}");
    assert_eq!(post(&endpoint, other_key.expose_secret(), "s", "a").await.0, 409, "its worker is at no row");
    let (status, body) = post(&endpoint, key, "route", "a").await;
    assert_eq!((status, &body["choices"][0]["message"]["content"]), (200, &json!("1: a")));
    // A repeat within a row is a fresh draw.
    assert_eq!(post(&endpoint, key, "route", "a").await.1["choices"][0]["message"]["content"], "2: a");
    assert_eq!(post(&endpoint, key, "long", "too long").await.0, 400);
    post(&endpoint, key, "short", "b").await;
    let steps = desk.end().unwrap();
    let seen: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.output.clone())).collect();
    let [first, second, short] = ["1: a", "2: a", "4: b"].map(Value::from);
    assert_eq!(seen, [("route", first), ("route", second), ("long", Value::Null), ("short", short)]);
    assert_eq!(steps[0].tokens.unwrap().input, 10);
    assert!(steps[0].call.is_some() && steps[0].call != steps[1].call && steps[2].error.is_some());
    // Another row's same question is the same call, and costs nothing.
    other.begin(&call("0"), Vec::new());
    let (_, body) = post(&endpoint, other_key.expose_secret(), "route", "a").await;
    assert_eq!(body["choices"][0]["message"]["content"], "1: a");
    drop(desk);
    assert_eq!(post(&endpoint, key, "route", "a").await.0, 401, "the worker is gone");
}

#[tokio::test]
async fn several_answers_to_a_request_are_as_many_draws_each_a_step_stored_and_paid_once() {
    let session = session();
    let endpoint = Endpoint::start(calls(&session)).await.unwrap();
    let (desk, key) = endpoint.desk().unwrap();
    let ask = |n: usize, content: &str| {
        let body = json!({"messages": [{"role": "user", "content": content}], "n": n});
        post_body(&endpoint, key.expose_secret(), "s", body)
    };
    let said = |body: &Value| -> Vec<(Value, Value)> {
        let choices = body["choices"].as_array().unwrap().iter();
        choices.map(|choice| (choice["index"].clone(), choice["message"]["content"].clone())).collect()
    };
    desk.begin(&call("0"), Vec::new());
    let (status, three) = ask(3, "a").await;
    assert_eq!((status, &three["usage"]["total_tokens"]), (200, &json!(36)));
    let first = said(&three);
    assert_eq!(first.iter().map(|(index, _)| index.clone()).collect::<Vec<_>>(), [json!(0), json!(1), json!(2)]);
    let keys: std::collections::BTreeSet<_> = desk.end().unwrap().iter().map(|step| step.call).collect();
    assert_eq!((keys.len(), session.store.paid("r1").unwrap()[&ModelRole::Task].calls), (3, 3));
    // Another row that asks one by one has the same draws, and pays for none of them.
    desk.begin(&call("0"), Vec::new());
    for (_, content) in &first {
        assert_eq!(&said(&ask(1, "a").await.1)[0].1, content);
    }
    assert_eq!(session.store.paid("r1").unwrap()[&ModelRole::Task].calls, 3);
    assert_eq!(desk.end().unwrap().len(), 3);
    // One that fails takes them all.
    desk.begin(&call("0"), Vec::new());
    assert_eq!((ask(2, "too long").await.0, ask(2, "no key").await.0), (400, 403));
    assert_eq!(desk.end().unwrap_err(), CallError::Denied("key".into()));
}

#[tokio::test]
async fn a_call_without_a_name_is_called_as_the_prompt_that_it_begins_with() {
    let endpoint = Endpoint::start(calls(&session())).await.unwrap();
    let (desk, key) = endpoint.desk().unwrap();
    let says = |name: &str, content: &str| {
        let message = Message { role: Role::User, content: content.to_owned() };
        (name.to_owned(), vec![message])
    };
    desk.begin(&call("0"), vec![says("route", "Route x"), says("reply", "Reply to x")]);
    for (header, content) in [("", "Reply to x"), ("", "Reply to y"), ("mine", "Route x")] {
        post(&endpoint, key.expose_secret(), header, content).await;
    }
    let names: Vec<String> = desk.end().unwrap().into_iter().map(|step| step.name).collect();
    assert_eq!(names, ["reply", "model", "mine"]);
}

#[tokio::test]
async fn a_call_that_fails_for_nobodys_fault_takes_its_row_whatever_the_program_makes_of_it() {
    let endpoint = Endpoint::start(calls(&session())).await.unwrap();
    let (desk, key) = endpoint.desk().unwrap();
    desk.begin(&call("0"), Vec::new());
    assert_eq!(post(&endpoint, key.expose_secret(), "a", "no key").await.0, 403);
    assert_eq!(desk.end().unwrap_err(), CallError::Denied("key".into()));
    assert!(desk.end().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_request_takes_its_row_unless_a_later_one_is_answered() {
    let endpoint = Endpoint::start(calls(&session())).await.unwrap();
    let (desk, key) = endpoint.desk().unwrap();
    let ask = |content: &'static str| post(&endpoint, key.expose_secret(), "s", content);
    let refused = CallError::Rejected("too long".into());
    for (asked, ended) in [
        (["too long", "too long"], Err(refused.clone())),
        (["short", "too long"], Err(refused)),
        (["too long", "short"], Ok(2)),
    ] {
        desk.begin(&call("0"), Vec::new());
        for content in asked {
            ask(content).await;
        }
        assert_eq!(desk.end().map(|steps| steps.len()), ended, "{asked:?}");
    }
    // What the endpoint itself can't pass on is no different.
    desk.begin(&call("0"), Vec::new());
    let body = json!({"messages": [{"role": "user", "content": "a"}], "functions": []});
    assert_eq!(post_body(&endpoint, key.expose_secret(), "s", body).await.0, 400);
    let error = desk.end().unwrap_err();
    assert!(matches!(&error, CallError::Local(message) if message.contains("`functions`")), "{error}");
}

#[tokio::test]
async fn after_an_interrupt_no_call_is_begun() {
    let token = CancellationToken::new();
    let session = Session { interrupt: token.clone().into(), ..session() };
    let endpoint = Endpoint::start(calls(&session)).await.unwrap();
    let (desk, key) = endpoint.desk().unwrap();
    desk.begin(&call("0"), Vec::new());
    token.cancel();
    assert_eq!(post(&endpoint, key.expose_secret(), "a", "x").await.0, 403);
    assert_eq!(desk.end().unwrap_err(), CallError::Interrupted);
}
