//! What a review shows: one hunk, its rows, the list of all. Everything from rows, models and prompts is neutralised.

use console::truncate_str;
use prompt_ratchet::eval::{Change, Changes};
use prompt_ratchet::report::{one_line, percent, plural, points, wrapped};
use prompt_ratchet::review::{Blocked, ChangedRow, Choice, Hunk, HunkId, Revision};

use super::super::paint::Paint;
use super::super::plain::{folded, line, neutral, paragraph};
use super::super::report::screen_width;
use super::Session;

/// Widest line of a row's text that is shown, in characters.
const ROW_WIDTH: usize = 400;

/// Columns of a hunk's choice in the list, with the spaces around it and before its id.
const CHOICE: usize = 13;

/// One hunk with all that a person needs to choose.
pub fn hunk(session: &Session, id: HunkId) -> String {
    let Some((revision, hunk)) = session.revisions.hunk(id) else { return String::new() };
    let (paint, width) = (Paint::stdout(), screen_width());
    let at = session.revisions.hunks().take_while(|(_, other)| other.id != id).count() + 1;
    let head = format!("[{at}/{}]", session.hunks());
    let place = format!("{id}  {}:{}", neutral(&hunk.edit.file), hunk.line());
    let place = line(&place, width.saturating_sub(head.len() + 1));
    let mut text = format!("\n{} {place}\n", paint.bold(head));
    text += &lines(&about(revision), width, "  ");
    if let Some(purpose) = hunk.purpose.and_then(|index| revision.purposes.get(index)) {
        let cluster = purpose.cluster.as_deref().map_or(String::new(), |label| format!(" for {}", one_line(label, 80)));
        text += &lines(&format!("{}{cluster}", one_line(&purpose.strategy, 40)), width, "  ");
        for (name, words) in [("why", &purpose.rationale), ("expects", &purpose.expected_effect)] {
            if !words.trim().is_empty() {
                text += &lines(&format!("{name}: {}", one_line(words, ROW_WIDTH)), width, "    ");
            }
        }
        if !purpose.quoted.is_empty() {
            let ids: Vec<String> = purpose.quoted.iter().map(|id| one_line(id, 40)).collect();
            let words = format!(
                "quotes {} of train, left out wherever it was compared: {}",
                plural(ids.len(), "row"),
                ids.join(", ")
            );
            text += &lines(&words, width, "    ");
        }
    }
    let later = session.revisions.built_on(id);
    if !later.is_empty() {
        text += &lines(
            &format!("{} on this hunk: without it there is no place for {}", build(&later), it(&later)),
            width,
            "  ",
        );
    }
    if let Some((blocked, in_the_way)) = session.revisions.hindered(&session.review.choices(), id) {
        text += &format!("{}\n", paint.open(lines(&hindered(&blocked, &in_the_way), width, "").trim_end()));
    }
    text.push('\n');
    text += &paint.diff(&folded(&neutral(&hunk.diff()), width));
    text
}

fn about(revision: &Revision) -> String {
    let verdict = &revision.judged.verdict;
    format!(
        "generation {}, {}: {} on dev to {}, {} of {}",
        revision.generation,
        if revision.purposes.len() > 1 {
            format!("merge of {}", revision.purposes.len())
        } else {
            "one edit".to_owned()
        },
        points(verdict.difference),
        percent(revision.judged.dev.score),
        verdict.changes(),
        verdict.rows
    )
}

/// Why a hunk can't be accepted.
pub fn hindered(blocked: &Blocked, in_the_way: &[HunkId]) -> String {
    if in_the_way.is_empty() {
        return format!("{} can't be made with what is chosen: {}", blocked.id, one_line(&blocked.reason, ROW_WIDTH));
    }
    let others = listed(in_the_way);
    format!("{} builds on {others}, which you have rejected or edited: it can't be made without", blocked.id)
}

/// `g1h1, g2h1`.
pub fn listed(ids: &[HunkId]) -> String {
    ids.iter().map(HunkId::to_string).collect::<Vec<_>>().join(", ")
}

fn build(ids: &[HunkId]) -> String {
    format!("{} {}", listed(ids), if ids.len() == 1 { "builds" } else { "build" })
}

fn it(ids: &[HunkId]) -> &'static str {
    if ids.len() == 1 { "that" } else { "those" }
}

/// `text` behind `indent`, and behind two spaces more where it goes on.
fn lines(text: &str, width: usize, indent: &str) -> String {
    let room = width.saturating_sub(indent.len() + 2);
    format!("{indent}{}\n", wrapped(text, room, "").join(&format!("\n{indent}  ")))
}

