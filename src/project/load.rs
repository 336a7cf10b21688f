//! Loading a project: config, prompts, dataset, strategies, all checked against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::named::NamedFiles;
use super::{ProjectError, judges, limits, scorers};
use crate::config::{self, Config};
use crate::dataset::{Dataset, Example, PackedDataset, Rows, Split, SplitLock, labels, load};
use crate::eval::Objective;
use crate::model::ModelRole;
use crate::prompt::{Prompt, PromptError, PromptSet};
use crate::propose::{GuardLimits, Guards, Strategy, load_strategies, quoted_rows};
use crate::run::Calibrations;
use crate::score::ScorerSet;
use crate::search::{CallLimits, GateSettings, Parts, Protected, Settings, Task};
use crate::text::plural;

/// Name of the config file in a project's folder.
pub const CONFIG_FILE: &str = "ratchet.toml";

/// How many rows with different inputs are enough to see that a prompt says the same for all.
const ROWS_TOLD_APART: usize = 20;

/// How many quoted rows a warning names.
const QUOTED_NAMED: usize = 5;

/// A project, read and checked.
pub struct Project {
    /// The folder that its paths are relative to.
    pub root: PathBuf,
    /// The config file as the user named it.
    pub config_file: PathBuf,
    /// The config, overrides applied and prices looked up.
    pub config: Config,
    /// The rows.
    pub dataset: PackedDataset,
    /// What deserves a look, but is no error.
    pub warnings: Vec<String>,
    /// Where each prompt's file is, by name.
    pub prompt_files: BTreeMap<String, PathBuf>,
    /// The prompts as they are in their files.
    pub prompts: Arc<PromptSet>,
    /// Ids of the rows that these prompts quote as examples: a run measures no prompt on them.
    pub quoted: BTreeSet<String>,
    /// The strategies to choose from.
    pub strategies: Vec<Arc<Strategy>>,
    /// The scorers, started.
    pub scorers: Arc<ScorerSet>,
    /// What judges came to when they were calibrated.
    pub(super) calibrations: Calibrations,
    /// The files that the scorers are made of.
    pub(super) files: NamedFiles,
    pub(super) lock: Option<SplitLock>,
}

impl Project {
    /// Reads and checks the project of `config_file`; each override is a dotted key and a value. Starts scorers that
    /// are processes; makes no call and writes nothing.
    ///
    /// # Errors
    /// [`ProjectError`], saying where and what to do.
    pub async fn load(config_file: &Path, overrides: &[(String, String)]) -> Result<Self, ProjectError> {
        let text = config_text(config_file)?;
        let file = config_file.to_string_lossy();
        let root = config_file.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut config = Config::parse(&file, &text, overrides)?;
        limits::look_up_prices(&mut config, &root)?;
        let placed = |key: Option<Vec<String>>, error: ProjectError| match key
            .and_then(|key| Config::place(&file, &text, overrides, &key))
        {
            Some(place) => ProjectError::At { place, error: Box::new(error) },
            None => error,
        };
        let at = |error: ProjectError| placed(error.key(&config), error);
        let (mut prompts, mut prompt_files) = (Vec::new(), BTreeMap::new());
        for (name, key, path) in config.prompt_names() {
            let path = root.join(path);
            let key = if config.prompt.is_some() {
                vec!["prompt".to_owned()]
            } else {
                vec!["prompts".to_owned(), key.to_owned()]
            };
            let parsed = Prompt::parse(&name, &read(&path).map_err(|error| placed(Some(key), error))?);
            prompts.push(parsed.map_err(|error| PromptError { file: path.display().to_string(), ..error })?);
            prompt_files.insert(name, path);
        }
        let prompts = Arc::new(prompt_set(&config, prompts).map_err(|error| at_path(&prompt_files, error))?);
        let strategies_folder = root.join(&config.search.strategies);
        let folder = strategies_folder.is_dir().then_some(strategies_folder.as_path());
        let strategies = load_strategies(folder, &config.search.disable).map_err(|error| at(error.into()))?;
        super::models::check(&config, &root).map_err(at)?;
        super::target::check(&config, &root).map_err(at)?;
        let mut files = NamedFiles::default();
        let scorers = Arc::new(scorers::build(&config, &root, &mut files).await.map_err(at)?);
        let mut source = config.dataset.clone().under(&root);
        source.path = expand("dataset", &source.path.to_string_lossy()).map_err(at)?.into();
        let loaded = load(&source, scorers.needs_expected().is_some()).map_err(|error| at(error.into()))?;
        for (example, line) in loaded.dataset.rows.iter().zip(&loaded.lines) {
            for prompt in prompts.iter() {
                prompt.check(&example).map_err(|error| at_path(&prompt_files, error))?;
            }
            scorers.check(&example).map_err(|(scorer, problem)| ProjectError::Row {
                path: source.path.clone(),
                line: *line,
                row: example.id.clone(),
                scorer: scorer.to_owned(),
                problem,
            })?;
        }
        protected_tags_exist(&config, &loaded.dataset).map_err(at)?;
        if !config.objective.is_mean_score() && labels(loaded.dataset.rows.iter()).is_none() {
            return Err(at(ProjectError::NoLabels));
        }
        if config.target.is_none() {
            rows_are_told_apart(&prompts, &loaded.dataset).map_err(|error| at_path(&prompt_files, error))?;
        }
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let calibrations = Calibrations::read(&root.join(&config.runs))?;
        warnings.extend(judges::warnings(&config, &scorers, &calibrations));
        let quoted = quoted_rows(loaded.dataset.rows.iter(), &prompts);
        warnings.extend(held_out_quoted(&loaded.dataset, &quoted));
        warnings.extend(prompts.iter().filter_map(unread_model));
        Ok(Self {
            quoted,
            config_file: config_file.to_path_buf(),
            dataset: loaded.dataset,
            lock: Some(loaded.lock),
            root,
            config,
            warnings,
            prompt_files,
            prompts,
            strategies,
            scorers,
            calibrations,
            files,
        })
    }

