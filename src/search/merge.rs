//! Which survivors become one question to the gate. Single edits are worth a few points and dev can hardly show so
//! little, so survivors are merged; a merge that does worse on train than its best part gives way to that part.

use std::sync::Arc;

use crate::prompt::{PromptSet, merge};

/// Merges as many of `sides` (best first) into `base` as go together, judged by `fits` on the merge and by
/// `alternatives` on pairs of sides that must not both be in it. Returns the merged prompts and the indices of the sides
/// in it; the best side is always among them.
pub(super) fn merge_survivors(
    base: &PromptSet,
    sides: &[Arc<PromptSet>],
    fits: impl Fn(&PromptSet) -> bool,
    alternatives: impl Fn(usize, usize) -> bool,
) -> (PromptSet, Vec<usize>) {
    let Some(best) = sides.first() else { return (base.clone(), Vec::new()) };
    let mut merged = best.as_ref().clone();
    let mut parts = vec![0];
    for (index, side) in sides.iter().enumerate().skip(1) {
        if parts.iter().any(|part| alternatives(*part, index)) {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Edit, Prompt};

    fn set(text: &str) -> PromptSet {
        PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap()
    }

    fn side(base: &PromptSet, search: &str, replace: &str) -> Arc<PromptSet> {
        let edit = Edit { file: "p".into(), search: search.into(), replace: replace.into() };
        Arc::new(base.apply(&[edit]).unwrap())
    }

    #[test]
    fn sides_that_go_together_are_merged_and_those_in_conflict_or_alternatives_are_left_out() {
        let base = set("one\ntwo\nthree\n{{ input }}\n");
        let sides = [
            side(&base, "one", "one, better"),
            side(&base, "one", "one, otherwise"),
            side(&base, "two", "two, better"),
            side(&base, "three", "three, better"),
        ];
        let (merged, parts) = merge_survivors(&base, &sides, |_| true, |one, other| (one, other) == (2, 3));
        assert_eq!(parts, [0, 2]);
        assert_eq!(merged.first().text(), "one, better\ntwo, better\nthree\n{{ input }}\n");
    }

    #[test]
    fn a_merge_that_would_be_too_long_stays_as_it_is() {
        let base = set("one\ntwo\n{{ input }}\n");
        let sides = [side(&base, "one", "one, better"), side(&base, "two", "two, better")];
        let (merged, parts) = merge_survivors(&base, &sides, |_| false, |_, _| false);
        assert_eq!((merged.digest(), parts), (sides[0].digest(), vec![0]));
    }
}
