//! `chrf`: how many character n-grams the answer and the expected text share.

use std::collections::BTreeMap;

use super::answer::references;
use super::{Grade, Grader};
use crate::dataset::Example;

/// Longest n-grams.
const ORDERS: usize = 6;

/// How much more recall counts than precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// chrF2 (M. Popović, WMT 2015 and 2016) of 1- to 6-grams of characters without white space, in [0, 1], as sacreBLEU
/// 2.6.0 gives it by `CHRF().sentence_score` (there times 100): F2 of precision and recall, each the mean over the orders
/// that both texts are long enough for. Of several expected texts the best counts.
#[derive(Debug, Clone)]
pub struct Chrf {
    name: String,
    ignore_case: bool,
}

impl Chrf {
    /// A scorer called `name` in reports. `ignore_case`: both texts are compared in Unicode lower case.
    pub fn new(name: impl Into<String>, ignore_case: bool) -> Chrf {
        Chrf { name: name.into(), ignore_case }
    }

    fn characters(&self, text: &str) -> Vec<char> {
        let lower = if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        lower.chars().filter(|c| !c.is_whitespace()).collect()
    }
}

fn ngrams(characters: &[char], n: usize) -> BTreeMap<&[char], usize> {
    let mut counts = BTreeMap::new();
    for ngram in characters.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// Precision and recall, each the mean over the orders that both texts have.
fn shares(answer: &[char], expected: &[char]) -> (f64, f64) {
    let orders = answer.len().min(expected.len()).min(ORDERS);
    let (mut precision, mut recall) = (0.0, 0.0);
    for n in 1..=orders {
        let wanted = ngrams(expected, n);
        let found = ngrams(answer, n);
        let shared: usize = found.iter().map(|(ngram, count)| *count.min(wanted.get(ngram).unwrap_or(&0))).sum();
        precision += shared as f64 / (answer.len() + 1 - n) as f64;
        recall += shared as f64 / (expected.len() + 1 - n) as f64;
    }
    let orders = orders.max(1) as f64;
    (precision / orders, recall / orders)
}

fn f2((precision, recall): (f64, f64)) -> f64 {
    if precision + recall == 0.0 {
        return 0.0;
    }
    ((1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)).clamp(0.0, 1.0)
}

impl Grader for Chrf {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        references(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let answer = self.characters(answer);
        let each = references(example)?.into_iter().map(|text| shares(&answer, &self.characters(&text)));
        let best = each.max_by(|one, other| f2(*one).total_cmp(&f2(*other))).unwrap_or_default();
        let (precision, recall) = best;
        Ok(Grade::graded(f2(best), || format!("precision {precision:.2}, recall {recall:.2}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer() -> Chrf {
        Chrf::new("chrf", false)
    }

    /// Printed by sacreBLEU 2.6.0, `CHRF()`.
    #[test]
    fn the_score_is_that_of_sacrebleu() {
        for (answer, expected, wanted) in [
            ("The cat is on the mat.", "The cat sat on the mat.", 0.645_816_683_7),
            ("the the the the the the the", "The cat is on the mat.", 0.105_854_802_9),
            ("police killed the gunman", "police kill the gunman", 0.816_239_221_9),
            ("the gunman kill police", "police kill the gunman", 0.683_734_049_2),
            (
                "Refunds take 3-5 days, at most $1,234.50 (EU only).",
                "Refunds take 3 to 5 days and cost at most $1,234.50.",
                0.624_553_062_8,
            ),
            ("Ärger mit naïven Käufern", "Ärger mit den naiven Käufern", 0.634_400_946),
            ("yes", "yes", 1.0),
            ("no", "yes", 0.0),
            ("a b", "a b c d e f", 0.3125),
            ("abc", "abcdefgh", 0.322_505_800_5),
            ("", "x y", 0.0),
        ] {
            let found = value(&scorer(), expected, answer);
            assert!((found - wanted).abs() < 1e-9, "{answer}: {found}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_ignored_and_the_best_of_several_counts() {
        assert_eq!(value(&scorer(), "ÄRGER", "ärger"), 0.0);
        assert_eq!(value(&Chrf::new("chrf", true), "ÄRGER", "är ger"), 1.0);
        assert_eq!(value(&scorer(), json!(["refund", "money"]), "money"), 1.0);
        assert_eq!(reason(&scorer(), "abcd", "ab"), "precision 1.00, recall 0.42");
        assert!(try_score(&scorer(), Value::Null, "x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_between_zero_and_one_and_like_itself(one in "[a-c ]{0,20}", other: String) {
            prop_assert!((0.0..=1.0).contains(&value(&scorer(), other.as_str(), &one)));
            let is_blank = other.trim().is_empty();
            let itself = value(&scorer(), other.as_str(), &other);
            prop_assert!((itself - if is_blank { 0.0 } else { 1.0 }).abs() < 1e-12, "{}", itself);
        }
    }
}
