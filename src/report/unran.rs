//! Rows that could not run, by what was in the way: which, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::escape::{code, inline};
use super::numbers::plural;
use crate::eval::Summary;
use crate::run::RowFailed;
use crate::search::MISSING_SHARE;

/// Rows that are named.
const NAMED: usize = 5;

/// Characters of a reason that are shown.
const REASON: usize = 300;

/// The rows that could not run, each once for a reason, in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unran {
    reasons: Vec<(String, Vec<String>)>,
    /// Places in `reasons`.
    places: BTreeMap<String, usize>,
    /// Place of a reason, and a row that has it.
    seen: BTreeSet<(usize, String)>,
}

impl Unran {
    /// Takes in one answer that could not be had.
    pub fn take(&mut self, failed: &RowFailed) {
        let reason = failed.error.to_string();
        let place = *self.places.entry(reason.clone()).or_insert(self.reasons.len());
        if place == self.reasons.len() {
            self.reasons.push((reason, Vec::new()));
        }
        if self.seen.insert((place, failed.example.clone())) {
            self.reasons[place].1.push(failed.example.clone());
        }
    }

    /// Whether every row could run.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Rows by reason, the reasons that most rows have first: each reason with up to five rows over all, and how many
    /// more have it. Reasons beyond the five rows are left out.
    pub fn named(&self) -> Vec<(&str, &[String], usize)> {
        let mut reasons: Vec<&(String, Vec<String>)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
        // One row of each reason, as far as that goes, before more rows of the first.
        let mut room = NAMED.saturating_sub(reasons.len());
        let mut named = Vec::new();
        for (reason, rows) in reasons.into_iter().take(NAMED) {
            let shown = rows.len().min(1 + room);
            room -= shown - 1;
            named.push((reason.as_str(), &rows[..shown], rows.len() - shown));
        }
        named
    }

    /// For a terminal, one text a reason: `t-017, t-020 and 3 more: HTTP status 400`.
    pub fn lines(&self) -> Vec<String> {
        let line = |(reason, rows, more): (&str, &[String], usize)| format!("{}: {reason}", ids(rows.to_vec(), more));
        self.named().into_iter().map(line).collect()
    }
}

/// That so many dev rows of the baseline could not run that the gate decides nothing, where that is so.
pub fn undecidable(dev: &Summary) -> Option<String> {
    let rows = dev.examples + dev.errors;
    (dev.errors as f64 > MISSING_SHARE * rows as f64).then(|| {
        format!(
            "{} of {} could not run, and where more than {:.0} % are missing the gate decides nothing: nothing can be kept. \
             Mend what was in the way and start anew",
            dev.errors,
            plural(rows, "dev row"),
            100.0 * MISSING_SHARE
        )
    })
}

/// For `report.md`.
pub(super) fn markdown(unran: &Unran) -> String {
    let line = |(reason, rows, more): (&str, &[String], usize)| {
        let rows = rows.iter().map(|id| code(id, 60)).collect();
        format!("- {}: {}\n", ids(rows, more), inline(&super::one_line(reason, REASON)))
    };
    unran.named().into_iter().map(line).collect()
}

fn ids(named: Vec<String>, more: usize) -> String {
    let rest = if more == 0 { String::new() } else { format!(" and {} more", plural(more, "row")) };
    named.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::model::CallError;

    fn failed(rows: &[(usize, &str)]) -> Unran {
        let mut unran = Unran::default();
        for (row, error) in rows {
            let error = CallError::Rejected((*error).to_owned()).into();
            let example = format!("r{row}");
            unran.take(&RowFailed { prompts: Digest::of(b"p"), example, sample: 0, error });
        }
        unran
    }

    #[test]
    fn five_rows_are_named_by_reason_and_each_row_once() {
        let unran = failed(&[(0, "odd"), (1, "long"), (2, "long"), (1, "long"), (3, "long"), (4, "long"), (5, "long")]);
        let reason = |error: &str| format!("the provider refused the request: {error}");
        let told = [format!("r1, r2, r3, r4 and 1 row more: {}", reason("long")), format!("r0: {}", reason("odd"))];
        assert_eq!(unran.lines(), told);
        let many: Vec<(usize, String)> = (0..8).map(|at| (at, format!("reason {at}"))).collect();
        let many: Vec<(usize, &str)> = many.iter().map(|(at, reason)| (*at, reason.as_str())).collect();
        assert_eq!(failed(&many).lines().len(), 5);
        let dev = |errors| Summary { examples: 80 - errors, errors, ..Summary::of([]) };
        assert_eq!(undecidable(&dev(8)), None);
        assert!(undecidable(&dev(9)).unwrap().starts_with("9 of 80 dev rows could not run, and where more than 10 %"));
        assert!(failed(&[]).is_empty() && failed(&[]).lines().is_empty());
    }
}
