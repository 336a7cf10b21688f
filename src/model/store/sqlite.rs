//! The store as one SQLite file, shared by several processes. One thread writes, whatever is queued in one transaction
//! (group commit); reads go through a connection of their own, which in WAL mode never waits for a writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Statement, TransactionBehavior, params};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::seal::{self, Content};
use super::{Paid, Response, Second};
use crate::model::{CallError, CallKey, Completion, FinishReason, ModelRole, Origin, Usage};
use crate::money::Money;

/// Version of the file's layout, in its `user_version`.
const VERSION: i64 = 5;

/// What makes a file of version 1 one of version 2: reasoning beside the answer.
const FROM_1: &str = "
ALTER TABLE responses ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE responses ADD COLUMN reasoning TEXT;
PRAGMA user_version = 2;";

/// What makes a file of version 2 one of version 3: the address that answered, where there are several.
const FROM_2: &str = "
ALTER TABLE responses ADD COLUMN endpoint TEXT;
PRAGMA user_version = 3;";

/// What makes a file of version 3 one of version 4: the tools that were asked for, and the mean log probability.
const FROM_3: &str = "
ALTER TABLE responses ADD COLUMN tool_calls TEXT;
ALTER TABLE responses ADD COLUMN logprob REAL;
PRAGMA user_version = 4;";

/// What makes a file of version 4 one of version 5: a digest of each answer, which older ones have not; and what runs paid
/// for answers that came second.
const FROM_4: &str = "
ALTER TABLE responses ADD COLUMN digest BLOB;
CREATE TABLE paid_again (
    run        TEXT NOT NULL,
    key        BLOB NOT NULL,
    role       TEXT NOT NULL,
    input      INTEGER NOT NULL,
    output     INTEGER NOT NULL,
    cached     INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost       INTEGER,
    created    INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (run, key)
) WITHOUT ROWID, STRICT;
PRAGMA user_version = 5;";

/// The key is the place of a row: `WITHOUT ROWID` saves a second tree. Long columns come last, so that counting never
/// reads them.
const SCHEMA: &str = "
CREATE TABLE responses (
    key        BLOB PRIMARY KEY,
    run        TEXT NOT NULL,
    role       TEXT NOT NULL,
    model      TEXT NOT NULL,
    finish     TEXT NOT NULL,
    input      INTEGER NOT NULL,
    output     INTEGER NOT NULL,
    cached     INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    latency_ms INTEGER NOT NULL,
    cost       INTEGER,
    created    INTEGER NOT NULL DEFAULT (unixepoch()),
    text       TEXT NOT NULL,
    trace      TEXT,
    reasoning  TEXT,
    endpoint   TEXT,
    tool_calls TEXT,
    logprob    REAL
) WITHOUT ROWID, STRICT;
PRAGMA user_version = 4;";

pub(super) const READ: &str = "SELECT run, role, model, finish, input, output, cached, latency_ms, cost, text, trace,
    reasoning_tokens, reasoning, endpoint, tool_calls, logprob, digest FROM responses WHERE key = ?1";

const INSERT: &str = "INSERT INTO responses
    (key, run, role, model, finish, input, output, cached, latency_ms, cost, text, trace, reasoning_tokens, reasoning,
    endpoint, tool_calls, logprob, digest)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT (key) DO NOTHING";

const PAID: &str =
    "SELECT role, count(*), sum(input), sum(output), sum(cached), coalesce(sum(cost), 0), count(*) - count(cost),
    sum(reasoning_tokens) FROM (
        SELECT role, input, output, cached, cost, reasoning_tokens FROM responses WHERE run = ?1 UNION ALL
        SELECT role, input, output, cached, cost, reasoning_tokens FROM paid_again WHERE run = ?1
    ) GROUP BY role";

const PAY_AGAIN: &str = "INSERT INTO paid_again (run, key, role, input, output, cached, reasoning_tokens, cost)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (run, key) DO NOTHING";

const PAID_AGAIN: &str = "SELECT input, output, cached, reasoning_tokens, cost FROM paid_again
    WHERE run = ?1 AND key = ?2";

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(30);

/// How long to wait before a new file is switched again.
const AGAIN: Duration = Duration::from_millis(5);

/// Most answers in one transaction.
const BATCH: usize = 1024;

/// How long the writer gathers answers before it commits. A transaction costs far more than a row in it, and no model
/// answers so fast that this is felt.
const GATHER: Duration = Duration::from_millis(2);

type Written = Result<Response, CallError>;

