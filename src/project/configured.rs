//! What is configured of the models, without a call: for `ratchet models` and `ratchet doctor`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::load::config_text;
use super::provider::{address, concurrency, key_name};
use super::{Project, ProjectError, limits};
use crate::config::{Config, ModelConfig, Provider};
use crate::model::{ModelRole, Price, embedded};

/// One role's model as it is configured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfiguredModel {
    /// `task`, `proposer`, `judge` or `embedder`.
    pub role: ModelRole,
    /// Whether the role has a table of its own; without one the task model serves it.
    pub own: bool,
    /// The provider's name.
    pub provider: &'static str,
    /// The model's name as the provider knows it; a program's command line.
    pub model: String,
    /// Where it is reached; none for what isn't reached over HTTP. Variables stay as `${NAME}`: they may hold
    /// what nobody should see. What stands before an `@` is left out.
    pub address: Option<String>,
    /// Further addresses of the same model.
    pub also_at: Vec<String>,
    /// The variable that holds the key, where one is sent.
    pub key: Option<KeyVariable>,
    /// What it costs, in dollars for a million tokens; none where that isn't known.
    pub price: Option<Price>,
    /// Most calls under way at once.
    pub max_concurrency: usize,
    /// Most requests a minute, where the config says.
    pub requests_per_minute: Option<u64>,
    /// Most tokens a minute, where the config says.
    pub tokens_per_minute: Option<u64>,
    /// Most tokens of an answer, where the config says.
    pub max_tokens: Option<u32>,
    /// What takes its place where it can't be had, in this order.
    pub fallback: Vec<Self>,
}

/// An environment variable for a key. What it holds is nobody's business here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyVariable {
    /// Its name.
    pub name: String,
    /// Whether it is set, and not empty.
    pub is_set: bool,
}

/// A config with its prices, and the folder that its paths are relative to: all that can be read of a project which may
/// be broken elsewhere.
pub(super) fn read_config(
    config_file: &Path,
    overrides: &[(String, String)],
) -> Result<(Config, PathBuf), ProjectError> {
    let root = config_file.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut config = Config::parse(&config_file.to_string_lossy(), &config_text(config_file)?, overrides)?;
    limits::look_up_prices(&mut config, &root)?;
    Ok((config, root))
}

/// Whether `role` has a table of its own.
pub(super) fn has_own(config: &Config, role: ModelRole) -> bool {
    match role {
        ModelRole::Task => true,
        ModelRole::Proposer => config.models.proposer.is_some(),
        ModelRole::Judge => config.models.judge.is_some(),
        ModelRole::Embedder => config.models.embedder.is_some(),
    }
}

/// What people know `model` by: its name, or the program that answers for it.
pub(super) fn shown_name(model: &ModelConfig) -> String {
    match model.provider {
        Provider::Embedded => embedded::NAME.to_owned(),
        Provider::Command => model.run.as_ref().map(|run| run.join(" ")).unwrap_or_default(),
        _ => model.model.clone().unwrap_or_default(),
    }
}

impl ConfiguredModel {
    /// The models of `config_file`, by role.
    ///
    /// # Errors
    /// [`ProjectError`] when the config, or the price file that it names, can't be read.
    pub fn all(config_file: &Path, overrides: &[(String, String)]) -> Result<Vec<Self>, ProjectError> {
        let (config, _) = read_config(config_file, overrides)?;
        // Nothing is said of a judge that is the task model, and without an embedder nothing is embedded.
        let is_shown = |role: &ModelRole| match role {
            ModelRole::Task | ModelRole::Proposer => true,
            ModelRole::Judge | ModelRole::Embedder => has_own(&config, *role),
        };
        let roles = ModelRole::ALL.into_iter().filter(is_shown);
        Ok(roles.map(|role| Self::of(&config, role)).collect())
    }

    /// The model in `role`.
    fn of(config: &Config, role: ModelRole) -> Self {
        Self { own: has_own(config, role), ..Self::of_table(Project::model(config, role), role) }
    }

    /// What `model`, a table of `role`, says.
    pub(super) fn of_table(model: &ModelConfig, role: ModelRole) -> Self {
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        Self {
            role,
            own: true,
            provider: model.provider.name(),
            model: shown_name(model),
            address: address(model).map(without_password),
            also_at: model.also_at.iter().map(|address| without_password(address)).collect(),
            key: key_name(model).map(|name| KeyVariable { name: name.to_owned(), is_set: is_set(name) }),
            price: limits::price(model),
            max_concurrency: concurrency(model),
            requests_per_minute: model.requests_per_minute,
            tokens_per_minute: model.tokens_per_minute,
            max_tokens: model.max_tokens,
            fallback: model.fallback.iter().map(|model| Self::of_table(model, role)).collect(),
        }
    }
}

/// `address` without a name and password in it, which every command that would ask it refuses.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_command_and_the_embedded_model_by_its_name() {
        let name = |table: &str| shown_name(&toml::from_str::<ModelConfig>(table).unwrap());
        assert_eq!(name("provider = \"command\"\nrun = [\"python3\", \"model.py\"]"), "python3 model.py");
        assert_eq!(name("provider = \"embedded\""), "embedded");
        assert_eq!(name("provider = \"openai\"\nmodel = \"gpt-5-mini\""), "gpt-5-mini");
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(without_password("http://me:hunter2@host:81/v1/a@b"), "http://…@host:81/v1/a@b");
        for plain in ["http://host:81/v1/a@b", "${URL}/v1", "host"] {
            assert_eq!(without_password(plain), plain);
        }
    }
}
