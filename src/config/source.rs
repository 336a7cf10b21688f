//! The text of a config and the overrides, as one tree of values that still knows where each was written.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Cause, ConfigError, Place, Problem};

/// A config file with the overrides applied.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    document: Spanned<DeTable<'a>>,
    /// The key as it was given, and its parts; later ones win.
    overrides: Vec<(&'a str, Vec<String>)>,
    /// All values. `null` stands for what JSON can't hold: NaN, infinity, an integer beyond 64 bits.
    pub(super) root: Value,
}

/// Which part of an entry a problem is about.
#[derive(Clone, Copy)]
pub(super) enum At {
    Key,
    Value,
}

impl<'a> Source<'a> {
    /// Reads `text` and applies the overrides in order.
    pub(super) fn parse(file: &'a str, text: &'a str, overrides: &'a [(String, String)]) -> Result<Self, ConfigError> {
        let document = DeTable::parse(text).map_err(|error| {
            let place = position(file, text, error.span().map_or(0, |span| span.start));
            let message = format!("not valid TOML: {}", error.message().trim_end().replace('\n', ", "));
            Problem { place, key: String::new(), cause: Cause::Syntax(message) }
        })?;
        let mut source = Self {
            file,
            text,
            root: table_value(document.get_ref()),
            document,
            overrides: Vec::with_capacity(overrides.len()),
        };
        for (key, value) in overrides {
            source.apply(key, value).map_err(|message| Problem {
                place: Place::Override(key.clone()),
                key: key.clone(),
                cause: Cause::Syntax(message),
            })?;
        }
        Ok(source)
    }

    fn apply(&mut self, key: &'a str, text: &str) -> Result<(), String> {
        let path = key_parts(key).ok_or_else(|| {
            format!("`{key}` is not a dotted key; write it like `search.generations` or `scorers.0.weight`")
        })?;
        // Anything that isn't TOML is a bare string, so that the shell needs no second layer of quotes.
        let value = DeValue::parse(text).map_or_else(|_| Value::String(text.to_owned()), |value| json(value.get_ref()));
        *entry(&mut self.root, &path)? = value;
        self.overrides.push((key, path));
        Ok(())
    }

    /// Where the entry at `path` was written; for one that isn't there, the innermost table around it that is.
    pub(super) fn place(&self, path: &[String], at: At) -> Place {
        if let Some((key, _)) = self.overrides.iter().rev().find(|(_, parts)| path.starts_with(parts)) {
            return Place::Override((*key).to_owned());
        }
        let (depth, span) = self.span(path, at);
        if depth < path.len()
            && let Some((key, _)) = self.overrides.iter().rev().find(|(_, parts)| parts.starts_with(&path[..=depth]))
        {
            return Place::Override((*key).to_owned());
        }
        position(self.file, self.text, span.start)
    }

    /// How many parts of `path` are in the document, and the span of the last of them.
    fn span(&self, path: &[String], at: At) -> (usize, Range<usize>) {
        let mut span = 0..0;
        let mut table = Some(self.document.get_ref());
        let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
        for (depth, part) in path.iter().enumerate() {
            let found = match (table, array) {
                (Some(table), _) => table.get_key_value(part.as_str()).map(|(key, value)| (key.span(), value)),
                (None, Some(items)) => {
                    part.parse().ok().and_then(|index: usize| items.get(index)).map(|value| (value.span(), value))
                }
                (None, None) => None,
            };
            let Some((key, value)) = found else { return (depth, span) };
            // A key stands for its table: the table's own span may begin anywhere, dotted keys have none.
            let of_value = matches!(at, At::Value) && depth + 1 == path.len() && !value.get_ref().is_table();
            span = if of_value { value.span() } else { key };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array().map(|items| &**items);
        }
        (path.len(), span)
    }
}

/// The parts of a dotted key, with TOML's rules for quoted parts.
fn key_parts(key: &str) -> Option<Vec<String>> {
    if key.contains(['=', '#', '\n', '\r']) {
        return None;
    }
    let line = format!("{key} = 0");
    let document = DeTable::parse(&line).ok()?;
    let mut table = document.get_ref();
    let mut parts = Vec::new();
    loop {
        let (part, value) = table.iter().next()?;
        parts.push(part.get_ref().to_string());
        match value.get_ref().as_table() {
            Some(inner) => table = inner,
            None => return Some(parts),
        }
    }
}

/// The entry at `path`, made where it is absent; a part that is a number is a place in an array, or the next one.
fn entry<'v>(root: &'v mut Value, path: &[String]) -> Result<&'v mut Value, String> {
    let mut value = root;
    for (depth, part) in path.iter().enumerate() {
        if value.is_null() {
            *value = if part == "0" { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        value = match value {
            Value::Object(table) => table.entry(part).or_insert(Value::Null),
            Value::Array(items) => {
                let length = items.len();
                let index = part.parse::<usize>().ok().filter(|index| *index <= length).ok_or_else(|| {
                    format!("`{}` is a list of {length}; `{part}` is no place in it", path[..depth].join("."))
                })?;
                if index == length {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            other => return Err(format!("`{}` is {other}, which has no key `{part}`", path[..depth].join("."))),
        };
    }
    Ok(value)
}

fn table_value(table: &DeTable<'_>) -> Value {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect::<Map<_, _>>().into()
}

/// A TOML value as JSON; dates become strings.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table_value(table),
    }
}

/// Line and column of a byte offset.
fn position(file: &str, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place::File {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
