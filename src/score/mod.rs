//! Scorers: (example, completion) -> value in [0, 1] with an optional reason. One file a scorer.
//!
//! What the model did wrong is a low score. What the scorer did wrong (threw, returned NaN, left [0, 1]) is a
//! [`ScoreError`]: the row is then missing, never a zero. What is wrong with a scorer itself (a pattern that doesn't
//! compile, a script that isn't there) is a [`ScorerSetupError`], before any row is scored.
//!
//! Most scorers are pure functions of the two texts. A [`Judge`] asks a model, and [`EmbeddingSimilarity`] one for
//! embeddings. [`PythonScorer`] and [`CommandScorer`] ask
//! a long-lived process ([`crate::worker`]). [`ScorerSet`] combines scorers, and is where the rules that hold for all of
//! them live.

mod answer;
mod asserted;
mod assignment;
mod bleu;
mod bounds;
mod chrf;
mod command;
mod contains;
mod cost;
mod embedding_similarity;
mod exact_match;
mod group;
mod items;
mod json;
mod json_diff;
mod json_fields;
mod json_path;
mod json_schema;
mod json_valid;
mod judge;
mod latency;
mod length;
mod levenshtein;
mod list_contains;
mod list_match;
mod numeric;
mod numeric_diff;
mod python;
mod regex_match;
mod rouge_l;
mod row;
mod set;
mod set_match;
mod starts_with;
mod token_f1;
pub mod trace;
mod word_count;
mod wrapped;

#[cfg(test)]
mod samples;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use asserted::{Asserted, Assertion};
pub use bleu::Bleu;
pub use bounds::Bounds;
pub use chrf::Chrf;
pub use command::{CommandOptions, CommandScorer};
pub use contains::{Contains, ContainsOptions};
pub use cost::Cost;
pub use embedding_similarity::{EmbeddingOptions, EmbeddingSimilarity};
pub use exact_match::{ExactMatch, ExactMatchOptions};
pub use group::{Group, Rule};
pub use items::ItemOptions;
pub use json_diff::JsonDiff;
pub use json_fields::{JsonFields, JsonFieldsOptions};
pub use json_path::{JsonPath, JsonPathOptions};
pub use json_schema::JsonSchema;
pub use json_valid::{JsonValid, JsonValidOptions};
pub use judge::{Ballot, Choice, Combine, Criterion, Judge, JudgeModel, JudgeOptions, Question};
pub use latency::Latency;
pub use length::Length;
pub use levenshtein::Levenshtein;
pub use list_contains::ListContains;
pub use list_match::ListMatch;
pub use numeric::{Numeric, NumericOptions};
pub use numeric_diff::NumericDiff;
pub use python::{PythonOptions, PythonScorer};
pub use regex_match::{RegexMatch, RegexOptions};
pub use rouge_l::RougeL;
pub use set::{ScorerSet, ScoringCalls};
pub use set_match::SetMatch;
pub use starts_with::StartsWith;
pub use token_f1::TokenF1;
pub use word_count::WordCount;
pub use wrapped::Wrapped;

use crate::dataset::Example;
use crate::model::{BoxFuture, CallError, Chat, Completion};

/// How long a python or command scorer may work on one row, where the config says nothing.
pub const DEFAULT_SCORER_TIMEOUT: Duration = Duration::from_secs(30);

/// One scorer's opinion of one completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The scorer's name.
    pub scorer: String,
    /// In [0, 1].
    pub value: f64,
    /// Why, where the scorer can say. Where it names a criterion, the first line is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which of a judge's criteria cost the most, where one did; in a group, after the name of the judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<String>,
}

/// What scoring one answer may draw on.
#[derive(Clone, Copy, Default)]
pub struct Scoring<'a> {
    /// Which draw of the row the answer is, 0 first: a judge draws as often as the target does.
    pub sample: u32,
    /// The model that judges ask; only those need it.
    pub judge: Option<&'a dyn Chat>,
    /// The model that embeds texts, where a scorer compares them by it.
    pub embedder: Option<&'a dyn Chat>,
}

