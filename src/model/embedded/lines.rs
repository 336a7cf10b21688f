//! The shapes that lines of a prompt take: bullets, definitions, arrows, sentences, marked names.

/// One line of the instructions, trimmed and not empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// The trimmed text.
    pub(super) text: &'a str,
}

/// The lines of a text that aren't empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|text| Line { text })
}

/// The content of a list item (`- x`, `* x`, `1. x`).
pub(super) fn bullet(line: &str) -> Option<&str> {
    for mark in ["- ", "* ", "+ ", "\u{2022} ", "\u{2013} "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return Some(rest.trim());
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line[digits..].strip_prefix(['.', ')'])?;
    (digits > 0 && digits <= 3 && rest.starts_with(' ')).then(|| rest.trim())
}

/// A name without the quotes, backticks, bold marks, brackets and punctuation around it.
pub(super) fn clean(name: &str) -> &str {
    name.trim().trim_matches(|c: char| {
        c.is_whitespace()
            || matches!(c, '"' | '`' | '*' | '\'' | '.' | ',' | ':' | '[' | ']' | '<' | '>')
            || matches!(c, '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' | '\u{ab}' | '\u{bb}')
    })
}

const QUOTES: &[(char, char)] = &[('"', '"'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}')];

/// Whether a text is one quotation from end to end.
pub(super) fn quoted_whole(text: &str) -> bool {
    let text = text.trim();
    QUOTES.iter().any(|(open, close)| text.len() > 2 && text.starts_with(*open) && text.ends_with(*close))
}

/// Names set off by a mark, in order: backticks and bold as '`', quotation marks as '"'.
pub(super) fn marked(text: &str) -> Vec<(char, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '"', '\u{201c}', '\u{ab}']) {
        let Some(open) = rest[at..].chars().next() else { break };
        let (close, kind) = match open {
            '`' => ("`", '`'),
            '*' if rest[at..].starts_with("**") => ("**", '`'),
            '*' => {
                rest = &rest[at + 1..];
                continue;
            }
            '"' => ("\"", '"'),
            '\u{201c}' => ("\u{201d}", '"'),
            _ => ("\u{bb}", '"'),
        };
        let inside = at + if close == "**" { 2 } else { open.len_utf8() };
        let Some(length) = rest[inside..].find(close) else {
            rest = &rest[inside..];
            continue;
        };
        let name = rest[inside..inside + length].trim_matches([' ', ':']);
        if !name.is_empty() {
            found.push((kind, name));
        }
        rest = &rest[inside + length + close.len()..];
    }
    found
}

/// `name: text`, `name = text`, `name - text`, `**name** text`, `` `name` means text``, `name (text)`.
pub(super) fn definition(content: &str) -> Option<(&str, &str)> {
    let content = content.trim();
    for mark in ["**", "`", "\""] {
        let Some(rest) = content.strip_prefix(mark) else { continue };
        let (name, text) = rest.split_once(mark)?;
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || ":=-()\u{2013}\u{2014}".contains(c));
        // A name alone, or one that goes on as a list, defines nothing.
        let defines = text.chars().any(char::is_alphanumeric) && !text.starts_with([',', '/', '|', '.']);
        return defines.then(|| (clean(name), text));
    }
    let mut best: Option<(usize, usize)> = None;
    for separator in [": ", " - ", " \u{2013} ", " \u{2014} ", " = ", " (", " means ", " covers "] {
        if let Some(at) = content.find(separator)
            && best.is_none_or(|(first, _)| at < first)
        {
            best = Some((at, separator.len()));
        }
    }
    let (at, length) = best?;
    let (name, text) = (clean(&content[..at]), content[at + length..].trim());
    (!name.is_empty() && text.chars().any(char::is_alphanumeric)).then_some((name, text))
}

/// `text -> answer`: split at the last arrow outside the quotation.
pub(super) fn arrow(content: &str) -> Option<(&str, &str)> {
    let split = ["->", "=>", "\u{2192}", "\u{21d2}"]
        .iter()
        .filter_map(|arrow| content.rfind(arrow).map(|at| (at, arrow.len())))
        .max()?;
    let (text, answer) = (content[..split.0].trim(), content[split.0 + split.1..].trim());
    // A whole quotation behind the arrow means that the arrow stood inside it.
    (!text.is_empty() && !answer.is_empty() && (quoted_whole(text) || !answer.ends_with('"') || quoted_whole(answer)))
        .then_some((text, answer))
}

/// The sentences of a line, cut after `.`, `!`, `?` outside quotation marks.
pub(super) fn sentences(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quoted) = (0, false);
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\u{201c}' => quoted = true,
            '\u{201d}' => quoted = false,
            '.' | '!' | '?' if !quoted && chars.peek().is_none_or(|(_, next)| next.is_whitespace()) => {
                found.push(line[start..at + 1].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(line[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_come_in_many_shapes() {
        for line in
            ["a b: c d", "a b - c d", "a b = c d", "**a b** - c d", "**a b**: c d", "`a b` (c d", "a b \u{2014} c d"]
        {
            assert_eq!(definition(line), Some(("a b", "c d")), "{line}");
        }
        assert_eq!(definition("`a` means c"), Some(("a", "means c")));
        assert_eq!(definition("`a`, `b`"), None);
    }

    #[test]
    fn the_last_arrow_outside_the_quotation_splits() {
        assert_eq!(arrow("\"x -> y\" -> a"), Some(("\"x -> y\"", "a")));
        assert_eq!(arrow("x => a"), Some(("x", "a")));
        assert_eq!(arrow("\"x -> y\""), None);
    }

    #[test]
    fn sentences_end_outside_quotation_marks_only() {
        assert_eq!(sentences("Say \"hi. you\". Then go. v1.2 is"), ["Say \"hi. you\".", "Then go.", "v1.2 is"]);
    }

    #[test]
    fn marked_names_are_found_in_order() {
        assert_eq!(marked("use `a` or **b** not \"c\""), [('`', "a"), ('`', "b"), ('"', "c")]);
    }
}