/// An answer to commit, who waits for it, and the runtime they wait on.
type Order = (Response, oneshot::Sender<Written>, Option<Handle>);

/// The store's file.
pub(super) struct SqliteShelf {
    path: Arc<Path>,
    reader: Mutex<Connection>,
    /// `None` only while it is being dropped: the closed queue ends the writer.
    queue: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteShelf {
    pub(super) fn open(path: &Path) -> Result<Self, CallError> {
        let explain = |error| explained(path, &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                CallError::Store(format!("can't make the folder {}: {error}; check its permissions", folder.display()))
            })?;
        }
        let mut connection = connect(path).map_err(explain)?;
        prepare(&mut connection, path)?;
        let reader = connect(path).map_err(explain)?;
        let (queue, orders) = channel();
        let path: Arc<Path> = path.into();
        let writer = Writer { connection, path: path.to_path_buf() };
        let writer = std::thread::Builder::new()
            .name("response-store".into())
            .spawn(move || writer.run(&orders))
            .map_err(|error| CallError::Store(format!("can't start its writer: {error}")))?;
        Ok(Self { path, reader: Mutex::new(reader), queue: Some(queue), writer: Some(writer) })
    }

    pub(super) fn read(&self, key: CallKey, run: &str) -> Result<Option<Response>, CallError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || -> rusqlite::Result<_> {
            let Some(response) = read(&reader, key)? else { return Ok(None) };
            let second = if *response.run == *run { None } else { second(&reader, key, run)? };
            Ok(Some(Response { second, ..response }))
        };
        read().map_err(|error| explained(&self.path, &error))
    }

    pub(super) async fn write(&self, response: Response) -> Result<Response, CallError> {
        let ended = || CallError::Store(format!("{}: its writer has ended; start again", self.path.display()));
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send((response, reply, Handle::try_current().ok())).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    pub(super) fn paid(&self, run: &str) -> Result<BTreeMap<ModelRole, Paid>, CallError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = || -> rusqlite::Result<_> {
            let mut statement = reader.prepare_cached(PAID)?;
            let rows = statement.query_map([run], |row| {
                let (input, output, cached) = (count(row, 2)?, count(row, 3)?, count(row, 4)?);
                let usage = Usage { input, output, cached, reasoning: count(row, 7)?, cache_write: 0 };
                let cost = Money::from_picos(count(row, 5)?);
                Ok((value(&ROLES, row, 0)?, Paid { calls: count(row, 1)?, usage, cost, unpriced: count(row, 6)? }))
            })?;
            rows.collect()
        };
        paid().map_err(|error| explained(&self.path, &error))
    }
}

impl Drop for SqliteShelf {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // What is queued is still written; a writer that panicked has nothing left to say.
            let _ = writer.join();
        }
    }
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // FULL: an answer must survive a power cut before a decision rests on it. Group commit pays for it.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000;")?;
    Ok(connection)
}

/// Makes the table in a new file, and checks that an old one is ours before anything in it is touched.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), CallError> {
    let explain = |error| explained(path, &error);
    if layout(connection, path)? == VERSION {
        return Ok(());
    }
    switch_to_wal(connection).map_err(explain)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
    // Another process may have made it in the meantime.
    let steps: &[&str] = match layout(&transaction, path)? {
        0 => &[SCHEMA, FROM_4],
        1 => &[FROM_1, FROM_2, FROM_3, FROM_4],
        2 => &[FROM_2, FROM_3, FROM_4],
        3 => &[FROM_3, FROM_4],
        4 => &[FROM_4],
        _ => &[],
    };
    for step in steps {
        transaction.execute_batch(step).map_err(explain)?;
    }
    transaction.commit().map_err(explain)
}

/// Of several connections that switch a new file at once, SQLite refuses all but one without waiting for it, since each
/// holds what the other needs. The others find it done.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < BUSY => {
                std::thread::sleep(AGAIN);
            }
            switched => return switched,
        }
    }
}

/// The version of the file's layout; 0 for a new file, an error for one that isn't ours.
fn layout(connection: &Connection, path: &Path) -> Result<i64, CallError> {
    let explain = |error| explained(path, &error);
    // In this order: both are written at once, maybe between the two reads, and tables without a version aren't ours.
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(explain)?;
    match version {
        0 if tables == 0 => Ok(0),
        1..=VERSION => Ok(version),
        0 => Err(CallError::Store(format!("{} is not a response store: name another file", path.display()))),
        _ => Err(CallError::Store(format!(
            "{} has version {version}, this program knows up to {VERSION}: use a newer ratchet",
            path.display()
        ))),
    }
}

