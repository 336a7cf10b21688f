//! The worlds of the bench, and what is measured in each.

use rand::Rng;

use crate::gates::{GATES, Gate, Ran, run};
use crate::parallel::in_parallel;
use crate::sim::planted::{GOOD_HUNKS, breaks_two_pinned, clashing, good, nothing, planted, shape, two_good_hunks};
use crate::sim::{Effect, Maker, Shape, Turn, World, settings};
use crate::table::{Figure, Goal, Line};

/// Share of rows that a wobbling edit flips up, and as many down.
const WOBBLE: f64 = 0.05;

/// Pinned rows of the flaky guards.
const PINNED: usize = 20;

/// A third of the calls that keep-if-higher takes for its baseline and 10 x 6 evaluations, and the sealed test's.
const THIRD: u64 = 6_100 / 3 + 400;

/// A world to be run with every gate.
struct Scene {
    name: &'static str,
    shape: fn(u64) -> Shape,
    maker: Maker,
    lines: fn(&[Vec<Ran>]) -> Vec<Line>,
    /// Most calls of the real search, the sealed test's included; the other gates take what they take.
    calls: Option<u64>,
}

/// Runs every world whose name begins with `world`, `runs` times with every gate.
pub fn all(runs: usize, world: &str) -> Vec<(String, Vec<Line>)> {
    let scenes = [
        Scene {
            name: "1. Noise null, no coins",
            shape: |seed| coins(seed, 0.0),
            maker: nothing,
            lines: noise_null,
            calls: None,
        },
        Scene {
            name: "1. Noise null, 5 % coins",
            shape: |seed| coins(seed, 0.05),
            maker: nothing,
            lines: noise_null,
            calls: None,
        },
        Scene {
            name: "1. Noise null, 15 % coins",
            shape: |seed| coins(seed, 0.15),
            maker: nothing,
            lines: noise_null,
            calls: None,
        },
        Scene { name: "2. Wobble null", shape: steady, maker: wobble, lines: wobble_null, calls: None },
        Scene { name: "3. Planted", shape, maker: planted, lines: planted_gains, calls: None },
        Scene {
            name: "3. Planted, with a third of the calls",
            shape,
            maker: planted,
            lines: planted_gains,
            calls: Some(THIRD),
        },
        Scene { name: "4. Flaky guards, good edits", shape: pinned, maker: good, lines: good_edits, calls: None },
        Scene {
            name: "4. Flaky guards, edits that break two",
            shape: pinned,
            maker: breaks_two_pinned,
            lines: bad_edits,
            calls: None,
        },
        Scene { name: "5. Interactions", shape: clashing, maker: two_good_hunks, lines: interactions, calls: None },
    ];
    scenes
        .iter()
        .filter(|scene| scene.name.starts_with(world))
        .map(|scene| {
            let start = std::time::Instant::now();
            let ran: Vec<Vec<Ran>> = GATES.iter().map(|gate| run_scene(scene, *gate, runs)).collect();
            let mut lines = (scene.lines)(&ran);
            // World 6 is asked of every other.
            lines.push(rates(
                "6. the sealed test's 95 % interval holds the truth",
                &ran,
                Goal::Within(0.94, 0.96),
                |ran| ran.covered,
            ));
            eprintln!("{}: {:.1} s", scene.name, start.elapsed().as_secs_f64());
            (scene.name.to_owned(), lines)
        })
        .collect()
}

fn run_scene(scene: &Scene, gate: Gate, runs: usize) -> Vec<Ran> {
    in_parallel(runs, |seed| {
        let mut settings = settings(seed);
        settings.calls.task = scene.calls;
        run(&World::new((scene.shape)(seed), scene.maker), gate, &settings)
    })
}

fn coins(seed: u64, coins: f64) -> Shape {
    Shape { coins, ..shape(seed) }
}

fn steady(seed: u64) -> Shape {
    Shape { coins: 0.0, deterministic: true, ..shape(seed) }
}

fn pinned(seed: u64) -> Shape {
    Shape { pinned: PINNED, ..shape(seed) }
}

fn wobble(turn: Turn, _: &mut dyn Rng) -> Effect {
    turn.effect(WOBBLE, WOBBLE)
}

fn rates(measure: &str, ran: &[Vec<Ran>], goal: Goal, is_so: impl Fn(&Ran) -> bool) -> Line {
    let figures = ran.iter().map(|runs| Figure::rate(runs, &is_so)).collect();
    Line { measure: measure.to_owned(), figures, goal }
}

fn calls(ran: &[Vec<Ran>]) -> Line {
    let figures = ran.iter().map(|runs| Figure::calls(runs, |run| run.calls)).collect();
    Line { measure: "calls".to_owned(), figures, goal: Goal::None }
}

