//! The search in worlds whose truth is known: small and fast versions of those in `benches/search`.

use prompt_ratchet::dataset::Split;
use prompt_ratchet::run::{Decision, Event};
use rand::RngExt;

use crate::sim::{Effect, Shape, World, settings};

fn shape(seed: u64) -> Shape {
    Shape { seed, splits: [100, 100, 200], accuracy: 0.55, coins: 0.05, pinned: (0, 1.0), deterministic: false }
}

fn kept(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Event::Judged(judged) if judged.verdict.decision == Decision::Kept))
        .count()
}

#[test]
fn edits_that_do_nothing_are_hardly_ever_kept() {
    let runs = 40;
    let keeping = (0..runs)
        .filter(|seed| {
            let world = World::new(&Shape { coins: 0.15, ..shape(*seed) }, Box::new(|_, _| Effect::default()));
            kept(&world.search(&settings(*seed))) > 0
        })
        .count();
    assert!(keeping <= 6, "{keeping} of {runs} runs kept an edit that did nothing");
}

#[test]
fn edits_that_help_are_found_and_kept() {
    let mut gain = 0.0;
    let runs = 8;
    for seed in 0..runs {
        let maker = |world: &World, random: &mut dyn rand::Rng| {
            let kind: f64 = random.random();
            let (fix, break_) = match kind {
                k if k < 0.4 => (0.0, 0.0),
                k if k < 0.55 => (0.02, 0.07),
                k if k < 0.8 => (0.04, 0.02),
                _ => (0.09, 0.02),
            };
            world.effect(random, fix, break_)
        };
        let world = World::new(&shape(seed), Box::new(maker));
        let events = world.search(&settings(seed));
        let mut winner = World::baseline();
        let best = events.iter().rev().find_map(|event| match event {
            Event::RunEnded(ended) => Some(ended.winner.clone()),
            _ => None,
        });
        for event in &events {
            let prompts = match event {
                Event::Proposed(proposed) if Some(&proposed.candidate) == best.as_ref() => &proposed.prompts,
                Event::Merged(merged) if Some(&merged.candidate) == best.as_ref() => &merged.prompts,
                _ => continue,
            };
            let prompt = prompt_ratchet::prompt::Prompt::parse("p", &prompts["p"]).unwrap();
            winner = std::sync::Arc::new(prompt_ratchet::prompt::PromptSet::one(prompt).unwrap());
        }
        gain += world.truth(&winner, Split::Test) - world.truth(&World::baseline(), Split::Test);
    }
    assert!(gain / runs as f64 > 0.08, "mean true gain {}", gain / runs as f64);
}
