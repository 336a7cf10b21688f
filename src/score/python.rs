//! `python`: a function in a file of the user's, `def handler(output, expected)`, run by one `python3` process for the
//! whole evaluation. The driver around the function is `python_driver.py`.

use std::path::PathBuf;
use std::time::Duration;

use super::row::{EXAMPLE, Row};
use super::{DEFAULT_SCORER_TIMEOUT, Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};
use crate::worker::{Greeting, Worker, WorkerSpec};

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
    /// What the file imported, see [`PythonScorer::modules`].
    modules: Vec<PathBuf>,
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
            not_found: "install Python 3 so that it is on the PATH, or take the scorer out of the config",
            args: vec!["-c".into(), DRIVER.into(), options.path.into()],
            dir: None,
            hidden_env: options.hidden_env,
            shown_env: Vec::new(),
            env: Vec::new(),
            timeout: options.timeout,
            greets: true,
            example: EXAMPLE,
        };
        let (worker, greeting) = Worker::start(spec).await.map_err(failed)?;
        let Greeting { wants, needs_expected, modules, .. } = greeting;
        Ok(PythonScorer { name, wants, needs_expected, modules, worker })
    }

    /// The files that the scorer's file imported from its own folder when it was loaded, relative to that, sorted.
    pub fn modules(&self) -> &[PathBuf] {
        &self.modules
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
        _scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let row = Row::new(example, completion, |field| self.wants.iter().any(|wanted| wanted == field));
            let grade = row.graded(&self.worker, &self.name).await?;
            Ok(Score { scorer: self.name.clone(), value: grade.value, reason: grade.reason, criterion: None })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::sync::LazyLock;

    use futures_util::future::join_all;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::super::samples::{row, says};
    use super::*;
    use crate::model::TraceStep;

    /// Whether there is a python3. Without one a test says that it is skipped, past the test runner's capture; it fails
    /// where RATCHET_REQUIRE_PYTHON=1.
    fn has_python() -> bool {
        static FOUND: LazyLock<bool> = LazyLock::new(|| {
            let version = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        });
        let found = *FOUND;
        if !found {
            let required = std::env::var("RATCHET_REQUIRE_PYTHON").is_ok_and(|value| value == "1");
            assert!(!required, "there is no python3, and RATCHET_REQUIRE_PYTHON=1 asks for it");
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            writeln!(std::io::stderr(), "skipped, there is no python3: {test}").unwrap();
        }
        found
    }

    fn options(script: &str) -> (TempDir, PythonOptions) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scorer.py");
        std::fs::write(&path, script).unwrap();
        (dir, PythonOptions::new(path))
    }

    async fn start(script: &str) -> PythonScorer {
        let (_dir, options) = options(script);
        PythonScorer::start("python", options).await.unwrap()
    }

    async fn refusal(script: &str) -> String {
        let (_dir, options) = options(script);
        PythonScorer::start("python", options).await.unwrap_err().to_string()
    }

    async fn score(scorer: &PythonScorer, expected: impl Into<Value>, answer: &str) -> Result<Score, ScoreError> {
        scorer.score(&row(expected), &says(answer), Scoring::default()).await
    }

    #[tokio::test]
    async fn a_handler_returns_a_number_a_bool_or_a_value_with_its_reason() {
        if !has_python() {
            return;
        }
        let scorer = start(
            r#"
def handler(output, expected):
    return {"number": 0.25, "int": 1, "bool": output == expected, "tuple": (0.5, "half"),
            "dict": {"score": 0, "reason": "é \ud800"}, "none": (1, None)}[output]
"#,
        )
        .await;
        assert_eq!(scorer.name(), "python");
        for (answer, value, reason) in [
            ("number", 0.25, None),
            ("int", 1.0, None),
            ("bool", 1.0, None),
            ("tuple", 0.5, Some("half")),
            ("dict", 0.0, Some("é ?")),
            ("none", 1.0, None),
        ] {
            let score = score(&scorer, "bool", answer).await.unwrap();
            assert_eq!((score.value, score.reason.as_deref()), (value, reason), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_handler_gets_the_fields_that_its_signature_names() {
        if !has_python() {
            return;
        }
        let scorer = start(
            r#"
def handler(output, /, trace, *, input, metadata, tags, expected=None, own=1):
    got = [output, expected, input, metadata, tags, [step["name"] for step in trace or []], own]
    return 1, repr(got)
"#,
        )
        .await;
        assert!(!scorer.needs_expected(), "`expected` has a default");
        let step = TraceStep { name: "look".into(), ..TraceStep::default() };
        let answer = crate::model::Completion { trace: Some(vec![step]), ..says("ü\n") };
        let score = scorer.score(&row(json!({"a": None::<u8>})), &answer, Scoring::default()).await.unwrap();
        assert_eq!(score.reason.unwrap(), r"['ü\n', {'a': None}, 'what is it?', {'level': 2}, ['edge'], ['look'], 1]");
        let score = scorer.score(&row(Value::Null), &says(""), Scoring::default()).await.unwrap();
        assert_eq!(score.reason.unwrap(), "['', None, 'what is it?', {'level': 2}, ['edge'], [], 1]");
        assert!(start("def handler(output, expected): return 1").await.needs_expected());
        assert!(!start("def handler(output): return 1").await.needs_expected());
        let all = start("def handler(output, **row): return 1, ' '.join(sorted(row))").await;
        let score = all.score(&row(1), &says(""), Scoring::default()).await.unwrap();
        assert_eq!(score.reason.unwrap(), "expected input metadata tags trace");
    }

    #[tokio::test]
    async fn an_exception_is_an_error_of_that_row_with_its_type_message_and_line() {
        if !has_python() {
            return;
        }
        let scorer = start(
            "import json, sys\ndef handler(output, expected):\n    if output == 'exit': sys.exit(3)\n    return json.loads(output)['score']\n",
        )
        .await;
        let error = score(&scorer, "x", "{}").await.unwrap_err();
        assert!(error.message.starts_with("KeyError: 'score' ("), "{error}");
        assert!(error.message.ends_with("scorer.py, line 4)"), "{error}");
        assert!(!error.systemic);
        let error = score(&scorer, "x", "not json").await.unwrap_err();
        assert!(error.message.starts_with("JSONDecodeError: Expecting value"), "{error}");
        assert!(error.message.ends_with("scorer.py, line 4)"), "the user's line, not the library's: {error}");
        let error = score(&scorer, "x", "exit").await.unwrap_err();
        assert!(error.message.starts_with("SystemExit: 3"), "{error}");
        assert_eq!(score(&scorer, "x", r#"{"score": 1}"#).await.unwrap().value, 1.0, "other rows go on");
    }

    #[tokio::test]
    async fn what_is_no_finite_number_is_an_error_and_no_zero() {
        if !has_python() {
            return;
        }
        let scorer = start("def handler(output, expected): return eval(output)").await;
        for wrong in ["float('nan')", "float('inf')", "None", "'0.5'", "[1]", "(1, 2, 3)", "{}", "1j", "10**400"] {
            let error = score(&scorer, "x", wrong).await.unwrap_err();
            assert!(error.message.contains("must return a number from 0 to 1"), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn a_value_out_of_range_is_an_error_that_names_the_scorer() {
        if !has_python() {
            return;
        }
        let scorer = start("def handler(output, expected): return 1.5").await;
        let set = super::super::ScorerSet::new(vec![(std::sync::Arc::new(scorer), 1.0)]).unwrap();
        let error = set.score(&row("x"), &says("y"), Scoring::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "scorer python: gave 1.5; a score must be a number from 0 to 1");
    }

    #[tokio::test]
    async fn printing_and_reading_do_not_disturb_the_protocol() {
        if !has_python() {
            return;
        }
        let scorer = start(
            r#"
import os, subprocess, sys
print('{"failed": "at import"}')
def handler(output, expected):
    print('{"id": 1, "score": 0}' * 10_000)
    sys.__stdout__.write("raw\n"); sys.__stdout__.flush()
    os.write(1, b"raw\n")
    subprocess.run(["echo", "from a child"])
    assert sys.stdin.read() == ""
    return 1
"#,
        )
        .await;
        for _ in 0..3 {
            assert_eq!(score(&scorer, "x", "y").await.unwrap().value, 1.0);
        }
    }

    #[tokio::test]
    async fn many_rows_in_flight_get_their_own_scores() {
        if !has_python() {
            return;
        }
        let scorer = start("def handler(output, expected): return int(output) / 1000, output").await;
        let answers: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let scores = join_all(answers.iter().map(|answer| score(&scorer, 0, answer))).await;
        for (answer, score) in answers.iter().zip(scores) {
            assert_eq!(score.unwrap().reason.as_deref(), Some(answer.as_str()));
        }
    }

    /// Answers of which one breaks the process; all but that one are scored.
    async fn scores_all_but(bad: &str, script: &str, timeout: Duration) -> ScoreError {
        let (_dir, mut options) = options(script);
        options.timeout = timeout;
        let scorer = PythonScorer::start("python", options).await.unwrap();
        let answers = ["a", "b", bad, "c", "d"];
        let mut error = None;
        for (answer, result) in answers.iter().zip(join_all(answers.map(|answer| score(&scorer, 0, answer))).await) {
            match result {
                Ok(score) => assert_eq!(score.reason.as_deref(), Some(*answer)),
                Err(failed) => assert!(answer == &bad && error.replace(failed).is_none(), "{answer}"),
            }
        }
        error.unwrap()
    }

    #[tokio::test]
    async fn an_endless_loop_costs_its_own_row_only() {
        if !has_python() {
            return;
        }
        let script = "def handler(output, expected):\n    while output == 'loop': pass\n    return 1, output";
        let error = scores_all_but("loop", script, Duration::from_millis(400)).await;
        assert!(error.message.starts_with("no reply within 0.4 s"), "{error}");
        assert!(!error.systemic);
    }

    #[tokio::test]
    async fn a_process_that_dies_costs_the_row_that_it_died_on_only() {
        if !has_python() {
            return;
        }
        let script = r#"
import os, sys
def handler(output, expected):
    if output == "die":
        print("so long", file=sys.stderr, flush=True)
        os._exit(7)
    return 1, output
"#;
        let error = scores_all_but("die", script, Duration::from_secs(60)).await;
        assert!(error.message.contains("its process ended (exit status: 7), having written \"so long\""), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_always_dies_is_given_up() {
        if !has_python() {
            return;
        }
        // The folder stays: each new process reads the file again.
        let (_dir, options) = options("import os\ndef handler(output, expected): os._exit(1)");
        let scorer = PythonScorer::start("python", options).await.unwrap();
        let results = join_all((0..8).map(|_| score(&scorer, 0, "x"))).await;
        let systemic: Vec<bool> = results.into_iter().map(|result| result.unwrap_err().systemic).collect();
        assert_eq!(systemic, [false, false, false, false, false, true, true, true]);
        let error = score(&scorer, 0, "later").await.unwrap_err();
        assert!(error.systemic && error.message.contains("5 times in a row"), "{error}");
    }

    #[test]
    fn a_process_ends_with_who_asked_also_in_the_middle_of_a_row() {
        if !has_python() {
            return;
        }
        let (_dir, options) = options("import time\ndef handler(output):\n    time.sleep(1000)");
        let mut command = Command::new("python3");
        command.args(["-c", DRIVER]).arg(&options.path).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(b"{\"id\": 1, \"output\": \"\"}\n").unwrap();
        assert!(process.wait().unwrap().success());
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_file_is_told_at_the_start() {
        if !has_python() {
            return;
        }
        for (script, told) in [
            ("def handler(output, expected)\n    return 1", &["SyntaxError: ", "scorer.py, line 1)"][..]),
            ("x = 1\nimport no_such_module", &["ModuleNotFoundError: No module named", "scorer.py, line 2)"]),
            ("import sys; sys.exit(4)", &["SystemExit: 4"]),
            ("import os; os._exit(4)", &["its process ended (exit status: 4)"]),
            ("def score(output, expected): return 1", &["has no function `handler`"]),
            ("async def handler(output, expected): return 1", &["is async"]),
            ("def handler(output, gold): return 1", &["takes `gold`; it can take output, expected, input"]),
        ] {
            let error = refusal(script).await;
            assert!(error.starts_with("scorer python: "), "{error}");
            for part in told {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_missing_file_or_interpreter_is_told_at_the_start() {
        let error = PythonScorer::start("python", PythonOptions::new("no/such.py")).await.unwrap_err();
        assert_eq!(error.to_string(), "scorer python: there is no file no/such.py");
        let (_dir, mut options) = options("");
        options.interpreter = "no-such-python".into();
        let error = PythonScorer::start("python", options).await.unwrap_err();
        assert!(
            error.message.starts_with("can't start no-such-python: there is no such program; install Python 3"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_handler_may_import_from_its_own_folder_but_sees_no_hidden_variable() {
        if !has_python() {
            return;
        }
        let script = "import os, rules\ndef handler(output): return rules.CASE, str(os.environ.get(output))";
        let (dir, mut options) = options(script);
        std::fs::write(dir.path().join("rules.py"), "CASE = 0.5").unwrap();
        options.hidden_env = vec!["CARGO_MANIFEST_DIR".into()];
        let scorer = PythonScorer::start("python", options).await.unwrap();
        assert_eq!(scorer.modules(), [PathBuf::from("rules.py")]);
        let hidden = score(&scorer, 0, "CARGO_MANIFEST_DIR").await.unwrap();
        assert_eq!((hidden.value, hidden.reason.as_deref()), (0.5, Some("None")));
        let seen = score(&scorer, 0, "PATH").await.unwrap();
        assert_ne!(seen.reason.as_deref(), Some("None"), "other variables are there");
    }
}
