//! What a person should know about a dataset that can be used: contradicting labels, copies, leaks between splits, too
//! few rows.

use std::collections::BTreeMap;

use super::example::{Dataset, Split};
use super::problem::{RowRef, Warning};
use super::select::sample;
use super::split::Assigned;
use crate::text::near_duplicates;

/// From this Jaccard similarity of their shingles on two inputs are near-duplicates: a word changed in a sentence of
/// ten, not two questions on one subject.
const NEAR: f64 = 0.8;

/// How many rows are compared for near-duplicates at most: what keeps the check under a second or so even where most
/// rows share a boilerplate text.
const COMPARED: usize = 4000;

/// Below this many rows a dataset gets a warning.
const FEW: usize = 50;

/// All warnings that are cheap to find. `texts` are the normalised inputs.
pub(super) fn warnings(dataset: &Dataset, texts: &[String], lines: &[usize], assigned: &Assigned) -> Vec<Warning> {
    let row = |at: usize| RowRef { line: lines[at], id: dataset.examples[at].id.clone(), split: dataset.splits[at] };
    let refs = |rows: &Vec<usize>| rows.iter().map(|at| row(*at)).collect::<Vec<_>>();
    let mut warnings = Vec::new();
    if dataset.examples.len() < FEW {
        let rows = Split::ALL.map(|split| dataset.splits.iter().filter(|of| **of == split).count());
        warnings.push(Warning::FewRows { rows });
    }
    if !assigned.moved.is_empty() {
        let rows = assigned.moved.iter().map(|(at, before)| (row(*at), *before)).collect();
        warnings.push(Warning::MovedByRow { rows });
    }
    if !assigned.left_test.is_empty() {
        warnings.push(Warning::PinnedLeftTest { rows: refs(&assigned.left_test) });
    }
    for rows in &assigned.spanning {
        let group = dataset.examples[rows[0]].group.clone().unwrap_or_default();
        warnings.push(Warning::GroupSpansSplits { group, rows: refs(rows) });
    }

    let (conflicts, copies) = same_input(dataset, texts);
    if !conflicts.is_empty() {
        warnings.push(Warning::ConflictingLabels { cases: conflicts.iter().map(refs).collect() });
    }
    if !copies.is_empty() {
        warnings.push(Warning::Duplicates { cases: copies.iter().map(refs).collect() });
    }
    warnings
}

/// Near-duplicates across splits. Of a large dataset a fixed sample of rows is compared.
pub(super) fn leaks(dataset: &Dataset, texts: &[String], lines: &[usize]) -> Option<Warning> {
    let row = |at: usize| RowRef { line: lines[at], id: dataset.examples[at].id.clone(), split: dataset.splits[at] };
    let places = sample(dataset, (0..texts.len()).collect(), COMPARED);
    let compared: Vec<&str> = places.iter().map(|at| texts[*at].as_str()).collect();
    let pairs: Vec<_> = near_duplicates(&compared, NEAR)
        .into_iter()
        .map(|(a, b, _)| (places[a], places[b]))
        .filter(|(a, b)| dataset.splits[*a] != dataset.splits[*b])
        .map(|(a, b)| (row(a), row(b)))
        .collect();
    (!pairs.is_empty()).then_some(Warning::NearDuplicates { pairs, compared: compared.len() })
}

/// Rows that share their input: those with several expected answers, and those with one. In file order.
fn same_input(dataset: &Dataset, texts: &[String]) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let mut by_text: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        by_text.entry(text).or_default().push(at);
    }
    let mut shared: Vec<_> = by_text.into_values().filter(|rows| rows.len() > 1).collect();
    shared.sort_unstable();
    shared.into_iter().partition(|rows| {
        let expected = |at: &usize| &dataset.examples[*at].expected;
        rows.iter().any(|at| expected(at) != expected(&rows[0]))
    })
}
