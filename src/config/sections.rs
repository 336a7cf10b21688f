//! The tables of `ratchet.toml`, apart from the scorers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ScorerConfig;

/// A Ratchet project: what to optimise, on which data, with which models, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the project, used in run folders; see [`Config::name`] for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// What the task is, in a sentence or two; the proposer is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the proposer should know or mind, one hint an entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The prompt file to optimise; either this or `[prompts]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub prompt: Option<PathBuf>,
    /// Weighted score in (0, 1] from which a row passes.
    #[serde(default = "one")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub pass_threshold: f64,
    /// Folder that run folders are made in.
    #[serde(default = "default_runs")]
    #[schemars(length(min = 1))]
    pub runs: PathBuf,
    /// The prompt files to optimise by name, for a target with several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, PathBuf>,
    /// The dataset: a path, or a table with path, columns and splits.
    pub dataset: DatasetConfig,
    /// The models by role.
    pub models: Models,
    /// How answers are scored; the score of a row is the weighted mean of all scorers.
    #[schemars(length(min = 1))]
    pub scorers: Vec<ScorerConfig>,
    /// How the search goes on and when it stops.
    #[serde(default)]
    pub search: Search,
    /// What a revision must show on dev to be kept.
    #[serde(default)]
    pub gate: Gate,
    /// What a revision must never do.
    #[serde(default)]
    pub guards: Guards,
    /// The most that a run may use.
    #[serde(default)]
    pub budget: Budget,
    /// Where responses are kept.
    #[serde(default)]
    pub store: Store,
}

impl Config {
    /// The project's name. Where none is given it is the stem of the config file at `file`, or the name of its folder
    /// where the stem is `ratchet`; give an absolute path to have the folder's name.
    pub fn name(&self, file: &Path) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let stem = file.file_stem().filter(|stem| *stem != "ratchet");
        let folder = file.parent().and_then(Path::file_name);
        stem.or(folder).map_or_else(|| "ratchet".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The prompt files with their names, in order of name; a single `prompt` is called `prompt`.
    pub fn prompt_files(&self) -> BTreeMap<&str, &Path> {
        let single = self.prompt.iter().map(|path| ("prompt", path.as_path()));
        single.chain(self.prompts.iter().map(|(name, path)| (name.as_str(), path.as_path()))).collect()
    }
}

fn one() -> f64 {
    1.0
}

fn default_runs() -> PathBuf {
    "runs".into()
}

/// The dataset: where it is, which columns hold what, and how it is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "PathOrDataset")]
pub struct DatasetConfig {
    /// The file: JSONL, JSON, CSV, TSV or YAML.
    pub path: PathBuf,
    /// Which column holds what, where the names differ from Ratchet's.
    #[serde(skip_serializing_if = "FieldMap::is_default")]
    pub fields: FieldMap,
    /// Shares of the splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitFractions>,
}

/// The two ways to write a dataset.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum PathOrDataset {
    /// The path alone.
    Path(#[schemars(length(min = 1))] PathBuf),
    /// A table.
    Table(DatasetTable),
}

/// The dataset: where it is, which columns hold what, and how it is split.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DatasetTable {
    /// The file: JSONL, JSON, CSV, TSV or YAML.
    #[schemars(length(min = 1))]
    path: PathBuf,
    /// Which column holds what, where the names differ from Ratchet's: `fields = { input = "text" }`.
    #[serde(default)]
    fields: FieldMap,
    /// Shares of the splits, for rows that don't name their own; by default 40/40/20, or what a small dataset allows.
    #[serde(default)]
    split: Option<SplitFractions>,
}

impl From<PathOrDataset> for DatasetConfig {
    fn from(written: PathOrDataset) -> Self {
        match written {
            PathOrDataset::Path(path) => Self { path, fields: FieldMap::default(), split: None },
            PathOrDataset::Table(DatasetTable { path, fields, split }) => Self { path, fields, split },
        }
    }
}

/// The name of the column that holds each part of an example; an absent key means the column of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FieldMap {
    /// The input; several columns make a map, which templates see as `input.column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Columns>,
    /// The reference answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The row's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The row's tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// A map of anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Whether the row must not break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// The row's weight in every mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// The group whose rows share a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The split that the row names for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

impl FieldMap {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One column, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// The column's value is the input.
    One(String),
    /// The input is a map of these columns.
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// Shares of the three splits, which sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitFractions {
    /// Share of train in (0, 1).
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub train: f64,
    /// Share of dev in (0, 1).
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub dev: f64,
    /// Share of test in [0, 1); with 0 no gain can be shown.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub test: f64,
}

/// The models by role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Answers the rows.
    pub task: ModelConfig,
    /// Proposes edits; by default the task model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<ModelConfig>,
}