    /// The same for a run, which never touches the split lock.
    pub(super) fn for_run(&self) -> Self {
        Self {
            root: self.root.clone(),
            config_file: self.config_file.clone(),
            config: self.config.clone(),
            dataset: self.dataset.clone(),
            warnings: Vec::new(),
            prompt_files: self.prompt_files.clone(),
            prompts: Arc::clone(&self.prompts),
            quoted: self.quoted.clone(),
            strategies: self.strategies.clone(),
            scorers: Arc::clone(&self.scorers),
            calibrations: self.calibrations.clone(),
            files: self.files.clone(),
            lock: None,
        }
    }

    /// Builds the scorers anew for a changed config.
    pub(super) async fn rebuild_scorers(&mut self) -> Result<(), ProjectError> {
        self.scorers = Arc::new(scorers::build(&self.config, &self.root, &mut self.files).await?);
        Ok(())
    }

    /// The project's name.
    pub fn name(&self) -> String {
        let absolute = std::path::absolute(&self.config_file).unwrap_or_else(|_| self.config_file.clone());
        self.config.name(&absolute)
    }

    /// Where runs are kept.
    pub fn runs(&self) -> PathBuf {
        self.root.join(&self.config.runs)
    }

    /// The split lock file where it isn't as the rows are now: new, or to be changed by [`Project::save_splits`].
    pub fn unsaved_splits(&self) -> Option<PathBuf> {
        self.lock.as_ref().filter(|lock| lock.is_changed()).map(|lock| self.root.join(lock.path()))
    }

