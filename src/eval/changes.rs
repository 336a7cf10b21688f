//! How many rows changed and in which way, as people read it.

use std::fmt;

/// Counts of rows by what became of them: `6 fixed, 0 broken`, and `, 40 improved, 3 worsened` where values that stay on
/// their side of the pass threshold changed, as those of graded scorers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Failed before, pass now.
    pub fixed: usize,
    /// Passed before, fail now.
    pub broken: usize,
    /// Higher, on the same side of the threshold.
    pub improved: usize,
    /// Lower, on the same side of the threshold.
    pub worsened: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fixed, broken, improved, worsened } = self;
        write!(f, "{fixed} fixed, {broken} broken")?;
        if improved + worsened > 0 {
            write!(f, ", {improved} improved, {worsened} worsened")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graded_values_have_their_counts_and_others_do_not() {
        let told = |improved, worsened| Changes { fixed: 6, broken: 0, improved, worsened }.to_string();
        assert_eq!(told(0, 0), "6 fixed, 0 broken");
        assert_eq!(told(40, 3), "6 fixed, 0 broken, 40 improved, 3 worsened");
    }
}
