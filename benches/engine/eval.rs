//! The program itself, from the start of its process to its end: `ratchet eval` of one row, and of 20,000 stored ones.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::sides::{PROMPT, rows};
use super::{Serving, median, tell, timed};

/// Starts of the program; an odd number, for the median.
const STARTS: usize = 21;
const STORED_STARTS: usize = 5;

pub fn measure() {
    let server = Serving::start(0);
    println!("`ratchet eval`, from the start of its process to its end");
    let starts = |run: &dyn Fn() -> f64| format!("{:.1} ms", median((0..STARTS).map(|_| run())) * 1e3);
    let new = starts(&|| timed(&mut eval(project(&server, 1).path())));
    tell("  one row, in a new project", &new, "< 50 ms");
    let one = project(&server, 1);
    timed(&mut eval(one.path()));
    let asked = starts(&|| {
        // Another prompt each time, so that the row is asked and its answer stored.
        let prompt = format!("{PROMPT}\n{:?}", Instant::now());
        std::fs::write(one.path().join("prompt.prompty"), prompt).unwrap();
        timed(&mut eval(one.path()))
    });
    tell("  one row, asked", &asked, "< 50 ms");
    tell("  one row, stored", &starts(&|| timed(&mut eval(one.path()))), "< 50 ms");
    let many = project(&server, 20_000);
    timed(&mut eval(many.path()));
    let stored = median((0..STORED_STARTS).map(|_| timed(&mut eval(many.path()))));
    tell("  20,000 rows, stored", &format!("{stored:.3} s"), "< 1 s");
}

/// A project that asks `server`.
fn project(server: &Serving, count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dataset: String = rows(count).map(|row| row.to_string() + "\n").collect();
    let config = format!(
        r#"
prompt = "prompt.prompty"
dataset = "rows.jsonl"
[models.task]
provider = "openai"
model = "fixed"
base_url = "http://127.0.0.1:{}/v1"
temperature = 0
max_concurrency = 64
[[scorers]]
type = "exact_match"
"#,
        server.port
    );
    std::fs::write(folder.path().join("rows.jsonl"), dataset).unwrap();
    std::fs::write(folder.path().join("ratchet.toml"), config).unwrap();
    std::fs::write(folder.path().join("prompt.prompty"), PROMPT).unwrap();
    folder
}

fn eval(project: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratchet"));
    command.current_dir(project).args(["eval", "--split", "all", "--quiet", "--json"]);
    command
}
