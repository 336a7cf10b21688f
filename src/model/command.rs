//! A program as a provider: started for each call, it reads the call as one line of JSON on stdin and prints the answer.
//!
//! The answer is `{"text": ".."}`, with `reasoning`, `finish`, `usage`, `cost_usd` and `logprob` where the program knows them; or else
//! all that it printed, as it is. `{"error": ".."}`, or an exit code other than 0, is no answer: not for this call (it is
//! not asked again), but with exit code 75 ([`TRY_AGAIN`]) it is.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::{BoxFuture, Call, CallError, Chat, ChatRequest, Completion, FinishReason, ProviderId, Usage};
use crate::digest::Digest;
use crate::money::Money;
use crate::worker::Leader;

/// The exit code of a program that may succeed when it is asked again: `EX_TEMPFAIL` of sysexits.h.
pub const TRY_AGAIN: i32 = 75;

/// Largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 32 << 20;

/// How much of what a program wrote to stderr an error repeats, in bytes from its end.
const STDERR_SHOWN: usize = 400;

/// A program that answers calls.
#[derive(Debug, Clone)]
pub struct Program {
    run: Vec<String>,
    folder: PathBuf,
    timeout: Duration,
}

impl Program {
    /// `run` (a program and its arguments) in `folder`, each call of it for at most `timeout`. A program with a slash in
    /// its name is a file of the folder.
    ///
    /// # Errors
    /// What is wrong: no program, or one that isn't there.
    pub fn new(run: Vec<String>, folder: &Path, timeout: Duration) -> Result<Self, String> {
        // A relative name would be looked for from the folder that the program is started in.
        let folder = std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let Some(program) = run.first().filter(|program| !program.is_empty()) else {
            return Err("names no program; write it like [\"python3\", \"model.py\"]".to_owned());
        };
        let is_there = if program.contains('/') {
            folder.join(program).is_file()
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|place| place.join(program).is_file())
        };
        match is_there {
            true => Ok(Self { run, folder, timeout }),
            false if program.contains('/') => Err(format!(
                "there is no file {}; a path is relative to the config's folder",
                folder.join(program).display()
            )),
            false => {
                Err(format!("there is no program {program:?} on the PATH; write ./{program} for one of this folder"))
            }
        }
    }

    /// Which provider this is, for keys: its arguments, and the contents of those that are files of the folder. A program
    /// that was changed is another one.
    pub fn id(&self) -> ProviderId {
        let contents = |part: &String| {
            let file = self.folder.join(part);
            if file.is_file() { std::fs::read(file).unwrap_or_default() } else { Vec::new() }
        };
        let parts: Vec<Vec<u8>> =
            self.run.iter().flat_map(|part| [part.clone().into_bytes(), contents(part)]).collect();
        let digest = Digest::of_parts(parts.iter().map(Vec::as_slice));
        ProviderId { kind: "command".into(), base_url: digest.to_string() }
    }

    async fn answer(&self, call: &Call) -> Result<Completion, CallError> {
        let line = request(call)?;
        let mut program = self.start()?;
        let ended = timeout(self.timeout, converse(&mut program, line)).await;
        let Ok(ended) = ended else {
            // Dropping it kills it.
            let seconds = self.timeout.as_secs_f64();
            return Err(CallError::Unanswered(format!("{}: no answer within {seconds} s", self.name())));
        };
        let (status, out, err) = ended.map_err(|error| CallError::Unanswered(format!("{}: {error}", self.name())))?;
        self.completion(status, out, &err)
    }

    fn start(&self) -> Result<Leader, CallError> {
        let name = self.name();
        let program = if name.contains('/') { self.folder.join(name) } else { PathBuf::from(name) };
        let mut command = Command::new(program);
        command.args(&self.run[1..]).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Leader::start(&mut command).map_err(|error| CallError::Denied(format!("{name}: can't be started: {error}")))
    }

    fn completion(&self, status: ExitStatus, out: Vec<u8>, err: &[u8]) -> Result<Completion, CallError> {
        let failed = |what: &str| {
            let start = err.len().saturating_sub(STDERR_SHOWN);
            let said = String::from_utf8_lossy(&err[start..]);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let colon = if said.is_empty() { "" } else { ": " };
            format!("{}: {what}{colon}{said}", self.name())
        };
        match status.code() {
            Some(0) => {}
            Some(TRY_AGAIN) => return Err(CallError::Transient(failed("exit code 75"))),
            Some(code) => return Err(CallError::Failed(failed(&format!("exit code {code}")))),
            None => return Err(CallError::Crashed(failed(&status.to_string()))),
        }
        if out.len() > LARGEST_ANSWER {
            return Err(CallError::Failed(failed(&format!("an answer of more than {} MiB", LARGEST_ANSWER >> 20))));
        }
        let text = String::from_utf8(out).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            CallError::Failed(failed(&format!("its answer isn't UTF-8 (byte {at})")))
        })?;
        match serde_json::from_str(&text) {
            Ok(Reply::Error { error }) => Err(CallError::Failed(failed(&error))),
            Ok(Reply::Answer(answer)) => answer.completion().map_err(|problem| CallError::Failed(failed(&problem))),
            Err(_) => {
                let text = text.trim_end_matches(['\n', '\r']).to_owned();
                Ok(Completion::live(text, FinishReason::Stop, Usage::default()))
            }
        }
    }

    fn name(&self) -> &str {
        self.run.first().map_or("", String::as_str)
    }
}

