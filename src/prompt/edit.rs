//! Edits: search/replace hunks on the text of a prompt file, all of a proposal's against the original text.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::file::{Prompt, PromptError};
use super::set::PromptSet;

/// One hunk. `search` must occur exactly once in the original text of `file`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edit {
    /// The prompt's name in its [`PromptSet`].
    pub file: String,
    /// Text to find, exactly once; never empty.
    pub search: String,
    /// What takes its place; empty deletes.
    pub replace: String,
}

/// Why edits could not be made. Edits are numbered from 1, in the order given; the texts are written so that whoever
/// made the edit can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The edit names a file that is not in the set.
    #[error("edit {edit}: there is no prompt `{file}`; there is {}", quoted(.known))]
    UnknownFile {
        /// Which edit, from 1.
        edit: usize,
        /// The name it gives.
        file: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// `search` is empty.
    #[error("edit {edit}: `search` is empty; quote the text of `{file}` that is to be replaced")]
    EmptySearch {
        /// Which edit, from 1.
        edit: usize,
        /// The prompt it is for.
        file: String,
    },
    /// `search` occurs nowhere (0 occurrences).
    #[error("edit {edit}: `search` does not occur in `{file}`; it must be copied from it character by character{}", closest_line(.closest.as_ref()))]
    NotFound {
        /// Which edit, from 1.
        edit: usize,
        /// The prompt it is for.
        file: String,
        /// 1-based line and text of the line most like the first line of `search`, where any is alike.
        closest: Option<(usize, String)>,
    },
    /// `search` occurs more than once.
    #[error("edit {edit}: `search` occurs {} times in `{file}`, on lines {}; add text around it until it occurs once", .lines.len(), listed(.lines))]
    Ambiguous {
        /// Which edit, from 1.
        edit: usize,
        /// The prompt it is for.
        file: String,
        /// 1-based line of each occurrence.
        lines: Vec<usize>,
    },
    /// Two edits replace some of the same text.
    #[error("edits {first} and {second} overlap in `{file}`; join them into one")]
    Overlap {
        /// The smaller number, from 1.
        first: usize,
        /// The greater number.
        second: usize,
        /// The prompt they are for.
        file: String,
    },
    /// Every edit applies, and the result is no valid prompt.
    #[error("the edited prompt is not valid: {0}")]
    Invalid(#[from] PromptError),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn closest_line(closest: Option<&(usize, String)>) -> String {
    closest.map_or_else(String::new, |(line, text)| format!(" (the closest is line {line}: {text:?})"))
}

/// An edit that has found its place.
struct Placed {
    /// From 1.
    number: usize,
    range: Range<usize>,
    replace: String,
}

/// See [`PromptSet::apply`].
pub(super) fn apply(set: &PromptSet, edits: &[Edit]) -> Result<PromptSet, EditError> {
    for (index, edit) in edits.iter().enumerate() {
        if set.get(&edit.file).is_none() {
            let known = set.iter().map(|prompt| prompt.name().to_owned()).collect();
            return Err(EditError::UnknownFile { edit: index + 1, file: edit.file.clone(), known });
        }
    }
    let edited = set.iter().map(|prompt| edited(prompt, edits)).collect::<Result<Vec<_>, _>>()?;
    Ok(PromptSet::new(edited)?.made_of(set)?)
}

/// `prompt` with those of `edits` that are for it.
fn edited(prompt: &Prompt, edits: &[Edit]) -> Result<Prompt, EditError> {
    let mut placed = edits
        .iter()
        .enumerate()
        .filter(|(_, edit)| edit.file == prompt.name())
        .map(|(index, edit)| place(prompt, index + 1, edit))
        .collect::<Result<Vec<_>, _>>()?;
    if placed.is_empty() {
        return Ok(prompt.clone());
    }
    placed.sort_by_key(|edit| (edit.range.start, edit.number));
    if let Some(pair) = placed.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        let (first, second) = (pair[0].number.min(pair[1].number), pair[0].number.max(pair[1].number));
        return Err(EditError::Overlap { first, second, file: prompt.name().to_owned() });
    }
    let mut text = String::with_capacity(prompt.text().len());
    let mut from = 0;
    for edit in &placed {
        text.push_str(&prompt.text()[from..edit.range.start]);
        text.push_str(&edit.replace);
        from = edit.range.end;
    }
    text.push_str(&prompt.text()[from..]);
    Ok(Prompt::parse(prompt.name(), &text)?)
}

fn place(prompt: &Prompt, number: usize, edit: &Edit) -> Result<Placed, EditError> {
    let file = || prompt.name().to_owned();
    if edit.search.is_empty() {
        return Err(EditError::EmptySearch { edit: number, file: file() });
    }
    let text = prompt.text();
    let mut search = edit.search.clone();
    let mut replace = edit.replace.clone();
    let mut found = occurrences(text, &search);
    if found.is_empty() && text.contains("\r\n") && !search.contains('\r') {
        // Models answer with plain line feeds whatever the file has.
        search = search.replace('\n', "\r\n");
        replace = replace.replace("\r\n", "\n").replace('\n', "\r\n");
        found = occurrences(text, &search);
    }
    match found[..] {
        [] => Err(EditError::NotFound { edit: number, file: file(), closest: closest(text, &edit.search) }),
        [start] => Ok(Placed { number, range: start..start + search.len(), replace }),
        _ => {
            let lines = found.iter().map(|&start| text[..start].matches('\n').count() + 1).collect();
            Err(EditError::Ambiguous { edit: number, file: file(), lines })
        }
    }
}

