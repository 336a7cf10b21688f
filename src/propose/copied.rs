//! What a prompt has copied from train rows: runs of words, and rows that it quotes. All train rows are indexed once by
//! runs of a few words, so that a prompt is checked in time proportional to its own length.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::dataset::Example;
use crate::prompt::PromptSet;
use crate::text::{fnv1a, words};

/// A run of so many words makes a row quoted, even if the rest of it was cut.
const QUOTED_RUN: usize = 8;
/// A run that stands in more rows than this belongs to the form of the data and doesn't point at a row.
const COMMON: usize = 3;
/// A row of fewer words, and of fewer characters than [`SHORT_CHARS`], may stand in a prompt by chance: it is quoted
/// only where it stands apart, in quotation marks or on a line of its own.
const SHORT_WORDS: usize = 4;
/// See [`SHORT_WORDS`].
const SHORT_CHARS: usize = 16;

/// The train rows, by the words of their inputs.
pub(super) struct TrainWords {
    /// Ids, in the order of the rows.
    ids: Vec<String>,
    /// Hashes of each row's words.
    rows: Vec<Vec<u64>>,
    /// Whether a row is short enough to stand somewhere by chance.
    short: Vec<bool>,
    /// Every run of `run` words: its hash, its row, the number of its first word. Sorted.
    index: Vec<(u64, u32, u32)>,
    /// Words of an indexed run.
    run: usize,
    /// Longest run of words that may be copied.
    most: usize,
}

/// A run of words in a prompt that stands in a train row too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRun {
    /// The row's id.
    pub row: String,
    /// The run as the prompt writes it.
    pub text: String,
    /// How many words it has.
    pub words: usize,
}

/// The text of all prompts as words.
struct PromptWords<'a> {
    text: &'a str,
    hashes: Vec<u64>,
    places: Vec<Range<usize>>,
}

impl<'a> PromptWords<'a> {
    fn of(text: &'a str) -> Self {
        let base = text.as_ptr() as usize;
        let (hashes, places) = words(text)
            .map(|word| {
                let start = word.as_ptr() as usize - base;
                (hash(word), start..start + word.len())
            })
            .unzip();
        Self { text, hashes, places }
    }

    /// All runs of `length` words, as hashes.
    fn runs(&self, length: usize) -> BTreeSet<u64> {
        self.hashes.windows(length).map(hash_run).collect()
    }

    fn text_of(&self, words: Range<usize>) -> &'a str {
        match (self.places.get(words.start), words.end.checked_sub(1).and_then(|last| self.places.get(last))) {
            (Some(first), Some(last)) => &self.text[first.start..last.end],
            _ => "",
        }
    }
}

fn hash(word: &str) -> u64 {
    fnv1a(word.to_lowercase().as_bytes())
}

fn hash_run(run: &[u64]) -> u64 {
    run.iter().fold(fnv1a(b""), |state, word| (state ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23))
}

/// All message bodies, one after the other.
fn text_of(prompts: &PromptSet) -> String {
    let bodies: Vec<&str> = prompts.iter().flat_map(|prompt| prompt.bodies().map(|(_, body)| body)).collect();
    bodies.join("\n")
}

/// Ids of those of `rows` that `prompts` quote as examples, whole or in part: on these a good score is copying. Rows are
/// looked at one by one and none is kept.
pub fn quoted_rows<E: Borrow<Example>>(rows: impl IntoIterator<Item = E>, prompts: &PromptSet) -> BTreeSet<String> {
    let text = text_of(prompts);
    let prompt = Quoting::new(&text);
    let runs = prompt.runs();
    let mut found = BTreeSet::new();
    // The rows that have the run at a place of the text; of a common one not all.
    let mut long: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let row = row.borrow();
        let (hashes, short) = words_of(row);
        if prompt.has(&hashes, short) {
            found.insert(row.id.clone());
        }
        for run in hashes.windows(QUOTED_RUN) {
            let places = runs.get(&hash_run(run)).into_iter().flatten();
            for at in places.filter(|at| prompt.words.hashes[**at..].starts_with(run)) {
                let rows = long.entry(*at).or_default();
                if rows.len() <= COMMON {
                    rows.insert(row.id.clone());
                }
            }
        }
    }
    found.extend(long.into_values().filter(|rows| rows.len() <= COMMON).flatten());
    found
}

/// Hashes of a row's words, and whether it is short enough to stand somewhere by chance.
fn words_of(example: &Example) -> (Vec<u64>, bool) {
    let text = example.input_text();
    let hashes: Vec<u64> = words(&text).map(hash).collect();
    let short = hashes.len() < SHORT_WORDS && text.chars().count() < SHORT_CHARS;
    (hashes, short)
}

