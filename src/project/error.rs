//! What can be wrong with a project before any call is made.

use std::path::PathBuf;

use super::scorers::path_to;
use crate::config::{Config, ConfigError, Place};
use crate::dataset::{DatasetError, Split};
use crate::model::{CallError, EndpointError};
use crate::prompt::PromptError;
use crate::propose::StrategyError;
use crate::run::RunError;
use crate::score::ScorerSetupError;

/// Most tags that are listed.
pub(super) const TAGS: usize = 20;

/// Why a project can't be loaded. All of it is for the user to mend; nothing has been written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The config file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A prompt file.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A strategy file or name.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// A scorer.
    #[error(transparent)]
    Scorer(#[from] ScorerSetupError),
    /// The program of `[target]`, or a file of it.
    #[error("{key}: {problem}")]
    Target {
        /// The config key.
        key: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file that can't be read.
    #[error("{}: can't be read: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason, and what to do.
        problem: String,
    },
    /// An environment variable that is needed and not set.
    #[error("{key}: the environment variable {name} is not set; {advice}")]
    Environment {
        /// The config key that names it.
        key: String,
        /// The variable.
        name: String,
        /// What to do.
        advice: String,
    },
    /// What a key of the config asks for can't be had.
    #[error("{place}: {}", behind(place, error))]
    At {
        /// Where the key was written.
        place: Place,
        /// What is wrong.
        error: Box<ProjectError>,
    },
    /// A row that a scorer can't score whatever the answer is.
    #[error("{}:{line}: row `{row}`: scorer {scorer}: {problem}", path.display())]
    Row {
        /// The dataset file.
        path: PathBuf,
        /// The line that the row begins on, from 1.
        line: usize,
        /// The row's id.
        row: String,
        /// The scorer's name.
        scorer: String,
        /// What was found, and what is needed.
        problem: String,
    },
    /// A file beside the runs, or of a run's snapshot, that can't be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An objective that counts by label, where there are none.
    #[error(
        "objective = \"macro_f1\" counts by label, and the expected answers of these rows are no labels: every row needs \
         one, a short text, true, false or a whole number, of few that come again; leave `objective` out to have the \
         mean score"
    )]
    NoLabels,
    /// A split that every run needs has no rows.
    #[error(
        "{}: there are no {split} rows, {}; add rows, let some name `{split}` as their split, or leave the split out of them \
         to have them assigned",
        dataset.display(),
        if *split == Split::Dev { "on which every edit must prove itself before it is kept" } else { "from which edits are made" }
    )]
    NoRows {
        /// The dataset, as the config names it.
        dataset: PathBuf,
        /// The split.
        split: Split,
    },
    /// A split that every run needs, of which the prompts quote all rows.
    #[error(
        "the prompt quotes every {split} row as an example, and copying one is not knowing: add {split} rows, or take some \
         out of the prompt"
    )]
    AllQuoted {
        /// The split.
        split: Split,
    },
    /// A prompt that is longer than any edit of it may be.
    #[error(
        "guards.max_prompt_tokens: the prompt has about {tokens} tokens as it is, and at most {max} are allowed; raise the \
         limit, or shorten the prompt"
    )]
    TooLong {
        /// Tokens of the prompts together.
        tokens: usize,
        /// Most allowed.
        max: usize,
    },
    /// A protected tag that no row has.
    #[error(
        "guards.protected_tags: no row has the tag `{tag}`{}",
        match (nearest, &known[..]) {
            (Some(nearest), _) => format!("; did you mean `{nearest}`?"),
            (None, []) => "; no row of the dataset has any tag".to_owned(),
            (None, known) => format!("; there are: {}", known.join(", ")),
        }
    )]
    UnknownTag {
        /// The tag.
        tag: String,
        /// The known one most like it.
        nearest: Option<String>,
        /// Tags that rows have, at most twenty.
        known: Vec<String>,
    },
    /// A limit with which no run can begin.
    #[error("{limit} can't cover the baseline, which takes {least} at the very least; raise it")]
    Baseline {
        /// The limit, as it stands in the config.
        limit: String,
        /// What the first draws of train and dev take.
        least: String,
    },
    /// A limit in money on a model whose price isn't known.
    #[error(
        "budget: what {model:?} costs is not known, so a limit in dollars can't be kept; give its price as \
         `models.{path}.price = {{ input = 0.25, output = 2 }}` (dollars for a million tokens; zeros for a server of \
         your own), or a price file as `budget.prices`"
    )]
    Unpriced {
        /// Where the model's table stands in the config, below `models`.
        path: String,
        /// The model's name.
        model: String,
    },
    /// A time that can't be understood.
    #[error("{key} = {text:?}: {advice}")]
    Time {
        /// The config key.
        key: &'static str,
        /// What was found.
        text: String,
        /// What to write.
        advice: &'static str,
    },
    /// A resumed run whose time is up.
    #[error(
        "the time that the run was given is up; go on with a new one: `ratchet resume --for 2h`, or `--until 07:00`"
    )]
    TimeUp,
    /// Files of the snapshot or the programs of a run that was to be resumed.
    #[error(
        "{} {} not as when the run began, and what would come of it can't be compared with what came of it so far; put {} \
         back, or begin a new run with `ratchet optimize` (what is stored isn't paid for again)",
        listed(changed), if changed.len() == 1 { "is" } else { "are" }, if changed.len() == 1 { "it" } else { "them" }
    )]
    Changed {
        /// The files: programs as the config has them.
        changed: Vec<PathBuf>,
    },
    /// A model's endpoint can't be set up.
    #[error("models.{role}: {error}")]
    Model {
        /// The role.
        role: String,
        /// What is wrong.
        error: EndpointError,
    },
    /// A program that serves a model isn't there.
    #[error("{key}: {problem}")]
    Program {
        /// The config key that names it.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A webhook's address can't be used; it may be a secret, so it isn't shown.
    #[error("{key}: the address can't be used: {problem}")]
    Webhook {
        /// The config key that names it.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The response store can't be opened.
    #[error(transparent)]
    Store(#[from] CallError),
}

/// What `error` says behind `place`. Some errors begin with the key, which `--set` has named already.
fn behind(place: &Place, error: &ProjectError) -> String {
    let told = error.to_string();
    let Place::Override(key) = place else { return told };
    told.strip_prefix(&format!("{key}: ")).map_or_else(|| told.clone(), str::to_owned)
}

impl ProjectError {
    /// The path of the key in `config` that asks for what can't be had, where there is one.
    pub(super) fn key(&self, config: &Config) -> Option<Vec<String>> {
        let path = |key: &str| key.split('.').map(str::to_owned).collect();
        match self {
            Self::Environment { key, .. } | Self::Program { key, .. } | Self::Webhook { key, .. } => Some(path(key)),
            Self::Target { key, .. } => Some(path(key)),
            Self::NoLabels => Some(path("objective")),
            Self::Dataset(error) if error.is_missing() => Some(path("dataset")),
            Self::UnknownTag { .. } => Some(path("guards.protected_tags")),
            Self::Model { role, .. } => Some(path(&format!("models.{role}"))),
            Self::Strategy(StrategyError::Unknown { .. }) => Some(path("search.disable")),
            Self::Scorer(error) => {
                Some(path(&path_to(&config.scorers, &error.scorer).unwrap_or_else(|| "scorers".to_owned())))
            }
            _ => None,
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