/// Whether the file holds a store, which is brought up to this version's layout; `false` for a new file, an error for
/// one that isn't ours.
pub(super) fn is_ready(connection: &mut Connection, path: &Path) -> Result<bool, CallError> {
    match layout(connection, path)? {
        0 => Ok(false),
        _ => prepare(connection, path).map(|()| true),
    }
}

struct Writer {
    connection: Connection,
    path: PathBuf,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok((first, reply, runtime)) = orders.recv() {
            std::thread::sleep(GATHER);
            let more = orders.try_iter().take(BATCH - 1).map(|(response, reply, _)| (response, reply));
            let (mut responses, replies): (Vec<_>, Vec<_>) = std::iter::once((first, reply)).chain(more).unzip();
            let written = self.commit(&mut responses).map_err(|error| explained(&self.path, &error));
            let tell = move || {
                for (response, reply) in responses.into_iter().zip(replies) {
                    // Whoever asked may be gone; the answer is kept all the same.
                    let _ = reply.send(written.clone().map(|()| response));
                }
            };
            // Waking many tasks from within their runtime wakes one of its threads; from here, it would be one for each.
            match runtime {
                Some(runtime) => drop(runtime.spawn(async { tell() })),
                None => tell(),
            }
        }
    }

    /// One transaction. A response whose key is taken is replaced by the one that is stored; that it was paid for is kept.
    fn commit(&mut self, responses: &mut [Response]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut statement = transaction.prepare_cached(INSERT)?;
            for response in responses {
                if insert(&mut statement, response)? == 0
                    && let Some(stored) = read(&transaction, response.key)?
                {
                    let Response { run, role, completion: Completion { usage, cost, .. }, .. } = response;
                    let second = Second { run: Arc::clone(run), usage: *usage, cost: *cost };
                    pay_again(&transaction, stored.key, *role, &second)?;
                    *response = Response { second: Some(second), ..stored };
                }
            }
        }
        transaction.commit()
    }
}

fn insert(statement: &mut Statement<'_>, response: &Response) -> rusqlite::Result<usize> {
    let Completion {
        text,
        reasoning,
        tool_calls,
        logprob,
        finish,
        usage,
        latency_ms,
        cost,
        trace,
        endpoint,
        origin: _,
    } = &response.completion;
    let trace = trace.as_ref().map(serde_json::to_string).transpose();
    let trace = trace.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let tool_calls = tool_calls.as_ref().map(ToString::to_string);
    let (role, finish) = (word(&ROLES, &response.role), word(&FINISHES, finish));
    let [input, output, cached, of_reasoning] = [usage.input, usage.output, usage.cached, usage.reasoning].map(integer);
    let (latency, cost) = (integer(*latency_ms), cost.map(|cost| integer(cost.picos())));
    let (trace, reasoning) = (trace.as_deref(), reasoning.as_deref());
    let (endpoint, tool_calls) = (endpoint.as_deref(), tool_calls.as_deref());
    let content = Content {
        texts: [&response.run, role, &response.model, finish, text],
        beside: [trace, reasoning, endpoint, tool_calls],
        counts: [input, output, cached, of_reasoning, latency],
        numbers: [cost, logprob.map(seal::bits)],
    };
    statement.execute(params![
        response.key.as_bytes(),
        &*response.run,
        role,
        response.model,
        finish,
        input,
        output,
        cached,
        latency,
        cost,
        text,
        trace,
        of_reasoning,
        reasoning,
        endpoint,
        tool_calls,
        logprob,
        content.digest(response.key),
    ])
}

fn pay_again(connection: &Connection, key: CallKey, role: ModelRole, second: &Second) -> rusqlite::Result<usize> {
    let Usage { input, output, cached, reasoning, cache_write: _ } = second.usage;
    let [input, output, cached, reasoning] = [input, output, cached, reasoning].map(integer);
    let cost = second.cost.map(|cost| integer(cost.picos()));
    let (run, role) = (&*second.run, word(&ROLES, &role));
    let values = params![run, key.as_bytes(), role, input, output, cached, reasoning, cost];
    connection.prepare_cached(PAY_AGAIN)?.execute(values)
}

