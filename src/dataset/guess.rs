//! Guessing which column is what in a file that no one has described yet, by names and by content.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde_json::Value;

use super::problem::{DatasetError, Problems};
use super::read::{Item, RawRow, open, read};
use super::select::few_values;
use super::source::{Columns, Fields, Format, Source};

/// Names that columns commonly have, the likelier first.
const INPUT: &[&str] = &[
    "input",
    "text",
    "question",
    "message",
    "body",
    "content",
    "query",
    "prompt",
    "sentence",
    "utterance",
    "ticket",
    "review",
    "comment",
    "email",
    "description",
    "document",
    "passage",
    "instruction",
    "user",
];
const HEADING: &[&str] = &["subject", "title", "heading", "headline"];
const EXPECTED: &[&str] = &[
    "expected",
    "label",
    "expected_output",
    "output",
    "target",
    "answer",
    "category",
    "class",
    "intent",
    "sentiment",
    "gold",
    "ground_truth",
    "reference",
    "completion",
    "response",
    "topic",
];
const ID: &[&str] = &["id", "uid", "uuid", "guid", "row_id", "example_id", "key"];
const TAGS: &[&str] = &["tags", "tag", "labels", "keywords"];
const SPLIT: &[&str] = &["split", "fold", "subset"];

/// What a file seems to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The mapping: only what differs from the default names.
    pub fields: Fields,
    /// The columns of the input; one, or a heading and a body. Empty if none was found.
    pub input: Vec<String>,
    /// The column of the expected answer, if one was found.
    pub expected: Option<String>,
    /// Labels and their rows, most frequent first, where the expected answers look like labels.
    pub labels: Option<Vec<(String, usize)>>,
    /// All columns, sorted.
    pub columns: Vec<String>,
    /// How many rows there are.
    pub rows: usize,
}

/// Reads a whole file of any of the formats and guesses. Fails where rows can't be read.
pub fn guess(source: &Source) -> Result<Guess, DatasetError> {
    let (mut input, format) = open(source)?;
    columns(&mut input, format).map(Sheet::guess).map_err(|problems| problems.into_error(&source.path))
}

/// The values of every column, none where a row lacks one.
struct Sheet {
    columns: BTreeMap<String, Vec<Option<Value>>>,
    rows: usize,
}

fn columns(input: &mut dyn BufRead, format: Format) -> Result<Sheet, Problems> {
    let mut sheet = Sheet { columns: BTreeMap::new(), rows: 0 };
    let mut problems = Problems::default();
    read(input, format, &mut |item| match item {
        Item::Header(names) => sheet.columns.extend(names.into_iter().map(|name| (name, Vec::new()))),
        Item::Bad(line, fault) => problems.add(line, fault),
        Item::Row(RawRow { cells, .. }) => {
            for (name, value) in cells.into_iter().filter(|(_, value)| !value.is_null()) {
                let column = sheet.columns.entry(name).or_default();
                column.resize(sheet.rows, None);
                column.push(Some(value));
            }
            sheet.rows += 1;
        }
    });
    for column in sheet.columns.values_mut() {
        column.resize(sheet.rows, None);
    }
    if problems.is_empty() { Ok(sheet) } else { Err(problems) }
}

impl Sheet {
    fn guess(self) -> Guess {
        let mut free: BTreeSet<String> = self.columns.keys().cloned().collect();
        let id = self.named(&mut free, ID, Self::is_unique).or_else(|| self.id_like(&mut free));
        let split = self.named(&mut free, SPLIT, Self::is_split);
        let mut expected = self.named(&mut free, EXPECTED, |_, _| true);
        let mut input: Vec<String> = self.named(&mut free, INPUT, Self::is_input).into_iter().collect();
        let tags = self.named(&mut free, TAGS, |_, _| true);
        if input.is_empty() {
            // Labels may not be called so: the one with fewest values, before the rest is searched for the input.
            expected = expected.or_else(|| self.label_like(&mut free));
            input.extend(self.longest(&mut free));
        }
        expected = expected.or_else(|| self.label_like(&mut free));
        if let Some(heading) = self.named(&mut free, HEADING, Self::is_text)
            && !input.is_empty()
        {
            input.insert(0, heading);
        }
        let other = |column: &Option<String>, field: &str| column.clone().filter(|name| name != field);
        let fields = Fields {
            input: match &input[..] {
                [] => None,
                [one] if one == "input" => None,
                [one] => Some(Columns::One(one.clone())),
                several => Some(Columns::Several(several.to_vec())),
            },
            expected: other(&expected, "expected"),
            id: other(&id, "id"),
            tags: other(&tags, "tags"),
            split: other(&split, "split"),
            ..Fields::default()
        };
        let labels = expected.as_ref().and_then(|name| few_values(self.rows, self.values(name)));
        Guess { fields, input, expected, labels, rows: self.rows, columns: self.columns.into_keys().collect() }
    }

