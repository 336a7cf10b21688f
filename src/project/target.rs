//! From `[target]` to what answers rows: the chat model itself, or a program that asks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::models::chat_settings;
use super::provider::spoken;
use super::scorers::key_names;
use super::{Models, Project, ProjectError};
use crate::config::{self, Config};
use crate::digest::Digest;
use crate::eval::{ChatTarget, CommandSettings, CommandTarget, ModelCalls, Program, ProgramOptions, Target};
use crate::model::{Chat, ModelRole, Provider, ProviderId, Session, Stack};
use crate::worker::located;

/// The kind of provider that a program's stored answers are from.
const KIND: &str = "target";

impl Project {
    /// What is optimised: the program of `[target]`, or the task model.
    pub(super) fn target(&self, models: &Models) -> Arc<dyn Target> {
        let chat = chat_settings(Self::model(&self.config, ModelRole::Task));
        let Some((target, stack)) = self.config.target.as_ref().zip(models.target.clone()) else {
            return Arc::new(ChatTarget::new(Arc::clone(&models.task) as Arc<dyn Chat>, chat));
        };
        let names = self.config.prompt_names().into_iter().map(|(name, key, _)| (name, key.to_owned()));
        let settings = CommandSettings {
            name: target.command.join(" "),
            prompt_names: names.collect::<BTreeMap<_, _>>(),
            deterministic: target.deterministic,
            workers: target.workers,
        };
        Arc::new(CommandTarget::new(stack, settings))
    }

    /// The layers around the program of `[target]`, where there is one; its model calls go to `task`. Nothing is started.
    pub(super) fn target_stack(
        &self,
        task: &[Provider],
        session: &Session,
    ) -> Result<Option<Arc<Stack>>, ProjectError> {
        let Some(target) = &self.config.target else { return Ok(None) };
        let root = folder(&self.root);
        let settings = chat_settings(Self::model(&self.config, ModelRole::Task));
        let id =
            ProviderId { kind: KIND.to_owned(), base_url: fingerprint(target, &root, task, &settings)?.to_string() };
        let options = ProgramOptions {
            command: target.command.clone(),
            dir: root,
            timeout: Self::duration(target.timeout_seconds),
            hidden_env: key_names(&self.config),
            shown_env: target.pass_env.clone(),
        };
        let calls = ModelCalls {
            stack: Arc::new(Stack::new(task, session).for_parts()),
            settings,
            dialect: spoken(Self::model(&self.config, ModelRole::Task)),
            interrupt: session.interrupt.clone(),
        };
        let program = Arc::new(Program::new(options, calls));
        Ok(Some(Arc::new(Stack::of_target(id, program, target.workers, session))))
    }
}

/// Checks what can be checked of the program without running it: that it and its files are there.
pub(super) fn check(config: &Config, root: &Path) -> Result<(), ProjectError> {
    let Some(target) = &config.target else { return Ok(()) };
    let root = folder(root);
    let program = &target.command[0];
    let path = located(program, &root);
    let is_there = if program.contains('/') { path.is_file() } else { is_on_path(&path) };
    if !is_there {
        let place = if program.contains('/') { "in the folder of the config" } else { "on the PATH" };
        let problem = format!("there is no program {program:?} {place}; give its name and arguments as a list");
        return Err(ProjectError::Target { key: "target.command", problem });
    }
    files(target, &root).map(drop)
}

/// A config file without a folder before its name is in the working directory.
fn folder(root: &Path) -> PathBuf {
    if root.as_os_str().is_empty() { PathBuf::from(".") } else { root.to_path_buf() }
}

fn is_on_path(program: &Path) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| {
        folder.join(program).is_file() || folder.join(program).with_extension(std::env::consts::EXE_EXTENSION).is_file()
    })
}

/// The contents of the files that decide the program's answers: those that its command names, then those of `files`.
fn files(target: &config::Target, root: &Path) -> Result<Vec<Vec<u8>>, ProjectError> {
    let unreadable = |path: &Path, error: &std::io::Error| ProjectError::Target {
        key: "target.files",
        problem: format!("{}: can't be read: {error}", path.display()),
    };
    let named = target.command.iter().map(|word| root.join(word)).filter(|path| path.is_file());
    let listed = target.files.iter().map(|path| root.join(path));
    named.chain(listed).map(|path| std::fs::read(&path).map_err(|error| unreadable(&path, &error))).collect()
}

/// What decides the program's answers besides prompts, rows and draws: its command, the contents of its files, and the
/// model that it asks.
fn fingerprint(
    target: &config::Target,
    root: &Path,
    models: &[Provider],
    settings: &crate::eval::ChatSettings,
) -> Result<Digest, ProjectError> {
    let request = settings.request(Vec::new());
    // A request always serialises; should that ever change, its debug form tells models apart as well.
    let request = serde_json::to_vec(&request).unwrap_or_else(|_| format!("{request:?}").into_bytes());
    let files = files(target, root)?;
    let command = target.command.join("\0");
    let (first, others) = models.split_first().map_or((None, models), |(first, others)| (Some(first), others));
    let known = first.iter().flat_map(|model| [model.id.kind.as_bytes(), model.id.base_url.as_bytes()]);
    let known = known.chain([request.as_slice(), command.as_bytes()]);
    let known = known.chain(others.iter().map(|model| model.id.base_url.as_bytes()));
    Ok(Digest::of_parts(known.chain(files.iter().map(Vec::as_slice))))
}
