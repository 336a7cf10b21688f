//! `ratchet apply`: writes what was accepted into the prompt files. Nothing else in Ratchet changes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use prompt_ratchet::config::Config;
use prompt_ratchet::durable;
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::report::plural;
use prompt_ratchet::review::{Collision, land};
use prompt_ratchet::run::{RunError, RunFolder};
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::plain::neutral;
use super::report::{print, print_json};
use super::review::{Session, Standing, changed_lines, nothing_to, standing};
use super::say;

/// Write what a run found into the prompt file: what its review accepted, or the winner
///
/// A prompt file that has changed since the run began is merged, line by line. Where the file and the run change the
/// same lines in two ways, nothing is written and the place is named (exit code 2).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ratchet apply --dry-run\n  ratchet apply 3f2a\n  ratchet apply --all && git diff prompts"
)]
pub struct Apply {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Write the run's winner, whatever the review says
    #[arg(long)]
    all: bool,
    /// Print what would change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// One prompt file and what becomes of it.
struct Change {
    path: PathBuf,
    text: String,
    diff: String,
    /// Whether changes that the file has had since the run were merged.
    merged: bool,
}

impl Apply {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let session = Session::open(global, &self.run)?;
        let reviewed = session.begun && !self.all;
        if session.revisions.revisions.is_empty() {
            return self.nothing(&session, &nothing_to("apply", &session.view), global);
        }
        let theirs = if reviewed { accepted(&session)? } else { session.revisions.winner().clone() };
        if standing(&session, &theirs) == Standing::Baseline {
            let words = format!("the review of run {} accepted nothing: there is nothing to apply", session.name);
            return self.nothing(&session, &words, global);
        }
        if !global.quiet {
            self.say_what(&session, &theirs, reviewed);
        }
        let root = global.config.parent().unwrap_or(Path::new(""));
        let changes = changes(root, &session, &theirs)?;
        if !self.dry_run {
            for change in changes.iter().filter(|change| !change.diff.is_empty()) {
                durable::write(&change.path, change.text.as_bytes()).map_err(RunError::from)?;
            }
        }
        if self.json {
            print_json(&self.json(&session, reviewed, &changes))?;
        } else {
            if self.dry_run {
                let diffs: String = changes.iter().map(|change| change.diff.as_str()).collect();
                print(&Paint::stdout().diff(&neutral(&diffs)))?;
            }
            if !global.quiet {
                say::part(self.summary(&changes));
            }
        }
        Ok(Exit::Done)
    }

    fn nothing(&self, session: &Session, words: &str, global: &Global) -> Result<Exit, Failure> {
        if self.json {
            print_json(&self.json(session, session.begun && !self.all, &[]))?;
        } else if !global.quiet {
            say::line(words);
        }
        Ok(Exit::Done)
    }

    /// Which text is going to be written, and what is known of it.
    fn say_what(&self, session: &Session, theirs: &PromptSet, reviewed: bool) {
        let run = &session.name;
        if session.view.ended.is_none() {
            say::line(format_args!("run {run} is unfinished: this is what it has kept so far"));
        }
        if !reviewed {
            let why = if self.all { "as --all says" } else { "it has not been reviewed" };
            say::line(format_args!("run {run}: its winner ({why})"));
            return;
        }
        say::line(format_args!("run {run}: what its review accepted"));
        if standing(session, theirs) == Standing::Unmeasured {
            say::line(format_args!("this text was never measured; `ratchet review {run}` measures it"));
        }
    }

    fn json(&self, session: &Session, reviewed: bool, changes: &[Change]) -> Value {
        let files = changes.iter().map(|change| {
            let (added, removed) = changed_lines(&change.diff);
            json!({
                "file": change.path,
                "added": added,
                "removed": removed,
                "merged": change.merged,
                "diff": change.diff,
            })
        });
        json!({
            "run": session.view.manifest.run,
            "source": if reviewed { "review" } else { "winner" },
            "written": !self.dry_run && changes.iter().any(|change| !change.diff.is_empty()),
            "files": files.collect::<Vec<_>>(),
        })
    }