/// A scorer could not score a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("scorer {scorer}: {message}")]
pub struct ScoreError {
    /// The scorer's name.
    pub scorer: String,
    /// What happened and what to do. Doesn't repeat the row: who holds the error knows it.
    pub message: String,
    /// Whether no later row can be scored either, so that the work should stop at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub systemic: bool,
    /// The judge's call that failed, where that is the cause: an outage or a limit is the same for every model. No
    /// longer than until the outcome: see [`OutcomeError`](crate::eval::OutcomeError).
    #[serde(skip)]
    pub call: Option<Box<CallError>>,
    /// The text that could not be scored, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl ScoreError {
    /// An error of this row only.
    pub fn of_row(scorer: impl Into<String>, message: impl Into<String>) -> ScoreError {
        ScoreError { scorer: scorer.into(), message: message.into(), systemic: false, call: None, answer: None }
    }

    /// An error that every later row would meet as well.
    pub fn of_scorer(scorer: impl Into<String>, message: impl Into<String>) -> ScoreError {
        ScoreError { scorer: scorer.into(), message: message.into(), systemic: true, call: None, answer: None }
    }
}

/// A scorer can't be built or started: its options, its pattern or its script are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scorer {scorer}: {message}")]
pub struct ScorerSetupError {
    /// The scorer's name.
    pub scorer: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl ScorerSetupError {
    fn new(scorer: impl Into<String>, message: impl Into<String>) -> ScorerSetupError {
        ScorerSetupError { scorer: scorer.into(), message: message.into() }
    }
}

/// Scores one completion.
pub trait Scorer: Send + Sync {
    /// The name it has in reports: the one given in the config, else its type.
    fn name(&self) -> &str;

    /// Whether it can't work on a row without `expected`.
    fn needs_expected(&self) -> bool;

    /// Whether it can score `example` at all, whatever the answer is; asked of every row before any call.
    ///
    /// # Errors
    /// What was found in the row, and what is needed.
    fn check(&self, _example: &Example) -> Result<(), String> {
        Ok(())
    }

    /// The judges in it: those ask a model, and may ask it the same twice and hear something else.
    fn judges(&self) -> Vec<&Judge> {
        Vec::new()
    }

    /// How many texts of each answer it has embedded; what a row expects is embedded once, and not counted.
    fn embeds(&self) -> u64 {
        0
    }

    /// Scores `completion` as an answer to `example`.
    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>>;

    /// Scores it where the opposite is wanted: 1 less the value, and why it isn't more.
    fn opposite<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let Score { scorer, value, .. } = set::checked(self.score(example, completion, scoring).await?)?;
            // What the scorer complains of is what was asked for.
            let reason = (value > 0.0).then(|| format!("was not to be so, and is: {value:.2}"));
            Ok(Score { scorer, value: 1.0 - value, reason, criterion: None })
        })
    }
}

/// What a pure scorer makes of an answer; it becomes a [`Score`] when the scorer's name is added.
#[derive(Debug, Clone, PartialEq)]
struct Grade {
    value: f64,
    reason: Option<String>,
}

impl Grade {
    /// Nothing to complain about.
    fn pass() -> Grade {
        Grade { value: 1.0, reason: None }
    }

    /// Wrong, and why.
    fn fail(reason: impl Into<String>) -> Grade {
        Grade { value: 0.0, reason: Some(reason.into()) }
    }

    /// A value, and the reason where it is below 1.
    fn graded(value: f64, reason: impl FnOnce() -> String) -> Grade {
        Grade { value, reason: (value < 1.0).then(reason) }
    }
}

/// A scorer that has nothing to wait for: a pure function of row and answer.
trait Grader: Send + Sync {
    /// As [`Scorer::name`].
    fn name(&self) -> &str;

    /// As [`Scorer::needs_expected`].
    fn needs_expected(&self) -> bool {
        true
    }

    /// As [`Scorer::check`].
    fn check(&self, _example: &Example) -> Result<(), String> {
        Ok(())
    }

    /// Grades `answer`. An `Err` is a message about this row's data.
    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String>;
}

impl<T: Grader> Scorer for T {
    fn name(&self) -> &str {
        Grader::name(self)
    }

    fn needs_expected(&self) -> bool {
        Grader::needs_expected(self)
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        Grader::check(self, example)
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        _scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        let score = match self.grade(example, &completion.text) {
            Ok(Grade { value, reason }) => {
                Ok(Score { scorer: Grader::name(self).to_owned(), value, reason, criterion: None })
            }
            Err(message) => Err(ScoreError::of_row(Grader::name(self), message)),
        };
        Box::pin(std::future::ready(score))
    }
}
