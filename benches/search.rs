//! The search in worlds whose truth is known: `cargo bench --bench search` writes the table in `docs/search.md`.
//!
//! `-- --runs N` makes fewer runs of each world and only prints the table. Every run is a pure function of its number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[path = "search/gates.rs"]
mod gates;
#[path = "../tests/sim/mod.rs"]
mod sim;
#[path = "search/table.rs"]
mod table;
#[path = "search/worlds.rs"]
mod worlds;

/// Runs of each world.
const RUNS: usize = 2_000;
const THREADS: usize = 2;
/// Where the table goes, and the line that it follows there.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/search.md");
const BEGINS: &str = "<!-- written by `cargo bench --bench search` -->\n";
const ENDS: &str = "<!-- end -->\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let flag = arguments.iter().position(|argument| argument == "--runs");
    let runs: Option<usize> = flag.map(|at| arguments[at + 1].parse().unwrap());
    let each = runs.unwrap_or(RUNS);
    let table = format!("{each} runs of each world.\n\n{}", table::markdown(&worlds::all(each)));
    match runs {
        Some(_) => println!("{table}"),
        None => write(&table),
    }
}

/// Puts the table where the page has it.
fn write(table: &str) {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGINS).unwrap();
    let (_, after) = rest.split_once(ENDS).unwrap();
    std::fs::write(PAGE, format!("{before}{BEGINS}\n{table}\n{ENDS}{after}")).unwrap();
}

/// `of` each number below `count`, in order, on a few threads.
fn in_parallel<T: Send>(count: usize, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let one = of(number as u64);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, one));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, one)| one).collect()
}
