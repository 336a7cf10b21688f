//! Diagnosis of 100,000 failing rows: `cargo bench --bench diagnose`. The goal is under 10 s on 2 cores.
//!
//! The rows are made of a small vocabulary: half of them confusions between eight labels (56 groups), half failures of
//! one judge with reasons in prose (one group of 50,000).
//!
//! Measured: 8.2 s of CPU on one thread, making the rows included, while other builds kept both cores busy (15.8 s by
//! the clock, with the library at opt-level 3 and its dependencies at 2). To be measured again on an idle machine.

use std::sync::Arc;
use std::time::Instant;

use prompt_ratchet::dataset::Example;
use prompt_ratchet::diagnose::diagnose;
use prompt_ratchet::eval::{Answer, Outcome};
use prompt_ratchet::model::{Completion, FinishReason, Origin, Usage};
use prompt_ratchet::score::Score;
use prompt_ratchet::seed::generator;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use serde_json::{Map, Value};

const ROWS: usize = 100_000;
const LABELS: [&str; 8] = ["billing", "refunds", "access", "bugs", "orders", "returns", "privacy", "other"];
/// Words of a topic, of which each input has some.
const TOPIC_WORDS: usize = 40;
/// Words that any input can have.
const COMMON_WORDS: usize = 3_000;

fn main() {
    let mut random = generator(1, 0, "diagnose bench");
    let outcomes: Vec<Outcome> = (0..ROWS).map(|at| outcome(at, &mut random)).collect();
    let start = Instant::now();
    let clusters = diagnose(&outcomes, 1.0, &[]);
    let took = start.elapsed();
    println!("{ROWS} failing rows, {} clusters, {:.2} s", clusters.len(), took.as_secs_f64());
    for cluster in clusters.iter().take(5) {
        println!("{:>7}  {}  {}", cluster.members.len(), cluster.id, cluster.label);
    }
}

/// A row that fails.
fn outcome(at: usize, random: &mut ChaCha8Rng) -> Outcome {
    let expected = random.random_range(0..LABELS.len());
    let answered = (expected + random.random_range(1..LABELS.len())) % LABELS.len();
    let is_judged = at.is_multiple_of(2);
    let (text, scorer, reason) = if is_judged {
        ("I can't say", "judge", Some(prose(20 + random.random_range(0..3_usize), 15, 60, random)))
    } else {
        (LABELS[answered], "exact_match", None)
    };
    let example = Example {
        id: format!("row-{at}"),
        input: Value::String(prose(expected * 2 + random.random_range(0..2_usize), 40, 30, random)),
        expected: Some(Value::String(LABELS[expected].to_string())),
        tags: Vec::new(),
        metadata: Map::new(),
        pinned: false,
        weight: 1.0,
        group: None,
        split: None,
    };
    let completion = Completion {
        origin: Origin::Stored,
        ..Completion::live(text.to_string(), FinishReason::Stop, Usage::default())
    };
    let scores = vec![Score { scorer: scorer.to_string(), value: 0.0, reason, criterion: None }];
    Outcome { example: Arc::new(example), sample: 0, result: Ok(Answer { completion, scores, value: 0.0 }) }
}

/// `length` words, about `share` per cent of them on `topic`.
fn prose(topic: usize, length: usize, share: u32, random: &mut ChaCha8Rng) -> String {
    let mut words = Vec::with_capacity(length);
    for _ in 0..length {
        let number = if random.random_range(0..100) < share {
            COMMON_WORDS + topic * TOPIC_WORDS + random.random_range(0..TOPIC_WORDS)
        } else {
            random.random_range(0..COMMON_WORDS)
        };
        words.push(word(number));
    }
    words.join(" ")
}

/// A word of two to four syllables for a number.
fn word(number: usize) -> String {
    const SYLLABLES: [&str; 16] =
        ["ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "bar", "den", "fil", "gom", "hun", "jes"];
    let mut rest = number * 2_654_435_761 % 1_048_576;
    let mut word = String::new();
    for _ in 0..2 + number % 3 {
        word.push_str(SYLLABLES[rest % 16]);
        rest /= 16;
    }
    word
}
