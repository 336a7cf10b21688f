//! Run folders: their names, their `run.json`, finding and listing them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::write_json;
use super::{Event, FORMAT, RunEnded, RunError, read_events};
use crate::clock;
use crate::digest::Digest;
use crate::durable::{self, Lock};

const MANIFEST: &str = "run.json";

/// Name of the snapshot's folder.
const SNAPSHOT: &str = "snapshot";

/// Name of the lock that keeps two processes from working on one run.
const LOCK: &str = "lock";

/// `run.json`: what a run is, written when it begins and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the folder.
    pub format: u32,
    /// The run's id: the folder's name.
    pub run: String,
    /// The project's name.
    pub name: String,
    /// When it began, in UTC.
    pub started: String,
    /// The version of Ratchet that began it.
    pub version: String,
    /// The config file it was started from.
    pub config: PathBuf,
}

/// One run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What its `run.json` says.
    pub manifest: Manifest,
}

/// The folder of a run that is about to begin, taken for this process. Dropped before the run has begun, it leaves nothing
/// behind.
#[derive(Debug)]
pub struct Claim {
    folder: RunFolder,
    /// `None` only while the claim is being made or given up.
    lock: Option<Lock>,
    /// There was no folder of runs before.
    is_first: bool,
    has_begun: bool,
}

impl Claim {
    /// The folder, which is no run's yet.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Makes it a run folder by writing `run.json`: last, when the snapshot is there, so that every run that is found
    /// can be resumed. It stays locked for as long as there is the claim.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn begin(&mut self) -> Result<RunFolder, RunError> {
        write_json(&self.folder.path.join(MANIFEST), &self.folder.manifest)?;
        self.has_begun = true;
        Ok(self.folder.clone())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.has_begun {
            return;
        }
        // Given back first: some systems remove no file that is open. Nobody else takes a folder that is there already.
        self.lock = None;
        // What can't be removed is listed as a run that never began.
        let _ = std::fs::remove_dir_all(&self.folder.path);
        if self.is_first
            && let Some(runs) = self.folder.path.parent()
        {
            // Stays where another run has been put into it.
            let _ = std::fs::remove_dir(runs);
        }
    }
}

/// The runs of a project.
#[derive(Debug, Default)]
pub struct Listing {
    /// Oldest first.
    pub runs: Vec<RunFolder>,
    /// Folders whose `run.json` is damaged or of a newer format, with what is wrong, sorted by path.
    pub passed_over: Vec<(PathBuf, RunError)>,
    /// Folders with a lock or a snapshot and no `run.json`, in which nobody works: of runs that were killed before they
    /// began. Sorted.
    pub unbegun: Vec<PathBuf>,
}

/// How far a run is, from its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It ended as planned.
    Finished,
    /// It was interrupted, or is still going on.
    Unfinished,
}

impl RunFolder {
    /// Takes a folder of its own under `runs` for a run of project `name` that is about to begin at `now` (since the Unix
    /// epoch): no other start has it, also not one of the same second, and no other process works in it.
    ///
    /// # Errors
    /// A folder can't be made.
    pub fn claim(runs: &Path, name: &str, config: &Path, now: Duration) -> Result<Claim, RunError> {
        let stem = format!("{}-{}", compact(&clock::timestamp(now)), slug(name));
        let is_first = !runs.exists();
        let mut number = 1;
        loop {
            let id = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            let folder = Self::planned(runs, &id, name, config, now);
            if durable::create_new_folder(&folder.path)? {
                let mut claim = Claim { folder, lock: None, is_first, has_begun: false };
                claim.lock = Some(claim.folder.lock(&claim.folder.manifest.started)?);
                return Ok(claim);
            }
            number += 1;
        }
    }

