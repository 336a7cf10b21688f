//! `--progress json`: a run's events on stderr for machines, one JSON object a line. What the keys mean is in
//! `docs/unattended.md`; keys may be added, none is taken away or changed while `v` stays the same.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::say;
use prompt_ratchet::clock::{self, Clock, SystemClock};
use prompt_ratchet::eval::Summary;
use prompt_ratchet::model::{Notice, Spend};
use prompt_ratchet::project::Watch;
use prompt_ratchet::run::{Event, Progress, ProviderNotice, RunFolder, UnderWay};
use serde_json::{Value, json};

/// Version of the lines.
const VERSION: u32 = 1;

/// Least time between two lines of one stage's progress.
const EVERY: Duration = Duration::from_secs(1);

/// Prints one line.
pub fn say(kind: &str, mut object: Value) {
    object["v"] = json!(VERSION);
    object["type"] = json!(kind);
    object["time"] = json!(clock::timestamp(SystemClock.now()));
    say::line(object);
}

/// Tells a run's events.
#[derive(Default)]
pub struct Machine {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: UnderWay,
    stage: Option<(u32, &'static str)>,
    told: Option<Instant>,
}

impl Watch for Machine {
    fn note(&self, line: &str) {
        say("note", json!({ "text": line }));
    }

    fn begin(&self, folder: &RunFolder) {
        let manifest = &folder.manifest;
        say(
            "begin",
            json!({ "run": manifest.run, "short_id": folder.short_id(), "name": manifest.name, "folder": folder.path }),
        );
    }

    fn see(&self, event: &Event, spend: &Spend) {
        match event {
            Event::Measured(_) => {}
            Event::Progress(progress) => self.progress(progress, spend),
            Event::Provider(seen) => {
                let (kind, told) = provider(seen);
                say(kind, told);
            }
            event => say(&event.name().unwrap_or_default(), compact(event)),
        }
    }
}

impl Machine {
    fn progress(&self, progress: &Progress, spend: &Spend) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.under_way.take(progress);
        let stage = Some((progress.generation, progress.stage));
        let is_new = state.stage != stage;
        if !is_new && state.told.is_some_and(|told| told.elapsed() < EVERY) {
            return;
        }
        (state.stage, state.told) = (stage, Some(Instant::now()));
        let (done, of, score) = state.under_way.sum();
        let total = spend.total();
        say(
            "progress",
            json!({
                "generation": progress.generation,
                "stage": progress.stage,
                "trying": state.under_way.trying(progress),
                "done": done,
                "of": of,
                "score": (done > 0).then_some(score),
                "calls": total.live,
                "stored": total.stored,
                "failed": total.failed,
                "tokens": total.tokens_in + total.tokens_out,
                "cost_usd": (total.unpriced == 0).then(|| total.cost.dollars()),
            }),
        );
    }
}

/// A provider that is out or back, or that takes no call for some time.
fn provider(seen: &ProviderNotice) -> (&'static str, Value) {
    let role = seen.role;
    let told = match &seen.notice {
        Notice::Held { next_call } => {
            return ("held", json!({ "role": role, "next_call_seconds": next_call.as_secs_f64() }));
        }
        Notice::Down { error, down_for, next_try } => json!({
            "role": role, "down": true, "down_for_seconds": down_for.as_secs_f64(), "error": error,
            "next_try_seconds": next_try.as_secs_f64(),
        }),
        Notice::Up { down_for } => json!({ "role": role, "down": false, "down_for_seconds": down_for.as_secs_f64() }),
    };
    ("provider", told)
}

