//! What a run leaves beside its journal: one folder a generation, the best prompt so far and its diff. All of it
//! follows from the events, so that a resumed run writes the same bytes again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Ablated, Decision, Event, Merged, Proposed, RunError, Sink};
use crate::durable;
use crate::eval::{Answer, Outcome};
use crate::model::{FinishReason, ModelRole};
use crate::prompt::{Prompt, PromptSet};
use crate::score::Score;

/// Writes a run's files from its events.
pub struct Files {
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    baseline: PromptSet,
    /// What a generation's `kept.diff` is against.
    incumbent: PromptSet,
    prompts: BTreeMap<String, BTreeMap<String, String>>,
    /// What was kept and not written yet, with its generation.
    kept: Option<(u32, String)>,
    /// By path: lines of outcome files.
    outcomes: BTreeMap<PathBuf, Vec<u8>>,
    /// By generation and candidate: what `verdict.json` will say.
    verdicts: BTreeMap<(u32, String), BTreeMap<&'static str, Value>>,
}

impl Files {
    /// Files of a run that starts from `baseline`, in `folder`.
    pub fn new(folder: &Path, baseline: &PromptSet) -> Self {
        let state = State {
            baseline: baseline.clone(),
            incumbent: baseline.clone(),
            prompts: BTreeMap::new(),
            kept: None,
            outcomes: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        };
        Self { folder: folder.to_path_buf(), state: Mutex::new(state) }
    }

    fn generation(&self, generation: u32) -> PathBuf {
        self.folder.join("generations").join(format!("{generation:03}"))
    }

    fn candidate(&self, generation: u32, candidate: &str) -> PathBuf {
        self.generation(generation).join("candidates").join(candidate)
    }

    fn write_candidate(&self, state: &mut State, candidate: &New<'_>) -> Result<(), RunError> {
        let folder = self.candidate(candidate.generation, candidate.id);
        write_json(&folder.join("proposal.json"), &candidate.proposal)?;
        durable::write(&folder.join("edit.diff"), candidate.diff.as_bytes())?;
        write_prompts(&folder, "prompt", candidate.prompts)?;
        state.prompts.insert(candidate.id.to_owned(), candidate.prompts.clone());
        Ok(())
    }

    fn take_ablated(&self, state: &mut State, ablated: &Ablated) -> Result<(), RunError> {
        let (prompts, diff) = match &ablated.shortened {
            Some(shortened) => (&shortened.prompts, shortened.diff.clone()),
            None => (&ablated.prompts, state.diff_from(&ablated.parent, &ablated.prompts)),
        };
        if !prompts.is_empty() {
            let proposal = json!({ "parent": ablated.parent, "shortens": ablated.revision });
            let (generation, id) = (ablated.generation, ablated.candidate.as_str());
            self.write_candidate(state, &New { generation, id, proposal, diff: &diff, prompts })?;
        }
        if ablated.shortened.is_some() {
            state.kept = Some((ablated.generation, ablated.candidate.clone()));
        }
        state.note(ablated.generation, &ablated.candidate, "ablated", json!(ablated));
        Ok(())
    }

    fn flush_generation(&self, state: &mut State) -> Result<(), RunError> {
        for (path, lines) in std::mem::take(&mut state.outcomes) {
            durable::write(&path, &lines)?;
        }
        for ((generation, candidate), verdict) in std::mem::take(&mut state.verdicts) {
            write_json(&self.candidate(generation, &candidate).join("verdict.json"), &verdict)?;
        }
        Ok(())
    }

    fn write_kept(&self, state: &mut State) -> Result<(), RunError> {
        let Some((generation, kept)) = state.kept.take() else { return Ok(()) };
        let Some(prompts) = state.prompts.get(&kept) else { return Ok(()) };
        if let Some(best) = self.write_best(&state.baseline, prompts)? {
            let diff = state.incumbent.unified_diff(&best);
            durable::write(&self.generation(generation).join("kept.diff"), diff.as_bytes())?;
            state.incumbent = best;
        }
        Ok(())
    }

    /// Writes the best prompts so far; returns them.
    fn write_best(
        &self,
        baseline: &PromptSet,
        prompts: &BTreeMap<String, String>,
    ) -> Result<Option<PromptSet>, RunError> {
        write_prompts(&self.folder, "best.prompt", prompts)?;
        let best = parsed(prompts);
        if let Some(best) = &best {
            durable::write(&self.folder.join("best.diff"), baseline.unified_diff(best).as_bytes())?;
        }
        Ok(best)
    }

