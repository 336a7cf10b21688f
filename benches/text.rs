//! The search on text: the example datasets through the embedded model, score against calls beside plainer ways, and
//! what each part of the search is worth. `cargo bench --bench text` writes the table in `docs/search.md`.
//!
//! `RATCHET_DATA` names the folder of the Banking77 rows; without it their part is left out and nothing is written. With any
//! of these flags the tables are only printed: `-- --seeds N` makes fewer runs, `--whole` leaves out what each part is
//! worth, and each `--config FILE` measures that project in place of the examples.

#[path = "page.rs"]
mod page;
#[path = "parallel.rs"]
mod parallel;
#[path = "text/plain.rs"]
mod plain;
#[path = "text/table.rs"]
mod table;
#[path = "text/task.rs"]
mod task;

use prompt_ratchet::search::Parts;

use parallel::in_parallel;
use task::{Ran, Task};

/// Runs of each setting.
const SEEDS: usize = 20;
/// Task calls that a run may make, the sealed test's left out.
const CALLS: [u64; 4] = [200, 500, 1_000, 2_000];

/// A part of the search.
pub struct Part {
    name: &'static str,
    leave_out: fn(&mut Parts),
}

const PARTS: [Part; 7] = [
    Part { name: "free candidates", leave_out: |parts| parts.free = false },
    Part { name: "screen", leave_out: |parts| parts.screen = false },
    Part { name: "merge", leave_out: |parts| parts.merge = false },
    Part { name: "ablation", leave_out: |parts| parts.ablate = false },
    Part { name: "bandit", leave_out: |parts| parts.bandit = false },
    Part { name: "archive", leave_out: |parts| parts.archive = false },
    Part { name: "widening", leave_out: |parts| parts.widen = false },
];

/// A way to a prompt that is not the search.
pub struct Plain {
    name: &'static str,
    /// With so many task calls, by seed.
    run: fn(&Task, u64, u64) -> Ran,
    /// Whether the calls matter.
    searches: bool,
}

const PLAIN: [Plain; 4] = [
    Plain {
        name: "no search: format line, three random examples a label",
        run: |task, _, seed| task.random(seed),
        searches: false,
    },
    Plain {
        name: "no search: format line, typical examples of each label",
        run: |task, _, seed| task.typical(seed),
        searches: false,
    },
    Plain { name: "random search over 24 examples", run: Task::random_search, searches: true },
    Plain { name: "hill climber that shows eight failures", run: Task::hill_climb, searches: true },
];

/// Runs by calls, by seed.
type ByCalls = Vec<Vec<Ran>>;

/// What was measured of one dataset.
pub struct Measured {
    name: String,
    /// Rows of train, dev and test.
    rows: [usize; 3],
    draft: Ran,
    /// Each of [`PLAIN`].
    plain: Vec<ByCalls>,
    whole: ByCalls,
    /// The search without each of [`PARTS`].
    without: Vec<ByCalls>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let values_of = |flag: &str| -> Vec<&str> {
        let pairs = arguments.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1].as_str()).collect()
    };
    let seeds: Option<usize> = values_of("--seeds").first().map(|seeds| seeds.parse().unwrap());
    let parts = !arguments.iter().any(|argument| argument == "--whole");
    let mut configs = values_of("--config");
    let complete = configs.is_empty() && std::env::var_os("RATCHET_DATA").is_some();
    if configs.is_empty() {
        configs.push("ratchet.toml");
        configs.extend(complete.then_some("examples/banking77/ratchet.toml"));
    }
    let measured: Vec<Measured> =
        configs.iter().map(|config| measure(&Task::load(config), seeds.unwrap_or(SEEDS), parts)).collect();
    let table = table::markdown(&measured);
    if seeds.is_none() && complete && parts {
        page::write("text", &table);
    } else {
        println!("{table}");
    }
}

fn measure(task: &Task, seeds: usize, parts: bool) -> Measured {
    let start = std::time::Instant::now();
    let took = |what: &str| eprintln!("{}: {what} after {:.0} s", task.name(), start.elapsed().as_secs_f64());
    let by_calls = |run: &(dyn Fn(u64, u64) -> Ran + Sync)| -> ByCalls {
        CALLS.iter().map(|calls| in_parallel(seeds, |seed| run(*calls, seed + 1))).collect()
    };
    let plain = PLAIN
        .iter()
        .map(|plain| match plain.searches {
            true => by_calls(&|calls, seed| (plain.run)(task, calls, seed)),
            false => vec![in_parallel(seeds, |seed| (plain.run)(task, 0, seed + 1)); CALLS.len()],
        })
        .collect();
    took("the plain ways");
    let whole = by_calls(&|calls, seed| task.search(calls, seed, Parts::default()));
    took("the whole search");
    let of_parts = PARTS.iter().filter(|_| parts);
    let without = of_parts
        .map(|part| {
            let mut parts = Parts::default();
            (part.leave_out)(&mut parts);
            by_calls(&|calls, seed| task.search(calls, seed, parts))
        })
        .collect();
    took("all parts");
    Measured { name: task.name(), rows: task.rows(), draft: task.draft(), plain, whole, without }
}
