//! Guessing which column is what in a file that no one has described yet, by names and by content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
    "queue",
];
const ID: &[&str] = &["id", "uid", "uuid", "guid", "row_id", "example_id", "key"];
const TAGS: &[&str] = &["tags", "tag", "labels", "keywords"];
const SPLIT: &[&str] = &["split", "fold", "subset"];

/// Columns of these names are what they are called, and need no guess.
const OWN_NAMES: &[&str] = &["id", "tags", "split", "metadata", "pinned", "weight", "group"];

/// From so many words on, a name is none.
const WORDS_OF_A_SENTENCE: usize = 5;

/// A column's name as the lists above have it.
fn as_name(column: &str) -> String {
    column.trim().to_lowercase().replace([' ', '-'], "_")
}

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
    /// What the file seems to have wrong.
    pub doubts: Vec<Doubt>,
}

/// Something that a person should look at in a file before what is guessed from it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The first line, which names the columns, looks like a row of data.
    NoHeader {
        /// What the columns are called for it.
        names: Vec<String>,
    },
    /// Labels that are equal but for upper and lower case.
    LabelsAlike {
        /// Each of them, as often as it is spelled differently.
        spellings: Vec<Vec<String>>,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader { names } => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                write!(
                    f,
                    "the first line names the columns, and looks like a row of data ({}), which is then lost: put a line \
                     with names above it, as input,expected",
                    names.join(", ")
                )
            }
            Self::LabelsAlike { spellings } => {
                let alike: Vec<String> = spellings.iter().map(|labels| labels.join(" = ")).collect();
                write!(
                    f,
                    "labels are equal but for upper and lower case ({}): spell each one way, or write `ignore_case = true` \
                     in [[scorers]] and keep one of each in the prompt",
                    alike.join(", ")
                )
            }
        }
    }
}

impl Guess {
    /// The columns that no field takes: they become metadata.
    pub fn others(&self) -> Vec<&str> {
        let named = [&self.fields.id, &self.fields.tags, &self.fields.split, &self.expected];
        let named: Vec<&String> = named.into_iter().flatten().chain(&self.input).collect();
        let is_other = |column: &&String| !named.contains(column) && !OWN_NAMES.contains(&column.as_str());
        self.columns.iter().filter(is_other).map(String::as_str).collect()
    }
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
    /// The names in a header line, in its order; none where the format has no such line.
    header: Vec<String>,
}

fn columns(input: &mut dyn BufRead, format: Format) -> Result<Sheet, Problems> {
    let mut sheet = Sheet { columns: BTreeMap::new(), rows: 0, header: Vec::new() };
    let mut problems = Problems::default();
    read(input, format, &mut |item| match item {
        Item::Header(names) => {
            sheet.columns.extend(names.iter().map(|name| (name.clone(), Vec::new())));
            sheet.header = names;
        }
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
        let doubts = self.doubts(labels.as_deref());
        Guess { fields, input, expected, labels, rows: self.rows, columns: self.columns.into_keys().collect(), doubts }
    }

    fn doubts(&self, labels: Option<&[(String, usize)]>) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let is_doubtful = |name: &String| self.is_value(name) || name.split_whitespace().count() >= WORDS_OF_A_SENTENCE;
        if !self.has_usual_name() && self.header.iter().any(is_doubtful) {
            doubts.push(Doubt::NoHeader { names: self.header.clone() });
        }
        let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (label, _) in labels.unwrap_or_default() {
            alike.entry(label.to_lowercase()).or_default().push(label.clone());
        }
        let spellings: Vec<_> = alike.into_values().filter(|spellings| spellings.len() > 1).collect();
        if !spellings.is_empty() {
            doubts.push(Doubt::LabelsAlike { spellings });
        }
        doubts
    }

    /// Whether a column is called as what stands in it, or as a number.
    fn is_value(&self, column: &str) -> bool {
        column.parse::<f64>().is_ok()
            || self.values(column).flatten().any(|value| value.as_str().is_some_and(|text| text.trim() == column))
    }

    fn has_usual_name(&self) -> bool {
        let usual = [INPUT, HEADING, EXPECTED, ID, TAGS, SPLIT].concat();
        self.header.iter().any(|name| usual.contains(&as_name(name).as_str()))
    }

    fn values(&self, column: &str) -> impl Iterator<Item = Option<&Value>> {
        self.columns.get(column).into_iter().flatten().map(Option::as_ref)
    }

    /// Takes the column with the first of these names, in any case, that passes.
    fn named(&self, free: &mut BTreeSet<String>, names: &[&str], fits: fn(&Self, &str) -> bool) -> Option<String> {
        let found =
            names.iter().find_map(|name| free.iter().find(|column| as_name(column) == *name && fits(self, column)))?;
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

    /// Mostly texts or objects: of the odd row that isn't, the loader says where it is.
    fn is_input(&self, column: &str) -> bool {
        let fits = self.values(column).flatten().filter(|value| value.is_string() || value.is_object()).count();
        2 * fits >= self.values(column).flatten().count()
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
    fn columns_that_no_field_takes_are_the_others() {
        let text = "Ticket ID,Sent,Body,Queue,Urgency,pinned\n1,May,long text,x,1,true\n2,June,more,x,2,\n";
        let guess = of(text, Format::Csv);
        assert_eq!((guess.expected.as_deref(), guess.others()), (Some("Queue"), vec!["Sent", "Urgency"]));
    }

    #[test]
    fn a_first_line_that_looks_like_a_row_is_doubted() {
        let doubted = |text: &str| matches!(of(text, Format::Csv).doubts[..], [Doubt::NoHeader { .. }]);
        assert!(doubted("the rose was bright,red\nthe sky was clear,blue\nfire,red\nsea,blue\nice,blue\n"));
        assert!(doubted("what is the capital of france,Paris\nand of italy,Rome\n"));
        assert!(doubted("4,some text\n5,more text\n"));
        assert!(!doubted("text,label\nred,red\nthe label,blue\n"));
        assert!(!doubted("id,Which of our desks should answer this message?\n1,lending\n2,spaces\n"));
    }

    #[test]
    fn labels_that_differ_by_case_are_doubted_and_white_space_is_nothing() {
        let guess = of("text,label\na,red\nb, Red\nc,red \nd,blue\ne,blue\nf,Red\n", Format::Csv);
        assert_eq!(guess.labels, Some(vec![("Red".into(), 2), ("blue".into(), 2), ("red".into(), 2)]));
        assert_eq!(guess.doubts, [Doubt::LabelsAlike { spellings: vec![vec!["Red".into(), "red".into()]] }]);
    }

    #[test]
    fn one_odd_input_does_not_hide_the_column() {
        let text = "{\"input\": \"a\"}\n{\"input\": 5}\n{\"input\": \"b\"}\n";
        assert_eq!(of(text, Format::Jsonl).input, ["input"]);
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
