//! A run's snapshot: all that its decisions follow from, copied into its folder when it begins, read again to resume.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lineup::succeed;
use super::load::read;
use super::named::NamedFiles;
use super::{Project, ProjectError, scorers};
use crate::config::{Config, Notify};
use crate::dataset::{Example, PackedDataset, PackedRows, Split};
use crate::digest::Digest;
use crate::durable;
use crate::prompt::{Prompt, PromptSet};
use crate::propose::{Strategy, quoted_rows};
use crate::run::{Calibrations, Event, FellBack, Pulls, RunError, RunFolder};

const CONFIG: &str = "ratchet.toml";
const DATASET: &str = "dataset.jsonl";
const STRATEGIES: &str = "strategies.json";
const PROMPTS: &str = "prompts";
const FILES: &str = "files.json";
/// Digests of the others.
const DIGESTS: &str = "digests.json";

impl Project {
    /// Copies what the run follows from into its folder; `past` is what strategies came to before it.
    pub(super) fn write_snapshot(&self, folder: &RunFolder, past: &Pulls) -> Result<(), RunError> {
        let snapshot = folder.snapshot();
        let unwritable = |error: String| RunError::Unreadable {
            path: snapshot.clone(),
            message: format!("the snapshot could not be written: {error}"),
        };
        // Who is told is no part of a run, and the address may be a secret.
        let config = Config { notify: Notify::default(), ..self.config.clone() };
        let config = toml::to_string(&config).map_err(|error| unwritable(error.to_string()))?;
        durable::write(&snapshot.join(CONFIG), config.as_bytes())?;
        durable::write_with(&snapshot.join(DATASET), |file| {
            for (example, split) in self.dataset.rows.iter().zip(&self.dataset.splits) {
                serde_json::to_writer(&mut *file, &Example { split: Some(*split), ..example })?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })?;
        let strategies =
            serde_json::to_string_pretty(&self.strategies).map_err(|error| unwritable(error.to_string()))?;
        durable::write(&snapshot.join(STRATEGIES), strategies.as_bytes())?;
        for prompt in self.prompts.iter() {
            durable::write(&snapshot.join(PROMPTS).join(prompt.name()), prompt.text().as_bytes())?;
        }
        let files = self.files.clone().with_programs_of(&self.config, &self.root);
        let files = serde_json::to_string_pretty(&files).map_err(|error| unwritable(error.to_string()))?;
        durable::write(&snapshot.join(FILES), files.as_bytes())?;
        self.calibrations.write(&snapshot)?;
        past.write(&snapshot)?;
        let digests = digests(&snapshot).map_err(|error| unwritable(error.to_string()))?;
        let digests = serde_json::to_string_pretty(&digests).map_err(|error| unwritable(error.to_string()))?;
        durable::write(&snapshot.join(DIGESTS), digests.as_bytes())?;
        Ok(())
    }

    /// The project as the run in `folder` has it by now: its snapshot, with the models that have taken over since. `root`
    /// is where its programs and its store are. Programs that have changed since it began are warned of.
    ///
    /// # Errors
    /// A snapshot that is incomplete or damaged, a key that isn't set, a scorer that doesn't start.
    pub async fn of_run(root: &Path, folder: &RunFolder) -> Result<Self, ProjectError> {
        let events = folder.events().unwrap_or_default();
        let changes = events.iter().filter_map(|event| match event {
            Event::FellBack(change) => Some(change),
            _ => None,
        });
        Self::of_snapshot(root, folder, changes).await
    }

    /// The project as it was when the run began, with these `changes`.
    ///
    /// # Errors
    /// As [`Self::of_run`].
    pub(super) async fn of_snapshot(
        root: &Path,
        folder: &RunFolder,
        changes: impl IntoIterator<Item = &FellBack>,
    ) -> Result<Self, ProjectError> {
        let snapshot = folder.snapshot();
        let config_path = snapshot.join(CONFIG);
        let mut config = Config::parse_snapshot(&config_path.to_string_lossy(), &read(&config_path)?)?;
        config.name = Some(folder.manifest.name.clone());
        for change in changes {
            // One that the snapshot doesn't have is missed where the run is gone on with.
            succeed(&mut config.models, change.role, &change.to);
        }
        let dataset = read_dataset(&snapshot.join(DATASET), &folder.path)?;
        let strategies: Vec<Arc<Strategy>> = parse(&snapshot.join(STRATEGIES))?;
        let prompt_files: BTreeMap<String, PathBuf> =
            config.prompt_names().into_iter().map(|(name, _, path)| (name, root.join(path))).collect();
        let mut prompts = Vec::new();
        for name in prompt_files.keys() {
            prompts.push(Prompt::parse(name, &read(&snapshot.join(PROMPTS).join(name))?)?);
        }
        super::models::check(&config, root)?;
        super::target::check(&config, root)?;
        let mut files = files_of(folder)?;
        let altered = altered(folder)?;
        let warnings = altered.iter().chain(&files.changed(root)).map(|path| changed_since(path)).collect();
        let scorers = Arc::new(scorers::build(&config, root, &mut files).await?);
        let prompts = Arc::new(PromptSet::new(prompts)?);
        Ok(Self {
            quoted: quoted_rows(dataset.rows.iter(), &prompts),
            root: root.to_path_buf(),
            config_file: folder.manifest.config.clone(),
            config,
            dataset,
            warnings,
            prompt_files,
            prompts,
            strategies,
            scorers,
            calibrations: Calibrations::read(&snapshot)?,
            files,
            lock: None,
        })
    }
}

/// Refuses to go on with the run in `folder` where a file of its snapshot or a program in `root` is another than it was:
/// what came of it then and what comes of it now can't be compared.
///
/// # Errors
/// [`ProjectError::Changed`], or a snapshot that is damaged.
pub(super) fn check_files(root: &Path, folder: &RunFolder) -> Result<(), ProjectError> {
    let mut changed = altered(folder)?;
    if changed.is_empty() {
        changed = files_of(folder)?.changed(root);
    }
    if changed.is_empty() { Ok(()) } else { Err(ProjectError::Changed { changed }) }
}

/// Files of the snapshot that are not as the run began with; nothing is known of a run that an older Ratchet began.
fn altered(folder: &RunFolder) -> Result<Vec<PathBuf>, ProjectError> {
    let snapshot = folder.snapshot();
    let kept = snapshot.join(DIGESTS);
    if !kept.is_file() {
        return Ok(Vec::new());
    }
    let kept: BTreeMap<String, Digest> = parse(&kept)?;
    let is_kept =
        |(name, digest): &(&String, &Digest)| digest_of(&snapshot.join(name)).is_ok_and(|found| found == **digest);
    Ok(kept.iter().filter(|file| !is_kept(file)).map(|(name, _)| snapshot.join(name)).collect())
}

/// The digests of all files in `snapshot`, by their paths within it.
fn digests(snapshot: &Path) -> std::io::Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(snapshot.join(&folder))? {
            let entry = entry?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(name + "/");
            } else {
                found.insert(name, digest_of(&entry.path())?);
            }
        }
    }
    Ok(found)
}