/// What `run` has paid for an answer of its own under `key`.
fn second(connection: &Connection, key: CallKey, run: &str) -> rusqlite::Result<Option<Second>> {
    let mut statement = connection.prepare_cached(PAID_AGAIN)?;
    let found = statement.query_row(params![run, key.as_bytes()], |row| {
        let (input, output, cached, reasoning) = (count(row, 0)?, count(row, 1)?, count(row, 2)?, count(row, 3)?);
        let usage = Usage { input, output, cached, reasoning, cache_write: 0 };
        Ok(Second { run: run.into(), usage, cost: money(row, 4)? })
    });
    found.optional()
}

fn read(connection: &Connection, key: CallKey) -> rusqlite::Result<Option<Response>> {
    let mut statement = connection.prepare_cached(READ)?;
    statement.query_row([key.as_bytes()], |row| response(key, row)).optional()
}

/// The answer under `key`; an error where it isn't the one that was stored.
pub(super) fn response(key: CallKey, row: &Row<'_>) -> rusqlite::Result<Response> {
    if is_sealed(row)? && row.get_ref(DIGEST)?.as_blob()? != Content::of(row)?.digest(key) {
        let altered = "it is not as it was stored".into();
        return Err(rusqlite::Error::FromSqlConversionFailure(DIGEST, rusqlite::types::Type::Blob, altered));
    }
    let (input, output, cached) = (count(row, 4)?, count(row, 5)?, count(row, 6)?);
    let usage = Usage { input, output, cached, reasoning: count(row, 11)?, cache_write: 0 };
    fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
        let read = row.get_ref(column)?.as_str_or_null()?.map(serde_json::from_str).transpose();
        read.map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
        })
    }
    let completion = Completion {
        text: row.get(9)?,
        reasoning: row.get(12)?,
        endpoint: row.get(13)?,
        tool_calls: json(row, 14)?,
        logprob: row.get(15)?,
        finish: value(&FINISHES, row, 3)?,
        usage,
        latency_ms: count(row, 7)?,
        cost: money(row, 8)?,
        origin: Origin::Stored,
        trace: json(row, 10)?,
    };
    Ok(Response { key, run: row.get(0)?, role: value(&ROLES, row, 1)?, model: row.get(2)?, completion, second: None })
}

/// The column of the digest in [`READ`].
const DIGEST: usize = 16;

/// Whether there is a digest: an answer of an older version has none.
pub(super) fn is_sealed(row: &Row<'_>) -> rusqlite::Result<bool> {
    Ok(row.get_ref(DIGEST)? != rusqlite::types::ValueRef::Null)
}

fn money(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Money>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|picos| Money::from_picos(picos.max(0) as u64)))
}

/// A count as SQLite's signed integer.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

/// What the columns `role` and `finish` hold: written into every file, so never changed.
const ROLES: [(ModelRole, &str); 4] = [
    (ModelRole::Task, "task"),
    (ModelRole::Proposer, "proposer"),
    (ModelRole::Judge, "judge"),
    (ModelRole::Embedder, "embedder"),
];
const FINISHES: [(FinishReason, &str); 5] = [
    (FinishReason::Stop, "stop"),
    (FinishReason::Length, "length"),
    (FinishReason::Refusal, "refusal"),
    (FinishReason::Filter, "filter"),
    (FinishReason::Tool, "tool"),
];

/// The word for `value`; every value is in its table.
fn word<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|(known, _)| known == value).map_or("", |(_, word)| word)
}

/// The value of the word in a column.
fn value<T: Copy>(table: &[(T, &'static str)], row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let found = row.get_ref(column)?.as_str()?;
    table.iter().find(|(_, word)| *word == found).map(|(value, _)| *value).ok_or_else(|| {
        let unknown = format!("unknown word {found:?} in column {column}").into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, unknown)
    })
}

/// What went wrong with the file at `path`, and what to do about it.
pub(super) fn explained(path: &Path, error: &rusqlite::Error) -> CallError {
    if let rusqlite::Error::FromSqlConversionFailure(_, _, problem) = error {
        return CallError::Store(format!(
            "{}: an answer can't be used: {problem}; `ratchet store verify` names it: restore a copy of the file, or move \
             it away (its answers will be asked for anew)",
            path.display()
        ));
    }
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the file is damaged, or no store: move it away and start again (its answers will be asked for anew)"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process keeps it locked: end that one, or wait, and start again"
        }
        Some(ErrorCode::DiskFull) => "the disk is full: make room and resume",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "check the permissions of the file and its folder"
        }
        _ => "check the disk and resume; if it happens again, move the file away",
    };
    CallError::Store(format!("{}: {error}; {advice}", path.display()))
}