/// Offsets of all places where `search` occurs, overlapping ones too: two readings of an edit are one too many.
fn occurrences(text: &str, search: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = next_occurrence(text, search, from) {
        found.push(offset);
        from = offset;
        from += text[from..].chars().next().map_or(1, char::len_utf8);
    }
    found
}

fn next_occurrence(text: &str, search: &str, from: usize) -> Option<usize> {
    text.get(from..)?.find(search).map(|offset| from + offset)
}

/// Whether `search`, which is not empty, occurs exactly once in `text`. Stops at the second occurrence.
pub(super) fn occurs_once(text: &str, search: &str) -> bool {
    let Some(first) = next_occurrence(text, search, 0) else {
        return false;
    };
    let next = first + text[first..].chars().next().map_or(1, char::len_utf8);
    next_occurrence(text, search, next).is_none()
}

/// The line of `text` most like the first line of `search` that is not blank, if one is at all alike.
fn closest(text: &str, search: &str) -> Option<(usize, String)> {
    /// Below this share of common letter pairs two lines are not about the same thing.
    const ALIKE: f64 = 0.4;
    let wanted = search.lines().find(|line| !line.trim().is_empty())?.trim();
    text.lines()
        .enumerate()
        .map(|(index, line)| (strsim::sorensen_dice(wanted, line.trim()), index, line))
        .filter(|(likeness, _, line)| *likeness >= ALIKE && !line.trim().is_empty())
        // Of equally close lines the first one.
        .max_by(|left, right| left.0.total_cmp(&right.0).then(right.1.cmp(&left.1)))
        .map(|(_, index, line)| (index + 1, line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "system:\nAnswer with one label.\n- billing: money\n- refunds: money back\nuser:\n{{ input }}\n";

    fn set(text: &str) -> PromptSet {
        PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap()
    }

    fn edit(search: &str, replace: &str) -> Edit {
        Edit { file: "p".to_owned(), search: search.to_owned(), replace: replace.to_owned() }
    }

    fn applied(text: &str, edits: &[Edit]) -> Result<String, EditError> {
        set(text).apply(edits).map(|set| set.first().text().to_owned())
    }

    #[test]
    fn edits_apply_to_the_original_text_in_any_order() {
        let edits = [
            edit("- refunds: money back\n", "- refunds: they want money\n"),
            edit("billing: money", "billing: an invoice"),
        ];
        let expected = TEXT.replace("billing: money", "billing: an invoice").replace("money back", "they want money");
        assert_eq!(applied(TEXT, &edits).unwrap(), expected);
        assert_eq!(applied(TEXT, &[edits[1].clone(), edits[0].clone()]).unwrap(), expected);
        assert_eq!(applied(TEXT, &[]).unwrap(), TEXT);
    }

    #[test]
    fn a_search_that_occurs_nowhere_is_told_the_closest_line() {
        let error = applied(TEXT, &[edit("one label", "a label"), edit("\n- Refund: money back.", "")]).unwrap_err();
        assert_eq!(
            error,
            EditError::NotFound {
                edit: 2,
                file: "p".to_owned(),
                closest: Some((4, "- refunds: money back".to_owned()))
            }
        );
        assert!(error.to_string().contains("line 4: \"- refunds: money back\""), "{error}");
        let error = applied(TEXT, &[edit("zzzz", "")]).unwrap_err();
        assert!(matches!(error, EditError::NotFound { closest: None, .. }), "{error}");
    }

    #[test]
    fn a_search_that_occurs_more_than_once_is_told_where() {
        let error = applied(TEXT, &[edit("money", "cash")]).unwrap_err();
        assert_eq!(error, EditError::Ambiguous { edit: 1, file: "p".to_owned(), lines: vec![3, 4] });
        let error = applied("aaa {{ input }}", &[edit("aa", "b")]).unwrap_err();
        assert!(matches!(error, EditError::Ambiguous { .. }), "occurrences that overlap count: {error}");
    }

    #[test]
    fn an_empty_search_and_an_unknown_file_are_refused() {
        assert!(matches!(applied(TEXT, &[edit("", "x")]), Err(EditError::EmptySearch { edit: 1, .. })));
        let stray = Edit { file: "q".to_owned(), ..edit("money", "x") };
        assert_eq!(applied(TEXT, &[stray]).unwrap_err().to_string(), "edit 1: there is no prompt `q`; there is `p`");
    }

    #[test]
    fn edits_that_overlap_are_refused_and_edits_that_touch_are_not() {
        let error = applied(TEXT, &[edit("money back\nuser", "user"), edit("- refunds: money", "x")]).unwrap_err();
        assert_eq!(error, EditError::Overlap { first: 1, second: 2, file: "p".to_owned() });
        assert!(applied(TEXT, &[edit("- billing: money\n", ""), edit("- refunds: money back\n", "- all\n")]).is_ok());
    }

    #[test]
    fn a_result_that_is_no_prompt_or_loses_its_input_is_refused() {
        for replace in ["{{ inptu }}", "{{ input", "nothing", ""] {
            let error = applied(TEXT, &[edit("{{ input }}", replace)]).unwrap_err();
            assert!(matches!(error, EditError::Invalid(_)), "{replace}: {error}");
        }
    }

    #[test]
    fn an_edit_with_plain_line_feeds_fits_a_file_with_carriage_returns() {
        let text = TEXT.replace('\n', "\r\n");
        let edits = [edit("- billing: money\n- refunds", "- account: access\n- refunds")];
        assert_eq!(applied(&text, &edits).unwrap(), text.replace("billing: money", "account: access"));
    }
}
