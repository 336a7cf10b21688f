//! The search in worlds whose truth is known: `cargo bench --bench search` writes the table in `docs/search.md`.
//!
//! `-- --runs N` makes fewer runs of each world and only prints the table. Every run is a pure function of its number.

#[path = "search/gates.rs"]
mod gates;
#[path = "page.rs"]
mod page;
#[path = "parallel.rs"]
mod parallel;
#[path = "../tests/sim/mod.rs"]
mod sim;
#[path = "search/table.rs"]
mod table;
#[path = "search/worlds.rs"]
mod worlds;

/// Runs of each world.
const RUNS: usize = 2_000;

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
        None => page::write("search", &table),
    }
}
