//! Looking at part of a dataset: by split, by filter, or the first few rows of a fixed shuffle. And its labels.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::example::{Example, PackedDataset, Split, plain_text};
use super::packed::PackedRows;
use crate::digest::Digest;

/// Which rows of a dataset to look at. By default train and dev, all rows: test stays sealed unless it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Rows of these splits.
    pub splits: Vec<Split>,
    /// Rows that pass all of these.
    pub filters: Vec<Filter>,
    /// At most so many rows: those whose ids come first when sorted by their hash. It is the same sample every time,
    /// a larger limit holds all rows of a smaller one, and the order of the file plays no part.
    pub limit: Option<usize>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { splits: vec![Split::Train, Split::Dev], filters: Vec::new(), limit: None }
    }
}

impl Selection {
    /// The selected rows, in file order.
    pub fn rows(&self, dataset: &PackedDataset) -> Rows {
        let mut rows = Rows::chosen(&dataset.rows, |at| {
            self.splits.contains(&dataset.splits[at])
                && (self.filters.is_empty()
                    || dataset.rows.get(at).is_some_and(|row| self.filters.iter().all(|filter| filter.accepts(&row))))
        });
        if let Some(limit) = self.limit {
            rows.places = sample(&dataset.rows, rows.places, limit);
        }
        rows
    }
}

/// At most `limit` of the rows at `places` (ascending): those whose ids come first when sorted by their hash.
pub(super) fn sample(rows: &PackedRows, mut places: Vec<u32>, limit: usize) -> Vec<u32> {
    if limit < places.len() {
        places.sort_by_cached_key(|at| Digest::of_parts([b"limit".as_slice(), rows.id(*at as usize).as_bytes()]));
        places.truncate(limit);
        places.sort_unstable();
    }
    places
}

/// Some rows of a dataset, in file order, each made into an example when it is asked for.
#[derive(Debug, Clone)]
pub struct Rows {
    packed: Arc<PackedRows>,
    /// Ascending.
    places: Vec<u32>,
}

impl Rows {
    /// Those of `rows` at places that are `wanted`.
    pub(super) fn chosen(rows: &Arc<PackedRows>, wanted: impl Fn(usize) -> bool) -> Self {
        let places = (0_u32..).take(rows.len()).filter(|at| wanted(*at as usize)).collect();
        Self { packed: Arc::clone(rows), places }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One of them, from 0.
    pub fn get(&self, at: usize) -> Option<Arc<Example>> {
        self.packed.get(self.place(at)?).map(Arc::new)
    }

    /// The place in the dataset of one of them.
    pub fn place(&self, at: usize) -> Option<usize> {
        self.places.get(at).map(|place| *place as usize)
    }

    /// The id of one of them; empty beyond the last.
    pub fn id(&self, at: usize) -> &str {
        self.place(at).map_or("", |place| self.packed.id(place))
    }

    /// All of them, each made as the iterator comes to it.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Example>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Those whose ids are `wanted`.
    pub fn with(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let places = self.places.iter().copied().filter(|place| wanted(self.packed.id(*place as usize))).collect();
        Self { packed: Arc::clone(&self.packed), places }
    }
}

/// One condition on a row, as `--filter` takes it: `tag=edge`, `id=t-017`, `expected=billing`, `metadata.channel=email`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The row has the tag.
    Tag(String),
    /// The row has the id.
    Id(String),
    /// The row's expected answer, as text.
    Expected(String),
    /// A metadata field, as text.
    Metadata(String, String),
}

/// A filter that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no filter: use tag=..., id=..., expected=... or metadata.<field>=...")]
pub struct FilterError(String);

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let Some((key, value)) = text.split_once('=') else { return Err(FilterError(text.to_owned())) };
        let value = value.trim().to_owned();
        match key.trim() {
            "tag" => Ok(Self::Tag(value)),
            "id" => Ok(Self::Id(value)),
            "expected" => Ok(Self::Expected(value)),
            key => match key.strip_prefix("metadata.") {
                Some(field) if !field.is_empty() => Ok(Self::Metadata(field.to_owned(), value)),
                _ => Err(FilterError(text.to_owned())),
            },
        }
    }
}

impl Filter {
    /// True when the row passes.
    pub fn accepts(&self, example: &Example) -> bool {
        match self {
            Self::Tag(tag) => example.tags.contains(tag),
            Self::Id(id) => example.id == *id,
            Self::Expected(text) => example.expected_label().is_some_and(|expected| expected == text.trim()),
            Self::Metadata(field, text) => {
                example.metadata.get(field).map(plain_text).is_some_and(|found| found == *text)
            }
        }
    }
}

