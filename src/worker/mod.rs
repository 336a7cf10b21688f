//! A long-lived child process that answers rows: JSON lines in, JSON lines out. Scorers and agents are run so.
//!
//! One task, the supervisor, owns the process. Rows are written as they come, many in flight, each with an `id` that
//! its reply repeats; replies may come in any order. When the process dies, or gives no reply at all for the timeout,
//! the row that has waited longest is blamed and gets the error; the others are sent again to a new process, so that
//! which rows fail depends on the rows and not on what happened to be in flight. A process that dies
//! [`MOST_DEATHS`] times without one reply in between is given up, as is one that is late [`MOST_LATE`] times.

mod leader;
mod process;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::text::quote;
pub use leader::Leader;
use process::Process;

/// Deaths in a row, without a reply in between, after which the process is given up.
pub const MOST_DEATHS: u32 = 5;

/// The same for a process that has replied before and is late now: rows may be slow one after another.
pub const MOST_LATE: u32 = 20;

/// How to start the process and how long to wait for it.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The program; see [`located`].
    pub program: PathBuf,
    /// What to do where there is no such program.
    pub not_found: &'static str,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory; absent: ours.
    pub dir: Option<PathBuf>,
    /// Variables to keep from it, besides those whose names look like secrets.
    pub hidden_env: Vec<String>,
    /// Variables that it is given although their names look like secrets.
    pub shown_env: Vec<String>,
    /// Variables set for it alone.
    pub env: Vec<(String, SecretString)>,
    /// Longest time without any reply while rows are in flight.
    pub timeout: Duration,
    /// Whether it says that it is ready, as a first line.
    pub greets: bool,
    /// What a reply looks like, for the error about a line that is none.
    pub example: &'static str,
}

/// What a process that greets says first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Greeting {
    /// Why it can't score at all.
    #[serde(default)]
    pub failed: Option<String>,
    /// The fields of a row that it wants.
    #[serde(default)]
    pub wants: Vec<String>,
    /// Whether it can't work without an expected answer.
    #[serde(default)]
    pub needs_expected: bool,
    /// Files of its own folder that it has loaded, relative to that.
    #[serde(default)]
    pub modules: Vec<PathBuf>,
}

/// Why a row has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// What the process wrote is no reply.
    NoReply(String),
    /// The process ended while this row had waited longest.
    Died(String),
    /// Nothing came within the timeout while this row had waited longest.
    Late(String),
    /// The process was given up: no row will be answered any more.
    Gone(String),
}

/// A reply as it was written, without its `id`.
pub type Reply = Map<String, Value>;

type Answered = Result<Reply, Failure>;

/// A row on its way to the supervisor.
struct Ask {
    /// The row as a JSON object.
    body: String,
    reply: oneshot::Sender<Answered>,
}

/// The handle on a running process. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    inbox: mpsc::UnboundedSender<Ask>,
    _supervisor: AbortOnDropHandle<()>,
}

impl Worker {
    /// Starts the process and, where it greets, waits for that. Must be called within a tokio runtime, which then runs
    /// it.
    ///
    /// # Errors
    /// No such program, one that can't be started, one that greets with a failure, or a timeout of zero.
    pub async fn start(spec: WorkerSpec) -> Result<(Worker, Greeting), String> {
        if spec.timeout.is_zero() {
            return Err("`timeout_seconds` is 0; it must be longer".to_owned());
        }
        let (process, greeting) = Process::start(&spec).await?;
        let (inbox, asks) = mpsc::unbounded_channel();
        let supervisor = tokio::spawn(supervise(spec, process, asks));
        Ok((Worker { inbox, _supervisor: AbortOnDropHandle::new(supervisor) }, greeting))
    }

