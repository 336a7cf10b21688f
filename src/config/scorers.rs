//! `[[scorers]]`: how answers are scored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ScorerConfig {
    /// Its name in reports; by default its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// Its weight in the score of a row, above 0.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub weight: f64,
    /// Score in (0, 1] from which it counts as 1, and below which as 0; without it the score counts as it is. In `all_of`,
    /// of the weighted mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub threshold: Option<f64>,
    /// Whether the opposite is wanted: 1 less its score. It is called `not-<type>` then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    /// What it does. (Unknown keys are refused by the check against the schema: serde can't both flatten and refuse.)
    #[serde(flatten)]
    pub kind: ScorerKind,
}

impl ScorerConfig {
    /// The name in reports: as given, else the type, after `not-` where the opposite is wanted.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.name {
            Some(name) => name.into(),
            None if self.not => format!("not-{}", self.kind.type_name()).into(),
            None => self.kind.type_name().into(),
        }
    }

    /// The scorers within this one, of a group.
    pub fn parts(&self) -> &[ScorerConfig] {
        match &self.kind {
            ScorerKind::AllOf { scorers } | ScorerKind::AnyOf { scorers } => scorers,
            _ => &[],
        }
    }
}

/// What a scorer does, by its `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScorerKind {
    /// 1 where the answer is the expected text.
    ExactMatch {
        /// Whether white space around either text is ignored.
        #[serde(default = "yes")]
        trim: bool,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// 1 where the answer contains the expected text.
    Contains {
        /// Look for any of these texts instead of the expected one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        any: Option<Vec<String>>,
        /// All of these texts must be there, instead of the expected one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        all: Option<Vec<String>>,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// 1 where the answer begins with the expected text.
    StartsWith {
        /// What it must begin with instead of the expected text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prefix: Option<String>,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// 1 where a regular expression matches somewhere in the answer.
    Regex {
        /// The regular expression; by default the row's expected text is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        pattern: Option<String>,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// 1 where the answer is the expected number, within the larger of the two tolerances.
    Numeric {
        /// The most that the answer may be off by.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        tolerance: f64,
        /// The most that the answer may be off by, as a share of the expected number.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        relative: f64,
    },
    /// Nearness of the number in the answer to the expected one: 1 - |a - b| / (|a| + |b|).
    NumericDiff {},
    /// Levenshtein similarity of the answer and the expected text.
    Levenshtein {
        /// The greatest distance, in characters, of a 1; above it 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_distance: Option<usize>,
    },
    /// Nearness of the answer to the expected text by the embeddings of `models.embedder`: their cosine similarity, from
    /// `expected_min` (0) to 1 (1). Of several expected texts the nearest counts.
    EmbeddingSimilarity {
        /// The cosine similarity that counts as 0, and what is below it too: unrelated texts have one well above 0. 0 for
        /// the similarity as it is.
        #[serde(default = "expected_min")]
        #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
        expected_min: f64,
        /// What is put before both texts, where the model wants its task named: `"query: "`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// 1 where the answer is valid JSON.
    JsonValid {
        /// Whether a Markdown code fence around the JSON is ignored.
        #[serde(default)]
        allow_fence: bool,
    },
    /// Weighted share of the fields of a JSON answer that equal those of the expected object.
    JsonFields {
        /// The fields to compare: a list, or a table of field = weight above 0; by default all fields of the expected
        /// object.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "fields_with_weights")]
        #[schemars(with = "FieldsOrWeights")]
        fields: BTreeMap<String, f64>,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// Similarity of the JSON of the answer and of the expected value, field by field.
    JsonDiff {
        /// Whether strings within the values that hold JSON are compared as text.
        #[serde(default)]
        preserve_strings: bool,
    },
    /// 1 where the answer is JSON that a JSON Schema takes; give `schema` or `path`.
    JsonSchema {
        /// The schema itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Map<String, Value>>,
        /// The file of the schema, in JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        path: Option<PathBuf>,
        /// Whether a Markdown code fence around the JSON is ignored.
        #[serde(default)]
        allow_fence: bool,
    },
    /// 1 where one place of a JSON answer holds the expected value.
    JsonPath {
        /// The place, as `order.items.0.sku` or `$.order.items[0]['sku']`.
        #[schemars(length(min = 1))]
        path: String,
        /// What it must hold instead of the row's expected value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("additionalProperties" = true))]
        equals: Option<Value>,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// F1 of the answer and the expected text as sets of items, in any order.
    SetMatch {
        /// What stands between two items.
        #[serde(default = "comma")]
        #[schemars(length(min = 1))]
        separator: String,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// Share of the items of the answer and the expected list that agree, each at its place.
    ListMatch {
        /// What stands between two items.
        #[serde(default = "comma")]
        #[schemars(length(min = 1))]
        separator: String,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// Similarity of the items of the answer and the expected list, paired as they fit best, in any order.
    ListContains {
        /// What stands between two items.
        #[serde(default = "comma")]
        #[schemars(length(min = 1))]
        separator: String,
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
        /// Whether further items in the answer cost nothing.
        #[serde(default)]
        allow_extra: bool,
    },
    /// F1 of the words of the answer and the expected text (SQuAD).
    TokenF1 {},
    /// ROUGE-L of the answer and the expected text: F1 by their longest common sequence of words.
    RougeL {},
    /// Sentence BLEU of the answer and the expected text.
    Bleu {
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// chrF of the answer and the expected text, by n-grams of characters.
    Chrf {
        /// Whether upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// 1 where the answer has so many words; give `min`, `max` or both.
    WordCount {
        /// The fewest words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<usize>,
        /// The most words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// 1 where the answer has so many characters; give `min`, `max` or both.
    Length {
        /// The fewest characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<usize>,
        /// The most characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// 1 where the answer came in time.
    Latency {
        /// The most seconds that it may take.
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        max_seconds: f64,
    },
    /// 1 where the answer was cheap enough. A row whose price isn't known is missing.
    Cost {
        /// The most US dollars that it may cost.
        #[schemars(range(min = 0.0))]
        max_usd: f64,
    },
    /// The least of the scores of several scorers; with `threshold`, 1 where their weighted mean reaches it.
    AllOf {
        /// The scorers. Their weights count with `threshold` alone.
        #[schemars(length(min = 1))]
        scorers: Vec<ScorerConfig>,
    },
    /// The greatest of the scores of several scorers, each times its weight by the greatest weight.
    AnyOf {
        /// The scorers.
        #[schemars(length(min = 1))]
        scorers: Vec<ScorerConfig>,
    },
    /// 1 where the agent took each of these steps, in whatever order.
    TraceCalled {
        /// The steps' names.
        #[schemars(length(min = 1))]
        steps: Vec<String>,
    },
    /// 1 where the agent took these steps in this order; others may stand between them.
    TraceOrder {
        /// The steps' names.
        #[schemars(length(min = 1))]
        steps: Vec<String>,
    },
    /// 1 where the agent did not take a step more often than this.
    TraceAtMost {
        /// The step's name.
        #[schemars(length(min = 1))]
        step: String,
        /// How often it may be taken; 0 forbids it.
        times: usize,
    },
    /// 1 where no step of the agent failed.
    TraceNoError {},
    /// 1 where the agent took these steps, in this order, and no others.
    TracePath {
        /// The steps' names.
        steps: Vec<String>,
    },
    /// 1 where the agent took so many steps; give `min`, `max` or both.
    TraceSteps {
        /// The fewest steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<usize>,
        /// The most steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// What the Python function `handler` returns: called with `output, expected` and those of `input`, `metadata`,
    /// `tags` and `trace` that its signature names.
    Python {
        /// The Python file.
        #[schemars(length(min = 1))]
        path: PathBuf,
        /// Seconds after which a row's scoring counts as failed.
        #[serde(default = "default_timeout")]
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        timeout_seconds: f64,
    },
    /// What a command answers, by a protocol of JSON lines.
    Command {
        /// The program and its arguments.
        #[schemars(length(min = 1))]
        run: Vec<String>,
        /// Seconds after which a row's scoring counts as failed.
        #[serde(default = "default_timeout")]
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        timeout_seconds: f64,
    },
    /// A judge's verdict on each of several criteria: the weighted mean of what its choices are worth.
    Rubric {
        /// The criteria; one call decides them all.
        #[schemars(length(min = 1))]
        criteria: Vec<CriterionConfig>,
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// A judge's answer to a question about the answer: 1 for yes, 0 for no.
    ClosedQuestion {
        /// The question, to be answered with yes where the answer is good.
        #[schemars(length(min = 1))]
        question: String,
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// How a judge finds the facts of the answer to compare with those of the expected one: 1 for the same or only
    /// immaterial differences, 0.6 where it adds to them, 0.4 where it leaves some out, 0 where it disagrees.
    Factuality {
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// Whether a judge finds that the answer addresses what was asked: fully 1, partly 0.5, not 0.
    Relevance {
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// Whether a judge finds all that the answer claims borne out by a context that the row has: supported 1, partly
    /// 0.5, unsupported 0.
    Faithfulness {
        /// The field of the row's metadata, or of its input, that holds the context.
        #[serde(default = "context")]
        #[schemars(length(min = 1))]
        context: String,
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// How good a summary of the input a judge finds the answer: good 1, fair 0.5, poor 0.
    Summary {
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
        /// What several votes come to.
        #[serde(default)]
        combine: Votes,
    },
    /// Whether a judge prefers the answer to the expected one, shown in both orders: 1 better, 0.5 a tie, 0 worse.
    Battle {
        /// What makes an answer the better one, as a question.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        question: Option<String>,
        /// A prompt file to ask with, in place of the built-in one; see `docs/judges.md`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        prompt: Option<PathBuf>,
        /// How often the judge is asked about one answer, each time in both orders; the score is the mean.
        #[serde(default = "one_vote")]
        #[schemars(range(min = 1, max = 99))]
        votes: u32,
    },
}

impl ScorerKind {
    /// Whether it looks at the steps of an agent alone.
    pub fn needs_trace(&self) -> bool {
        self.type_name().starts_with("trace_")
    }

    /// The `type` as it is written.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::ExactMatch { .. } => "exact_match",
            Self::Contains { .. } => "contains",
            Self::StartsWith { .. } => "starts_with",
            Self::Regex { .. } => "regex",
            Self::Numeric { .. } => "numeric",
            Self::NumericDiff {} => "numeric_diff",
            Self::Levenshtein { .. } => "levenshtein",
            Self::EmbeddingSimilarity { .. } => "embedding_similarity",
            Self::JsonValid { .. } => "json_valid",
            Self::JsonFields { .. } => "json_fields",
            Self::JsonDiff { .. } => "json_diff",
            Self::JsonSchema { .. } => "json_schema",
            Self::JsonPath { .. } => "json_path",
            Self::SetMatch { .. } => "set_match",
            Self::ListMatch { .. } => "list_match",
            Self::ListContains { .. } => "list_contains",
            Self::TokenF1 {} => "token_f1",
            Self::RougeL {} => "rouge_l",
            Self::Bleu { .. } => "bleu",
            Self::Chrf { .. } => "chrf",
            Self::WordCount { .. } => "word_count",
            Self::Length { .. } => "length",
            Self::Latency { .. } => "latency",
            Self::Cost { .. } => "cost",
            Self::AllOf { .. } => "all_of",
            Self::AnyOf { .. } => "any_of",
            Self::TraceCalled { .. } => "trace_called",
            Self::TraceOrder { .. } => "trace_order",
            Self::TraceAtMost { .. } => "trace_at_most",
            Self::TraceNoError {} => "trace_no_error",
            Self::TracePath { .. } => "trace_path",
            Self::TraceSteps { .. } => "trace_steps",
            Self::Python { .. } => "python",
            Self::Command { .. } => "command",
            Self::Rubric { .. } => "rubric",
            Self::ClosedQuestion { .. } => "closed_question",
            Self::Factuality { .. } => "factuality",
            Self::Relevance { .. } => "relevance",
            Self::Faithfulness { .. } => "faithfulness",
            Self::Summary { .. } => "summary",
            Self::Battle { .. } => "battle",
        }
    }
}

/// One criterion of a rubric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CriterionConfig {
    /// Its name, in a word or two.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the judge is asked about the answer.
    #[schemars(length(min = 1))]
    pub question: String,
    /// Its weight beside the other criteria, above 0.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub weight: f64,
    /// The verdicts to choose from, each with what it is worth in [0, 1]: `{ yes = 1, partly = 0.5, no = 0 }`.
    #[schemars(extend(
        "additionalProperties" = serde_json::json!({ "type": "number", "minimum": 0.0, "maximum": 1.0 })
    ))]
    pub choices: BTreeMap<String, f64>,
}

/// What several votes of a judge come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Votes {
    /// The choice that most votes are for; of equals, the one that is worth least.
    #[default]
    Majority,
    /// The mean of what they are worth.
    Mean,
}

fn one() -> f64 {
    1.0
}

fn one_vote() -> u32 {
    1
}

fn context() -> String {
    "context".to_owned()
}

fn yes() -> bool {
    true
}

fn comma() -> String {
    ",".to_owned()
}

fn default_timeout() -> f64 {
    30.0
}

fn expected_min() -> f64 {
    0.7
}

/// The two ways to write the fields of a JSON answer.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum FieldsOrWeights {
    /// Fields of equal weight.
    Fields(#[schemars(length(min = 1))] Vec<String>),
    /// Fields with their weights.
    Weights(
        #[schemars(extend(
            "additionalProperties" = serde_json::json!({ "type": "number", "exclusiveMinimum": 0.0 })
        ))]
        BTreeMap<String, f64>,
    ),
}

fn fields_with_weights<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    Ok(match FieldsOrWeights::deserialize(deserializer)? {
        FieldsOrWeights::Fields(fields) => fields.into_iter().map(|field| (field, 1.0)).collect(),
        FieldsOrWeights::Weights(weights) => weights,
    })
}
