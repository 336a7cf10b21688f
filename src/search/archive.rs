//! The archive: prompts that are best on some train rows, as a Pareto front over rows (GEPA; Agrawal et al. 2025,
//! arXiv 2507.19457, candidate selection). A plateau takes parents and merge donors from it; the incumbent alone is what
//! a run delivers.
//!
//! Prompts are compared on the rows that all of them have a value for: rows that one of them quotes, or that could not
//! run, count for none. What one prompt does at least as well everywhere and better somewhere is not kept of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::prompt::PromptSet;

/// Most prompts held.
const MOST: usize = 16;

/// A prompt with its value on every train row.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub id: String,
    pub prompts: Arc<PromptSet>,
    /// Train rows that it quotes.
    pub quoted: BTreeSet<String>,
    /// The incumbent that it was an edit of; itself where it became one.
    pub base: Arc<PromptSet>,
    /// Value in [0, 1] by row; rows that it quotes or that could not run are absent.
    pub values: BTreeMap<String, f64>,
}

/// The prompts of which none is dominated by another, each best on at least one row; oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Archive {
    entries: Vec<Entry>,
}

impl Archive {
    /// Takes in `entry` if it is best on some row, and lets go of what it makes needless. An entry that shares no row
    /// with the others can't be compared and is not taken.
    pub fn offer(&mut self, entry: Entry) {
        if self.entries.iter().any(|held| held.id == entry.id) {
            return;
        }
        self.entries.push(entry);
        if self.common_rows().is_empty() {
            self.entries.pop();
        }
        self.settle();
        while self.entries.len() > MOST {
            self.drop_least();
            self.settle();
        }
    }

    /// One of the entries that `may` be drawn, with a chance proportional to the number of rows on which it is best.
    pub fn draw(&self, random: &mut impl Rng, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let weights: Vec<(u64, &Entry)> =
            self.best_on().into_iter().zip(&self.entries).filter(|(_, entry)| may(entry)).collect();
        let total: u64 = weights.iter().map(|(rows, _)| rows).sum();
        let mut at = if total == 0 { return None } else { random.random_range(0..total) };
        for (rows, entry) in weights {
            if at < rows {
                return Some(entry);
            }
            at -= rows;
        }
        None
    }

    /// On how many of the common rows each entry is best, alone or with others.
    fn best_on(&self) -> Vec<u64> {
        let mut best = vec![0; self.entries.len()];
        for row in self.common_rows() {
            let values: Vec<f64> = self.entries.iter().map(|entry| entry.values[row]).collect();
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for (count, value) in best.iter_mut().zip(values) {
                *count += u64::from(value == most);
            }
        }
        best
    }

    /// Rows for which every entry has a value, in order.
    fn common_rows(&self) -> Vec<&str> {
        let Some((first, rest)) = self.entries.split_first() else { return Vec::new() };
        let rows = first.values.keys().map(String::as_str);
        rows.filter(|row| rest.iter().all(|entry| entry.values.contains_key(*row))).collect()
    }

    /// Lets go of dominated entries and of those that are best nowhere, until there is none: what goes may give rows
    /// back that it alone did not have.
    fn settle(&mut self) {
        loop {
            let rows = self.common_rows();
            let is_dominated = |at: usize| (0..self.entries.len()).any(|by| self.dominates(by, at, &rows));
            let keeps: Vec<bool> =
                self.best_on().iter().enumerate().map(|(at, best)| *best > 0 && !is_dominated(at)).collect();
            if keeps.iter().all(|keep| *keep) {
                return;
            }
            let mut keeps = keeps.into_iter();
            self.entries.retain(|_| keeps.next().unwrap_or(true));
        }
    }

    /// Whether the entry `by` is at least as good as the one `at` on all `rows` and better on one; of two that are
    /// equal everywhere the shorter prompt dominates, then the older.
    fn dominates(&self, by: usize, at: usize, rows: &[&str]) -> bool {
        let (one, other) = (&self.entries[by], &self.entries[at]);
        if by == at || rows.iter().any(|row| one.values[*row] < other.values[*row]) {
            return false;
        }
        let is_better = rows.iter().any(|row| one.values[*row] > other.values[*row]);
        is_better || (one.prompts.tokens(), by) < (other.prompts.tokens(), at)
    }

