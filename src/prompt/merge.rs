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
/// The order of the sides does not matter. A change that several sides make is made once, an insertion also where it is a
/// part of another side's longer one; other insertions at the same place are joined, sorted by their text, those under the
/// same heading as one list; changes of neighbouring lines do not conflict.
///
/// # Errors
/// Changes that overlap and differ, sides with other prompts than the base, a result that does not parse or loses its
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
    Ok(PromptSet::new(merged)?.made_of(base)?)
}

/// Lines of the base and what takes their place. Sorted by place, so that an insertion comes before a change of the line
/// that it stands above.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Replacement<'a> {
    start: usize,
    end: usize,
    lines: Vec<&'a str>,
}

impl Replacement<'_> {
    /// Whether it inserts lines that `other` inserts at the same place among others.
    fn is_part_of(&self, other: &Self) -> bool {
        let inserts_there = (self.start, self.end) == (other.start, other.end) && self.start == self.end;
        inserts_there
            && self.lines.len() < other.lines.len()
            && other.lines.windows(self.lines.len()).any(|lines| lines == self.lines)
    }

    /// Takes in what `next` inserts at the same place, where that begins with a heading (`Examples:`) that is here already:
    /// its list goes on the one that is there, without what both list. Whether it did.
    fn takes_in(&mut self, next: &Self) -> bool {
        let inserts_there = (self.start, self.end) == (next.start, next.end) && self.start == self.end;
        let blank = next.lines.iter().take_while(|line| line.trim().is_empty()).count();
        let Some(heading) = next.lines.get(blank).filter(|line| inserts_there && line.trim_end().ends_with(':')) else {
            return false;
        };
        let Some(at) = self.lines.iter().position(|line| line == heading) else { return false };
        let list = |lines: &[&str]| lines.iter().take_while(|line| !line.trim().is_empty()).count();
        let end = at + 1 + list(&self.lines[at + 1..]);
        let (listed, rest) = next.lines[blank + 1..].split_at(list(&next.lines[blank + 1..]));
        let new: Vec<&str> = listed.iter().copied().filter(|line| !self.lines[at..end].contains(line)).collect();
        self.lines.splice(end..end, new);
        if rest.iter().any(|line| !line.trim().is_empty()) {
            // One blank line between the two.
            let is_apart = self.lines.last().is_some_and(|line| line.trim().is_empty());
            self.lines.extend(&rest[usize::from(is_apart)..]);
        }
        true
    }
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
    let mut joined: Vec<Replacement<'_>> = Vec::new();
    for change in replacements.iter().filter(|change| !replacements.iter().any(|other| change.is_part_of(other))) {
        if !joined.iter_mut().any(|before| before.takes_in(change)) {
            joined.push(change.clone());
        }
    }
    let mut merged: Vec<&str> = Vec::new();
    let mut before: Option<&Replacement<'_>> = None;
    let mut from = 0;
    for change in &joined {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prompt::diff::tests::{set, text};

    const BASE: &str = "one\ntwo\nthree\nfour\n{{ input }}\n";

    fn merged(base: &str, sides: &[&str]) -> Result<String, MergeConflict> {
        let sides: Vec<PromptSet> = sides.iter().map(|side| set(side)).collect();
        let merged = merge(&set(base), &sides.iter().collect::<Vec<_>>())?;
        Ok(merged.first().text().to_owned())
    }

    #[test]
    fn changes_of_neighbouring_lines_do_not_conflict() {
        let sides = [BASE.replace("two", "2"), BASE.replace("three", "3"), BASE.replace("four\n", "")];
        let sides: Vec<&str> = sides.iter().map(String::as_str).collect();
        assert_eq!(merged(BASE, &sides).unwrap(), "one\n2\n3\n{{ input }}\n");
    }

    #[test]
    fn insertions_at_the_same_place_are_joined_in_the_order_of_their_text() {
        let sides = [BASE.replace("two\n", "two\nb\n"), BASE.replace("two\n", "two\na\nc\n")];
        let expected = BASE.replace("two\n", "two\na\nc\nb\n");
        assert_eq!(merged(BASE, &[&sides[0], &sides[1]]).unwrap(), expected);
        assert_eq!(merged(BASE, &[&sides[1], &sides[0], &sides[1]]).unwrap(), expected);
    }

    #[test]
    fn what_one_side_inserts_and_another_among_more_is_inserted_once() {
        let sides = [BASE.replace("two\n", "two\nb\n"), BASE.replace("two\n", "two\na\nb\nc\n")];
        assert_eq!(merged(BASE, &[&sides[0], &sides[1]]).unwrap(), sides[1]);
        assert_eq!(merged(BASE, &[&sides[1], &sides[0]]).unwrap(), sides[1]);
    }

    #[test]
    fn lists_under_the_same_heading_become_one() {
        let sides = ["Examples:\n- a\n- b\n\n", "Examples:\n- a\n- c\n\nBe brief.\n\n", "Note:\n- d\n\n"];
        let sides = sides.map(|lines| BASE.replace("{{ input", &format!("{lines}{{{{ input")));
        let expected = "Examples:\n- a\n- b\n- c\n\nBe brief.\n\nNote:\n- d\n\n{{ input";
        let expected = BASE.replace("{{ input", expected);
        assert_eq!(merged(BASE, &[&sides[0], &sides[1], &sides[2]]).unwrap(), expected);
        assert_eq!(merged(BASE, &[&sides[2], &sides[1], &sides[0]]).unwrap(), expected);
    }

    #[test]
    fn text_added_after_a_last_line_without_a_line_feed_is_joined_too() {
        let result = merged("{{ input }}", &["{{ input }}\nb", "{{ input }}\na"]);
        assert_eq!(result.unwrap(), "{{ input }}\na\nb");
    }

    #[test]
    fn a_line_changed_in_two_ways_is_a_conflict_that_names_place_and_texts() {
        let sides = [BASE.replace("two\nthree", "2\n3"), BASE.replace("three", "III")];
        let error = merged(BASE, &[&sides[1], &sides[0]]).unwrap_err();
        let (first, second) = ("2\n3".to_owned(), "III".to_owned());
        assert_eq!(error, MergeConflict::Overlap { file: "p".to_owned(), lines: 2..4, first, second });
        assert_eq!(error.to_string(), r#"p:2-3: changed in two ways, into "2\n3" and into "III""#);
    }

    #[test]
    fn an_insertion_into_lines_that_another_side_replaces_is_a_conflict() {
        let sides = [BASE.replace("two\nthree", "2\n3"), BASE.replace("two\n", "two\nnew\n")];
        assert!(matches!(merged(BASE, &[&sides[0], &sides[1]]), Err(MergeConflict::Overlap { .. })));
    }

    #[test]
    fn sides_of_other_prompts_are_refused() {
        let other = PromptSet::one(Prompt::parse("q", BASE).unwrap()).unwrap();
        assert_eq!(merge(&set(BASE), &[&other]).unwrap_err(), MergeConflict::Names { file: "q".to_owned() });
    }

    #[test]
    fn sides_that_are_valid_alone_and_lose_the_input_together_are_refused() {
        let base = "a {{ input }}\nb\nc {{ input }}";
        let sides = [base.replace("a {{ input }}", "a"), base.replace("c {{ input }}", "c")];
        assert!(matches!(merged(base, &[&sides[0], &sides[1]]), Err(MergeConflict::Invalid(_))));
    }

    proptest! {
        #[test]
        fn a_single_side_comes_out_as_it_is(base in text(), side in text()) {
            prop_assert_eq!(merged(&base, &[&side]).unwrap(), side.clone());
            prop_assert_eq!(merged(&base, &[&side, &base, &side]).unwrap(), side);
        }

        #[test]
        fn the_order_of_sides_does_not_matter(base in text(), a in text(), b in text(), c in text()) {
            let expected = merged(&base, &[&a, &b, &c]);
            for order in [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]] {
                prop_assert_eq!(merged(&base, &order.map(String::as_str)), expected.clone());
            }
        }

        #[test]
        fn a_merge_of_disjoint_edits_contains_them_all(kinds in prop::collection::vec((0..4_u8, 0..3_usize), 1..12)) {
            // Line by line: left alone, replaced, deleted or inserted above, by one of three sides.
            let line = |index: usize, kind: u8| match kind {
                0 => format!("line {index}\n"),
                1 => format!("changed {index}\n"),
                2 => String::new(),
                _ => format!("new {index}\nline {index}\n"),
            };
            let build = |of: &dyn Fn(usize) -> bool| {
                let lines: String = kinds
                    .iter()
                    .enumerate()
                    .map(|(index, (kind, side))| line(index, if of(*side) { *kind } else { 0 }))
                    .collect();
                lines + "{{ input }}\n"
            };
            let sides: Vec<String> = (0..3).map(|side| build(&|of| of == side)).collect();
            let sides: Vec<&str> = sides.iter().map(String::as_str).collect();
            prop_assert_eq!(merged(&build(&|_| false), &sides).unwrap(), build(&|_| true));
        }
    }
}
