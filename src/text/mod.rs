//! Text as data: normalising, tokens, n-grams, similarity.
