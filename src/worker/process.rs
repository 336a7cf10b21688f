//! One life of a worker's process: started with its pipes, written to by a task of its own, its last words kept.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Split};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{Greeting, Leader, WorkerSpec};
use crate::text::quote;

/// How long a process may take to greet: it may import large libraries.
const GREETING_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a process that closed its output may take to end.
const ENDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of what the process wrote to stderr is kept for an error, in bytes.
const LAST_WORDS: usize = 1000;

/// One life of the process. Dropping it kills the process.
pub(super) struct Process {
    pub(super) leader: Leader,
    /// Whether it is known to have ended.
    pub(super) has_ended: bool,
    /// Its lines, as bytes: one that isn't UTF-8 is a row's fault and not the end of the process.
    pub(super) replies: Split<BufReader<ChildStdout>>,
    /// Lines for the task that writes them.
    to_write: mpsc::UnboundedSender<Arc<str>>,
    /// The end of what it wrote to stderr.
    last_words: Arc<Mutex<Vec<u8>>>,
    stderr_reader: AbortOnDropHandle<()>,
    _writer: AbortOnDropHandle<()>,
}

impl Process {
    /// Starts it and, where it greets, waits for that.
    pub(super) async fn start(spec: &WorkerSpec) -> Result<(Process, Greeting), String> {
        let program = spec.program.display();
        let mut leader = Leader::start(&mut command(spec)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("can't start {program}: there is no such program; {}", spec.not_found)
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("can't start {program}: it may not be run; make it executable: chmod +x {program}")
            }
            _ => format!("can't start {program}: {error}"),
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = leader.pipes() else {
            return Err(format!("can't start {program}: its pipes are missing"));
        };
        let (to_write, lines) = mpsc::unbounded_channel();
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let mut process = Process {
            leader,
            has_ended: false,
            replies: BufReader::new(stdout).split(b'\n'),
            to_write,
            stderr_reader: AbortOnDropHandle::new(tokio::spawn(keep_last_words(stderr, Arc::clone(&last_words)))),
            last_words,
            _writer: AbortOnDropHandle::new(tokio::spawn(write_lines(stdin, lines))),
        };
        let greeting = if spec.greets { process.greeting().await? } else { Greeting::default() };
        Ok((process, greeting))
    }

    async fn greeting(&mut self) -> Result<Greeting, String> {
        let line = match timeout(GREETING_TIMEOUT, self.replies.next_segment()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(self.obituary().await),
            Ok(Err(error)) => return Err(format!("its output can't be read: {error}")),
            Err(_) => return Err(format!("was not ready within {} s", GREETING_TIMEOUT.as_secs())),
        };
        let greeting: Greeting = serde_json::from_slice(&line)
            .map_err(|error| format!("greeted with {}: {error}", quote(&String::from_utf8_lossy(&line))))?;
        match greeting.failed {
            Some(failed) => Err(failed),
            None => Ok(greeting),
        }
    }

    /// Hands a line over for writing. A process that no longer reads is found out by its end or by the timeout.
    pub(super) fn send(&self, line: &Arc<str>) {
        let _ = self.to_write.send(Arc::clone(line));
    }

    /// How the process ended, after it closed its output.
    pub(super) async fn obituary(&mut self) -> String {
        let end = match timeout(ENDING_TIMEOUT, self.leader.wait()).await {
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
    command.args(&spec.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(dir) = &spec.dir {
        command.current_dir(dir);
    }
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        let is_secret = looks_secret(&name) || spec.hidden_env.iter().any(|hidden| *hidden == name);
        if is_secret && !spec.shown_env.iter().any(|shown| *shown == name) {
            command.env_remove(&variable);
        }
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value.expose_secret())));
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
}
