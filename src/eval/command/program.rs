//! The workers of a command target: long-lived processes, each at one row at a time.
//!
//! A worker that dies is started again and given its row once more; if it dies of it again, the row is an error and the
//! others go on. A program that dies [`MOST_DEATHS`](crate::worker::MOST_DEATHS) times in a row without one answer, is late
//! [`MOST_LATE`](crate::worker::MOST_LATE) times, or can't be started, ends the evaluation.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::desk::Desk;
use super::endpoint::{Endpoint, ModelCalls};
use super::trace::{Reported, merged};
use crate::model::{BoxFuture, Call, CallError, Chat, Completion, FinishReason, TraceStep, Usage};
use crate::money::Money;
use crate::prompt::Message;
use crate::worker::{Failure, Reply, Worker, WorkerSpec, located};

/// What an answer line looks like.
const EXAMPLE: &str = r#"{"id": 1, "output": "text"}"#;
/// How often a row is given to a worker that dies of it.
const TRIES: usize = 2;

/// Which program, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramOptions {
    /// The program and its arguments, not read by a shell; never empty. A program with a slash in its name is a file of
    /// `dir`, any other is looked for on the PATH.
    pub command: Vec<String>,
    /// Its working directory.
    pub dir: PathBuf,
    /// Longest time for one row.
    pub timeout: Duration,
    /// Environment variables to keep from it, besides those whose names look like secrets.
    pub hidden_env: Vec<String>,
    /// Environment variables that it is given although their names look like secrets.
    pub shown_env: Vec<String>,
}

/// The program's workers, and the endpoint that they ask models through. Nothing runs until the first row.
pub struct Program {
    options: ProgramOptions,
    calls: ModelCalls,
    endpoint: OnceCell<Endpoint>,
    /// Workers that wait for a row, the last one that was busy last.
    idle: Mutex<Vec<Seat>>,
}

/// A worker and where its calls are recorded.
struct Seat {
    worker: Worker,
    desk: Arc<Desk>,
}

/// An answer line. What else stands there is the program's own business.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    output: Value,
    #[serde(default)]
    trace: Vec<Reported>,
    /// Why the row can't be answered.
    #[serde(default)]
    error: Option<String>,
}

impl Program {
    /// The program of `options`, whose model calls go through `calls`.
    pub fn new(options: ProgramOptions, calls: ModelCalls) -> Self {
        Self { options, calls, endpoint: OnceCell::new(), idle: Mutex::default() }
    }

