//! Measuring what a review accepted, where the run itself never measured it: a partly accepted result isn't better
//! because its whole was. On train and dev, paired with the baseline; test is never opened by a review.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dataset::{Example, Split};
use crate::digest::Digest;
use crate::eval::{Changes, Comparison, Evaluate, Objective, OnOutcome, OutcomeError};
use crate::prompt::PromptSet;
use crate::stats::Interval;

/// A result against the baseline on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Rows that ran in both arms.
    pub rows: usize,
    /// Rows missing in one arm or both.
    pub missing: usize,
    /// Score of the baseline over these rows, in [0, 1].
    pub before: f64,
    /// Score of the result.
    pub after: f64,
    /// Paired difference.
    pub difference: f64,
    /// 95 % interval of the difference.
    pub interval: Interval,
    /// Rows fixed.
    pub fixed: usize,
    /// Rows broken.
    pub broken: usize,
    /// Rows improved without being fixed, where values are graded.
    #[serde(default)]
    pub improved: usize,
    /// Rows worsened without being broken.
    #[serde(default)]
    pub worsened: usize,
}

impl Gain {
    fn of(comparison: &Comparison) -> Self {
        let changes = comparison.changes();
        Self {
            rows: comparison.rows.len(),
            missing: comparison.missing,
            before: comparison.before,
            after: comparison.after,
            difference: comparison.difference,
            interval: comparison.interval,
            fixed: changes.fixed,
            broken: changes.broken,
            improved: changes.improved,
            worsened: changes.worsened,
        }
    }

    /// How many rows changed in each way.
    pub fn changes(&self) -> Changes {
        let Self { fixed, broken, improved, worsened, .. } = *self;
        Changes { fixed, broken, improved, worsened }
    }

    /// Whether the rows show a gain: the lower bound of the interval is above zero.
    pub fn is_shown(&self) -> bool {
        self.rows > 0 && self.interval.low > 0.0
    }
}

/// A row that a result quotes: a good answer to it is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedRow {
    /// Its id.
    pub row: String,
    /// Its split.
    pub split: Split,
}

/// What was measured of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Digest of its prompts.
    pub prompts: Digest,
    /// Rows that the result quotes as examples and the baseline doesn't, which were left out.
    #[serde(default)]
    pub quoted: Vec<QuotedRow>,
    /// On train, rows that prompts quote left out. The edits were made for these rows.
    pub train: Gain,
    /// On dev. The revisions were chosen on these rows.
    pub dev: Gain,
}

/// Measures `result` against `baseline` by the run's objective, first draws of both, on rows of train and of dev without
/// those that are `quoted`.
///
/// # Errors
/// A fault that no later row can escape: interrupted, no access, store broken, scorer gone.
pub async fn measure(
    evaluate: &dyn Evaluate,
    baseline: &Arc<PromptSet>,
    result: &Arc<PromptSet>,
    (train, dev): (&[Arc<Example>], &[Arc<Example>]),
    quoted: Vec<QuotedRow>,
    (objective, pass_threshold): (&Objective, f64),
    on_outcome: OnOutcome<'_>,
) -> Result<Measurement, OutcomeError> {
    let gain = async |rows: &[Arc<Example>]| {
        let before = evaluate.evaluate(baseline, rows, 0, on_outcome).await?;
        let after = evaluate.evaluate(result, rows, 0, on_outcome).await?;
        Ok::<_, OutcomeError>(Gain::of(&objective.compare(&before.outcomes, &after.outcomes, pass_threshold)))
    };
    let train = gain(train).await?;
    let dev = gain(dev).await?;
    Ok(Measurement { prompts: result.digest(), quoted, train, dev })
}
