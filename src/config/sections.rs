//! The whole of `ratchet.toml`, with the tables that steer the search.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Models, Notify, ScorerConfig, Target};
use crate::dataset::Source;

/// A Ratchet project: what to optimise, on which data, with which models, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the project, used in run folders. By default the stem of this file's name, or the name of its folder where
    /// that is `ratchet`.
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
    /// What the score of a prompt is, by which the gate and the sealed test decide. `macro_f1` is for a task of labels with
    /// one scorer, `exact_match` as it comes, and one answer a row.
    #[serde(default, skip_serializing_if = "Objective::is_mean_score")]
    pub objective: Objective,
    /// Folder that run folders are made in.
    #[serde(default = "default_runs")]
    #[schemars(length(min = 1))]
    pub runs: PathBuf,
    /// Seconds that calls under way are given to end after the first Ctrl-C or SIGTERM: they are paid for.
    #[serde(default = "default_grace")]
    #[schemars(range(min = 0.0))]
    pub grace_seconds: f64,
    /// The prompt files to optimise by name, for a `[target]` with several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, PathBuf>,
    /// What answers the rows; by default `models.task` is sent the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The dataset: a path, or a table that also says which columns hold what.
    pub dataset: Source,
    /// The models by role.
    pub models: Models,
    /// How answers are scored; the score of a row is the weighted mean of all scorers.
    #[schemars(length(min = 1))]
    pub scorers: Vec<ScorerConfig>,
    /// Where rows have answers that people rated, for `ratchet scorer calibrate`.
    #[serde(default, skip_serializing_if = "Calibration::is_usual")]
    pub calibration: Calibration,
    /// How often each row is answered.
    #[serde(default, skip_serializing_if = "Repeats::is_once")]
    pub repeats: Repeats,
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
    /// Who is told how a run goes.
    #[serde(default, skip_serializing_if = "Notify::is_off")]
    pub notify: Notify,
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

    /// What each prompt file is called in edits, diffs and run folders, with its key as of [`Config::prompt_files`] and its path:
    /// its file name, after the key where several have that.
    pub fn prompt_names(&self) -> Vec<(String, &str, &Path)> {
        let files = self.prompt_files();
        let file_name = |path: &Path| {
            path.file_name()
                .map_or_else(|| path.to_string_lossy().into_owned(), |name| name.to_string_lossy().into_owned())
        };
        let name = |key: &str, path: &Path| {
            let name = file_name(path);
            match files.values().filter(|other| file_name(other) == name).count() {
                0 | 1 => name,
                _ => format!("{}-{name}", key.replace(['/', '\\'], "_")),
            }
        };
        files.iter().map(|(key, path)| (name(key, path), *key, *path)).collect()
    }
}

fn one() -> f64 {
    1.0
}

fn default_grace() -> f64 {
    10.0
}

fn default_runs() -> PathBuf {
    "runs".into()
}

/// What the score of a prompt is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The weighted mean of the rows' scores.
    #[default]
    MeanScore,
    /// The mean of F1 over the labels: a rare label counts as much as a frequent one.
    MacroF1,
}

impl Objective {
    /// Whether it is the one that needs no word.
    pub fn is_mean_score(&self) -> bool {
        *self == Self::MeanScore
    }

    /// What a score is called where people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::MeanScore => "score",
            Self::MacroF1 => "macro F1",
        }
    }
}

/// How often each row is answered, and how the scores of its answers become the score of the row: their mean, unless
/// `at_least` or `pass_at` is given. An answer passes from `pass_threshold` on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Repeats {
    /// Answers to each row. Every one is a call; more than one is of use with a model that doesn't always answer alike.
    #[schemars(range(min = 1, max = 100))]
    pub samples: u32,
    /// A row scores 1 where at least so many of its answers pass, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub at_least: Option<u32>,
    /// A row scores the chance that at least one of so many answers passes: pass@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub pass_at: Option<u32>,
}

impl Repeats {
    /// Whether each row is answered once, and that is that.
    fn is_once(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self { samples: 1, at_least: None, pass_at: None }
    }
}

/// Where rows have answers that people rated, for `ratchet scorer calibrate`: names of metadata fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// The answer that they rated.
    #[schemars(length(min = 1))]
    pub answer: String,
    /// What they gave it: a number from 0 to 1, true or false, or one of the judge's choices. By criterion of a rubric: a
    /// map of those, or a field for each, called `human.kind` for the criterion `kind`.
    #[schemars(length(min = 1))]
    pub human: String,
}

impl Calibration {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Calibration {
    fn default() -> Self {
        Self { answer: "answer".to_owned(), human: "human".to_owned() }
    }
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
    /// Stop after this many generations in a row without a kept revision; the search looks elsewhere before it does.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// Stop as soon as the incumbent's dev score, in (0, 1], reaches this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub target_score: Option<f64>,
    /// Folder of the project's own strategies; one named like a built-in strategy takes its place.
    #[schemars(length(min = 1))]
    pub strategies: PathBuf,
    /// Names of strategies not to use; also `format-line`, `balanced-examples` and `leave-out`, which need no model.
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
    #[schemars(range(min = 1, max = 50))]
    pub max_samples: usize,
    /// A shorter prompt is kept, and a kept hunk that isn't needed goes, where the 95 % interval of what is lost, on train
    /// and dev together, stays below this, in [0, 1). Unchanged rows alone show 0.02 from 97 rows on, 0.01 from 195.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub prune_margin: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { min_gain: 0.0, standard_errors: 1.0, alpha: 0.05, max_samples: 8, prune_margin: 0.02 }
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

/// The most that a run may use; what is absent is unlimited. What happens at a limit is told in `docs/budget.md`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// US dollars for all roles together; the prices of all models must be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub usd: Option<f64>,
    /// Live calls of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
    /// Tokens read and written by live calls of all roles together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// How long a run may go on, all its sittings together, as `8h` or `1h30m`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub duration: Option<String>,
    /// When a run stops: a local time (`07:00`, its next occurrence), or a date with a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub until: Option<String>,
    /// A JSON file of prices in the shape of LiteLLM's `model_prices_and_context_window.json`, asked before the table
    /// that comes with Ratchet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub prices: Option<PathBuf>,
    /// Of the task model.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub task: RoleBudget,
    /// Of the proposer.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub proposer: RoleBudget,
    /// Of the judge.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub judge: RoleBudget,
    /// Of the embedder.
    #[serde(skip_serializing_if = "RoleBudget::is_unlimited")]
    pub embedder: RoleBudget,
}

/// The most that one role may use in a run; what is absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleBudget {
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub usd: Option<f64>,
    /// Live calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
    /// Tokens read and written by live calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
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