    /// A worker that waits, or a new one.
    async fn seat(&self) -> Result<Seat, CallError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(seat) => Ok(seat),
            None => self.started().await.map_err(CallError::Program),
        }
    }

    async fn started(&self) -> Result<Seat, String> {
        let unheard = |error: std::io::Error| format!("its endpoint can't be opened on 127.0.0.1: {error}");
        let endpoint = self.endpoint.get_or_try_init(|| Endpoint::start(self.calls.clone())).await.map_err(unheard)?;
        let (desk, key) = endpoint.desk().map_err(unheard)?;
        let worker = Worker::start(self.spec(&endpoint.base_url, &key)?).await?.0;
        Ok(Seat { worker, desk })
    }

    fn spec(&self, base_url: &str, key: &SecretString) -> Result<WorkerSpec, String> {
        let ProgramOptions { command, dir, timeout, hidden_env, shown_env } = self.options.clone();
        let (program, args) = command.split_first().ok_or("its `command` is empty")?;
        let mut env: Vec<(String, SecretString)> = Vec::new();
        for prefix in ["OPENAI", "RATCHET"] {
            env.push((format!("{prefix}_BASE_URL"), base_url.into()));
            env.push((format!("{prefix}_API_KEY"), key.clone()));
        }
        // A proxy of the user's doesn't know this machine's loopback.
        for name in ["NO_PROXY", "no_proxy"] {
            let others = std::env::var(name).map(|others| format!("{others},")).unwrap_or_default();
            env.push((name.to_owned(), format!("{others}127.0.0.1").into()));
        }
        Ok(WorkerSpec {
            program: located(program, &dir),
            not_found: "check `target.command`, and the script's first line where it is one",
            args: args.iter().map(Into::into).collect(),
            dir: Some(dir),
            hidden_env,
            shown_env,
            env,
            timeout,
            greets: false,
            example: EXAMPLE,
        })
    }

    async fn answer(&self, call: &Call) -> Result<Completion, CallError> {
        let seat = self.seat().await?;
        let row = Value::Object(call.request.extra.clone()).to_string();
        let mut tries = 1;
        let (result, recorded) = loop {
            seat.desk.begin(call, prompts(call));
            let result = seat.worker.ask(row.clone()).await;
            let recorded = seat.desk.end();
            match (&result, &recorded) {
                (Err(Failure::Died(_)), Ok(_)) if tries < TRIES => tries += 1,
                _ => break (result, recorded),
            }
        };
        if let Err(Failure::Gone(message)) = result {
            return Err(CallError::Program(message));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
        // What stopped its calls stopped the row, whatever the program made of it.
        let recorded = recorded?;
        let of_row = |message: String| CallError::Local(format!("the target's program: {message}"));
        match result {
            Ok(reply) => completion(reply, recorded).map_err(of_row),
            Err(Failure::Died(cause)) => Err(of_row(format!("{cause}, {tries} times while at this row"))),
            Err(Failure::NoReply(message) | Failure::Late(message) | Failure::Gone(message)) => Err(of_row(message)),
        }
    }
}

/// What the prompts of a row say, by name.
fn prompts(call: &Call) -> Vec<(String, Vec<Message>)> {
    let prompts = call.request.extra.get("prompts").and_then(Value::as_object).into_iter().flatten();
    let messages = |prompt: &Value| serde_json::from_value(prompt.get("messages")?.clone()).ok();
    prompts.filter_map(|(name, prompt)| Some((name.clone(), messages(prompt)?))).collect()
}

/// What an answer line says.
fn completion(reply: Reply, recorded: Vec<TraceStep>) -> Result<Completion, String> {
    let answer: Answer = serde_path_to_error::deserialize(Value::Object(reply))
        .map_err(|error| format!("its answer has another shape than {EXAMPLE}: {}: {}", error.path(), error.inner()))?;
    if let Some(error) = answer.error {
        return Err(error);
    }
    let text = match answer.output {
        Value::Null => return Err(format!("its answer has no `output`; write a line such as {EXAMPLE}")),
        Value::String(text) => text,
        other => other.to_string(),
    };
    let (trace, elsewhere) = merged(answer.trace, recorded);
    Ok(Completion {
        // Calls through Ratchet have their own price; those that went past it have one that nobody told.
        cost: (elsewhere == Usage::default()).then_some(Money::ZERO),
        trace: Some(trace),
        ..Completion::live(text, FinishReason::Stop, elsewhere)
    })
}

impl Chat for Program {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.answer(call))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_another_shape_is_told_with_the_place() {
        let read = |answer: Value| completion(answer.as_object().unwrap().clone(), Vec::new());
        let error = |answer: Value| read(answer).unwrap_err();
        let told = error(json!({"output": "x", "trace": [{"name": "a", "latency_ms": -3}]}));
        assert!(told.ends_with("trace[0].latency_ms: -3 is no time: give milliseconds from 0"), "{told}");
        let told = error(json!({"output": "x", "trace": [{"name": "a"}, {"name": "b", "tokens": 7}]}));
        assert!(told.contains(": trace[1].tokens: invalid type"), "{told}");
        assert!(error(json!({"ouput": "x"})).contains("has no `output`"));
        assert_eq!(read(json!({"output": "x", "latency_ms": 5})).unwrap().text, "x");
    }
}
