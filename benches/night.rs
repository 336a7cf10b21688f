//! What a night takes: `cargo bench --bench night`. What came out is in `docs/unattended.md`.
//!
//! A run that is killed and gone on with, by the clock from the start of the second process to its first new request; the
//! response store with a million answers; `ratchet eval` of a million rows. The provider is the fake one, in this
//! process; `ratchet` is a process of its own, whose memory is read from `/proc` (the most it ever held).
//! `cargo bench --bench night -- store` does one part: `resume`, `store` or `eval`.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::server::{Answers, Behaviour, Server};
use prompt_ratchet::model::{
    BoxFuture, Budget, Call, CallError, Chat, ChatRequest, Completion, FinishReason, Limit, Limits, ModelRole,
    Provider, ProviderId, RetryPolicy, Session, Stack, Store, Usage,
};
use prompt_ratchet::prompt::{Message, Role};
use prompt_ratchet::seed::generator;
use rand::RngExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[path = "../tests/fake/mod.rs"]
mod fake;

const WORDS: &str = "my card was charged twice for the same order and nobody answers please refund how do I change the \
    address on an invoice from last month the app crashes when I open settings on tablet since update where is parcel";
const LABELS: [&str; 4] = ["billing", "bug", "account", "shipping"];
const MILLION: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let parts: Vec<&str> = arguments.iter().map(String::as_str).filter(|part| !part.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<64} {:>14} {:>12}", "", "measured", "goal");
    if wanted("resume") {
        resume(&runtime, 20_000, "< 2 s");
        resume(&runtime, 50_000, "< 5 s");
    }
    if wanted("store") {
        store(&runtime);
    }
    if wanted("eval") {
        eval(&runtime, MILLION / 10, "");
        eval(&runtime, MILLION, "< 300 MB");
    }
}

/// One line of the table.
fn tell(what: &str, measured: &str, goal: &str) {
    println!("{what:<64} {measured:>14} {goal:>12}");
}

fn server(runtime: &tokio::runtime::Runtime) -> Server {
    runtime.block_on(Server::start(0, Answers::Fixed("billing".into()), Behaviour::default())).unwrap()
}

/// A project with so many rows of some twenty words each, none like another.
fn project(server: &Server, rows: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = generator(1, 0, "night bench");
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.path().join("rows.jsonl")).unwrap());
    for at in 0..rows {
        let text: Vec<&str> = (0..20).map(|_| words[random.random_range(0..words.len())]).collect();
        let row = json!({"id": format!("row-{at}"), "input": text.join(" "), "expected": LABELS[at % LABELS.len()]});
        writeln!(file, "{row}").unwrap();
    }
    file.flush().unwrap();
    let config = format!(
        "prompt = \"prompt.prompty\"\ndataset = \"rows.jsonl\"\n[models.task]\nprovider = \"openai\"\nmodel = \"fixed\"\n\
         base_url = \"{}\"\ntemperature = 0\nmax_concurrency = 64\n[[scorers]]\ntype = \"exact_match\"\n",
        server.base_url()
    );
    std::fs::write(folder.path().join("ratchet.toml"), config).unwrap();
    std::fs::write(
        folder.path().join("prompt.prompty"),
        "user:\nWhich of billing, bug, account and shipping is it?\n\n{{ input }}\n",
    )
    .unwrap();
    folder
}

