//! CSV and TSV, streamed record by record. The first record is the header; cells may be quoted and then span lines. The
//! separator of a CSV is the comma, or where its header has none, the semicolon, tab or bar that stands there; a line
//! `sep=;` before the header, as exports for Excel have it, says so itself.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufRead, Read};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::super::problem::Fault;
use super::super::source::Format;
use super::{Item, RawRow, newlines, not_utf8};

/// Watches the bytes that go by for what the CSV parser doesn't tell.
struct Watch<'a> {
    input: &'a mut dyn BufRead,
    bytes: u64,
    /// Quotes so far. In a well-formed table their number is even: one within a quoted cell is doubled.
    quotes: usize,
    /// Where the newlines are that no record has reached yet. (The parser's own line numbers count neither blank
    /// lines nor CR LF as an editor does.)
    newlines: VecDeque<u64>,
    /// The line that the last record ended on.
    line: usize,
}

impl Watch<'_> {
    /// The line of a record's last byte; `end` is the offset after its terminator.
    fn last_line(&mut self, end: u64) -> usize {
        while self.newlines.front().is_some_and(|at| at + 1 < end) {
            self.newlines.pop_front();
            self.line += 1;
        }
        self.line
    }
}

impl Read for Watch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        for byte in &buffer[..count] {
            match byte {
                b'\n' => self.newlines.push_back(self.bytes),
                b'"' => self.quotes += 1,
                _ => {}
            }
            self.bytes += 1;
        }
        Ok(count)
    }
}

/// Separators that spreadsheets and databases write into files that are called CSV.
const OTHER_SEPARATORS: [u8; 3] = [b';', b'\t', b'|'];

/// The records of a CSV, by the separator of its header.
pub(super) fn separated(input: &mut dyn BufRead, emit: &mut dyn FnMut(Item)) {
    let head = match header(input) {
        Ok(head) => head,
        Err(error) => return emit(Item::Bad(Some(1), Fault::Io(error.to_string()))),
    };
    match named_separator(&head) {
        // What ends that line stays, so that the lines below keep their numbers.
        Some(separator) => records(&mut head[NAMED.len() + 1..].chain(input), Format::Csv, separator, emit),
        None => records(&mut head.as_slice().chain(input), Format::Csv, separator(&head), emit),
    }
}

/// What a line begins with that names the separator.
const NAMED: &[u8] = b"sep=";

/// The separator, where that is all that the line says.
fn named_separator(line: &[u8]) -> Option<u8> {
    let (name, rest) = line.split_at_checked(NAMED.len())?;
    match rest {
        [separator, b'\r' | b'\n'] if name.eq_ignore_ascii_case(NAMED) && !separator.is_ascii_alphanumeric() => {
            Some(*separator)
        }
        _ => None,
    }
}

/// Takes the first line with something in it, and as much as it spans in quotes.
fn header(input: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let (mut head, mut quotes, mut any) = (Vec::new(), 0, false);
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(head);
        }
        let ends = |byte: &u8| {
            quotes += usize::from(*byte == b'"');
            any |= !byte.is_ascii_whitespace();
            any && quotes % 2 == 0 && matches!(byte, b'\n' | b'\r')
        };
        let end = bytes.iter().position(ends);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        head.extend_from_slice(&bytes[..taken]);
        input.consume(taken);
        if end.is_some() {
            return Ok(head);
        }
    }
}

fn separator(header: &[u8]) -> u8 {
    let mut is_quoted = false;
    let bare: Vec<u8> = header
        .iter()
        .copied()
        .filter(|byte| {
            is_quoted ^= *byte == b'"';
            !is_quoted
        })
        .collect();
    let count = |separator: u8| bare.iter().filter(|byte| **byte == separator).count();
    let other = OTHER_SEPARATORS.into_iter().filter(|other| count(*other) > 0).max_by_key(|other| count(*other));
    if count(b',') > 0 { b',' } else { other.unwrap_or(b',') }
}

/// All records after the header. A column without a name (as some tools write for a row number) is left out.
pub(super) fn records(input: &mut dyn BufRead, format: Format, separator: u8, emit: &mut dyn FnMut(Item)) {
    let watch = Watch { input, bytes: 0, quotes: 0, newlines: VecDeque::new(), line: 1 };
    let mut reader = ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(watch);
    let mut record = ByteRecord::new();
    let mut header: Option<Vec<String>> = None;
    // A row is emitted when the next one is there, since the last one may turn out to have swallowed the rest.
    let mut held: Option<Item> = None;
    let (mut line, mut inner, mut open) = (1, 0, false);
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return emit(Item::Bad(None, Fault::Syntax { format, detail: error.to_string() })),
        }
        if let Some(item) = held.take() {
            emit(item);
        }
        let end = reader.position().byte();
        inner = record.iter().map(newlines).sum::<usize>();
        open = record.iter().next_back().is_some_and(|last| last.ends_with(b"\n"));
        line = reader.get_mut().last_line(end).saturating_sub(inner).max(1);
        match &header {
            Some(names) => held = Some(row(&record, names, line)),
            None => match columns(&record, line) {
                Ok(names) => {
                    emit(Item::Header(names.iter().filter(|name| !name.is_empty()).cloned().collect()));
                    header = Some(names);
                }
                // Without a header no row can be read.
                Err((line, fault)) => return emit(Item::Bad(Some(line), fault)),
            },
        }
    }
    if inner > 0 && reader.get_ref().quotes % 2 == 1 {
        // The file's last newline is then one within the cell.
        emit(Item::Bad(Some(line + usize::from(open)), Fault::UnclosedQuote));
    } else if let Some(item) = held {
        emit(item);
    }
}

/// The names in a header, trimmed.
fn columns(record: &ByteRecord, line: usize) -> Result<Vec<String>, (usize, Fault)> {
    let mut names = Vec::with_capacity(record.len());
    let mut seen = BTreeSet::new();
    for index in 0..record.len() {
        let name = cell(record, index, line)?.trim();
        if !name.is_empty() && !seen.insert(name) {
            return Err((line, Fault::DuplicateColumn(name.to_owned())));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn row(record: &ByteRecord, names: &[String], line: usize) -> Item {
    if record.len() != names.len() {
        let fault = Fault::CellCount { found: record.len(), header: names.len() };
        return Item::Bad(Some(line), fault);
    }
    let mut cells = Map::new();
    for (index, name) in names.iter().enumerate() {
        match cell(record, index, line) {
            Ok("") => {}
            Ok(_) if name.is_empty() => {}
            Ok(text) => {
                cells.insert(name.clone(), Value::String(text.to_owned()));
            }
            Err((line, fault)) => return Item::Bad(Some(line), fault),
        }
    }
    Item::Row(RawRow { line, cells })
}

/// The text of one cell of a record that begins on `line`, or where within it the text stops being UTF-8.
fn cell(record: &ByteRecord, index: usize, line: usize) -> Result<&str, (usize, Fault)> {
    let bytes = record.get(index).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let before = record.iter().take(index).map(newlines).sum::<usize>();
        let begin = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (line + before + newlines(valid), not_utf8(&bytes[begin..], valid.len() - begin))
    })
}