/// A text that may quote rows, by its words.
struct Quoting<'a> {
    words: PromptWords<'a>,
    /// Where each word stands.
    places: BTreeMap<u64, Vec<usize>>,
    /// The words of each piece that stands apart.
    apart: BTreeSet<Vec<u64>>,
}

impl<'a> Quoting<'a> {
    fn new(text: &'a str) -> Self {
        let words = PromptWords::of(text);
        let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, word) in words.hashes.iter().enumerate() {
            places.entry(*word).or_default().push(at);
        }
        let apart = segments(text).map(|segment| PromptWords::of(segment).hashes).collect();
        Self { words, places, apart }
    }

    /// Whether it quotes a row of these words as a whole.
    fn has(&self, hashes: &[u64], short: bool) -> bool {
        let whole = |at: &usize| self.words.hashes[*at..].starts_with(hashes);
        match hashes.first() {
            None => false,
            Some(_) if short => self.apart.contains(hashes),
            Some(first) => self.places.get(first).is_some_and(|places| places.iter().any(whole)),
        }
    }

    /// Where each run of [`QUOTED_RUN`] words begins, by its hash.
    fn runs(&self) -> BTreeMap<u64, Vec<usize>> {
        let mut runs: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, run) in self.words.hashes.windows(QUOTED_RUN).enumerate() {
            runs.entry(hash_run(run)).or_default().push(at);
        }
        runs
    }
}

impl TrainWords {
    /// Indexes `train`. Runs of up to `most` words may be copied; at least 1.
    pub fn new(train: &[Arc<Example>], most: usize) -> Self {
        let most = most.max(1);
        let run = QUOTED_RUN.min(most + 1);
        let mut index = Vec::new();
        let mut rows = Vec::with_capacity(train.len());
        let mut short = Vec::with_capacity(train.len());
        for (row, example) in (0_u32..).zip(train) {
            let (hashes, is_short) = words_of(example);
            index.extend((0_u32..).zip(hashes.windows(run)).map(|(at, words)| (hash_run(words), row, at)));
            short.push(is_short);
            rows.push(hashes);
        }
        index.sort_unstable();
        Self { ids: train.iter().map(|example| example.id.clone()).collect(), rows, short, index, run, most }
    }

    /// The first run of more than the allowed words that `after` has, `before` has not, and a train row has.
    pub fn copied(&self, before: &PromptSet, after: &PromptSet) -> Option<CopiedRun> {
        let (before, after) = (text_of(before), text_of(after));
        let (before, after) = (PromptWords::of(&before), PromptWords::of(&after));
        let known = before.runs(self.most + 1);
        for (at, too_long) in after.hashes.windows(self.most + 1).enumerate() {
            if known.contains(&hash_run(too_long)) {
                continue;
            }
            let longest =
                self.shared(&after, at).into_iter().max_by_key(|(row, length)| (*length, std::cmp::Reverse(*row)));
            if let Some((row, length)) = longest.filter(|(_, length)| *length > self.most) {
                let text = after.text_of(at..at + length).to_owned();
                return Some(CopiedRun { row: self.ids[row].clone(), text, words: length });
            }
        }
        None
    }

    /// Ids of the train rows that `after` quotes and `before` does not.
    pub fn quoted(&self, before: &PromptSet, after: &PromptSet) -> Vec<String> {
        let known = self.rows_in(&text_of(before));
        let found = self.rows_in(&text_of(after));
        found.difference(&known).map(|row| self.ids[*row].clone()).collect()
    }

    /// The rows that `text` quotes: whole, or in a long run of words that few rows have.
    fn rows_in(&self, text: &str) -> BTreeSet<usize> {
        let prompt = Quoting::new(text);
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for (row, hashes) in self.rows.iter().enumerate() {
            if prompt.has(hashes, self.short[row]) {
                found.insert(row);
            }
        }
        for at in 0..prompt.words.hashes.len() {
            let long: BTreeSet<usize> = self
                .shared(&prompt.words, at)
                .into_iter()
                .filter(|(_, length)| *length >= QUOTED_RUN)
                .map(|(row, _)| row)
                .collect();
            if long.len() <= COMMON {
                found.extend(long);
            }
        }
        found
    }

    /// The rows that share a run with `words` from its word `at` on, each with the length of its longest one.
    fn shared(&self, words: &PromptWords<'_>, at: usize) -> BTreeMap<usize, usize> {
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        let Some(run) = words.hashes.get(at..at + self.run).map(hash_run) else { return shared };
        let from = self.index.partition_point(|(hash, ..)| *hash < run);
        for (_, row, start) in self.index[from..].iter().take_while(|(hash, ..)| *hash == run) {
            let (row, start) = (*row as usize, *start as usize);
            let same = words.hashes[at..].iter().zip(&self.rows[row][start..]).take_while(|(one, other)| one == other);
            let length = shared.entry(row).or_default();
            *length = same.count().max(*length);
        }
        shared
    }
}

