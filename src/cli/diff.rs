//! `ratchet diff`: what a run, a generation or a candidate changed.

use clap::Args;
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::report::RunView;
use prompt_ratchet::run::RunFolder;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::report::print;
use super::review::nothing_to;
use super::runs::runs_folder;
use super::say;

/// Show what a run changed in the prompt, as a unified diff
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ratchet diff\n  ratchet diff 3f2a --generation 2\n  ratchet diff --candidate 28d488 | git apply --directory prompts"
)]
pub struct Diff {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Only what this generation kept
    #[arg(long, short, value_name = "N", conflicts_with = "candidate")]
    generation: Option<u32>,
    /// What this candidate would change; a unique prefix of its id will do
    #[arg(long, short, value_name = "ID")]
    candidate: Option<String>,
}

impl Diff {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let folder = RunFolder::find(&runs_folder(global)?, &self.run)?;
        let view = RunView::read(&folder)?;
        let diff = match (self.generation, &self.candidate) {
            (Some(generation), _) => of_generation(&view, generation)?,
            (None, Some(candidate)) => of_candidate(&view, candidate)?,
            (None, None) => of_run(&view, &folder)?,
        };
        if diff.is_empty() && !global.quiet {
            match self.generation {
                _ if view.kept().is_empty() => say::line(nothing_to("show", &view)),
                Some(generation) => say::line(format_args!("generation {generation} kept nothing, so nothing changed")),
                None => say::line("what was kept changes nothing"),
            }
        }
        print(&Paint::stdout().diff(&diff))?;
        Ok(Exit::Done)
    }
}

fn of_generation(view: &RunView, number: u32) -> Result<String, Failure> {
    if !view.generations.iter().any(|generation| generation.number == number) {
        let message = format!("run {} has no generation {number}; it has {}", view.short_id, view.generations.len());
        return Err(Failure::usage(anyhow::anyhow!(message)));
    }
    let kept = view.kept().into_iter().find(|(_, judged)| judged.generation == number);
    Ok(kept.map_or(String::new(), |(candidate, _)| candidate.diff().to_owned()))
}

fn of_candidate(view: &RunView, id: &str) -> Result<String, Failure> {
    let mut matching: Vec<_> = view.candidates().filter(|candidate| candidate.id().starts_with(id)).collect();
    matching.dedup_by_key(|candidate| candidate.id().to_owned());
    match matching[..] {
        [candidate] => Ok(candidate.diff().to_owned()),
        [] => Err(Failure::usage(anyhow::anyhow!(
            "run {} has no candidate `{id}`; `ratchet report {} --markdown` lists them",
            view.short_id,
            view.short_id
        ))),
        _ => {
            let ids: Vec<&str> = matching.iter().map(|candidate| candidate.id()).collect();
            Err(Failure::usage(anyhow::anyhow!("`{id}` names several candidates: {}", ids.join(", "))))
        }
    }
}

/// From the prompt that the run began with to the last that it kept.
fn of_run(view: &RunView, folder: &RunFolder) -> Result<String, Failure> {
    let kept = view.kept();
    let Some((winner, _)) = kept.last() else { return Ok(String::new()) };
    // With one revision kept, its diff is the run's.
    if kept.len() == 1 {
        return Ok(winner.diff().to_owned());
    }
    let mut before = Vec::new();
    let mut after = Vec::new();
    for (name, text) in winner.prompts() {
        let path = folder.snapshot().join("prompts").join(name);
        let old = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(anyhow::anyhow!("{}: can't be read: {error}; the run's snapshot is needed", path.display()))
        })?;
        before.push(Prompt::parse(name, &old).map_err(Failure::usage)?);
        after.push(Prompt::parse(name, text).map_err(Failure::usage)?);
    }
    let set = |prompts| PromptSet::new(prompts).map_err(Failure::usage);
    Ok(set(before)?.unified_diff(&set(after)?))
}