fn true_gain(ran: &[Vec<Ran>]) -> Line {
    let figures = ran.iter().map(|runs| Figure::points(runs, |run| run.gain)).collect();
    Line { measure: "true gain".to_owned(), figures, goal: Goal::None }
}

/// How far dev claims too much, of the runs that kept something.
fn overstated(ran: &[Vec<Ran>]) -> Line {
    let of = |runs: &[Ran]| {
        let keeping: Vec<&Ran> = runs.iter().filter(|run| !run.kept.is_empty()).collect();
        Figure::points(&keeping, |run| run.on_dev - run.gain)
    };
    let figures = ran.iter().map(|runs| of(runs)).collect();
    Line { measure: "dev overstates, where something is kept".to_owned(), figures, goal: Goal::None }
}

/// Kept revisions that are truly worse than what they replaced.
fn harmful(ran: &[Vec<Ran>], goal: Goal) -> Line {
    let of = |runs: &[Ran]| {
        let gains: Vec<f64> = runs.iter().flat_map(|run| run.kept.iter().map(|kept| kept.gain)).collect();
        Figure::rate(&gains, |gain| *gain < -1e-9)
    };
    let figures = ran.iter().map(|runs| of(runs)).collect();
    Line { measure: "kept revisions that truly harm".to_owned(), figures, goal }
}

fn noise_null(ran: &[Vec<Ran>]) -> Vec<Line> {
    vec![
        rates("runs that keep anything", ran, Goal::AtMost(0.05), |run| !run.kept.is_empty()),
        rates("runs that claim \"better\" on test", ran, Goal::AtMost(0.05), |run| run.better),
        overstated(ran),
        calls(ran),
    ]
}

fn wobble_null(ran: &[Vec<Ran>]) -> Vec<Line> {
    vec![
        rates("runs that keep anything", ran, Goal::None, |run| !run.kept.is_empty()),
        rates("runs that claim \"better\" on test", ran, Goal::AtMost(0.05), |run| run.better),
        overstated(ran),
        calls(ran),
    ]
}

fn planted_gains(ran: &[Vec<Ran>]) -> Vec<Line> {
    let share = |measure: &str, of: &Line, goal| Line {
        measure: measure.to_owned(),
        figures: of.figures.iter().map(|figure| figure.over(of.figures[1])).collect(),
        goal,
    };
    let (gain, calls) = (true_gain(ran), calls(ran));
    let of_gain = share("true gain, as a share of keep-if-higher's", &gain, Goal::AtLeast(0.9));
    let of_calls = share("calls, as a share of keep-if-higher's", &calls, Goal::AtMost(1.0 / 3.0));
    vec![
        gain,
        of_gain,
        calls,
        of_calls,
        harmful(ran, Goal::AtMost(0.05)),
        overstated(ran),
        rates("runs that claim \"better\" on test", ran, Goal::None, |run| run.better),
    ]
}

/// Of the questions that reached the guards, how many were vetoed or let through.
fn guards(measure: &str, ran: &[Vec<Ran>], count: fn(&Ran) -> u32) -> Line {
    let sum = |of: &dyn Fn(&Ran) -> u32| ran[0].iter().map(of).sum::<u32>() as usize;
    let ours = Figure::Rate(sum(&count), sum(&|run| run.guarded));
    Line { measure: measure.to_owned(), figures: vec![ours, Figure::Absent, Figure::Absent], goal: Goal::AtMost(0.05) }
}

fn good_edits(ran: &[Vec<Ran>]) -> Vec<Line> {
    vec![guards("good edits vetoed by luck", ran, |run| run.vetoed), true_gain(ran), calls(ran)]
}

fn bad_edits(ran: &[Vec<Ran>]) -> Vec<Line> {
    vec![
        guards("edits that break two pinned rows let through", ran, |run| run.guarded - run.vetoed),
        rates("runs that keep such an edit", ran, Goal::None, |run| {
            run.kept.iter().any(|kept| kept.edits.iter().any(|edit| edit % 100 == 0))
        }),
        calls(ran),
    ]
}

fn interactions(ran: &[Vec<Ran>]) -> Vec<Line> {
    let [better, other] = GOOD_HUNKS;
    let ends_with = move |run: &Ran, edit: u64| run.kept.last().is_some_and(|kept| kept.edits.contains(&edit));
    let both = move |run: &Ran| run.kept.iter().any(|kept| kept.edits.contains(&better) && kept.edits.contains(&other));
    vec![
        rates("runs that keep the harmful merge", ran, Goal::AtMost(0.05), both),
        rates("runs that keep the better of the two alone", ran, Goal::AtLeast(0.8), move |run| {
            ends_with(run, better) && !ends_with(run, other)
        }),
        rates("runs that keep the other one alone", ran, Goal::None, move |run| {
            ends_with(run, other) && !ends_with(run, better)
        }),
        true_gain(ran),
        calls(ran),
    ]
}
