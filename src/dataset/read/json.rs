//! JSONL, streamed line by line, and JSON documents.

use std::io::BufRead;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::problem::Fault;
use super::super::source::Format;
use super::value::{Document, Strict};
use super::{Item, RawRow, newlines, not_utf8, shape};

/// One JSON object a line. Blank lines are skipped, but counted.
pub(super) fn lines(input: &mut dyn BufRead, emit: &mut dyn FnMut(Item)) {
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        match input.read_until(b'\n', &mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return emit(Item::Bad(Some(line), Fault::Io(error.to_string()))),
        }
        match std::str::from_utf8(&buffer) {
            Ok(text) if text.trim().is_empty() => {}
            // Without the newline, or an error at the end would be on the next line.
            Ok(text) => emit(row(text.trim_end(), line)),
            Err(error) => emit(Item::Bad(Some(line), not_utf8(&buffer, error.valid_up_to()))),
        }
    }
}

/// A whole document. What is wrong with its syntax ends it, what is wrong within a row does not.
pub(super) fn document(text: &str, emit: &mut dyn FnMut(Item)) {
    if text.trim().is_empty() {
        return;
    }
    let rows = match serde_json::from_str::<Document<&RawValue>>(text) {
        Ok(Document(rows)) => rows,
        Err(error) => return emit(second_of_lines(text).unwrap_or_else(|| bad(&error, 1))),
    };
    let (mut line, mut seen) = (1, 0);
    for raw in rows {
        // Rows borrow from the text: their address says where in it they begin.
        let at = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        line += text.as_bytes().get(seen..at).map_or(0, newlines);
        seen = at;
        emit(row(raw.get(), line));
    }
}

/// Where the second of two objects on lines of their own stands: a document has but one value.
fn second_of_lines(text: &str) -> Option<Item> {
    let is_object = |line: &str| matches!(serde_json::from_str(line), Ok(Strict(Value::Object(_))));
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let ((_, first), (number, second)) = (lines.next()?, lines.next()?);
    (is_object(first) && is_object(second)).then_some(Item::Bad(Some(number), Fault::LooksLikeJsonl))
}

fn row(text: &str, line: usize) -> Item {
    match serde_json::from_str(text) {
        Ok(Strict(Value::Object(cells))) => Item::Row(RawRow { line, cells }),
        Ok(Strict(other)) => Item::Bad(Some(line), Fault::NotAnObject(shape(&other))),
        Err(error) => match bad(&error, line) {
            Item::Bad(at, Fault::Syntax { format, detail }) if !text.trim_start().starts_with('{') => {
                let found: String = text.trim_start().chars().take(30).collect();
                let detail = format!("{detail}, found {found:?}; write each row as an object, {{\"input\": ...}}");
                Item::Bad(at, Fault::Syntax { format, detail })
            }
            item => item,
        },
    }
}

/// A syntax error in a text that begins on line `first`.
fn bad(error: &serde_json::Error, first: usize) -> Item {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let detail = message.strip_suffix(&place).unwrap_or(&message);
    let detail = match error.column() {
        0 => detail.to_owned(),
        column => format!("{detail} at column {column}"),
    };
    Item::Bad(Some(first + error.line().saturating_sub(1)), Fault::Syntax { format: Format::Json, detail })
}
