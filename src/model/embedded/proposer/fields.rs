//! Answers in JSON: one field of them, taken by itself, is a task of labels like any other.

use serde_json::{Map, Value};

use super::request::{Ask, Row};

/// A field of the answers, as the request's `## Fields` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// The values that rows are expected to have.
    pub(super) values: Vec<String>,
}

/// What stands between a field's name and its values.
const MARK: &str = ", train rows by value: ";

/// The fields of `- <name>, train rows by value: {"<value>": <count>, ..}` lines.
pub(super) fn read(lines: &[&str]) -> Vec<Field> {
    let field = |line: &&str| {
        let (name, counts) = line.trim().strip_prefix("- ")?.split_once(MARK)?;
        let counts: Map<String, Value> = serde_json::from_str(counts).ok()?;
        Some(Field { name: name.to_owned(), values: counts.into_iter().map(|(value, _)| value).collect() })
    };
    lines.iter().filter_map(field).collect()
}

impl Ask {
    /// The ask narrowed to one field: its values are the labels, and what counts as failing are the rows in which it is
    /// wrong. The field that is wrong most often in a cluster; of the task as a whole, and where no field is wrong, the
    /// fields take turns by the variant.
    pub(super) fn narrowed(mut self) -> Self {
        let wrong = |field: &Field| {
            let rows = self.failing.iter();
            rows.filter(|row| value_in(&row.expected, &field.name) != value_in(&row.answered, &field.name)).count()
        };
        let mut fields: Vec<(usize, &Field)> = self.fields.iter().map(|field| (wrong(field), field)).collect();
        fields.sort_by_key(|(wrong, _)| std::cmp::Reverse(*wrong));
        let mistaken = fields.iter().take_while(|(wrong, _)| *wrong > 0).count();
        let turns = if mistaken == 0 { fields.len() } else { mistaken };
        let turn = if self.is_whole || mistaken == 0 { self.variant as usize % turns.max(1) } else { 0 };
        let Some((wrong, field)) = fields.get(turn).map(|(wrong, field)| (*wrong, (*field).clone())) else {
            return self;
        };
        let others: Vec<String> =
            self.fields.iter().map(|other| other.name.clone()).filter(|other| *other != field.name).collect();
        let narrow = |rows: &mut Vec<Row>| {
            for row in rows {
                row.elsewhere = others.iter().map(|other| value_in(&row.expected, other)).collect();
                row.whole.clone_from(&row.expected);
                row.expected = value_in(&row.expected, &field.name);
                row.answered = value_in(&row.answered, &field.name);
            }
        };
        narrow(&mut self.failing);
        narrow(&mut self.passing);
        narrow(&mut self.train);
        if wrong > 0 {
            let (failing, others) = self.failing.into_iter().partition(|row| row.expected != row.answered);
            self.failing = failing;
            self.passing.extend::<Vec<Row>>(others);
        }
        self.labels.clone_from(&field.values);
        self.field = Some(field.name);
        self
    }
}

/// The value of field `name` in the JSON object that `answer` is, or holds among other text; else nothing.
pub(super) fn value_in(answer: &str, name: &str) -> String {
    let object = answer.find('{').zip(answer.rfind('}')).and_then(|(start, end)| answer.get(start..=end));
    let object: Option<Map<String, Value>> = object.and_then(|object| serde_json::from_str(object).ok());
    match object.as_ref().and_then(|fields| fields.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(expected: &str, answered: &str) -> Row {
        let object = |values: &str| {
            let (size, mood) = values.split_once(' ').unwrap();
            serde_json::json!({"size": size, "mood": mood}).to_string()
        };
        Row { expected: object(expected), answered: format!("```json\n{}\n```", object(answered)), ..Row::default() }
    }

    fn ask(failing: &[(&str, &str)], is_whole: bool, variant: u64) -> Ask {
        let fields = read(&[
            "- mood, train rows by value: {\"calm\":4,\"angry\":2}",
            "- size, train rows by value: {\"big\":3,\"small\":3}",
            "- none of these",
        ]);
        let failing = failing.iter().map(|(expected, answered)| row(expected, answered)).collect();
        Ask { failing, fields, is_whole, variant, ..Ask::default() }.narrowed()
    }

    #[test]
    fn a_cluster_is_about_the_field_that_is_wrong_most_often() {
        let failing = [("big calm", "big angry"), ("big calm", "small angry"), ("small calm", "big calm")];
        let mood = ask(&failing[..2], false, 1);
        assert_eq!((mood.field.as_deref(), mood.labels.len()), (Some("mood"), 2));
        assert!(mood.failing.iter().all(|row| row.expected == "calm" && row.answered == "angry"));
        assert!(mood.failing[0].whole.contains("\"size\":\"big\""));
        let size = ask(&failing[1..], false, 0);
        assert_eq!((size.field.as_deref(), size.failing.len(), size.passing.len()), (Some("size"), 2, 0));
        let whole: Vec<_> = (0..3).map(|variant| ask(&failing, true, variant).field.unwrap()).collect();
        assert_eq!(whole, ["mood", "size", "mood"]);
    }

    #[test]
    fn where_no_field_is_wrong_the_fields_take_turns_and_all_rows_stay() {
        let rows = [("big calm", "big calm"), ("small angry", "small angry")];
        let asks: Vec<_> = (0..2).map(|variant| ask(&rows, false, variant)).collect();
        assert_eq!(asks[0].failing.len(), 2);
        assert_eq!(asks.iter().filter_map(|ask| ask.field.as_deref()).collect::<Vec<_>>(), ["mood", "size"]);
        assert_eq!(Ask::default().narrowed(), Ask::default());
    }
}
