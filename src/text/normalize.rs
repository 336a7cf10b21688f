//! One spelling for texts that read the same.

use unicode_normalization::UnicodeNormalization;

/// `text` in Unicode's compatibility form (NFKC), lowercase, each run of white space as one space, none at the ends.
///
/// For comparing, never for showing or sending: "Ｆｕｌｌ  Width" and "full width" become the same. Applying it twice
/// changes nothing.
pub fn normalize(text: &str) -> String {
    if text.is_ascii() {
        let mut folded = fold_white_space(text);
        folded.make_ascii_lowercase();
        return folded;
    }
    // Lowercasing can leave sequences that compose, and composing characters that have a lowercase.
    let mut folded: String = text.nfkc().collect();
    for _ in 0..2 {
        folded = folded.to_lowercase().nfkc().collect();
    }
    fold_white_space(&folded)
}

fn fold_white_space(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn width_case_ligatures_and_white_space_do_not_matter() {
        assert_eq!(normalize("  I was\tcharged\r\n TWICE "), "i was charged twice");
        assert_eq!(normalize("Ｆｕｌｌ\u{a0}Width ﬁne ①"), "full width fine 1");
        assert_eq!(normalize("Cafe\u{301}"), normalize("CAFÉ"));
        assert_eq!(normalize("ΟΔΟΣ"), "οδος");
        assert_eq!(normalize(" \n "), "");
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(text: String) {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
