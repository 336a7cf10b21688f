//! From `[[scorers]]` to scorers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::named::NamedFiles;
use super::provider::key_name;
use super::{Project, ProjectError, judges};
use crate::config::{Config, ScorerConfig, ScorerKind};
use crate::model::BoxFuture;
use crate::score::{
    Asserted, Bleu, Bounds, Chrf, CommandOptions, CommandScorer, Contains, ContainsOptions, Cost, EmbeddingOptions,
    EmbeddingSimilarity, ExactMatch, ExactMatchOptions, Group, ItemOptions, JsonDiff, JsonFields, JsonFieldsOptions,
    JsonPath, JsonPathOptions, JsonSchema, JsonValid, JsonValidOptions, Latency, Length, Levenshtein, ListContains,
    ListMatch, Numeric, NumericDiff, NumericOptions, PythonOptions, PythonScorer, RegexMatch, RegexOptions, RougeL,
    Rule, Scorer, ScorerSet, ScorerSetupError, SetMatch, StartsWith, TokenF1, WordCount, Wrapped, trace,
};

/// Builds the scorers of `config`, starting those that are processes; `files` is told of the files that they are made of.
pub(super) async fn build(config: &Config, root: &Path, files: &mut NamedFiles) -> Result<ScorerSet, ProjectError> {
    // A config file without a folder before its name is in the working directory.
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let mut builder = Builder { config, root, files };
    let mut scorers = Vec::new();
    for scorer in &config.scorers {
        scorers.push((builder.one(scorer, scorer.name().into_owned()).await?, scorer.weight));
    }
    Ok(ScorerSet::new(scorers)?)
}

/// The config path of the scorer called `name`; one within a group is called `group/scorer`.
pub(super) fn path_to(scorers: &[ScorerConfig], name: &str) -> Option<String> {
    scorers.iter().enumerate().find_map(|(index, scorer)| {
        let own = scorer.name();
        if own == name {
            return Some(format!("scorers.{index}"));
        }
        let within = path_to(scorer.parts(), name.strip_prefix(own.as_ref())?.strip_prefix('/')?)?;
        Some(format!("scorers.{index}.{within}"))
    })
}

struct Builder<'a> {
    config: &'a Config,
    /// What paths are relative to.
    root: &'a Path,
    /// The files that the scorers are made of.
    files: &'a mut NamedFiles,
}

type Built = Result<Arc<dyn Scorer>, ScorerSetupError>;

