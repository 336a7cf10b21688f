//! Which texts are nearly the same, and how much of one text is copied from another.

use std::collections::{BTreeMap, HashMap};

use super::ngrams::{char_ngrams, fnv1a};
use super::{normalize, words};

/// Length of the character shingles that [`near_duplicates`] compares.
const SHINGLE: usize = 6;

/// Jaccard similarity of two sets given as ascending slices without repeats: shared by all, 0 to 1; 1 for two empty
/// sets.
pub fn jaccard(left: &[u64], right: &[u64]) -> f64 {
    let shared = overlap(left, right, 0);
    let all = left.len() + right.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

/// How many elements two ascending slices share; stops early, with a number below `needed`, once that is out of reach.
fn overlap<T: Ord>(left: &[T], right: &[T], needed: usize) -> usize {
    let (mut shared, mut at, mut other) = (0, 0, 0);
    while at < left.len() && other < right.len() && shared + (left.len() - at).min(right.len() - other) >= needed {
        match left[at].cmp(&right[other]) {
            std::cmp::Ordering::Less => at += 1,
            std::cmp::Ordering::Greater => other += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                at += 1;
                other += 1;
            }
        }
    }
    shared
}

/// All pairs `(i, j, similarity)` of texts, i below j, whose sets of 6-character shingles have a Jaccard similarity of
/// at least `threshold` (from 0.05 to 1), in ascending order. Case, punctuation and white space do not count.
///
/// Exact, by prefix filtering over an inverted index (Bayardo, Ma and Srikant, Scaling up all pairs similarity search,
/// WWW 2007). Of texts that have the very same shingles only the first takes part; each of the others is reported once
/// against it, with similarity 1, so that a thousand copies give a thousand pairs.
pub fn near_duplicates<S: AsRef<str>>(texts: &[S], threshold: f64) -> Vec<(usize, usize, f64)> {
    let threshold = if threshold.is_nan() { 1.0 } else { threshold.clamp(0.05, 1.0) };
    let mut pairs = Vec::new();
    let mut distinct: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        match distinct.entry(shingle_set(text.as_ref())) {
            std::collections::btree_map::Entry::Occupied(first) => pairs.push((*first.get(), at, 1.0)),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(at);
            }
        }
    }
    join(rare_first(distinct), threshold, &mut pairs);
    pairs.sort_unstable_by_key(|&(left, right, _)| (left, right));
    pairs
}

/// The shingles of a text, ascending.
fn shingle_set(text: &str) -> Vec<u64> {
    let normalized = normalize(text);
    let mut joined = String::with_capacity(normalized.len());
    for word in words(&normalized) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    // Of a text without words the signs are all there is to compare.
    let compared = if joined.is_empty() { &normalized } else { &joined };
    let mut set: Vec<u64> = char_ngrams(compared, SHINGLE).map(|shingle| fnv1a(shingle.as_bytes())).collect();
    set.sort_unstable();
    set.dedup();
    set
}

/// Each set with its text's number, its shingles renamed so that the rarest come first; sets by ascending size.
fn rare_first(sets: BTreeMap<Vec<u64>, usize>) -> Vec<(usize, Vec<u32>)> {
    let mut frequencies: HashMap<u64, u32> = HashMap::new();
    for shingle in sets.keys().flatten() {
        *frequencies.entry(*shingle).or_default() += 1;
    }
    let mut order: Vec<(u32, u64)> = frequencies.into_iter().map(|(shingle, count)| (count, shingle)).collect();
    order.sort_unstable();
    let ranks: HashMap<u64, u32> = order.iter().zip(0..).map(|((_, shingle), rank)| (*shingle, rank)).collect();
    let mut renamed: Vec<(usize, Vec<u32>)> = sets
        .into_iter()
        .map(|(set, at)| {
            let mut set: Vec<u32> = set.iter().filter_map(|shingle| ranks.get(shingle).copied()).collect();
            set.sort_unstable();
            (at, set)
        })
        .collect();
    renamed.sort_unstable_by_key(|(at, set)| (set.len(), *at));
    renamed
}

/// Adds all pairs of `sets` that are similar enough. Two such sets share a shingle among the first few of each, so
/// that only those are indexed; and what lies behind the first one they share must be long enough for the rest
/// (the positional filter of Xiao et al., Efficient similarity joins for near duplicate detection, WWW 2008).
fn join(sets: Vec<(usize, Vec<u32>)>, threshold: f64, pairs: &mut Vec<(usize, usize, f64)>) {
    // By shingle: the sets that have it among their first few, and at which place.
    let shingles = sets.iter().filter_map(|(_, set)| set.last()).max().map_or(0, |last| *last as usize + 1);
    let mut index: Vec<Vec<(u32, u32)>> = vec![Vec::new(); shingles];
    let mut seen_by = vec![usize::MAX; sets.len()];
    for (current, (at, set)) in sets.iter().enumerate() {
        let least = at_least(threshold * set.len() as f64);
        let prefix = (set.len() + 1).saturating_sub(least).min(set.len());
        for (place, shingle) in set[..prefix].iter().enumerate() {
            let listed = &mut index[*shingle as usize];
            // Sets come by ascending size: what is too short now stays too short.
            let long_enough = listed.partition_point(|&(other, _)| sets[other as usize].1.len() < least);
            for &(other, other_place) in &listed[long_enough..] {
                if std::mem::replace(&mut seen_by[other as usize], current) == current {
                    continue;
                }
                let (other_at, other_set) = &sets[other as usize];
                let both = set.len() + other_set.len();
                let needed = at_least(threshold / (1.0 + threshold) * both as f64);
                // This is the first shingle that they share: nothing before it counts.
                let shared = overlap(&set[place..], &other_set[other_place as usize..], needed);
                if shared >= needed {
                    let similarity = shared as f64 / (both - shared) as f64;
                    pairs.push((*at.min(other_at), *at.max(other_at), similarity));
                }
            }
            listed.push((current as u32, place as u32));
        }
    }
}

