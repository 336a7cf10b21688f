//! What can be wrong with a project before any call is made.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::dataset::DatasetError;
use crate::model::{CallError, OpenAiError};
use crate::prompt::PromptError;
use crate::propose::StrategyError;
use crate::score::ScorerSetupError;

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
    /// A model's endpoint can't be set up.
    #[error("models.{role}: {error}")]
    Model {
        /// The role.
        role: String,
        /// What is wrong.
        error: OpenAiError,
    },
    /// The response store can't be opened.
    #[error(transparent)]
    Store(#[from] CallError),
}
