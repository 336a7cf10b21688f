//! `bleu`: how many word n-grams of the answer the expected text has.

use std::collections::BTreeMap;

use super::answer::references;
use super::{Grade, Grader};
use crate::dataset::Example;

/// Longest n-grams.
const ORDERS: usize = 4;

/// Sentence BLEU (K. Papineni et al., ACL 2002) of 1- to 4-grams, in [0, 1], as sacreBLEU 2.6.0 gives it by
/// `BLEU(effective_order=True).sentence_score` (there times 100): tokens of mteval-v13a, exponential smoothing (method 3
/// of B. Chen and C. Cherry, WMT 2014: the first order without a match counts a half of a match, the next a quarter, ..;
/// none at all is 0), and only the orders that the answer is long enough for. Of several expected texts, n-grams count
/// as often as the one that has them most, and the nearest length is the length wanted.
#[derive(Debug, Clone)]
pub struct Bleu {
    name: String,
    ignore_case: bool,
}

impl Bleu {
    /// A scorer called `name` in reports. `ignore_case`: both texts are compared in Unicode lower case.
    pub fn new(name: impl Into<String>, ignore_case: bool) -> Bleu {
        Bleu { name: name.into(), ignore_case }
    }

    fn tokens(&self, text: &str) -> Vec<String> {
        let lower = if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        tokens(lower.trim_end())
    }
}

/// The tokenizer of mteval-v13a as sacreBLEU has it: ASCII punctuation apart, points and commas only where no digits are
/// on both sides, dashes only after a digit.
fn tokens(text: &str) -> Vec<String> {
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, sign);
    }
    let is_sign = |c: char| c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.');
    let mut chars = vec![' '];
    for c in text.chars() {
        if is_sign(c) { chars.extend([' ', c, ' ']) } else { chars.push(c) }
    }
    chars.push(' ');
    let is_point = |c: char| matches!(c, '.' | ',');
    let is_digit = |c: char| c.is_ascii_digit();
    let chars = apart(&chars, |a, b| (!is_digit(a) && is_point(b)).then_some([a, ' ', b, ' ']));
    let chars = apart(&chars, |a, b| (is_point(a) && !is_digit(b)).then_some([' ', a, ' ', b]));
    let chars = apart(&chars, |a, b| (is_digit(a) && b == '-').then_some([a, ' ', b, ' ']));
    let text: String = chars.into_iter().collect();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Puts something in the place of pairs of neighbours, from left to right; a character is in one pair at most.
fn apart(chars: &[char], replacement: impl Fn(char, char) -> Option<[char; 4]>) -> Vec<char> {
    let mut replaced = Vec::with_capacity(chars.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        match chars.get(at + 1).and_then(|&next| replacement(c, next)) {
            Some(pair) => {
                replaced.extend(pair);
                at += 2;
            }
            None => {
                replaced.push(c);
                at += 1;
            }
        }
    }
    replaced
}

type Counts<'t> = BTreeMap<&'t [String], usize>;

fn ngrams(tokens: &[String], n: usize) -> Counts<'_> {
    let mut counts = Counts::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// How many n-grams of the answer are in a reference, and how many it has.
fn matches(answer: &[String], references: &[Vec<String>], n: usize) -> (usize, usize) {
    let mut most = Counts::new();
    for reference in references {
        for (ngram, count) in ngrams(reference, n) {
            let most = most.entry(ngram).or_default();
            *most = count.max(*most);
        }
    }
    let counts = ngrams(answer, n);
    let matched = counts.iter().map(|(ngram, count)| *count.min(most.get(ngram).unwrap_or(&0))).sum();
    (matched, counts.values().sum())
}

/// The score from the matches of each order and the two lengths.
fn score(orders: &[(usize, usize)], answered: usize, wanted: usize) -> f64 {
    if orders.iter().all(|(matched, _)| *matched == 0) {
        return 0.0;
    }
    let (mut smoothing, mut logarithms, mut effective) = (1.0, 0.0, 0.0);
    for (matched, total) in orders.iter().filter(|(_, total)| *total > 0) {
        let matched = if *matched > 0 {
            *matched as f64
        } else {
            smoothing *= 2.0;
            1.0 / smoothing
        };
        logarithms += (matched / *total as f64).ln();
        effective += 1.0;
    }
    let brevity = if answered < wanted { 1.0 - wanted as f64 / answered as f64 } else { 0.0 };
    (brevity + logarithms / effective).exp().clamp(0.0, 1.0)
}

