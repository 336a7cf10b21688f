//! The search on text: the example datasets through the embedded model, score against calls, and what each part of the
//! search is worth. `cargo bench --bench text` writes the table in `docs/search.md`.
//!
//! `-- --seeds N` makes fewer runs and only prints the table. `RATCHET_DATA` names the folder of the Banking77 rows;
//! without it their part is left out and nothing is written.

#[path = "page.rs"]
mod page;
#[path = "parallel.rs"]
mod parallel;
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

/// What was measured of one dataset.
pub struct Measured {
    name: String,
    /// Rows of train, dev and test.
    rows: [usize; 3],
    /// The first draft, then what needs no search, by seed.
    draft: Ran,
    unsearched: Vec<Ran>,
    /// By calls, by seed: the whole search.
    whole: Vec<Vec<Ran>>,
    /// The same without each of [`PARTS`].
    without: Vec<Vec<Vec<Ran>>>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let flag = arguments.iter().position(|argument| argument == "--seeds");
    let seeds: Option<usize> = flag.map(|at| arguments[at + 1].parse().unwrap());
    let mut configs = vec!["ratchet.toml"];
    let complete = std::env::var_os("RATCHET_DATA").is_some();
    if complete {
        configs.push("examples/banking77/ratchet.toml");
    }
    let measured: Vec<Measured> =
        configs.iter().map(|config| measure(&Task::load(config), seeds.unwrap_or(SEEDS))).collect();
    let table = table::markdown(&measured);
    if seeds.is_none() && complete {
        page::write("text", &table);
    } else {
        println!("{table}");
    }
}

fn measure(task: &Task, seeds: usize) -> Measured {
    let start = std::time::Instant::now();
    let by_calls = |parts: Parts| -> Vec<Vec<Ran>> {
        CALLS.iter().map(|calls| in_parallel(seeds, |seed| task.search(*calls, seed + 1, parts))).collect()
    };
    let whole = by_calls(Parts::default());
    eprintln!("{}: the whole search took {:.0} s", task.name(), start.elapsed().as_secs_f64());
    let without = PARTS
        .iter()
        .map(|part| {
            let mut parts = Parts::default();
            (part.leave_out)(&mut parts);
            by_calls(parts)
        })
        .collect();
    eprintln!("{}: {:.0} s", task.name(), start.elapsed().as_secs_f64());
    Measured {
        name: task.name(),
        rows: task.rows(),
        draft: task.draft(),
        unsearched: in_parallel(seeds, |seed| task.unsearched(seed + 1)),
        whole,
        without,
    }
}
