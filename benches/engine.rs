//! The evaluation engine next to a bare HTTP loop: `cargo bench --bench engine`. What came out is in
//! `docs/performance.md`.
//!
//! Everything runs against the fake server on loopback. Server, bare loop and engine are processes of their own (this
//! program again, told by its first argument which to be), so that CPU time and peak memory are those of one side. Both
//! sides run in turn against one server, which counts: as many different bodies as rows, each asked for once a side,
//! shows that both ask the same and that nothing is asked for twice. Ratios are of the runs of one round, medians of
//! the rounds.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake::server::{Answers, Behaviour, Server, Stats};
use sides::{Ran, Work};

#[path = "engine/eval.rs"]
mod eval;
#[path = "../tests/fake/mod.rs"]
mod fake;
#[path = "engine/sides.rs"]
mod sides;

/// Rounds without latency; an odd number, for the median.
const ROUNDS: usize = 5;
/// Rounds with latency, where there is less noise; each takes half a minute.
const SLOW_ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", latency_ms] => serve(latency_ms.parse().unwrap()),
        ["bare", work] => sides::bare(&Work::from_json(work)).print(),
        ["engine", work] => sides::engine(&Work::from_json(work)).print(),
        // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
        _ if arguments.iter().any(|argument| argument == "--bench") => measure(),
        _ => {}
    }
}

fn measure() {
    println!("{:<44} {:>12} {:>12}", "", "measured", "goal");
    no_latency();
    with_latency();
    many_at_a_time();
    eval::measure();
}

/// One line of the table.
fn tell(what: &str, measured: &str, goal: &str) {
    println!("{what:<44} {measured:>12} {goal:>12}");
}

/// The middle one, of an odd number.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn no_latency() {
    let rounds: Vec<(Ran, Ran)> = (0..ROUNDS).map(|round| pair(round, 0, 20_000, 64)).collect();
    let rate = |ran: &Ran| ran.rows as f64 / ran.seconds;
    let ratio = median(rounds.iter().map(|(bare, engine)| rate(engine) / rate(bare)));
    println!("20,000 rows, 64 at a time, no latency, {ROUNDS} rounds");
    tell("  bare loop, calls a second", &format!("{:.0}", median(rounds.iter().map(|(bare, _)| rate(bare)))), "");
    tell("  engine, calls a second", &format!("{:.0}", median(rounds.iter().map(|(_, engine)| rate(engine)))), "");
    tell("  engine / bare loop", &format!("{ratio:.3}"), ">= 0.5");
    let cpu = |ran: &Ran| ran.cpu_seconds * 1000.0 / ran.rows as f64;
    tell("  bare loop, CPU a row", &format!("{:.4} ms", median(rounds.iter().map(|(bare, _)| cpu(bare)))), "");
    tell("  engine, CPU a row", &format!("{:.4} ms", median(rounds.iter().map(|(_, engine)| cpu(engine)))), "< 0.1 ms");
}

fn with_latency() {
    let rounds: Vec<(Ran, Ran)> = (0..SLOW_ROUNDS).map(|round| pair(round, 50, 20_000, 64)).collect();
    println!("20,000 rows, 64 at a time, 50 ms latency, {SLOW_ROUNDS} rounds");
    let ratio = median(rounds.iter().map(|(bare, engine)| bare.seconds / engine.seconds));
    tell("  engine / bare loop", &format!("{ratio:.3}"), ">= 0.95");
}

fn many_at_a_time() {
    let server = Serving::start(0);
    let folder = tempfile::tempdir().unwrap();
    let work = Work::new(server.port, 20_000, 512, folder.path());
    let ran = work.run("engine");
    server.assert_asked(&work, 1);
    println!("20,000 rows, 512 at a time");
    tell("  engine, peak memory", &format!("{:.1} MB", ran.peak_bytes as f64 / 1e6), "< 100 MB");
    let again = work.run("engine");
    server.assert_asked(&work, 1);
    println!("the same, every answer stored");
    tell("  engine, store opened to outcomes written", &format!("{:.3} s", again.seconds), "< 1 s");
    tell("  peak memory", &format!("{:.1} MB", again.peak_bytes as f64 / 1e6), "< 100 MB");
}

/// Bare loop and engine on the same server; who goes first changes with the round.
fn pair(round: usize, latency_ms: u64, rows: usize, concurrency: usize) -> (Ran, Ran) {
    let server = Serving::start(latency_ms);
    let folder = tempfile::tempdir().unwrap();
    let work = Work::new(server.port, rows, concurrency, folder.path());
    let pair = if round.is_multiple_of(2) {
        let bare = work.run("bare");
        (bare, work.run("engine"))
    } else {
        let engine = work.run("engine");
        (work.run("bare"), engine)
    };
    server.assert_asked(&work, 2);
    pair
}

/// Serves until it is killed. Its port is one line on stdout.
fn serve(latency_ms: u64) {
    sides::runtime().block_on(async {
        let behaviour = Behaviour { latency: Duration::from_millis(latency_ms), ..Behaviour::default() };
        let server = Server::start(0, Answers::Fixed("billing".into()), behaviour).await.unwrap();
        println!("{}", server.address.port());
        std::future::pending::<()>().await;
    });
}

/// This program again, as something else.
fn myself(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).stdout(Stdio::piped());
    command
}

/// A fake server in a process of its own.
struct Serving {
    process: Child,
    port: u16,
}

impl Serving {
    fn start(latency_ms: u64) -> Self {
        let mut process = myself(&["serve", &latency_ms.to_string()]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, port: line.trim().parse().unwrap() }
    }

    /// Every row of `work` was asked for once by each of `sides`, and nothing else was.
    fn assert_asked(&self, work: &Work, sides: u64) {
        let stats: Stats = sides::runtime().block_on(async {
            let body = sides::client().get(format!("http://127.0.0.1:{}/stats", self.port)).send().await;
            serde_json::from_slice(&body.unwrap().bytes().await.unwrap()).unwrap()
        });
        let rows = work.rows as u64;
        assert_eq!(stats, Stats { requests: rows * sides, answered: rows * sides, distinct: rows, ..Stats::default() });
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long `command` takes from its start to its end.
fn timed(command: &mut Command) -> f64 {
    let started = Instant::now();
    let output = command.output().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    seconds
}