/// One model and how to reach it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// What serves it.
    pub provider: Provider,
    /// Its name as the provider knows it; required by `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// `openai` only: the endpoint up to and without `/chat/completions`; by default `https://api.openai.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub base_url: Option<String>,
    /// `openai` only: the environment variable that holds the key; absent means that none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub api_key_env: Option<String>,
    /// Sampling temperature; by default the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub temperature: Option<f64>,
    /// Most tokens of an answer; by default the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Most calls under way at once.
    #[serde(default = "default_max_concurrency")]
    #[schemars(range(min = 1))]
    pub max_concurrency: usize,
    /// Seconds after which a call counts as failed, and is tried again.
    #[serde(default = "default_timeout")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub timeout_seconds: f64,
    /// How often a call that failed for a passing reason is tried again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Whether the same request always gets the same answer; by default only `embedded` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
    /// What it costs, for the cost figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Further parameters of the request, sent as they are: `extra = { reasoning_effort = "low" }`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl ModelConfig {
    /// Whether the same request always gets the same answer: as declared, else true for the embedded model alone.
    pub fn is_deterministic(&self) -> bool {
        self.deterministic.unwrap_or(self.provider == Provider::Embedded)
    }
}

fn default_max_concurrency() -> usize {
    16
}

fn default_timeout() -> f64 {
    120.0
}

fn default_retries() -> u32 {
    5
}

/// What serves a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The small classifier that is part of Ratchet: no key, no network.
    Embedded,
    /// Any OpenAI-compatible chat completions endpoint.
    Openai,
}

/// Prices in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Tokens written.
    #[schemars(range(min = 0.0))]
    pub output: f64,
    /// Tokens read from the provider's cache; by default as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cached: Option<f64>,
}

/// How the search goes on and when it stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Most generations.
    #[schemars(range(min = 1))]
    pub generations: usize,
    /// Proposals a generation.
    #[schemars(range(min = 1))]
    pub proposals: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Stop after this many generations in a row without a kept revision.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// Stop as soon as the incumbent's dev score, in (0, 1], reaches this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub target_score: Option<f64>,
    /// Folder of the project's own strategies; one named like a built-in strategy takes its place.
    #[schemars(length(min = 1))]
    pub strategies: PathBuf,
    /// Names of strategies not to use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            generations: 10,
            proposals: 6,
            seed: 1,
            patience: 3,
            target_score: None,
            strategies: "strategies".into(),
            disable: Vec::new(),
        }
    }
}

/// What a revision must show on dev to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// The mean paired difference must be above this, in [0, 1).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub min_gain: f64,
    /// The mean paired difference must be above this many of its standard errors.
    #[schemars(range(min = 0.0))]
    pub standard_errors: f64,
    /// Chance in (0, 1), over the whole run, that the model's noise alone gets a revision kept.
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub alpha: f64,
    /// Most fresh samples of a flipped row, for either arm.
    #[schemars(range(min = 1))]
    pub max_samples: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self { min_gain: 0.0, standard_errors: 1.0, alpha: 0.05, max_samples: 5 }
    }
}

/// What a revision must never do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guards {
    /// Whether no pinned row may break.
    pub pinned: bool,
    /// Most tokens of a prompt.
    #[schemars(range(min = 1))]
    pub max_prompt_tokens: usize,
    /// Most tokens that a prompt may have more than the baseline.
    pub max_growth: usize,
    /// Longest run of words copied from a train row; proposals that are meant to add examples are free of it.
    #[schemars(range(min = 1))]
    pub copied_words: usize,
    /// Tags whose mean score must not drop: a list, or a table of tag = most it may drop by, in [0, 1].
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "tags_with_margins")]
    #[schemars(with = "TagsOrMargins")]
    pub protected_tags: BTreeMap<String, f64>,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            pinned: true,
            max_prompt_tokens: 4000,
            max_growth: 1500,
            copied_words: 8,
            protected_tags: BTreeMap::new(),
        }
    }
}

/// The two ways to write protected tags.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum TagsOrMargins {
    /// Tags that must not drop at all.
    Tags(Vec<String>),
    /// Tags with their margins.
    Margins(
        #[schemars(extend(
            "additionalProperties" = serde_json::json!({ "type": "number", "minimum": 0.0, "maximum": 1.0 })
        ))]
        BTreeMap<String, f64>,
    ),
}

fn tags_with_margins<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    Ok(match TagsOrMargins::deserialize(deserializer)? {
        TagsOrMargins::Tags(tags) => tags.into_iter().map(|tag| (tag, 0.0)).collect(),
        TagsOrMargins::Margins(margins) => margins,
    })
}

/// The most that a run may use; what is absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Live calls of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
    /// Of the task model.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub task: RoleBudget,
    /// Of the proposer.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub proposer: RoleBudget,
}

/// The most that one role may use in a run; what is absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleBudget {
    /// Live calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
}

impl RoleBudget {
    fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// Where responses are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file of all responses, shared by all runs of the project.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: ".ratchet/responses.sqlite".into() }
    }
}