/// The least whole number that reaches `share`, at least 1; by a hair generous, so that rounding loses nothing.
fn at_least(share: f64) -> usize {
    (share - 1e-9).ceil().max(1.0) as usize
}

/// Length of the longest run of words that `left` and `right` share, case and punctuation aside; 0 if none.
///
/// For the guard against copying rows into a prompt. Takes time proportional to the product of their word counts.
pub fn longest_common_word_run(left: &str, right: &str) -> usize {
    let (left, right) = (normalize(left), normalize(right));
    let left: Vec<u64> = words(&left).map(|word| fnv1a(word.as_bytes())).collect();
    let right: Vec<u64> = words(&right).map(|word| fnv1a(word.as_bytes())).collect();
    // runs[j]: length of the common run that ends at the current left word and right word j - 1.
    let mut runs = vec![0_usize; right.len() + 1];
    let mut longest = 0;
    for word in &left {
        for (at, other) in right.iter().enumerate().rev() {
            runs[at + 1] = if word == other { runs[at] + 1 } else { 0 };
            longest = longest.max(runs[at + 1]);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;
    use proptest::prelude::*;
    use rand::RngExt;

    #[test]
    fn jaccard_counts_shared_by_all() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!((jaccard(&[], &[]), jaccard(&[1], &[])), (1.0, 0.0));
    }

    #[test]
    fn texts_that_differ_by_a_word_are_found_and_others_are_not() {
        let texts = [
            "I was charged twice for my subscription this month and want my money back",
            "My parcel has not arrived and nobody answers the phone",
            "i was charged TWICE for my subscription this week, and want my money back!",
            "I was charged twice for my subscription this month and want my money back.",
        ];
        let found = near_duplicates(&texts, 0.7);
        assert_eq!(found.iter().map(|&(i, j, _)| (i, j)).collect::<Vec<_>>(), [(0, 2), (0, 3)]);
        assert!(found[0].2 < 1.0 && found[1].2 == 1.0);
    }

    #[test]
    fn copies_and_texts_without_words_do_not_explode() {
        let texts = vec!["the same text again"; 5_000];
        assert_eq!(near_duplicates(&texts, 0.8).len(), 4_999);
        assert_eq!(near_duplicates(&["", " ", "?!", "?!"], 0.8), [(0, 1, 1.0), (2, 3, 1.0)]);
        assert!(near_duplicates::<&str>(&[], 0.8).is_empty());
    }

    #[test]
    fn common_runs_ignore_case_and_punctuation() {
        let row = "My card was charged twice, can you refund one of them?";
        assert_eq!(longest_common_word_run("e.g. 'was CHARGED twice; can you' -> billing", row), 5);
        assert_eq!(longest_common_word_run("Say billing when a payment is disputed.", row), 0);
        assert_eq!(longest_common_word_run("", row), 0);
        assert_eq!(longest_common_word_run(row, row), 11);
    }

    /// Texts of twenty made-up words, every tenth a copy with a word changed.
    fn corpus(size: usize) -> Vec<String> {
        let mut rng = generator(7, 0, "corpus");
        let mut texts: Vec<String> = Vec::new();
        for at in 0..size {
            let mut list: Vec<String> =
                (0..20).map(|_| format!("w{:x}", rng.random_range(0..3_000_u64).pow(2) * 2_654_435_761)).collect();
            if at % 10 == 9 {
                list = texts[at - 5].split(' ').map(str::to_owned).collect();
                list[3] = "changed".to_owned();
            }
            texts.push(list.join(" "));
        }
        texts
    }

    #[test]
    fn every_planted_near_duplicate_is_found_among_many_texts() {
        let found = near_duplicates(&corpus(500), 0.8);
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|(left, right, _)| right - left == 5));
    }

    proptest! {
        #[test]
        fn near_duplicates_are_those_that_comparing_all_pairs_finds(
            texts in prop::collection::btree_set("[ab]{0,9}( [ab]{1,4})?", 0..14),
            threshold in 0.05..=1.0_f64,
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let sets: Vec<Vec<u64>> = texts.iter().map(|text| shingle_set(text)).collect();
            let mut expected = Vec::new();
            for (j, right) in sets.iter().enumerate() {
                for (i, left) in sets[..j].iter().enumerate() {
                    // Of the very same sets only the first takes part.
                    let first = |at: usize| sets.iter().position(|set| *set == sets[at]) == Some(at);
                    let counts = if left == right { first(i) } else { first(i) && first(j) };
                    if counts && jaccard(left, right) >= threshold - 1e-9 {
                        expected.push((i, j, jaccard(left, right)));
                    }
                }
            }
            expected.sort_by_key(|&(i, j, _)| (i, j));
            prop_assert_eq!(near_duplicates(&texts, threshold), expected);
        }
    }
}
