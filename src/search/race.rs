//! The race on train: where a candidate runs, what that says of its gain on all of train, and when it is decided.
//!
//! An edit shows on failing rows that it fixes and on passing rows that it breaks, so both kinds are run equally often,
//! and what is found on each counts by its share of train: the mean of a stratified sample (Cochran, "Sampling
//! Techniques", 1977, chapter 5). That takes a fraction of the rows that a race over all of train takes. It ranks and
//! drops, and keeps nothing: the gate does that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::seq::SliceRandom;

use super::screen::passing_neighbours;
use crate::dataset::Example;
use crate::diagnose::FailureCluster;
use crate::eval::{Outcome, PairedRow};
use crate::seed;

/// Rows of each kind, failing and passing, in one block.
pub(super) const BLOCK: usize = 8;

/// Most rows that a race takes.
pub(super) const DISTANCE: usize = 6 * BLOCK;

/// A candidate whose gain is below minus this many standard errors can't win.
const DROP: f64 = 1.0;

/// A candidate whose gain is at least this many standard errors is ahead. Less than the gate asks: merges of small
/// gains are what the gate is for.
const AHEAD: f64 = 0.3;

/// The order in which a generation takes the train rows; the same for all its candidates.
pub(super) fn order(train: &[Arc<Example>], seed: u64, generation: u32) -> Vec<Arc<Example>> {
    let mut rows = train.to_vec();
    rows.shuffle(&mut seed::generator(seed, generation, "race"));
    rows
}

/// The strata of a candidate's race: rows of the cluster that it aims at, other failing rows, the passing neighbours of
/// the cluster (as many as it has rows), other passing rows.
const STRATA: usize = 4;

/// The rows that a candidate runs on, each side in its order.
#[derive(Debug, Clone)]
pub(super) struct Course {
    /// Rows that the incumbent fails: those of the cluster first.
    pub failing: Vec<Arc<Example>>,
    /// Rows that it passes: the cluster's neighbours and others in turn.
    pub passing: Vec<Arc<Example>>,
    /// Stratum and weight, by row.
    strata: BTreeMap<String, (usize, f64)>,
}

impl Course {
    /// The course over the rows of `outcomes` (the incumbent's) that a prompt does not quote, shuffled by `seed` and
    /// `generation`; each counts by its weight in `weights`. Rows that could not run are left out.
    pub fn new(
        cluster: Option<&FailureCluster>,
        outcomes: &[Outcome],
        quoted: &BTreeSet<String>,
        weights: &BTreeMap<String, f64>,
        pass_threshold: f64,
        (seed, generation): (u64, u32),
    ) -> Self {
        let near: BTreeSet<String> = cluster
            .map(|of| passing_neighbours(of, outcomes, pass_threshold, of.members.len()))
            .unwrap_or_default()
            .iter()
            .map(|row| row.id.clone())
            .collect();
        let aimed: BTreeSet<&str> = cluster.iter().flat_map(|of| of.members.iter().map(String::as_str)).collect();
        let value: BTreeMap<&str, f64> = outcomes
            .iter()
            .filter(|outcome| !quoted.contains(&outcome.example.id))
            .filter_map(|outcome| Some((outcome.example.id.as_str(), outcome.value()?)))
            .collect();
        let rows: Vec<Arc<Example>> = outcomes.iter().map(|outcome| Arc::clone(&outcome.example)).collect();
        let mut sides: [Vec<Arc<Example>>; STRATA] = Default::default();
        let mut strata = BTreeMap::new();
        for row in order(&rows, seed, generation) {
            let Some(value) = value.get(row.id.as_str()) else { continue };
            let stratum = match (*value < pass_threshold, aimed.contains(row.id.as_str()), near.contains(&row.id)) {
                (true, true, _) => 0,
                (true, false, _) => 1,
                (false, _, true) => 2,
                (false, _, false) => 3,
            };
            let weight = weights.get(&row.id).copied().unwrap_or(row.weight);
            strata.insert(row.id.clone(), (stratum, weight));
            sides[stratum].push(row);
        }
        let [aimed, mut failing, near, others] = sides;
        failing.splice(0..0, aimed);
        Self { failing, passing: in_turn(near, others), strata }
    }

    /// The first so many failing and passing rows.
    pub fn rows(&self, (failing, passing): (usize, usize)) -> Vec<Arc<Example>> {
        [&self.failing[..failing], &self.passing[..passing]].concat()
    }

    /// What `rows`, some of the course's, say of the gain on all of it. A stratum of which no row was run counts as
    /// unchanged.
    pub fn estimate(&self, rows: &[PairedRow]) -> Estimate {
        let total: f64 = self.strata.values().map(|(_, weight)| weight).sum();
        let mut estimate = Estimate::default();
        for stratum in 0..STRATA {
            let of_all: f64 = self.strata.values().filter(|(of, _)| *of == stratum).map(|(_, weight)| weight).sum();
            let run: Vec<(f64, f64)> = rows
                .iter()
                .filter_map(|row| Some((row, self.strata.get(&row.id)?)))
                .filter(|(_, (of, _))| *of == stratum)
                .map(|(row, (_, weight))| (row.after - row.before, *weight))
                .collect();
            let weight: f64 = run.iter().map(|(_, weight)| weight).sum();
            if weight <= 0.0 || total <= 0.0 {
                continue;
            }
            let mean_of =
                |of: &dyn Fn(f64) -> f64| run.iter().map(|(gain, weight)| weight * of(*gain)).sum::<f64>() / weight;
            let share = of_all / total;
            let mean = mean_of(&|gain| gain);
            estimate.gain += share * mean;
            estimate.variance += share * share * mean_of(&|gain| (gain - mean).powi(2)) / run.len() as f64;
            estimate.changed += share * mean_of(&|gain| gain.powi(2));
        }
        estimate
    }
}

