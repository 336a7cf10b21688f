//! Loading: read, map, check, name, split. Nothing is written.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;

use super::check::{leaks, warnings};
use super::example::PackedDataset;
use super::identity::name_rows;
use super::lock::{self, SplitLock};
use super::packed::PackedRows;
use super::problem::{DatasetError, Fault, Problems, Warning};
use super::read::{Item, RawRow, open, read};
use super::record::Mapping;
use super::source::{Format, Source};
use super::split::assign;
use crate::digest::Digest;
use crate::text::normalize;

/// A dataset that can be used, and what belongs to it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The rows with their splits.
    pub dataset: PackedDataset,
    /// The line, from 1, that each row begins on; same length and order as the rows.
    pub lines: Vec<usize>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// The splits as they should be on disk: to be saved before anything rests on them.
    pub lock: SplitLock,
}

/// Loads and checks the whole dataset, and gives every row its split: from the lock file where it is there.
///
/// `needs_expected` says that a scorer needs the expected answer of every row. Writes nothing; call
/// [`SplitLock::save`] on `lock`. Near-duplicates are looked for only when rows have changed since the lock was saved,
/// since that takes far longer than all the rest. The error names every problem that was found, not only the first.
pub fn load(source: &Source, needs_expected: bool) -> Result<Loaded, DatasetError> {
    let (mut input, format) = open(source)?;
    let (rows, lines) = rows(&mut input, format, source, needs_expected)?;
    let saved = lock::read(source)?;
    let fingerprint = super::fingerprint(rows.iter());
    let texts: Vec<u128> =
        rows.iter().map(|row| Digest::of(normalize(&row.input_text()).as_bytes()).as_u128()).collect();
    let mut assigned = assign(&rows, &texts, &lines, fingerprint, saved.locked()).map_err(|faults| {
        let mut problems = Problems::default();
        for (row, fault) in faults {
            problems.add(Some(lines[row]), fault);
        }
        problems.into_error(&source.path)
    })?;
    let splits = std::mem::take(&mut assigned.splits);
    let dataset = PackedDataset { rows: Arc::new(rows), splits, fingerprint };
    let mut warnings = warnings(&dataset, &texts, &lines, &assigned);
    drop(texts);
    let lock = saved.updated(source, &dataset);
    if lock.is_changed() {
        warnings.extend(leaks(&dataset, &lines));
    }
    Ok(Loaded { dataset, lines, warnings, lock })
}

/// Rows and the lines that they begin on.
type Rows = (PackedRows, Vec<usize>);

/// Reads all rows, with ids.
fn rows(input: &mut dyn BufRead, format: Format, source: &Source, needs_expected: bool) -> Result<Rows, DatasetError> {
    let mapping = Mapping::new(&source.fields).map_err(|fault| DatasetError::one(&source.path, None, fault))?;
    let mut reading = Reading::new(mapping, needs_expected);
    read(input, format, &mut |item| reading.item(item));
    reading.finish(source)
}

/// What has been read so far.
struct Reading {
    mapping: Mapping,
    needs_expected: bool,
    examples: PackedRows,
    lines: Vec<usize>,
    columns: BTreeSet<String>,
    rows: usize,
    problems: Problems,
    /// Kept apart, since one mistake in the mapping makes them of every row.
    no_input: Vec<(usize, Fault)>,
    no_expected: Vec<usize>,
}

impl Reading {
    fn new(mapping: Mapping, needs_expected: bool) -> Self {
        Self {
            mapping,
            needs_expected,
            examples: PackedRows::default(),
            lines: Vec::new(),
            columns: BTreeSet::new(),
            rows: 0,
            problems: Problems::default(),
            no_input: Vec::new(),
            no_expected: Vec::new(),
        }
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Header(columns) => self.columns.extend(columns),
            Item::Bad(line, fault) => self.problems.add(line, fault),
            Item::Row(row) => self.row(row),
        }
    }

    fn row(&mut self, row: RawRow) {
        self.rows += 1;
        for column in row.cells.keys() {
            if !self.columns.contains(column) {
                self.columns.insert(column.clone());
            }
        }
        let line = row.line;
        match self.mapping.example(row) {
            Ok(example) => {
                if self.needs_expected && example.expected.is_none() {
                    self.no_expected.push(line);
                }
                self.examples.push(&example);
                self.lines.push(line);
            }
            Err(faults) => {
                for fault in faults {
                    match fault {
                        Fault::MissingInput { .. } => self.no_input.push((line, fault)),
                        fault => self.problems.add(Some(line), fault),
                    }
                }
            }
        }
    }

    /// Ids that several rows have: a fault of each row but the first.
    fn duplicates(&mut self) {
        let (rows, lines) = (&self.examples, &self.lines);
        let id = |place: &u32| rows.id(*place as usize);
        for alike in rows.by_id().chunk_by(|one, other| id(one) == id(other)) {
            let Some((first, others)) = alike.split_first().filter(|(first, _)| !id(first).is_empty()) else {
                continue;
            };
            for other in others {
                let fault = Fault::DuplicateId { id: id(first).to_owned(), first: lines[*first as usize] };
                self.problems.add(Some(lines[*other as usize]), fault);
            }
        }
    }

    fn finish(mut self, source: &Source) -> Result<Rows, DatasetError> {
        self.duplicates();
        let known = || self.columns.iter().cloned().collect::<Vec<_>>();
        if self.rows > 0 {
            self.mapping.unknown(&self.columns).for_each(|fault| self.problems.add(None, fault));
        }
        if self.no_input.len() < self.rows {
            self.no_input.into_iter().for_each(|(line, fault)| self.problems.add(Some(line), fault));
        } else if self.rows > 0 && source.fields.input.is_none() {
            self.problems.add(None, Fault::NoInput(known()));
        }
        if self.needs_expected && self.rows > 0 && !self.columns.contains(self.mapping.expected()) {
            // A mapped column that isn't there has been told above.
            if source.fields.expected.is_none() {
                self.problems.add(None, Fault::NoExpected(known()));
            }
        } else {
            self.no_expected.iter().for_each(|line| self.problems.add(Some(*line), Fault::MissingExpected));
        }
        if self.examples.is_empty() && self.problems.is_empty() {
            self.problems.add(None, Fault::Empty);
        }
        if !self.problems.is_empty() {
            return Err(self.problems.into_error(&source.path));
        }
        Ok((name_rows(self.examples), self.lines))
    }
}