/// The labels of a classification-like task and how many rows have each, most frequent first; none for any other task.
///
/// Classification-like means: every row has an expected answer; each is a short line of text (up to 80 characters),
/// true, false or a whole number; there are two labels or more; and few of them, at most 20 with two rows each on
/// average, or one for every five rows.
pub fn labels<E: Borrow<Example>>(rows: impl ExactSizeIterator<Item = E>) -> Option<Vec<(String, usize)>> {
    let mut counts = FewValues::of(rows.len());
    for row in rows {
        counts.count(row.borrow().expected.as_ref()?)?;
    }
    counts.labels()
}

/// The labels of a task's answers, or of one field of answers that are maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The field; `None` where the label is the whole answer.
    pub field: Option<String>,
    /// Each label and how many rows have it, most frequent first.
    pub counts: Vec<(String, usize)>,
}

impl Labels {
    /// The label of a row, where it has one.
    pub fn label_of(&self, example: &Example) -> Option<String> {
        match &self.field {
            None => example.expected_label(),
            Some(field) => as_label(expected_map(example)?.get(field)?),
        }
    }
}

/// What a row is expected to be answered with, by field: one set for a task of labels (see [`labels`]); where every
/// expected answer is a map, or a text that holds one as JSON, one for each field whose values keep the same rule, by
/// the fields' names; none for any other task.
pub fn label_sets<E: Borrow<Example>>(rows: impl ExactSizeIterator<Item = E> + Clone) -> Vec<Labels> {
    if let Some(counts) = labels(rows.clone()) {
        return vec![Labels { field: None, counts }];
    }
    let total = rows.len();
    let mut fields: BTreeMap<String, Option<FewValues>> = BTreeMap::new();
    for row in rows {
        let Some(map) = expected_map(row.borrow()) else { return Vec::new() };
        for (name, value) in map.iter() {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), Some(FewValues::of(total)));
            }
            if let Some(counts) = fields.get_mut(name)
                && counts.as_mut().and_then(|counts| counts.count(value)).is_none()
            {
                *counts = None;
            }
        }
    }
    let set =
        |(name, counts): (String, Option<FewValues>)| Some(Labels { field: Some(name), counts: counts?.labels()? });
    fields.into_iter().filter_map(set).collect()
}

/// The fields of an expected answer that is a map, or a text that holds one as JSON (as in a CSV column).
fn expected_map(example: &Example) -> Option<Cow<'_, Map<String, Value>>> {
    match example.expected.as_ref()? {
        Value::Object(map) => Some(Cow::Borrowed(map)),
        Value::String(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok().map(Cow::Owned),
        _ => None,
    }
}

/// The rule of [`labels`] on the values of `total` rows, none for a row without one.
pub(super) fn few_values<'a>(
    total: usize,
    values: impl Iterator<Item = Option<&'a Value>>,
) -> Option<Vec<(String, usize)>> {
    let mut counts = FewValues::of(total);
    for value in values {
        counts.count(value?)?;
    }
    counts.labels()
}

/// The values of some rows as far as they may be labels, by the rule of [`labels`].
struct FewValues {
    /// How many rows there are.
    total: usize,
    rows: usize,
    counts: BTreeMap<String, usize>,
}

/// So many labels need no more than two rows each.
const FEW: usize = 20;

impl FewValues {
    fn of(total: usize) -> Self {
        Self { total, rows: 0, counts: BTreeMap::new() }
    }

    /// Counts the value of one row; nothing where that is no label, or one too many.
    fn count(&mut self, value: &Value) -> Option<()> {
        *self.counts.entry(as_label(value)?).or_default() += 1;
        self.rows += 1;
        (self.counts.len() <= FEW || self.counts.len() * 5 <= self.total).then_some(())
    }

    /// The labels, most frequent first, where all rows had one.
    fn labels(self) -> Option<Vec<(String, usize)>> {
        let (labels, rows) = (self.counts.len(), self.rows);
        let few = rows == self.total && labels >= 2 && (labels <= FEW && labels * 2 <= rows || labels * 5 <= rows);
        let mut labels: Vec<_> = self.counts.into_iter().collect();
        labels.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        few.then_some(labels)
    }
}

