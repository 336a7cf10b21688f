//! From text and overrides to a checked [`Config`].

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::error::{Cause, ConfigError, Place, Problem};
use super::models::EMBEDDER;
use super::schema::{Finding, check, dotted};
use super::source::{At, Source};
use super::{Config, ModelConfig, Provider, Repeats, ScorerConfig, ScorerKind};

/// What the model of the provider `embedded` may be called.
const EMBEDDED: &str = "embedded";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Config).to_value());

impl Config {
    /// Reads a config. `file_name` is for error messages alone. Each override is a dotted key (`scorers.0.weight`) and
    /// a TOML value, or else a bare string; later ones win over earlier ones and over the file.
    ///
    /// # Errors
    /// All that is wrong, with its place: text that isn't TOML, unknown keys, values of the wrong type or out of
    /// range, missing keys, keys that contradict each other, and keys that would do nothing.
    pub fn parse(file_name: &str, text: &str, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let source = Source::parse(file_name, text, overrides)?;
        let config = Self::read(&source)?;
        error(&source, idle_keys(&source.root)).map_or(Ok(config), Err)
    }

    /// Reads the config of a run's snapshot: it was checked when the run began, and holds all defaults, also of keys
    /// that nothing reads.
    ///
    /// # Errors
    /// As [`Config::parse`], but for keys that do nothing.
    pub fn parse_snapshot(file_name: &str, text: &str) -> Result<Self, ConfigError> {
        Self::read(&Source::parse(file_name, text, &[])?)
    }

    fn read(source: &Source<'_>) -> Result<Self, ConfigError> {
        let mut findings = check(&SCHEMA, &source.root);
        findings.extend(prompt_conflict(&source.root));
        if let Some(error) = error(source, findings) {
            return Err(error);
        }
        // The schema has found everything that serde would; should it ever take more than the types do, this says so.
        let config: Config = serde_path_to_error::deserialize(&source.root).map_err(|failed| {
            let path: Vec<String> = failed.path().iter().map(ToString::to_string).collect();
            let cause = Cause::Conflict(failed.inner().to_string());
            Problem { place: source.place(&path, At::Value), key: dotted(&path), cause }
        })?;
        error(source, config.conflicts()).map_or(Ok(config), Err)
    }

    /// The JSON schema of `ratchet.toml`, for editors.
    pub fn json_schema() -> Value {
        SCHEMA.clone()
    }

    /// Where the value of `path` was written in a config that [`Config::parse`] takes: the file, or an override; for a
    /// key that isn't there, the table around it. None for a text that isn't TOML.
    pub fn place(file_name: &str, text: &str, overrides: &[(String, String)], path: &[String]) -> Option<Place> {
        Some(Source::parse(file_name, text, overrides).ok()?.place(path, At::Key))
    }

