//! The screen: a candidate runs first on failing rows, those it aims at before all others. One that mends none of them
//! goes no further. It can only kill, never keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dataset::Example;
use crate::diagnose::{FailureCluster, neighbours};
use crate::eval::Outcome;

/// Failing rows that a candidate is given to show anything: twice this many, since one that mends a quarter of them is
/// missed by eight rows in one case of ten, by sixteen in one of a hundred.
pub(super) const LOOKS: usize = 2;

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
