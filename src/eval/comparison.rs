//! Two evaluations paired by example: what was fixed, what broke, and how sure the difference is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{CONFIDENCE, Changes, Outcome};
use crate::stats::{Interval, paired_difference, weighted_mean};

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Failed before, passes now.
    Fixed,
    /// Passed before, fails now.
    Broken,
    /// Higher, on the same side of the threshold.
    Improved,
    /// Lower, on the same side of the threshold.
    Worsened,
    /// The same value.
    Unchanged,
}

impl Change {
    /// The change from `before` to `after`.
    pub fn of(before: f64, after: f64, pass_threshold: f64) -> Self {
        match (before >= pass_threshold, after >= pass_threshold) {
            (false, true) => Change::Fixed,
            (true, false) => Change::Broken,
            _ if after > before => Change::Improved,
            _ if after < before => Change::Worsened,
            _ => Change::Unchanged,
        }
    }
}

/// One row of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedRow {
    /// The example's id.
    pub id: String,
    /// Mean value before, over the samples counted.
    pub before: f64,
    /// Mean value after, over equally many samples.
    pub after: f64,
    /// What became of it.
    pub change: Change,
}

/// Rows that ran in one arm only: what they lack may be what they failed by.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct OneArmed {
    /// Rows missing before alone.
    pub before: usize,
    /// Rows missing after alone.
    pub after: usize,
    /// The most that they could take from the difference of means, in [0, 1]: were each of them worth 1 before and 0 after.
    pub at_stake: f64,
}

impl OneArmed {
    fn is_none(&self) -> bool {
        self.before + self.after == 0
    }
}

/// Two evaluations paired by example, over per-row means of equally many samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Rows that ran in both arms, in the order of the first.
    pub rows: Vec<PairedRow>,
    /// Rows missing in at least one arm.
    pub missing: usize,
    /// Those of them that ran in the other arm.
    #[serde(default, skip_serializing_if = "OneArmed::is_none")]
    pub one_armed: OneArmed,
    /// Weighted mean before, over `rows`.
    pub before: f64,
    /// Weighted mean after, over `rows`.
    pub after: f64,
    /// `after - before`.
    pub difference: f64,
    /// 95 % interval of the difference.
    pub interval: Interval,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Two-sided p value of "no difference": McNemar (mid-P) for 0/1 values, else the paired t test.
    pub p_value: f64,
}

impl Comparison {
    /// The figures of `rows`, each with its weight, beside `missing` others.
    pub(crate) fn of_rows(rows: Vec<PairedRow>, weights: &[f64], missing: usize) -> Self {
        let differences: Vec<f64> = rows.iter().map(|row| row.after - row.before).collect();
        let paired = paired_difference(&differences, Some(weights), CONFIDENCE);
        let mean = |pick: fn(&PairedRow) -> f64| {
            weighted_mean(&rows.iter().map(pick).collect::<Vec<_>>(), Some(weights)).unwrap_or(0.0)
        };
        Comparison {
            before: mean(|row| row.before),
            after: mean(|row| row.after),
            difference: paired.mean,
            interval: paired.interval,
            standard_error: paired.standard_error,
            p_value: paired.p_value,
            missing,
            one_armed: OneArmed::default(),
            rows,
        }
    }

    /// The difference, if every row that is missing in one arm only went against it.
    pub fn at_worst(&self) -> f64 {
        self.difference - self.one_armed.at_stake
    }

    /// How many rows changed in the given way.
    pub fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change == change).count()
    }

    /// How many rows changed in each way.
    pub fn changes(&self) -> Changes {
        Changes {
            fixed: self.fixed(),
            broken: self.broken(),
            improved: self.count(Change::Improved),
            worsened: self.count(Change::Worsened),
        }
    }

    /// Rows fixed.
    pub fn fixed(&self) -> usize {
        self.count(Change::Fixed)
    }

    /// Rows broken.
    pub fn broken(&self) -> usize {
        self.count(Change::Broken)
    }

    /// Ids of the rows that changed in the given way.
    pub fn ids(&self, change: Change) -> impl Iterator<Item = &str> {
        self.rows.iter().filter(move |row| row.change == change).map(|row| row.id.as_str())
    }
}