    /// Writes the split lock file where rows are new; a lock that is up to date isn't touched.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_splits(&mut self) -> Result<(), ProjectError> {
        if let Some(lock) = &mut self.lock
            && lock.is_changed()
        {
            lock.save()?;
        }
        Ok(())
    }

    /// What the search may do.
    pub fn settings(&self) -> Settings {
        let config = &self.config;
        Settings {
            name: self.name(),
            seed: config.search.seed,
            generations: config.search.generations as u32,
            proposals: config.search.proposals as u32,
            patience: config.search.patience as u32,
            target_score: config.search.target_score,
            pass_threshold: config.pass_threshold,
            objective: self.objective(),
            gate: GateSettings {
                min_gain: config.gate.min_gain,
                standard_errors: config.gate.standard_errors,
                alpha: config.gate.alpha,
                judge_noise: judges::noise(config, &self.scorers, &self.calibrations),
                max_samples: config.gate.max_samples as u32,
                prune_margin: config.gate.prune_margin,
            },
            protected: Protected { pinned: config.guards.pinned, tags: config.guards.protected_tags.clone() },
            calls: CallLimits {
                total: config.budget.calls,
                task: config.budget.task.calls,
                proposer: config.budget.proposer.calls,
                judge: config.budget.judge.calls,
                embedder: config.budget.embedder.calls,
                scoring: self.scorers.calls(),
            },
            warnings: judges::warnings(config, &self.scorers, &self.calibrations)
                .into_iter()
                .chain(held_out_quoted(&self.dataset, &self.quoted))
                .collect(),
            parts: Parts::default(),
        }
    }

    /// What the score of a prompt is.
    pub fn objective(&self) -> Objective {
        match self.config.objective {
            config::Objective::MeanScore => Objective::MeanScore,
            config::Objective::MacroF1 => {
                let labels = self.labels().unwrap_or_default().into_iter().map(|(label, _)| label);
                Objective::MacroF1 { labels: labels.collect(), seed: self.config.search.seed }
            }
        }
    }

    /// The rows of `split` that a run measures: those that its starting prompts don't quote.
    pub fn measured(&self, split: Split) -> Rows {
        self.dataset.rows(split).with(|id| !self.quoted.contains(id))
    }

    /// The rows of a run: all but those of dev and test that its starting prompts quote. The search itself knows what it
    /// may not measure of train.
    pub(super) fn rows_of_run(&self) -> Dataset {
        let Dataset { examples, splits, fingerprint } = self.dataset.unpacked();
        let is_held_out =
            |(row, split): &(Arc<Example>, Split)| *split != Split::Train && self.quoted.contains(&row.id);
        let rows = examples.into_iter().zip(splits).filter(|row| !is_held_out(row));
        let (examples, splits) = rows.unzip();
        Dataset { examples, splits, fingerprint }
    }

    /// What the task is, for the proposer.
    pub fn task(&self) -> Task {
        let description = &self.config.description;
        Task { description: (!description.is_empty()).then(|| description.clone()), hints: self.config.hints.clone() }
    }

    /// The static guards that proposals must pass; `dataset` is the project's.
    pub fn guards(&self, dataset: &Dataset) -> Guards {
        let limits = GuardLimits {
            max_prompt_tokens: self.config.guards.max_prompt_tokens,
            max_growth: self.config.guards.max_growth,
            copied_words: self.config.guards.copied_words,
        };
        Guards::new(limits, &self.prompts, dataset)
    }

    /// The labels of a task of labels, with their counts.
    pub fn labels(&self) -> Option<Vec<(String, usize)>> {
        labels(self.dataset.rows.iter())
    }

    /// Seconds of patience for one scorer or model call.
    pub(super) fn duration(seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// The model config of a role: the others are the task model unless they have one of their own. An embedder is asked
    /// only where it has.
    pub(super) fn model(config: &Config, role: ModelRole) -> &crate::config::ModelConfig {
        match role {
            ModelRole::Proposer => config.models.proposer.as_ref().unwrap_or(&config.models.task),
            ModelRole::Judge => config.models.judge.as_ref().unwrap_or(&config.models.task),
            ModelRole::Embedder => config.models.embedder.as_ref().unwrap_or(&config.models.task),
            ModelRole::Task => &config.models.task,
        }
    }
}

/// The prompts of the target. The one that a model is sent must use the row's input; a program is told the row beside its own.
pub(super) fn prompt_set(config: &Config, mut prompts: Vec<Prompt>) -> Result<PromptSet, PromptError> {
    match prompts.pop() {
        Some(only) if prompts.is_empty() && config.target.is_none() => PromptSet::one(only),
        last => PromptSet::new(prompts.into_iter().chain(last)),
    }
}

/// What is said of rows of dev and test that are `quoted` by the starting prompts: how many, and which.
fn held_out_quoted(dataset: &PackedDataset, quoted: &BTreeSet<String>) -> Option<String> {
    let told = |split: Split| {
        let rows = dataset.rows(split).with(|id| quoted.contains(id));
        let ids: Vec<&str> = (0..rows.len().min(QUOTED_NAMED)).map(|at| rows.id(at)).collect();
        let more = if rows.len() > ids.len() { ", .." } else { "" };
        let what = format!("{} row", split.name());
        (!rows.is_empty()).then(|| format!("{} ({}{more})", plural(rows.len(), &what), ids.join(", ")))
    };
    let found: Vec<String> = [Split::Dev, Split::Test].into_iter().filter_map(told).collect();
    (!found.is_empty()).then(|| {
        format!(
            "the prompt quotes {} as examples: no run measures a prompt on them; quote rows of train instead",
            found.join(" and ")
        )
    })
}