fn ratchet(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratchet"));
    command.current_dir(project).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The most memory that `process` has held so far, in MB; 0 once it has ended.
fn peak(process: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
}

/// A run is killed within its baseline when `calls` answers are stored, and gone on with.
fn resume(runtime: &tokio::runtime::Runtime, calls: usize, goal: &str) {
    let server = server(runtime);
    // Train and dev are four fifths of the rows: the baseline is not over at the kill.
    let folder = project(&server, calls * 5 / 4 + 2_000);
    let mut run = ratchet(folder.path(), &["optimize"]).spawn().unwrap();
    while (server.stats().answered as usize) < calls + 300 {
        assert_eq!(run.try_wait().unwrap(), None, "it ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let before = server.stats().requests;
    let began = Instant::now();
    let mut resumed = ratchet(folder.path(), &["resume"]).spawn().unwrap();
    while server.stats().requests == before {
        assert_eq!(resumed.try_wait().unwrap(), None, "it ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
    let (seconds, peak) = (began.elapsed().as_secs_f64(), peak(&resumed));
    resumed.kill().unwrap();
    resumed.wait().unwrap();
    tell(&format!("{calls} stored answers, resumed: to the first new request"), &format!("{seconds:.2} s"), goal);
    tell("  peak memory until then", &format!("{peak:.0} MB"), "");
}

/// Answers at once.
struct Fixed;

impl Chat for Fixed {
    fn complete<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let usage = Usage { input: 60, output: 2, ..Usage::default() };
        Box::pin(async move { Ok(Completion::live("billing".into(), FinishReason::Stop, usage)) })
    }
}

/// A million different calls through the whole stack but for the network, then all of them once more.
fn store(runtime: &tokio::runtime::Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.sqlite");
    for (what, goal) in [("written", "> 10,000"), ("read back", "")] {
        let stack = Arc::new(stack(&path));
        let began = Instant::now();
        runtime.block_on(ask_all(&stack));
        let rate = MILLION as f64 / began.elapsed().as_secs_f64();
        tell(&format!("1,000,000 answers {what}, a second"), &format!("{rate:.0}"), goal);
    }
    let bytes = std::fs::metadata(&path).unwrap().len() as f64 / 1e6;
    tell("  the file", &format!("{bytes:.0} MB"), "");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    tell("  peak memory of this process, the ledger's keys included", &peak, "< 300 MB");
}

fn stack(path: &Path) -> Stack {
    let session = Session {
        store: Store::open(path).unwrap(),
        run: "r1".into(),
        budget: Budget::new(Limits::default()),
        ledger: Arc::default(),
        interrupt: CancellationToken::new().into(),
    };
    let provider = Provider {
        id: ProviderId { kind: "fixed".into(), base_url: String::new() },
        chat: Arc::new(Fixed),
        limit: Limit::new(512),
        retry: RetryPolicy::default(),
        price: None,
    };
    Stack::new(provider, &session)
}

async fn ask_all(stack: &Arc<Stack>) {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..1_024)
        .map(|_| {
            let (stack, next) = (Arc::clone(stack), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= MILLION {
                        break;
                    }
                    stack.complete(&call(at)).await.unwrap();
                    tokio::task::coop::consume_budget().await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

fn call(at: usize) -> Call {
    let content = format!("Which of billing, bug, account and shipping is it?\n\nrow {at}: {WORDS}");
    let request = ChatRequest { messages: vec![Message { role: Role::User, content }], ..request() };
    Call { role: ModelRole::Task, request, draw: "0".into(), row: String::new() }
}

fn request() -> ChatRequest {
    serde_json::from_value(json!({"model": "fixed", "messages": [], "temperature": 0.0})).unwrap()
}

/// `ratchet eval` of so many rows, from the start of its process to its end.
fn eval(runtime: &tokio::runtime::Runtime, rows: usize, goal: &str) {
    let server = server(runtime);
    let folder = project(&server, rows);
    let began = Instant::now();
    let mut process = ratchet(folder.path(), &["eval", "--split", "all", "--quiet", "--json"]).spawn().unwrap();
    let mut most = 0.0_f64;
    let status = loop {
        most = most.max(peak(&process));
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    assert_eq!(server.stats().answered as usize, rows);
    tell(&format!("`ratchet eval` of {rows} rows: peak memory"), &format!("{most:.0} MB"), goal);
    tell("  time", &format!("{:.1} s", began.elapsed().as_secs_f64()), "");
}