    fn take(&self, state: &mut State, event: &Event) -> Result<(), RunError> {
        match event {
            Event::Diagnosed(diagnosed) => {
                write_json(&self.generation(diagnosed.generation).join("clusters.json"), &diagnosed.clusters)?;
            }
            Event::Proposed(proposed) => self.write_candidate(state, &New::of_proposal(proposed))?,
            Event::Merged(merged) => self.write_candidate(state, &New::of_merge(merged))?,
            Event::Screened(screened) => {
                state.note(screened.generation, &screened.candidate, "screened", json!(screened));
            }
            Event::Raced(raced) => state.note(raced.generation, &raced.candidate, "raced", json!(raced)),
            Event::Judged(judged) => {
                state.note(judged.generation, &judged.candidate, "judged", json!(judged));
                if judged.verdict.decision == Decision::Kept {
                    state.kept = Some((judged.generation, judged.candidate.clone()));
                }
            }
            Event::Ablated(ablated) => self.take_ablated(state, ablated)?,
            Event::Measured(measured) => {
                let path = if measured.sealed {
                    self.folder.join("test").join(format!("{}.jsonl", measured.candidate))
                } else {
                    self.candidate(measured.generation, &measured.candidate).join("outcomes.jsonl")
                };
                let lines = state.outcomes.entry(path.clone()).or_default();
                for outcome in &measured.outcomes {
                    serde_json::to_writer(&mut *lines, &OutcomeLine::of(outcome))
                        .map_err(|error| unwritable(&path, &error))?;
                    lines.push(b'\n');
                }
            }
            Event::NoiseMeasured(_) => {
                let texts = |prompt: &Prompt| (prompt.name().to_owned(), prompt.text().to_owned());
                let best: BTreeMap<String, String> = state.incumbent.iter().map(texts).collect();
                self.write_best(&state.baseline, &best)?;
                self.flush_generation(state)?;
            }
            // A generation may also end by a limit, or by a model that can't be had any more.
            Event::GenerationEnded(_) | Event::RunEnded(_) => {
                self.write_kept(state)?;
                self.flush_generation(state)?;
            }
            Event::FellBack(fell_back) if fell_back.role != ModelRole::Proposer => {
                self.write_kept(state)?;
                self.flush_generation(state)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn parsed(prompts: &BTreeMap<String, String>) -> Option<PromptSet> {
    let parsed: Option<Vec<Prompt>> = prompts.iter().map(|(name, text)| Prompt::parse(name, text).ok()).collect();
    PromptSet::new(parsed?).ok()
}

impl State {
    /// What `prompts` change in those of the candidate `parent`, or in the baseline where that is none.
    fn diff_from(&self, parent: &str, prompts: &BTreeMap<String, String>) -> String {
        let parent = self.prompts.get(parent).and_then(parsed);
        let from = parent.as_ref().unwrap_or(&self.baseline);
        parsed(prompts).map_or_else(String::new, |prompts| from.unified_diff(&prompts))
    }

    fn note(&mut self, generation: u32, candidate: &str, stage: &'static str, value: Value) {
        self.verdicts.entry((generation, candidate.to_owned())).or_default().insert(stage, value);
    }
}

impl Sink for Files {
    fn emit(&self, event: Event) -> Result<(), RunError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(&mut state, &event)
    }
}

/// A new candidate, proposed or merged.
struct New<'a> {
    generation: u32,
    id: &'a str,
    proposal: Value,
    diff: &'a str,
    prompts: &'a BTreeMap<String, String>,
}

impl<'a> New<'a> {
    fn of_proposal(event: &'a Proposed) -> Self {
        let proposal = json!({
            "parent": event.parent,
            "strategy": event.strategy,
            "cluster": event.cluster,
            "proposal": event.proposal,
        });
        let Proposed { generation, candidate, diff, prompts, .. } = event;
        Self { generation: *generation, id: candidate, proposal, diff, prompts }
    }

    fn of_merge(event: &'a Merged) -> Self {
        let proposal = json!({ "parent": event.parent, "merge_of": event.parts });
        let Merged { generation, candidate, diff, prompts, .. } = event;
        Self { generation: *generation, id: candidate, proposal, diff, prompts }
    }
}

/// One prompt goes to `name`, several go into a folder of that name.
fn write_prompts(folder: &Path, name: &str, prompts: &BTreeMap<String, String>) -> Result<(), RunError> {
    if let [text] = prompts.values().collect::<Vec<_>>()[..] {
        durable::write(&folder.join(name), text.as_bytes())?;
    } else {
        for (prompt, text) in prompts {
            durable::write(&folder.join(name).join(prompt), text.as_bytes())?;
        }
    }
    Ok(())
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), RunError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| unwritable(path, &error))?;
    text.push('\n');
    durable::write(path, text.as_bytes())?;
    Ok(())
}

fn unwritable(path: &Path, error: &serde_json::Error) -> RunError {
    RunError::Unreadable { path: path.to_path_buf(), message: format!("could not be written as JSON: {error}") }
}

/// One line of `outcomes.jsonl`: what a person or jq wants to know of a row, without times and money. A row
/// without a value has its error, and an answer where only its scoring failed.
#[derive(Default, Serialize)]
struct OutcomeLine<'a> {
    id: &'a str,
    sample: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish: Option<FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<&'a [Score]>,
    /// The names of an agent's steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> OutcomeLine<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let answer = outcome.answered();
        let line = Self { id: &outcome.example.id, sample: outcome.sample, answer, ..Self::default() };
        match &outcome.result {
            Ok(Answer { completion, scores, value }) => {
                let steps = completion.trace.as_deref();
                Self {
                    value: Some(*value),
                    finish: Some(completion.finish),
                    scores: Some(scores),
                    steps: steps.map(|steps| steps.iter().map(|step| step.name.as_str()).collect()),
                    ..line
                }
            }
            Err(error) => Self { error: Some(error.to_string()), ..line },
        }
    }
}
