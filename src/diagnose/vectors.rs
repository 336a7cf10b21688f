//! Texts as unit vectors: TF-IDF over words and over character trigrams within words, half the weight each, so that
//! inflected and misspelt words still meet.
//!
//! Features are hashed (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009). A feature
//! in only one of the texts is left out: it can't make two of them alike. One in all of them weighs nothing.

use super::kind::canonical;

/// Hash buckets: far more than the features of a few thousand texts.
const BUCKETS: usize = 1 << 18;
/// Letters of a character n-gram.
const LETTERS: usize = 3;
/// Bucket of no feature.
const NONE: u32 = u32::MAX;

/// A unit vector (or an empty one): dimensions ascending, with their weights.
pub(super) type Vector = Vec<(u32, f32)>;

/// The dimensions and weights that a collection of texts gives.
pub(super) struct Vectoriser {
    /// Dimension of each bucket, or [`NONE`].
    dimension: Vec<u32>,
    /// Inverse document frequency of each dimension: `ln((1 + n) / (1 + df))`.
    idf: Vec<f32>,
}

impl Vectoriser {
    /// Learns the features of `texts`.
    pub(super) fn fit<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut frequency = vec![0_u32; BUCKETS];
        let mut count = 0_u32;
        for text in texts {
            count += 1;
            for (bucket, _) in counted(text) {
                frequency[bucket as usize] += 1;
            }
        }
        let mut dimension = vec![NONE; BUCKETS];
        let mut idf = Vec::new();
        for (bucket, df) in frequency.into_iter().enumerate() {
            if df >= 2 {
                dimension[bucket] = u32::try_from(idf.len()).unwrap_or(NONE);
                idf.push(((1.0 + f64::from(count)) / (1.0 + f64::from(df))).ln() as f32);
            }
        }
        Self { dimension, idf }
    }

    /// Number of dimensions.
    pub(super) fn dimensions(&self) -> usize {
        self.idf.len()
    }

    /// The vector of one text: `(1 + ln tf) · idf`, words and trigrams each scaled to the same length.
    pub(super) fn vector(&self, text: &str) -> Vector {
        let mut entries: Vec<(u32, f32, bool)> = Vec::new();
        let mut squares = [0.0_f32; 2];
        for (key, count) in counted(text) {
            let dimension = self.dimension[key as usize];
            if dimension == NONE {
                continue;
            }
            let is_word = key & 1 == 1;
            let weight = (1.0 + (count as f32).ln()) * self.idf[dimension as usize];
            squares[usize::from(is_word)] += weight * weight;
            entries.push((dimension, weight, is_word));
        }
        let kinds = squares.iter().filter(|square| **square > 0.0).count() as f32;
        let scale = squares.map(|square| if square > 0.0 { 1.0 / (square * kinds).sqrt() } else { 0.0 });
        entries
            .into_iter()
            .map(|(dimension, weight, is_word)| (dimension, weight * scale[usize::from(is_word)]))
            .collect()
    }
}

/// The features of a text with their counts, buckets ascending; the lowest bit of a bucket says whether it is a word.
fn counted(text: &str) -> Vec<(u32, u32)> {
    let canonical = canonical(text);
    let mut keys = Vec::with_capacity(canonical.len() * 2);
    let mut letters: Vec<char> = Vec::new();
    for word in canonical.split(' ').filter(|word| !word.is_empty()) {
        keys.push(key(word.chars(), true));
        letters.clear();
        letters.push(' ');
        letters.extend(word.chars());
        letters.push(' ');
        keys.extend(letters.windows(LETTERS).map(|gram| key(gram.iter().copied(), false)));
    }
    keys.sort_unstable();
    keys.chunk_by(|left, right| left == right)
        .map(|run| (run[0], u32::try_from(run.len()).unwrap_or(u32::MAX)))
        .collect()
}

/// The bucket of a feature by 64-bit FNV-1a over its letters; words and trigrams never share one, since the lowest bit
/// of the bucket tells them apart.
fn key(letters: impl Iterator<Item = char>, is_word: bool) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for letter in letters {
        hash = (hash ^ u64::from(u32::from(letter))).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let bucket = (hash >> 32) as u32 & (BUCKETS as u32 - 1);
    (bucket & !1) | u32::from(is_word)
}
