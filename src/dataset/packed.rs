//! Rows in little memory: an [`Example`] is made of one when it is looked at. A row takes some 25 bytes beyond its texts, an
//! example in memory more than 300.

use serde_json::{Map, Number, Value};

use super::example::{Example, Split};

/// Texts, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// The text at a place; empty beyond the last.
    pub(super) fn get(&self, at: usize) -> &str {
        bounds(&self.ends, at).and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }
}

/// Where the piece at a place begins and ends.
fn bounds(ends: &[usize], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied());
    start.zip(ends.get(at).copied())
}

/// Examples that are made when they are asked for. They stay as they were when they were added, but that ids may be
/// given anew.
#[derive(Debug, Clone, Default)]
pub struct PackedRows {
    ids: Texts,
    /// All else of each row: a byte of flags, the group, the input, and what there is of the rest.
    records: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
}

const PINNED: u8 = 1;
const SPLIT: u8 = 0b110;
const WEIGHT: u8 = 1 << 3;
const GROUP: u8 = 1 << 4;
const EXPECTED: u8 = 1 << 5;
const TAGS: u8 = 1 << 6;
const METADATA: u8 = 1 << 7;

impl PackedRows {
    /// Adds a row.
    pub fn push(&mut self, example: &Example) {
        let Example { id, input, expected, tags, metadata, pinned, weight, group, split } = example;
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        let flags = flag(PINNED, *pinned)
            | split.map_or(0, |split| (split as u8 + 1) << 1)
            | flag(WEIGHT, *weight != 1.0)
            | flag(GROUP, group.is_some())
            | flag(EXPECTED, expected.is_some())
            | flag(TAGS, !tags.is_empty())
            | flag(METADATA, !metadata.is_empty());
        self.ids.push(id);
        let mut record = Record(&mut self.records);
        record.0.push(flags);
        if let Some(group) = group {
            record.text(group);
        }
        record.value(input);
        if let Some(expected) = expected {
            record.value(expected);
        }
        if !tags.is_empty() {
            record.number(tags.len() as u64);
            tags.iter().for_each(|tag| record.text(tag));
        }
        if !metadata.is_empty() {
            record.map(metadata);
        }
        if *weight != 1.0 {
            record.0.extend(weight.to_le_bytes());
        }
        self.ends.push(self.records.len());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The row at a place, from 0; none beyond the last.
    pub fn get(&self, at: usize) -> Option<Example> {
        let mut reader = self.reader(at)?;
        let flags = reader.byte();
        let has = |flag: u8| flags & flag != 0;
        let group = has(GROUP).then(|| reader.text().to_owned());
        let input = reader.value();
        let expected = has(EXPECTED).then(|| reader.value());
        let tags = if has(TAGS) { reader.count() } else { 0 };
        let tags = (0..tags).map(|_| reader.text().to_owned()).collect();
        let metadata = if has(METADATA) { reader.map() } else { Map::new() };
        let weight = if has(WEIGHT) { f64::from_le_bytes(reader.eight()) } else { 1.0 };
        let (pinned, split) = (has(PINNED), split_of(flags));
        Some(Example { id: self.id(at).to_owned(), input, expected, tags, metadata, pinned, weight, group, split })
    }

    /// All rows in order, each made as the iterator comes to it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Example> + Clone + '_ {
        // There is a row at every place.
        (0..self.len()).map(|at| self.get(at).unwrap_or_else(nothing))
    }

    /// The id of the row at a place; empty beyond the last.
    pub fn id(&self, at: usize) -> &str {
        self.ids.get(at)
    }

    /// Whether the row at a place is pinned.
    pub fn is_pinned(&self, at: usize) -> bool {
        self.flags(at) & PINNED != 0
    }

    /// The group of the row at a place.
    pub(super) fn group(&self, at: usize) -> Option<&str> {
        let mut reader = self.reader(at)?;
        (reader.byte() & GROUP != 0).then(|| reader.text())
    }

    /// The split that the row at a place names for itself.
    pub(super) fn split(&self, at: usize) -> Option<Split> {
        split_of(self.flags(at))
    }

    /// The places of all rows, by ascending ids.
    pub fn by_id(&self) -> Vec<u32> {
        let mut places: Vec<u32> = (0..).take(self.len()).collect();
        places.sort_by(|one, other| self.id(*one as usize).cmp(self.id(*other as usize)));
        places
    }

    /// The same rows with other ids, one a row.
    pub(super) fn named(self, ids: Texts) -> Self {
        Self { ids, ..self }
    }

    fn flags(&self, at: usize) -> u8 {
        self.reader(at).map_or(0, |mut reader| reader.byte())
    }

    fn reader(&self, at: usize) -> Option<Reader<'_>> {
        let (start, end) = bounds(&self.ends, at)?;
        self.records.get(start..end).map(Reader)
    }
}

impl<'e> FromIterator<&'e Example> for PackedRows {
    fn from_iter<I: IntoIterator<Item = &'e Example>>(examples: I) -> Self {
        let mut rows = Self::default();
        examples.into_iter().for_each(|example| rows.push(example));
        rows
    }
}

