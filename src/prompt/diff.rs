//! Differences between two texts of a prompt: as line changes, as a unified diff, and as edits that can be made or left
//! out one by one.

use std::ops::Range;

use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};

use super::edit::{Edit, occurs_once};
use super::file::Prompt;
use super::set::PromptSet;

/// Lines of the old text and the lines of the new text that take their place. One of the two may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub old: Range<usize>,
    pub new: Range<usize>,
}

/// How lines are aligned: first those that each text has once, so that paragraphs meet paragraphs and not the empty lines
/// between them (Bram Cohen's patience diff).
const ALIGNED_BY: Algorithm = Algorithm::Patience;

/// The changes from `old` to `new`, in order, with unchanged lines between any two of them.
pub(super) fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for op in capture_diff_slices(ALIGNED_BY, old, new) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        match changes.last_mut() {
            Some(last) if last.old.end == op.old_range().start && last.new.end == op.new_range().start => {
                last.old.end = op.old_range().end;
                last.new.end = op.new_range().end;
            }
            _ => changes.push(Change { old: op.old_range(), new: op.new_range() }),
        }
    }
    changes
}

/// See [`PromptSet::unified_diff`].
pub(super) fn unified(old: &PromptSet, new: &PromptSet) -> String {
    let mut names: Vec<&str> = old.iter().chain(new.iter()).map(Prompt::name).collect();
    names.sort_unstable();
    names.dedup();
    let mut diff = String::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        let lines = TextDiff::configure()
            .algorithm(ALIGNED_BY)
            .diff_lines(before.map_or("", Prompt::text), after.map_or("", Prompt::text));
        let header = |prefix: &str, prompt: Option<&Prompt>| match prompt {
            Some(prompt) => format!("{prefix}/{}", prompt.name().trim_start_matches('/')),
            None => "/dev/null".to_owned(),
        };
        diff.push_str(
            &lines.unified_diff().context_radius(3).header(&header("a", before), &header("b", after)).to_string(),
        );
    }
    diff
}

/// Changes that are made together, with the unchanged lines around them that make the place unique.
#[derive(Debug, Clone)]
struct Hunk {
    /// Lines of the old text.
    lines: Range<usize>,
    changes: Vec<Change>,
}

impl Hunk {
    /// This hunk and the later `other` as one, with all lines between them.
    fn join(mut self, other: Hunk) -> Hunk {
        self.lines = self.lines.start.min(other.lines.start)..self.lines.end.max(other.lines.end);
        self.changes.extend(other.changes);
        self
    }
}

/// The two texts line by line.
struct Lines<'a> {
    old: &'a Prompt,
    old_lines: Vec<&'a str>,
    new_lines: Vec<&'a str>,
    /// Byte offset in the old text of each line, and its length at the end.
    offsets: Vec<usize>,
}

/// The difference from `old` to `new` as edits against `old`.
///
/// Each change is extended by as many unchanged lines as make its `search` occur once; changes that then overlap are
/// one hunk. All hunks together make `new` out of `old`. Any subset applies as well: hunks of which one alone, or all
/// but one, would leave a prompt that does not parse or loses its input are joined into one.
pub fn hunks(old: &Prompt, new: &Prompt) -> Vec<Edit> {
    let lines = Lines::of(old, new);
    let mut hunks: Vec<Hunk> = Vec::new();
    for change in changes(&lines.old_lines, &lines.new_lines) {
        let mut hunk = lines.anchored(change);
        while let Some(last) = hunks.pop_if(|last| last.lines.end > hunk.lines.start) {
            hunk = last.join(hunk);
        }
        hunks.push(hunk);
    }
    let keeps_input = old.uses_input() && new.uses_input();
    lines.joined_where_dependent(hunks, keeps_input).iter().map(|hunk| lines.edit(hunk)).collect()
}

impl<'a> Lines<'a> {
    fn of(old: &'a Prompt, new: &'a Prompt) -> Self {
        let old_lines: Vec<&str> = old.text().split_inclusive('\n').collect();
        let mut offsets = vec![0];
        for line in &old_lines {
            offsets.push(offsets.last().copied().unwrap_or_default() + line.len());
        }
        Lines { old, old_lines, new_lines: new.text().split_inclusive('\n').collect(), offsets }
    }