    /// What no key alone shows.
    fn conflicts(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for (path, model) in self.models.all() {
            let role = path.join(".");
            let at = |key: &str| below_models(&path, key);
            found.extend(missing(&path, model));
            if path[0] == EMBEDDER && !model.provider.embeds() {
                let embedding = Provider::ALL.into_iter().filter(|provider| provider.embeds());
                let message = format!(
                    "`models.{role}.provider` is \"{}\", which embeds no texts here; take one of {}, or compare texts in a \
                     `python` scorer",
                    model.provider.name(),
                    embedding.map(|provider| format!("\"{}\"", provider.name())).collect::<Vec<_>>().join(", ")
                );
                found.push(Finding { path: at("provider"), cause: Cause::Conflict(message) });
                continue;
            }
            if let Some(name) = model.model.as_deref().filter(|_| model.provider == Provider::Embedded)
                && name != EMBEDDED
            {
                let message = format!(
                    "`models.{role}.model` is \"{name}\", but `embedded` has one model alone; leave it out, or set \
                     models.{role}.provider to \"openai\""
                );
                found.push(Finding { path: at("model"), cause: Cause::Conflict(message) });
            }
            if let Some(answer) = model.max_tokens.filter(|answer| *answer >= model.context_length())
                && model.provider == Provider::Ollama
            {
                let message = format!(
                    "`models.{role}.max_tokens` is {answer}, and the context of {} has to hold what is read as well; lower it, or \
                     raise models.{role}.context_length",
                    model.context_length()
                );
                found.push(Finding { path: at("max_tokens"), cause: Cause::Conflict(message) });
            }
            if path.len() > 1 && !model.fallback.is_empty() {
                let message = "a fallback has no fallback of its own; put it into the same list".to_owned();
                found.push(Finding { path: at("fallback"), cause: Cause::Conflict(message) });
            }
        }
        if self.notify.webhook.is_some() && self.notify.webhook_env.is_some() {
            let message = "`notify.webhook` and `notify.webhook_env` both name an address; keep one".to_owned();
            found.push(finding(&["notify", "webhook"], Cause::Conflict(message)));
        }
        if self.prompts.len() > 1 && self.target.is_none() {
            let message = format!(
                "a chat model is sent one prompt, and there are {}; keep one, or name the program that takes them as \
                 [target]",
                self.prompts.len()
            );
            found.push(finding(&["prompts"], Cause::Conflict(message)));
        }
        if self.models.task.logprobs && self.target.is_some() {
            let message =
                "`models.task.logprobs` does nothing with [target], whose answers are a program's; leave it out";
            found.push(finding(&["models", "task", "logprobs"], Cause::Conflict(message.to_owned())));
        }
        scorer_conflicts(&self.scorers, &["scorers".to_owned()], true, &mut found);
        found.extend(self.repeat_conflicts());
        found.extend(self.objective_conflict());
        if self.target.is_none() {
            traces_wanted(&self.scorers, &["scorers".to_owned()], &mut found);
        }
        found
    }

    /// Macro F1 takes an answer for the label that it is, word for word: where the scorers see it otherwise, a row could
    /// pass and its label not be told.
    fn objective_conflict(&self) -> Option<Finding> {
        if self.objective.is_mean_score() {
            return None;
        }
        let is_plain = match self.scorers.as_slice() {
            [only] => {
                let plain = ScorerKind::ExactMatch { trim: true, ignore_case: false };
                only.kind == plain && !only.not && only.threshold.is_none()
            }
            _ => false,
        };
        let why = if !is_plain {
            "takes an answer for a label word for word: keep one scorer, `exact_match` without options"
        } else if self.repeats.samples > 1 {
            "counts one answer a row: leave `repeats` out"
        } else {
            return None;
        };
        let message = format!("`objective = \"macro_f1\"` {why}; or leave `objective` out to have the mean score");
        Some(finding(&["objective"], Cause::Conflict(message)))
    }

    fn repeat_conflicts(&self) -> Option<Finding> {
        let Repeats { samples, at_least, pass_at } = self.repeats;
        let of_model = self.models.task.is_deterministic();
        if samples > 1 && self.target.as_ref().map_or(of_model, |target| target.deterministic) {
            let message = format!(
                "`repeats.samples` is {samples}, but what answers the rows is deterministic and gives the same answer each \
                 time; leave it out, or say `deterministic = false`"
            );
            return Some(finding(&["repeats", "samples"], Cause::Conflict(message)));
        }
        if at_least.is_some() && pass_at.is_some() {
            let message = "`repeats` has both `at_least` and `pass_at`; keep one".to_owned();
            return Some(finding(&["repeats", "pass_at"], Cause::Conflict(message)));
        }
        let (key, asked) = at_least.map(|least| ("at_least", least)).or(pass_at.map(|k| ("pass_at", k)))?;
        let message = format!(
            "`repeats.{key}` is {asked}, more than the {samples} of `repeats.samples`; lower it, or raise those"
        );
        (asked > samples).then(|| finding(&["repeats", key], Cause::Conflict(message)))
    }
}

