//! `[[scorers]]`: how answers are scored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What it does. (Unknown keys are refused by the check against the schema: serde can't both flatten and refuse.)
    #[serde(flatten)]
    pub kind: ScorerKind,
}

impl ScorerConfig {
    /// The name in reports: as given, else the type.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.type_name())
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
    /// Levenshtein similarity of the answer and the expected text.
    Levenshtein {},
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
}

impl ScorerKind {
    /// The `type` as it is written.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::ExactMatch { .. } => "exact_match",
            Self::Contains { .. } => "contains",
            Self::Regex { .. } => "regex",
            Self::Numeric { .. } => "numeric",
            Self::Levenshtein {} => "levenshtein",
            Self::JsonValid { .. } => "json_valid",
            Self::JsonFields { .. } => "json_fields",
            Self::SetMatch { .. } => "set_match",
            Self::ListMatch { .. } => "list_match",
            Self::Python { .. } => "python",
            Self::Command { .. } => "command",
        }
    }
}

fn one() -> f64 {
    1.0
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

/// The two ways to write the fields of a JSON answer.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum FieldsOrWeights {
    /// Fields of equal weight.
    Fields(Vec<String>),
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
