//! Text as data: normalising, tokens, n-grams, similarity; and how counts are written.
//!
//! Owns how texts are compared; knows nothing of rows, labels or prompts. All functions are pure and give the same
//! result on every platform and in every run: hashes are FNV-1a, and no result depends on the order of a hash map.

mod counted;
mod ngrams;
mod normalize;
mod quote;
mod similarity;
mod tfidf;
mod tokens;

pub use counted::{count, plural};
pub use ngrams::{char_ngrams, fnv1a, shingles};
pub use normalize::normalize;
pub use quote::quote;
pub use similarity::{jaccard, longest_common_word_run, near_duplicates};
pub use tfidf::{SparseVector, Tfidf};
pub use tokens::{approximate_tokens, words};