/// Scorers of a list at `path` that look at steps which no chat model takes.
fn traces_wanted(scorers: &[ScorerConfig], path: &[String], found: &mut Vec<Finding>) {
    for (index, scorer) in scorers.iter().enumerate() {
        let place = [path, &[index.to_string()]].concat();
        if scorer.kind.needs_trace() {
            let message = format!(
                "`{}` looks at the steps of an agent, and a chat model has none; name the program as [target], or leave it out",
                scorer.name()
            );
            found.push(Finding { path: place.clone(), cause: Cause::Conflict(message) });
        }
        traces_wanted(scorer.parts(), &[place.as_slice(), &["scorers".to_owned()]].concat(), found);
    }
}

/// What the scorers of a list at `path` have against one another or within themselves; `weighed`: their weights count.
fn scorer_conflicts(scorers: &[ScorerConfig], path: &[String], weighed: bool, found: &mut Vec<Finding>) {
    for (index, scorer) in scorers.iter().enumerate() {
        let place = [path, &[index.to_string()]].concat();
        let mut report = |message: String| found.push(Finding { path: place.clone(), cause: Cause::Conflict(message) });
        let name = scorer.name();
        if scorers[..index].iter().any(|earlier| earlier.name() == name) {
            report(format!("two scorers are called `{name}`; give one of them another `name`"));
        }
        if !weighed && scorer.weight != 1.0 {
            report(format!(
                "the weight of `{name}` does nothing: `all_of` is the least of its scores; leave it out, or give `all_of` a \
                 `threshold` for the weighted mean"
            ));
        }
        match &scorer.kind {
            ScorerKind::JsonSchema { schema: Some(_), path: Some(_), .. } => {
                report(format!("`{name}` has both `schema` and `path`; keep one of them"));
            }
            ScorerKind::JsonSchema { schema: None, path: None, .. } => {
                report(format!("`{name}` has no schema; write it as `schema = {{ .. }}`, or name its file as `path`"));
            }
            _ => {}
        }
        let weighed = scorer.threshold.is_some() || !matches!(scorer.kind, ScorerKind::AllOf { .. });
        scorer_conflicts(scorer.parts(), &[place.as_slice(), &["scorers".to_owned()]].concat(), weighed, found);
    }
}

/// The path of `key` in the model's table at `path` below `models`.
fn below_models(path: &[String], key: &str) -> Vec<String> {
    let parts = ["models"].into_iter().chain(path.iter().map(String::as_str)).chain([key]);
    parts.map(str::to_owned).collect()
}

/// Keys that the provider of a model can't do without.
fn missing(path: &[String], model: &ModelConfig) -> Vec<Finding> {
    let provider = model.provider;
    let mut needed = Vec::new();
    match provider {
        Provider::Embedded => {}
        Provider::Command if model.run.is_none() => needed.push(("run", "The program and its arguments")),
        Provider::Command => {}
        _ if model.model.is_none() => needed.push(("model", "Its name as the provider knows it")),
        _ => {}
    }
    if provider == Provider::Azure && model.base_url.is_none() {
        needed.push(("base_url", "The resource's address, as in https://NAME.openai.azure.com"));
    }
    let cause = |purpose| Cause::Missing(format!("{purpose}; required by `{}`.", provider.name()));
    let finding = |(key, purpose)| Finding { path: below_models(path, key), cause: cause(purpose) };
    needed.into_iter().map(finding).collect()
}

