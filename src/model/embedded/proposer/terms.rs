//! The words that tell one label's rows from the others': log-odds of occurring in a row, smoothed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::credit::share;
use super::super::words::{is_stop, stem, surface};
use super::request::Row;

/// A word or two that speak for a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    /// As rows write it most often.
    pub(super) text: String,
    /// In how many of the label's rows it stands.
    pub(super) rows: usize,
    /// In how many other rows it stands.
    pub(super) others: usize,
}

#[derive(Default)]
struct Count {
    surfaces: BTreeMap<String, usize>,
    rows: usize,
    others: usize,
    /// Sum over the label's rows of how much one of their words counts.
    weight: f64,
    /// Places of all rows that it stands in.
    with: Vec<usize>,
}

/// Words and pairs of words of a text: stemmed key -> as written. Pairs begin and end with a word that carries meaning
/// or stand as `verb + particle` do: at least one of the two is no function word.
fn terms_of(text: &str) -> BTreeMap<String, String> {
    let words = surface(text);
    let telling = |word: &str| !is_stop(word) && word.len() > 2 && !word.bytes().any(|b| b.is_ascii_digit());
    let mut terms = BTreeMap::new();
    for word in words.iter().filter(|word| telling(word)) {
        terms.entry(stem(word)).or_insert_with(|| word.clone());
    }
    for pair in words.windows(2) {
        if telling(&pair[0]) && telling(&pair[1]) {
            let key = format!("{} {}", stem(&pair[0]), stem(&pair[1]));
            terms.entry(key).or_insert_with(|| format!("{} {}", pair[0], pair[1]));
        }
    }
    terms
}

/// The terms that speak for `label`, the most telling first, from rows with their expected labels. Words that the
/// prompt already gives for the label (`known`, stemmed) are left out.
pub(super) fn telling(label: &str, rows: &[&Row], known: &BTreeSet<String>) -> Vec<Term> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut own = 0_usize;
    for (at, row) in rows.iter().enumerate() {
        let is_own = row.expected == label;
        own += usize::from(is_own);
        let terms = terms_of(&row.text);
        // In a short row most words are about the matter, in a long one few.
        let weight = 1.0 / (4.0 + terms.len() as f64).sqrt();
        for (key, written) in terms {
            let count = counts.entry(key).or_default();
            count.with.push(at);
            if is_own {
                count.rows += 1;
                count.weight += weight;
                *count.surfaces.entry(written).or_insert(0) += 1;
            } else {
                count.others += 1;
            }
        }
    }
    let other = rows.len() - own;
    let (values, rivals) = by_field(rows);
    let mut scored: Vec<(f64, String, Term)> = Vec::new();
    for (key, count) in counts {
        let new = key.split(' ').any(|word| !known.contains(word));
        // A pair that was seen once is one row's chance; its words stand in the list by themselves.
        if count.rows == 0 || !new || (key.contains(' ') && count.rows < 2) {
            continue;
        }
        let odds = |hits: usize, total: usize| ((hits as f64 + 0.5) / ((total - hits) as f64 + 0.5)).ln();
        let score = odds(count.rows, own) - odds(count.others, other);
        let most = count.surfaces.iter().max_by_key(|(text, n)| (**n, std::cmp::Reverse(text.len())));
        let Some((text, _)) = most else { continue };
        if score > 0.0 {
            let term = Term { text: text.clone(), rows: count.rows, others: count.others };
            let credit = share(&count.with, &values, &rivals);
            scored.push((score * count.weight * credit, key, term));
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    without_parts(scored)
}

/// The rows' values, as numbers: those of the field they are narrowed to, and those of the answer's other fields.
fn by_field(rows: &[&Row]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let numbered = |values: Vec<&str>| -> Vec<usize> {
        let distinct: BTreeSet<&str> = values.iter().copied().collect();
        values.iter().map(|value| distinct.iter().take_while(|known| *known < value).count()).collect()
    };
    let fields = rows.iter().map(|row| row.elsewhere.len()).min().unwrap_or(0);
    let rivals = (0..fields).map(|field| numbered(rows.iter().map(|row| row.elsewhere[field].as_str()).collect()));
    (numbered(rows.iter().map(|row| row.expected.as_str()).collect()), rivals.collect())
}

/// Drops words that a better pair contains, and pairs of which a better word stands in the list.
fn without_parts(scored: Vec<(f64, String, Term)>) -> Vec<Term> {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut kept = Vec::new();
    for (_, key, term) in scored {
        if key.split(' ').any(|word| used.contains(word)) {
            continue;
        }
        used.extend(key.split(' ').map(str::to_owned));
        kept.push(term);
    }
    kept
}

/// The stems of a text's words.
pub(super) fn stems(text: &str) -> BTreeSet<String> {
    surface(text).iter().map(|word| stem(word)).collect()
}

/// Rows of `label`, those most like the label's other rows first; very long ones last.
pub(super) fn representative<'a>(label: &str, rows: &[&'a Row]) -> Vec<&'a Row> {
    let own: Vec<(&Row, BTreeSet<String>)> = rows
        .iter()
        .filter(|row| row.expected == label)
        .map(|row| (*row, stems(&row.text).into_iter().filter(|word| !is_stop(word)).collect()))
        .collect();
    let mut frequency: BTreeMap<&str, f64> = BTreeMap::new();
    for word in own.iter().flat_map(|(_, words)| words) {
        *frequency.entry(word).or_insert(0.0) += 1.0;
    }
    let mut scored: Vec<(f64, &Row)> = own
        .iter()
        .map(|(row, words)| {
            let shared: f64 = words.iter().map(|word| frequency.get(word.as_str()).copied().unwrap_or(1.0) - 1.0).sum();
            let long = if row.text.len() > LONG_ROW { 1e6 } else { 0.0 };
            (shared / (words.len() as f64 + 4.0) - long, *row)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.text.cmp(&b.1.text)));
    scored.into_iter().map(|(_, row)| row).collect()
}

/// From this length in bytes on, a row is a poor example.
const LONG_ROW: usize = 400;