impl Builder<'_> {
    /// A scorer with its threshold and its `not`; `name` is that in reports.
    fn one<'a>(&'a mut self, scorer: &'a ScorerConfig, name: String) -> BoxFuture<'a, Built> {
        Box::pin(async move {
            let mut built = self.kind(scorer, &name).await?;
            // That of `all_of` is part of what it does.
            if let Some(threshold) = scorer.threshold
                && !matches!(scorer.kind, ScorerKind::AllOf { .. })
            {
                built = Arc::new(Wrapped::threshold(built, threshold));
            }
            Ok(if scorer.not { Arc::new(Wrapped::not(built)) } else { built })
        })
    }

    async fn kind(&mut self, scorer: &ScorerConfig, name: &str) -> Built {
        Ok(match &scorer.kind {
            ScorerKind::ExactMatch { trim, ignore_case } => {
                Arc::new(ExactMatch::new(name, ExactMatchOptions { trim: *trim, ignore_case: *ignore_case }))
            }
            ScorerKind::Contains { any, all, ignore_case } => {
                let (any, all) = (any.clone().unwrap_or_default(), all.clone().unwrap_or_default());
                Arc::new(Contains::new(name, ContainsOptions { any, all, ignore_case: *ignore_case })?)
            }
            ScorerKind::StartsWith { prefix, ignore_case } => {
                Arc::new(StartsWith::new(name, prefix.clone(), *ignore_case)?)
            }
            ScorerKind::Regex { pattern, ignore_case } => {
                let options = RegexOptions { pattern: pattern.clone(), ignore_case: *ignore_case };
                Arc::new(RegexMatch::new(name, options)?)
            }
            ScorerKind::Numeric { tolerance, relative } => {
                Arc::new(Numeric::new(name, NumericOptions { absolute: *tolerance, relative: *relative })?)
            }
            ScorerKind::NumericDiff {} => Arc::new(NumericDiff::new(name)),
            ScorerKind::Levenshtein { max_distance } => Arc::new(Levenshtein::new(name, *max_distance)),
            ScorerKind::EmbeddingSimilarity { expected_min, prefix } => {
                Arc::new(self.embedding_similarity(name, *expected_min, prefix)?)
            }
            ScorerKind::JsonValid { allow_fence } => {
                Arc::new(JsonValid::new(name, JsonValidOptions { allow_fence: *allow_fence }))
            }
            ScorerKind::JsonFields { fields, ignore_case } => {
                let fields = fields.iter().map(|(field, weight)| (field.clone(), *weight)).collect();
                Arc::new(JsonFields::new(name, JsonFieldsOptions { fields, ignore_case: *ignore_case })?)
            }
            ScorerKind::JsonDiff { preserve_strings } => Arc::new(JsonDiff::new(name, *preserve_strings)),
            ScorerKind::JsonSchema { schema, path, allow_fence } => {
                Arc::new(self.json_schema(name, schema.as_ref(), path.as_ref(), *allow_fence)?)
            }
            ScorerKind::JsonPath { path, equals, ignore_case } => {
                let (path, equals) = (path.clone(), equals.clone());
                Arc::new(JsonPath::new(name, JsonPathOptions { path, equals, ignore_case: *ignore_case })?)
            }
            ScorerKind::SetMatch { separator, ignore_case } => {
                Arc::new(SetMatch::new(name, items(separator, *ignore_case))?)
            }
            ScorerKind::ListMatch { separator, ignore_case } => {
                Arc::new(ListMatch::new(name, items(separator, *ignore_case))?)
            }
            ScorerKind::ListContains { separator, ignore_case, allow_extra } => {
                Arc::new(ListContains::new(name, items(separator, *ignore_case), *allow_extra)?)
            }
            ScorerKind::TokenF1 {} => Arc::new(TokenF1::new(name)),
            ScorerKind::RougeL {} => Arc::new(RougeL::new(name)),
            ScorerKind::Bleu { ignore_case } => Arc::new(Bleu::new(name, *ignore_case)),
            ScorerKind::Chrf { ignore_case } => Arc::new(Chrf::new(name, *ignore_case)),
            ScorerKind::WordCount { min, max } => Arc::new(WordCount::new(name, Bounds { min: *min, max: *max })?),
            ScorerKind::Length { min, max } => Arc::new(Length::new(name, Bounds { min: *min, max: *max })?),
            ScorerKind::Latency { max_seconds } => Arc::new(Asserted::new(name, Latency::new(name, *max_seconds)?)),
            ScorerKind::Cost { max_usd } => Arc::new(Asserted::new(name, Cost::new(name, *max_usd)?)),
            ScorerKind::AllOf { scorers } => {
                let rule = scorer.threshold.map_or(Rule::Least, Rule::Mean);
                Arc::new(Group::new(name, rule, self.parts(scorers, name).await?)?)
            }
            ScorerKind::AnyOf { scorers } => {
                Arc::new(Group::new(name, Rule::Greatest, self.parts(scorers, name).await?)?)
            }
            ScorerKind::TraceCalled { steps } => Arc::new(Asserted::new(name, trace::Called::new(steps.clone()))),
            ScorerKind::TraceOrder { steps } => Arc::new(Asserted::new(name, trace::Order::new(steps.clone()))),
            ScorerKind::TraceAtMost { step, times } => {
                Arc::new(Asserted::new(name, trace::AtMost::new(step.clone(), *times)))
            }
            ScorerKind::TraceNoError {} => Arc::new(Asserted::new(name, trace::NoError)),
            ScorerKind::TracePath { steps } => Arc::new(Asserted::new(name, trace::Path::new(steps.clone()))),
            ScorerKind::TraceSteps { min, max } => {
                let steps = trace::Steps::new(name, Bounds { min: *min, max: *max })?;
                Arc::new(Asserted::new(name, steps))
            }
            ScorerKind::Python { path, timeout_seconds } => {
                let mut options = PythonOptions::new(self.root.join(path));
                options.timeout = Project::duration(*timeout_seconds);
                options.hidden_env = key_names(self.config);
                let scorer = PythonScorer::start(name, options).await?;
                self.files.program(self.root, path);
                let folder = path.parent().unwrap_or(Path::new(""));
                scorer.modules().iter().for_each(|module| self.files.program(self.root, &folder.join(module)));
                Arc::new(scorer)
            }
            ScorerKind::Command { run, timeout_seconds } => {
                let mut options = CommandOptions::new(run.clone(), self.root);
                options.timeout = Project::duration(*timeout_seconds);
                options.hidden_env = key_names(self.config);
                self.files.command(self.root, run);
                Arc::new(CommandScorer::start(name, options).await?)
            }
            judge => Arc::new(judges::build(self.config, judge, name, self.root, self.files)?),
        })
    }

    /// The scorers of the group called `group`, with their weights.
    async fn parts(
        &mut self,
        scorers: &[ScorerConfig],
        group: &str,
    ) -> Result<Vec<(Arc<dyn Scorer>, f64)>, ScorerSetupError> {
        let mut parts = Vec::new();
        for scorer in scorers {
            parts.push((self.one(scorer, format!("{group}/{}", scorer.name())).await?, scorer.weight));
        }
        Ok(parts)
    }

    fn embedding_similarity(
        &self,
        name: &str,
        expected_min: f64,
        prefix: &str,
    ) -> Result<EmbeddingSimilarity, ScorerSetupError> {
        let Some(model) = &self.config.models.embedder else {
            let message = "compares texts by their embeddings: name a model that embeds as [models.embedder]";
            return Err(ScorerSetupError { scorer: name.to_owned(), message: message.to_owned() });
        };
        let options = EmbeddingOptions {
            model: model.model.clone().unwrap_or_default(),
            extra: model.extra.clone(),
            prefix: prefix.to_owned(),
            expected_min,
        };
        EmbeddingSimilarity::new(name, options)
    }

    /// A schema as it is written, or from its file.
    fn json_schema(
        &mut self,
        name: &str,
        schema: Option<&Map<String, Value>>,
        path: Option<&PathBuf>,
        allow_fence: bool,
    ) -> Result<JsonSchema, ScorerSetupError> {
        let Some(path) = path else {
            return JsonSchema::new(name, &Value::Object(schema.cloned().unwrap_or_default()), allow_fence);
        };
        let refused = |message: String| ScorerSetupError { scorer: name.to_owned(), message };
        let text = self.files.text(self.root, path).map_err(|error| refused(error.to_string()))?;
        let path = self.root.join(path);
        let in_file = |problem: String| refused(format!("{}: {problem}", path.display()));
        let schema = serde_json::from_str(&text).map_err(|error| in_file(format!("is not JSON: {error}")))?;
        JsonSchema::new(name, &schema, allow_fence).map_err(|error| in_file(error.message))
    }
}

fn items(separator: &str, ignore_case: bool) -> ItemOptions {
    ItemOptions { separator: separator.to_owned(), ignore_case }
}

/// The variables that hold keys: no process of the user's needs to see them.
pub(super) fn key_names(config: &Config) -> Vec<String> {
    config
        .models
        .all()
        .into_iter()
        .filter_map(|(_, model)| key_name(model).map(str::to_owned))
        .chain(config.notify.webhook_env.clone())
        .collect()
}
