//! From a table of `[models]` to what answers its calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::load::expand_with;
use super::{Project, ProjectError};
use crate::config::{ModelConfig, Provider};
use crate::model::embedded::{self, Embedded};
use crate::model::{
    Chat, DEFAULT_MAX_OUTPUT, Dialect, Endpoint, EndpointConfig, Hidden, Limit, ModelRole, Preset, Program, ProviderId,
    Speaks,
};

/// Most calls of the embedded model under way at once: it is this machine that answers.
const EMBEDDED_CONCURRENCY: usize = 8;

/// The version of Azure's API where the config doesn't say: the latest stable one with JSON schemas.
const API_VERSION: &str = "2024-10-21";

/// Longest time for an answer that is streamed: one that something comes of all the while may take long, but not for ever.
const LONGEST_STREAM: Duration = Duration::from_secs(3_600);

/// What answers calls, and who that is.
pub(super) type Known = (ProviderId, Arc<dyn Chat>);

/// What answers the calls of `model` in `role`, which stands at `models.{path}`, and who that is: one for each of its
/// addresses. Each is told the [`Limit`] that `limits` has for it, which it tells what it says of its rate limits.
///
/// # Errors
/// A key that isn't set, an endpoint that can't be set up, a program that isn't there.
pub(super) fn chats(
    model: &ModelConfig,
    role: ModelRole,
    path: &str,
    root: &Path,
    limits: &[Limit],
) -> Result<Vec<Known>, ProjectError> {
    match model.provider {
        Provider::Embedded => {
            let id = ProviderId { kind: embedded::NAME.to_owned(), base_url: embedded::VERSION.to_owned() };
            Ok(vec![(id, Arc::new(Embedded::new()))])
        }
        Provider::Command => {
            let run = model.run.clone().unwrap_or_default();
            let program = Program::new(run, root, Project::duration(model.timeout_seconds))
                .map_err(|problem| ProjectError::Program { key: format!("models.{path}.run"), problem })?;
            Ok(vec![(program.id(), Arc::new(program))])
        }
        _ => {
            let mut chats: Vec<Known> = Vec::new();
            for ((at, base_url), limit) in addresses(model).into_iter().enumerate().zip(limits) {
                let key = if at == 0 { "base_url".to_owned() } else { format!("also_at.{}", at - 1) };
                let endpoint = endpoint(model, role, path, &key, base_url)?;
                chats.push((endpoint.id(), Arc::new(endpoint.telling(limit))));
            }
            Ok(chats)
        }
    }
}

/// The addresses at which `model` is asked, variables not yet replaced; one that is empty for what isn't reached over HTTP.
pub(super) fn addresses(model: &ModelConfig) -> Vec<&str> {
    let first = address(model).unwrap_or_default();
    std::iter::once(first).chain(model.also_at.iter().map(String::as_str)).collect()
}

/// How many calls of `model` may be under way at once.
pub(super) fn concurrency(model: &ModelConfig) -> usize {
    match model.provider {
        Provider::Embedded => model.max_concurrency.min(EMBEDDED_CONCURRENCY),
        _ => model.max_concurrency,
    }
}

/// The variable that holds the key of `model`, if it is sent one.
pub(super) fn key_name(model: &ModelConfig) -> Option<&str> {
    let usual = Preset::named(model.provider.name()).and_then(|preset| preset.api_key_env);
    model.api_key_env.as_deref().or(usual)
}

/// Where `model` is reached, variables not yet replaced; `None` for what isn't reached over HTTP.
pub(super) fn address(model: &ModelConfig) -> Option<&str> {
    let preset = Preset::named(model.provider.name())?;
    Some(model.base_url.as_deref().unwrap_or(preset.base_url))
}

/// How `model` is spoken to; `None` for what isn't reached over HTTP.
pub(super) fn spoken(model: &ModelConfig) -> Option<Dialect> {
    (!matches!(model.provider, Provider::Embedded | Provider::Command)).then(|| dialect(model))
}

fn dialect(model: &ModelConfig) -> Dialect {
    let speaks = Preset::named(model.provider.name()).map_or(Speaks::Chat(Default::default()), |preset| preset.speaks);
    match speaks {
        Speaks::Chat(accent) => Dialect::Chat(accent),
        Speaks::Responses => Dialect::Responses,
        Speaks::Azure => {
            Dialect::Azure { api_version: model.api_version.clone().unwrap_or_else(|| API_VERSION.to_owned()) }
        }
        Speaks::Anthropic => {
            let known = model.price.and_then(|price| price.max_output).unwrap_or(DEFAULT_MAX_OUTPUT);
            Dialect::Anthropic { max_tokens: known.min(DEFAULT_MAX_OUTPUT) }
        }
        Speaks::Gemini => Dialect::Gemini,
        Speaks::Bedrock => Dialect::Bedrock,
        Speaks::Ollama => Dialect::Ollama { context_length: model.context_length() },
    }
}

/// `model` in `role` at `base_url`, which stands at `models.{path}.{name}`.
fn endpoint(
    model: &ModelConfig,
    role: ModelRole,
    path: &str,
    name: &str,
    base_url: &str,
) -> Result<Endpoint, ProjectError> {
    let key = |name: &str| format!("models.{path}.{name}");
    let mut hidden = Hidden::default();
    let base_url = expand_with(&key(name), base_url, |name, value| hidden.hide_variable(name, value))?;
    let mut endpoint = EndpointConfig { hidden, ..EndpointConfig::new(base_url) };
    endpoint.provider = model.provider.name().to_owned();
    endpoint.timeout = Project::duration(model.timeout_seconds);
    endpoint.connect_timeout = endpoint.connect_timeout.min(endpoint.timeout);
    if model.stream {
        endpoint.stream = true;
        endpoint.idle_timeout = endpoint.timeout;
        endpoint.timeout = endpoint.timeout.max(LONGEST_STREAM);
    }
    if let Some(name) = key_name(model) {
        let advice = match model.api_key_env {
            Some(_) => "put the key there (export it), or leave api_key_env out for a server that needs none",
            None => "put the key there (export it), or name another variable as api_key_env",
        };
        let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        endpoint.api_key = Some(SecretString::from(value.ok_or_else(|| ProjectError::Environment {
            key: key("api_key_env"),
            name: name.to_owned(),
            advice: advice.to_owned(),
        })?));
    }
    let dialect = match role {
        ModelRole::Embedder => Dialect::Embeddings(Box::new(dialect(model))),
        ModelRole::Task | ModelRole::Proposer | ModelRole::Judge => dialect(model),
    };
    dialect.endpoint(endpoint).map_err(|error| ProjectError::Model { role: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_but_those_of_this_machine_has_a_preset() {
        for provider in Provider::ALL {
            let has_preset = Preset::named(provider.name()).is_some();
            assert_eq!(has_preset, !matches!(provider, Provider::Embedded | Provider::Command), "{}", provider.name());
        }
    }

    #[test]
    fn every_preset_can_be_set_up() {
        for provider in Provider::ALL.into_iter().filter(|provider| Preset::named(provider.name()).is_some()) {
            let table = serde_json::json!({"provider": provider, "model": "m", "base_url": "http://localhost:1/v1"});
            let model: ModelConfig = serde_json::from_value(table).unwrap();
            let config =
                EndpointConfig { provider: provider.name().into(), ..EndpointConfig::new("http://localhost:1/v1") };
            let endpoint = dialect(&model).endpoint(config).unwrap();
            assert_eq!(endpoint.id().kind, provider.name());
        }
    }
}
