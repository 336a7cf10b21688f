//! `rouge_l`: the longest sequence of words that the answer and the expected text share.

use std::collections::BTreeMap;

use super::answer::references;
use super::{Grade, Grader};
use crate::dataset::Example;

/// Most words of a text that are compared (the work is their product); see [`RougeL`].
const COMPARED: usize = 10_000;

/// ROUGE-L (C.-Y. Lin, ROUGE: a package for automatic evaluation of summaries, ACL 2004) as the package `rouge-score`
/// 0.1.2 gives it without stemming: F1 of precision and recall of the longest common subsequence of words, in [0, 1]; 0
/// where either text has no words. Of several expected texts the best counts.
///
/// Words are runs of letters and digits, lower case, of any script. `rouge-score` knows ASCII alone: it cuts `naïve` in
/// two and drops Greek altogether. On ASCII texts the two are the same. Words beyond the 10,000th of either text match
/// nothing, so that a runaway answer can't hold up the evaluation.
#[derive(Debug, Clone)]
pub struct RougeL {
    name: String,
}

impl RougeL {
    /// A scorer called `name` in reports.
    pub fn new(name: impl Into<String>) -> RougeL {
        RougeL { name: name.into() }
    }
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Each word as a number, the same for the same word: numbers compare faster.
fn numbered<'w>(words: &'w [String], numbers: &mut BTreeMap<&'w str, usize>) -> Vec<usize> {
    let mut list = Vec::with_capacity(words.len().min(COMPARED));
    for word in words.iter().take(COMPARED) {
        let next = numbers.len();
        list.push(*numbers.entry(word).or_insert(next));
    }
    list
}

/// Length of the longest common subsequence, by the usual table, a row at a time.
fn common(one: &[String], other: &[String]) -> usize {
    let mut numbers = BTreeMap::new();
    let (one, other) = (numbered(one, &mut numbers), numbered(other, &mut numbers));
    let mut lengths = vec![0; other.len() + 1];
    for word in &one {
        let mut diagonal = 0;
        for (at, with) in other.iter().enumerate() {
            let above = lengths[at + 1];
            lengths[at + 1] = if word == with { diagonal + 1 } else { above.max(lengths[at]) };
            diagonal = above;
        }
    }
    lengths.last().copied().unwrap_or(0)
}

impl Grader for RougeL {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        references(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let answer = words(answer);
        let mut best = (0.0, 0, 0);
        for text in references(example)? {
            let expected = words(&text);
            let common = common(&expected, &answer);
            let f1 = 2.0 * common as f64 / (expected.len() + answer.len()).max(1) as f64;
            if f1 >= best.0 {
                best = (f1, common, expected.len());
            }
        }
        let (value, common, expected) = best;
        let answered = answer.len();
        Ok(Grade::graded(value, || format!("{common} of {expected} expected words in order among {answered}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer() -> RougeL {
        RougeL::new("rouge_l")
    }

    /// Printed by `RougeScorer(["rougeL"])` of rouge-score 0.1.2; the police are the example of Lin's paper.
    #[test]
    fn the_score_is_that_of_rouge_score() {
        for (answer, expected, wanted) in [
            ("The cat is on the mat.", "The cat sat on the mat.", 0.833_333_333_3),
            ("the the the the the the the", "The cat is on the mat.", 0.307_692_307_7),
            ("police killed the gunman", "police kill the gunman", 0.75),
            ("the gunman kill police", "police kill the gunman", 0.5),
            (
                "Refunds take 3-5 days, at most $1,234.50 (EU only).",
                "Refunds take 3 to 5 days and cost at most $1,234.50.",
                0.8,
            ),
            ("a b", "a b c d e f", 0.5),
            ("no", "yes", 0.0),
            ("", "x y", 0.0),
            ("The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log.", 0.588_235_294_1),
        ] {
            let found = value(&scorer(), expected, answer);
            assert!((found - wanted).abs() < 1e-9, "{answer}: {found}");
        }
    }

    #[test]
    fn letters_of_any_script_make_words() {
        assert_eq!(value(&scorer(), "Ελληνικά naïve", "ελληνικά, NAÏVE!"), 1.0);
        assert_eq!(value(&scorer(), "...", "..."), 0.0, "no words");
    }

    #[test]
    fn of_several_expected_texts_the_best_counts() {
        assert_eq!(value(&scorer(), json!(["refund", "money back"]), "Money back!"), 1.0);
        assert_eq!(reason(&scorer(), "a b c", "c b a"), "1 of 3 expected words in order among 3");
        assert!(try_score(&scorer(), Value::Null, "x").is_err());
    }

    #[test]
    fn a_runaway_answer_is_scored_without_comparing_all_of_it() {
        let score = value(&scorer(), "b a", &"a ".repeat(200_000));
        assert!((score - 2.0 / 200_002.0).abs() < 1e-12, "{score}");
    }

    proptest! {
        #[test]
        fn the_score_is_between_zero_and_one_and_the_same_both_ways(one in "[a-d .]{0,30}", other in "[a-d .]{0,30}") {
            let score = value(&scorer(), one.as_str(), &other);
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert_eq!(score, value(&scorer(), other.as_str(), &one));
        }
    }
}
