//! Putting a result into prompt files that may have changed since the run read them.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::prompt::{MergeConflict, Prompt, PromptSet, merge};

/// What a result means for the prompt files as they are now.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The prompts to write.
    pub prompts: PromptSet,
    /// Names of prompts that had changed since the run, whose changes were merged with the result's.
    pub merged: Vec<String>,
}

/// A place that the file and the result change in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The prompt's name.
    pub file: String,
    /// 1-based lines of the file as it is now, end exclusive; empty where the file has dropped them.
    pub lines: Range<usize>,
    /// What the run began with.
    pub base: String,
    /// What the file has now.
    pub ours: String,
    /// What the result has.
    pub theirs: String,
    /// The problem in words.
    pub reason: String,
}

/// Merges `theirs` into `ours`; both descend from `base`. How lines end is nobody's change: they end in the result as they
/// do in `ours`.
///
/// # Errors
/// Both change the same lines in two ways, or the merge is no valid prompt.
pub fn land(base: &PromptSet, ours: &PromptSet, theirs: &PromptSet) -> Result<Landing, Box<Collision>> {
    let endings: Option<Vec<&str>> = ours.iter().map(|prompt| ending(prompt.text())).collect();
    let plain = |set: &PromptSet| rewritten(set, |_, text| text.replace("\r\n", "\n"));
    // A file whose lines end now so, now so is compared as it stands: there is no one way to write it back.
    let Some((endings, [base, ours, theirs])) =
        endings.zip(plain(base).zip(plain(ours)).zip(plain(theirs)).map(|((base, ours), theirs)| [base, ours, theirs]))
    else {
        return land_as_is(base, ours, theirs);
    };
    let landing = land_as_is(&base, &ours, &theirs)?;
    let prompts = rewritten(&landing.prompts, |at, text| match endings.get(at) {
        Some(&"\r\n") => text.replace('\n', "\r\n"),
        _ => text.to_owned(),
    });
    Ok(Landing { prompts: prompts.unwrap_or(landing.prompts), ..landing })
}

/// How all lines of `text` end; `None` where some end otherwise.
fn ending(text: &str) -> Option<&'static str> {
    match (text.matches("\r\n").count(), text.matches('\n').count()) {
        (0, _) => Some("\n"),
        (both, all) => (both == all).then_some("\r\n"),
    }
}

/// The prompts of `set` with other texts, given the place and the text of each.
fn rewritten(set: &PromptSet, text: impl Fn(usize, &str) -> String) -> Option<PromptSet> {
    let one = |(at, prompt): (usize, &Prompt)| Prompt::parse(prompt.name(), &text(at, prompt.text())).ok();
    let prompts: Option<Vec<Prompt>> = set.iter().enumerate().map(one).collect();
    PromptSet::new(prompts?).ok()
}

fn land_as_is(base: &PromptSet, ours: &PromptSet, theirs: &PromptSet) -> Result<Landing, Box<Collision>> {
    let prompts =
        merge(base, &[ours, theirs]).map_err(|conflict| Box::new(collision(base, ours, theirs, &conflict)))?;
    let has_changed =
        |name: &str| base.get(name).map(|prompt| prompt.text()) != ours.get(name).map(|prompt| prompt.text());
    let adds = |name: &str| prompts.get(name).map(|prompt| prompt.text()) != ours.get(name).map(|prompt| prompt.text());
    let names = ours.iter().map(|prompt| prompt.name());
    let merged = names.filter(|name| has_changed(name) && adds(name)).map(str::to_owned).collect();
    Ok(Landing { merged, prompts })
}

fn collision(base: &PromptSet, ours: &PromptSet, theirs: &PromptSet, conflict: &MergeConflict) -> Collision {
    let mut found = Collision {
        file: String::new(),
        lines: 1..1,
        base: String::new(),
        ours: String::new(),
        theirs: String::new(),
        reason: conflict.to_string(),
    };
    match conflict {
        MergeConflict::Overlap { file, lines, .. } => {
            let text = |set: &PromptSet| set.get(file).map_or_else(String::new, |prompt| prompt.text().to_owned());
            let (base, ours, theirs) = (text(base), text(ours), text(theirs));
            let of_base = lines.start - 1..lines.end - 1;
            let (in_ours, in_theirs) = (within(&base, &ours, &of_base), within(&base, &theirs, &of_base));
            found.base = pick(&base, &of_base);
            found.ours = pick(&ours, &in_ours);
            found.theirs = pick(&theirs, &in_theirs);
            found.lines = in_ours.start + 1..in_ours.end + 1;
            found.file.clone_from(file);
            "changed in the file and by the run, in two ways".clone_into(&mut found.reason);
        }
        MergeConflict::Names { file } => found.file.clone_from(file),
        MergeConflict::Invalid(error) => found.file.clone_from(&error.file),
    }
    found
}

