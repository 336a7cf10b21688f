//! `token_f1`: how many words the answer and the expected text share.

use std::collections::BTreeMap;

use super::answer::references;
use super::{Grade, Grader};
use crate::dataset::Example;

/// F1 of the two texts as bags of words, in [0, 1], as the evaluation script of SQuAD 2.0 (P. Rajpurkar, R. Jia and P.
/// Liang, ACL 2018): lower case, ASCII punctuation taken out (not replaced by a space: `3-5` is `35`), and the words
/// `a`, `an` and `the` dropped. Where one text has no words left, 1 if neither has, else 0. Of several expected texts the
/// best counts.
#[derive(Debug, Clone)]
pub struct TokenF1 {
    name: String,
}

impl TokenF1 {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>) -> TokenF1 {
        TokenF1 { name: name.into() }
    }
}

/// What two texts share.
struct Overlap {
    shared: usize,
    expected: usize,
    answered: usize,
}

impl Overlap {
    fn of(expected: &str, answer: &[String]) -> Overlap {
        let expected = normalized(expected);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in &expected {
            *counts.entry(word).or_default() += 1;
        }
        let mut shared = 0;
        for word in answer {
            if let Some(count) = counts.get_mut(word.as_str()).filter(|count| **count > 0) {
                *count -= 1;
                shared += 1;
            }
        }
        Overlap { shared, expected: expected.len(), answered: answer.len() }
    }

    fn f1(&self) -> f64 {
        if self.expected + self.answered == 0 {
            return 1.0;
        }
        2.0 * self.shared as f64 / (self.expected + self.answered) as f64
    }
}

/// The words that count. An article is a word of its own once punctuation is gone, as `\b` sees it: it ends at anything
/// that isn't a letter, a digit or `_`, such as a dash beyond ASCII.
fn normalized(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut words = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let end = rest[start..].find(|c: char| !c.is_alphanumeric()).map_or(rest.len(), |end| start + end);
        words.push_str(&rest[..start]);
        words.push_str(if matches!(&rest[start..end], "a" | "an" | "the") { " " } else { &rest[start..end] });
        rest = &rest[end..];
    }
    words.push_str(rest);
    words.split_whitespace().map(str::to_owned).collect()
}

impl Grader for TokenF1 {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        references(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let answer = normalized(answer);
        let overlaps = references(example)?.into_iter().map(|text| Overlap::of(&text, &answer));
        let Some(best) = overlaps.max_by(|one, other| one.f1().total_cmp(&other.f1())) else {
            return Ok(Grade::fail("no expected text"));
        };
        let Overlap { shared, expected, answered } = best;
        Ok(Grade::graded(best.f1(), || format!("{shared} of {expected} expected words among {answered}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::samples::{reason, row, try_score, value};
    use super::*;

    fn scorer() -> TokenF1 {
        TokenF1::new("token_f1")
    }

    /// Computed with `compute_f1` of SQuAD's `evaluate-v2.0.py`.
    #[test]
    fn the_score_is_that_of_squad() {
        for (answer, expected, wanted) in [
            ("The cat is on the mat.", "The cat sat on the mat.", 0.75),
            ("the the the the the the the", "The cat is on the mat.", 0.0),
            ("police killed the gunman", "police kill the gunman", 0.666_666_666_7),
            ("the gunman kill police", "police kill the gunman", 1.0),
            (
                "Refunds take 3-5 days, at most $1,234.50 (EU only).",
                "Refunds take 3 to 5 days and cost at most $1,234.50.",
                0.6,
            ),
            ("Ärger mit naïven Käufern", "Ärger mit den naiven Käufern", 0.666_666_666_7),
            ("a b", "a b c d e f", 0.333_333_333_3),
            ("", "x y", 0.0),
            ("The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log.", 0.615_384_615_4),
        ] {
            let found = value(&scorer(), expected, answer);
            assert!((found - wanted).abs() < 1e-9, "{answer}: {found}");
        }
    }

    #[test]
    fn articles_punctuation_and_case_do_not_count() {
        assert_eq!(normalized("The U.S.'s  «a» theatre—an Änder"), ["uss", "«", "»", "theatre—", "änder"]);
        assert_eq!(value(&scorer(), "the", "A!"), 1.0, "neither has words");
        assert_eq!(value(&scorer(), "the", "cat"), 0.0);
        assert_eq!(reason(&scorer(), "cat mat", "the cat"), "1 of 2 expected words among 1");
    }

    #[test]
    fn of_several_expected_texts_the_best_counts() {
        assert_eq!(value(&scorer(), json!(["refund", "money back"]), "Money back!"), 1.0);
        assert!(scorer().check(&row(json!([]))).is_err());
        assert!(try_score(&scorer(), Value::Null, "x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_like_itself(text: String) {
            prop_assert_eq!(value(&scorer(), text.as_str(), &text), 1.0);
        }
    }
}
