//! Merging several descendants of the same prompts, line by line.
//!
//! All sides are compared with the base at once instead of being folded pairwise: the result then depends on the set of
//! changes alone and never on the order of the sides.

use std::collections::BTreeSet;
use std::ops::Range;

use super::diff::changes;
use super::file::{Prompt, PromptError};
use super::set::PromptSet;

/// Why sides can't be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeConflict {
    /// Two sides turn the same lines of the base into different texts.
    #[error("{file}:{}-{}: changed in two ways, into {first:?} and into {second:?}", .lines.start, .lines.end - 1)]
    Overlap {
        /// The prompt's name.
        file: String,
        /// 1-based lines of the base that the two changes cover together, end exclusive.
        lines: Range<usize>,
        /// What one side makes of its lines.
        first: String,
        /// What the other side makes of its lines.
        second: String,
    },
    /// A side does not hold the same prompts as the base.
    #[error("{file}: not among the prompts of every side; merge sets of the same prompts")]
    Names {
        /// A name that only some of the sets have.
        file: String,
    },
    /// The changes merge, and the result is no valid prompt.
    #[error("the merged prompt is not valid: {0}")]
    Invalid(#[from] PromptError),
}

/// `base` with the changes of all `sides`, which descend from it.
///
/// The order of the sides does not matter. A change that several sides make is made once; insertions at the same place
/// are joined, sorted by their text; changes of neighbouring lines do not conflict.
///
/// # Errors
/// Changes that overlap and differ, sides with other prompts than the base, a result that does not parse or uses no
/// input.
pub fn merge(base: &PromptSet, sides: &[&PromptSet]) -> Result<PromptSet, MergeConflict> {
    for side in sides {
        let stranger = side.iter().find(|prompt| base.get(prompt.name()).is_none());
        let missing = base.iter().find(|prompt| side.get(prompt.name()).is_none());
        if let Some(prompt) = stranger.or(missing) {
            return Err(MergeConflict::Names { file: prompt.name().to_owned() });
        }
    }
    let merged = base
        .iter()
        .map(|prompt| {
            let descendants: Vec<&str> =
                sides.iter().filter_map(|side| side.get(prompt.name())).map(Prompt::text).collect();
            let text = merge_text(prompt, &descendants)?;
            Ok(Prompt::parse(prompt.name(), &text)?)
        })
        .collect::<Result<Vec<_>, MergeConflict>>()?;
    Ok(PromptSet::new(merged)?)
}

/// Lines of the base and what takes their place. Sorted by place, so that an insertion comes before a change of the line
/// that it stands above.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Replacement<'a> {
    start: usize,
    end: usize,
    lines: Vec<&'a str>,
}

/// Lines are what stands between line feeds, so that text added after a last line without one is an insertion too.
fn merge_text(base: &Prompt, sides: &[&str]) -> Result<String, MergeConflict> {
    let old: Vec<&str> = base.text().split('\n').collect();
    let mut replacements = BTreeSet::new();
    for side in sides {
        let new: Vec<&str> = side.split('\n').collect();
        replacements.extend(changes(&old, &new).into_iter().map(|change| Replacement {
            start: change.old.start,
            end: change.old.end,
            lines: new[change.new].to_vec(),
        }));
    }
    let mut merged: Vec<&str> = Vec::new();
    let mut before: Option<&Replacement<'_>> = None;
    let mut from = 0;
    for change in &replacements {
        if let Some(before) = before.filter(|before| change.start < before.end) {
            return Err(MergeConflict::Overlap {
                file: base.name().to_owned(),
                lines: before.start + 1..before.end.max(change.end) + 1,
                first: before.lines.join("\n"),
                second: change.lines.join("\n"),
            });
        }
        merged.extend(&old[from..change.start]);
        merged.extend(&change.lines);
        from = change.end;
        before = Some(change);
    }
    merged.extend(&old[from..]);
    Ok(merged.join("\n"))
}