/// Lines of `new` that stand where lines `place` of `old` stood, 0-based.
fn within(old: &str, new: &str, place: &Range<usize>) -> Range<usize> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let (mut start, mut end) = (None, 0);
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        let (from, to) = (op.old_range(), op.new_range());
        let touches = from.start < place.end && from.end > place.start
            || from.is_empty() && (place.start..=place.end).contains(&from.start);
        if !touches {
            continue;
        }
        let (first, last) = match op {
            DiffOp::Equal { .. } => {
                let (first, last) = (from.start.max(place.start), from.end.min(place.end));
                (to.start + first - from.start, to.start + last - from.start)
            }
            _ => (to.start, to.end),
        };
        start = start.or(Some(first));
        end = last;
    }
    let start = start.unwrap_or(0);
    start..end.max(start)
}

fn pick(text: &str, lines: &Range<usize>) -> String {
    text.split('\n').skip(lines.start).take(lines.len()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> PromptSet {
        PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap()
    }

    const BASE: &str = "a\nb\nc\nd\n{{ input }}\n";

    fn landed(ours: &str, theirs: &str) -> Result<Landing, Box<Collision>> {
        land(&set(BASE), &set(ours), &set(theirs))
    }

    #[test]
    fn an_untouched_file_becomes_the_result() {
        let landing = landed(BASE, "A\nb\nc\nd\n{{ input }}\n").unwrap();
        assert_eq!(landing.prompts.first().text(), "A\nb\nc\nd\n{{ input }}\n");
        assert!(landing.merged.is_empty());
    }

    #[test]
    fn other_line_endings_are_no_change_and_stay_as_the_file_has_them() {
        let crlf = |text: &str| text.replace('\n', "\r\n");
        let theirs = "A\nb\nnew\nc\nd\n{{ input }}\n";
        let landing = landed(&crlf(BASE), theirs).unwrap();
        assert_eq!(landing.prompts.first().text(), crlf(theirs));
        assert!(landing.merged.is_empty());
        let landing = land(&set(&crlf(BASE)), &set(BASE), &set(&crlf(BASE).replace("a\r\n", "A\n"))).unwrap();
        assert_eq!(landing.prompts.first().text(), BASE.replace('a', "A"));
        let mixed = BASE.replace("c\n", "c\r\n");
        let landing = land(&set(&mixed), &set(&mixed), &set(&mixed.replace("a\n", "A\n"))).unwrap();
        assert_eq!(landing.prompts.first().text(), mixed.replace("a\n", "A\n"));
    }

    #[test]
    fn changes_elsewhere_are_kept_and_named() {
        let landing = landed("a\nb\nc\nd\n{{ input }}\nmine\n", "A\nb\nc\nd\n{{ input }}\n").unwrap();
        assert_eq!(landing.prompts.first().text(), "A\nb\nc\nd\n{{ input }}\nmine\n");
        assert_eq!(landing.merged, ["p"]);
    }

    #[test]
    fn a_result_that_is_in_the_file_already_merges_with_nothing() {
        let applied = "A\nb\nc\nd\n{{ input }}\n";
        let landing = landed(applied, applied).unwrap();
        assert_eq!(landing.prompts.first().text(), applied);
        assert!(landing.merged.is_empty());
    }

    #[test]
    fn a_collision_names_the_lines_of_the_file_and_all_three_texts() {
        let collision = landed("new\na\nb\nmine\n{{ input }}\n", "a\nb\ntheirs\nD\n{{ input }}\n").unwrap_err();
        assert_eq!((collision.file.as_str(), collision.lines.clone()), ("p", 4..5));
        assert_eq!(
            (collision.base.as_str(), collision.ours.as_str(), collision.theirs.as_str()),
            ("c\nd", "mine", "theirs\nD")
        );
    }

    #[test]
    fn a_collision_with_lines_that_the_file_dropped_has_no_text_of_its_own() {
        let collision = landed("a\nd\n{{ input }}\n", "a\nb\nC\nd\n{{ input }}\n").unwrap_err();
        assert_eq!(collision.ours, "");
        assert!(collision.lines.is_empty(), "{collision:?}");
    }
}
