//! The search in worlds whose truth is known: small and fast versions of those in `benches/search`, with fixed seeds and
//! wide bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use prompt_ratchet::run::{Ablated, Decision, Event, Stopped, Widened};
use prompt_ratchet::search::{Parts, Settings};

use crate::sim::planted::{GOOD_HUNKS, breaks_two_pinned, clashing, good, nothing, planted, shape, two_good_hunks};
use crate::sim::{Effect, Maker, Shape, World, edits_in, prompts, settings};

/// The verdicts of one run, each as whether it kept, its reason, and the text of the candidate; those of its races that
/// pinned rows decided among them.
fn verdicts(world: &World, seed: u64) -> Vec<(bool, String, String)> {
    let mut texts = BTreeMap::new();
    let mut verdicts = Vec::new();
    for event in world.search(&settings(seed)) {
        match event {
            Event::Proposed(proposed) => drop(texts.insert(proposed.candidate, proposed.prompts["p"].clone())),
            Event::Merged(merged) => drop(texts.insert(merged.candidate, merged.prompts["p"].clone())),
            Event::Raced(raced) if !raced.breaks_pinned.is_empty() => {
                let reason = format!("breaks pinned {}", raced.breaks_pinned.join(", "));
                verdicts.push((false, reason, texts[&raced.candidate].clone()));
            }
            Event::Judged(judged) => {
                let text = texts[&judged.candidate].clone();
                verdicts.push((judged.verdict.decision == Decision::Kept, judged.verdict.reason, text));
            }
            // What was kept is what is left of it.
            Event::Ablated(Ablated { shortened: Some(shortened), .. }) => {
                if let Some((.., text)) = verdicts.iter_mut().rev().find(|(kept, ..)| *kept) {
                    text.clone_from(&shortened.prompts["p"]);
                }
            }
            _ => {}
        }
    }
    verdicts
}

/// Of the edits in the first slot that reached the guards in a few runs, how many were vetoed, and of how many.
fn vetoes(maker: Maker) -> (usize, usize) {
    let verdicts: Vec<(bool, String, String)> = (0..4)
        .flat_map(|seed| verdicts(&World::new(Shape { pinned: 20, ..shape(seed) }, maker), seed))
        .filter(|(kept, reason, _)| *kept || reason.starts_with("breaks pinned"))
        .filter(|(.., text)| edits_in(&prompts(text)).iter().any(|edit| edit % 100 == 0))
        .collect();
    (verdicts.iter().filter(|(kept, ..)| !kept).count(), verdicts.len())
}

#[test]
fn edits_that_do_nothing_are_hardly_ever_kept() {
    let runs = 16;
    let keeps = |seed: &u64| {
        let world = World::new(Shape { coins: 0.15, ..shape(*seed) }, nothing);
        verdicts(&world, *seed).iter().any(|(kept, ..)| *kept)
    };
    let keeping = (0..runs).filter(keeps).count();
    assert!(keeping <= 4, "{keeping} of {runs} runs kept an edit that did nothing");
}

#[test]
fn edits_that_help_are_found_and_kept() {
    let runs = 4;
    let mut gain = 0.0;
    for seed in 0..runs {
        let world = World::new(shape(seed), planted);
        let verdicts = verdicts(&world, seed);
        let winner = verdicts.iter().rev().find(|(kept, ..)| *kept);
        let winner = winner.map_or_else(World::baseline, |(.., text)| prompts(text));
        gain += world.truth(&winner) - world.truth(&World::baseline());
    }
    assert!(gain / runs as f64 > 0.08, "mean true gain {}", gain / runs as f64);
}

#[test]
fn flaky_pinned_rows_let_good_edits_pass() {
    let (vetoed, of) = vetoes(good);
    assert!(of >= 4 && vetoed * 5 <= of, "{vetoed} of {of} good edits were vetoed");
}

#[test]
fn flaky_pinned_rows_that_are_truly_broken_veto() {
    let (vetoed, of) = vetoes(breaks_two_pinned);
    assert!(of >= 4 && vetoed * 5 >= of * 4, "only {vetoed} of {of} edits that break two pinned rows were vetoed");
}

