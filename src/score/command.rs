//! `command`: any program, run once for the whole evaluation, that scores rows as JSON lines.
//!
//! It reads an object a line, `{"id", "output", "input", "expected", "metadata", "tags", "trace"}` (absent values are
//! null), until its input ends, and writes one for each, in any order: `{"id", "score", "reason"}` with a number from 0
//! to 1 or a bool, or `{"id", "error"}` where the row can't be scored. It must write each line out at once, and print
//! anything else to stderr.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::worker::{Row, Worker, WorkerSpec};
use super::{DEFAULT_SCORER_TIMEOUT, Score, ScoreError, Scorer, ScorerSetupError};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// Which program, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOptions {
    /// The program and its arguments, not read by a shell. A program with a slash in its name is a file, relative to
    /// `dir`; any other is looked for on the PATH.
    pub run: Vec<String>,
    /// Its working directory.
    pub dir: PathBuf,
    /// Longest time for one row. Default: [`DEFAULT_SCORER_TIMEOUT`].
    pub timeout: Duration,
    /// Environment variables that hold secrets. Those that end in `_KEY`, `_TOKEN`, `SECRET` or `PASSWORD` are kept
    /// from the process anyway.
    pub hidden_env: Vec<String>,
}

impl CommandOptions {
    /// The program `run` in the directory `dir`, with the defaults.
    pub fn new(run: Vec<String>, dir: impl Into<PathBuf>) -> CommandOptions {
        CommandOptions { run, dir: dir.into(), timeout: DEFAULT_SCORER_TIMEOUT, hidden_env: Vec::new() }
    }
}

/// Scores with a program; the module says how it is spoken to.
#[derive(Debug)]
pub struct CommandScorer {
    name: String,
    worker: Worker,
}

impl CommandScorer {
    /// Starts the program. Must be called within a tokio runtime, which then runs it.
    ///
    /// # Errors
    /// An empty `run`, or a program that can't be started. One that ends at once shows only when a row is scored.
    pub async fn start(name: impl Into<String>, options: CommandOptions) -> Result<CommandScorer, ScorerSetupError> {
        let name = name.into();
        let Some((program, args)) = options.run.split_first() else {
            return Err(ScorerSetupError::new(name, "`run` is empty; give the program, as in run = [\"./score.sh\"]"));
        };
        let spec = WorkerSpec {
            program: located(program, &options.dir),
            args: args.iter().map(Into::into).collect(),
            dir: Some(options.dir),
            hidden_env: options.hidden_env,
            timeout: options.timeout,
            greets: false,
        };
        match Worker::start(spec).await {
            Ok((worker, _)) => Ok(CommandScorer { name, worker }),
            Err(error) => Err(ScorerSetupError::new(name, error)),
        }
    }
}

/// Where the program is. A relative file is made absolute, since whether the system looks for it before or after it
/// has changed the directory is not the same everywhere.
fn located(program: &str, dir: &Path) -> PathBuf {
    if !program.contains('/') {
        return program.into();
    }
    let path = dir.join(program);
    std::path::absolute(&path).unwrap_or(path)
}

impl Scorer for CommandScorer {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let row = Row::new(example, completion, |_| true);
            let grade = self.worker.ask(&row).await.map_err(|failure| failure.of(&self.name))?;
            Ok(Score { scorer: self.name.clone(), value: grade.value, reason: grade.reason })
        })
    }
}
