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
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::example::{Example, Split};
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

/// What the lock file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Locked {
    /// Id to split, also of rows that are no longer there.
    pub splits: BTreeMap<String, Split>,
    /// Group to split.
    pub groups: BTreeMap<String, Split>,
}

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

/// Rows that belong together, in file order.
struct Unit {
    rows: Vec<usize>,
    group: Option<String>,
    pinned: bool,
    /// What the unit is placed by: the group's name, else the least id.
    key: String,
}

/// Assigns all rows. `texts` are their normalised inputs, `seed` is the dataset's fingerprint; `locked` is none where
/// no lock file exists. An error is the place of a row and what is wrong with it.
pub(super) fn assign(
    examples: &[Arc<Example>],
    texts: &[String],
    lines: &[usize],
    seed: Digest,
    locked: Option<&Locked>,
) -> Result<Assigned, Vec<(usize, Fault)>> {
    let nothing = Locked::default();
    let known = locked.unwrap_or(&nothing);
    let mut splits: Vec<Option<Split>> = vec![None; examples.len()];
    let mut assigned = Assigned::default();
    let (mut faults, mut free) = (Vec::new(), Vec::new());
    for unit in units(examples, texts) {
        faults.extend(contradictions(&unit, examples, lines));
        if !settle(&unit, examples, known, &mut splits, &mut assigned) {
            free.push(unit);
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if locked.is_some() {
        for unit in &free {
            let split = place(unit);
            unit.rows.iter().for_each(|row| splits[*row] = Some(split));
        }
    } else {
        stratify(examples, free, seed, &mut splits);
    }
    // All are set by now; train is the harmless one.
    assigned.splits = splits.into_iter().map(|split| split.unwrap_or(Split::Train)).collect();
    Ok(assigned)
}

/// The units in the order of their first rows.
fn units(examples: &[Arc<Example>], texts: &[String]) -> Vec<Unit> {
    let mut places: HashMap<(bool, &str), usize> = HashMap::with_capacity(examples.len());
    let mut units: Vec<Unit> = Vec::new();
    for (row, example) in examples.iter().enumerate() {
        let key = match &example.group {
            Some(group) => (true, group.as_str()),
            None => (false, texts[row].as_str()),
        };
        let place = *places.entry(key).or_insert(units.len());
        if let Some(unit) = units.get_mut(place) {
            unit.rows.push(row);
            unit.pinned |= example.pinned;
            if unit.group.is_none() && example.id < unit.key {
                unit.key.clone_from(&example.id);
            }
        } else {
            let group = example.group.clone();
            let key = group.as_ref().unwrap_or(&example.id).clone();
            units.push(Unit { rows: vec![row], group, pinned: example.pinned, key });
        }
    }
    units
}

/// What rows of one group name against each other: two splits, or test and a pin.
fn contradictions(unit: &Unit, examples: &[Arc<Example>], lines: &[usize]) -> Vec<(usize, Fault)> {
    let Some(group) = &unit.group else { return Vec::new() };
    let mut faults = Vec::new();
    let mut named = unit.rows.iter().filter_map(|row| examples[*row].split.map(|split| (*row, split)));
    let Some((first, split)) = named.next() else { return faults };
    for (row, other) in named.filter(|(_, other)| *other != split) {
        let line = lines[first];
        faults.push((row, Fault::GroupSpansSplits { group: group.clone(), this: other, other: split, line }));
    }
    let pinned = unit.rows.iter().find(|row| examples[**row].pinned && examples[**row].split.is_none());
    if let (Split::Test, Some(row)) = (split, pinned) {
        faults.push((*row, Fault::PinnedTest));
    }
    faults
}

/// Places a unit where its rows' own words or the lock put it. False if neither says anything.
fn settle(
    unit: &Unit,
    examples: &[Arc<Example>],
    known: &Locked,
    splits: &mut [Option<Split>],
    assigned: &mut Assigned,
) -> bool {
    let locked = |row: usize| known.splits.get(&examples[row].id).copied();
    let named = unit.rows.iter().find_map(|row| examples[*row].split);
    let first_locked = || {
        let known = unit.rows.iter().filter_map(|row| locked(*row).map(|split| (&examples[*row].id, split)));
        known.min().map(|(_, split)| split)
    };
    let group = unit.group.as_ref();
    let Some(common) = named.or_else(|| group.and_then(|name| known.groups.get(name).copied())).or_else(first_locked)
    else {
        return false;
    };
    for row in unit.rows.iter().copied() {
        let before = locked(row);
        // In a group the word of one row is that of all.
        let own = examples[row].split.or(named.filter(|_| group.is_some()));
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
    if group.is_some() && unit.rows.iter().any(|row| splits[*row] != splits[unit.rows[0]]) {
        assigned.spanning.push(unit.rows.clone());
    }
    true
}

/// The split of a unit that came after the lock was made.
fn place(unit: &Unit) -> Split {
    let hash = Digest::of_parts([b"split".as_slice(), unit.key.as_bytes()]).as_u64();
    let pattern: &[Split] = if unit.pinned { &[PINNED] } else { &PATTERN };
    usize::try_from(hash % pattern.len() as u64).ok().and_then(|at| pattern.get(at)).copied().unwrap_or(Split::Train)
}

/// The rows of one label, and how many are still wanted in each split.
#[derive(Default)]
struct Stratum {
    rows: usize,
    wanted: [i64; 3],
}

/// Places all free units at once. Each label gets its 40/40/20 to within a row, and so does the whole: the labels lie
/// one behind the other along the repeated pattern. Rows that are already placed count; pinned units choose first,
/// since they have less choice, then large ones.
fn stratify(examples: &[Arc<Example>], mut free: Vec<Unit>, seed: Digest, splits: &mut [Option<Split>]) {
    let shuffled = |text: &str| Digest::of_parts([seed.as_bytes().as_slice(), text.as_bytes()]);
    let pattern: &[Split] = if examples.len() < FEWEST_FOR_TEST { &HALVES } else { &PATTERN };
    let settled: Vec<(usize, Split)> =
        splits.iter().enumerate().filter_map(|(row, split)| split.map(|split| (row, split))).collect();
    let labels: Vec<Digest> =
        examples.iter().map(|example| shuffled(&example.expected_text().unwrap_or_default())).collect();
    let mut strata: BTreeMap<Digest, Stratum> = BTreeMap::new();
    for label in &labels {
        strata.entry(*label).or_default().rows += 1;
    }
    let mut along = pattern.iter().cycle();
    for stratum in strata.values_mut() {
        for split in along.by_ref().take(stratum.rows) {
            stratum.wanted[*split as usize] += 1;
        }
    }
    let mut placed = |row: usize, split: Split, strata: &mut BTreeMap<Digest, Stratum>| {
        splits[row] = Some(split);
        if let Some(stratum) = strata.get_mut(&labels[row]) {
            stratum.wanted[split as usize] -= 1;
        }
    };
    for (row, split) in settled {
        placed(row, split, &mut strata);
    }
    free.sort_by_cached_key(|unit| (!unit.pinned, Reverse(unit.rows.len()), shuffled(&unit.key)));
    for unit in free {
        let split = most_wanted(&unit, &labels, &strata, pattern);
        for row in unit.rows {
            placed(row, split, &mut strata);
        }
    }
}

/// The split that the labels of a unit's rows want most, relative to its share.
fn most_wanted(unit: &Unit, labels: &[Digest], strata: &BTreeMap<Digest, Stratum>, pattern: &[Split]) -> Split {
    let mut best = (Split::Train, f64::NEG_INFINITY);
    for split in Split::ALL.into_iter().filter(|split| !unit.pinned || *split == PINNED) {
        let share = pattern.iter().filter(|of| **of == split).count() as f64 / pattern.len() as f64;
        if share == 0.0 {
            continue;
        }
        let strata = unit.rows.iter().filter_map(|row| strata.get(&labels[*row]));
        let want = strata.map(|of| of.wanted[split as usize] as f64 / (of.rows as f64 * share)).sum();
        if want > best.1 {
            best = (split, want);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    fn rows(count: usize, labels: usize) -> Vec<Arc<Example>> {
        (0..count).map(|at| row(&format!("r{at}"), &format!("l{}", at * at % labels))).collect()
    }

    fn row(id: &str, label: &str) -> Arc<Example> {
        Arc::new(
            serde_json::from_value(json!({"id": id, "input": format!("text of {id}"), "expected": label})).unwrap(),
        )
    }

    fn with(example: &Arc<Example>, change: impl FnOnce(&mut Example)) -> Arc<Example> {
        let mut example = Example::clone(example);
        change(&mut example);
        Arc::new(example)
    }

    fn split(examples: &[Arc<Example>], locked: Option<&Locked>) -> Assigned {
        let lines: Vec<usize> = (1..=examples.len()).collect();
        assign(examples, &texts(examples), &lines, super::super::fingerprint(examples), locked).unwrap()
    }

    fn texts(examples: &[Arc<Example>]) -> Vec<String> {
        examples.iter().map(|example| example.input_text()).collect()
    }

    fn lock(examples: &[Arc<Example>], assigned: &Assigned) -> Locked {
        let splits = examples.iter().zip(&assigned.splits).map(|(example, split)| (example.id.clone(), *split));
        Locked { splits: splits.collect(), groups: BTreeMap::new() }
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
            locked.splits.extend(lock(&all[..before + after], &second).splits);
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
        let examples: Vec<_> = rows(300, 3)
            .iter()
            .enumerate()
            .map(|(at, example)| {
                with(example, |example| {
                    if at < 200 {
                        example.group = Some(format!("g{}", at % 50));
                    } else {
                        example.input = json!(format!("same {}", at % 50));
                    }
                })
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
            *example = with(example, |example| example.pinned = true);
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
        examples[0] = with(&examples[0], |example| example.split = Some(other));
        let second = split(&examples, Some(&locked));
        assert_eq!((second.splits[0], &second.moved[..]), (other, &[(0, first.splits[0])][..]));
        assert_eq!(second.splits[1..], first.splits[1..]);
    }

    #[test]
    fn a_group_that_names_two_splits_is_refused() {
        let mut examples = rows(4, 1);
        for (at, split) in [(0, Split::Train), (2, Split::Dev)] {
            examples[at] = with(&examples[at], |example| {
                example.group = Some("g".into());
                example.split = Some(split);
            });
        }
        let fingerprint = super::super::fingerprint(&examples);
        let faults = assign(&examples, &texts(&examples), &[1, 2, 3, 4], fingerprint, None).unwrap_err();
        let expected = Fault::GroupSpansSplits { group: "g".into(), this: Split::Dev, other: Split::Train, line: 1 };
        assert_eq!(faults, [(2, expected)]);
    }
}
