//! The two sides that are compared: a bare loop that does nothing but send and read, and the engine with everything on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prompt_ratchet::dataset::Example;
use prompt_ratchet::eval::{ChatSettings, ChatTarget, Evaluate, Evaluator, Summary};
use prompt_ratchet::model::{
    Budget, Dialect, EndpointConfig, Limit, Limits, Provider, RetryPolicy, Session, Stack, Store,
};
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::run::{Event, Files, GenerationEnded, Journal, Measured, Sink};
use prompt_ratchet::score::{ExactMatch, ExactMatchOptions, ScorerSet};
use prompt_ratchet::seed::generator;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The shipped prompt and rows: real sizes.
pub const PROMPT: &str = include_str!("../../prompts/support-tickets.prompty");
const TICKETS: &str = include_str!("../../datasets/support-tickets.jsonl");
const MODEL: &str = "fixed";

/// What a side is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    port: u16,
    pub rows: usize,
    concurrency: usize,
    /// Where the engine keeps its files; gone on with when they are there.
    folder: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ran {
    pub rows: usize,
    pub seconds: f64,
    /// Of the whole process, user and system, within those seconds.
    pub cpu_seconds: f64,
    /// The most memory that the whole process ever held.
    pub peak_bytes: u64,
}

impl Work {
    pub fn new(port: u16, rows: usize, concurrency: usize, folder: &Path) -> Self {
        Self { port, rows, concurrency, folder: folder.to_path_buf() }
    }

    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// Does the work as `side`, in a process of its own.
    pub fn run(&self, side: &str) -> Ran {
        let output = super::myself(&[side, &serde_json::to_string(self).unwrap()]).output().unwrap();
        assert!(output.status.success(), "{side} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    fn examples(&self) -> Vec<Arc<Example>> {
        rows(self.rows).map(|row| Arc::new(serde_json::from_value(row).unwrap())).collect()
    }
}

impl Ran {
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).unwrap());
    }
}

/// Made of the words of the shipped tickets in random order, as long as those are: no two are alike, which loading a
/// dataset would warn of. Every fourth is answered right.
pub fn rows(count: usize) -> impl Iterator<Item = Value> {
    let tickets: Vec<Value> = TICKETS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inputs: Vec<Vec<String>> = tickets
        .iter()
        .map(|row| row["input"].as_str().unwrap().split_whitespace().map(str::to_owned).collect())
        .collect();
    let words = inputs.concat();
    let mut random = generator(1, 0, "engine bench");
    (0..count).map(move |at| {
        let length = inputs[at % inputs.len()].len().max(8);
        let input: Vec<&str> = (0..length).map(|_| words[random.random_range(0..words.len())].as_str()).collect();
        let ticket = &tickets[at % tickets.len()];
        json!({"id": format!("row-{at}"), "input": input.join(" "), "expected": ticket["expected"], "tags": ticket["tags"]})
    })
}

/// As the programs themselves run.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// With the settings of the engine's.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(120))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .tls_certs_only([])
        .no_proxy()
        .build()
        .unwrap()
}

/// Sends the bodies that the engine sends and reads what comes back, without looking at it.
pub fn bare(work: &Work) -> Ran {
    let prompt = Prompt::parse("prompt", PROMPT).unwrap();
    let body = |example: &Arc<Example>| {
        let messages = serde_json::to_string(&prompt.render(example).unwrap()).unwrap();
        format!(r#"{{"model":"{MODEL}","messages":{messages},"temperature":0.0}}"#)
    };
    let bodies: Arc<[String]> = work.examples().iter().map(body).collect();
    let url = reqwest::Url::parse(&format!("{}/chat/completions", work.base_url())).unwrap();
    let client = client();
    timed(work.rows, async {
        let next = Arc::new(AtomicUsize::new(0));
        let worker = || {
            let (bodies, url, client, next) = (Arc::clone(&bodies), url.clone(), client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let request =
                        client.post(url.clone()).header("content-type", "application/json").body(body.clone());
                    let response = request.send().await.unwrap();
                    assert!(response.status().is_success());
                    response.bytes().await.unwrap();
                }
            })
        };
        for worker in (0..work.concurrency).map(|_| worker()).collect::<Vec<_>>() {
            worker.await.unwrap();
        }
    })
}

/// Evaluates with everything on that a search has on: scoring, the response store in its file, outcomes in the run
/// folder, a line in its journal.
pub fn engine(work: &Work) -> Ran {
    let prompts = Arc::new(PromptSet::one(Prompt::parse("prompt", PROMPT).unwrap()).unwrap());
    let examples = work.examples();
    timed(work.rows, async {
        let evaluator = evaluator(work);
        let files = Files::new(&work.folder, &prompts);
        let (journal, _) = Journal::open(&work.folder).unwrap();
        let done = AtomicUsize::new(0);
        let count = |_: &_| {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let outcomes = evaluator.evaluate(&prompts, &examples, 0, &count).await.unwrap().outcomes;
        let summary = Summary::of(&outcomes);
        assert_eq!((summary.errors, done.into_inner(), outcomes.len()), (0, work.rows, work.rows));
        let id = prompts.digest().short();
        files
            .emit(Event::Measured(Measured { generation: 1, candidate: id.clone(), outcomes, sealed: false }))
            .unwrap();
        let ended = GenerationEnded { generation: 1, incumbent: id, kept: false, train: summary.clone(), dev: summary };
        files.emit(Event::GenerationEnded(ended.clone())).unwrap();
        journal.emit(Event::GenerationEnded(ended)).unwrap();
    })
}

fn evaluator(work: &Work) -> Evaluator {
    let endpoint = Dialect::default().endpoint(EndpointConfig::new(work.base_url())).unwrap();
    let session = Session {
        store: Store::open(&work.folder.join("responses.sqlite")).unwrap(),
        run: "bench".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    };
    let provider = Provider {
        id: endpoint.id(),
        chat: Arc::new(endpoint),
        limit: Limit::new(work.concurrency),
        retry: RetryPolicy::default(),
        price: None,
    };
    let settings = ChatSettings {
        model: MODEL.into(),
        temperature: Some(0.0),
        deterministic: true,
        max_concurrency: work.concurrency,
        ..ChatSettings::default()
    };
    let target = ChatTarget::new(Arc::new(Stack::new(provider, &session)), settings);
    let exact_match = ExactMatch::new("exact_match", ExactMatchOptions::default());
    Evaluator::new(Arc::new(target), Arc::new(ScorerSet::new(vec![(Arc::new(exact_match), 1.0)]).unwrap()))
}

/// Runs `work` on a runtime of its own.
fn timed(rows: usize, work: impl Future<Output = ()>) -> Ran {
    let runtime = runtime();
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    runtime.block_on(work);
    let seconds = started.elapsed().as_secs_f64();
    Ran { rows, seconds, cpu_seconds: cpu_seconds() - cpu_before, peak_bytes: peak_bytes() }
}

/// CPU time of this process so far, in steps of 10 ms; NaN where the system doesn't say.
fn cpu_seconds() -> f64 {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in parentheses, may hold anything; user and system time are fields 14 and 15.
        let mut fields = stat[stat.rfind(')')? + 2..].split(' ').skip(11);
        Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
    };
    ticks().map_or(f64::NAN, |ticks| ticks / 100.0)
}

/// Peak resident memory of this process; 0 where the system doesn't say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