/// Keys that a model may have and that its provider would ignore: who sets one expects something of it.
fn idle_keys(root: &Value) -> Vec<Finding> {
    let models = root.get("models").and_then(Value::as_object).into_iter().flatten();
    let with_fallbacks = models.flat_map(|(role, model)| {
        let fallbacks = model["fallback"].as_array().into_iter().flatten().enumerate();
        let fallbacks = fallbacks.map(|(at, model)| (vec![role.clone(), "fallback".to_owned(), at.to_string()], model));
        std::iter::once((vec![role.clone()], model)).chain(fallbacks.collect::<Vec<_>>())
    });
    let mut found = Vec::new();
    for (path, model) in with_fallbacks {
        let role = path.join(".");
        let Some(provider) = model["provider"].as_str().and_then(Provider::named) else { continue };
        let keys = model.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        for key in keys {
            if let Some(why) = idle_in_role(&path, key).filter(|_| provider.reads(key)) {
                let message = format!("`models.{role}.{key}` does nothing: {why}; leave it out");
                found.push(Finding { path: below_models(&path, key), cause: Cause::Conflict(message) });
            }
            if provider.reads(key) {
                continue;
            }
            if let (Provider::Bedrock, "stream") = (provider, key) {
                let message = format!(
                    "`models.{role}.stream` does nothing with the provider \"bedrock\", whose binary stream of events is not \
                     read here; leave it out"
                );
                found.push(Finding { path: below_models(&path, key), cause: Cause::Conflict(message) });
                continue;
            }
            let reader = match key {
                "run" => Provider::Command,
                "context_length" => Provider::Ollama,
                "api_version" => Provider::Azure,
                _ => Provider::Openai,
            };
            let message = format!(
                "`models.{role}.{key}` does nothing with the provider \"{}\"; leave it out, or set \
                 models.{role}.provider to \"{}\"",
                provider.name(),
                reader.name()
            );
            found.push(Finding { path: below_models(&path, key), cause: Cause::Conflict(message) });
        }
    }
    found
}

/// Why `key` does nothing for the model at `path` below `models`, whatever its provider.
fn idle_in_role(path: &[String], key: &str) -> Option<&'static str> {
    match (path[0].as_str(), key) {
        (EMBEDDER, "temperature" | "max_tokens" | "seed" | "deterministic") => Some("a text has one embedding"),
        (EMBEDDER, "stream") => Some("an embedding comes at once"),
        (role, "logprobs") if role != "task" => Some("only answers to rows are told with it"),
        _ => None,
    }
}

/// There must be either `prompt` or `[prompts]`.
fn prompt_conflict(root: &Value) -> Option<Finding> {
    match (root.get("prompt"), root.get("prompts").and_then(Value::as_object)) {
        (Some(_), Some(prompts)) if !prompts.is_empty() => {
            let message = "both `prompt` and [prompts] are given; keep one of them";
            Some(finding(&["prompts"], Cause::Conflict(message.to_owned())))
        }
        (None, prompts) if prompts.is_none_or(Map::is_empty) => {
            Some(finding(&["prompt"], Cause::Missing("The prompt file to optimise; or [prompts].".to_owned())))
        }
        (_, prompts) => {
            let prompts: Vec<_> = prompts.into_iter().flatten().collect();
            let (at, twice) =
                prompts.iter().enumerate().find(|(at, (_, path))| prompts[..*at].iter().any(|of| of.1 == *path))?;
            let first = prompts[..at].iter().find(|of| of.1 == twice.1).map_or("", |of| of.0.as_str());
            let message = format!("`prompts.{first}` and `prompts.{}` are the same file; keep one of them", twice.0);
            Some(finding(&["prompts", twice.0], Cause::Conflict(message)))
        }
    }
}

fn finding(path: &[&str], cause: Cause) -> Finding {
    Finding { path: path.iter().map(|part| (*part).to_owned()).collect(), cause }
}

/// The error for what was found, in order of place; none if nothing was.
fn error(source: &Source<'_>, findings: Vec<Finding>) -> Option<ConfigError> {
    let mut problems: Vec<Problem> = findings
        .into_iter()
        .map(|Finding { path, cause }| {
            let at = if matches!(cause, Cause::Value { .. }) { At::Value } else { At::Key };
            Problem { place: source.place(&path, at), key: dotted(&path), cause }
        })
        .collect();
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    (!problems.is_empty()).then_some(ConfigError { problems })
}
