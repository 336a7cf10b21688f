//! The gates that are put side by side: the real search, and two plain ones that only look at who scored higher.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prompt_ratchet::dataset::{Example, Split};
use prompt_ratchet::eval::{Outcome, Summary, compare};
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::run::{Ablated, Decision, Event};
use prompt_ratchet::search::Settings;
use prompt_ratchet::seed;
use rand::seq::IndexedRandom;

use crate::sim::{World, edits_in, prompts};

/// Train rows of a minibatch.
const MINIBATCH: usize = 3;

/// Which gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The real search.
    Ours,
    /// All proposals of a generation run on dev; the best is kept if it is higher than the incumbent.
    KeepIfHigher,
    /// As before, but only proposals that do better than the incumbent on three random train rows run on dev.
    Minibatch,
}

/// All gates, in the order of the table's columns.
pub const GATES: [Gate; 3] = [Gate::Ours, Gate::KeepIfHigher, Gate::Minibatch];

/// A revision that was kept.
pub struct Kept {
    /// Numbers of the edits in it.
    pub edits: Vec<u64>,
    /// Its true gain over the incumbent of the time.
    pub gain: f64,
}

/// How one run went.
pub struct Ran {
    pub kept: Vec<Kept>,
    /// True gain of the winner over the baseline.
    pub gain: f64,
    /// The gain that dev claims.
    pub on_dev: f64,
    /// Calls of the target, those of the sealed test left out.
    pub calls: u64,
    /// Whether the sealed test says "better"; only asked where something was kept.
    pub better: bool,
    /// Whether the sealed test's interval holds the true difference: of the winner, or of the first proposal where
    /// nothing was kept.
    pub covered: bool,
    /// Questions to the real gate whose gain it took for real, so that the guards were asked; and what was dropped for a
    /// pinned row before it came to a question.
    pub guarded: u32,
    /// Of those, the ones that a pinned row vetoed or had dropped.
    pub vetoed: u32,
}

/// Runs one gate in `world`.
pub fn run(world: &World, gate: Gate, settings: &Settings) -> Ran {
    match gate {
        Gate::Ours => ours(world, settings),
        Gate::KeepIfHigher | Gate::Minibatch => plain(world, gate, settings),
    }
}

fn ours(world: &World, settings: &Settings) -> Ran {
    let events = world.search(settings);
    let mut known = BTreeMap::new();
    let mut revisions = vec![World::baseline()];
    let mut dev = Vec::new();
    let (mut guarded, mut vetoed) = (0, 0);
    // Of a generation's proposals, the first is the one that the worlds with pinned rows are about.
    let mut dropped = 0;
    let mut drop_of = |text: &str| dropped += u32::from(edits_in(&prompts(text)).iter().any(|edit| edit % 100 == 0));
    for event in &events {
        match event {
            Event::BaselineMeasured(baseline) => dev.push(baseline.dev.score),
            Event::Proposed(proposed) => drop(known.insert(&proposed.candidate, &proposed.prompts["p"])),
            Event::Merged(merged) => {
                known.insert(&merged.candidate, &merged.prompts["p"]);
                if !merged.better {
                    drop_of(&merged.prompts["p"]);
                }
            }
            // Where a pinned row breaks, the race and the merge already drop what the gate would veto.
            Event::Raced(raced) if !raced.breaks_pinned.is_empty() => drop_of(known[&raced.candidate]),
            Event::Judged(judged) => {
                let is_kept = judged.verdict.decision == Decision::Kept;
                let is_vetoed = judged.verdict.reason.starts_with("breaks pinned");
                guarded += u32::from(is_kept || is_vetoed);
                vetoed += u32::from(is_vetoed);
                if is_kept {
                    revisions.push(prompts(known[&judged.candidate]));
                    dev.push(judged.dev.score);
                }
            }
            // What was kept is what is left of it.
            Event::Ablated(Ablated { shortened: Some(shortened), .. }) => {
                revisions.pop();
                revisions.push(prompts(&shortened.prompts["p"]));
                dev.pop();
                dev.push(shortened.dev.score);
            }
            _ => {}
        }
    }
    Ran {
        guarded: guarded + dropped,
        vetoed: vetoed + dropped,
        ..ran(world, &revisions, dev[dev.len() - 1] - dev[0], settings)
    }
}

fn plain(world: &World, gate: Gate, settings: &Settings) -> Ran {
    let (train, dev) = (world.dataset.rows(Split::Train), world.dataset.rows(Split::Dev));
    let score = |prompts: &PromptSet| Summary::of(&world.outcomes(prompts, &dev, 0)).score;
    let baseline = World::baseline();
    let first = score(&baseline);
    let mut higher = first;
    let mut revisions = vec![baseline];
    for generation in 1..=settings.generations {
        let mut best: Option<Arc<PromptSet>> = None;
        for slot in 0..settings.proposals {
            let incumbent = &revisions[revisions.len() - 1];
            let candidate = Arc::new(world.proposed(incumbent, generation, slot).prompts);
            let draw = generation * settings.proposals + slot;
            if gate == Gate::Minibatch && !wins_minibatch(world, incumbent, &candidate, &train, draw, settings.seed) {
                continue;
            }
            let of_candidate = score(&candidate);
            if of_candidate > higher {
                higher = of_candidate;
                best = Some(candidate);
            }
        }
        revisions.extend(best);
    }
    ran(world, &revisions, higher - first, settings)
}

/// Whether `candidate` does better than `incumbent` on a few random train rows, each asked afresh.
fn wins_minibatch(
    world: &World,
    incumbent: &PromptSet,
    candidate: &PromptSet,
    train: &[Arc<Example>],
    draw: u32,
    seed: u64,
) -> bool {
    let mut random = seed::generator(seed, draw, "minibatch");
    let rows: Vec<Arc<Example>> = train.sample(&mut random, MINIBATCH).cloned().collect();
    let sum = |prompts| world.outcomes(prompts, &rows, draw).iter().filter_map(Outcome::value).sum::<f64>();
    sum(candidate) > sum(incumbent)
}

/// Sums up a run by the revisions that were kept, the baseline first, and the gain that dev claims.
fn ran(world: &World, revisions: &[Arc<PromptSet>], on_dev: f64, settings: &Settings) -> Ran {
    let kept: Vec<Kept> = revisions
        .windows(2)
        .map(|pair| Kept { edits: edits_in(&pair[1]), gain: world.truth(&pair[1]) - world.truth(&pair[0]) })
        .collect();
    let calls = world.calls.load(Ordering::Relaxed);
    let (baseline, winner) = (&revisions[0], &revisions[revisions.len() - 1]);
    let shown = if kept.is_empty() { Arc::new(world.proposed(baseline, 1, 0).prompts) } else { Arc::clone(winner) };
    let test = world.dataset.rows(Split::Test);
    let sealed =
        compare(&world.outcomes(baseline, &test, 0), &world.outcomes(&shown, &test, 0), settings.pass_threshold);
    Ran {
        gain: world.truth(winner) - world.truth(baseline),
        on_dev,
        calls,
        better: !kept.is_empty() && sealed.interval.low > 0.0,
        covered: sealed.interval.contains(world.truth(&shown) - world.truth(baseline)),
        guarded: 0,
        vetoed: 0,
        kept,
    }
}
