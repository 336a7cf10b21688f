//! Readers: from bytes in one of the five formats to raw rows with line numbers. What the columns mean is not known
//! here. A reader never fails as a whole: it emits what it can read and a problem for what it can't.

mod json;
mod table;
mod value;
mod yaml;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};

use serde_json::{Map, Value};

use super::problem::{DatasetError, Fault};
use super::source::{Format, Source};

/// One row as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawRow {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Column to value. Empty cells of CSV and TSV are left out.
    pub cells: Map<String, Value>,
}

/// What a reader finds, in file order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// The columns of a header line.
    Header(Vec<String>),
    /// A row.
    Row(RawRow),
    /// Something that could not be read, and the line of it.
    Bad(Option<usize>, Fault),
}

/// Opens the file of a source.
pub(super) fn open(source: &Source) -> Result<(BufReader<File>, Format), DatasetError> {
    let format = Format::of(&source.path).ok_or_else(|| {
        let extension = source.path.extension().map(|name| format!(".{}", name.display())).unwrap_or_default();
        DatasetError::one(&source.path, None, Fault::UnknownFormat(extension))
    })?;
    let file = File::open(source.file()).map_err(|error| match error.kind() {
        ErrorKind::NotFound => DatasetError::one(&source.path, None, Fault::NotFound),
        _ => DatasetError::one(&source.path, None, Fault::Io(error.to_string())),
    })?;
    Ok((BufReader::with_capacity(1 << 16, file), format))
}

/// Reads all rows. JSONL, CSV and TSV are streamed; JSON and YAML are one value and are read as a whole.
pub(super) fn read(input: &mut dyn BufRead, format: Format, emit: &mut dyn FnMut(Item)) {
    match start(input) {
        Ok(()) => {}
        Err(fault) => return emit(Item::Bad(None, fault)),
    }
    match format {
        Format::Jsonl => json::lines(input, emit),
        Format::Json => whole(input, emit, json::document),
        Format::Csv => table::separated(input, emit),
        Format::Tsv => table::records(input, format, b'\t', emit),
        Format::Yaml => whole(input, emit, yaml::document),
    }
}

/// Skips a UTF-8 byte order mark and recognises a UTF-16 one.
fn start(input: &mut dyn BufRead) -> Result<(), Fault> {
    let head = input.fill_buf().map_err(|error| Fault::Io(error.to_string()))?;
    if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
        input.consume(3);
    } else if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        return Err(Fault::Utf16);
    }
    Ok(())
}

/// Reads the rest as one text and hands it to `parse`.
fn whole(input: &mut dyn BufRead, emit: &mut dyn FnMut(Item), parse: fn(&str, &mut dyn FnMut(Item))) {
    let mut bytes = Vec::new();
    if let Err(error) = input.read_to_end(&mut bytes) {
        return emit(Item::Bad(None, Fault::Io(error.to_string())));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text, emit),
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            let line = 1 + newlines(valid);
            let begin = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            emit(Item::Bad(Some(line), not_utf8(&bytes[begin..], error.valid_up_to() - begin)));
        }
    }
}

