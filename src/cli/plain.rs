//! Text of rows, answers and files on a terminal: shown as text, whatever it holds.

use console::{Alignment, pad_str, truncate_str};

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

/// `text` on one line of exactly `width` columns.
pub fn cell(text: &str, width: usize) -> String {
    pad_str(&line(text, width), width, Alignment::Left, None).into_owned()
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
    fn lines_are_cut_by_the_columns_they_take() {
        assert_eq!(line("one  two\nthree", 80), "one two three");
        assert_eq!(line("one two three", 8), "one two…");
        assert_eq!(width(&line("日本語日本語", 7)), 7);
        assert_eq!(width(&cell("日本", 7)), 7);
    }
}
