//! The race over train: candidates run in blocks, paired with the incumbent, and drop out as soon as they can't win.
//!
//! Each candidate races the incumbent alone, so that its blocks follow one another while other candidates' calls keep
//! the connection busy: a slow answer neither idles it nor changes any result.

use std::sync::Arc;

use rand::seq::SliceRandom;

use crate::dataset::Example;
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

/// Decides from the mean paired difference and its standard error, `ran` of `of` rows in. `shorter` is whether the
/// candidate's prompt is the shorter one: such a candidate survives a tie.
pub(super) fn standing(difference: f64, standard_error: f64, ran: usize, of: usize, shorter: bool) -> Standing {
    let ahead = if shorter { difference >= 0.0 } else { difference > 0.0 && difference >= SURVIVE * standard_error };
    if ran >= of {
        return if ahead { Standing::Survived } else { Standing::Dropped };
    }
    if difference < -DROP * standard_error { Standing::Dropped } else { Standing::Running }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_is_behind_beyond_its_error_drops_out_before_the_end() {
        assert_eq!(standing(-0.2, 0.1, 16, 64, false), Standing::Dropped);
        assert_eq!(standing(-0.05, 0.1, 16, 64, false), Standing::Running);
    }

    #[test]
    fn at_the_end_only_those_ahead_survive_and_a_tie_goes_to_the_shorter_prompt() {
        assert_eq!(standing(0.05, 0.05, 64, 64, false), Standing::Survived);
        assert_eq!(standing(0.01, 0.05, 64, 64, false), Standing::Dropped);
        assert_eq!(standing(0.0, 0.0, 64, 64, false), Standing::Dropped);
        assert_eq!(standing(0.0, 0.0, 64, 64, true), Standing::Survived);
    }
}