    fn values(&self, column: &str) -> impl Iterator<Item = Option<&Value>> {
        self.columns.get(column).into_iter().flatten().map(Option::as_ref)
    }

    /// Takes the column with the first of these names, in any case, that passes.
    fn named(&self, free: &mut BTreeSet<String>, names: &[&str], fits: fn(&Self, &str) -> bool) -> Option<String> {
        let found = names.iter().find_map(|name| {
            free.iter()
                .find(|column| column.trim().to_lowercase().replace([' ', '-'], "_") == *name && fits(self, column))
        })?;
        let found = found.clone();
        free.take(&found)
    }

    fn is_unique(&self, column: &str) -> bool {
        let mut seen = BTreeSet::new();
        self.values(column).all(|value| match value {
            Some(value @ (Value::String(_) | Value::Number(_))) => seen.insert(value.to_string()),
            _ => false,
        })
    }

    fn is_text(&self, column: &str) -> bool {
        self.values(column).flatten().all(Value::is_string)
    }

    fn is_input(&self, column: &str) -> bool {
        self.values(column).flatten().all(|value| value.is_string() || value.is_object())
    }

    fn is_split(&self, column: &str) -> bool {
        let names = ["train", "training", "dev", "val", "valid", "validation", "test"];
        self.values(column)
            .flatten()
            .all(|value| value.as_str().is_some_and(|text| names.contains(&text.trim().to_ascii_lowercase().as_str())))
    }

    /// A column such as `ticket_id` with another value in each row.
    fn id_like(&self, free: &mut BTreeSet<String>) -> Option<String> {
        let found = free.iter().find(|name| name.to_lowercase().ends_with("id") && self.is_unique(name))?.clone();
        free.take(&found)
    }

    /// The column with the fewest values that could be labels.
    fn label_like(&self, free: &mut BTreeSet<String>) -> Option<String> {
        let found = free
            .iter()
            .filter_map(|name| few_values(self.rows, self.values(name)).map(|labels| (labels.len(), name.clone())))
            .min()?;
        free.take(&found.1)
    }

    /// The text column with the most characters, two a row at least.
    fn longest(&self, free: &mut BTreeSet<String>) -> Option<String> {
        let size = |name: &str| self.values(name).flatten().filter_map(Value::as_str).map(str::len).sum::<usize>();
        let found = free
            .iter()
            .filter(|name| self.is_text(name))
            .map(|name| (size(name), name.clone()))
            .filter(|(size, _)| *size > 2 * self.rows)
            .max()?;
        free.take(&found.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, format: Format) -> Guess {
        columns(&mut text.as_bytes(), format).unwrap().guess()
    }

    #[test]
    fn default_names_need_no_mapping() {
        let text = "{\"id\":\"a\",\"input\":\"hi there\",\"expected\":\"x\"}\n{\"id\":\"b\",\"input\":\"ho\",\"expected\":\"y\"}\n";
        let guess = of(text, Format::Jsonl);
        assert!(guess.fields.is_default());
        assert_eq!((guess.rows, guess.input, guess.expected.as_deref()), (2, vec!["input".into()], Some("expected")));
    }

    #[test]
    fn columns_are_found_by_name() {
        let guess =
            of("Ticket ID,Subject,Body,Category\n1,a,long text,x\n2,b,more,x\n3,c,text,y\n4,d,e,y\n", Format::Csv);
        assert_eq!(guess.fields.input, Some(Columns::Several(vec!["Subject".into(), "Body".into()])));
        assert_eq!(guess.fields.expected.as_deref(), Some("Category"));
        assert_eq!(guess.fields.id.as_deref(), Some("Ticket ID"));
        assert_eq!(guess.labels, Some(vec![("x".into(), 2), ("y".into(), 2)]));
    }

    #[test]
    fn columns_are_found_by_content_where_names_say_nothing() {
        let guess = of(
            "a,b,c\nthe card was charged twice,7,bad\nlovely,8,good\nnever again,9,bad\nfine,10,good\n",
            Format::Csv,
        );
        assert_eq!(guess.fields.input, Some(Columns::One("a".into())));
        assert_eq!(guess.fields.expected.as_deref(), Some("c"));
        assert_eq!(guess.fields.id, None);
    }
}
