//! `python`: a function in a file of the user's, `def handler(output, expected)`, run by one `python3` process for the
//! whole evaluation. The driver around the function is `python_driver.py`.

use std::path::PathBuf;
use std::time::Duration;

use super::worker::{Row, Worker, WorkerSpec};
use super::{DEFAULT_SCORER_TIMEOUT, Score, ScoreError, Scorer, ScorerSetupError};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

const DRIVER: &str = include_str!("python_driver.py");

/// Which function, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonOptions {
    /// The file that defines `handler`.
    pub path: PathBuf,
    /// The interpreter: a name on the PATH or a file. Default: `python3`.
    pub interpreter: PathBuf,
    /// Longest time for one row. Default: [`DEFAULT_SCORER_TIMEOUT`].
    pub timeout: Duration,
    /// Environment variables that hold secrets. Those that end in `_KEY`, `_TOKEN`, `SECRET` or `PASSWORD` are kept
    /// from the process anyway.
    pub hidden_env: Vec<String>,
}

impl PythonOptions {
    /// The function in `path`, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> PythonOptions {
        PythonOptions {
            path: path.into(),
            interpreter: "python3".into(),
            timeout: DEFAULT_SCORER_TIMEOUT,
            hidden_env: Vec::new(),
        }
    }
}

/// Scores with a Python function.
///
/// `handler` takes `output` and any of `expected`, `input`, `metadata`, `tags`, `trace` that its signature names, and
/// returns a number from 0 to 1 or a bool, `(value, reason)`, or `{"score": value, "reason": text}`. An exception is an
/// error of that row. What it prints goes nowhere. Rows without `expected` are refused by the dataset's check unless
/// the parameter has a default (`expected=None`).
#[derive(Debug)]
pub struct PythonScorer {
    name: String,
    /// The fields of a row that the signature names.
    wants: Vec<String>,
    needs_expected: bool,
    worker: Worker,
}

impl PythonScorer {
    /// Starts the process and loads the file. Must be called within a tokio runtime, which then runs the process.
    ///
    /// # Errors
    /// No interpreter, no file, a file that can't be loaded (with its line), no `handler`, or one that wants something
    /// that a row doesn't have.
    pub async fn start(name: impl Into<String>, options: PythonOptions) -> Result<PythonScorer, ScorerSetupError> {
        let name = name.into();
        let failed = |message: String| ScorerSetupError::new(&name, message);
        if !options.path.is_file() {
            return Err(failed(format!("there is no file {}", options.path.display())));
        }
        let spec = WorkerSpec {
            program: options.interpreter,
            args: vec!["-c".into(), DRIVER.into(), options.path.into()],
            dir: None,
            hidden_env: options.hidden_env,
            timeout: options.timeout,
            greets: true,
        };
        let (worker, greeting) = Worker::start(spec).await.map_err(failed)?;
        Ok(PythonScorer { name, wants: greeting.wants, needs_expected: greeting.needs_expected, worker })
    }
}

impl Scorer for PythonScorer {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.needs_expected
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let row = Row::new(example, completion, |field| self.wants.iter().any(|wanted| wanted == field));
            let grade = self.worker.ask(&row).await.map_err(|failure| failure.of(&self.name))?;
            Ok(Score { scorer: self.name.clone(), value: grade.value, reason: grade.reason })
        })
    }
}