fn split_of(flags: u8) -> Option<Split> {
    usize::from((flags & SPLIT) >> 1).checked_sub(1).and_then(|at| Split::ALL.get(at)).copied()
}

fn nothing() -> Example {
    Example {
        id: String::new(),
        input: Value::Null,
        expected: None,
        tags: Vec::new(),
        metadata: Map::new(),
        pinned: false,
        weight: 1.0,
        group: None,
        split: None,
    }
}

/// What a value begins with.
const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NATURAL: u8 = 3;
const INTEGER: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

/// Writes at the end of the records.
struct Record<'a>(&'a mut Vec<u8>);

impl Record<'_> {
    /// Seven bits a byte, the lowest first (LEB128).
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn map(&mut self, map: &Map<String, Value>) {
        self.number(map.len() as u64);
        for (key, value) in map {
            self.text(key);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(NULL),
            Value::Bool(false) => self.0.push(FALSE),
            Value::Bool(true) => self.0.push(TRUE),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(natural), _) => {
                    self.0.push(NATURAL);
                    self.number(natural);
                }
                (None, Some(integer)) => {
                    self.0.push(INTEGER);
                    self.0.extend(integer.to_le_bytes());
                }
                (None, None) => {
                    self.0.push(FLOAT);
                    self.0.extend(number.as_f64().unwrap_or_default().to_le_bytes());
                }
            },
            Value::String(text) => {
                self.0.push(TEXT);
                self.text(text);
            }
            Value::Array(list) => {
                self.0.push(LIST);
                self.number(list.len() as u64);
                list.iter().for_each(|value| self.value(value));
            }
            Value::Object(map) => {
                self.0.push(MAP);
                self.map(map);
            }
        }
    }
}

/// Reads what [`Record`] wrote. Beyond the end there are zeros and empty texts.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn eight(&mut self) -> [u8; 8] {
        self.take(8).try_into().unwrap_or_default()
    }

    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// How many pieces follow; each takes a byte at least.
    fn count(&mut self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len())
    }

    fn text(&mut self) -> &'a str {
        let length = self.count();
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }

    fn map(&mut self) -> Map<String, Value> {
        let entries = self.count();
        (0..entries).map(|_| (self.text().to_owned(), self.value())).collect()
    }

    fn value(&mut self) -> Value {
        match self.byte() {
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NATURAL => self.number().into(),
            INTEGER => i64::from_le_bytes(self.eight()).into(),
            FLOAT => Number::from_f64(f64::from_le_bytes(self.eight())).map_or(Value::Null, Value::Number),
            TEXT => self.text().into(),
            LIST => {
                let items = self.count();
                (0..items).map(|_| self.value()).collect()
            }
            MAP => Value::Object(self.map()),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn example() -> impl Strategy<Value = Example> {
        let plain = (any::<String>(), value(), prop::option::of(value()), prop::collection::vec(any::<String>(), 0..3));
        let rare = (
            prop::collection::btree_map(any::<String>(), value(), 0..3),
            any::<bool>(),
            prop_oneof![Just(1.0), 0.001..1e9_f64],
            prop::option::of(any::<String>()),
            prop::option::of(prop::sample::select(Split::ALL.to_vec())),
        );
        (plain, rare).prop_map(|((id, input, expected, tags), (metadata, pinned, weight, group, split))| Example {
            metadata: metadata.into_iter().collect(),
            ..Example { id, input, expected, tags, metadata: Map::new(), pinned, weight, group, split }
        })
    }

    proptest! {
        #[test]
        fn a_row_comes_out_as_it_went_in(examples in prop::collection::vec(example(), 0..6)) {
            let rows: PackedRows = examples.iter().collect();
            prop_assert_eq!(rows.iter().collect::<Vec<_>>(), &examples[..]);
            for (at, example) in examples.iter().enumerate() {
                prop_assert_eq!(rows.id(at), &example.id);
                prop_assert_eq!(rows.group(at), example.group.as_deref());
                prop_assert_eq!((rows.is_pinned(at), rows.split(at)), (example.pinned, example.split));
            }
            prop_assert_eq!(rows.get(examples.len()), None);
            let mut sorted = examples;
            sorted.sort_by(|one, other| one.id.cmp(&other.id));
            let by_id: Vec<Example> = rows.by_id().iter().filter_map(|at| rows.get(*at as usize)).collect();
            prop_assert_eq!(by_id, sorted);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let rows = PackedRows { ids: Texts::default(), ends: vec![bytes.len()], records: bytes };
            rows.get(0);
        }
    }

    #[test]
    fn a_row_of_a_short_text_takes_few_bytes_beyond_it() {
        let example: Example =
            serde_json::from_value(json!({"id": "a", "input": "text", "expected": "label"})).unwrap();
        let rows: PackedRows = std::iter::repeat_n(&example, 100).collect();
        assert_eq!(rows.records.len(), 100 * (1 + 2 + "text".len() + 2 + "label".len()));
    }
}