impl Chat for Program {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.answer(call))
    }
}

/// Writes `line`, and reads both outputs to their ends. A program need not read what it is given.
async fn converse(program: &mut Leader, line: Vec<u8>) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, out, err) = program.pipes();
    let write = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&line).await;
        }
    };
    let (status, (), out, err) = tokio::join!(program.wait(), write, read(out), read(err));
    Ok((status?, out?, err?))
}

/// All of an output; what is beyond the largest answer is read and dropped, but for a byte that shows it.
async fn read(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 16 << 10]);
    let Some(mut output) = output else { return Ok(bytes) };
    loop {
        let count = output.read(&mut chunk).await?;
        if count == 0 {
            return Ok(bytes);
        }
        let room = (LARGEST_ANSWER + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..count.min(room)]);
    }
}

/// A call as the program reads it.
#[derive(Serialize)]
struct Request<'a> {
    role: &'static str,
    #[serde(flatten)]
    request: &'a ChatRequest,
    draw: &'a str,
}

fn request(call: &Call) -> Result<Vec<u8>, CallError> {
    let seeded = call.seeded();
    let request = Request { role: call.role.name(), request: &seeded, draw: &call.draw };
    let mut line = serde_json::to_vec(&request).map_err(|error| CallError::Local(format!("request: {error}")))?;
    line.push(b'\n');
    Ok(line)
}

/// What a program may print; anything else is an answer as it is, other JSON too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reply {
    Answer(Answer),
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    text: String,
    reasoning: Option<String>,
    finish: Option<FinishReason>,
    #[serde(default)]
    usage: Value,
    cost_usd: Option<f64>,
    logprob: Option<f64>,
}

/// Tokens as a program counts them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Counted {
    input: u64,
    output: u64,
    cached: u64,
    reasoning: u64,
}

