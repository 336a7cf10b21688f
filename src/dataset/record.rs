//! From a raw row to an example: which column is which field, and whether it holds what it should.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::example::{Example, Split};
use super::problem::Fault;
use super::read::{RawRow, kind};
use super::source::{Columns, Fields};

/// The column of every field.
#[derive(Debug)]
pub(super) struct Mapping {
    input: Columns,
    expected: String,
    id: String,
    tags: String,
    metadata: String,
    pinned: String,
    weight: String,
    group: String,
    split: String,
    /// What the user mapped, to be found in at least one row.
    mapped: Vec<(&'static str, String)>,
}

impl Mapping {
    /// Refuses a mapping that reads two fields from one column.
    pub(super) fn new(fields: &Fields) -> Result<Self, Fault> {
        let input = fields.input.clone().unwrap_or_else(|| Columns::One("input".to_owned()));
        let mut mapped = Vec::new();
        if fields.input.is_some() {
            mapped.extend(input.names().iter().map(|column| ("input", column.clone())));
        }
        let others = [
            ("expected", &fields.expected),
            ("id", &fields.id),
            ("tags", &fields.tags),
            ("metadata", &fields.metadata),
            ("pinned", &fields.pinned),
            ("weight", &fields.weight),
            ("group", &fields.group),
            ("split", &fields.split),
        ];
        for (field, column) in others {
            mapped.extend(column.clone().map(|column| (field, column)));
        }
        let mut taken = BTreeSet::new();
        for (_, column) in &mapped {
            if !taken.insert(column.as_str()) {
                return Err(Fault::ColumnUsedTwice(column.clone()));
            }
        }
        // A column that a field was mapped to is no longer the default column of another field.
        let column = |field: &'static str, mapped: &Option<String>| match mapped {
            Some(column) => column.clone(),
            None if taken.contains(field) => String::new(),
            None => field.to_owned(),
        };
        Ok(Self {
            expected: column("expected", &fields.expected),
            id: column("id", &fields.id),
            tags: column("tags", &fields.tags),
            metadata: column("metadata", &fields.metadata),
            pinned: column("pinned", &fields.pinned),
            weight: column("weight", &fields.weight),
            group: column("group", &fields.group),
            split: column("split", &fields.split),
            input,
            mapped,
        })
    }

    /// The column of the expected answer.
    pub(super) fn expected(&self) -> &str {
        &self.expected
    }

    /// The mapped columns that no row has, each as a fault.
    pub(super) fn unknown<'a>(&'a self, known: &'a BTreeSet<String>) -> impl Iterator<Item = Fault> + 'a {
        self.mapped.iter().filter(|(_, column)| !known.contains(column)).map(|(field, column)| Fault::UnknownColumn {
            field,
            column: column.clone(),
            known: known.iter().cloned().collect(),
        })
    }

    /// The example of a row, its id empty where the row has none; or everything that is wrong with it.
    pub(super) fn example(&self, row: RawRow) -> Result<Example, Vec<Fault>> {
        let mut cells = Cells { cells: row.cells, faults: Vec::new() };
        let input = self.input(&mut cells);
        let expected = cells.take(&self.expected);
        let id = cells.name(&self.id).unwrap_or_default();
        let tags = cells.tags(&self.tags);
        let pinned = cells.flag(&self.pinned);
        let weight = cells.weight(&self.weight);
        let group = cells.name(&self.group);
        let split = cells.split(&self.split);
        let given = cells.object(&self.metadata);
        let Cells { cells: mut metadata, mut faults } = cells;
        metadata.extend(given);
        if pinned && split == Some(Split::Test) {
            faults.push(Fault::PinnedTest);
        }
        match input {
            Some(input) if faults.is_empty() => {
                Ok(Example { id, input, expected, tags, metadata, pinned, weight, group, split })
            }
            _ => Err(faults),
        }
    }

