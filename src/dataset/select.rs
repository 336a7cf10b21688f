//! Looking at part of a dataset: by split, by filter, or the first few rows of a fixed shuffle. And its labels.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::example::{Dataset, Example, Split, plain_text};
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
    pub fn rows(&self, dataset: &Dataset) -> Vec<Arc<Example>> {
        let mut places: Vec<usize> = (0..dataset.examples.len())
            .filter(|at| self.splits.contains(&dataset.splits[*at]))
            .filter(|at| self.filters.iter().all(|filter| filter.accepts(&dataset.examples[*at])))
            .collect();
        if let Some(limit) = self.limit {
            places = sample(dataset, places, limit);
        }
        places.into_iter().map(|at| Arc::clone(&dataset.examples[at])).collect()
    }
}

/// At most `limit` of the rows at `places` (ascending): those whose ids come first when sorted by their hash.
pub(super) fn sample(dataset: &Dataset, mut places: Vec<usize>, limit: usize) -> Vec<usize> {
    if limit < places.len() {
        places.sort_by_cached_key(|at| Digest::of_parts([b"limit".as_slice(), dataset.examples[*at].id.as_bytes()]));
        places.truncate(limit);
        places.sort_unstable();
    }
    places
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
            Self::Expected(text) => example.expected_text().is_some_and(|expected| expected == *text),
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
pub fn labels(dataset: &Dataset) -> Option<Vec<(String, usize)>> {
    few_values(dataset.examples.iter().map(|example| example.expected.as_ref()))
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
            None => example.expected_text(),
            Some(field) => as_label(expected_map(example)?.get(field)?),
        }
    }
}

/// What a row is expected to be answered with, by field: one set for a task of labels (see [`labels`]); where every
/// expected answer is a map, or a text that holds one as JSON, one for each field whose values keep the same rule, by
/// the fields' names; none for any other task.
pub fn label_sets(dataset: &Dataset) -> Vec<Labels> {
    if let Some(counts) = labels(dataset) {
        return vec![Labels { field: None, counts }];
    }
    let maps: Option<Vec<_>> = dataset.examples.iter().map(|example| expected_map(example)).collect();
    let Some(maps) = maps else { return Vec::new() };
    let names: BTreeSet<&String> = maps.iter().flat_map(|map| map.keys()).collect();
    let set = |name: &String| {
        let counts = few_values(maps.iter().map(|map| map.get(name)))?;
        Some(Labels { field: Some(name.clone()), counts })
    };
    names.into_iter().filter_map(set).collect()
}

/// The fields of an expected answer that is a map, or a text that holds one as JSON (as in a CSV column).
fn expected_map(example: &Example) -> Option<Cow<'_, Map<String, Value>>> {
    match example.expected.as_ref()? {
        Value::Object(map) => Some(Cow::Borrowed(map)),
        Value::String(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok().map(Cow::Owned),
        _ => None,
    }
}

/// The rule of [`labels`] on any values, none for a row without one.
pub(super) fn few_values<'a>(values: impl Iterator<Item = Option<&'a Value>>) -> Option<Vec<(String, usize)>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = 0;
    for value in values {
        *counts.entry(as_label(value?)?).or_default() += 1;
        rows += 1;
    }
    let few = counts.len() >= 2 && (counts.len() <= 20 && counts.len() * 2 <= rows || counts.len() * 5 <= rows);
    let mut labels: Vec<_> = counts.into_iter().collect();
    labels.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    few.then_some(labels)
}

fn as_label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| text.chars().count() <= 80 && !text.contains('\n')),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dataset(expected: impl Fn(usize) -> Value) -> Dataset {
        let examples: Vec<Arc<Example>> = (0..100)
            .map(|at| {
                let row = json!({"id": format!("r{at}"), "input": "a", "expected": expected(at),
                                 "tags": if at % 2 == 0 { vec!["even"] } else { vec![] }, "metadata": {"n": at}});
                Arc::new(serde_json::from_value(row).unwrap())
            })
            .collect();
        let splits = (0..100).map(|at| Split::ALL[at % 3]).collect();
        Dataset { fingerprint: super::super::fingerprint(&examples), examples, splits }
    }

    fn ids(selection: &Selection, dataset: &Dataset) -> Vec<String> {
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
        let counts = labels(&dataset(|at| json!(["a", "b", "c"][at % 3]))).unwrap();
        assert_eq!(counts, [("a".to_owned(), 34), ("b".to_owned(), 33), ("c".to_owned(), 33)]);
        assert_eq!(labels(&dataset(|at| json!(at % 5))).unwrap().len(), 5);
        assert!(labels(&dataset(|at| json!(format!("answer {}", at % 40)))).is_none());
        assert!(labels(&dataset(|_| json!("always"))).is_none());
        assert!(labels(&dataset(|at| json!({"sum": at % 2}))).is_none());
    }

    #[test]
    fn each_field_of_expected_maps_whose_values_are_labels_is_a_set() {
        let map = |at: usize| json!({"kind": (["a", "b"][at % 2]), "note": format!("text {at}"), "big": at < 50});
        for text in [false, true] {
            let sets = label_sets(&dataset(|at| if text { json!(map(at).to_string()) } else { map(at) }));
            let named: Vec<_> = sets.iter().map(|set| (set.field.as_deref(), set.counts.len())).collect();
            assert_eq!(named, [(Some("big"), 2), (Some("kind"), 2)]);
            let row = &dataset(map).examples[1];
            assert_eq!(sets[1].label_of(row).as_deref(), Some("b"));
        }
        assert_eq!(label_sets(&dataset(|at| json!(["a", "b"][at % 2])))[0].field, None);
        assert_eq!(label_sets(&dataset(|at| if at == 7 { json!(1.5) } else { map(at) })), []);
    }
}