/// The fault for a line whose byte `at` (from 0) is where it stops being UTF-8.
fn not_utf8(line: &[u8], at: usize) -> Fault {
    Fault::NotUtf8 { byte: line.get(at).copied().unwrap_or_default(), at: at + 1 }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// What a JSON value is, for messages: `text`, `number 5`, `a list`.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The same without the value itself, where that may be a whole row.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    pub(super) fn all(bytes: &[u8], format: Format) -> Vec<Item> {
        let mut items = Vec::new();
        // A tiny buffer, so that every boundary falls between two reads.
        read(&mut BufReader::with_capacity(5, bytes), format, &mut |item| items.push(item));
        items
    }

    fn row(line: usize, cells: Value) -> Item {
        let Value::Object(cells) = cells else { panic!("cells are an object") };
        Item::Row(RawRow { line, cells })
    }

    #[test]
    fn rows_carry_the_line_they_begin_on() {
        let jsonl = all(b"\xEF\xBB\xBF{\"input\":\"a\"}\r\n\n{\"input\":\"b\"}", Format::Jsonl);
        assert_eq!(jsonl, [row(1, json!({"input": "a"})), row(3, json!({"input": "b"}))]);

        let json = all(b"{\"name\": 1, \"examples\": [\n {\"input\": \"a\"},\n\n {\"input\":\n \"b\"}]}", Format::Json);
        assert_eq!(json, [row(2, json!({"input": "a"})), row(4, json!({"input": "b"}))]);

        let csv = all(b"\xEF\xBB\xBFinput,label\n\"a\n1\",x\n\nb,\n", Format::Csv);
        let header = Item::Header(vec!["input".into(), "label".into()]);
        assert_eq!(csv, [header, row(2, json!({"input": "a\n1", "label": "x"})), row(5, json!({"input": "b"}))]);

        let yaml = all(b"# rows\n- input: a\n  expected: no\n\n- {input: b, weight: 2}\n", Format::Yaml);
        assert_eq!(yaml, [row(2, json!({"input": "a", "expected": "no"})), row(5, json!({"input": "b", "weight": 2}))]);
    }

    #[test]
    fn a_csv_of_another_separator_is_told_by_a_header_without_commas() {
        let header = Item::Header(vec!["input".into(), "a b".into()]);
        for separator in [";", "\t", "|"] {
            let text = format!("\"input\"{separator}a b\r\n\"x,{separator}\n\"{separator}y\n");
            let row = row(2, json!({"input": format!("x,{separator}\n"), "a b": "y"}));
            assert_eq!(all(text.as_bytes(), Format::Csv), [header.clone(), row], "{separator:?}");
        }
        let comma = all(b"\"input; a|b\",c;d\nx,y\n", Format::Csv);
        assert_eq!(comma[0], Item::Header(vec!["input; a|b".into(), "c;d".into()]));
        let single = all(b"\"say; what\"\nx\n", Format::Csv);
        assert_eq!(single[0], Item::Header(vec!["say; what".into()]));
    }

    #[test]
    fn a_line_before_the_header_may_name_the_separator() {
        let header = Item::Header(vec!["input".into(), "a, b".into()]);
        for newline in ["\n", "\r\n"] {
            let text = ["sep=;", "input;a, b", "x,;y", ""].join(newline);
            let row = row(3, json!({"input": "x,", "a, b": "y"}));
            assert_eq!(all(text.as_bytes(), Format::Csv), [header.clone(), row], "{newline:?}");
        }
        for column in ["sep=", "sep=x"] {
            let rows = all(format!("{column}\nx\n").as_bytes(), Format::Csv);
            assert_eq!(rows[0], Item::Header(vec![column.into()]));
        }
    }

    fn bad(items: &[Item]) -> Vec<(Option<usize>, String)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Bad(line, fault) => Some((*line, fault.to_string())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn malformed_rows_name_their_line_and_do_not_hide_the_others() {
        let items =
            all(b"{\"input\":\"a\"}\n{\"input\":\n[1]\n{\"input\":1,\"input\":2}\n{\"input\":\"b\"}\n", Format::Jsonl);
        let found = bad(&items);
        assert_eq!(found.iter().map(|(line, _)| line.unwrap()).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(found[1].1.contains("must be an object"), "{found:?}");
        assert!(found[2].1.contains("`input` twice"), "{found:?}");
        assert_eq!(items.len(), 5);

        let found = bad(&all(b"a,b\n1,2\n1,2,3\n4,5\n", Format::Csv));
        assert_eq!(found, [(Some(3), Fault::CellCount { found: 3, header: 2 }.to_string())]);
        let found = bad(&all(b"a,b\n1,2\n1\n", Format::Csv));
        assert!(found[0].1.starts_with("1 cell where the header has 2 columns: an empty cell"), "{found:?}");
        let found = bad(&all(b"a,b\n1,2\n\"1,2\n4,5\n", Format::Csv));
        assert_eq!(found, [(Some(3), Fault::UnclosedQuote.to_string())]);

        let found = bad(&all(b"[{\"input\": 1},\n {\"input\" 2}]", Format::Json));
        assert_eq!(found[0].0, Some(2));
        let found = bad(&all(b"{\"input\": \"a\"}\n\n{\"input\": \"b\"}\n", Format::Json));
        assert_eq!(found, [(Some(3), Fault::LooksLikeJsonl.to_string())]);
        let found = bad(&all(b"- input: a\n  input: b\n", Format::Yaml));
        assert!(found[0].1.contains("`input` twice") && !found[0].1.contains("Policy"), "{found:?}");
        let found = bad(&all(b"- input: a\n- input: [b\n", Format::Yaml));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 >= Some(2), "{found:?}");
        let found = bad(&all(b"- input: a\n- weight: .nan\n- 5\n", Format::Yaml));
        assert!(found[0].1.contains("finite"), "{found:?}");
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_line_and_byte() {
        for (bytes, format, line, at) in [
            (b"{\"input\":\"a\"}\n{\"input\":\"caf\xE9\"}\n".as_slice(), Format::Jsonl, 2, 14),
            (b"[\n{\"input\":\"caf\xE9\"}]", Format::Json, 2, 14),
            (b"input\nok\n\"a\ncaf\xE9\"\n", Format::Csv, 4, 4),
            (b"- input: ok\n- input: caf\xE9\n", Format::Yaml, 2, 13),
        ] {
            let found = bad(&all(bytes, format));
            assert_eq!(found, [(Some(line), Fault::NotUtf8 { byte: 0xE9, at }.to_string())], "{format:?}");
        }
        assert_eq!(bad(&all(b"\xFF\xFEi\0n\0", Format::Csv)), [(None, Fault::Utf16.to_string())]);
    }

    fn format() -> impl Strategy<Value = Format> {
        prop::sample::select(vec![Format::Jsonl, Format::Json, Format::Csv, Format::Tsv, Format::Yaml])
    }

    proptest! {
        #[test]
        fn no_reader_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), format in format()) {
            all(&bytes, format);
        }

        #[test]
        fn no_reader_panics_on_text_that_looks_like_rows(
            text in "([\\[\\]{}\",:\n\t -]|input|expected|1|e9|&a|\\*a|!x|#|\\||>){0,80}", format in format()
        ) {
            all(text.as_bytes(), format);
        }
    }
}
