//! What a comparison of two prompts amounts to, in plain words.

use std::fmt;

use crate::eval::{CONFIDENCE, Comparison};
use crate::stats::rows_needed;
use crate::text::plural;

/// Power at which [`Finding::Unclear`] says how many rows would do.
const POWER: f64 = 0.8;

/// What a comparison amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The whole interval of the difference is above zero.
    Better,
    /// The whole interval of the difference is below zero.
    Worse,
    /// No row differs.
    Same,
    /// The interval holds zero.
    Unclear {
        /// About how many rows would show a difference of this size; none where no number would.
        rows: Option<u64>,
    },
    /// No row ran in both arms.
    Nothing,
}

impl Finding {
    /// What `comparison` amounts to.
    pub fn of(comparison: &Comparison) -> Self {
        let rows = comparison.rows.len();
        if rows == 0 {
            Self::Nothing
        } else if comparison.difference == 0.0 && comparison.rows.iter().all(|row| row.before == row.after) {
            Self::Same
        } else if comparison.interval.low > 0.0 {
            Self::Better
        } else if comparison.interval.high < 0.0 {
            Self::Worse
        } else {
            let deviation = comparison.standard_error * (rows as f64).sqrt();
            let needed = rows_needed(comparison.difference.abs(), deviation, CONFIDENCE, POWER);
            // Where fewer rows than there are would do on average, luck was against it: no number is a promise.
            Self::Unclear { rows: Some(needed).filter(|needed| *needed > rows as u64 && *needed < 1_000_000) }
        }
    }

    /// One word for scripts: `better`, `worse`, `same`, `unclear` or `nothing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Unclear { .. } => "unclear",
            Self::Nothing => "nothing",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Better => f.write_str("better"),
            Self::Worse => f.write_str("worse"),
            Self::Same => f.write_str("no row differs"),
            Self::Unclear { rows: Some(rows) } => {
                write!(f, "can't be told from luck; about {} would show it", plural(*rows as usize, "row"))
            }
            Self::Unclear { rows: None } => f.write_str("can't be told from luck"),
            Self::Nothing => f.write_str("no row ran with both, so that nothing can be said"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Change, PairedRow};

    /// So many rows fixed, broken and unchanged.
    fn comparison(fixed: usize, broken: usize, unchanged: usize) -> Comparison {
        let pairs = [(0.0, 1.0, fixed), (1.0, 0.0, broken), (1.0, 1.0, unchanged)];
        let rows: Vec<PairedRow> = pairs
            .iter()
            .flat_map(|(before, after, count)| std::iter::repeat_n((*before, *after), *count))
            .map(|(before, after)| PairedRow {
                id: "r".to_owned(),
                before,
                after,
                change: Change::of(before, after, 1.0),
            })
            .collect();
        let weights = vec![1.0; rows.len()];
        Comparison::of_rows(rows, &weights, 0)
    }

    #[test]
    fn only_an_interval_clear_of_zero_decides() {
        assert_eq!(Finding::of(&comparison(20, 1, 50)), Finding::Better);
        assert_eq!(Finding::of(&comparison(1, 20, 50)), Finding::Worse);
        assert_eq!(Finding::of(&comparison(0, 0, 9)), Finding::Same);
        assert_eq!(Finding::of(&comparison(0, 0, 0)), Finding::Nothing);
    }

    #[test]
    fn where_luck_may_have_done_it_the_rows_that_would_show_it_are_said() {
        let Finding::Unclear { rows: Some(rows) } = Finding::of(&comparison(4, 2, 54)) else { panic!("not unclear") };
        assert!((400..1000).contains(&rows), "{rows}");
        assert_eq!(Finding::of(&comparison(3, 3, 54)), Finding::Unclear { rows: None });
    }
}
