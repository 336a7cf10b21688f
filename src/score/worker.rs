//! A long-lived child process that scores rows: JSON lines in, JSON lines out.
//!
//! One task, the supervisor, owns the process. Rows are written as they come, many in flight, each with an `id` that
//! its reply repeats; replies may come in any order. When the process dies, or gives no reply at all for the timeout,
//! the row that has waited longest is blamed and gets the error; the others are sent again to a new process, so that
//! which rows fail depends on the rows and not on what happened to be in flight. A process that dies
//! [`MOST_DEATHS`] times without one reply in between is given up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::answer::quote;
use super::{Grade, ScoreError};
use crate::dataset::Example;
use crate::model::{Completion, TraceStep};

/// Deaths in a row, without a reply in between, after which the process is given up.
const MOST_DEATHS: u32 = 5;
/// How long a process may take to greet: it may import large libraries.
const GREETING_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a process that closed its output may take to end.
const ENDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of what the process wrote to stderr is kept for an error, in bytes.
const LAST_WORDS: usize = 1000;

/// How to start the process and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct WorkerSpec {
    pub program: PathBuf,
    /// What to do where there is no such program.
    pub not_found: &'static str,
    pub args: Vec<OsString>,
    /// Its working directory; absent: ours.
    pub dir: Option<PathBuf>,
    /// Variables to keep from it, besides those whose names look like secrets.
    pub hidden_env: Vec<String>,
    /// Longest time without any reply while rows are in flight.
    pub timeout: Duration,
    /// Whether it says that it is ready, as a first line.
    pub greets: bool,
}

/// What a process that greets says first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Greeting {
    /// Why it can't score at all.
    #[serde(default)]
    pub failed: Option<String>,
    /// The fields of a row that it wants.
    #[serde(default)]
    pub wants: Vec<String>,
    /// Whether it can't work without an expected answer.
    #[serde(default)]
    pub needs_expected: bool,
}

/// A row as the process sees it; the supervisor adds the `id`. `None` leaves a field out, `Some(None)` sends null.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub output: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Option<&'a Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a serde_json::Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Option<&'a [TraceStep]>>,
}

impl<'a> Row<'a> {
    /// The answer with those fields of the row that `wants` accepts by name.
    pub(super) fn new(example: &'a Example, completion: &'a Completion, wants: impl Fn(&str) -> bool) -> Row<'a> {
        Row {
            output: &completion.text,
            input: wants("input").then_some(&example.input),
            expected: wants("expected").then_some(example.expected.as_ref()),
            metadata: wants("metadata").then_some(&example.metadata),
            tags: wants("tags").then_some(&example.tags),
            trace: wants("trace").then_some(completion.trace.as_deref()),
        }
    }
}

/// A reply line.
#[derive(Debug, Deserialize)]
struct Reply {
    id: u64,
    #[serde(default)]
    score: Value,
    #[serde(default)]
    reason: Option<String>,
    /// Why the row can't be scored.
    #[serde(default)]
    error: Option<String>,
}

impl Reply {
    fn into_grade(self) -> Result<Grade, Failure> {
        let Reply { score, reason, error, .. } = self;
        if let Some(error) = error {
            return Err(Failure::Row(error));
        }
        match &score {
            Value::Bool(is_right) => Ok(Grade { value: f64::from(u8::from(*is_right)), reason }),
            Value::Number(number) => Ok(Grade { value: number.as_f64().unwrap_or(f64::NAN), reason }),
            other => Err(Failure::Row(format!("gave {other} as its score; a score must be a number from 0 to 1"))),
        }
    }
}

/// Why a row was not scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// This row failed.
    Row(String),
    /// No row can be scored any more.
    Systemic(String),
}

impl Failure {
    pub(super) fn of(self, scorer: &str) -> ScoreError {
        match self {
            Failure::Row(message) => ScoreError::of_row(scorer, message),
            Failure::Systemic(message) => ScoreError::of_scorer(scorer, message),
        }
    }
}

type Answered = Result<Grade, Failure>;

/// A row on its way to the supervisor.
struct Ask {
    /// The row as a JSON object.
    body: String,
    reply: oneshot::Sender<Answered>,
}

/// The handle on a running process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Worker {
    inbox: mpsc::UnboundedSender<Ask>,
    _supervisor: AbortOnDropHandle<()>,
}

impl Worker {
    /// Starts the process and, where it greets, waits for that.
    pub(super) async fn start(spec: WorkerSpec) -> Result<(Worker, Greeting), String> {
        if spec.timeout.is_zero() {
            return Err("`timeout` is 0; it must be longer".to_owned());
        }
        let (process, greeting) = Process::start(&spec).await?;
        let (inbox, asks) = mpsc::unbounded_channel();
        let supervisor = tokio::spawn(supervise(spec, process, asks));
        Ok((Worker { inbox, _supervisor: AbortOnDropHandle::new(supervisor) }, greeting))
    }

