//! TF-IDF: texts as sparse vectors that are close where the texts share rare words and parts of words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::ngrams::{char_ngrams, fnv1a, fnv1a_from};
use super::{normalize, words};

/// Lengths of the character n-grams taken within each word, its borders included.
const NGRAM_LENGTHS: [usize; 2] = [3, 4];

/// A sparse vector of unit length (or without entries).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVector {
    entries: Vec<(u32, f32)>,
}

impl SparseVector {
    /// Pairs of feature and weight (above 0), by ascending feature.
    pub fn entries(&self) -> &[(u32, f32)] {
        &self.entries
    }

    /// Cosine similarity, 0 to 1; 0 where either has no entries.
    pub fn cosine(&self, other: &Self) -> f64 {
        let (mut left, mut right) = (self.entries.as_slice(), other.entries.as_slice());
        let mut sum = 0.0;
        while let (Some((a, x)), Some((b, y))) = (left.first(), right.first()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => left = &left[1..],
                std::cmp::Ordering::Greater => right = &right[1..],
                std::cmp::Ordering::Equal => {
                    sum += f64::from(*x) * f64::from(*y);
                    (left, right) = (&left[1..], &right[1..]);
                }
            }
        }
        sum.clamp(0.0, 1.0)
    }
}

/// Features and their weights, fitted on a set of documents.
///
/// Features are the words of the normalised text and the character n-grams (3 and 4) of each word. A weight is
/// (1 + ln tf) * (1 + ln((1 + N) / (1 + df))), the sublinear term frequency and smoothed inverse document frequency of
/// Salton and Buckley (Information Processing and Management 24, 1988). Words and n-grams are each scaled to the same
/// length, so that the cosine of two texts is the mean of the cosine of their words and that of their n-grams: words
/// carry the sense, n-grams forgive typos and endings.
#[derive(Debug, Clone)]
pub struct Tfidf {
    /// Hash of a feature -> its number; numbers ascend with the hashes. Only ever looked up, never walked.
    index: ByHash<u32>,
    /// By feature.
    features: Vec<Feature>,
}

#[derive(Debug, Clone)]
struct Feature {
    idf: f32,
    /// The word; `None` for a character n-gram.
    word: Option<Box<str>>,
}

impl Tfidf {
    /// Fits on `documents`; their order does not matter.
    pub fn fit<S: AsRef<str>>(documents: &[S]) -> Self {
        let mut frequencies: ByHash<(u32, Option<Box<str>>)> = ByHash::default();
        let mut hashes = Vec::new();
        for document in documents {
            let text = normalize(document.as_ref());
            for word in words(&text) {
                let entry = frequencies.entry(word_hash(word)).or_default();
                entry.1.get_or_insert_with(|| word.into());
            }
            hashes.clear();
            word_hashes(&text, &mut hashes);
            ngram_hashes(&text, &mut hashes);
            hashes.sort_unstable();
            hashes.dedup();
            for &hash in &hashes {
                frequencies.entry(hash).or_default().0 += 1;
            }
        }
        let mut sorted: Vec<_> = frequencies.into_iter().collect();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        let total = 1.0 + documents.len() as f64;
        let idf = |frequency: u32| (1.0 + (total / (1.0 + f64::from(frequency))).ln()) as f32;
        Self {
            index: sorted.iter().zip(0..).map(|((hash, _), number)| (*hash, number)).collect(),
            features: sorted.into_iter().map(|(_, (df, word))| Feature { idf: idf(df), word }).collect(),
        }
    }

    /// The vector of `text`; features that no fitted document had are left out.
    pub fn vector(&self, text: &str) -> SparseVector {
        let text = normalize(text);
        let mut hashes = Vec::with_capacity(4 * text.len());
        word_hashes(&text, &mut hashes);
        let mut entries = self.block(&mut hashes);
        hashes.clear();
        ngram_hashes(&text, &mut hashes);
        let ngrams = self.block(&mut hashes);
        // Both blocks have length 1; together they shall have length 1.
        let scale = if entries.is_empty() || ngrams.is_empty() { 1.0 } else { std::f32::consts::FRAC_1_SQRT_2 };
        entries.extend(ngrams);
        entries.iter_mut().for_each(|(_, weight)| *weight *= scale);
        entries.sort_unstable_by_key(|(feature, _)| *feature);
        SparseVector { entries }
    }

    /// Number of features; those of a vector are below it.
    pub fn features(&self) -> usize {
        self.features.len()
    }

