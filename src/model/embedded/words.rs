//! Words as the embedded model sees them: lower-cased, lightly stemmed, hashed. Owns the stop words.

/// English function words: they carry little about a topic, so they weigh little. Sorted, apostrophes dropped.
const STOP: &[&str] = &[
    "a",
    "about",
    "after",
    "again",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "anyone",
    "anything",
    "are",
    "as",
    "ask",
    "asks",
    "at",
    "be",
    "because",
    "been",
    "being",
    "but",
    "by",
    "can",
    "could",
    "day",
    "dear",
    "did",
    "do",
    "does",
    "doing",
    "done",
    "each",
    "else",
    "even",
    "ever",
    "every",
    "few",
    "for",
    "from",
    "get",
    "gets",
    "getting",
    "give",
    "go",
    "goes",
    "going",
    "good",
    "got",
    "had",
    "has",
    "have",
    "having",
    "he",
    "hello",
    "her",
    "here",
    "hey",
    "hi",
    "him",
    "his",
    "how",
    "i",
    "id",
    "if",
    "ill",
    "im",
    "in",
    "into",
    "is",
    "it",
    "its",
    "ive",
    "just",
    "keep",
    "know",
    "let",
    "like",
    "made",
    "make",
    "many",
    "may",
    "me",
    "mention",
    "mentions",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "need",
    "needs",
    "no",
    "not",
    "now",
    "of",
    "off",
    "on",
    "one",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "please",
    "really",
    "said",
    "say",
    "says",
    "see",
    "she",
    "should",
    "so",
    "some",
    "someone",
    "something",
    "still",
    "such",
    "tell",
    "than",
    "thank",
    "thanks",
    "that",
    "thats",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "thing",
    "things",
    "this",
    "those",
    "to",
    "too",
    "try",
    "two",
    "up",
    "us",
    "use",
    "very",
    "want",
    "wants",
    "was",
    "way",
    "we",
    "well",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "why",
    "will",
    "with",
    "without",
    "would",
    "yes",
    "yet",
    "you",
    "your",
];

/// Longest text that is read, in words: what comes later changes no answer and only costs time.
const MOST_WORDS: usize = 4_000;

/// Whether a lower-cased word without apostrophes is a function word.
pub(super) fn is_stop(word: &str) -> bool {
    STOP.binary_search(&word).is_ok()
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): words are short and the table is small.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The hash of two words in a row.
pub(super) fn pair_hash(first: u64, second: u64) -> u64 {
    first.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ second
}

/// One word of a [`Words`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    start: u32,
    end: u32,
    /// Hash of the stem.
    pub(super) hash: u64,
    /// Whether it is a function word.
    pub(super) stop: bool,
}

/// The stems of a text, in order, in one allocation.
#[derive(Debug, Default)]
pub(super) struct Words {
    stems: String,
    /// The words in the order of the text.
    pub(super) list: Vec<Word>,
}

impl Words {
    /// The words of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut words =
            Words { stems: String::with_capacity(text.len()), list: Vec::with_capacity(text.len() / 5 + 1) };
        each(text, |word| {
            let stop = is_stop(word);
            let stem_end = if stop { word.len() } else { stem_into(word, &mut words.stems) };
            if stop {
                words.stems.push_str(word);
            }
            let end = words.stems.len();
            let start = end - stem_end;
            let hash = hash(&words.stems.as_bytes()[start..]);
            words.list.push(Word { start: start as u32, end: end as u32, hash, stop });
            words.list.len() < MOST_WORDS
        });
        words
    }

    /// The stem of one of the words.
    pub(super) fn stem(&self, word: Word) -> &str {
        &self.stems[word.start as usize..word.end as usize]
    }
}

/// The lower-cased words of `text` as written (apostrophes dropped), for texts that people will read.
pub(super) fn surface(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each(text, |word| {
        words.push(word.to_owned());
        words.len() < MOST_WORDS
    });
    words
}

/// The stem of one lower-cased word.
pub(super) fn stem(word: &str) -> String {
    let mut stem = String::new();
    stem_into(word, &mut stem);
    stem
}

/// Calls `take` with each lower-cased word until it returns false.
fn each(text: &str, mut take: impl FnMut(&str) -> bool) {
    let mut word = String::with_capacity(24);
    let mut chars = text.chars();
    loop {
        let next = chars.next();
        match next {
            Some(c) if c.is_ascii_alphanumeric() => word.push(c.to_ascii_lowercase()),
            Some('\'' | '\u{2019}') if !word.is_empty() => {}
            Some(c) if !c.is_ascii() && c.is_alphanumeric() => word.extend(c.to_lowercase()),
            _ => {
                if !word.is_empty() {
                    if !take(&word) {
                        return;
                    }
                    word.clear();
                }
                if next.is_none() {
                    return;
                }
            }
        }
    }
}

/// Appends the light stem of `word` and returns its length in bytes: plural, `-ing`, `-ed`, `-ly`, `-ment`, `-ation`,
/// a final `e`, and doubled consonants go. Only words of plain ASCII letters are stemmed.
fn stem_into(word: &str, out: &mut String) -> usize {
    let before = out.len();
    if word.len() <= 3 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        out.push_str(word);
        return word.len();
    }
    let mut root = word;
    let mut y = false;
    if let Some(rest) = root.strip_suffix("ies").filter(|rest| rest.len() > 1) {
        (root, y) = (rest, true);
    } else if root.ends_with('s') && !["ss", "us", "is"].iter().any(|end| root.ends_with(end)) {
        root = &root[..root.len() - 1];
    }
    for (suffix, least) in [("ation", 4), ("ment", 3), ("ing", 3), ("ied", 2), ("ed", 3), ("ly", 4), ("ion", 4)] {
        if let Some(rest) = root.strip_suffix(suffix).filter(|r| r.len() >= least && r.bytes().any(is_vowel)) {
            y = y || suffix == "ied";
            root = rest;
            break;
        }
    }
    if !y && root.len() > 3 {
        root = root.strip_suffix('e').unwrap_or(root);
    }
    out.push_str(root);
    if y {
        out.push('i');
    } else if root.len() > 2 && root.ends_with('y') && !root[..root.len() - 1].bytes().next_back().is_some_and(is_vowel)
    {
        out.pop();
        out.push('i');
    }
    let bytes = out.as_bytes();
    let n = bytes.len();
    if n - before > 4 && bytes[n - 1] == bytes[n - 2] {
        out.pop();
    }
    out.len() - before
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_words_are_sorted_so_that_they_can_be_searched() {
        assert!(STOP.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn inflections_of_a_word_share_a_stem() {
        for group in [
            ["cancel", "cancelled", "cancelling"],
            ["plant", "plants", "planted"],
            ["install", "installed", "installation"],
            ["berry", "berries", "berry"],
            ["prune", "pruned", "pruning"],
            ["pay", "payment", "payments"],
        ] {
            let stems: Vec<_> = group.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|s| *s == stems[0]), "{group:?} {stems:?}");
        }
    }

    #[test]
    fn words_keep_their_order_and_their_stems() {
        let words = Words::of("The wheel's SPOKES broke; can't ride, Öl läuft");
        let stems: Vec<_> = words.list.iter().map(|word| words.stem(*word)).collect();
        assert_eq!(stems, ["the", "wheel", "spok", "brok", "cant", "rid", "öl", "läuft"]);
        assert!(words.list[0].stop && !words.list[1].stop);
    }
}