fn digest_of(path: &Path) -> std::io::Result<Digest> {
    Digest::of_reader(std::fs::File::open(path)?)
}

/// What the run keeps of the files that its config names; nothing is known of those of a run that an older Ratchet began.
fn files_of(folder: &RunFolder) -> Result<NamedFiles, ProjectError> {
    let path = folder.snapshot().join(FILES);
    if path.is_file() { parse(&path) } else { Ok(NamedFiles::default()) }
}

fn changed_since(path: &Path) -> String {
    format!("{} has changed since the run began: its scores and answers may come out otherwise now", path.display())
}

fn read_dataset(path: &Path, folder: &Path) -> Result<PackedDataset, ProjectError> {
    let mut rows = PackedRows::default();
    let mut splits = Vec::new();
    for (index, line) in read(path)?.lines().enumerate() {
        let damaged = |problem: String| ProjectError::File {
            path: path.to_path_buf(),
            problem: format!("line {}: {problem}", index + 1),
        };
        let mut example: Example = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
        splits.push(example.split.take().unwrap_or(Split::Train));
        rows.push(&example);
    }
    let fingerprint = fingerprint_of_run(folder).unwrap_or_else(|| crate::dataset::fingerprint(rows.iter()));
    Ok(PackedDataset { rows: Arc::new(rows), splits, fingerprint })
}

/// The fingerprint as the run's first event has it.
fn fingerprint_of_run(folder: &Path) -> Option<Digest> {
    match crate::run::read_events(folder).ok()?.first()? {
        Event::RunStarted(started) => Some(started.dataset),
        _ => None,
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ProjectError> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| ProjectError::File { path: path.to_path_buf(), problem: format!("is damaged: {error}") })
}
