//! The screen: a candidate runs first where it should show. It can only kill, never keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dataset::Example;
use crate::diagnose::{FailureCluster, neighbours};
use crate::eval::Outcome;

/// Most rows of each sort: those it claims to fix, and their passing neighbours.
pub(super) const ROWS: usize = 8;

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

/// The rows to screen a candidate on: members of its cluster, then passing neighbours.
pub(super) fn rows(cluster: &FailureCluster, outcomes: &[Outcome], pass_threshold: f64) -> Vec<Arc<Example>> {
    let members: BTreeSet<&str> = cluster.members.iter().map(String::as_str).collect();
    let mut rows: Vec<Arc<Example>> = outcomes
        .iter()
        .filter(|outcome| members.contains(outcome.example.id.as_str()))
        .take(ROWS)
        .map(|outcome| Arc::clone(&outcome.example))
        .collect();
    rows.extend(passing_neighbours(cluster, outcomes, pass_threshold, ROWS));
    rows
}

/// Whether a candidate that fixed and broke so many of the screen's rows goes on. One that fixes nothing where it
/// should is dropped, unless its prompt is `shorter` and it broke nothing.
pub(super) fn passes(fixed: usize, broken: usize, shorter: bool) -> bool {
    (fixed > 0 && fixed >= broken) || (shorter && broken == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_passes_only_if_it_fixes_something_and_no_less_than_it_breaks() {
        assert!(passes(2, 2, false));
        assert!(!passes(0, 0, false));
        assert!(!passes(1, 2, false));
        assert!(passes(0, 0, true));
        assert!(!passes(0, 1, true));
    }
}
