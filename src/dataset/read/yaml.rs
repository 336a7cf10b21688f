//! YAML documents.

use serde_json::Value;
use serde_saphyr::Spanned;

use super::super::problem::Fault;
use super::super::source::Format;
use super::value::{Document, Strict};
use super::{Item, RawRow, shape};

/// A whole document. What is wrong with its syntax ends it, what is wrong within a row does not.
pub(super) fn document(text: &str, emit: &mut dyn FnMut(Item)) {
    if text.trim().is_empty() {
        return;
    }
    // The limits on aliases stay, against documents that unfold without end; those on plain size would refuse any
    // dataset of some 50,000 rows.
    let options = serde_saphyr::options! {
        with_snippet: false,
        // `no` is a text, as YAML 1.2 has it: a label may well be called that.
        strict_booleans: true,
        // `Strict` refuses them, in our own words.
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
    };
    let rows = match serde_saphyr::from_str_with_options::<Document<Spanned<Strict>>>(text, options) {
        Ok(Document(rows)) => rows,
        Err(error) => {
            let line = error.location().map(|place| usize::try_from(place.line()).unwrap_or(usize::MAX));
            let detail = error.to_string().lines().collect::<Vec<_>>().join(" ");
            return emit(Item::Bad(line, Fault::Syntax { format: Format::Yaml, detail }));
        }
    };
    for Spanned { value: Strict(value), referenced, .. } in rows {
        let line = usize::try_from(referenced.line()).unwrap_or(usize::MAX);
        emit(match value {
            Value::Object(cells) => Item::Row(RawRow { line, cells }),
            other => Item::Bad(Some(line), Fault::NotAnObject(shape(&other))),
        });
    }
}