/// Both lists in turn, the rest of the longer one at the end.
fn in_turn(first: Vec<Arc<Example>>, second: Vec<Arc<Example>>) -> Vec<Arc<Example>> {
    let mut rows = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return rows,
            (one, other) => rows.extend(one.into_iter().chain(other)),
        }
    }
}

/// What a race says so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Estimate {
    /// Mean paired difference on train.
    pub gain: f64,
    /// Variance of `gain`.
    variance: f64,
    /// Mean squared paired difference: for 0/1 values, the share of rows that change.
    pub changed: f64,
}

impl Estimate {
    /// Standard error of the gain.
    pub fn standard_error(&self) -> f64 {
        self.variance.sqrt()
    }
}

/// Where a candidate stands after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Run the next block.
    Running,
    /// It can't win any more.
    Dropped,
    /// It is ahead.
    Survived,
}

/// Decides from what was found so far, or at the end of the race. `shorter` is whether the candidate's prompt is the
/// shorter one: such a candidate survives a tie at the end.
pub(super) fn standing(estimate: &Estimate, at_end: bool, shorter: bool) -> Standing {
    let (gain, error) = (estimate.gain, estimate.standard_error());
    let ahead = gain > 0.0 && gain >= AHEAD * error;
    match (ahead, at_end) {
        (true, _) => Standing::Survived,
        (false, true) if shorter && gain >= 0.0 => Standing::Survived,
        (false, true) => Standing::Dropped,
        (false, false) if gain < -DROP * error => Standing::Dropped,
        (false, false) => Standing::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::FailureKind;
    use crate::eval::Change;
    use crate::eval::testing::outcome;

    /// 40 failing rows, 60 passing ones; the cluster has the first 10.
    fn course(cluster: bool) -> Course {
        let outcomes: Vec<Outcome> = (0..100).map(|row| outcome(row, f64::from(row >= 40))).collect();
        let cluster = cluster.then(|| FailureCluster {
            id: "c".into(),
            kind: FailureKind::Format,
            prompt: None,
            label: String::new(),
            members: (0..10).map(|row| row.to_string()).collect(),
            share: 0.25,
        });
        Course::new(cluster.as_ref(), &outcomes, &BTreeSet::from(["99".to_owned()]), &BTreeMap::new(), 1.0, (1, 1))
    }

    /// So many of `rows` go from `before` to the other value.
    fn paired(rows: &[Arc<Example>], before: f64, changed: usize) -> Vec<PairedRow> {
        let pair = |(at, row): (usize, &Arc<Example>)| {
            let after = if at < changed { 1.0 - before } else { before };
            PairedRow { id: row.id.clone(), before, after, change: Change::of(before, after, 1.0) }
        };
        rows.iter().enumerate().map(pair).collect()
    }

    #[test]
    fn a_race_begins_where_the_candidate_aims_and_leaves_out_what_it_quotes() {
        let course = course(true);
        let aimed = |row: &Arc<Example>| row.id.parse::<usize>().unwrap() < 10;
        assert!(course.failing[..10].iter().all(aimed) && !course.failing[10..].iter().any(aimed));
        assert_eq!((course.failing.len(), course.passing.len()), (40, 59));
        assert!(course.passing.iter().all(|row| row.id != "99"));
    }

    #[test]
    fn each_kind_of_row_counts_by_its_share_of_train() {
        let course = course(false);
        let mut rows = paired(&course.failing[..8], 0.0, 4);
        rows.extend(paired(&course.passing[..8], 1.0, 1));
        let estimate = course.estimate(&rows);
        let expected = 40.0 / 99.0 * 0.5 - 59.0 / 99.0 / 8.0;
        assert!((estimate.gain - expected).abs() < 1e-12, "{estimate:?}");
    }

    #[test]
    fn a_row_counts_by_its_weight() {
        let outcomes: Vec<Outcome> = (0..4).map(|row| outcome(row, 0.0)).collect();
        let weights = BTreeMap::from([("0".to_owned(), 3.0)]);
        let course = Course::new(None, &outcomes, &BTreeSet::new(), &weights, 1.0, (1, 1));
        let pair = |(id, after): (&str, f64)| PairedRow {
            id: id.to_owned(),
            before: 0.0,
            after,
            change: Change::of(0.0, after, 1.0),
        };
        let rows = [("0", 1.0), ("1", 0.0), ("2", 0.0), ("3", 0.0)].map(pair);
        assert!((course.estimate(&rows).gain - 0.5).abs() < 1e-12);
    }

    #[test]
    fn an_aim_that_is_met_is_not_taken_for_a_gain_on_all_failing_rows() {
        let course = course(true);
        let gain = course.estimate(&paired(&course.failing[..8], 0.0, 8)).gain;
        assert!((gain - 10.0 / 99.0).abs() < 1e-12, "{gain}");
    }

    #[test]
    fn a_candidate_ahead_survives_at_once_and_one_behind_beyond_its_error_drops_out() {
        let of = |gain, error: f64| Estimate { gain, variance: error * error, changed: 0.1 };
        assert_eq!(standing(&of(0.03, 0.04), false, false), Standing::Survived);
        assert_eq!(standing(&of(0.0, 0.04), false, false), Standing::Running);
        assert_eq!(standing(&of(-0.05, 0.04), false, false), Standing::Dropped);
        assert_eq!(standing(&of(0.0, 0.04), true, false), Standing::Dropped);
        assert_eq!(standing(&of(0.0, 0.04), true, true), Standing::Survived);
    }
}
