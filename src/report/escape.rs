//! Text of rows, models and users within Markdown and on terminals: it stays text, whatever it holds.

/// `text` on one line of at most `width` characters, cut with `…`. Control characters, and those that turn the
/// direction of text, become spaces, so that no row can move a terminal's cursor or disguise what is shown.
pub fn one_line(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect();
    let mut words = clean.split_whitespace();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    if line.chars().count() > width {
        line = line.chars().take(width.saturating_sub(1)).collect::<String>().trim_end().to_owned();
        line.push('…');
    }
    line
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` as Markdown that renders as that text within a line or a cell (not at a line's start): no markup, no HTML, no
/// link, no cell border.
pub(super) fn inline(text: &str) -> String {
    let line = one_line(text, usize::MAX);
    let mut escaped = String::new();
    let mut rest = line.as_str();
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            ':' if rest.starts_with("://") => escaped.push_str("\\:"),
            'w' | 'W' if rest.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("www.")) => {
                escaped.push_str(&rest[..3]);
                escaped.push_str("\\.");
                rest = &rest[4..];
                continue;
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    escaped
}

/// [`code`] for the cell of a table: tables are split at `|` before code spans are read, and only there is the backslash
/// taken off again.
pub(super) fn cell_code(text: &str, width: usize) -> String {
    code(text, width).replace('|', "\\|")
}

/// `text` as a code span on one line of at most `width` characters.
pub(super) fn code(text: &str, width: usize) -> String {
    let line = one_line(text, width);
    if line.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&line) + 1);
    // A code span may begin and end with a backtick only beside a space, which is then taken off.
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// `text` in a fence that nothing within can close.
pub(super) fn fenced(text: &str, language: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    let body: String =
        text.chars().map(|c| if is_unsafe(c) && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c }).collect();
    let end = if body.is_empty() || body.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{body}{end}{fence}\n")
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_can_neither_break_a_table_nor_bring_html_or_links() {
        assert_eq!(inline("a | b\n<img src=x> &amp;"), "a \\| b &lt;img src=x&gt; &amp;amp;");
        assert_eq!(inline("[x](http://e.vil) WWW.e.vil"), "\\[x\\](http\\://e.vil) WWW\\.e.vil");
        assert_eq!(code("a`b | c", 80), "``a`b | c``");
        assert_eq!(cell_code("a`b | c", 80), "``a`b \\| c``");
        assert_eq!(code("`x`", 80), "`` `x` ``");
        assert_eq!(code(" \n", 80), "(empty)");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(one_line("\u{1b}[31mred\r\n\u{202e}end", 80), "[31mred end");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }

    #[test]
    fn a_fence_is_longer_than_any_within() {
        assert_eq!(fenced("+````\n", "diff"), "`````diff\n+````\n`````\n");
        assert_eq!(fenced("x", ""), "```\nx\n```\n");
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_bare_markup(text in "\\PC{0,40}") {
            let escaped = inline(&text);
            let mut before = ' ';
            for c in escaped.chars() {
                prop_assert!(c != '<' && c != '>' && (c != '|' || before == '\\'), "{escaped}");
                before = if before == '\\' && c == '\\' { ' ' } else { c };
            }
        }

        #[test]
        fn a_line_is_never_wider_than_asked(text in any::<String>(), width in 1_usize..50) {
            prop_assert!(one_line(&text, width).chars().count() <= width);
        }
    }
}
