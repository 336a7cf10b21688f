//! What a person should know about a dataset that can be used: contradicting labels, copies, leaks between splits, too
//! few rows.

use super::example::{PackedDataset, Split};
use super::problem::{RowRef, Warning};
use super::select::sample;
use super::split::Assigned;
use crate::text::{near_duplicates, normalize};

/// From this Jaccard similarity of their shingles on two inputs are near-duplicates: a word changed in a sentence of
/// ten, not two questions on one subject.
const NEAR: f64 = 0.8;

/// How many rows are compared for near-duplicates at most: what keeps the check under a second or so even where most
/// rows share a boilerplate text.
const COMPARED: usize = 4000;

/// Below this many rows a dataset gets a warning.
const FEW: usize = 50;

/// All warnings that are cheap to find. `texts` are digests of the normalised inputs.
pub(super) fn warnings(dataset: &PackedDataset, texts: &[u128], lines: &[usize], assigned: &Assigned) -> Vec<Warning> {
    let refs = |rows: &[usize]| rows.iter().map(|at| row(dataset, lines, *at)).collect::<Vec<_>>();
    let mut warnings = Vec::new();
    if dataset.rows.len() < FEW {
        let rows = Split::ALL.map(|split| dataset.count(split));
        warnings.push(Warning::FewRows { rows });
    }
    if !assigned.moved.is_empty() {
        let rows = assigned.moved.iter().map(|(at, before)| (row(dataset, lines, *at), *before)).collect();
        warnings.push(Warning::MovedByRow { rows });
    }
    if !assigned.left_test.is_empty() {
        warnings.push(Warning::PinnedLeftTest { rows: refs(&assigned.left_test) });
    }
    for rows in &assigned.spanning {
        let group = rows.first().and_then(|at| dataset.rows.group(*at)).unwrap_or_default().to_owned();
        warnings.push(Warning::GroupSpansSplits { group, rows: refs(rows) });
    }

    let (conflicts, copies) = same_input(dataset, texts);
    if !conflicts.is_empty() {
        warnings.push(Warning::ConflictingLabels { cases: conflicts.iter().map(|rows| refs(rows)).collect() });
    }
    if !copies.is_empty() {
        warnings.push(Warning::Duplicates { cases: copies.iter().map(|rows| refs(rows)).collect() });
    }
    warnings
}

fn row(dataset: &PackedDataset, lines: &[usize], at: usize) -> RowRef {
    RowRef { line: lines[at], id: dataset.rows.id(at).to_owned(), split: dataset.splits[at] }
}

/// Near-duplicates across splits. Of a large dataset a fixed sample of rows is compared.
pub(super) fn leaks(dataset: &PackedDataset, lines: &[usize]) -> Option<Warning> {
    let places = sample(&dataset.rows, (0..).take(dataset.rows.len()).collect(), COMPARED);
    let places: Vec<usize> = places.into_iter().map(|at| at as usize).collect();
    let compared: Vec<String> = places
        .iter()
        .map(|at| normalize(&dataset.rows.get(*at).map(|example| example.input_text()).unwrap_or_default()))
        .collect();
    let pairs: Vec<_> = near_duplicates(&compared, NEAR)
        .into_iter()
        .map(|(a, b, _)| (places[a], places[b]))
        .filter(|(a, b)| dataset.splits[*a] != dataset.splits[*b])
        .map(|(a, b)| (row(dataset, lines, a), row(dataset, lines, b)))
        .collect();
    (!pairs.is_empty()).then_some(Warning::NearDuplicates { pairs, compared: compared.len() })
}

/// Rows that share their input: those with several expected answers, and those with one. In file order.
fn same_input(dataset: &PackedDataset, texts: &[u128]) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let mut order: Vec<u32> = (0..).take(texts.len()).collect();
    order.sort_by_key(|at| texts[*at as usize]);
    let mut shared: Vec<Vec<usize>> = order
        .chunk_by(|one, other| texts[*one as usize] == texts[*other as usize])
        .filter(|rows| rows.len() > 1)
        .map(|rows| rows.iter().map(|at| *at as usize).collect())
        .collect();
    shared.sort_unstable();
    let expected = |at: usize| dataset.rows.get(at).and_then(|example| example.expected);
    shared.into_iter().partition(|rows| {
        let first = rows.first().and_then(|at| expected(*at));
        rows.iter().any(|at| expected(*at) != first)
    })
}