impl Answer {
    fn completion(self) -> Result<Completion, String> {
        let counted: Option<Counted> =
            serde_json::from_value(self.usage).map_err(|error| format!("its `usage` can't be read: {error}"))?;
        let Counted { input, output, cached, reasoning } = counted.unwrap_or_default();
        let cost = match self.cost_usd {
            Some(dollars) if !dollars.is_finite() || dollars < 0.0 => {
                return Err(format!("its `cost_usd` is {dollars}, but must be a number of at least 0"));
            }
            cost => cost.map(Money::from_dollars),
        };
        if let Some(logprob) = self.logprob.filter(|logprob| !(logprob.is_finite() && *logprob <= 0.0)) {
            return Err(format!("its `logprob` is {logprob}, but must be a number of at most 0"));
        }
        let usage = Usage { input, output, cached, reasoning, cache_write: 0 };
        let finish = self.finish.unwrap_or(FinishReason::Stop);
        let (answer, logprob) = (Completion::live(self.text, finish, usage), self.logprob);
        Ok(Completion { cost, logprob, ..answer.thinking(self.reasoning) })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::model::testing::call;

    fn shell(script: &str) -> Program {
        let run = ["sh", "-c", script].map(str::to_owned).to_vec();
        Program::new(run, Path::new("."), Duration::from_secs(60)).unwrap()
    }

    async fn said(script: &str) -> Result<Completion, CallError> {
        shell(script).complete(&call("0")).await
    }

    #[tokio::test]
    async fn a_program_reads_the_call_as_a_line_and_prints_text_or_an_answer() {
        let echoed = said("cat").await.unwrap().text;
        let read: Value = serde_json::from_str(&echoed).unwrap();
        assert_eq!((&read["role"], &read["model"], &read["draw"]), (&"task".into(), &"tiny".into(), &"0".into()));
        assert_eq!(read["messages"][0]["content"], "Ticket: my card was charged twice");
        assert_eq!(said("printf 'two\\nlines\\n'").await.unwrap().text, "two\nlines");
        assert_eq!(said("echo '{\"label\": \"billing\"}'").await.unwrap().text, "{\"label\": \"billing\"}");
        let full = r#"echo '{"text": "billing", "reasoning": "a card", "finish": "length", "cost_usd": 0.5, "logprob": -0.25,
            "usage": {"input": 9, "output": 2}}'"#;
        let full = said(full).await.unwrap();
        assert_eq!(
            (full.text.as_str(), full.reasoning.as_deref(), full.finish),
            ("billing", Some("a card"), FinishReason::Length)
        );
        assert_eq!((full.usage.input, full.cost, full.logprob), (9, Some(Money::from_dollars(0.5)), Some(-0.25)));
    }

    #[tokio::test]
    async fn a_failure_says_how_the_program_ended_and_what_it_wrote() {
        for (script, kind, told) in [
            ("echo 'no such table' >&2; exit 9", "failed", "sh: exit code 9: no such table"),
            ("exit 75", "transient", "exit code 75"),
            ("kill -9 $$", "crashed", "signal"),
            ("printf '\\377'", "failed", "isn't UTF-8 (byte 0)"),
            ("echo '{\"error\": \"too long\"}'", "failed", "too long"),
            ("echo '{\"text\": \"a\", \"logprob\": 0.5}'", "failed", "`logprob` is 0.5"),
            ("echo '{\"text\": \"a\", \"usage\": {\"input\": -1}}'", "failed", "`usage`"),
        ] {
            let error = said(script).await.unwrap_err();
            let is_kind = match &error {
                CallError::Failed(_) => kind == "failed",
                CallError::Transient(_) => kind == "transient",
                CallError::Crashed(_) => kind == "crashed",
                _ => false,
            };
            assert!(is_kind && error.to_string().contains(told), "{script}: {error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_given_up() {
        let program = Program { timeout: Duration::from_millis(50), ..shell("exec sleep 60") };
        let error = program.complete(&call("0")).await.unwrap_err();
        assert!(matches!(&error, CallError::Unanswered(message) if message.contains("within 0.05 s")), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_told_and_one_that_was_changed_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let new = |run: &[&str]| {
            Program::new(run.iter().map(|part| (*part).to_owned()).collect(), folder.path(), Duration::from_secs(1))
        };
        for run in [&[][..], &["./model.sh"], &["no-such-program-here"]] {
            assert!(new(run).is_err(), "{run:?}");
        }
        std::fs::write(folder.path().join("model.sh"), "echo a").unwrap();
        let before = new(&["sh", "model.sh"]).unwrap().id();
        assert_eq!(new(&["sh", "model.sh"]).unwrap().id(), before);
        std::fs::write(folder.path().join("model.sh"), "echo b").unwrap();
        assert_ne!(new(&["sh", "model.sh"]).unwrap().id(), before);
    }
}
