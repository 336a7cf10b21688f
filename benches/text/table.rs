//! The tables: median and range over the seeds, and what each part is worth.

use std::fmt::Write;

use prompt_ratchet::stats::{Interval, median, paired_difference};

use crate::task::Ran;
use crate::{CALLS, Measured, PARTS, PLAIN, Part};

/// All tables in Markdown.
pub fn markdown(measured: &[Measured]) -> String {
    measured.iter().map(tables).collect::<Vec<_>>().join("\n")
}

fn tables(measured: &Measured) -> String {
    if measured.without.is_empty() { scores(measured) } else { format!("{}\n{}", scores(measured), worth(measured)) }
}

fn head(title: &str, first: &str, columns: &[String]) -> String {
    format!("{title}\n\n| {first} | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

/// Score against calls.
fn scores(measured: &Measured) -> String {
    let Measured { name, rows: [train, dev, test], draft, plain, whole, without } = measured;
    let title = format!(
        "**{name}**, {train} train, {dev} dev and {test} test rows, {} seeds: score on test, median (range); median on dev",
        whole[0].len()
    );
    let mut table = head(&title, "task calls", &CALLS.map(thousands));
    let mut line = |name: &str, cells: &[String]| {
        let _ = writeln!(table, "| {name} | {} |", cells.join(" | "));
    };
    line("first draft", &CALLS.map(|_| scored(&[*draft])));
    for (plain, runs) in PLAIN.iter().zip(plain) {
        line(plain.name, &cells(runs, scored));
    }
    line("the search", &cells(whole, scored));
    for (Part { name, .. }, runs) in PARTS.iter().zip(without) {
        line(&format!("without {name}"), &cells(runs, scored));
    }
    table
}

/// What is lost on test where a part is left out, by seed.
fn worth(measured: &Measured) -> String {
    let title = format!(
        "**{}**, what each part is worth on test: mean loss in points without it, with the 95 % interval over the seeds",
        measured.name
    );
    let mut table = head(&title, "task calls", &CALLS.map(thousands));
    for (Part { name, .. }, without) in PARTS.iter().zip(&measured.without) {
        let losses: Vec<String> =
            measured.whole.iter().zip(without).map(|(whole, without)| loss(whole, without)).collect();
        let _ = writeln!(table, "| {name} | {} |", losses.join(" | "));
    }
    table
}

fn cells(by_calls: &[Vec<Ran>], words: impl Fn(&[Ran]) -> String) -> Vec<String> {
    by_calls.iter().map(|runs| words(runs)).collect()
}

fn scored(runs: &[Ran]) -> String {
    let test: Vec<f64> = runs.iter().map(|ran| ran.test).collect();
    let dev: Vec<f64> = runs.iter().map(|ran| ran.dev).collect();
    let low = test.iter().copied().fold(f64::INFINITY, f64::min);
    let high = test.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = if low < high { format!(" ({low:.3} to {high:.3})") } else { String::new() };
    format!("{:.3}{range}; {:.3}", median(&test).unwrap(), median(&dev).unwrap())
}

fn loss(whole: &[Ran], without: &[Ran]) -> String {
    let losses: Vec<f64> = whole.iter().zip(without).map(|(whole, without)| whole.test - without.test).collect();
    if losses.iter().all(|loss| *loss == 0.0) {
        return "0".to_owned();
    }
    let difference = paired_difference(&losses, None, 0.95);
    let Interval { low, high } = difference.interval;
    format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * difference.mean, 100.0 * low, 100.0 * high)
}

fn thousands(calls: u64) -> String {
    if calls < 1_000 { calls.to_string() } else { format!("{},{:03}", calls / 1_000, calls % 1_000) }
}
