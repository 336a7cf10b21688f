//! Words, and an estimate of what a model will count.

/// The words of `text` in order: runs of letters and digits of any script, with apostrophes between them ("can't",
/// "l’été"). Case is kept; everything else separates.
///
/// Scripts that don't separate words by spaces (Chinese, Japanese, Thai) give one word a run.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(char::is_alphanumeric)?;
        rest = &rest[start..];
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Where the word that `text` begins with ends.
fn word_end(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let inside = match character {
            '\'' | '\u{2019}' => characters.peek().is_some_and(|(_, next)| next.is_alphanumeric()),
            // A mark belongs to the letter it stands on.
            _ => character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character),
        };
        if !inside {
            return at;
        }
    }
    text.len()
}

/// About how many tokens a language model will count for `text`.
///
/// A heuristic, for limits and estimates of cost where no tokenizer is at hand. Each word costs a token for every six
/// ASCII characters, two of other alphabets or one beyond them (Chinese, Japanese, Thai), and at least one; each run of
/// punctuation a token for every two characters; white space nothing. For English that comes to the usual four
/// characters or three quarters of a word a token; code and rare scripts may be well off.
pub fn approximate_tokens(text: &str) -> usize {
    let (mut tokens, mut sixths, mut run) = (0, 0, Kind::Space);
    for character in text.chars() {
        let kind = Kind::of(character);
        if kind != run {
            tokens += usize::div_ceil(sixths, 6);
            (sixths, run) = (0, kind);
        }
        sixths += match (kind, character.len_utf8()) {
            (Kind::Space, _) => 0,
            (Kind::Word, 1) => 1,
            (_, 1 | 2) => 3,
            _ => 6,
        };
    }
    tokens + sixths.div_ceil(6)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Word,
    Symbol,
}

impl Kind {
    fn of(character: char) -> Self {
        if character.is_whitespace() {
            Self::Space
        } else if character.is_alphanumeric() || matches!(character, '\'' | '\u{2019}') {
            Self::Word
        } else {
            Self::Symbol
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn words_keep_inner_apostrophes_and_drop_quotes() {
        assert_eq!(list("I can't 'log in' -- l’été, v2.0!"), ["I", "can't", "log", "in", "l’été", "v2", "0"]);
        assert_eq!(list("dogs' 'tis rock''n"), ["dogs", "tis", "rock", "n"]);
        assert_eq!(list("हिन्दी naïve cafe\u{301}"), ["हिन्दी", "naïve", "cafe\u{301}"]);
        assert!(list(" ... ").is_empty());
    }

    #[test]
    fn tokens_are_near_what_common_tokenizers_count() {
        // 10 words and a full stop: 11 or 12 in the encodings in use.
        let prose = approximate_tokens("The customer was charged twice and wants the money back.");
        assert!((10..=15).contains(&prose), "{prose}");
        assert_eq!(approximate_tokens(""), 0);
        assert_eq!(approximate_tokens("a b c"), 3);
        assert_eq!(approximate_tokens("退款"), 2);
    }

    proptest! {
        #[test]
        fn every_word_costs_a_token_and_joining_texts_adds_up(left: String, right: String) {
            prop_assert!(approximate_tokens(&left) >= left.split_whitespace().count());
            let joined = approximate_tokens(&format!("{left} {right}"));
            prop_assert_eq!(joined, approximate_tokens(&left) + approximate_tokens(&right));
        }

        #[test]
        fn words_are_in_the_text_in_order(text: String) {
            let mut rest = text.as_str();
            for word in words(&text) {
                let at = rest.find(word);
                prop_assert!(at.is_some() && word.chars().next().is_some_and(char::is_alphanumeric));
                rest = &rest[at.unwrap() + word.len()..];
            }
            prop_assert!(!rest.contains(char::is_alphanumeric));
        }
    }
}
