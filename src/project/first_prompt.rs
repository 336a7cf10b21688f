//! The plain first draft of a prompt, for data that no one has written one for yet.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::dataset::PackedDataset;
use crate::prompt::escape_literal;

/// Where the prompt of the project `name` goes.
pub(super) fn prompt_file(name: &str) -> PathBuf {
    format!("prompts/{name}.prompty").into()
}

/// An instruction that fits the expected answers, then the row's input; `columns` are those of the input in the order
/// in which to show them.
pub(super) fn first_prompt(dataset: &PackedDataset, labels: Option<&[(String, usize)]>, columns: &[String]) -> String {
    let instruction = match labels {
        Some(labels) => {
            let list: String = labels.iter().map(|(label, _)| format!("- {}\n", escape_literal(label))).collect();
            format!(
                "Classify the text into one of these categories:\n\n{list}\nRespond with only the category name, \
                 nothing else."
            )
        }
        None => free_instruction(dataset),
    };
    format!("user:\n{instruction}\n\n{}\n", input(dataset, columns))
}

/// What to ask for where the answers are no labels.
fn free_instruction(dataset: &PackedDataset) -> String {
    let expected: Vec<Value> = dataset.rows.iter().filter_map(|example| example.expected).collect();
    if expected.is_empty() || expected.len() < dataset.rows.len() {
        return "Answer the following.".to_owned();
    }
    if let Some(fields) = fields(&expected) {
        let list: String = fields.iter().map(|field| format!("- {}\n", escape_literal(field))).collect();
        return format!(
            "Read the following and fill in these fields:\n\n{list}\nRespond with only a JSON object that has these \
             fields, nothing else."
        );
    }
    if expected.iter().all(Value::is_array) {
        return "Answer the following. Respond with only the items of the answer, between commas, nothing else."
            .to_owned();
    }
    "Answer the following. Respond with only the answer, nothing else.".to_owned()
}

/// The row's input: as it is, or field by field.
fn input(dataset: &PackedDataset, columns: &[String]) -> String {
    let inputs: Vec<Value> = dataset.rows.iter().map(|example| example.input).collect();
    match fields(&inputs) {
        Some(mut fields) => {
            fields.sort_by_key(|field| columns.iter().position(|column| column == field));
            let line = |field: &&str| format!("{}: {{{{ {} }}}}", escape_literal(field), place(field));
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        None => "Text: {{ input }}".to_owned(),
    }
}

/// How a template reads a field: `input.body`, or `input["the body"]` where the name is no word.
fn place(field: &str) -> String {
    let is_word = field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_word { format!("input.{field}") } else { format!("input[{}]", Value::from(field)) }
}

/// The fields that every value has, where all are maps, in the order of the first.
fn fields(values: &[Value]) -> Option<Vec<&str>> {
    let maps: Vec<_> = values.iter().map(Value::as_object).collect::<Option<_>>()?;
    let (first, others) = maps.split_first()?;
    let mut common: BTreeSet<&str> = first.keys().map(String::as_str).collect();
    for map in others {
        common.retain(|name| map.contains_key(*name));
    }
    let fields: Vec<&str> = first.keys().map(String::as_str).filter(|field| common.contains(field)).collect();
    (!fields.is_empty()).then_some(fields)
}
