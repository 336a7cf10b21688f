//! Which survivors become one question to the gate. Single edits are worth a few points and dev can hardly show so
//! little, so survivors are merged; a merge that does worse on train than its best part gives way to that part.

use std::sync::Arc;

use crate::prompt::{PromptSet, merge};

/// Merges as many of `sides` (best first) into `base` as go together, judged by `fits`. Returns the merged prompts and
/// the indices of the sides in it; the best side is always among them.
pub(super) fn merge_survivors(
    base: &PromptSet,
    sides: &[Arc<PromptSet>],
    fits: impl Fn(&PromptSet) -> bool,
) -> (PromptSet, Vec<usize>) {
    let Some(best) = sides.first() else { return (base.clone(), Vec::new()) };
    let mut merged = best.as_ref().clone();
    let mut parts = vec![0];
    for (index, side) in sides.iter().enumerate().skip(1) {
        let together: Vec<&PromptSet> =
            parts.iter().map(|part| sides[*part].as_ref()).chain(std::iter::once(side.as_ref())).collect();
        if let Ok(wider) = merge(base, &together)
            && wider.digest() != merged.digest()
            && fits(&wider)
        {
            merged = wider;
            parts.push(index);
        }
    }
    (merged, parts)
}