    fn input(&self, cells: &mut Cells) -> Option<Value> {
        match &self.input {
            Columns::One(column) => match cells.take(column) {
                None => cells.no_input(column.clone()),
                Some(Value::String(text)) if text.trim().is_empty() => cells.fault(Fault::EmptyInput),
                Some(Value::Object(fields)) if fields.is_empty() => cells.fault(Fault::EmptyInput),
                Some(value @ (Value::String(_) | Value::Object(_))) => Some(value),
                Some(other) => cells.wrong(column, "a text (in quotes) or an object", &other),
            },
            Columns::Several(names) => {
                let mut fields = Map::new();
                let mut any = false;
                for name in names {
                    let value = cells.take(name);
                    any |= value.is_some();
                    // An empty cell of a table is no cell: other formats get the same empty text.
                    fields.insert(name.clone(), value.unwrap_or_else(|| Value::String(String::new())));
                }
                if any { Some(Value::Object(fields)) } else { cells.no_input(names.join("`, `")) }
            }
        }
    }
}

impl Columns {
    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(column) => std::slice::from_ref(column),
            Self::Several(columns) => columns,
        }
    }
}

/// What is left of a row, and what was wrong with what has been taken out.
struct Cells {
    cells: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Cells {
    /// Takes a cell out; null is as good as absent.
    fn take(&mut self, column: &str) -> Option<Value> {
        self.cells.remove(column).filter(|value| !value.is_null())
    }

    fn fault<T>(&mut self, fault: Fault) -> Option<T> {
        self.faults.push(fault);
        None
    }

    /// To be called before other fields are taken, so that all columns are named.
    fn no_input<T>(&mut self, wanted: String) -> Option<T> {
        let columns = self.cells.keys().cloned().collect();
        self.fault(Fault::MissingInput { wanted, columns })
    }

    fn wrong<T>(&mut self, column: &str, wanted: &'static str, found: &Value) -> Option<T> {
        self.fault(Fault::WrongType { column: column.to_owned(), wanted, found: kind(found) })
    }

    /// An id or a group: a text or a whole number.
    fn name(&mut self, column: &str) -> Option<String> {
        match self.take(column)? {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            other => self.wrong(column, "a text or a whole number", &other),
        }
    }

    fn tags(&mut self, column: &str) -> Vec<String> {
        const WANTED: &str = "a list of texts, or a text with tags between `;` or `,`";
        let listed = match self.take(column) {
            None => return Vec::new(),
            Some(Value::String(text)) if text.trim_start().starts_with('[') => match serde_json::from_str(&text) {
                Ok(list @ Value::Array(_)) => list,
                _ => return self.wrong(column, WANTED, &Value::String(text)).unwrap_or_default(),
            },
            Some(Value::String(text)) => text.split([';', ',']).map(Value::from).collect(),
            Some(other) => other,
        };
        let texts = listed.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let Some(Some(texts)) = texts else {
            return self.wrong(column, WANTED, &listed).unwrap_or_default();
        };
        let mut tags = Vec::new();
        for tag in texts.into_iter().map(str::trim).filter(|tag| !tag.is_empty()) {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
        tags
    }

    fn flag(&mut self, column: &str) -> bool {
        const WANTED: &str = "true or false";
        let found = match self.take(column) {
            None => return false,
            Some(Value::Bool(flag)) => return flag,
            Some(other) => other,
        };
        // As tables write it.
        match found.as_str().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            Some("true" | "yes" | "1") => true,
            Some("false" | "no" | "0" | "") => false,
            _ => self.wrong(column, WANTED, &found).unwrap_or_default(),
        }
    }

    fn weight(&mut self, column: &str) -> f64 {
        let Some(found) = self.take(column) else { return 1.0 };
        let number = match &found {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(weight) if weight.is_finite() && weight > 0.0 => weight,
            _ => self.wrong(column, "a number above zero", &found).unwrap_or(1.0),
        }
    }

    /// A split by our names or by those of other tools.
    fn split(&mut self, column: &str) -> Option<Split> {
        let found = self.take(column)?;
        match found.as_str().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            Some("") => None,
            Some("train" | "training") => Some(Split::Train),
            Some("dev" | "val" | "valid" | "validation") => Some(Split::Dev),
            Some("test") => Some(Split::Test),
            _ => self.wrong(column, "train, dev or test", &found),
        }
    }

