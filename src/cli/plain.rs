//! Text of rows, answers and files on a terminal: shown as text, whatever it holds.

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};
use prompt_ratchet::report::{plural, wrapped};

/// Widest line of a table.
pub const WIDTH: usize = 80;

/// `text` with its control characters made visible, so that no row can move a terminal's cursor, change its title or
/// disguise what is shown. Line breaks and tabs stay.
pub fn neutral(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { visible(c) }).collect()
}

/// `text` on one line of at most `width` columns, cut with `…`; control characters made visible.
pub fn line(text: &str, width: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let clean: String = words.join(" ").chars().map(visible).collect();
    truncate_str(&clean, width, "…").into_owned()
}

/// `text` in at most `most` lines of at most `width` columns, broken after words where there are any, all but the first
/// behind `indent`; the last is cut with `…`; control characters made visible.
pub fn paragraph(text: &str, width: usize, indent: &str, most: usize) -> String {
    let clean = line(text, usize::MAX);
    let (mut lines, mut rest, mut before) = (Vec::new(), clean.as_str(), "");
    loop {
        let room = width.saturating_sub(before.len());
        let cut = fitting(rest, room);
        if cut == rest.len() || lines.len() + 1 >= most {
            lines.push(format!("{before}{}", line(rest, room)));
            return lines.join("\n");
        }
        lines.push(format!("{before}{}", rest[..cut].trim_end()));
        (rest, before) = (&rest[cut..], indent);
    }
}

/// `text` for stderr: on a terminal its lines are broken between words, and what goes on is behind two spaces. Elsewhere, as
/// in a log, it stays as it is.
pub fn for_stderr(text: &str) -> String {
    let term = Term::stderr();
    if term.is_term() { broken(text, usize::from(term.size().1)) } else { text.to_owned() }
}

fn broken(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| match measure_text_width(line) > width {
        // What is set in, such as a quoted part of a file, stands as it is.
        true if !line.starts_with(' ') => wrapped(line, width.max(40), "  ").join("\n"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `text` on one line of exactly `width` columns.
pub fn cell(text: &str, width: usize) -> String {
    pad_str(&line(text, width), width, Alignment::Left, None).into_owned()
}

/// The lines of a diff, those wider than `width` columns broken after a word where there is one; what goes on has its
/// line's sign and `↳`.
pub fn folded(diff: &str, width: usize) -> String {
    let mut text = String::new();
    for line in diff.lines() {
        let sign = line.chars().next().unwrap_or(' ');
        let (mut indent, mut rest) = (String::new(), line);
        loop {
            let room = width.saturating_sub(measure_text_width(&indent));
            let cut = fitting(rest, room);
            text += &format!("{indent}{}\n", &rest[..cut]);
            rest = &rest[cut..];
            if rest.is_empty() {
                break;
            }
            indent = format!("{sign}↳ ");
        }
    }
    text
}

/// How many bytes of `text` to put on a line of `width` columns: at least a character; up to a space in its latter half
/// where the text goes on.
fn fitting(text: &str, width: usize) -> usize {
    let (mut used, mut space) = (0, None);
    for (at, c) in text.char_indices() {
        used += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used > width && at > 0 {
            return space.unwrap_or(at);
        }
        if c == ' ' && used > width / 2 {
            space = Some(at + 1);
        }
    }
    text.len()
}

/// `text` in pages that leave room for a question on a screen of `height` lines; where there are several, the last line of
/// each says how many lines are left, and that `key` shows them.
pub fn pages(text: &str, height: usize, key: char) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let room = height.saturating_sub(3).max(3);
    if lines.len() <= room {
        return vec![text.to_owned()];
    }
    let mut left = lines.len();
    let page = |part: &[&str]| {
        left -= part.len();
        let more = match left {
            0 => format!("the end; {key} shows the beginning again"),
            left => format!("{} more: {key} shows them", plural(left, "line")),
        };
        format!("{}\n… {more}\n", part.join("\n"))
    };
    lines.chunks(room - 1).map(page).collect()
}

fn visible(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        c if c.is_control() => '\u{fffd}',
        // Marks that turn the direction of text or are not seen at all.
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
            '\u{fffd}'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use console::measure_text_width as width;

    use super::*;

    #[test]
    fn escape_sequences_are_shown_and_not_sent() {
        let text = "a\u{1b}]0;title\u{7}\u{1b}[2Jb\u{202e}c\u{9b}31m\r\nd";
        let shown = neutral(text);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.starts_with("a␛]0;title␇␛[2Jb"));
        assert!(!line(text, 80).contains(['\u{1b}', '\n', '\u{202e}']));
    }

    #[test]
    fn a_message_is_broken_between_words_and_what_it_quotes_is_not() {
        let text = format!("error: {}\n  {}", "word ".repeat(12), "quoted ".repeat(12));
        let lines: Vec<String> = broken(&text, 40).split('\n').map(str::to_owned).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].len() <= 40 && lines[1].starts_with("  word") && lines[2].len() > 80, "{lines:?}");
    }

    #[test]
    fn a_wide_line_of_a_diff_goes_on_below_with_its_sign() {
        assert_eq!(folded("@@ -1 +1 @@\n+short\n", 20), "@@ -1 +1 @@\n+short\n");
        assert_eq!(folded("+one two three four five six", 20), "+one two three four \n+↳ five six\n");
        let wide = folded(&format!("-{}", "日本語".repeat(20)), 20);
        assert!(
            wide.lines().count() > 5 && wide.lines().all(|line| width(line) <= 20 && line.starts_with('-')),
            "{wide}"
        );
    }

    #[test]
    fn what_is_longer_than_the_screen_comes_in_pages_that_say_so() {
        let text = |lines: usize| (0..lines).map(|line| format!("line {line}\n")).collect::<String>();
        assert_eq!(pages(&text(21), 24, 'm'), [text(21)]);
        let long = pages(&text(45), 24, 'm');
        assert_eq!(long.len(), 3);
        assert!(long.iter().all(|page| page.lines().count() <= 21));
        assert!(
            long[0].starts_with("line 0\n") && long[0].ends_with("line 19\n… 25 lines more: m shows them\n"),
            "{}",
            long[0]
        );
        assert!(long[2].ends_with("line 44\n… the end; m shows the beginning again\n"), "{}", long[2]);
    }

    #[test]
    fn lines_are_cut_by_the_columns_they_take() {
        assert_eq!(line("one  two\nthree", 80), "one two three");
        assert_eq!(line("one two three", 8), "one two…");
        assert_eq!(width(&line("日本語日本語", 7)), 7);
        assert_eq!(width(&cell("日本", 7)), 7);
    }
}
