//! Proposals that need no model, for tasks of labels: a line that pins the format of the answer, and balanced examples
//! drawn from train.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::seq::SliceRandom;

use super::guards::Guards;
use super::{Proposal, Proposed};
use crate::dataset::Example;
use crate::prompt::{Prompt, PromptSet, escape_literal, hunks};
use crate::seed;
use crate::text::{SparseVector, Tfidf};

/// Rows of a label that are looked at for examples, and that the examples must stand for: a sample, since all pairs
/// are compared.
const SAMPLE: usize = 40;
/// Longest input, in characters, of a row that makes a good example.
const LONGEST: usize = 280;
/// What a row's length costs it: a row of [`LONGEST`] characters must be this much more typical than an empty one.
const LENGTH_COST: f64 = 0.3;

/// Draws of examples: the strategy's name and how many rows a label.
const DRAWS: [(&str, usize); 3] = [("balanced-examples", 3), ("balanced-examples", 3), ("balanced-examples", 5)];

/// What can be proposed for `prompts` without a model, each with its strategy's name; nothing where the task has no
/// labels, or no single prompt that the row's input goes into.
pub(super) fn proposals(
    prompts: &PromptSet,
    train: &[Arc<Example>],
    labels: &[(String, usize)],
    seed: u64,
    guards: &Guards,
) -> Vec<(String, Proposed)> {
    let mut with_input = prompts.iter().filter(|prompt| prompt.uses_input());
    let (Some(prompt), None) = (with_input.next(), with_input.next()) else { return Vec::new() };
    if labels.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
    let mut found: Vec<(String, Proposed)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offer = |strategy: &str, block: &str, rationale: String, expected_effect: &str| {
        let proposed = inserted(prompt, block, rationale, expected_effect)
            .and_then(|proposal| guards.check(prompts, proposal, true, &seen).ok());
        let Some(proposed) = proposed else { return false };
        seen.insert(proposed.prompts.digest());
        found.push((strategy.to_owned(), proposed));
        true
    };
    let rationale = "Naming the exact answers that are allowed keeps the answer free of other words and spellings.";
    offer("format-line", &format_line(&names), rationale.to_owned(), "Fewer answers in another form.");
    for (draw, (strategy, most)) in DRAWS.into_iter().enumerate() {
        let picked = pick(train, &names, most, seed, draw);
        // With many labels, fewer rows of each may still fit.
        for count in (1..=most).rev() {
            let rationale = format!("{count} typical train rows of each label show what belongs where.");
            if offer(
                strategy,
                &examples_block(&picked, count),
                rationale,
                "Better answers on close cases of all labels.",
            ) {
                break;
            }
        }
    }
    found
}

fn format_line(labels: &[&str]) -> String {
    let separator = if labels.iter().any(|label| label.contains(',')) { "; " } else { ", " };
    let list = labels.iter().map(|label| escape_literal(label)).collect::<Vec<_>>().join(separator);
    format!("Respond with exactly one of these labels and nothing else: {list}")
}

/// The first `count` rows of each label, a row of every label in turn.
fn examples_block(picked: &[(&str, Vec<&Example>)], count: usize) -> String {
    let mut block = "Examples:".to_owned();
    for turn in 0..count {
        for (label, rows) in picked {
            if let Some(row) = rows.get(turn) {
                let text = serde_json::Value::String(one_line(row)).to_string();
                block.push_str(&format!("\n- {} -> {}", escape_literal(&text), escape_literal(label)));
            }
        }
    }
    block
}