    fn object(&mut self, column: &str) -> Map<String, Value> {
        match self.take(column) {
            None => Map::new(),
            Some(Value::Object(object)) => object,
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(object)) => object,
                _ => self.wrong(column, "an object", &Value::String(text)).unwrap_or_default(),
            },
            Some(other) => self.wrong(column, "an object", &other).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(fields: &Fields, cells: Value) -> Result<Example, Vec<Fault>> {
        let Value::Object(cells) = cells else { panic!("cells are an object") };
        Mapping::new(fields).unwrap().example(RawRow { line: 1, cells })
    }

    #[test]
    fn columns_that_hold_no_field_become_metadata() {
        let example = read(
            &Fields::default(),
            json!({"input": "hi", "expected": "greeting", "id": 7, "channel": "email", "metadata": {"n": 1}}),
        )
        .unwrap();
        assert_eq!(example.id, "7");
        assert_eq!(Value::Object(example.metadata), json!({"channel": "email", "n": 1}));
    }

    #[test]
    fn several_columns_make_a_map_input() {
        let fields = Fields {
            input: Some(Columns::Several(vec!["subject".into(), "body".into()])),
            expected: Some("label".into()),
            ..Fields::default()
        };
        let example = read(&fields, json!({"subject": "late", "input": "other", "label": "x"})).unwrap();
        assert_eq!(example.input, json!({"subject": "late", "body": ""}));
        assert_eq!(example.expected, Some(json!("x")));
        assert_eq!(Value::Object(example.metadata), json!({"input": "other"}));
        assert!(matches!(read(&fields, json!({"label": "x"})).unwrap_err()[..], [Fault::MissingInput { .. }]));
    }

    #[test]
    fn table_cells_are_read_as_what_the_field_is() {
        let example = read(
            &Fields::default(),
            json!({"input": "a", "expected": "3", "tags": "x; y,x", "pinned": "TRUE", "weight": "2.5",
                   "split": "validation", "metadata": "{\"k\": 1}"}),
        )
        .unwrap();
        assert_eq!(example.expected, Some(json!("3")));
        assert_eq!(example.tags, ["x", "y"]);
        assert!(example.pinned);
        assert_eq!((example.weight, example.split), (2.5, Some(Split::Dev)));
        assert_eq!(example.metadata["k"], json!(1));
        let example = read(&Fields::default(), json!({"input": "a", "tags": "[\"a,b\", \"c\"]"})).unwrap();
        assert_eq!(example.tags, ["a,b", "c"]);
    }

    #[test]
    fn everything_wrong_with_a_row_is_told_at_once() {
        let faults = read(
            &Fields::default(),
            json!({"input": 5, "id": [1], "tags": {"a": 1}, "pinned": "maybe", "weight": "NaN", "group": 1.5,
                   "split": "holdout", "metadata": "x"}),
        )
        .unwrap_err();
        assert_eq!(faults.len(), 8, "{faults:?}");
        for weight in [json!(0), json!(-1), json!("inf"), json!(true)] {
            assert_eq!(read(&Fields::default(), json!({"input": "a", "weight": weight})).unwrap_err().len(), 1);
        }
        assert_eq!(read(&Fields::default(), json!({"input": " "})).unwrap_err(), [Fault::EmptyInput]);
        assert_eq!(
            read(&Fields::default(), json!({"input": "a", "pinned": true, "split": "test"})).unwrap_err(),
            [Fault::PinnedTest]
        );
    }

    #[test]
    fn two_fields_from_one_column_are_refused() {
        let fields = Fields { id: Some("a".into()), group: Some("a".into()), ..Fields::default() };
        assert_eq!(Mapping::new(&fields).unwrap_err(), Fault::ColumnUsedTwice("a".into()));
        // Mapping a field to the default column of another takes it from that one.
        let fields = Fields { id: Some("group".into()), ..Fields::default() };
        let example = read(&fields, json!({"input": "a", "group": "g"})).unwrap();
        assert_eq!((example.id.as_str(), example.group), ("g", None));
    }
}