    /// Has one row scored.
    pub(super) async fn ask(&self, row: &Row<'_>) -> Answered {
        let body = serde_json::to_string(row).map_err(|error| Failure::Row(format!("row is not JSON: {error}")))?;
        let (reply, answer) = oneshot::channel();
        let gone = || Failure::Systemic("its process is gone".to_owned());
        self.inbox.send(Ask { body, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Rows in flight, in the order in which they were asked.
struct InFlight {
    rows: BTreeMap<u64, (Arc<str>, oneshot::Sender<Answered>)>,
    next_id: u64,
    /// When the process last made progress, or was first given something to do.
    since: Instant,
}

impl InFlight {
    /// Takes a row in; returns the line to write.
    fn add(&mut self, ask: Ask) -> Arc<str> {
        if self.rows.is_empty() {
            self.since = Instant::now();
        }
        let id = self.next_id;
        self.next_id += 1;
        // The body is never an empty object, so a comma follows.
        let line: Arc<str> = format!("{{\"id\":{id},{}\n", ask.body.trim_start_matches('{')).into();
        self.rows.insert(id, (Arc::clone(&line), ask.reply));
        line
    }

    /// Hands a reply line to its row. Returns whether it was one.
    fn settle(&mut self, line: &str) -> bool {
        self.since = Instant::now();
        match serde_json::from_str::<Reply>(line) {
            Ok(reply) if reply.id < self.next_id => {
                // An id that is no longer in flight was settled before.
                if let Some((_, row)) = self.rows.remove(&reply.id) {
                    let _ = row.send(reply.into_grade());
                }
                true
            }
            Ok(reply) => {
                self.fail_oldest(format!("replied to id {}, which was not asked; repeat the row's `id`", reply.id));
                false
            }
            Err(error) => {
                self.fail_oldest(format!(
                    "wrote {}, which is no reply such as {{\"id\": 1, \"score\": 0.5}}: {error}; print anything else to stderr",
                    quote(line)
                ));
                false
            }
        }
    }

    fn fail_oldest(&mut self, message: String) {
        if let Some((_, (_, row))) = self.rows.pop_first() {
            let _ = row.send(Err(Failure::Row(message)));
        }
    }
}

/// Owns the process until the handle is dropped.
async fn supervise(spec: WorkerSpec, mut process: Process, mut inbox: mpsc::UnboundedReceiver<Ask>) {
    let mut in_flight = InFlight { rows: BTreeMap::new(), next_id: 1, since: Instant::now() };
    let mut deaths = 0;
    loop {
        let mut replied = false;
        let Some(cause) = serve(spec.timeout, &mut process, &mut inbox, &mut in_flight, &mut replied).await else {
            return;
        };
        deaths = if replied { 1 } else { deaths + 1 };
        in_flight.fail_oldest(format!("{cause}, while this row had waited longest"));
        if deaths >= MOST_DEATHS {
            let message = format!("{cause}; that was {deaths} times in a row without a reply, so it is given up");
            return give_up(message, inbox, in_flight).await;
        }
        process = match Process::start(&spec).await {
            Ok((process, _)) => process,
            Err(error) => return give_up(format!("{cause}; then {error}"), inbox, in_flight).await,
        };
        in_flight.since = Instant::now();
        for (line, _) in in_flight.rows.values() {
            process.send(line);
        }
    }
}

/// Passes rows and replies on until the process ends (returns why) or the handle is dropped (returns nothing).
async fn serve(
    patience: Duration,
    process: &mut Process,
    inbox: &mut mpsc::UnboundedReceiver<Ask>,
    in_flight: &mut InFlight,
    replied: &mut bool,
) -> Option<String> {
    loop {
        tokio::select! {
            ask = inbox.recv() => process.send(&in_flight.add(ask?)),
            line = process.replies.next_line() => match line {
                Ok(Some(line)) if line.trim().is_empty() => {}
                Ok(Some(line)) => *replied |= in_flight.settle(&line),
                Ok(None) => return Some(process.obituary().await),
                Err(error) => return Some(format!("its output can't be read: {error}")),
            },
            () = sleep(patience.saturating_sub(in_flight.since.elapsed())), if !in_flight.rows.is_empty() => {
                return Some(format!("no reply within {} s (its `timeout`)", patience.as_secs_f64()));
            }
        }
    }
}

/// Answers every row with the error, now and later.
async fn give_up(message: String, mut inbox: mpsc::UnboundedReceiver<Ask>, in_flight: InFlight) {
    for (_, row) in in_flight.rows.into_values() {
        let _ = row.send(Err(Failure::Systemic(message.clone())));
    }
    while let Some(ask) = inbox.recv().await {
        let _ = ask.reply.send(Err(Failure::Systemic(message.clone())));
    }
}

/// One life of the process. Dropping it kills the process.
struct Process {
    child: Child,
    replies: Lines<BufReader<ChildStdout>>,
    /// Lines for the task that writes them.
    to_write: mpsc::UnboundedSender<Arc<str>>,
    /// The end of what it wrote to stderr.
    last_words: Arc<Mutex<Vec<u8>>>,
    stderr_reader: AbortOnDropHandle<()>,
    _writer: AbortOnDropHandle<()>,
}

impl Process {
    async fn start(spec: &WorkerSpec) -> Result<(Process, Greeting), String> {
        let program = spec.program.display();
        let mut child = command(spec).spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("can't start {program}: there is no such program; {}", spec.not_found)
            }
            _ => format!("can't start {program}: {error}"),
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(format!("can't start {program}: its pipes are missing"));
        };
        let (to_write, lines) = mpsc::unbounded_channel();
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let mut process = Process {
            child,
            replies: BufReader::new(stdout).lines(),
            to_write,
            stderr_reader: AbortOnDropHandle::new(tokio::spawn(keep_last_words(stderr, Arc::clone(&last_words)))),
            last_words,
            _writer: AbortOnDropHandle::new(tokio::spawn(write_lines(stdin, lines))),
        };
        let greeting = if spec.greets { process.greeting().await? } else { Greeting::default() };
        Ok((process, greeting))
    }

    async fn greeting(&mut self) -> Result<Greeting, String> {
        let line = match timeout(GREETING_TIMEOUT, self.replies.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(self.obituary().await),
            Ok(Err(error)) => return Err(format!("its output can't be read: {error}")),
            Err(_) => return Err(format!("was not ready within {} s", GREETING_TIMEOUT.as_secs())),
        };
        let greeting: Greeting =
            serde_json::from_str(&line).map_err(|error| format!("greeted with {}: {error}", quote(&line)))?;
        match greeting.failed {
            Some(failed) => Err(failed),
            None => Ok(greeting),
        }
    }

    /// Hands a line over for writing. A process that no longer reads is found out by its end or by the timeout.
    fn send(&self, line: &Arc<str>) {
        let _ = self.to_write.send(Arc::clone(line));
    }

    /// How the process ended, after it closed its output.
    async fn obituary(&mut self) -> String {
        let end = match timeout(ENDING_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) => format!("its process ended ({status})"),
            Ok(Err(error)) => format!("its process ended ({error})"),
            Err(_) => "its process closed its output".to_owned(),
        };
        // A child of the process may hold stderr open for longer than it lives.
        let _ = timeout(ENDING_TIMEOUT, &mut self.stderr_reader).await;
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        match String::from_utf8_lossy(&words).trim() {
            "" => end,
            words => format!("{end}, having written {words:?}"),
        }
    }
}

fn command(spec: &WorkerSpec) -> Command {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(dir) = &spec.dir {
        command.current_dir(dir);
    }
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if looks_secret(&name) || spec.hidden_env.iter().any(|hidden| *hidden == name) {
            command.env_remove(&variable);
        }
    }
    // Its own group, so that Ctrl-C reaches us alone and the rows in flight can be finished.
    #[cfg(unix)]
    command.process_group(0);
    command
}

