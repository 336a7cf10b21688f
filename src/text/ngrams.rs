//! N-grams of characters and of words, and the hash that stands for them.

/// FNV-1a in 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): the same on every platform and in every version. Not for
/// anything that an adversary may want to collide.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_from(0xcbf2_9ce4_8422_2325, bytes)
}

/// Goes on with a hash.
pub(super) fn fnv1a_from(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// All runs of `n` characters (Unicode scalar values) of `text`, in order, overlapping. A text that is shorter is its
/// own only run; an empty one has none.
pub fn char_ngrams(text: &str, n: usize) -> impl Iterator<Item = &str> {
    let n = n.max(1);
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text.char_indices().map(|(at, _)| at).skip(n).chain(std::iter::once(text.len()));
    // With fewer than n characters the only end is the text's, so zip stops after one run.
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

/// Hashes of all runs of `n` words, in order, overlapping. Fewer words are one run; no words none.
pub fn shingles(words: &[&str], n: usize) -> Vec<u64> {
    if words.is_empty() {
        return Vec::new();
    }
    words.windows(n.clamp(1, words.len())).map(hash_words).collect()
}

fn hash_words(words: &[&str]) -> u64 {
    // A byte that no word holds keeps "ab c" and "a bc" apart.
    words.iter().fold(fnv1a(b""), |hash, word| fnv1a_from(fnv1a_from(hash, word.as_bytes()), &[0xff]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_matches_published_test_vectors() {
        // Noll's test suite for 64-bit FNV-1a.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn character_runs_respect_character_borders() {
        assert_eq!(char_ngrams("naïve", 3).collect::<Vec<_>>(), ["naï", "aïv", "ïve"]);
        assert_eq!(char_ngrams("ab", 3).collect::<Vec<_>>(), ["ab"]);
        assert_eq!(char_ngrams("", 3).count(), 0);
    }

    #[test]
    fn shingles_do_not_confuse_word_borders() {
        assert_ne!(shingles(&["ab", "c"], 2), shingles(&["a", "bc"], 2));
        assert_eq!(shingles(&["a", "b", "c"], 2).len(), 2);
        assert_eq!(shingles(&["a"], 2).len(), 1);
        assert!(shingles(&[], 2).is_empty());
    }

    proptest! {
        #[test]
        fn there_are_as_many_runs_as_places_for_them(text: String, n in 1..6_usize) {
            let length = text.chars().count();
            let expected = if length == 0 { 0 } else { (length + 1).saturating_sub(n).max(1) };
            prop_assert_eq!(char_ngrams(&text, n).count(), expected);
        }
    }
}
