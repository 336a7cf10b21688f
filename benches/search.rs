//! The search in worlds whose truth is known: `cargo bench --bench search` writes the table in `docs/search.md`.
//!
//! `-- --runs N` makes fewer runs of each world and only prints the table; `--world 3` runs the worlds whose names begin
//! so. Every run is a pure function of its number.

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
    let flag = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| &arguments[at + 1]);
    let runs: Option<usize> = flag("--runs").map(|runs| runs.parse().unwrap());
    let world = flag("--world");
    let each = runs.unwrap_or(RUNS);
    let lines = worlds::all(each, world.map_or("", String::as_str));
    let table = format!("{each} runs of each world.\n\n{}", table::markdown(&lines));
    if runs.is_some() || world.is_some() {
        println!("{table}");
    } else {
        page::write("search", &table);
    }
}