impl Grader for Bleu {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        references(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let references: Vec<Vec<String>> = references(example)?.iter().map(|text| self.tokens(text)).collect();
        let answer = self.tokens(answer);
        let lengths = references.iter().map(Vec::len);
        let wanted = lengths.min_by_key(|length| (length.abs_diff(answer.len()), *length)).unwrap_or(0);
        let orders: Vec<(usize, usize)> = (1..=ORDERS).map(|n| matches(&answer, &references, n)).collect();
        let value = score(&orders, answer.len(), wanted);
        let answered = answer.len();
        Ok(Grade::graded(value, || {
            let found: Vec<String> = orders.iter().map(|(matched, total)| format!("{matched}/{total}")).collect();
            format!("{} n-grams match; {answered} tokens for {wanted}", found.join(" "))
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer(ignore_case: bool) -> Bleu {
        Bleu::new("bleu", ignore_case)
    }

    /// The first candidate and the references of Papineni et al., section 2.1.
    const CANDIDATE: &str =
        "It is a guide to action which ensures that the military always obeys the commands of the party.";
    const REFERENCES: [&str; 3] = [
        "It is a guide to action that ensures that the military will forever heed Party commands.",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party.",
        "It is the practical guide for the army always to heed the directions of the party.",
    ];

    /// Printed by sacreBLEU 2.6.0, `BLEU(effective_order=True)`, without and with `lowercase=True`.
    #[test]
    fn the_score_is_that_of_sacrebleu() {
        for (answer, expected, wanted, lower) in [
            ("The cat is on the mat.", "The cat sat on the mat.", 0.488_923_022_4, 0.488_923_022_4),
            ("the the the the the the the", "The cat is on the mat.", 0.065_672_747_4, 0.078_098_498_4),
            (CANDIDATE, REFERENCES[0], 0.396_708_829_1, 0.404_727_200_2),
            ("police killed the gunman", "police kill the gunman", 0.353_553_390_6, 0.353_553_390_6),
            ("the gunman kill police", "police kill the gunman", 0.379_917_842_8, 0.379_917_842_8),
            (
                "Refunds take 3-5 days, at most $1,234.50 (EU only).",
                "Refunds take 3 to 5 days and cost at most $1,234.50.",
                0.253_365_494_6,
                0.253_365_494_6,
            ),
            ("Ärger mit naïven Käufern", "Ärger mit den naiven Käufern", 0.275_347_657_5, 0.275_347_657_5),
            ("yes", "yes", 1.0, 1.0),
            ("no", "yes", 0.0, 0.0),
            ("a b", "a b c d e f", 0.135_335_283_2, 0.135_335_283_2),
            ("&quot;Hi&quot; &amp; bye", "\"Hi\" & bye", 1.0, 1.0),
            ("", "x y", 0.0, 0.0),
        ] {
            for (ignore_case, wanted) in [(false, wanted), (true, lower)] {
                let found = value(&scorer(ignore_case), expected, answer);
                assert!((found - wanted).abs() < 1e-9, "{answer}: {found}");
            }
        }
        let found = value(&scorer(false), json!(REFERENCES), CANDIDATE);
        assert!((found - 0.540_172_589_9).abs() < 1e-9, "{found}");
    }

    #[test]
    fn tokens_are_those_of_mteval_v13a() {
        for (text, wanted) in [
            (
                "Hello, world! 3-5 $1,234.50 (e.g. U.S.) don't -x- a.b 1.b",
                "Hello , world ! 3 - 5 $ 1,234.50 ( e . g . U . S . ) don't -x- a . b 1 . b",
            ),
            ("&lt;b&gt; x-\ny\nz", "< b > xy z"),
            ("été, «oui»…", "été , «oui»…"),
            ("<skipped>a", "a"),
        ] {
            assert_eq!(tokens(text).join(" "), wanted);
        }
    }

    #[test]
    fn the_reason_gives_the_matches() {
        assert_eq!(reason(&scorer(false), "a b c d e f", "a b"), "2/2 1/1 0/0 0/0 n-grams match; 2 tokens for 6");
        assert!(try_score(&scorer(false), Value::Null, "x").is_err());
        assert!(try_score(&scorer(false), json!([]), "x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_between_zero_and_one(one: String, other in "[a-c .,0-9-]{0,40}") {
            for (answer, expected) in [(&one, &other), (&other, &one), (&other, &other)] {
                let score = value(&scorer(false), expected.as_str(), answer);
                prop_assert!((0.0..=1.0).contains(&score), "{score}");
            }
        }
    }
}
