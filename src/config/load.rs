//! From text and overrides to a checked [`Config`].

use std::sync::LazyLock;

use serde_json::Value;

use super::error::{Cause, ConfigError, Problem};
use super::schema::{check, dotted};
use super::source::{At, Source};
use super::{Config, ModelConfig, Provider};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Config).to_value());

impl Config {
    /// Reads a config. `file_name` is for error messages alone. Each override is a dotted key (`scorers.0.weight`) and
    /// a TOML value, or else a bare string; later ones win over earlier ones and over the file.
    ///
    /// # Errors
    /// All that is wrong, with its place: text that isn't TOML, unknown keys, values of the wrong type or out of
    /// range, missing keys, and keys that contradict each other.
    pub fn parse(file_name: &str, text: &str, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let source = Source::parse(file_name, text, overrides)?;
        let findings = check(&SCHEMA, &source.root);
        if !findings.is_empty() {
            let mut problems: Vec<Problem> =
                findings.into_iter().map(|finding| problem(&source, &finding.path, finding.cause)).collect();
            problems.sort_by(|one, other| one.place.cmp(&other.place));
            return Err(ConfigError { problems });
        }
        // The schema has found everything that serde would; this is for what only a type's own reading knows.
        let config: Config = serde_path_to_error::deserialize(&source.root).map_err(|error| {
            let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
            problem(&source, &path, Cause::Conflict(error.inner().to_string()))
        })?;
        let problems: Vec<Problem> =
            config.conflicts().into_iter().map(|(key, cause)| conflict(&source, key, cause)).collect();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// The JSON schema of `ratchet.toml`, for editors.
    pub fn json_schema() -> Value {
        SCHEMA.clone()
    }

    /// What no key alone shows: the key to point at, and what is wrong.
    fn conflicts(&self) -> Vec<(&'static str, Cause)> {
        let mut found = Vec::new();
        match (&self.prompt, self.prompts.is_empty()) {
            (None, true) => found.push(("prompt", Cause::Missing("The prompt file to optimise.".to_owned()))),
            (Some(_), false) => {
                let message = "both `prompt` and [prompts] are given; keep one of them";
                found.push(("prompts", Cause::Conflict(message.to_owned())));
            }
            _ => {}
        }
        if let Some(split) = self.dataset.split {
            let sum = split.train + split.dev + split.test;
            if (sum - 1.0).abs() > 1e-6 {
                let message = format!("the shares in `dataset.split` sum to {sum:.4}, but must sum to 1");
                found.push(("dataset.split", Cause::Conflict(message)));
            }
        }
        let nameless = |model: &ModelConfig| model.provider == Provider::Openai && model.model.is_none();
        let purpose = "Its name as the provider knows it; required by `openai`.";
        if nameless(&self.models.task) {
            found.push(("models.task.model", Cause::Missing(purpose.to_owned())));
        }
        if self.models.proposer.as_ref().is_some_and(nameless) {
            found.push(("models.proposer.model", Cause::Missing(purpose.to_owned())));
        }
        found
    }
}

fn problem(source: &Source<'_>, path: &[String], cause: Cause) -> Problem {
    let at = if matches!(cause, Cause::UnknownKey { .. }) { At::Key } else { At::Value };
    Problem { place: source.place(path, at), key: dotted(path), cause }
}

fn conflict(source: &Source<'_>, key: &str, cause: Cause) -> Problem {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    Problem { place: source.place(&path, At::Key), key: key.to_owned(), cause }
}
