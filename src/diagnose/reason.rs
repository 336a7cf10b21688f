//! What a scorer's reasons have in common once the values are cut out of them.

/// Most words that can name a failure; anything longer is a sentence.
const MOST_WORDS: usize = 4;

/// Marks that open and close a value.
const MARKS: [(char, char); 5] = [('"', '"'), ('`', '`'), ('“', '”'), ('«', '»'), ('(', ')')];

/// Words that introduce a value and name nothing by themselves.
const INTRODUCTIONS: [&str; 5] = ["expected", "answered", "got", "wanted", "actual"];

/// What a reason names before its first colon or value: `category` in `category: expected x, got y`, `differs in
/// category` in `differs in category (expected …)`, `missing` in `missing "a"`. Positions in lists are cut, so that all
/// items of a list are one. `None` for sentences, for counts, and where the reason only gives values.
pub(super) fn named(reason: &str) -> Option<String> {
    let reason = reason.trim();
    let colon = reason.find(": ").unwrap_or(reason.len());
    let head = match reason[..colon].find(MARKS.map(|(open, _)| open)) {
        // A name in quotes before the colon; without a colon it is a value.
        Some(0) if colon == reason.len() => return None,
        Some(0) => &reason[..colon],
        Some(value) => &reason[..value],
        None => &reason[..colon],
    };
    let words: Vec<String> = head.split_whitespace().map(without_positions).filter(|word| !word.is_empty()).collect();
    let is_name = (1..=MOST_WORDS).contains(&words.len())
        && words.iter().all(|word| word.chars().any(char::is_alphabetic))
        && words.iter().any(|word| !INTRODUCTIONS.contains(&word.as_str()));
    is_name.then(|| words.join(" "))
}

/// A word without marks around it and without the numbers of a path: `"items[3].name"` is `items[].name`.
fn without_positions(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '[' && c != ']');
    let mut path = String::new();
    for c in bare.chars() {
        let is_position = c.is_ascii_digit() && path.ends_with(['[', '.']);
        if !is_position {
            path.push(c);
        }
    }
    path
}

/// `reason` without what is in marks and without numbers: what is left is alike where failures are alike.
pub(super) fn without_values(reason: &str) -> String {
    let mut kept = String::new();
    let mut rest = reason;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let closed = MARKS
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
    fn what_comes_before_the_first_colon_or_value_is_named() {
        for (reason, name) in [
            ("category: expected x, got y", "category"),
            ("`category`: expected x, got y", "category"),
            ("items[31].name: expected 2", "items[].name"),
            ("items.0.name (expected 2)", "items..name"),
            ("missing field: category", "missing field"),
            ("differs in category (expected \"a\", answered \"b\"), tone (expected 1)", "differs in category"),
            ("not wanted: \"a\"", "not wanted"),
            ("Too long.", "Too long"),
        ] {
            assert_eq!(named(reason).as_deref(), Some(name), "{reason}");
        }
    }

    #[test]
    fn sentences_counts_and_values_name_nothing() {
        for reason in [
            "The answer ignores the customer's second question: it never says when.",
            "3 of 12 characters differ",
            "expected \"a\", answered \"b\"",
            "expected 10, answered 11",
            "\"^x$\" is not found",
            "0.5: half of it",
            "line 3: no comma",
            "",
        ] {
            assert_eq!(named(reason), None, "{reason}");
        }
    }

    #[test]
    fn values_are_cut_from_a_reason() {
        assert_eq!(without_values("expected \"a b\", got `c` 12 of 15"), "expected , got of");
        assert_eq!(without_values("an open \" quote stays"), "an open \" quote stays");
    }
}