#[test]
fn hunks_that_hurt_together_are_not_both_kept() {
    let keeps_both = |seed: &u64| {
        let verdicts = verdicts(&World::new(clashing(*seed), two_good_hunks), *seed);
        verdicts.iter().any(|(kept, _, text)| *kept && edits_in(&prompts(text)) == GOOD_HUNKS)
    };
    let both = (0..5).filter(keeps_both).count();
    assert!(both <= 2, "{both} of 5 runs kept both");
}

#[test]
fn of_a_kept_edit_the_hunk_that_does_nothing_goes_and_the_one_that_helps_stays() {
    let once: Maker = |turn, random| if turn.generation == 1 { good(turn, random) } else { Effect::default() };
    let world = World::new(Shape { coins: 0.0, deterministic: true, second: Some(nothing), ..shape(1) }, once);
    // Long enough for ablation's share of the calls to cover both hunks.
    let events = world.search(&Settings { generations: 30, patience: 30, ..settings(1) });
    let ablated: Vec<&Ablated> =
        events.iter().filter_map(|event| if let Event::Ablated(of) = event { Some(of) } else { None }).collect();
    let is_idle = |of: &Ablated| of.hunk.replace.contains("{{ input }}");
    assert!(ablated.iter().any(|of| is_idle(of)) && ablated.iter().any(|of| !is_idle(of)), "{ablated:?}");
    for of in ablated {
        assert_eq!(of.shortened.is_some(), is_idle(of), "{of:?}");
        if let Some(shortened) = &of.shortened {
            let text = &shortened.prompts["p"];
            assert!(text.contains("edit") && of.removed.contains("-edit 150"), "{text}");
        }
    }
    let rows: usize = events.iter().map(|event| if let Event::Ablated(of) = event { of.rows } else { 0 }).sum();
    assert!(8 * rows as u64 <= world.calls.load(Ordering::Relaxed), "{rows} rows");
}

/// What became of the second hunk of the edit that helps, in a few runs with so many coins: how often it went, and how often
/// it was asked about.
fn second_hunk(coins: f64, second: Maker) -> (usize, usize) {
    let once: Maker = |turn, random| if turn.generation == 1 { good(turn, random) } else { Effect::default() };
    let (mut went, mut asked) = (0, 0);
    for seed in 6..12 {
        let world = World::new(Shape { coins, second: Some(second), ..shape(seed) }, once);
        for event in world.search(&Settings { generations: 20, patience: 20, ..settings(seed) }) {
            let Event::Ablated(of) = event else { continue };
            if of.removed.contains("-edit 150\n") {
                asked += 1;
                went += usize::from(of.shortened.is_some());
            }
        }
    }
    (went, asked)
}

#[test]
fn coins_do_not_keep_an_idle_hunk_nor_lose_one_that_helps() {
    let (went, asked) = second_hunk(0.05, nothing);
    assert!(asked >= 3 && went * 4 >= asked * 3, "only {went} of {asked} idle hunks went");
    let helps: Maker = |turn, _| match (turn.generation, turn.slot) {
        (1, 0) => turn.effect(0.10, 0.02),
        _ => Effect::default(),
    };
    let (went, asked) = second_hunk(0.05, helps);
    assert!(asked >= 3 && went <= 1, "{went} of {asked} hunks that help went");
}

#[test]
fn a_question_that_shows_a_loss_on_half_of_dev_ends_there() {
    let mut halves = 0;
    for seed in 0..4 {
        for event in World::new(shape(seed), planted).search(&settings(seed)) {
            let Event::Judged(judged) = event else { continue };
            let verdict = judged.verdict;
            let ended_early = verdict.rows == 50;
            halves += u32::from(ended_early);
            assert!(ended_early || verdict.rows == 100, "{verdict:?}");
            assert_eq!(judged.dev.examples, verdict.rows);
            assert!(!ended_early || verdict.difference < 0.0 && verdict.decision == Decision::Rejected, "{verdict:?}");
        }
    }
    assert!(halves > 0);
}