fn one_line(row: &Example) -> String {
    row.input_text().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `most` rows of each label, each next one chosen so that the chosen ones together stand best for a sample of the
/// label's rows, and short rather than long: greedy maximisation of the facility-location function (Nemhauser, Wolsey
/// and Fisher, Mathematical Programming 14, 1978). Pinned rows are never chosen: a quoted row is compared no more.
fn pick<'a>(
    train: &'a [Arc<Example>],
    labels: &[&'a str],
    most: usize,
    seed: u64,
    draw: usize,
) -> Vec<(&'a str, Vec<&'a Example>)> {
    let mut random = seed::generator(seed, 1, &format!("balanced examples {draw}"));
    let usable: Vec<&Example> =
        train.iter().map(Arc::as_ref).filter(|row| !row.pinned && !row.input_text().trim().is_empty()).collect();
    let mut samples: Vec<(&str, Vec<&Example>)> = Vec::new();
    for label in labels {
        let mut rows: Vec<&Example> =
            usable.iter().copied().filter(|row| row.expected_text().as_deref() == Some(label)).collect();
        rows.shuffle(&mut random);
        // Long rows only where there are no others. The sort is stable, so that the draw decides among equals.
        rows.sort_by_key(|row| one_line(row).chars().count() > LONGEST);
        rows.truncate(SAMPLE);
        samples.push((label, rows));
    }
    let texts: Vec<String> = samples.iter().flat_map(|(_, rows)| rows.iter().map(|row| one_line(row))).collect();
    let tfidf = Tfidf::fit(&texts);
    samples.into_iter().map(|(label, rows)| (label, covering(&rows, &tfidf, most))).collect()
}

fn covering<'a>(rows: &[&'a Example], tfidf: &Tfidf, most: usize) -> Vec<&'a Example> {
    let vectors: Vec<SparseVector> = rows.iter().map(|row| tfidf.vector(&one_line(row))).collect();
    let costs: Vec<f64> =
        rows.iter().map(|row| LENGTH_COST * one_line(row).chars().count() as f64 / LONGEST as f64).collect();
    let mut covered = vec![0.0_f64; rows.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < most.min(rows.len()) {
        let gain = |candidate: usize| -> f64 {
            let similar =
                vectors.iter().zip(&covered).map(|(row, had)| (row.cosine(&vectors[candidate]) - had).max(0.0));
            similar.sum::<f64>() - costs[candidate]
        };
        let open = (0..rows.len()).filter(|row| !chosen.contains(row));
        // Of equal gains the first one drawn.
        let best =
            open.map(|row| (gain(row), row)).max_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
        let Some((_, best)) = best else { break };
        for (row, had) in covered.iter_mut().enumerate() {
            *had = had.max(vectors[row].cosine(&vectors[best]));
        }
        chosen.push(best);
    }
    chosen.into_iter().map(|row| rows[row]).collect()
}

/// A proposal that puts `block` before the row's input; `None` where there is no place for it, or it is there already.
fn inserted(prompt: &Prompt, block: &str, rationale: String, expected_effect: &str) -> Option<Proposal> {
    let text = prompt.text();
    if text.contains(block) {
        return None;
    }
    let at = before_input(prompt)?;
    let (above, below) = text.split_at(at);
    // A paragraph of its own, unless it begins the message.
    let last = above.lines().last().unwrap_or_default().trim();
    let begins = last.is_empty() || prompt.structure().role_lines.contains(&last) || last == "---";
    let gap = if begins { "" } else { "\n" };
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let wider = format!("{above}{}{below}", format!("{gap}{block}\n\n").replace('\n', line_break));
    let edited = Prompt::parse(prompt.name(), &wider).ok()?;
    let edits = hunks(prompt, &edited);
    let expected_effect = expected_effect.to_owned();
    Some(Proposal { edits, rationale, expected_effect, quoted: Vec::new() })
}

/// Offset of the line that the input begins on: the first line with a statement or the input's expression in the last
/// message that has one, or the heading that leads to it.
fn before_input(prompt: &Prompt) -> Option<usize> {
    let body = prompt.bodies().map(|(_, body)| body).filter(|body| names_input(body)).last()?;
    let start = body.as_ptr() as usize - prompt.text().as_ptr() as usize;
    let lines: Vec<&str> = body.split_inclusive('\n').collect();
    let mut line = lines.iter().position(|line| line.contains("{%") || names_input(line))?;
    while line > 0 && leads(lines[line - 1]) {
        line -= 1;
    }
    Some(start + lines[..line].iter().map(|line| line.len()).sum::<usize>())
}

fn names_input(text: &str) -> bool {
    text.split("{{").skip(1).any(|tag| tag.split("}}").next().is_some_and(|tag| tag.contains("input")))
}

/// Whether a line belongs to the input below it: `Ticket:`, `<ticket>`, an opening fence.
fn leads(line: &str) -> bool {
    let line = line.trim();
    let few_words = line.split_whitespace().count() <= 4;
    few_words && (line.ends_with([':', '>']) || line.starts_with("```") || line == "\"\"\"")
}