    /// Lets go of the entry that is best on the fewest rows, of several the newest.
    fn drop_least(&mut self) {
        let best = self.best_on();
        if let Some(at) = (0..best.len()).rev().min_by_key(|at| best[*at]) {
            self.entries.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prompt::Prompt;
    use crate::seed;

    /// An entry of `length` words with these values; a negative one is a row that it lacks.
    fn entry(id: &str, length: usize, values: &[f64]) -> Entry {
        let text = format!("{} {{{{ input }}}}\n", "word ".repeat(length));
        let prompts = Arc::new(PromptSet::one(Prompt::parse("p", &text).unwrap()).unwrap());
        let values = values.iter().enumerate().filter(|(_, value)| **value >= 0.0);
        Entry {
            id: id.to_owned(),
            base: Arc::clone(&prompts),
            prompts,
            quoted: BTreeSet::new(),
            values: values.map(|(row, value)| (format!("r{row}"), *value)).collect(),
        }
    }

    fn archive(entries: impl IntoIterator<Item = Entry>) -> Archive {
        let mut archive = Archive::default();
        entries.into_iter().for_each(|entry| archive.offer(entry));
        archive
    }

    fn ids(archive: &Archive) -> Vec<&str> {
        archive.entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn what_is_dominated_goes_and_what_is_best_somewhere_stays() {
        let base = entry("base", 1, &[1.0, 0.0, 0.0]);
        let better = entry("better", 2, &[1.0, 1.0, 0.0]);
        let other = entry("other", 2, &[0.0, 0.0, 1.0]);
        assert_eq!(ids(&archive([base.clone(), better.clone(), other.clone()])), ["better", "other"]);
        assert_eq!(ids(&archive([better, other, base])), ["better", "other"]);
    }

    #[test]
    fn what_is_neither_dominated_nor_best_anywhere_goes() {
        let middling = entry("middling", 1, &[0.5, 0.5]);
        let archive = archive([entry("one", 1, &[1.0, 0.0]), entry("other", 1, &[0.0, 1.0]), middling]);
        assert_eq!(ids(&archive), ["one", "other"]);
    }

    #[test]
    fn of_equals_the_shorter_stays_then_the_older() {
        let (long, short) = (entry("long", 9, &[1.0]), entry("short", 1, &[1.0]));
        assert_eq!(ids(&archive([long.clone(), short.clone()])), ["short"]);
        assert_eq!(ids(&archive([short, entry("newer", 1, &[1.0])])), ["short"]);
    }

    #[test]
    fn rows_that_one_of_them_quotes_count_for_none() {
        let quoting = entry("quoting", 1, &[-1.0, 1.0, 0.0]);
        let other = entry("other", 1, &[1.0, 0.0, 0.0]);
        assert_eq!(ids(&archive([other.clone(), quoting.clone()])), ["quoting"]);
        let apart = entry("apart", 1, &[1.0, -1.0, -1.0]);
        assert_eq!(ids(&archive([quoting, apart])), ["quoting"]);
    }

    #[test]
    fn an_entry_is_drawn_as_often_as_it_is_best() {
        let archive = archive([entry("three", 1, &[1.0, 1.0, 1.0, 0.0]), entry("one", 1, &[0.0, 0.0, 0.0, 1.0])]);
        let mut random = seed::generator(1, 1, "test");
        let mut draw = || archive.draw(&mut random, |_| true).unwrap().id.clone();
        let threes = (0..4000).filter(|_| draw() == "three").count();
        assert!((2850..=3150).contains(&threes), "{threes}");
        assert_eq!(archive.draw(&mut random, |entry| entry.id == "one").unwrap().id, "one");
        assert!(archive.draw(&mut random, |_| false).is_none());
    }

    /// Lists of values, coarse so that there are ties; one in nine is a row that the entry lacks.
    fn values() -> impl Strategy<Value = Vec<(usize, Vec<f64>)>> {
        let value = (0..9_u8).prop_map(|value| if value == 0 { -1.0 } else { f64::from(value % 3) / 2.0 });
        proptest::collection::vec((1..4_usize, proptest::collection::vec(value, 6)), 0..40)
    }

    proptest! {
        #[test]
        fn it_is_a_front_within_its_bound_and_the_same_each_time(values in values()) {
            let entries = || values.iter().enumerate().map(|(at, (length, row))| entry(&at.to_string(), *length, row));
            let held = archive(entries());
            prop_assert!(held.entries.len() <= MOST);
            let again = archive(entries());
            prop_assert_eq!(ids(&held), ids(&again));
            let rows = held.common_rows();
            prop_assert!(held.best_on().iter().all(|best| *best > 0));
            for (by, at) in (0..held.entries.len()).flat_map(|by| (0..held.entries.len()).map(move |at| (by, at))) {
                prop_assert!(!held.dominates(by, at, &rows));
            }
        }

        #[test]
        fn where_all_rows_are_common_the_best_value_of_no_row_is_lost(
            values in proptest::collection::vec(proptest::collection::vec(0..3_u8, 6), 1..MOST)
        ) {
            let row = |row: &Vec<u8>| row.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
            let held = archive(values.iter().enumerate().map(|(at, of)| entry(&at.to_string(), 1, &row(of))));
            for at in 0..6 {
                let most = values.iter().map(|of| of[at]).max().unwrap();
                let kept = held.entries.iter().map(|entry| entry.values[&format!("r{at}")]).fold(0.0, f64::max);
                prop_assert_eq!(kept, f64::from(most));
            }
        }
    }
}