/// Whether a variable of this name is likely to hold a secret, such as `OPENAI_API_KEY`.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["_KEY", "_TOKEN", "SECRET", "PASSWORD"].iter().any(|end| name.ends_with(end))
}

/// Writes lines, as many at once as there are, until the process no longer reads.
async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Arc<str>>) {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, 256).await > 0 {
        if stdin.write_all(batch.concat().as_bytes()).await.is_err() {
            return;
        }
        batch.clear();
    }
}

/// Reads stderr to its end, so that the process never blocks on it, and keeps the last of it.
async fn keep_last_words(mut stderr: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&chunk[..length]);
        let surplus = words.len().saturating_sub(LAST_WORDS);
        words.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_look_like_secrets_are_kept_back() {
        for secret in ["OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "hf_token", "CLIENT_SECRET", "DB_PASSWORD"] {
            assert!(looks_secret(secret), "{secret}");
        }
        for plain in ["PATH", "HOME", "KEYBOARD", "TOKENIZERS_PARALLELISM", "PYTHONPATH"] {
            assert!(!looks_secret(plain), "{plain}");
        }
    }

    #[test]
    fn replies_find_their_rows_in_any_order() {
        let mut in_flight = InFlight { rows: BTreeMap::new(), next_id: 1, since: Instant::now() };
        let mut ask = |body: &str| {
            let (reply, mut answer) = oneshot::channel();
            let line = in_flight.add(Ask { body: body.into(), reply });
            (line, move || answer.try_recv().unwrap())
        };
        let (line, mut first) = ask(r#"{"output":"{a"}"#);
        let (_, mut second) = ask(r#"{"output":"b"}"#);
        let (_, mut third) = ask(r#"{"output":"c"}"#);
        assert_eq!(&*line, "{\"id\":1,\"output\":\"{a\"}\n");
        assert!(in_flight.settle(r#"{"id": 3, "score": true}"#));
        assert!(in_flight.settle(r#"{"id": 3, "score": 0}"#), "a second reply to the same row is ignored");
        assert!(!in_flight.settle("hello"), "what is no reply is held against the row that waited longest");
        assert!(in_flight.settle(r#"{"id": 2, "score": null}"#));
        assert_eq!(third(), Ok(Grade::pass()));
        assert!(matches!(first(), Err(Failure::Row(message)) if message.contains("\"hello\"")));
        assert!(matches!(second(), Err(Failure::Row(message)) if message.contains("gave null")));
    }
}