/// A prompt of another tool may say which model it is for, and with which parameters.
fn unread_model(prompt: &Prompt) -> Option<String> {
    let keys = prompt.front_matter_keys();
    let key = ["model", "parameters", "configuration"].into_iter().find(|key| keys.contains(*key))?;
    Some(format!(
        "{}: `{key}` in its front matter is not read: the model is asked as [models.task] says, in ratchet.toml",
        prompt.name()
    ))
}

/// Refuses protected tags that no row has: they would guard nothing.
fn protected_tags_exist(config: &Config, dataset: &PackedDataset) -> Result<(), ProjectError> {
    if config.guards.protected_tags.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<String> = dataset.rows.iter().flat_map(|row| row.tags).collect();
    let unknown = config.guards.protected_tags.keys().find(|tag| !known.contains(*tag));
    unknown.map_or(Ok(()), |tag| {
        let nearest = config::nearest(tag, known.iter().map(String::as_str));
        Err(ProjectError::UnknownTag {
            tag: tag.clone(),
            nearest,
            known: known.into_iter().take(super::error::TAGS).collect(),
        })
    })
}

/// Refuses prompts that read the input and yet say the same for every row, as `{% if input %}..{% endif %}` does.
fn rows_are_told_apart(prompts: &PromptSet, dataset: &PackedDataset) -> Result<(), PromptError> {
    let mut rows: Vec<Example> = Vec::new();
    for example in dataset.rows.iter() {
        if rows.len() == ROWS_TOLD_APART {
            break;
        }
        if rows.iter().all(|row| row.input != example.input) {
            rows.push(example);
        }
    }
    let Some((first, others)) = rows.split_first().filter(|(_, others)| !others.is_empty()) else { return Ok(()) };
    for prompt in prompts.iter() {
        let messages = prompt.render(first)?;
        for other in others {
            if prompt.render(other)? != messages {
                return Ok(());
            }
        }
    }
    let message = format!(
        "the prompt reads `input`, but says the same for {} rows with different inputs: write `{{{{ input }}}}`, or \
         `{{{{ input.field }}}}` where the input is a map, where the row's text belongs",
        rows.len()
    );
    Err(PromptError { file: prompts.first().name().to_owned(), line: 1, column: 1, message })
}

/// The error with the prompt file's path where it has the prompt's name.
fn at_path(files: &BTreeMap<String, PathBuf>, error: PromptError) -> PromptError {
    match files.get(&error.file) {
        Some(path) => PromptError { file: path.display().to_string(), ..error },
        None => error,
    }
}

/// The text of a file that the config names, or of a prompt file.
///
/// # Errors
/// [`ProjectError::File`]: there is no such file, it can't be read, or isn't UTF-8.
pub fn read(path: &Path) -> Result<String, ProjectError> {
    read_or(path, "check the path")
}

/// The text of the config.
pub(super) fn config_text(path: &Path) -> Result<String, ProjectError> {
    read_or(
        path,
        "go to the project's folder, name its config with --config, or begin a project with `ratchet init DATA`",
    )
}

/// The text of a file; `advice` is what to do where there is none.
fn read_or(path: &Path, advice: &str) -> Result<String, ProjectError> {
    let problem = |problem: String| ProjectError::File { path: path.to_path_buf(), problem };
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => problem(format!("there is no such file; {advice}")),
        _ => problem(error.to_string()),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let at = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        problem(format!("line {line} isn't UTF-8 (byte {at} of the line); save the file as UTF-8"))
    })
}

/// Replaces `${NAME}` by the environment variable's value.
pub(super) fn expand(key: &str, text: &str) -> Result<String, ProjectError> {
    expand_with(key, text, |_, _| ())
}

/// The same; `used` is told each variable's name and value.
pub(super) fn expand_with(key: &str, text: &str, mut used: impl FnMut(&str, &str)) -> Result<String, ProjectError> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + length];
        let value = std::env::var(name).map_err(|_| ProjectError::Environment {
            key: key.to_owned(),
            name: name.to_owned(),
            advice: format!("set it, as in {name}=... ratchet ..."),
        })?;
        expanded.push_str(&rest[..start]);
        used(name, &value);
        expanded.push_str(&value);
        rest = &rest[start + length + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}