#[test]
fn parts_that_are_switched_off_take_no_part() {
    let world = World::new(shape(1), planted);
    let parts =
        Parts { free: false, screen: false, merge: false, ablate: false, bandit: false, widen: false, archive: false };
    let events = world.search(&Settings { parts, ..settings(1) });
    assert!(!events.iter().any(|event| matches!(event, Event::Screened(_) | Event::Merged(_))));
    assert!(events.iter().any(|event| matches!(event, Event::Judged(_))));
}

#[test]
fn a_plateau_widens_before_it_stops_and_says_so() {
    let mut edits_of_the_archive = 0;
    for seed in 0..3 {
        // Nothing helps after the first generation.
        let world = World::new(shape(seed), two_good_hunks);
        let events = world.search(&Settings { patience: 3, ..settings(seed) });
        let is_gain = |event: &Event| matches!(event, Event::GenerationEnded(ended) if ended.kept);
        let plateau = &events[events.iter().rposition(is_gain).map_or(0, |last| last + 1)..];
        let widened: Vec<&Widened> = plateau
            .iter()
            .filter_map(|event| if let Event::Widened(widened) = event { Some(widened) } else { None })
            .collect();
        assert_eq!(widened.iter().map(|of| of.without_gain).collect::<Vec<u32>>(), [1, 2]);
        // All rows fail alike: there is no other cluster to go to, so that the first step is the bold one.
        assert!(widened.iter().all(|of| of.bolder && of.clusters.is_empty()), "{widened:?}");
        let parents: BTreeSet<&String> = widened.iter().flat_map(|of| &of.parents).collect();
        let is_edit = |event: &&Event| matches!(event, Event::Proposed(of) if parents.contains(&of.parent));
        edits_of_the_archive += plateau.iter().filter(is_edit).count();
        let Some(Event::RunEnded(ended)) = events.last() else { panic!("the run did not end") };
        assert_eq!(ended.stopped, Stopped::NoGain);
        assert!(ended.words().starts_with("3 generations in a row kept nothing, also with the task as a whole"));
    }
    assert!(edits_of_the_archive > 0);
}

#[test]
fn what_a_prompt_of_the_archive_holds_is_brought_to_the_incumbent() {
    let mut brought = 0;
    for seed in 0..10 {
        let world = World::new(shape(seed), planted);
        let (mut edits, mut incumbent) = (BTreeMap::<String, BTreeSet<u64>>::new(), None);
        let of = |texts: &BTreeMap<String, String>| edits_in(&prompts(&texts["p"])).into_iter().collect();
        for event in world.search(&Settings { generations: 14, patience: 8, ..settings(seed) }) {
            match event {
                Event::GenerationStarted(started) => {
                    incumbent = edits.get(&started.incumbent).cloned();
                }
                Event::Merged(merged) => drop(edits.insert(merged.candidate, of(&merged.prompts))),
                Event::Proposed(proposed) => {
                    let candidate: BTreeSet<u64> = of(&proposed.prompts);
                    // An incumbent that was shortened since is not known here.
                    if proposed.strategy == "from-archive"
                        && let Some(incumbent) = &incumbent
                    {
                        brought += 1;
                        assert!(candidate.is_superset(incumbent), "{candidate:?} lacks some of {incumbent:?}");
                    }
                    edits.insert(proposed.candidate, candidate);
                }
                _ => {}
            }
        }
    }
    assert!(brought > 0);
}

#[test]
fn a_search_in_which_every_row_fails_goes_on() {
    let world = World::new(Shape { accuracy: 1e-9, coins: 0.0, deterministic: true, ..shape(1) }, planted);
    let events = world.search(&settings(1));
    let raced = events.iter().filter(|event| matches!(event, Event::Raced(_))).count();
    assert!(raced > 0 && matches!(events.last(), Some(Event::RunEnded(_))), "{raced} races");
}

#[test]
fn no_run_makes_more_calls_than_its_budget() {
    for (seed, calls) in (0..4).flat_map(|seed| [650, 800, 1_200].map(|calls| (seed, calls))) {
        let mut settings = settings(seed);
        settings.calls.task = Some(calls);
        let events = World::new(shape(seed), planted).search(&settings);
        let Some(Event::RunEnded(ended)) = events.last() else { panic!("{events:?}") };
        assert!(ended.calls["task"] <= calls, "seed {seed}: {} of {calls} calls", ended.calls["task"]);
    }
}