/// Compares `after` with `before`. Each arm may hold several samples a row; of every row as many samples count as both
/// arms have. Rows without a value in one arm are missing, not zero.
pub fn compare(before: &[Outcome], after: &[Outcome], pass_threshold: f64) -> Comparison {
    let after_values = values_by_row(after);
    let before_values = values_by_row(before);
    let (mut rows, mut weights, mut missing) = (Vec::new(), Vec::new(), 0);
    let (mut one_armed, mut of_one_arm) = (OneArmed::default(), 0.0);
    let mut done = BTreeSet::new();
    for outcome in before {
        let id = outcome.example.id.as_str();
        if !done.insert(id) {
            continue;
        }
        let Some(new) = after_values.get(id) else {
            missing += 1;
            continue;
        };
        let old = &before_values[id];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let samples = old.len().min(new.len());
        if samples == 0 {
            missing += 1;
            let loss = match (old.is_empty(), new.is_empty()) {
                (true, true) => continue,
                (true, false) => 1.0 - mean(new),
                (false, _) => mean(old),
            };
            one_armed.before += usize::from(old.is_empty());
            one_armed.after += usize::from(new.is_empty());
            one_armed.at_stake += outcome.example.weight * loss;
            of_one_arm += outcome.example.weight;
            continue;
        }
        let (before, after) = (mean(&old[..samples]), mean(&new[..samples]));
        let change = Change::of(before, after, pass_threshold);
        rows.push(PairedRow { id: id.to_owned(), before, after, change });
        weights.push(outcome.example.weight);
    }
    missing += after_values.keys().filter(|id| !before_values.contains_key(*id)).count();
    let of_all = of_one_arm + weights.iter().sum::<f64>();
    if of_all > 0.0 {
        one_armed.at_stake /= of_all;
    }
    Comparison { one_armed, ..Comparison::of_rows(rows, &weights, missing) }
}

/// The values of each row in sample order; a row that never ran has an empty list.
fn values_by_row(outcomes: &[Outcome]) -> BTreeMap<&str, Vec<f64>> {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| outcome.sample);
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for outcome in sorted {
        values.entry(&outcome.example.id).or_default().extend(outcome.value());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::outcome;
    use crate::model::CallError;

    #[test]
    fn rows_that_ran_in_one_arm_only_tell_what_they_could_take_from_the_difference() {
        let arm = |values: [Option<f64>; 5]| -> Vec<Outcome> {
            let of = |(row, value): (usize, &Option<f64>)| {
                let mut outcome = outcome(row, value.unwrap_or_default());
                if value.is_none() {
                    outcome.result = Err(CallError::Rejected("no".into()).into());
                }
                outcome
            };
            values.iter().enumerate().map(of).collect()
        };
        let before = arm([Some(0.0), Some(1.0), Some(0.5), None, None]);
        let after = arm([Some(1.0), None, None, Some(0.25), None]);
        let found = compare(&before, &after, 1.0);
        assert_eq!((found.rows.len(), found.missing, found.difference), (1, 4, 1.0));
        assert_eq!((found.one_armed.before, found.one_armed.after), (1, 2));
        // Of four rows that ran in an arm: 1.0 and 0.5 after alone, 0.75 before alone.
        assert!((found.one_armed.at_stake - 2.25 / 4.0).abs() < 1e-12);
        assert!((found.at_worst() - 0.4375).abs() < 1e-12);
        // What was not asked for in one arm is missing, and no sign of anything.
        let fewer = compare(&before, &after[..1], 1.0);
        assert_eq!((fewer.missing, fewer.one_armed), (4, OneArmed::default()));
    }
}
