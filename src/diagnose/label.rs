//! What people read: the kind in words, and the terms that tell a cluster's rows from the others.

use std::collections::{BTreeSet, HashMap};

use super::cluster::FailureKind;
use crate::text::{normalize, words};

/// Widest label, in terminal columns.
const COLUMNS: usize = 80;
/// Widest quoted label or name within one, so that a confusion of two always fits.
const NAME_COLUMNS: usize = 24;
/// Widest name of a criterion, which stands alone.
const CRITERION_COLUMNS: usize = 60;
/// Most telling terms.
const TERMS: usize = 4;
/// Longest word that is shown; anything longer is an address, a key, or text without spaces.
const LONGEST_TERM: usize = 20;
/// A term tells when chance alone would hardly set it apart: two-sided 5 % of a normal.
const TELLING_Z: f64 = 1.96;

/// Which words occur in which rows.
pub(super) struct Terms {
    /// Distinct words of each row, as indices into `words`.
    rows: Vec<Vec<u32>>,
    words: Vec<String>,
    /// In how many rows each word occurs.
    frequency: Vec<u32>,
}

impl Terms {
    /// Reads the words of all rows.
    pub(super) fn of(texts: &[String]) -> Self {
        let mut index: HashMap<String, u32> = HashMap::new();
        let mut terms = Self { rows: Vec::with_capacity(texts.len()), words: Vec::new(), frequency: Vec::new() };
        for text in texts {
            let text = normalize(text);
            let words: BTreeSet<&str> = words(&text).filter(|word| can_tell(word)).collect();
            let mut row = Vec::with_capacity(words.len());
            for word in words {
                let at = match index.get(word) {
                    Some(at) => *at,
                    None => {
                        let at = u32::try_from(terms.words.len()).unwrap_or(u32::MAX);
                        index.insert(word.to_string(), at);
                        terms.words.push(word.to_string());
                        terms.frequency.push(0);
                        at
                    }
                };
                terms.frequency[at as usize] += 1;
                row.push(at);
            }
            terms.rows.push(row);
        }
        terms
    }

    /// Up to four words that tell the rows `members` from all others, the most telling first: by the z-score of the
    /// log odds ratio of "the row has the word", with a half added to each count (Haldane 1955, Anscombe 1956).
    /// A word in only one member tells nothing.
    pub(super) fn telling(&self, members: &[usize]) -> Vec<&str> {
        let mut inside: HashMap<u32, u32> = HashMap::new();
        for word in members.iter().flat_map(|member| &self.rows[*member]) {
            *inside.entry(*word).or_default() += 1;
        }
        let (size, others) = (members.len() as f64, self.rows.len().saturating_sub(members.len()) as f64);
        let mut scored: Vec<(f64, &str)> = inside
            .into_iter()
            .filter(|(_, count)| *count >= 2)
            .map(|(word, count)| {
                let with = f64::from(count);
                let elsewhere = f64::from(self.frequency[word as usize]) - with;
                let cells = [with + 0.5, size - with + 0.5, elsewhere + 0.5, others - elsewhere + 0.5];
                let log_odds = (cells[0] * cells[3] / (cells[1] * cells[2])).ln();
                let error = cells.iter().map(|cell| 1.0 / cell).sum::<f64>().sqrt();
                (log_odds / error, self.words[word as usize].as_str())
            })
            .filter(|(z, _)| *z >= TELLING_Z)
            .collect();
        scored.sort_by(|(left, left_word), (right, right_word)| {
            right.total_cmp(left).then_with(|| left_word.cmp(right_word))
        });
        scored.into_iter().take(TERMS).map(|(_, word)| word).collect()
    }
}

/// Whether a word can say something to a reader: no single letters, no bare numbers, nothing endless.
fn can_tell(word: &str) -> bool {
    word.chars().any(char::is_alphabetic) && word.len() > 2 && word.chars().count() <= LONGEST_TERM
}

/// The label of a cluster: its kind in words, the prompt that it is about, then as many of `terms` as fit, in brackets.
pub(super) fn label(kind: &FailureKind, prompt: Option<&str>, terms: &[&str]) -> String {
    let mut label = match kind {
        FailureKind::Confusion { expected, answered } => {
            format!("expected {}, answered {}", clipped(expected, NAME_COLUMNS), clipped(answered, NAME_COLUMNS))
        }
        FailureKind::Format => "answer in the wrong form".to_string(),
        FailureKind::Refusal => "refused, or withheld by the provider".to_string(),
        FailureKind::Empty => "empty answer".to_string(),
        FailureKind::Truncated => "cut at the token limit".to_string(),
        FailureKind::Criterion { name } => format!("failed {}", clipped(name, CRITERION_COLUMNS)),
    };
    if let Some(prompt) = prompt {
        let left = COLUMNS.saturating_sub(columns(&label) + " in ".len());
        label += &format!(" in {}", clipped(prompt, left.min(NAME_COLUMNS)));
    }
    let mut shown = String::new();
    for term in terms {
        let longer = if shown.is_empty() { (*term).to_string() } else { format!("{shown}, {term}") };
        if columns(&label) + columns(&longer) + " ()".len() > COLUMNS {
            break;
        }
        shown = longer;
    }
    if !shown.is_empty() {
        label.push_str(&format!(" ({shown})"));
    }
    label
}

/// A name on one line and in at most `most` columns.
fn clipped(name: &str, most: usize) -> String {
    let line = name.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if columns(&line) <= most {
        return line;
    }
    let mut clipped = String::new();
    for c in line.chars() {
        if columns(&clipped) + columns(c.encode_utf8(&mut [0; 4])) >= most {
            break;
        }
        clipped.push(c);
    }
    format!("{}…", clipped.trim_end())
}

/// Columns in a terminal, never too few: whatever may be wide (from Hangul Jamo on) counts as two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{1100}' && c != '…' { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_set_a_cluster_apart_tell_it() {
        let mut texts = vec!["my card was charged twice".to_string(); 5];
        texts.extend(vec!["my login does not work".to_string(); 15]);
        let terms = Terms::of(&texts);
        assert_eq!(terms.telling(&[0, 1, 2, 3, 4]), ["card", "charged", "twice", "was"]);
        assert!(terms.telling(&[0]).is_empty(), "one row tells nothing");
        assert!(terms.telling(&(0..20).collect::<Vec<_>>()).is_empty(), "nothing to be told from");
    }

    #[test]
    fn a_label_says_what_was_expected_and_what_was_answered() {
        let kind = FailureKind::Confusion { expected: "refunds".to_string(), answered: "billing".to_string() };
        assert_eq!(label(&kind, None, &[]), "expected refunds, answered billing");
        assert_eq!(label(&kind, None, &["twice", "charged"]), "expected refunds, answered billing (twice, charged)");
        assert_eq!(
            label(&kind, Some("route.prompty"), &["twice"]),
            "expected refunds, answered billing in route.prompty (twice)"
        );
    }

    #[test]
    fn a_label_always_fits_eighty_columns_on_one_line() {
        for name in ["n".repeat(200), "退款".repeat(50), "two\nlines \u{1b}[31m ".repeat(9)] {
            let kind = FailureKind::Confusion { expected: name.clone(), answered: name.clone() };
            for prompt in [None, Some(name.as_str())] {
                let label = label(&kind, prompt, &["a term of some length", "another of the kind"]);
                assert!(columns(&label) <= COLUMNS, "{label}");
                assert!(!label.contains(char::is_control), "{label}");
            }
        }
    }
}
