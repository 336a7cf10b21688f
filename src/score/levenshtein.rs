//! `levenshtein`: how alike the answer and the expected text are, letter by letter.

use super::answer::{expected, text_of};
use super::{Grade, Grader};
use crate::dataset::Example;

/// Most characters that are compared with one another (the work is their product); see [`Levenshtein`].
const COMPARED: usize = 4_000;

/// Similarity in [0, 1]: 1 - distance / length of the longer text, in characters, on trimmed text. The distance is
/// Levenshtein's (V. I. Levenshtein, Soviet Physics Doklady 10, 1966): the fewest insertions, deletions and
/// substitutions. Two empty texts are alike.
///
/// With a greatest distance it is 1 up to that distance, else 0, as promptfoo's `levenshtein` (which doesn't trim).
///
/// Beyond 4,000 characters (after the common start and end) further ones count as substituted, so that a runaway
/// answer can't hold up the evaluation; the similarity is then a lower bound.
#[derive(Debug, Clone)]
pub struct Levenshtein {
    name: String,
    max_distance: Option<usize>,
}

impl Levenshtein {
    /// A scorer called `name` in reports; with `max_distance`, of the distance in characters, else of the similarity.
    pub fn new(name: impl Into<String>, max_distance: Option<usize>) -> Levenshtein {
        Levenshtein { name: name.into(), max_distance }
    }
}

/// Similarity of two texts as they are, in [0, 1]: 1 - distance / length of the longer.
pub(super) fn similarity(a: &str, b: &str) -> f64 {
    let longer = a.chars().count().max(b.chars().count());
    if longer == 0 { 1.0 } else { 1.0 - distance(a, b) as f64 / longer as f64 }
}

/// The edit distance; beyond [`COMPARED`] characters an upper bound of it, at most the longer length.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = without_common_ends(a, b);
    let (a, a_rest) = split_at_char(a, COMPARED);
    let (b, b_rest) = split_at_char(b, COMPARED);
    strsim::levenshtein(a, b) + a_rest.chars().count().max(b_rest.chars().count())
}

fn without_common_ends<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let start: usize = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (a, b) = (&a[start..], &b[start..]);
    let end: usize = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    (&a[..a.len() - end], &b[..b.len() - end])
}

fn split_at_char(text: &str, count: usize) -> (&str, &str) {
    let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

impl Grader for Levenshtein {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected = text_of(expected(example)?);
        let (expected, answer) = (expected.trim(), answer.trim());
        if expected == answer {
            return Ok(Grade::pass());
        }
        let longer = expected.chars().count().max(answer.chars().count());
        let distance = distance(expected, answer);
        let value = match self.max_distance {
            Some(most) => f64::from(u8::from(distance <= most)),
            None => 1.0 - distance as f64 / longer as f64,
        };
        Ok(Grade::graded(value, || format!("{distance} of {longer} characters differ")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer() -> Levenshtein {
        Levenshtein::new("levenshtein", None)
    }

    #[test]
    fn with_a_greatest_distance_it_is_all_or_nothing() {
        let within = |most| Levenshtein::new("levenshtein", Some(most));
        assert_eq!(value(&within(3), "kitten", "sitting"), 1.0);
        assert_eq!(value(&within(2), "kitten", "sitting"), 0.0);
        assert_eq!(reason(&within(3), "kitten", "sitting"), "");
        assert_eq!(reason(&within(2), "kitten", "sitting"), "3 of 7 characters differ");
        assert_eq!(value(&within(0), "same", " same\n"), 1.0);
    }

    #[test]
    fn similarity_is_one_less_the_share_of_characters_that_differ() {
        assert!((value(&scorer(), "kitten", "sitting") - (1.0 - 3.0 / 7.0)).abs() < 1e-12);
        assert_eq!(value(&scorer(), "same", " same\n"), 1.0);
        assert_eq!(value(&scorer(), "", ""), 1.0);
        assert_eq!(value(&scorer(), "abc", ""), 0.0);
        assert_eq!(value(&scorer(), "é", "e"), 0.0, "characters, not bytes");
        assert_eq!(reason(&scorer(), "kitten", "sitting"), "3 of 7 characters differ");
        assert!(try_score(&scorer(), Value::Null, "x").is_err());
    }

    #[test]
    fn a_runaway_answer_is_scored_without_comparing_all_of_it() {
        let long = "é".repeat(100_000);
        let score = value(&scorer(), "abc", &long);
        assert!((0.0..1e-4).contains(&score), "{score}");
        let (a, b) = (format!("{long}1{long}"), format!("{long}2{long}"));
        assert!((value(&scorer(), a, &b) - (1.0 - 1.0 / 200_001.0)).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn common_ends_do_not_change_the_distance(a in "[abé]{0,12}", b in "[abé]{0,12}") {
            prop_assert_eq!(distance(&a, &b), strsim::levenshtein(&a, &b));
            let score = value(&scorer(), a, &b);
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
