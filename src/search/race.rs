//! The race over train: candidates run in blocks, paired with the incumbent, and drop out as soon as they can't win.
//!
//! Each candidate races the incumbent alone, so that its blocks follow one another while other candidates' calls keep
//! the connection busy: a slow answer neither idles it nor changes any result.

use std::sync::Arc;

use rand::seq::SliceRandom;

use crate::dataset::Example;
use crate::eval::{Change, Comparison};
use crate::seed;

/// Rows of one block.
pub(super) const BLOCK: usize = 16;

/// A candidate whose mean difference is below minus this many standard errors after a block can't win.
const DROP: f64 = 1.0;

/// A survivor's mean difference is at least this many standard errors. Less than the gate asks: merges of small gains
/// are what the gate is for.
const SURVIVE: f64 = 0.5;

/// The order in which a generation's races take the train rows; the same for all its candidates.
pub(super) fn order(train: &[Arc<Example>], seed: u64, generation: u32) -> Vec<Arc<Example>> {
    let mut rows = train.to_vec();
    rows.shuffle(&mut seed::generator(seed, generation, "race"));
    rows
}

/// A candidate that changed nothing on this many rows has no effect worth its calls.
const IDLE: usize = 3 * BLOCK;

/// Where a candidate stands after some blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Run the next block.
    Running,
    /// It can't win any more.
    Dropped,
    /// It ran the distance and is ahead.
    Survived,
}

/// Decides from the comparison so far, which has `ran` of `of` rows. `shorter` is whether the candidate's prompt is the
/// shorter one: such a candidate survives a tie.
pub(super) fn standing(comparison: &Comparison, ran: usize, of: usize, shorter: bool) -> Standing {
    let (difference, error) = (comparison.difference, comparison.standard_error);
    if ran >= of {
        let ahead = if shorter { difference >= 0.0 } else { difference > 0.0 && difference >= SURVIVE * error };
        return if ahead { Standing::Survived } else { Standing::Dropped };
    }
    let idle = !shorter && ran >= IDLE && comparison.count(Change::Unchanged) == comparison.rows.len();
    if idle || difference < -DROP * error { Standing::Dropped } else { Standing::Running }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::PairedRow;

    /// `fixed` and `broken` of `ran` rows.
    fn after(ran: usize, fixed: usize, broken: usize) -> Comparison {
        let rows = (0..ran).map(|row| {
            let (before, after) = if row < fixed {
                (0.0, 1.0)
            } else if row < fixed + broken {
                (1.0, 0.0)
            } else {
                (1.0, 1.0)
            };
            PairedRow { id: row.to_string(), before, after, change: Change::of(before, after, 1.0) }
        });
        Comparison::of_rows(rows.collect(), &vec![1.0; ran], 0)
    }

    #[test]
    fn a_candidate_that_is_behind_beyond_its_error_drops_out_before_the_end() {
        assert_eq!(standing(&after(16, 0, 3), 16, 64, false), Standing::Dropped);
        assert_eq!(standing(&after(16, 3, 3), 16, 64, false), Standing::Running);
    }

    #[test]
    fn a_candidate_that_changes_nothing_drops_out_early() {
        assert_eq!(standing(&after(48, 0, 0), 48, 64, false), Standing::Dropped);
        assert_eq!(standing(&after(48, 1, 1), 48, 64, false), Standing::Running);
        assert_eq!(standing(&after(48, 0, 0), 48, 64, true), Standing::Running);
    }

    #[test]
    fn at_the_end_only_those_ahead_survive_and_a_tie_goes_to_the_shorter_prompt() {
        assert_eq!(standing(&after(64, 5, 1), 64, 64, false), Standing::Survived);
        assert_eq!(standing(&after(64, 5, 5), 64, 64, false), Standing::Dropped);
        assert_eq!(standing(&after(64, 0, 0), 64, 64, false), Standing::Dropped);
        assert_eq!(standing(&after(64, 0, 0), 64, 64, true), Standing::Survived);
    }
}
