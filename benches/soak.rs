//! A night on a bad network in some minutes of real time: `cargo bench --bench soak`. What came out is in
//! `docs/unattended.md`.
//!
//! 10,000 rows, 64 at a time, against the fake provider on loopback with 50 ms latency: 5 % status 500, 2 % resets, 2 %
//! cut bodies, 1 % requests that are never answered, a second of status 429 in every ten, and two minutes in which
//! nothing works. It fails unless every row is answered, scored right and paid for once, by the server's own count.

use std::time::{Duration, Instant};

use fake::rows::{Asking, evaluate};
use fake::server::{Behaviour, Bursts, Fault, Outage, Rates, Stats};
use prompt_ratchet::model::{Notice, RetryPolicy, Store};

#[path = "../tests/fake/mod.rs"]
mod fake;

const ROWS: usize = 10_000;
const OUTAGE: Outage = Outage { from: Duration::from_secs(8), until: Duration::from_secs(128) };

fn main() {
    // `cargo test --benches` runs this program too, without the flag: nothing is to be measured then.
    if std::env::args().any(|argument| argument == "--bench") {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(soak());
    }
}

async fn soak() {
    let rates = vec![(0.05, Fault::ServerError), (0.02, Fault::Reset), (0.02, Fault::Cut), (0.01, Fault::Stall)];
    let server = fake::rows::server(Behaviour {
        latency: Duration::from_millis(50),
        rates: Rates(rates),
        bursts: Some(Bursts { every: Duration::from_secs(10), within: Duration::from_secs(1) }),
        outage: Some(OUTAGE),
        ..Behaviour::default()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.sqlite");
    let asking = Asking { concurrency: 64, timeout: Duration::from_secs(5), retry: RetryPolicy::default() };

    let started = Instant::now();
    let done = evaluate(&server, ROWS, &asking, Store::open(&path).unwrap()).await;
    let seconds = started.elapsed().as_secs_f64();
    let stats = server.stats();
    let again = evaluate(&server, ROWS, &asking, Store::open(&path).unwrap()).await;

    let right = done.evaluation.outcomes.iter().filter(|outcome| outcome.value() == Some(1.0)).count();
    let Stats { requests, answered, distinct, refused, during_outage } = stats;
    let outage = (OUTAGE.until - OUTAGE.from).as_secs_f64();
    println!("rows {ROWS}, answered and scored right {right}");
    println!("{requests} requests: {answered} answered, of {distinct} different rows; {refused} refused with 429");
    println!("{during_outage} requests in the {outage} s outage");
    println!("{seconds:.1} s, of which {:.1} s beside the outage", seconds - outage);
    println!("asked again: {} rows stored, {} requests", again.spend.total().live, server.stats().requests - requests);
    for notice in &done.notices {
        match notice {
            Notice::Down { down_for, next_try, .. } => {
                println!("  out for {:.1} s, next try in {:.1} s", down_for.as_secs_f64(), next_try.as_secs_f64());
            }
            Notice::Held { next_call } => println!("  next call in {:.1} s", next_call.as_secs_f64()),
            Notice::Up { down_for } => println!("  back after {:.1} s", down_for.as_secs_f64()),
        }
    }

    let rows = ROWS as u64;
    assert_eq!(right, ROWS, "no row is lost or scored wrong");
    assert_eq!((answered, distinct), (rows, rows), "every row is paid for once");
    assert_eq!((done.spend.total().live, again.spend.total().live), (rows, rows));
    assert_eq!(server.stats(), stats, "what is stored is not asked for again");
}