    /// The run `id` of project `name`, which begins at `now`; nothing is written yet.
    pub fn planned(runs: &Path, id: &str, name: &str, config: &Path, now: Duration) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            run: id.to_owned(),
            name: name.to_owned(),
            started: clock::timestamp(now),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.to_path_buf(),
        };
        Self { path: runs.join(id), manifest }
    }

    /// Opens the run folder at `path`.
    ///
    /// # Errors
    /// It isn't one, or it was written by a newer version of Ratchet.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let file = path.join(MANIFEST);
        let unreadable = |message: String| RunError::Unreadable { path: file.clone(), message };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| unreadable(format!("can't be read ({error}); is this a run folder?")))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| unreadable(format!("isn't a run's: {error}")))?;
        if manifest.format > FORMAT {
            return Err(unreadable(format!(
                "written by Ratchet {} (format {}); update Ratchet to open it",
                manifest.version, manifest.format
            )));
        }
        Ok(Self { path: path.to_path_buf(), manifest })
    }

    /// All runs under `runs`, oldest first, and beside them those that can't be opened. What has no `run.json` isn't a
    /// run; no folder means no runs.
    pub fn list(runs: &Path) -> Listing {
        let mut listing = Listing::default();
        for path in std::fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if !path.join(MANIFEST).is_file() {
                // A run writes its manifest before its journal.
                if path.join(super::journal::FILE).is_file() {
                    let message = "is missing beside the run's journal; put it back from a copy".to_owned();
                    let reason = RunError::Unreadable { path: path.join(MANIFEST), message };
                    listing.passed_over.push((path, reason));
                    continue;
                }
                let is_claimed = path.join(SNAPSHOT).is_dir() || path.join(LOCK).is_file();
                if is_claimed && !Lock::holder(&path.join(LOCK)).is_ok_and(|holder| holder.is_some()) {
                    listing.unbegun.push(path);
                }
                continue;
            }
            match Self::open(&path) {
                Ok(run) => listing.runs.push(run),
                Err(reason) => listing.passed_over.push((path, reason)),
            }
        }
        listing.runs.sort_by(|one, other| one.manifest.run.cmp(&other.manifest.run));
        listing.passed_over.sort_by(|(one, _), (other, _)| one.cmp(other));
        listing.unbegun.sort();
        listing
    }

    /// The run that `id` names: its whole id, a prefix of its short id, a folder, or `last`.
    ///
    /// # Errors
    /// None does, several do, or the run that it names can't be opened.
    pub fn find(runs: &Path, id: &str) -> Result<Self, RunError> {
        let Listing { runs: all, passed_over, unbegun } = Self::list(runs);
        let unknown = |message: String| RunError::Unreadable { path: runs.to_path_buf(), message };
        if id == "last" {
            // Folders are named by when their runs began; an older run must not pass for the last.
            let newest = all.last().map(|run| run.path.clone());
            if let Some((path, reason)) = passed_over.into_iter().next_back()
                && Some(path) > newest
            {
                return Err(reason);
            }
            return all
                .into_iter()
                .next_back()
                .ok_or_else(|| unknown("holds no run yet; start one with `ratchet optimize`".to_owned()));
        }
        if Path::new(id).join(MANIFEST).is_file() {
            return Self::open(Path::new(id));
        }
        let matching: Vec<&Self> =
            all.iter().filter(|run| run.manifest.run == id || run.short_id().starts_with(id)).collect();
        let names = |path: &Path| {
            if path == Path::new(id) {
                return true;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == id || short_id(&name).starts_with(id)
        };
        let mut damaged: Vec<RunError> =
            passed_over.into_iter().filter(|(path, _)| names(path)).map(|(_, reason)| reason).collect();
        match matching[..] {
            [run] => Ok(run.clone()),
            [] if !damaged.is_empty() => Err(damaged.swap_remove(0)),
            [] if unbegun.iter().any(|path| names(path)) => Err(unknown(format!(
                "the run `{id}` was killed before it began, and there is nothing to go on with; start one with \
                 `ratchet optimize`, and remove the folder"
            ))),
            [] => Err(unknown(format!("holds no run `{id}`; `ratchet runs` lists those that are there"))),
            _ => {
                let names: Vec<String> =
                    matching.iter().map(|run| format!("{} ({})", run.short_id(), run.manifest.run)).collect();
                Err(unknown(format!("`{id}` names several runs: {}", names.join(", "))))
            }
        }
    }

    /// Eight hex digits that name the run; any unique prefix will do.
    pub fn short_id(&self) -> String {
        short_id(&self.manifest.run)
    }

    /// The run's events so far.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn events(&self) -> Result<Vec<Event>, RunError> {
        read_events(&self.path)
    }

    /// Takes the run for this process, from `since` on.
    ///
    /// # Errors
    /// Another process has it, who is named; or the folder can't be written.
    pub fn lock(&self, since: &str) -> Result<Lock, RunError> {
        Ok(Lock::acquire(&self.path.join(LOCK), since)?)
    }

    /// Who works on the run: "pid N on HOST since T", or "another process" where that can't be told. `None` where
    /// nobody does.
    ///
    /// # Errors
    /// The lock can't be read.
    pub fn holder(&self) -> Result<Option<String>, RunError> {
        Ok(Lock::holder(&self.path.join(LOCK))?)
    }

    /// Where the snapshot is.
    pub fn snapshot(&self) -> PathBuf {
        self.path.join(SNAPSHOT)
    }
}