/// The rows that a revision changed.
pub fn rows(changed: &[ChangedRow], width: usize) -> String {
    let paint = Paint::stdout();
    let count = |change| changed.iter().filter(|row| row.change == change).count();
    let changes = Changes {
        fixed: count(Change::Fixed),
        broken: count(Change::Broken),
        improved: count(Change::Improved),
        worsened: count(Change::Worsened),
    };
    let mut text = format!("\nRows of dev and train with this revision: {changes}.\n");
    for row in changed {
        let what = match row.change {
            Change::Broken => paint.bad("broken"),
            Change::Worsened => paint.bad("worsened"),
            Change::Fixed => paint.good("fixed"),
            Change::Improved | Change::Unchanged => paint.good("improved"),
        };
        let values = match row.change {
            Change::Broken | Change::Fixed => String::new(),
            _ => format!(", {:.2} to {:.2}", row.before.value, row.after.value),
        };
        text += &format!("\n{what} {} ({}{values})\n", one_line(&row.example.id, 60), row.split);
        text += &field("input", &row.example.input_text(), width);
        if let Some(expected) = row.example.expected_text() {
            text += &field("expected", &expected, width);
        }
        text += &field("before", &row.before.answer, width);
        text += &field("after", &row.after.answer, width);
    }
    text
}

fn field(name: &str, value: &str, width: usize) -> String {
    let head = format!("  {name:<8}  ");
    let text = paragraph(&one_line(value, ROW_WIDTH), width.saturating_sub(head.len()), "", usize::MAX);
    format!("{head}{}\n", text.replace('\n', &format!("\n{}", " ".repeat(head.len()))))
}

/// All hunks with what was chosen.
pub fn list(session: &Session) -> String {
    let (paint, width) = (Paint::stdout(), screen_width());
    let choices = session.review.choices();
    let head = format!(
        "run {} ({}): {} in {}, {} open",
        session.name,
        one_line(&session.view.manifest.run, 60),
        plural(session.hunks(), "hunk"),
        plural(session.revisions.revisions.len(), "revision"),
        session.open_hunks().len()
    );
    let mut text = lines(&head, width, "");
    for revision in &session.revisions.revisions {
        text += &format!("\n{}", lines(&about(revision), width, ""));
        for hunk in &revision.hunks {
            let choice = match choices.get(&hunk.id) {
                None => paint.open("open    "),
                Some(Choice::Accept) => paint.good("accepted"),
                Some(Choice::Edit { .. }) => paint.good("edited  "),
                Some(Choice::Reject) => paint.bad("rejected"),
            };
            let later = session.revisions.built_on(hunk.id);
            let built = if later.is_empty() { String::new() } else { format!("  ({} on it)", build(&later)) };
            let id = format!("{:<6}", hunk.id.to_string());
            let place = format!("{}:{}", one_line(&hunk.edit.file, 40), hunk.line());
            let told =
                truncate_str(&format!("{place}{}{built}", size(hunk)), width.saturating_sub(id.len() + CHOICE), "…")
                    .into_owned();
            text += &format!("  {id} {choice}  {told}\n");
        }
    }
    text
}

fn size(hunk: &Hunk) -> String {
    let (added, removed) = changed_lines(&hunk.diff());
    format!("  +{added} -{removed}")
}

/// Lines that a unified diff adds and takes away.
pub fn changed_lines(diff: &str) -> (usize, usize) {
    let count = |sign: char, header: &str| {
        diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(header)).count()
    };
    (count('+', "+++ "), count('-', "--- "))
}

/// What to type where there is no terminal to ask on.
pub fn commands(session: &Session) -> String {
    let (run, open) = (&session.name, session.open_hunks());
    let first = open.first().map(HunkId::to_string).unwrap_or_default();
    format!(
        "\nThere is no terminal to ask on. Choose by these instead:\n  ratchet review {run} --accept-all\n  ratchet review \
         {run} --accept {}\n  ratchet review {run} --accept-all --reject {first}\n  ratchet review {run} --json\n",
        open.iter().map(HunkId::to_string).collect::<Vec<_>>().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_goes_on_below_itself_over_the_whole_width() {
        let text = field("before", &"word ".repeat(60), 80);
        let lines: Vec<&str> = text.lines().collect();
        // Thirteen words and the twelve columns before them: a fourteenth would be too many.
        assert_eq!(lines[0].len(), 12 + 13 * 5 - 1, "{text}");
        assert!(lines[1].starts_with("            word") && lines[1].len() == lines[0].len(), "{text}");
        assert!(field("after", &"x".repeat(200), 80).lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn headers_of_a_diff_are_no_changed_lines() {
        assert_eq!(changed_lines("--- a/p\n+++ b/p\n@@ -1 +1,2 @@\n-old\n+new\n+er\n"), (2, 1));
    }
}
