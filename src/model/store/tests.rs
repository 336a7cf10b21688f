//! What the response store promises, tried on both shelves.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::sqlite::SqliteShelf;
use super::*;
use crate::model::testing::{answer, call};
use crate::model::{BoxFuture, FinishReason, ProviderId, TraceStep};

/// An interrupt that doesn't come.
fn never() -> Interrupt {
    CancellationToken::new().into()
}

/// Answers each draw with itself, after a few turns of the scheduler.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
}

impl Chat for Echo {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Ok(answer(&call.draw))
        })
    }
}

fn key(call: &Call) -> CallKey {
    call.key(&ProviderId { kind: "echo".into(), base_url: String::new() })
}

async fn ask(stored: &Stored, draw: &str) -> Result<Completion, CallError> {
    let call = call(draw);
    stored.answer(key(&call), &call).await
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn the_store_survives_being_reopened_with_every_field() {
    let folder = folder();
    let path = folder.path().join("deep/responses.sqlite");
    let trace = vec![TraceStep { name: "search".into(), input: 1.into(), output: "x".into(), ..TraceStep::default() }];
    let completion = Completion {
        text: "Schrödinger's \u{1f408}\n".into(),
        finish: FinishReason::Length,
        usage: Usage { input: 7, output: 5, cached: 3, reasoning: 2, cache_write: 0 },
        latency_ms: 42,
        cost: Some(Money::from_picos(9)),
        origin: Origin::Stored,
        reasoning: Some("It has a tail.".into()),
        trace: Some(trace),
        endpoint: Some("http://b".into()),
        tool_calls: Some(serde_json::json!([{"id": "c1", "function": {"name": "look_up", "arguments": "{}"}}])),
        logprob: Some(-0.25),
    };
    let key = CallKey::of(b"k");
    let (run, role, model) = ("r1".into(), ModelRole::Judge, "tiny".into());
    let response = Response { key, run, role, model, completion, second: None };
    Store::open(&path).unwrap().write(response.clone()).await.unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.read(key, "r1").unwrap(), Some(response));
    let paid = Paid {
        calls: 1,
        usage: Usage { input: 7, output: 5, cached: 3, reasoning: 2, cache_write: 0 },
        cost: Money::from_picos(9),
        unpriced: 0,
    };
    assert_eq!(store.paid("r1").unwrap(), [(ModelRole::Judge, paid)].into());
    assert_eq!(store.paid("r2").unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn the_in_memory_twin_counts_what_the_file_counts() {
    let folder = folder();
    let file = Store::open(&folder.path().join("s")).unwrap();
    let memory = Store::in_memory();
    for store in [&file, &memory] {
        let echo: Arc<Echo> = Arc::default();
        for (run, draws) in [("r1", 0..5), ("r2", 3..9)] {
            let stored = Stored::new(echo.clone(), 8, Arc::clone(store), run.into(), never());
            for draw in draws {
                ask(&stored, &draw.to_string()).await.unwrap();
            }
        }
        assert_eq!(echo.asked.load(Ordering::Relaxed), 9);
    }
    assert_eq!(file.paid("r2").unwrap(), memory.paid("r2").unwrap());
    assert_eq!(file.paid("r2").unwrap()[&ModelRole::Task].calls, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_asked_for_twice_however_many_ask() {
    let folder = folder();
    let store = Store::open(&folder.path().join("s")).unwrap();
    let echo: Arc<Echo> = Arc::default();
    let stored = Arc::new(Stored::new(echo.clone(), 8, store, "r1".into(), never()));
    let tasks = (0..600).map(|n| {
        let stored = Arc::clone(&stored);
        tokio::spawn(async move { ask(&stored, &(n % 50).to_string()).await.unwrap().text })
    });
    for (n, text) in join_all(tasks).await.into_iter().enumerate() {
        assert_eq!(text.unwrap(), (n % 50).to_string());
    }
    assert_eq!(echo.asked.load(Ordering::Relaxed), 50);
}

/// Never answers.
#[derive(Default)]
struct Silent(AtomicUsize);

impl Chat for Silent {
    fn complete<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_may_be_paid_for_twice() {
    let silent: Arc<Silent> = Arc::default();
    let stored = Stored::new(silent.clone(), 8, Store::in_memory(), "r1".into(), never());
    let draws: Vec<String> = (0..400).map(|draw| draw.to_string()).collect();
    let mut all = std::pin::pin!(join_all(draws.iter().map(|draw| ask(&stored, draw))));
    for _ in 0..draws.len() {
        assert!(futures_util::poll!(&mut all).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(silent.0.load(Ordering::Relaxed), 8 + UNSTORED);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_take_the_answer_from_others() {
    let echo: Arc<Echo> = Arc::default();
    let stored = Stored::new(echo.clone(), 8, Store::in_memory(), "r1".into(), never());
    let mut first = Box::pin(ask(&stored, "0"));
    let mut second = Box::pin(ask(&stored, "0"));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap().text, "0");
    assert_eq!(echo.asked.load(Ordering::Relaxed), 1);
    let abandoned = Box::pin(ask(&stored, "1"));
    drop(abandoned);
    assert_eq!(ask(&stored, "1").await.unwrap().text, "1");
}

#[tokio::test]
async fn two_processes_see_each_others_answers_and_the_first_one_stays() {
    let folder = folder();
    let path = folder.path().join("s");
    let stores: Vec<_> = (0..2).map(|_| Store::open(&path).unwrap()).collect();
    let key = CallKey::of(b"k");
    let response = |run: &str, text: &str| Response {
        key,
        run: run.into(),
        role: ModelRole::Task,
        model: "tiny".into(),
        completion: Completion { origin: Origin::Stored, ..answer(text) },
        second: None,
    };
    stores[0].write(response("r1", "first")).await.unwrap();
    assert_eq!(stores[1].read(key, "r2").unwrap().unwrap().completion.text, "first");
    let kept = stores[1].write(response("r2", "second")).await.unwrap();
    assert_eq!((&*kept.run, kept.completion.text.as_str()), ("r1", "first"));
}

/// Answers when another process, which asked for the same, has stored its answer.
struct Overtaken {
    other: Arc<Store>,
}

impl Chat for Overtaken {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let stored = Stored::new(Arc::<Echo>::default(), 8, Arc::clone(&self.other), "r1".into(), never());
            stored.answer(key(call), call).await?;
            let usage = Usage { input: 100, output: 9, ..Usage::default() };
            Ok(Completion { usage, cost: Some(Money::from_picos(77)), ..answer("mine") })
        })
    }
}

#[tokio::test]
async fn what_was_paid_for_an_answer_that_came_second_counts_then_and_when_it_is_read_back() {
    let folder = folder();
    let path = folder.path().join("s");
    let overtaken = Arc::new(Overtaken { other: Store::open(&path).unwrap() });
    for _ in 0..2 {
        let store = Store::open(&path).unwrap();
        let stored = Stored::new(overtaken.clone(), 8, Arc::clone(&store), "r2".into(), never());
        let seen = ask(&stored, "0").await.unwrap();
        let paid = (seen.origin, seen.usage.input, seen.cost.map(Money::picos));
        assert_eq!((seen.text.as_str(), paid), ("0", (Origin::Live, 100, Some(77))));
        let paid = store.paid("r2").unwrap()[&ModelRole::Task];
        assert_eq!((paid.calls, paid.usage.input, paid.cost.picos(), paid.unpriced), (1, 100, 77, 0));
    }
    let others = Stored::new(Arc::<Echo>::default(), 8, Store::open(&path).unwrap(), "r3".into(), never());
    assert_eq!(ask(&others, "0").await.unwrap().origin, Origin::Stored);
    let mut upkeep = Upkeep::open(&path).unwrap().unwrap();
    upkeep.forget(&Forget { runs: Some(vec!["r2".into()]), before: None }).unwrap();
    assert_eq!(Store::open(&path).unwrap().paid("r2").unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn the_file_appears_with_the_first_answer_and_not_with_an_error() {
    let folder = folder();
    let path = folder.path().join("deep/s");
    let store = Store::open(&path).unwrap();
    let stored =
        |store: &Arc<Store>, inner: Arc<dyn Chat>| Stored::new(inner, 8, Arc::clone(store), "r1".into(), never());
    let broken = Arc::new(crate::model::testing::Script::new(vec![Err(CallError::Unreachable("refused".into()))]));
    ask(&stored(&store, broken), "0").await.unwrap_err();
    assert_eq!((store.paid("r1").unwrap(), path.parent().unwrap().exists()), (BTreeMap::new(), false));
    let asked = stored(&store, Arc::<Echo>::default());
    let answers = join_all((0..20).map(|draw| draw.to_string()).map(|draw| {
        let asked = &asked;
        async move { ask(asked, &draw).await }
    }));
    assert!(answers.await.iter().all(Result::is_ok) && path.is_file());
    assert_eq!(store.paid("r1").unwrap()[&ModelRole::Task].calls, 20);
}

#[test]
fn a_new_file_can_be_opened_by_many_at_once() {
    let folder = folder();
    let path = folder.path().join("s");
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteShelf::open(&path).map(drop))).collect();
        for store in opened {
            store.join().unwrap().unwrap();
        }
    });
}

fn refusal(path: &Path) -> String {
    match Store::open(path) {
        Err(CallError::Store(message)) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = folder();
    let path = folder.path().join("notes.txt");
    let text = "not a database at all\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    assert!(refusal(&path).contains("move it away"), "{}", refusal(&path));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let other = folder.path().join("other.sqlite");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(refusal(&other).contains("not a response store"), "{}", refusal(&other));
}

#[tokio::test]
async fn a_file_of_the_first_version_opens_with_its_answers_and_takes_new_ones() {
    let folder = folder();
    let path = folder.path().join("s");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE responses (key BLOB PRIMARY KEY, run TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL,
                finish TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,
                latency_ms INTEGER NOT NULL, cost INTEGER, created INTEGER NOT NULL DEFAULT (unixepoch()),
                text TEXT NOT NULL, trace TEXT) WITHOUT ROWID, STRICT;
            PRAGMA user_version = 1;",
        )
        .unwrap();
    let old = call("old");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute(
            "INSERT INTO responses (key, run, role, model, finish, input, output, cached, latency_ms, text)
                VALUES (?1, 'r0', 'task', 'tiny', 'stop', 7, 5, 3, 42, 'kept')",
            [key(&old).as_bytes()],
        )
        .unwrap();
    // Whoever only looks after it brings it up to date too.
    let found = Upkeep::open(&path).unwrap().unwrap().verify().unwrap();
    assert_eq!(found, Verified { answers: 1, unchecked: 1, ..Verified::default() });
    let stored = Stored::new(Arc::<Echo>::default(), 8, Store::open(&path).unwrap(), "r1".into(), never());
    let answer = stored.answer(key(&old), &old).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.reasoning, answer.usage.input), ("kept", None, 7));
    assert_eq!(ask(&stored, "new").await.unwrap().text, "new");
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = folder();
    let path = folder.path().join("s");
    drop(SqliteShelf::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(refusal(&path).contains("version 7"), "{}", refusal(&path));
}

#[tokio::test]
async fn a_damaged_page_is_an_error_that_says_what_to_do() {
    let folder = folder();
    let path = folder.path().join("s");
    let stored = Stored::new(Arc::<Echo>::default(), 8, Store::open(&path).unwrap(), "r1".into(), never());
    for draw in 0..200 {
        ask(&stored, &draw.to_string()).await.unwrap();
    }
    drop(stored);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    let stored = Stored::new(Arc::<Echo>::default(), 8, Store::open(&path).unwrap(), "r1".into(), never());
    let error = ask(&stored, "0").await.unwrap_err();
    assert!(matches!(&error, CallError::Store(message) if message.contains("damaged")), "{error}");
}