    /// The word that `feature` stands for; `None` for a character n-gram or a feature that isn't there.
    pub fn word(&self, feature: u32) -> Option<&str> {
        self.features.get(feature as usize)?.word.as_deref()
    }

    /// The known features among `hashes`, weighted and scaled to length 1.
    fn block(&self, hashes: &mut [u64]) -> Vec<(u32, f32)> {
        hashes.sort_unstable();
        let mut entries: Vec<(u32, f32)> = hashes
            .chunk_by(|a, b| a == b)
            .filter_map(|same| {
                let feature = *self.index.get(same.first()?)?;
                let idf = self.features.get(feature as usize)?.idf;
                Some((feature, (1.0 + (same.len() as f32).ln()) * idf))
            })
            .collect();
        let length = entries.iter().map(|(_, weight)| f64::from(*weight).powi(2)).sum::<f64>().sqrt();
        entries.iter_mut().for_each(|(_, weight)| *weight /= length as f32);
        entries
    }
}

/// A map whose keys are hashes already and need no hashing again.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// Takes a `u64` key as its own hash.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv1a_from(self.0, bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

fn word_hash(word: &str) -> u64 {
    fnv1a_from(fnv1a(b"word "), word.as_bytes())
}

fn word_hashes(normalized: &str, into: &mut Vec<u64>) {
    into.extend(words(normalized).map(word_hash));
}

fn ngram_hashes(normalized: &str, into: &mut Vec<u64>) {
    let mut bordered = String::new();
    for word in words(normalized) {
        bordered.clear();
        bordered.extend([" ", word, " "]);
        for length in NGRAM_LENGTHS {
            into.extend(char_ngrams(&bordered, length).map(|ngram| fnv1a(ngram.as_bytes())));
            if bordered.len() <= length {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICKETS: [&str; 5] = [
        "I was charged twice for my subscription",
        "Refund the second charge on my subscription please",
        "I can't log in to my account",
        "The app crashes when I open it",
        "Please reset the password of my account",
    ];

    #[test]
    fn similar_texts_are_nearer_than_others_and_typos_are_forgiven() {
        let tfidf = Tfidf::fit(&TICKETS);
        let vectors: Vec<_> = TICKETS.iter().map(|ticket| tfidf.vector(ticket)).collect();
        let typo = tfidf.vector("i was chargd twice for my subscripton!!");
        let near = typo.cosine(&vectors[0]);
        assert!(near > 0.6, "{near}");
        assert!(vectors[1..].iter().all(|other| typo.cosine(other) < near / 2.0));
    }

    #[test]
    fn weights_follow_the_formula() {
        let tfidf = Tfidf::fit(&["a b", "a c"]);
        // "a" in both documents: idf 1; "b" in one of two: 1 + ln(3/2).
        let vector = tfidf.vector("a b");
        let weight = |wanted: &str| {
            let found = vector.entries().iter().find(|(feature, _)| tfidf.word(*feature) == Some(wanted));
            f64::from(found.unwrap().1)
        };
        assert!((weight("b") / weight("a") - (1.0 + 1.5_f64.ln())).abs() < 1e-6);
    }

    #[test]
    fn unknown_or_no_words_give_no_entries_and_no_similarity() {
        let tfidf = Tfidf::fit(&TICKETS);
        let empty = tfidf.vector("");
        assert!(empty.entries().is_empty() && tfidf.vector("zzqx").entries().is_empty());
        assert_eq!(empty.cosine(&tfidf.vector(TICKETS[0])), 0.0);
        assert_eq!(Tfidf::fit::<&str>(&[]).features(), 0);
    }

    proptest! {
        #[test]
        fn vectors_have_unit_length_and_do_not_depend_on_the_order_of_documents(
            mut documents in prop::collection::vec("[a-e ]{0,20}", 1..8),
        ) {
            let before = Tfidf::fit(&documents);
            let vectors: Vec<_> = documents.iter().map(|document| before.vector(document)).collect();
            for vector in &vectors {
                let own = vector.cosine(vector);
                prop_assert!(vector.entries().is_empty() || (own - 1.0).abs() < 1e-5);
                prop_assert!(vector.entries().windows(2).all(|pair| pair[0].0 < pair[1].0));
            }
            let first = documents[0].clone();
            documents.reverse();
            prop_assert_eq!(&Tfidf::fit(&documents).vector(&first), &vectors[0]);
        }
    }
}