/// What of an event is worth a line: numbers and names, no texts of prompts and rows.
fn compact(event: &Event) -> Value {
    match event {
        Event::RunStarted(e) => {
            let mut started = json!({
                "rows": { "train": e.rows[0], "dev": e.rows[1], "test": e.rows[2] },
                "generations": e.generations, "proposals": e.proposals, "seed": e.seed,
            });
            if !e.objective.is_mean_score() {
                started["objective"] = json!(e.objective);
            }
            started
        }
        Event::RowFailed(e) => json!({ "row": e.example }),
        Event::AskFailed(e) => json!({ "generation": e.generation }),
        Event::BaselineMeasured(e) => json!({ "train": summary(&e.train), "dev": summary(&e.dev), "tokens": e.tokens }),
        Event::NoiseMeasured(e) => json!({ "rows": e.rows, "flip_rate": e.flip_rate, "detectable": e.detectable }),
        Event::GenerationStarted(e) => json!({ "generation": e.generation, "incumbent": e.incumbent }),
        Event::Diagnosed(e) => json!({
            "generation": e.generation, "clusters": e.clusters.len(),
            "failing": e.clusters.iter().map(|cluster| cluster.members.len()).sum::<usize>(),
        }),
        Event::Proposed(e) => json!({
            "generation": e.generation, "candidate": e.candidate, "strategy": e.strategy, "cluster": e.cluster,
            "tokens": e.tokens,
        }),
        Event::Dropped(e) => json!({ "generation": e.generation, "strategy": e.strategy, "cluster": e.cluster }),
        Event::Screened(e) => json!({
            "generation": e.generation, "candidate": e.candidate, "fixed": e.fixed, "broken": e.broken,
            "rows": e.rows, "passed": e.passed,
        }),
        Event::Raced(e) => json!({
            "generation": e.generation, "candidate": e.candidate, "fixed": e.fixed, "broken": e.broken,
            "improved": e.improved, "worsened": e.worsened, "rows": e.rows, "difference": e.difference,
            "survived": e.survived,
        }),
        Event::Merged(e) => json!({
            "generation": e.generation, "candidate": e.candidate, "parts": e.parts, "better": e.better,
        }),
        Event::Judged(e) => json!({
            "generation": e.generation, "candidate": e.candidate, "decision": e.verdict.decision,
            "fixed": e.verdict.fixed, "broken": e.verdict.broken, "improved": e.verdict.improved,
            "worsened": e.verdict.worsened, "rows": e.verdict.rows,
            "difference": e.verdict.difference, "standard_error": e.verdict.standard_error,
            "p_value": e.verdict.p_value, "samples": e.verdict.samples, "e_value": e.verdict.e_value,
            "alpha": e.verdict.alpha, "reason": e.verdict.reason, "dev": summary(&e.dev),
        }),
        Event::FellBack(e) => json!({ "generation": e.generation, "role": e.role, "model": e.model }),
        Event::IncumbentMeasured(e) => json!({
            "generation": e.generation, "incumbent": e.incumbent, "dev": summary(&e.dev),
            "baseline_dev": summary(&e.baseline_dev),
        }),
        Event::GenerationEnded(e) => json!({
            "generation": e.generation, "incumbent": e.incumbent, "kept": e.kept, "dev": summary(&e.dev),
        }),
        Event::TestOpened(e) => json!({
            "baseline": summary(&e.baseline), "winner": summary(&e.winner), "difference": e.comparison.difference,
            "interval": [e.comparison.interval.low, e.comparison.interval.high], "shown": e.shown,
        }),
        Event::RunEnded(e) => json!({ "stopped": e.stopped, "winner": e.winner }),
        // Those that are only of use with their texts, which are in the journal.
        _ => json!({}),
    }
}

fn summary(summary: &Summary) -> Value {
    json!({
        "score": summary.score,
        "interval": [summary.interval.low, summary.interval.high],
        "examples": summary.examples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_repeats_a_prompt_or_a_row() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/run-format-1");
        let folder = RunFolder::open(std::path::Path::new(golden)).unwrap();
        let prompt = std::fs::read_to_string(folder.path.join("best.prompt")).unwrap();
        let rule = prompt.lines().max_by_key(|line| line.len()).unwrap();
        let mut decisions = 0;
        for event in folder.events().unwrap() {
            let line = compact(&event).to_string();
            assert!(!line.contains(rule) && line.len() < 600, "{line}");
            decisions += usize::from(line.contains("\"decision\""));
        }
        assert_eq!(decisions, 3);
    }
}
