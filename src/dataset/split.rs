//! Which split every row belongs to: a pure function of the rows and of what was decided before.
//!
//! A row is in the split that it names; else where the lock file has it; else where the rest of its unit is (rows of
//! one `group`, or whose inputs read the same). What is left is stratified by expected answer when there is no lock yet, and
//! afterwards placed by a hash of the group or id, so that an old row never moves.
//!
//! Proportions are 40/40/20. Below [`FEWEST_FOR_TEST`] rows there is no test split: of its fifth, under six rows, even
//! six flips in one direction and none in the other, the least that a two-sided sign test at 5 % calls a difference
//! (2 × 0.5⁶ = 0.031), could not occur. Train and dev then get half each. Rows that come later are always placed
//! 40/40/20, so that a dataset that grows gets its test rows.

use std::cmp::Reverse;

use super::example::Split;
use super::lock::Locked;
use super::packed::PackedRows;
use super::problem::Fault;
use crate::digest::Digest;

/// Rows from which on there is a test split.
pub const FEWEST_FOR_TEST: usize = 30;

/// Any window of n places of the repeated pattern has 2n/5, 2n/5 and n/5 of each split, rounded up or down.
const PATTERN: [Split; 5] = [Split::Train, Split::Dev, Split::Test, Split::Train, Split::Dev];
/// Where pinned rows go unless they say otherwise: the gate guards them wherever they are, and only what the proposer sees
/// can be kept from breaking on purpose.
const PINNED: Split = Split::Train;
/// Like [`PATTERN`], without test.
const HALVES: [Split; 2] = [Split::Train, Split::Dev];

/// The outcome: splits, and what a person should know about them. Rows are given by their place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// One for each example.
    pub splits: Vec<Split>,
    /// Rows whose own word went against the lock, with the split they were in.
    pub moved: Vec<(usize, Split)>,
    /// Rows that left test because of a pin.
    pub left_test: Vec<usize>,
    /// Groups that span splits since they were locked before they were groups.
    pub spanning: Vec<Vec<usize>>,
}

/// Rows that belong together.
struct Unit<'a> {
    /// Their places, in file order; never empty.
    rows: &'a [u32],
    group: Option<&'a str>,
    pinned: bool,
    /// What the unit is placed by: the group's name, else the least id.
    key: &'a str,
}

/// All units of a dataset.
struct Units<'a> {
    rows: &'a PackedRows,
    /// The places of all rows, unit by unit, each in file order.
    order: Vec<u32>,
    /// The first row of each unit, and where in `order` it begins and ends; in the order of first rows.
    bounds: Vec<(u32, u32, u32)>,
}

impl<'a> Units<'a> {
    fn new(rows: &'a PackedRows, texts: &[u128]) -> Self {
        let keys: Vec<u128> = (0..rows.len())
            .zip(texts)
            .map(|(row, text)| match rows.group(row) {
                Some(group) => Digest::of_parts([b"group".as_slice(), group.as_bytes()]).as_u128(),
                None => *text,
            })
            .collect();
        let mut order: Vec<u32> = (0..).take(rows.len()).collect();
        order.sort_by_key(|row| keys[*row as usize]);
        let mut bounds = Vec::new();
        let mut start = 0;
        for alike in order.chunk_by(|one, other| keys[*one as usize] == keys[*other as usize]) {
            let end = start + alike.len() as u32;
            bounds.push((alike[0], start, end));
            start = end;
        }
        bounds.sort_unstable();
        Self { rows, order, bounds }
    }

    fn get(&self, at: u32) -> Unit<'_> {
        let (_, start, end) = self.bounds[at as usize];
        let rows = &self.order[start as usize..end as usize];
        let group = self.rows.group(rows[0] as usize);
        let ids = rows.iter().map(|row| self.rows.id(*row as usize));
        Unit {
            rows,
            group,
            pinned: rows.iter().any(|row| self.rows.is_pinned(*row as usize)),
            key: group.or_else(|| ids.min()).unwrap_or_default(),
        }
    }
}