/// Eight hex digits that name the run `run`.
pub fn short_id(run: &str) -> String {
    Digest::of(run.as_bytes()).short()[..8].to_owned()
}

/// How far the run with these events is, and how it ended.
pub fn state(events: &[Event]) -> (RunState, Option<&RunEnded>) {
    match events.last() {
        Some(Event::RunEnded(ended)) => (RunState::Finished, Some(ended)),
        _ => (RunState::Unfinished, None),
    }
}

/// The length of the shortest prefix, at least 4, under which all `ids` differ.
pub fn unique_length(ids: &[String]) -> usize {
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort();
    let shared = |one: &str, other: &str| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let longest = sorted.windows(2).map(|pair| shared(pair[0], pair[1])).max().unwrap_or(0);
    (longest + 1).max(4)
}

/// `2026-01-31T22:05:09Z` as `20260131-220509`.
fn compact(timestamp: &str) -> String {
    timestamp.chars().filter(char::is_ascii_digit).take(14).enumerate().fold(
        String::new(),
        |mut text, (index, digit)| {
            if index == 8 {
                text.push('-');
            }
            text.push(digit);
            text
        },
    )
}

fn slug(name: &str) -> String {
    let lower: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    lower.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(runs: &Path, name: &str) -> RunFolder {
        let now = Duration::from_secs(1_000_000_000);
        RunFolder::claim(runs, name, Path::new("ratchet.toml"), now).unwrap().begin().unwrap()
    }

    #[test]
    fn runs_that_start_at_the_same_moment_have_a_folder_each() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| create(&runs, "tickets").manifest.run)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{ids:?}");
        assert_eq!(RunFolder::list(&runs).runs.len(), 8);
    }

    #[test]
    fn a_start_that_comes_to_nothing_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        let claim = |name| RunFolder::claim(&runs, name, Path::new("ratchet.toml"), Duration::ZERO).unwrap();
        drop(claim("a"));
        assert!(!runs.exists());
        let (given_up, mut goes_on) = (claim("a"), claim("a"));
        assert!(RunFolder::list(&runs).unbegun.is_empty(), "both begin this moment");
        assert!(goes_on.folder().holder().unwrap().is_some());
        drop(given_up);
        let begun = goes_on.begin().unwrap();
        assert_eq!(RunFolder::list(&runs).runs, [begun]);
        assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 1);
    }

    #[test]
    fn a_run_is_found_by_id_by_unique_prefix_by_folder_and_as_the_last() {
        let runs = tempfile::tempdir().unwrap();
        let first = create(runs.path(), "Support tickets");
        let second = create(runs.path(), "Support tickets");
        assert_eq!(first.manifest.run, "20010909-014640-support-tickets");
        assert_eq!(second.manifest.run, "20010909-014640-support-tickets-2");
        let find = |id: &str| RunFolder::find(runs.path(), id).map(|run| run.manifest.run);
        assert_eq!(find(&first.manifest.run).unwrap(), first.manifest.run);
        assert_eq!(find(&second.short_id()).unwrap(), second.manifest.run);
        assert_eq!(find("last").unwrap(), second.manifest.run);
        assert_eq!(find(first.path.to_str().unwrap()).unwrap(), first.manifest.run);
        assert!(find("").unwrap_err().to_string().contains("several"));
        assert!(find("zzz").unwrap_err().to_string().contains("ratchet runs"));
    }

    #[test]
    fn a_run_that_cannot_be_opened_is_listed_apart_and_named_with_its_reason() {
        let runs = tempfile::tempdir().unwrap();
        let good = create(runs.path(), "a");
        let bad = create(runs.path(), "b");
        std::fs::create_dir(runs.path().join("no-run")).unwrap();
        std::fs::write(bad.path.join(MANIFEST), "{").unwrap();
        let listing = RunFolder::list(runs.path());
        assert_eq!(listing.runs, std::slice::from_ref(&good));
        assert_eq!(listing.passed_over.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&bad.path]);
        for id in [bad.manifest.run.clone(), bad.short_id(), bad.path.display().to_string(), "last".to_owned()] {
            assert!(RunFolder::find(runs.path(), &id).unwrap_err().to_string().contains("isn't a run's"), "{id}");
        }
        assert_eq!(RunFolder::find(runs.path(), &good.short_id()).unwrap(), good);
    }

    #[test]
    fn a_run_that_has_lost_its_manifest_is_damaged_and_not_unbegun() {
        let runs = tempfile::tempdir().unwrap();
        let lost = create(runs.path(), "a");
        std::fs::create_dir_all(lost.snapshot()).unwrap();
        std::fs::write(lost.path.join(super::super::journal::FILE), "").unwrap();
        std::fs::remove_file(lost.path.join(MANIFEST)).unwrap();
        let listing = RunFolder::list(runs.path());
        assert_eq!((listing.unbegun.len(), listing.passed_over.len()), (0, 1));
        for id in [lost.manifest.run.as_str(), &lost.short_id(), lost.path.to_str().unwrap(), "last"] {
            let error = RunFolder::find(runs.path(), id).unwrap_err().to_string();
            assert!(error.contains("run.json: is missing beside the run's journal"), "{id}: {error}");
        }
    }

    #[test]
    fn a_run_that_was_killed_before_it_began_is_told_apart_and_stands_in_no_ones_way() {
        let runs = tempfile::tempdir().unwrap();
        let unbegun = runs.path().join("20300101-000000-later");
        std::fs::create_dir_all(unbegun.join(SNAPSHOT)).unwrap();
        let begun = create(runs.path(), "a");
        let listing = RunFolder::list(runs.path());
        assert_eq!((listing.runs.len(), &listing.unbegun), (1, &vec![unbegun.clone()]));
        assert_eq!(RunFolder::find(runs.path(), "last").unwrap(), begun);
        for id in ["20300101-000000-later", unbegun.to_str().unwrap()] {
            let error = RunFolder::find(runs.path(), id).unwrap_err().to_string();
            assert!(error.contains("killed before it began") && error.contains("ratchet optimize"), "{error}");
        }
    }

    #[test]
    fn ids_are_shown_as_short_as_they_stay_unique() {
        assert_eq!(unique_length(&["abcdefgh".into(), "abcdezzz".into()]), 6);
        assert_eq!(unique_length(&["abcdefgh".into()]), 4);
    }
}
