//! `command`: any program, run once for the whole evaluation, that scores rows as JSON lines.
//!
//! It reads an object a line, `{"id", "output", "input", "expected", "metadata", "tags", "trace"}` (absent values are
//! null), until its input ends, and writes one for each, in any order: `{"id", "score", "reason"}` with a number from 0
//! to 1 or a bool, or `{"id", "error"}` where the row can't be scored. It must write each line out at once, and print
//! anything else to stderr.

use std::path::PathBuf;
use std::time::Duration;

use super::row::{EXAMPLE, Row};
use super::{DEFAULT_SCORER_TIMEOUT, Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};
use crate::worker::{Worker, WorkerSpec, located};

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
            not_found: "check `run`, and the script's first line where it is one",
            args: args.iter().map(Into::into).collect(),
            dir: Some(options.dir),
            hidden_env: options.hidden_env,
            shown_env: Vec::new(),
            env: Vec::new(),
            timeout: options.timeout,
            greets: false,
            example: EXAMPLE,
        };
        match Worker::start(spec).await {
            Ok((worker, _)) => Ok(CommandScorer { name, worker }),
            Err(error) => Err(ScorerSetupError::new(name, error)),
        }
    }
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
        _scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let row = Row::new(example, completion, |_| true);
            let grade = row.graded(&self.worker, &self.name).await?;
            Ok(Score { scorer: self.name.clone(), value: grade.value, reason: grade.reason, criterion: None })
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use futures_util::future::join_all;
    use serde_json::json;

    use super::super::samples::{row, says};
    use super::*;

    /// A program that is a line of shell.
    fn shell(script: &str) -> CommandOptions {
        CommandOptions::new(vec!["sh".into(), "-c".into(), script.into()], ".")
    }

    async fn start(options: CommandOptions) -> CommandScorer {
        CommandScorer::start("command", options).await.unwrap()
    }

    async fn score(scorer: &CommandScorer, answer: &str) -> Result<Score, ScoreError> {
        scorer.score(&row("yes"), &says(answer), Scoring::default()).await
    }

    /// Replies to each line with `$reply`, in which ID stands for the line's id.
    fn replying(reply: &str) -> CommandOptions {
        let script =
            r#"while read -r line; do id=${line#*:}; id=${id%%,*}; printf '%s\n' "$1" | sed "s/ID/$id/"; done"#;
        CommandOptions::new(vec!["sh".into(), "-c".into(), script.into(), "sh".into(), reply.into()], ".")
    }

    #[tokio::test]
    async fn a_program_reads_rows_and_writes_scores_as_json_lines() {
        let scorer = start(replying(r#"{"id": ID, "score": 0.5, "reason": "so so"}"#)).await;
        assert!(!scorer.needs_expected());
        for score in join_all(["a", "é", "c\nd"].map(|answer| score(&scorer, answer))).await {
            assert_eq!(
                score.unwrap(),
                Score { scorer: "command".into(), value: 0.5, reason: Some("so so".into()), criterion: None }
            );
        }
        assert_eq!(score(&start(replying(r#"{"id": ID, "score": true}"#)).await, "a").await.unwrap().value, 1.0);
    }

    #[tokio::test]
    async fn a_row_has_all_its_fields() {
        let dir = tempfile::tempdir().unwrap();
        let options = CommandOptions {
            dir: dir.path().into(),
            ..shell(r#"while read -r line; do printf '%s\n' "$line" > row.json; echo '{"id": 1, "score": 1}'; done"#)
        };
        score(&start(options).await, "a\n").await.unwrap();
        let row: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("row.json")).unwrap()).unwrap();
        assert_eq!(
            row,
            json!({"id": 1, "output": "a\n", "input": "what is it?", "expected": "yes", "metadata": {"level": 2},
                   "tags": ["edge"], "trace": null})
        );
    }

    #[tokio::test]
    async fn a_reply_that_is_no_score_is_an_error_of_the_row() {
        for (reply, told) in [
            (r#"{"id": ID, "error": "no rubric"}"#, "no rubric"),
            (r#"{"id": ID, "score": NaN}"#, "NaN"),
            (r#"{"id": ID, "score": "high"}"#, r#"gave "high" as its score"#),
            (r#"{"id": ID}"#, "gave null"),
            ("debugging", "wrote \"debugging\", which is no reply"),
            (r#"{"id": 99, "score": 1}"#, "replied to id 99, which was not asked"),
        ] {
            let error = score(&start(replying(reply)).await, "a").await.unwrap_err();
            assert!(error.message.contains(told) && !error.systemic, "{reply}: {error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_given_up_and_says_how_it_ended() {
        let scorer = start(shell("echo 'no such table' >&2; exit 9")).await;
        let mut errors = Vec::new();
        for _ in 0..8 {
            errors.push(score(&scorer, "a").await.unwrap_err());
        }
        let last = errors.last().unwrap();
        assert!(last.systemic, "{last}");
        assert!(last.message.contains("exit status: 9") && last.message.contains("no such table"), "{last}");
    }

    #[tokio::test]
    async fn a_program_that_never_replies_times_out() {
        let mut options = shell("while read -r line; do :; done");
        options.timeout = Duration::from_millis(100);
        let error = score(&start(options).await, "a").await.unwrap_err();
        assert!(error.message.contains("no reply within 0.1 s"), "{error}");
    }

    #[tokio::test]
    async fn any_timeout_above_zero_will_do() {
        let mut options = replying(r#"{"id": ID, "score": 1}"#);
        options.timeout = Duration::MAX;
        assert_eq!(score(&start(options.clone()).await, "a").await.unwrap().value, 1.0);
        options.timeout = Duration::ZERO;
        assert!(CommandScorer::start("command", options).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_can_not_be_started_is_told_at_the_start() {
        for run in [vec![], vec!["./no-such-program".to_owned()], vec!["no-such-program".to_owned()]] {
            let dir = tempfile::tempdir().unwrap();
            assert!(CommandScorer::start("command", CommandOptions::new(run, dir.path())).await.is_err());
        }
    }
}