/// Without the white space around it, which tells no two labels apart.
fn as_label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            Some(text.trim()).filter(|text| text.chars().count() <= 80 && !text.contains('\n')).map(str::to_owned)
        }
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dataset(expected: impl Fn(usize) -> Value) -> PackedDataset {
        let examples: Vec<Example> = (0..100)
            .map(|at| {
                let row = json!({"id": format!("r{at}"), "input": "a", "expected": expected(at),
                                 "tags": if at % 2 == 0 { vec!["even"] } else { vec![] }, "metadata": {"n": at}});
                serde_json::from_value(row).unwrap()
            })
            .collect();
        let splits = (0..100).map(|at| Split::ALL[at % 3]).collect();
        let rows = Arc::new(examples.iter().collect());
        PackedDataset { fingerprint: super::super::fingerprint(&examples), rows, splits }
    }

    #[test]
    fn white_space_around_a_label_makes_no_other_label() {
        let labels = labels_of(|at| json!(["red", " red", "blue ", "blue"][at % 4])).unwrap();
        assert_eq!(labels, [("blue".to_owned(), 50), ("red".to_owned(), 50)]);
        let rows = dataset(|at| json!(["red", " red"][at % 2]));
        let set = Labels { field: None, counts: labels };
        assert_eq!(set.label_of(&rows.rows.get(1).unwrap()).as_deref(), Some("red"));
    }

    fn labels_of(expected: impl Fn(usize) -> Value) -> Option<Vec<(String, usize)>> {
        labels(dataset(expected).rows.iter())
    }

    fn ids(selection: &Selection, dataset: &PackedDataset) -> Vec<String> {
        selection.rows(dataset).iter().map(|example| example.id.clone()).collect()
    }

    #[test]
    fn a_selection_leaves_test_alone_unless_asked() {
        let dataset = dataset(|_| json!("x"));
        assert_eq!(Selection::default().rows(&dataset).len(), 67);
        let test = Selection { splits: vec![Split::Test], ..Selection::default() };
        assert_eq!(ids(&test, &dataset)[..2], ["r2", "r5"]);
    }

    #[test]
    fn filters_hold_all_at_once() {
        let dataset = dataset(|at| json!(if at < 50 { "low" } else { "high" }));
        let filters = ["tag=even", "expected=low"].map(|text| text.parse().unwrap()).to_vec();
        let selection = Selection { splits: Split::ALL.to_vec(), filters, limit: None };
        assert_eq!(selection.rows(&dataset).len(), 25);
        let filters = vec!["metadata.n=7".parse().unwrap()];
        assert_eq!(ids(&Selection { filters, ..selection }, &dataset), ["r7"]);
        assert!("label=x".parse::<Filter>().is_err() && "tag".parse::<Filter>().is_err());
    }

    #[test]
    fn a_larger_limit_holds_the_rows_of_a_smaller_one() {
        let dataset = dataset(|_| json!("x"));
        let limited = |limit| ids(&Selection { limit: Some(limit), ..Selection::default() }, &dataset);
        let (few, more) = (limited(5), limited(20));
        assert_eq!((few.len(), more.len()), (5, 20));
        assert!(few.iter().all(|id| more.contains(id)));
        assert_ne!(few, ids(&Selection::default(), &dataset)[..5]);
    }

    #[test]
    fn labels_are_told_from_free_answers() {
        let counts = labels_of(|at| json!(["a", "b", "c"][at % 3])).unwrap();
        assert_eq!(counts, [("a".to_owned(), 34), ("b".to_owned(), 33), ("c".to_owned(), 33)]);
        assert_eq!(labels_of(|at| json!(at % 5)).unwrap().len(), 5);
        assert!(labels_of(|at| json!(format!("answer {}", at % 40))).is_none());
        assert!(labels_of(|_| json!("always")).is_none());
        assert!(labels_of(|at| json!({"sum": at % 2})).is_none());
    }

    #[test]
    fn each_field_of_expected_maps_whose_values_are_labels_is_a_set() {
        let map = |at: usize| json!({"kind": (["a", "b"][at % 2]), "note": format!("text {at}"), "big": at < 50});
        for text in [false, true] {
            let sets = label_sets(dataset(|at| if text { json!(map(at).to_string()) } else { map(at) }).rows.iter());
            let named: Vec<_> = sets.iter().map(|set| (set.field.as_deref(), set.counts.len())).collect();
            assert_eq!(named, [(Some("big"), 2), (Some("kind"), 2)]);
            let row = dataset(map).rows.get(1).unwrap();
            assert_eq!(sets[1].label_of(&row).as_deref(), Some("b"));
        }
        assert_eq!(label_sets(dataset(|at| json!(["a", "b"][at % 2])).rows.iter())[0].field, None);
        assert_eq!(label_sets(dataset(|at| if at == 7 { json!(1.5) } else { map(at) }).rows.iter()), []);
    }
}