/// Pieces of `text` that stand apart: lines, quotations, the sides of arrows.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split("->"))
        .flat_map(|part| part.split(['"', '“', '”', '„', '«', '»', '`', '→', '⇒', '|', '\t']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::propose::testing::{example, prompts};

    const LONG: &str = "I was billed twice for my subscription this month and would like one payment back please";

    fn train() -> TrainWords {
        let mut rows = vec![
            example("long", LONG, "refunds"),
            example("short", "refund please", "refunds"),
            example("six", "where is my refund, it's late", "refunds"),
        ];
        let form = |id: &str| format!("Please answer the following question as well as you possibly can: {id}");
        rows.extend(["q1", "q2", "q3", "q4"].map(|id| example(id, form(id), "x")));
        TrainWords::new(&rows, 8)
    }

    fn with(text: &str) -> PromptSet {
        prompts(&format!("Sort.\n{text}\n{{{{ input }}}}\n"))
    }

    #[test]
    fn a_run_of_nine_words_is_copied_and_one_of_eight_is_not() {
        let nine = "Such as: i was BILLED twice for my subscription this month.";
        let copied = train().copied(&with(""), &with(nine)).unwrap();
        assert_eq!((copied.row.as_str(), copied.words), ("long", 9));
        assert_eq!(copied.text, "i was BILLED twice for my subscription this month");
        let eight = "Such as: billed twice for my subscription this month and.";
        assert_eq!(train().copied(&with(""), &with(eight)), None);
    }

    #[test]
    fn a_run_that_was_in_the_prompt_before_may_stay() {
        assert_eq!(train().copied(&with(LONG), &with(&format!("Be careful.\n- {LONG}"))), None);
    }

    #[test]
    fn quoted_rows_are_found_whole_or_cut_and_short_ones_only_where_they_stand_apart() {
        let quoted = |text: &str| train().quoted(&with(""), &with(text));
        assert_eq!(quoted("- \"Where is my refund? It's late\" -> refunds"), ["six"]);
        assert_eq!(quoted("- \"billed twice for my subscription this month and\" -> refunds"), ["long"]);
        assert_eq!(quoted("- \"Refund please!\" -> refunds"), ["short"]);
        assert_eq!(quoted("Someone who writes refund please wants money."), Vec::<String>::new());
        assert_eq!(quoted("Someone is billed twice for the month."), Vec::<String>::new());
    }

    #[test]
    fn what_many_rows_begin_with_points_at_none_of_them() {
        let quoted =
            train().quoted(&with(""), &with("Please answer the following question as well as you possibly can."));
        assert_eq!(quoted, Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn rows_looked_at_one_by_one_are_quoted_as_those_of_an_index(
            rows in prop::collection::vec(prop::collection::vec(0_usize..3, 1..14), 1..9),
            text in prop::collection::vec(0_usize..4, 0..60),
        ) {
            let word = |at: &usize| ["pay", "my", "parcel", "\n"][*at];
            let join = |words: &[usize]| words.iter().map(word).collect::<Vec<_>>().join(" ");
            let rows: Vec<_> =
                rows.iter().enumerate().map(|(at, words)| example(&format!("r{at}"), join(words), "x")).collect();
            let prompts = with(&join(&text));
            let index = TrainWords::new(&rows, QUOTED_RUN);
            let indexed: BTreeSet<String> =
                index.rows_in(&text_of(&prompts)).into_iter().map(|row| index.ids[row].clone()).collect();
            prop_assert_eq!(quoted_rows(rows, &prompts), indexed);
        }
    }

    #[test]
    fn rows_that_were_quoted_before_are_not_quoted_anew() {
        assert_eq!(train().quoted(&with(LONG), &with(&format!("{LONG}\n\"refund please\""))), ["short"]);
    }

    #[test]
    fn five_thousand_rows_are_indexed_and_asked_within_a_second() {
        let rows: Vec<_> = (0..5000)
            .map(|row| {
                let text: Vec<String> =
                    (0..40).map(|word| format!("w{}", row * 37 % 911 + word * (row % 7 + 1))).collect();
                example(&format!("r{row}"), text.join(" "), "x")
            })
            .collect();
        let train = TrainWords::new(&rows, 8);
        let text: Vec<String> = (0..1000).map(|word| format!("w{}", word * 3)).collect();
        // That it ends at all in a debug build is the test: a scan of all pairs takes minutes.
        train.copied(&with(""), &with(&text.join(" ")));
        train.quoted(&with(""), &with(&text.join(" ")));
    }
}
