//! From `[[scorers]]` to scorers.

use std::path::Path;
use std::sync::Arc;

use super::{Project, ProjectError};
use crate::config::{Config, ScorerConfig, ScorerKind};
use crate::score::{
    CommandOptions, CommandScorer, Contains, ContainsOptions, ExactMatch, ExactMatchOptions, ItemOptions, JsonFields,
    JsonFieldsOptions, JsonValid, JsonValidOptions, Levenshtein, ListMatch, Numeric, NumericOptions, PythonOptions,
    PythonScorer, RegexMatch, RegexOptions, Scorer, ScorerSet, ScorerSetupError, SetMatch,
};

/// Builds the scorers of `config`, starting those that are processes.
pub(super) async fn build(config: &Config, root: &Path) -> Result<ScorerSet, ProjectError> {
    // A config file without a folder before its name is in the working directory.
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let mut scorers = Vec::new();
    for scorer in &config.scorers {
        scorers.push((one(config, scorer, root).await?, scorer.weight));
    }
    Ok(ScorerSet::new(scorers)?)
}

async fn one(config: &Config, scorer: &ScorerConfig, root: &Path) -> Result<Arc<dyn Scorer>, ScorerSetupError> {
    let name = scorer.name();
    Ok(match &scorer.kind {
        ScorerKind::ExactMatch { trim, ignore_case } => {
            Arc::new(ExactMatch::new(name, ExactMatchOptions { trim: *trim, ignore_case: *ignore_case }))
        }
        ScorerKind::Contains { any, all, ignore_case } => {
            let options = ContainsOptions {
                any: any.clone().unwrap_or_default(),
                all: all.clone().unwrap_or_default(),
                ignore_case: *ignore_case,
            };
            Arc::new(Contains::new(name, options)?)
        }
        ScorerKind::Regex { pattern, ignore_case } => {
            let options = RegexOptions { pattern: pattern.clone(), ignore_case: *ignore_case };
            Arc::new(RegexMatch::new(name, options)?)
        }
        ScorerKind::Numeric { tolerance, relative } => {
            Arc::new(Numeric::new(name, NumericOptions { absolute: *tolerance, relative: *relative })?)
        }
        ScorerKind::Levenshtein {} => Arc::new(Levenshtein::new(name)),
        ScorerKind::JsonValid { allow_fence } => {
            Arc::new(JsonValid::new(name, JsonValidOptions { allow_fence: *allow_fence }))
        }
        ScorerKind::JsonFields { fields, ignore_case } => {
            let fields = fields.iter().map(|(field, weight)| (field.clone(), *weight)).collect();
            Arc::new(JsonFields::new(name, JsonFieldsOptions { fields, ignore_case: *ignore_case })?)
        }
        ScorerKind::SetMatch { separator, ignore_case } => {
            let options = ItemOptions { separator: separator.clone(), ignore_case: *ignore_case };
            Arc::new(SetMatch::new(name, options)?)
        }
        ScorerKind::ListMatch { separator, ignore_case } => {
            let options = ItemOptions { separator: separator.clone(), ignore_case: *ignore_case };
            Arc::new(ListMatch::new(name, options)?)
        }
        ScorerKind::Python { path, timeout_seconds } => {
            let mut options = PythonOptions::new(root.join(path));
            options.timeout = Project::duration(*timeout_seconds);
            options.hidden_env = key_names(config);
            Arc::new(PythonScorer::start(name, options).await?)
        }
        ScorerKind::Command { run, timeout_seconds } => {
            let mut options = CommandOptions::new(run.clone(), root);
            options.timeout = Project::duration(*timeout_seconds);
            options.hidden_env = key_names(config);
            Arc::new(CommandScorer::start(name, options).await?)
        }
    })
}

/// The variables that hold keys: no scorer needs to see them.
fn key_names(config: &Config) -> Vec<String> {
    [Some(&config.models.task), config.models.proposer.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|model| model.api_key_env.clone())
        .chain(config.notify.webhook_env.clone())
        .collect()
}