    fn summary(&self, changes: &[Change]) -> String {
        let mut text = String::new();
        let (mut files, mut added, mut removed) = (Vec::new(), 0, 0);
        for change in changes {
            let path = change.path.display().to_string();
            if change.diff.is_empty() {
                text += &format!("{path} already has it\n");
                continue;
            }
            let (plus, minus) = changed_lines(&change.diff);
            let merged = if change.merged { ", merged with changes made since the run: worth a look" } else { "" };
            text += &format!("{path}  +{plus} -{minus}{merged}\n");
            added += plus;
            removed += minus;
            files.push(path);
        }
        if files.is_empty() {
            return text;
        }
        text += &format!("{} changed: {added} lines added, {removed} removed\n", plural(files.len(), "file"));
        if self.dry_run {
            return text + "Nothing was written (--dry-run).\n";
        }
        if changes.iter().any(|change| change.merged) {
            text += "Measure the merge: ratchet eval\n";
        }
        let files = files.join(" ");
        text + &format!("Next: git diff {files}\n      git commit {files}\n")
    }
}

/// What a finished review accepted.
fn accepted(session: &Session) -> Result<PromptSet, Failure> {
    let (open, run) = (session.open_hunks().len(), &session.name);
    if open > 0 {
        return Err(Failure::usage(anyhow::anyhow!(
            "the review of run {run} is unfinished: {open} of {} are open. Go on with `ratchet review {run}`, or write the \
             winner whatever the review says with `ratchet apply {run} --all`",
            plural(session.hunks(), "hunk")
        )));
    }
    Ok(session.revisions.compose(&session.review.choices()).prompts)
}

/// What becomes of each prompt file.
fn changes(root: &Path, session: &Session, theirs: &PromptSet) -> Result<Vec<Change>, Failure> {
    let paths = prompt_paths(root, &session.folder)?;
    let base = &session.revisions.baseline;
    let mut files = Vec::new();
    for prompt in base.iter() {
        let Some(path) = paths.get(prompt.name()) else {
            let message = format!("the run's config names no file for the prompt `{}`", prompt.name());
            return Err(Failure::usage(anyhow::anyhow!(message)));
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(anyhow::anyhow!(
                "{}: can't be read: {error}; put the file back where it was when the run began",
                path.display()
            ))
        })?;
        files.push(Prompt::parse(prompt.name(), &text).map_err(Failure::usage)?);
    }
    let ours = PromptSet::new(files).map_err(Failure::usage)?;
    let landing = land(base, &ours, theirs).map_err(|collision| refusal(&paths, &collision))?;
    let one = |prompt: &Prompt| {
        let path = paths.get(prompt.name())?.clone();
        let only = |set: &PromptSet| {
            // The diff of this file alone: all others as they are.
            ours.with(set.get(prompt.name())?.clone()).ok()
        };
        let diff = only(&landing.prompts).map_or_else(String::new, |new| ours.unified_diff(&new));
        let merged = landing.merged.iter().any(|name| name == prompt.name());
        Some(Change { path, text: prompt.text().to_owned(), diff, merged })
    };
    Ok(landing.prompts.iter().filter_map(one).collect())
}

/// The prompts' files as the run's config names them, by the prompts' names.
fn prompt_paths(root: &Path, folder: &RunFolder) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let path = folder.snapshot().join("ratchet.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(anyhow::anyhow!("{}: can't be read: {error}", path.display())))?;
    let config = Config::parse_snapshot(&path.to_string_lossy(), &text).map_err(Failure::usage)?;
    Ok(config.prompt_names().into_iter().map(|(name, _, path)| (name, root.join(path))).collect())
}

fn refusal(paths: &BTreeMap<String, PathBuf>, collision: &Collision) -> Failure {
    let file = paths.get(&collision.file).map_or_else(|| collision.file.clone(), |path| path.display().to_string());
    let mut text = format!("{file}: {}; nothing was written", collision.reason);
    if !collision.base.is_empty() || !collision.ours.is_empty() || !collision.theirs.is_empty() {
        let Collision { lines, base, ours, theirs, .. } = collision;
        let place = if lines.is_empty() {
            format!("before line {}", lines.start)
        } else if lines.len() == 1 {
            format!("line {}", lines.start)
        } else {
            format!("lines {}-{}", lines.start, lines.end - 1)
        };
        text = format!("{file}, {place}: {}; nothing was written", collision.reason);
        for (whose, part) in [("when the run began", base), ("in the file now", ours), ("in the run's result", theirs)]
        {
            text += &format!("\n{whose}:\n{}", quoted(part));
        }
    }
    text += "\nMake one of the two agree with the other in the file, or reject the hunk with `ratchet review`, and apply \
             again.";
    Failure::usage(anyhow::anyhow!(text))
}

fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "  (nothing)".to_owned();
    }
    neutral(text).lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
