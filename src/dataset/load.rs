//! Loading: read, map, check, name, split. Nothing is written.

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::sync::Arc;

use super::check::{leaks, warnings};
use super::example::{Dataset, Example};
use super::identity::name_rows;
use super::lock::{self, SplitLock};
use super::problem::{DatasetError, Fault, Problems, Warning};
use super::read::{Item, RawRow, open, read};
use super::record::Mapping;
use super::source::{Format, Source};
use super::split::assign;
use crate::text::normalize;

/// A dataset that can be used, and what belongs to it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The rows with their splits.
    pub dataset: Dataset,
    /// The line, from 1, that each example begins on; same length and order as the examples.
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
    let (examples, lines) = rows(&mut input, format, source, needs_expected)?;
    let saved = lock::read(source)?;
    let fingerprint = super::fingerprint(&examples);
    let texts: Vec<String> = examples.iter().map(|example| normalize(&example.input_text())).collect();
    let assigned = assign(&examples, &texts, &lines, fingerprint, saved.locked().as_ref()).map_err(|faults| {
        let mut problems = Problems::default();
        for (row, fault) in faults {
            problems.add(Some(lines[row]), fault);
        }
        problems.into_error(&source.path)
    })?;
    let dataset = Dataset { examples, splits: assigned.splits.clone(), fingerprint };
    let mut warnings = warnings(&dataset, &texts, &lines, &assigned);
    let lock = saved.updated(source, &dataset);
    if lock.is_changed() {
        warnings.extend(leaks(&dataset, &texts, &lines));
    }
    Ok(Loaded { dataset, lines, warnings, lock })
}

/// Examples and the lines that they begin on.
type Rows = (Vec<Arc<Example>>, Vec<usize>);

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
    examples: Vec<Example>,
    lines: Vec<usize>,
    columns: BTreeSet<String>,
    rows: usize,
    /// The line of each id.
    ids: HashMap<String, usize>,
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
            examples: Vec::new(),
            lines: Vec::new(),
            columns: BTreeSet::new(),
            rows: 0,
            ids: HashMap::new(),
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
                if !example.id.is_empty()
                    && let Some(first) = self.ids.insert(example.id.clone(), line)
                {
                    self.ids.insert(example.id.clone(), first);
                    self.problems.add(Some(line), Fault::DuplicateId { id: example.id.clone(), first });
                }
                self.examples.push(example);
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

    fn finish(mut self, source: &Source) -> Result<Rows, DatasetError> {
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
        name_rows(&mut self.examples);
        Ok((self.examples.into_iter().map(Arc::new).collect(), self.lines))
    }
}
