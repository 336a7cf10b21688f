//! The screen: a candidate runs first on failing rows, those it aims at before all others. One that mends none of them
//! goes no further. It can only kill, never keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::race::BLOCK;
use crate::dataset::Example;
use crate::diagnose::{FailureCluster, neighbours};
use crate::eval::Outcome;

/// Most failing rows that a candidate is given to show anything: one that mends a quarter of them is missed by eight rows
/// in one case of ten, by sixteen in one of a hundred.
const MOST_ROWS: usize = 2 * BLOCK;

/// Failing rows that a candidate is given to show anything, where it runs `least` rows before it is taken to be ahead: half
/// of those, so that a run with few calls doesn't spend them on what does nothing.
pub(super) fn rows(least: usize) -> usize {
    (least / 2).clamp(BLOCK, MOST_ROWS)
}

/// Passing rows most similar to the cluster's members.
pub(super) fn passing_neighbours(
    cluster: &FailureCluster,
    outcomes: &[Outcome],
    pass_threshold: f64,
    limit: usize,
) -> Vec<Arc<Example>> {
    let members: BTreeSet<&str> = cluster.members.iter().map(String::as_str).collect();
    let failing: Vec<&Example> = outcomes
        .iter()
        .filter(|outcome| members.contains(outcome.example.id.as_str()))
        .map(|outcome| outcome.example.as_ref())
        .collect();
    let passing: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.value().is_some_and(|value| value >= pass_threshold)).collect();
    let examples: Vec<&Example> = passing.iter().map(|outcome| outcome.example.as_ref()).collect();
    neighbours(&failing, &examples, limit).into_iter().map(|index| Arc::clone(&passing[index].example)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_takes_as_many_rows_as_the_calls_allow_within_one_and_two_blocks() {
        assert_eq!([0, 16, 24, 32, usize::MAX].map(rows), [8, 8, 12, 16, 16]);
    }
}