    fn old_text(&self, lines: &Range<usize>) -> &'a str {
        &self.old.text()[self.offsets[lines.start]..self.offsets[lines.end]]
    }

    /// `change` with the fewest lines added, above and below in turn, that make its place unique.
    fn anchored(&self, change: Change) -> Hunk {
        let count = self.old_lines.len();
        let (above, below) = (change.old.start, count - change.old.end);
        let with_context = |added: usize| {
            let down = (added / 2).min(below);
            let up = (added - down).min(above);
            change.old.start - up..change.old.end + (added - up).min(below)
        };
        // More context is never less unique, and the whole text always is, so that halving finds the least.
        let (mut least, mut enough) = (0, above + below);
        while least < enough {
            let middle = least.midpoint(enough);
            let lines = with_context(middle);
            if !lines.is_empty() && occurs_once(self.old.text(), self.old_text(&lines)) {
                enough = middle;
            } else {
                least = middle + 1;
            }
        }
        Hunk { lines: with_context(enough), changes: vec![change] }
    }

    fn edit(&self, hunk: &Hunk) -> Edit {
        let mut replace = String::new();
        let mut from = hunk.lines.start;
        for change in &hunk.changes {
            replace.push_str(self.old_text(&(from..change.old.start)));
            replace.extend(self.new_lines[change.new.clone()].iter().copied());
            from = change.old.end;
        }
        replace.push_str(self.old_text(&(from..hunk.lines.end)));
        let search = self.old_text(&hunk.lines).to_owned();
        Edit { file: self.old.name().to_owned(), search, replace }
    }

    /// Joins hunks that need each other, such as the two ends of a template block, or the removal of `{{ input }}` here
    /// and its return there.
    fn joined_where_dependent(&self, hunks: Vec<Hunk>, keeps_input: bool) -> Vec<Hunk> {
        let stands = |chosen: &dyn Fn(usize) -> bool| {
            let mut text = String::new();
            let mut from = 0;
            for (_, hunk) in hunks.iter().enumerate().filter(|(index, _)| chosen(*index)) {
                text.push_str(self.old_text(&(from..hunk.lines.start)));
                text.push_str(&self.edit(hunk).replace);
                from = hunk.lines.end;
            }
            text.push_str(self.old_text(&(from..self.old_lines.len())));
            Prompt::parse(self.old.name(), &text).is_ok_and(|prompt| prompt.uses_input() || !keeps_input)
        };
        let dependent: Vec<usize> = (0..hunks.len())
            .filter(|&index| !stands(&|other| other == index) || !stands(&|other| other != index))
            .collect();
        let (Some(&first), Some(&last)) = (dependent.first(), dependent.last()) else {
            return hunks;
        };
        let mut joined: Vec<Hunk> = Vec::new();
        for (index, hunk) in hunks.into_iter().enumerate() {
            match joined.pop_if(|_| index > first && index <= last) {
                Some(before) => joined.push(before.join(hunk)),
                None => joined.push(hunk),
            }
        }
        joined
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::prompt) fn set(text: &str) -> PromptSet {
        PromptSet::one(prompt(text)).unwrap()
    }

    fn prompt(text: &str) -> Prompt {
        Prompt::parse("p", text).unwrap()
    }

    /// Prompts of few different lines, so that lines repeat.
    pub(in crate::prompt) fn text() -> impl Strategy<Value = String> {
        let lines = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c", "", "d d"]), 0..12);
        (lines, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut lines, at, newline)| {
            lines.insert(at.index(lines.len() + 1), "{{ input }}");
            lines.join("\n") + if newline { "\n" } else { "" }
        })
    }

    fn hunks_of(old: &str, new: &str) -> Vec<(String, String)> {
        hunks(&prompt(old), &prompt(new)).into_iter().map(|edit| (edit.search, edit.replace)).collect()
    }

    fn pair(search: &str, replace: &str) -> (String, String) {
        (search.to_owned(), replace.to_owned())
    }

    #[test]
    fn a_hunk_takes_no_more_context_than_makes_it_unique() {
        assert_eq!(hunks_of("a\nb\n{{ input }}\n", "a\nB\n{{ input }}\n"), [pair("b\n", "B\n")]);
        assert_eq!(hunks_of("a\n-\nb\n-\n{{ input }}\n", "a\n-\nb\n+\n{{ input }}\n"), [pair("b\n-\n", "b\n+\n")]);
    }

    #[test]
    fn an_insertion_is_anchored_to_the_line_above_or_at_the_top_to_the_one_below() {
        assert_eq!(hunks_of("a\n{{ input }}", "a\nnew\n{{ input }}"), [pair("a\n", "a\nnew\n")]);
        assert_eq!(hunks_of("a\n{{ input }}", "new\na\n{{ input }}"), [pair("a\n", "new\na\n")]);
    }

    #[test]
    fn the_two_ends_of_a_template_block_are_one_hunk() {
        let old = "top\n1\n2\n3\n{{ input.a }}\n5\n6\nend\n";
        let new = "TOP\n1\n{% if input.b is defined %}\n2\n3\n{{ input.a }}\n5\n{% endif %}\n6\nEND\n";
        let found = hunks_of(old, new);
        assert_eq!(found.len(), 3);
        assert!(found[1].1.contains("{% if") && found[1].1.contains("{% endif"), "{found:?}");
    }

    #[test]
    fn an_input_that_moves_is_one_hunk() {
        let found = hunks_of("{{ input }}\na\nb\nc\nd", "a\nb\nc\nd\n{{ input }}");
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn paragraphs_are_aligned_by_what_they_say_and_not_by_the_empty_lines_between_them() {
        let old = "Intro\n\nA\n\nB\n\nC\n\n{{ input }}\n";
        let new = "Intro\n\nB\n\nX\n\nC\n\nY\n\n{{ input }}\n";
        let added = [pair("\nC\n", "\nX\n\nC\n"), pair("\n{{ input }}\n", "\nY\n\n{{ input }}\n")];
        let expected = [&[pair("A\n\n", "")], &added[..]].concat();
        assert_eq!(hunks_of(old, new), expected);
        let diff = set(old).unified_diff(&set(new));
        let changed: Vec<&str> = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-'])).collect();
        assert_eq!(changed, ["-A", "-", "+X", "+", "+Y", "+"]);
    }

    #[test]
    fn a_unified_diff_names_the_prompt_and_shows_three_lines_of_context() {
        let old = set("1\n2\n3\n4\n5\n6\n{{ input }}");
        let new = set("1\n2\n3\n4\nfive\n6\n{{ input }}");
        let expected = "--- a/p\n+++ b/p\n@@ -2,6 +2,6 @@\n 2\n 3\n 4\n-5\n+five\n 6\n {{ input }}\n\\ No newline at end of file\n";
        assert_eq!(old.unified_diff(&new), expected);
        assert_eq!(old.unified_diff(&old), "");
    }

    #[test]
    fn a_unified_diff_covers_every_prompt_that_changed() {
        let named = |name: &str, text: &str| Prompt::parse(name, text).unwrap();
        let old = PromptSet::new([named("a", "{{ input }}\n"), named("b", "x\n"), named("c", "x\n")]).unwrap();
        let new = PromptSet::new([named("a", "{{ input }}\n"), named("b", "y\n"), named("d", "x\n")]).unwrap();
        let diff = old.unified_diff(&new);
        let headers: Vec<&str> =
            diff.lines().filter(|line| line.starts_with("---") || line.starts_with("+++")).collect();
        assert_eq!(headers, ["--- a/b", "+++ b/b", "--- a/c", "+++ /dev/null", "--- /dev/null", "+++ b/d"]);
    }

    proptest! {
        #[test]
        fn all_hunks_together_make_the_new_text(old in text(), new in text()) {
            let edits = hunks(&prompt(&old), &prompt(&new));
            let edited = set(&old).apply(&edits).unwrap();
            prop_assert_eq!(edited.first().text(), new);
        }

        #[test]
        fn any_subset_of_hunks_applies(old in text(), new in text(), chosen in any::<u32>()) {
            let edits = hunks(&prompt(&old), &prompt(&new));
            let subset: Vec<Edit> =
                edits.into_iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1).map(|(_, edit)| edit).collect();
            let result = set(&old).apply(&subset);
            prop_assert!(result.is_ok(), "{:?}: {:?}", subset, result);
        }
    }
}
