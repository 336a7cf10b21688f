//! What a scorer's reasons have in common once the values are cut out of them.

/// Most words of what a reason can name before its colon; a longer beginning is a sentence.
const MOST_WORDS: usize = 3;

/// Marks that open and close a quoted value.
const QUOTES: [(char, char); 4] = [('"', '"'), ('`', '`'), ('“', '”'), ('«', '»')];

/// What a reason names before its first colon: the field in `category: expected x, got y`, the fault in
/// `missing field: category`. Positions in lists are cut, so that all items of a list are one. `None` for prose.
pub(super) fn named(reason: &str) -> Option<String> {
    let (head, rest) = reason.trim().split_once(':')?;
    // `http://` and `12:30` name nothing.
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let words: Vec<String> =
        head.split_whitespace().map(without_positions).filter(|word| word.chars().any(char::is_alphabetic)).collect();
    (1..=MOST_WORDS).contains(&words.len()).then(|| words.join(" "))
}

/// A word without quotes and without the numbers of a path: `"items[3].name"` is `items[].name`.
fn without_positions(word: &str) -> String {
    let bare = word.chars().filter(|c| QUOTES.iter().all(|(open, close)| c != open && c != close));
    let mut path = String::new();
    for c in bare {
        let in_position = path.ends_with('[') || path.ends_with('.');
        if !(in_position && c.is_ascii_digit()) {
            path.push(c);
        }
    }
    path
}

/// `reason` without quoted text and numbers: what is left is alike where failures are alike.
pub(super) fn without_values(reason: &str) -> String {
    let mut kept = String::new();
    let mut rest = reason;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let closed = QUOTES
            .iter()
            .find(|(open, _)| *open == c)
            .and_then(|(_, close)| rest.find(*close).map(|at| at + close.len_utf8()));
        match closed {
            Some(end) => {
                rest = &rest[end..];
                kept.push(' ');
            }
            None if c.is_numeric() => kept.push(' '),
            None => kept.push(c),
        }
    }
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_begins_with_a_field_names_it() {
        assert_eq!(named("category: expected x, got y").as_deref(), Some("category"));
        assert_eq!(named("`category`: expected x, got y").as_deref(), Some("category"));
        assert_eq!(named("items[31].name: expected 2").as_deref(), Some("items[].name"));
        assert_eq!(named("missing field: category").as_deref(), Some("missing field"));
        assert_eq!(named("line 3: no comma").as_deref(), Some("line"));
    }

    #[test]
    fn prose_names_nothing() {
        assert_eq!(named("The answer ignores the customer's second question: it never says when."), None);
        assert_eq!(named("see http://example.org"), None);
        assert_eq!(named("0.5: half of it"), None);
        assert_eq!(named(""), None);
    }

    #[test]
    fn values_are_cut_from_a_reason() {
        assert_eq!(without_values("expected \"a b\", got `c` 12 of 15"), "expected , got of");
        assert_eq!(without_values("an open \" quote stays"), "an open \" quote stays");
    }
}
