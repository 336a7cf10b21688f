//! Texts as messages quote them.

/// Longest piece of a text that is quoted, in characters.
const QUOTE: usize = 80;

/// The start of a text in quotes, escaped onto one line.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_short_and_on_one_line() {
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        let long = "é".repeat(500);
        assert_eq!(quote(&long).chars().count(), QUOTE + 3);
    }
}