    /// Has one row answered; `row` is a JSON object with at least one field and no `id`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask(&self, row: String) -> Result<Reply, Failure> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure::Gone("its process is gone".to_owned());
        self.inbox.send(Ask { body: row, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Where a program is that runs in `dir`: one with a slash in its name is a file of `dir`, any other is looked for on
/// the PATH. A relative file is made absolute, since whether the system looks for it before or after it has changed the
/// directory is not the same everywhere.
pub fn located(program: &str, dir: &Path) -> PathBuf {
    if !program.contains('/') {
        return program.into();
    }
    let path = dir.join(program);
    std::path::absolute(&path).unwrap_or(path)
}

/// Rows in flight, in the order in which they were asked.
struct InFlight {
    rows: BTreeMap<u64, (Arc<str>, oneshot::Sender<Answered>)>,
    next_id: u64,
    /// The row that was last replied to once more: where nothing else comes, the program doesn't repeat the ids.
    again: Option<u64>,
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
    fn settle(&mut self, line: &[u8], example: &str) -> bool {
        self.since = Instant::now();
        let Ok(line) = std::str::from_utf8(line) else {
            let start = quote(&String::from_utf8_lossy(line));
            self.fail_oldest(Failure::NoReply(format!("wrote {start}, which isn't UTF-8; write JSON lines in UTF-8")));
            return false;
        };
        let parsed = serde_json::from_str::<Reply>(line);
        let id = parsed.as_ref().ok().and_then(|reply| reply.get("id")).and_then(Value::as_u64);
        match (parsed, id) {
            (Ok(mut reply), Some(id)) if (1..self.next_id).contains(&id) => {
                // An id that is no longer in flight was settled before.
                let Some((_, row)) = self.rows.remove(&id) else {
                    self.again = Some(id);
                    return false;
                };
                reply.remove("id");
                let _ = row.send(Ok(reply));
                self.again = None;
                true
            }
            (Ok(_), Some(id)) => {
                let message = format!("replied to id {id}, which was not asked; repeat the row's `id`");
                self.fail_oldest(Failure::NoReply(message));
                false
            }
            (parsed, _) => {
                let problem = match parsed.as_ref().map(|reply| reply.get("id")) {
                    Ok(None) => "it has no `id`".to_owned(),
                    Ok(Some(id)) => format!("its `id` is {id}, and must be the number that was given"),
                    Err(error) => error.to_string(),
                };
                self.fail_oldest(Failure::NoReply(format!(
                    "wrote {}, which is no reply such as {example}: {problem}; print anything else to stderr",
                    quote(line)
                )));
                false
            }
        }
    }

    /// That no reply came within `patience`.
    fn late(&self, patience: Duration) -> End {
        let seconds = patience.as_secs_f64();
        let again =
            self.again.map(|id| format!("; it replied to id {id} once more, and must repeat the `id` of each row"));
        End::Late(format!("no reply within {seconds} s (its `timeout_seconds`){}", again.unwrap_or_default()))
    }

    fn fail_oldest(&mut self, failure: Failure) {
        if let Some((_, (_, row))) = self.rows.pop_first() {
            let _ = row.send(Err(failure));
        }
    }
}

/// Owns the process until the handle is dropped.
async fn supervise(spec: WorkerSpec, mut process: Process, mut inbox: mpsc::UnboundedReceiver<Ask>) {
    let mut in_flight = InFlight { rows: BTreeMap::new(), next_id: 1, again: None, since: Instant::now() };
    let mut ends = Ends::default();
    loop {
        let mut replied = false;
        let Some(end) = serve(&spec, &mut process, &mut inbox, &mut in_flight, &mut replied).await else {
            return;
        };
        ends.count(&end, replied);
        let cause = end.cause().to_owned();
        in_flight.fail_oldest(end.blame(in_flight.rows.len()));
        if ends.are_hopeless() {
            let times = ends.in_a_row;
            let message = format!("{cause}; that was {times} times in a row without a reply, so it is given up");
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

/// How often the process has come to an end without a reply in between.
#[derive(Debug, Default)]
struct Ends {
    /// Whether it has ever replied.
    has_replied: bool,
    in_a_row: u32,
    /// Those of them at which it died.
    deaths: u32,
}

impl Ends {
    /// Counts `end`, before which it `replied` or not.
    fn count(&mut self, end: &End, replied: bool) {
        if replied {
            *self = Self { has_replied: true, ..Self::default() };
        }
        self.in_a_row += 1;
        self.deaths += u32::from(matches!(end, End::Died(_)));
    }

    fn are_hopeless(&self) -> bool {
        let most = if self.has_replied { MOST_LATE } else { MOST_DEATHS };
        self.deaths >= MOST_DEATHS || self.in_a_row >= most
    }
}

/// Why a process is not asked any more.
enum End {
    /// It ended, or its output can't be read.
    Died(String),
    /// It gave no reply within the timeout.
    Late(String),
}

impl End {
    fn cause(&self) -> &str {
        match self {
            End::Died(cause) | End::Late(cause) => cause,
        }
    }

    /// What the row that waited longest of `rows` is told.
    fn blame(self, rows: usize) -> Failure {
        let told = |cause: String| if rows > 1 { format!("{cause}, while this row had waited longest") } else { cause };
        match self {
            End::Died(cause) => Failure::Died(told(cause)),
            End::Late(cause) => Failure::Late(told(cause)),
        }
    }
}

/// Passes rows and replies on until the process ends (returns why) or the handle is dropped (returns nothing).
async fn serve(
    spec: &WorkerSpec,
    process: &mut Process,
    inbox: &mut mpsc::UnboundedReceiver<Ask>,
    in_flight: &mut InFlight,
    replied: &mut bool,
) -> Option<End> {
    let patience = spec.timeout;
    loop {
        tokio::select! {
            ask = inbox.recv() => process.send(&in_flight.add(ask?)),
            line = process.replies.next_segment() => match line {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => *replied |= in_flight.settle(&line, spec.example),
                Ok(None) => return Some(End::Died(process.obituary().await)),
                Err(error) => return Some(End::Died(format!("its output can't be read: {error}"))),
            },
            // What it has written is still read, up to the end that its pipe comes to now.
            _ = process.leader.wait(), if !process.has_ended => process.has_ended = true,
            () = sleep(patience.saturating_sub(in_flight.since.elapsed())), if !in_flight.rows.is_empty() => {
                return Some(in_flight.late(patience));
            }
        }
    }
}

/// Answers every row with the error, now and later.
async fn give_up(message: String, mut inbox: mpsc::UnboundedReceiver<Ask>, in_flight: InFlight) {
    for (_, row) in in_flight.rows.into_values() {
        let _ = row.send(Err(Failure::Gone(message.clone())));
    }
    while let Some(ask) = inbox.recv().await {
        let _ = ask.reply.send(Err(Failure::Gone(message.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_find_their_rows_in_any_order() {
        let mut in_flight = InFlight { rows: BTreeMap::new(), next_id: 1, again: None, since: Instant::now() };
        let mut ask = |body: &str| {
            let (reply, mut answer) = oneshot::channel();
            let line = in_flight.add(Ask { body: body.into(), reply });
            (line, move || answer.try_recv().unwrap())
        };
        let (line, mut first) = ask(r#"{"output":"{a"}"#);
        let (_, mut second) = ask(r#"{"output":"b"}"#);
        let (_, mut third) = ask(r#"{"output":"c"}"#);
        let (_, mut fourth) = ask(r#"{"output":"d"}"#);
        assert_eq!(&*line, "{\"id\":1,\"output\":\"{a\"}\n");
        let mut settle = |line: &[u8]| in_flight.settle(line, "{\"id\": 1}");
        assert!(settle(br#"{"id": 3, "score": true}"#));
        assert!(!settle(br#"{"id": 3, "score": 0}"#), "a second reply to the same row is ignored");
        assert!(!settle(b"hello"), "what is no reply is held against the row that waited longest");
        assert!(!settle(b"{\"id\": 4, \"output\": \"caf\xe9\"}"));
        assert!(settle(br#"{"id": 4, "score": null}"#));
        assert_eq!(third().unwrap()["score"], true);
        assert!(matches!(first(), Err(Failure::NoReply(message)) if message.contains("\"hello\"")));
        assert!(matches!(second(), Err(Failure::NoReply(message)) if message.contains("isn't UTF-8")));
        assert!(fourth().unwrap()["score"].is_null());
    }

    #[test]
    fn a_program_that_does_not_repeat_the_ids_is_told_so() {
        let mut in_flight = InFlight { rows: BTreeMap::new(), next_id: 1, again: None, since: Instant::now() };
        let mut ask = || {
            let (reply, mut answer) = oneshot::channel();
            in_flight.add(Ask { body: r#"{"output":"a"}"#.into(), reply });
            move || answer.try_recv().unwrap()
        };
        let [mut first, mut second] = [ask(), ask()];
        assert!(in_flight.settle(br#"{"id": 1, "score": 1}"#, ""));
        assert!(!in_flight.settle(br#"{"id": 1, "score": 1}"#, ""));
        let late = in_flight.late(Duration::from_secs(3));
        assert!(
            late.cause().ends_with("; it replied to id 1 once more, and must repeat the `id` of each row"),
            "{}",
            late.cause()
        );
        assert!(!in_flight.settle(br#"{"id": 0, "score": 1}"#, ""), "ids begin at 1");
        assert!(matches!(second(), Err(Failure::NoReply(message)) if message.contains("id 0, which was not asked")));
        assert!(first().is_ok());
    }

    #[test]
    fn slow_rows_in_a_row_are_no_deaths_of_a_process_that_replies_to_others() {
        let (late, died) = (|| End::Late(String::new()), || End::Died(String::new()));
        let hopeless_after = |has_replied: bool, end: fn() -> End| {
            let mut ends = Ends::default();
            (1..).find(|at| {
                ends.count(&end(), has_replied && *at == 1);
                ends.are_hopeless()
            })
        };
        assert_eq!(hopeless_after(true, late), Some(MOST_LATE));
        assert_eq!(hopeless_after(true, died), Some(MOST_DEATHS));
        assert_eq!(hopeless_after(false, late), Some(MOST_DEATHS), "nothing shows that it ever replies");
    }

    #[test]
    fn a_program_with_a_slash_is_a_file_of_the_directory() {
        assert_eq!(located("./score.sh", Path::new("/project")), Path::new("/project/score.sh"));
        assert_eq!(located("/bin/score", Path::new("/project")), Path::new("/bin/score"));
        assert_eq!(located("jq", Path::new("/project")), Path::new("jq"));
    }
}