impl Unit<'_> {
    fn places(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| *row as usize)
    }
}

/// Assigns all rows. `texts` are digests of their normalised inputs, `seed` is the dataset's fingerprint; `locked` is
/// none where no lock file exists. An error is the place of a row and what is wrong with it.
pub(super) fn assign(
    rows: &PackedRows,
    texts: &[u128],
    lines: &[usize],
    seed: Digest,
    locked: Option<Locked<'_>>,
) -> Result<Assigned, Vec<(usize, Fault)>> {
    let mut splits: Vec<Option<Split>> = vec![None; rows.len()];
    let mut assigned = Assigned::default();
    let (mut faults, mut free) = (Vec::new(), Vec::new());
    let units = Units::new(rows, texts);
    for at in (0..).take(units.bounds.len()) {
        let unit = units.get(at);
        faults.extend(contradictions(&unit, rows, lines));
        if !settle(&unit, rows, locked, &mut splits, &mut assigned) {
            free.push(at);
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if locked.is_some() {
        for unit in free.into_iter().map(|at| units.get(at)) {
            let split = place(&unit);
            unit.places().for_each(|row| splits[row] = Some(split));
        }
    } else {
        stratify(&units, free, seed, &mut splits);
    }
    // All are set by now; train is the harmless one.
    assigned.splits = splits.into_iter().map(|split| split.unwrap_or(Split::Train)).collect();
    Ok(assigned)
}

/// What rows of one group name against each other: two splits, or test and a pin.
fn contradictions(unit: &Unit<'_>, rows: &PackedRows, lines: &[usize]) -> Vec<(usize, Fault)> {
    let Some(group) = unit.group else { return Vec::new() };
    let mut faults = Vec::new();
    let mut named = unit.places().filter_map(|row| rows.split(row).map(|split| (row, split)));
    let Some((first, split)) = named.next() else { return faults };
    for (row, other) in named.filter(|(_, other)| *other != split) {
        let line = lines[first];
        faults.push((row, Fault::GroupSpansSplits { group: group.to_owned(), this: other, other: split, line }));
    }
    let pinned = unit.places().find(|row| rows.is_pinned(*row) && rows.split(*row).is_none());
    if let (Split::Test, Some(row)) = (split, pinned) {
        faults.push((row, Fault::PinnedTest));
    }
    faults
}

/// Places a unit where its rows' own words or the lock put it. False if neither says anything.
fn settle(
    unit: &Unit<'_>,
    rows: &PackedRows,
    known: Option<Locked<'_>>,
    splits: &mut [Option<Split>],
    assigned: &mut Assigned,
) -> bool {
    let locked = |row: usize| known.and_then(|known| known.splits.get(rows.id(row)));
    let named = unit.places().find_map(|row| rows.split(row));
    let first_locked = || {
        let known = unit.places().filter_map(|row| locked(row).map(|split| (rows.id(row), split)));
        known.min().map(|(_, split)| split)
    };
    let of_group = || known?.groups.get(unit.group?).copied();
    let Some(common) = named.or_else(of_group).or_else(first_locked) else {
        return false;
    };
    let is_group = unit.group.is_some();
    for row in unit.places() {
        let before = locked(row);
        // In a group the word of one row is that of all.
        let own = rows.split(row).or(named.filter(|_| is_group));
        let mut split = own.or(before).unwrap_or(common);
        if unit.pinned && own.is_none() && split == Split::Test {
            split = PINNED;
            if before == Some(Split::Test) {
                assigned.left_test.push(row);
            }
        }
        if let (Some(own), Some(before)) = (own, before)
            && own != before
        {
            assigned.moved.push((row, before));
        }
        splits[row] = Some(split);
    }
    let first = unit.places().next().and_then(|row| splits[row]);
    if is_group && unit.places().any(|row| splits[row] != first) {
        assigned.spanning.push(unit.places().collect());
    }
    true
}

/// The split of a unit that came after the lock was made.
fn place(unit: &Unit<'_>) -> Split {
    let hash = Digest::of_parts([b"split".as_slice(), unit.key.as_bytes()]).as_u64();
    let pattern: &[Split] = if unit.pinned { &[PINNED] } else { &PATTERN };
    usize::try_from(hash % pattern.len() as u64).ok().and_then(|at| pattern.get(at)).copied().unwrap_or(Split::Train)
}

/// The rows of one label, and how many are still wanted in each split.
#[derive(Clone, Default)]
struct Stratum {
    rows: u32,
    wanted: [i32; 3],
}

/// The labels of a dataset's rows.
struct Strata {
    /// Which stratum each row is in.
    of_row: Vec<u32>,
    strata: Vec<Stratum>,
}

impl Strata {
    /// One stratum for each expected answer, in an order that depends on `seed`.
    fn new(rows: &PackedRows, seed: Digest) -> Self {
        let labels: Vec<[u8; 16]> =
            rows.iter().map(|row| shuffled(seed, &row.expected_label().unwrap_or_default())).collect();
        let mut order: Vec<u32> = (0..).take(labels.len()).collect();
        order.sort_by_key(|row| labels[*row as usize]);
        let mut found = Self { of_row: vec![0; labels.len()], strata: Vec::new() };
        for alike in order.chunk_by(|one, other| labels[*one as usize] == labels[*other as usize]) {
            alike.iter().for_each(|row| found.of_row[*row as usize] = found.strata.len() as u32);
            found.strata.push(Stratum { rows: alike.len() as u32, wanted: [0; 3] });
        }
        found
    }

    fn of(&self, row: usize) -> &Stratum {
        &self.strata[self.of_row[row] as usize]
    }

    /// Notes that a row is in a split.
    fn placed(&mut self, row: usize, split: Split) {
        self.strata[self.of_row[row] as usize].wanted[split as usize] -= 1;
    }
}

/// What puts texts in an order of this dataset's own: the first half of a digest, since there may be a million.
fn shuffled(seed: Digest, text: &str) -> [u8; 16] {
    let mut head = [0; 16];
    head.copy_from_slice(&Digest::of_parts([seed.as_bytes().as_slice(), text.as_bytes()]).as_bytes()[..16]);
    head
}

/// Places all free units at once. Each label gets its 40/40/20 to within a row, and so does the whole: the labels lie
/// one behind the other along the repeated pattern. Rows that are already placed count; pinned units choose first,
/// since they have less choice, then large ones.
fn stratify(units: &Units<'_>, mut free: Vec<u32>, seed: Digest, splits: &mut [Option<Split>]) {
    let pattern: &[Split] = if splits.len() < FEWEST_FOR_TEST { &HALVES } else { &PATTERN };
    let mut strata = Strata::new(units.rows, seed);
    let mut along = pattern.iter().cycle();
    for stratum in &mut strata.strata {
        for split in along.by_ref().take(stratum.rows as usize) {
            stratum.wanted[*split as usize] += 1;
        }
    }
    for (row, split) in splits.iter().enumerate() {
        if let Some(split) = split {
            strata.placed(row, *split);
        }
    }
    free.sort_by_cached_key(|at| {
        let unit = units.get(*at);
        (!unit.pinned, Reverse(unit.rows.len() as u32), shuffled(seed, unit.key))
    });
    for unit in free.into_iter().map(|at| units.get(at)) {
        let split = most_wanted(&unit, &strata, pattern);
        for row in unit.places() {
            splits[row] = Some(split);
            strata.placed(row, split);
        }
    }
}

/// The split that the labels of a unit's rows want most, relative to its share.
fn most_wanted(unit: &Unit<'_>, strata: &Strata, pattern: &[Split]) -> Split {
    let mut best = (Split::Train, f64::NEG_INFINITY);
    for split in Split::ALL.into_iter().filter(|split| !unit.pinned || *split == PINNED) {
        let share = pattern.iter().filter(|of| **of == split).count() as f64 / pattern.len() as f64;
        if share == 0.0 {
            continue;
        }
        let strata = unit.places().map(|row| strata.of(row));
        let want = strata.map(|of| f64::from(of.wanted[split as usize]) / (f64::from(of.rows) * share)).sum();
        if want > best.1 {
            best = (split, want);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dataset::Example;
    use crate::dataset::split_map::SplitMap;

    use proptest::prelude::*;
    use serde_json::json;

    fn rows(count: usize, labels: usize) -> Vec<Example> {
        (0..count).map(|at| row(&format!("r{at}"), &format!("l{}", at * at % labels))).collect()
    }

    fn row(id: &str, label: &str) -> Example {
        serde_json::from_value(json!({"id": id, "input": format!("text of {id}"), "expected": label})).unwrap()
    }

    fn try_split(examples: &[Example], locked: Option<&Lock>) -> Result<Assigned, Vec<(usize, Fault)>> {
        let lines: Vec<usize> = (1..=examples.len()).collect();
        let texts: Vec<u128> =
            examples.iter().map(|example| Digest::of(example.input_text().as_bytes()).as_u128()).collect();
        let locked = locked.map(|splits| splits.clone().into_iter().collect::<SplitMap>());
        let groups = BTreeMap::new();
        let locked = locked.as_ref().map(|splits| Locked { splits, groups: &groups });
        assign(&examples.iter().collect(), &texts, &lines, super::super::fingerprint(examples), locked)
    }

    fn split(examples: &[Example], locked: Option<&Lock>) -> Assigned {
        try_split(examples, locked).unwrap()
    }

    type Lock = BTreeMap<String, Split>;

    fn lock(examples: &[Example], assigned: &Assigned) -> Lock {
        examples.iter().zip(&assigned.splits).map(|(example, split)| (example.id.clone(), *split)).collect()
    }

    fn count(splits: &[Split]) -> [usize; 3] {
        Split::ALL.map(|split| splits.iter().filter(|of| **of == split).count())
    }

    proptest! {
        #[test]
        fn every_label_and_the_whole_are_split_in_proportion_to_within_a_row(
            total in 30_usize..200, labels in 1_usize..12
        ) {
            let examples = rows(total, labels);
            let splits = split(&examples, None).splits;
            let near = |part: &[Split]| count(part).iter().zip([0.4, 0.4, 0.2]).all(|(count, share)| {
                (*count as f64 - share * part.len() as f64).abs() < 1.0
            });
            prop_assert!(near(&splits), "{:?}", count(&splits));
            for label in 0..labels {
                let label = Some(json!(format!("l{label}")));
                let of: Vec<Split> = examples.iter().zip(&splits)
                    .filter(|(example, _)| example.expected == label).map(|(_, split)| *split).collect();
                prop_assert!(near(&of), "{:?}", count(&of));
            }
        }

        #[test]
        fn adding_rows_never_moves_old_ones(before in 1_usize..80, after in 0_usize..80, again in 0_usize..20) {
            let all = rows(before + after + again, 3);
            let first = split(&all[..before], None);
            let mut locked = lock(&all[..before], &first);
            let second = split(&all[..before + after], Some(&locked));
            prop_assert_eq!(&second.splits[..before], &first.splits[..]);
            locked.extend(lock(&all[..before + after], &second));
            let third = split(&all, Some(&locked));
            prop_assert_eq!(&third.splits[..before + after], &second.splits[..]);
        }

        #[test]
        fn the_order_of_rows_does_not_matter(total in 1_usize..60, turn in 0_usize..60) {
            let examples = rows(total, 3);
            let mut turned = examples.clone();
            turned.rotate_left(turn % total);
            let (a, b) = (split(&examples, None), split(&turned, None));
            prop_assert_eq!(lock(&examples, &a), lock(&turned, &b));
        }
    }

    #[test]
    fn free_text_answers_are_split_in_proportion_too() {
        assert_eq!(count(&split(&rows(500, 100_000), None).splits), [200, 200, 100]);
    }

    #[test]
    fn below_thirty_rows_there_is_no_test_split() {
        assert_eq!(count(&split(&rows(29, 3), None).splits)[2], 0);
        assert_eq!(count(&split(&rows(30, 3), None).splits), [12, 12, 6]);
        assert_eq!(count(&split(&rows(1, 1), None).splits), [1, 0, 0]);
    }

    #[test]
    fn rows_that_come_later_are_spread_over_all_splits() {
        let all = rows(1100, 3);
        let locked = lock(&all[..100], &split(&all[..100], None));
        let [train, dev, test] = count(&split(&all, Some(&locked)).splits[100..]);
        assert!((340..460).contains(&train) && (340..460).contains(&dev) && (150..250).contains(&test));
    }

    #[test]
    fn a_group_and_the_same_input_share_a_split_also_with_rows_that_come_later() {
        let examples: Vec<Example> = rows(300, 3)
            .into_iter()
            .enumerate()
            .map(|(at, mut example)| {
                if at < 200 {
                    example.group = Some(format!("g{}", at % 50));
                } else {
                    example.input = json!(format!("same {}", at % 50));
                }
                example
            })
            .collect();
        let together = |splits: &[Split]| {
            (0..splits.len()).all(|at| at >= 200 || splits[at] == splits[at % 50])
                && (200..splits.len()).all(|at| splits[at] == splits[200 + at % 50])
        };
        let whole = split(&examples, None);
        assert!(together(&whole.splits));
        let [train, dev, test] = count(&whole.splits);
        assert!((116..=124).contains(&train) && (116..=124).contains(&dev) && (56..=64).contains(&test));

        let first: Vec<_> = examples[..60].iter().chain(&examples[200..220]).cloned().collect();
        let locked = lock(&first, &split(&first, None));
        assert!(together(&split(&examples, Some(&locked)).splits));
    }

    #[test]
    fn pinned_rows_are_train_rows_and_never_test_rows() {
        let mut examples = rows(100, 2);
        let free = split(&examples, None);
        let locked = lock(&examples, &free);
        for example in examples.iter_mut().take(30) {
            example.pinned = true;
        }
        let splits = split(&examples, None).splits;
        assert!(splits[..30].iter().all(|split| *split == Split::Train));
        assert_eq!(count(&splits), [40, 40, 20]);
        // A pin set later takes the row out of test, and says so.
        let later = split(&examples, Some(&locked));
        assert!(!later.splits[..30].contains(&Split::Test));
        assert_eq!(later.left_test.len(), count(&free.splits[..30])[2]);
        assert_eq!(later.splits[30..], free.splits[30..]);
    }

    #[test]
    fn a_row_that_names_its_split_wins_over_the_lock() {
        let mut examples = rows(50, 1);
        let first = split(&examples, None);
        let locked = lock(&examples, &first);
        let other = if first.splits[0] == Split::Train { Split::Dev } else { Split::Train };
        examples[0].split = Some(other);
        let second = split(&examples, Some(&locked));
        assert_eq!((second.splits[0], &second.moved[..]), (other, &[(0, first.splits[0])][..]));
        assert_eq!(second.splits[1..], first.splits[1..]);
    }

    #[test]
    fn a_group_that_names_two_splits_is_refused() {
        let mut examples = rows(4, 1);
        for (at, split) in [(0, Split::Train), (2, Split::Dev)] {
            (examples[at].group, examples[at].split) = (Some("g".into()), Some(split));
        }
        let faults = try_split(&examples, None).unwrap_err();
        let expected = Fault::GroupSpansSplits { group: "g".into(), this: Split::Dev, other: Split::Train, line: 1 };
        assert_eq!(faults, [(2, expected)]);
    }
}
