//! The prompts of one revision of a run, as they were: from its snapshot and its journal.

use std::collections::BTreeMap;
use std::path::Path;

use crate::prompt::{Prompt, PromptSet};
use crate::run::{Event, RunError, RunFolder};

/// The prompts of the revision `name` of the run in `folder`: `winner` (the best kept so far), `baseline`, `gen<N>`
/// (the incumbent after generation N), or the id of a candidate or a unique prefix of it.
///
/// # Errors
/// The run has no such revision, or its files can't be read.
pub fn revision(folder: &RunFolder, name: &str) -> Result<PromptSet, RunError> {
    let unknown = |message: String| RunError::Unreadable { path: folder.path.clone(), message };
    let wanted = "name `baseline`, `gen<N>` or a candidate as `ratchet report` shows them";
    if name.is_empty() {
        return Err(unknown(format!("no revision of it is named after the colon; {wanted}")));
    }
    let History { baseline, candidates, incumbents } = History::of(&folder.events()?);
    let id = match name {
        "baseline" | "gen0" => return starting(folder),
        "winner" => incumbents.last().map(|(_, id)| id.clone()).unwrap_or_default(),
        _ => match name.strip_prefix("gen").and_then(|number| number.parse::<u32>().ok()) {
            Some(number) => {
                incumbents.iter().find(|(generation, _)| *generation == number).map(|(_, id)| id.clone()).ok_or_else(
                    || unknown(format!("has no finished generation {number}; it has {}", incumbents.len())),
                )?
            }
            None => name.to_owned(),
        },
    };
    if id.is_empty() || id == baseline {
        return starting(folder);
    }
    let matching: Vec<&String> = candidates.keys().filter(|candidate| candidate.starts_with(&id)).collect();
    let [candidate] = matching[..] else {
        let problem = if matching.is_empty() { "no revision" } else { "several revisions" };
        return Err(unknown(format!("has {problem} `{name}`; {wanted}")));
    };
    parse(&folder.path, &candidates[candidate])
}

/// What a journal says of revisions.
#[derive(Default)]
struct History {
    baseline: String,
    /// The prompts of each candidate, by its id.
    candidates: BTreeMap<String, BTreeMap<String, String>>,
    /// The incumbent after each generation.
    incumbents: Vec<(u32, String)>,
}

impl History {
    fn of(events: &[Event]) -> Self {
        let mut history = Self::default();
        for event in events {
            match event {
                Event::RunStarted(started) => history.baseline = started.baseline.short(),
                Event::Proposed(proposed) => {
                    history.candidates.insert(proposed.candidate.clone(), proposed.prompts.clone());
                }
                Event::Merged(merged) => {
                    history.candidates.insert(merged.candidate.clone(), merged.prompts.clone());
                }
                Event::Ablated(ablated) => {
                    let prompts = ablated.shortened.as_ref().map_or(&ablated.prompts, |shortened| &shortened.prompts);
                    if !prompts.is_empty() {
                        history.candidates.insert(ablated.candidate.clone(), prompts.clone());
                    }
                }
                Event::GenerationEnded(ended) => history.incumbents.push((ended.generation, ended.incumbent.clone())),
                _ => {}
            }
        }
        history
    }
}

/// The prompts that the run started from.
fn starting(folder: &RunFolder) -> Result<PromptSet, RunError> {
    let prompts = folder.snapshot().join("prompts");
    let unreadable = |error: std::io::Error| RunError::Unreadable {
        path: prompts.clone(),
        message: format!("can't be read: {error}"),
    };
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(&prompts).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        texts.insert(name, std::fs::read_to_string(&path).map_err(unreadable)?);
    }
    parse(&prompts, &texts)
}

fn parse(path: &Path, texts: &BTreeMap<String, String>) -> Result<PromptSet, RunError> {
    let prompts: Result<Vec<Prompt>, _> = texts.iter().map(|(name, text)| Prompt::parse(name, text)).collect();
    prompts.and_then(PromptSet::new).map_err(|error| RunError::Unreadable {
        path: path.to_path_buf(),
        message: format!("holds a prompt that can't be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::durable;

    fn run(root: &Path) -> RunFolder {
        let folder = RunFolder::claim(root, "r", Path::new("ratchet.toml"), Duration::ZERO).unwrap().begin().unwrap();
        let texts = ["a", "b", "c"].map(|word| format!("{word} {{{{ input }}}}"));
        durable::write(&folder.snapshot().join("prompts/p"), texts[0].as_bytes()).unwrap();
        let summary = json!({"score": 0.5, "interval": {"low": 0.0, "high": 1.0}, "examples": 1, "errors": 0});
        let proposed = |id: &str, text: &str| {
            json!({"event": "proposed", "generation": 1, "candidate": id, "parent": "x", "strategy": "s",
                   "cluster": null, "proposal": {"rationale": "", "expected_effect": "", "edits": []},
                   "prompts": {"p": text}, "tokens": 1, "diff": ""})
        };
        let ended = |generation: u32, incumbent: &str| {
            json!({"event": "generation_ended", "generation": generation, "incumbent": incumbent, "kept": true,
                   "train": summary, "dev": summary})
        };
        let lines = [proposed("aa11", &texts[1]), proposed("aa22", &texts[2]), ended(1, "aa11"), ended(2, "aa22")]
            .map(|event| format!("{event}\n"))
            .concat();
        durable::write(&folder.path.join("journal.jsonl"), lines.as_bytes()).unwrap();
        folder
    }

    #[test]
    fn a_revision_is_named_by_generation_by_candidate_or_as_winner_and_baseline() {
        let root = tempfile::tempdir().unwrap();
        let folder = run(root.path());
        let first_word = |name: &str| revision(&folder, name).map(|prompts| prompts.first().text()[..1].to_owned());
        for (name, word) in [("baseline", "a"), ("gen1", "b"), ("gen2", "c"), ("winner", "c"), ("aa1", "b")] {
            assert_eq!(first_word(name).unwrap(), word, "{name}");
        }
        for (name, problem) in
            [("gen3", "no finished generation 3"), ("aa", "several"), ("zz", "no revision"), ("", "no revision")]
        {
            let error = first_word(name).unwrap_err().to_string();
            assert!(error.contains(problem), "{name}: {error}");
        }
    }
}
