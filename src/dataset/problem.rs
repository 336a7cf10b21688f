//! What can be wrong with a dataset: [`DatasetError`] when it can't be used, [`Warning`] when it can but should be
//! looked at.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use super::example::Split;
use super::source::Format;
use super::split::FEWEST_FOR_TEST;
use crate::text::plural;

/// How many problems an error spells out; the others are counted.
const SHOWN: usize = 10;

/// Why a dataset can't be used: every problem found in one go, the first ten in words.
#[derive(Debug, Clone, PartialEq, Error)]
pub struct DatasetError {
    /// The file that the problems are in, as the user wrote it.
    pub file: PathBuf,
    /// The first problems, in the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// How many problems were found in all.
    pub total: usize,
}

impl DatasetError {
    /// An error of a single problem.
    pub(super) fn one(file: impl Into<PathBuf>, line: Option<usize>, fault: Fault) -> Self {
        Self { file: file.into(), problems: vec![Problem { line, fault }], total: 1 }
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.problems.iter().any(|problem| problem.fault == Fault::NotFound)
    }

    /// Whether nothing is wrong with the data: only a file could not be written.
    pub fn is_unwritable(&self) -> bool {
        self.problems.iter().all(|problem| matches!(problem.fault, Fault::Unwritable(_)))
    }
}

impl fmt::Display for DatasetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, fault }) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match line {
                Some(line) => write!(f, "{}:{line}: {fault}", self.file.display())?,
                None => write!(f, "{}: {fault}", self.file.display())?,
            }
        }
        match self.total.saturating_sub(self.problems.len()) {
            0 => Ok(()),
            more => write!(f, "\n(and {more} more like these)"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The line, from 1; none where it is about the file as a whole.
    pub line: Option<usize>,
    /// What was found and what to do.
    pub fault: Fault,
}

/// The problems of one file while they are being collected.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    total: usize,
}

impl Problems {
    pub(super) fn add(&mut self, line: Option<usize>, fault: Fault) {
        self.total += 1;
        // Checks that run after reading may find problems on earlier lines: keep the ten first by line.
        self.found.push(Problem { line, fault });
        if self.found.len() > 4 * SHOWN {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.found.sort_by_key(|problem| problem.line);
        self.found.truncate(SHOWN);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The error that they are.
    pub(super) fn into_error(mut self, file: impl Into<PathBuf>) -> DatasetError {
        self.trim();
        DatasetError { file: file.into(), problems: self.found, total: self.total }
    }
}

/// What is wrong: what was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Fault {
    #[error("no such file: check the path of the dataset")]
    NotFound,
    #[error("can't be read: {0}")]
    Io(String),
    #[error("can't be written: {0}; set `lock` under [dataset] to keep the splits elsewhere")]
    Unwritable(String),
    #[error("the extension `{0}` is not one of .jsonl, .json, .csv, .tsv, .yaml: rename or convert the file")]
    UnknownFormat(String),
    #[error("not UTF-8: byte 0x{byte:02X} at byte {at} of the line or cell; save the file as UTF-8")]
    NotUtf8 { byte: u8, at: usize },
    #[error("the file is UTF-16: save it as UTF-8")]
    Utf16,
    #[error("not valid {format}: {detail}")]
    Syntax { format: Format, detail: String },
    #[error("a row must be an object with fields, found {0}")]
    NotAnObject(&'static str),
    #[error("found {0} where the list of rows should be: write a list, or an object with the list as `examples`")]
    NotAList(&'static str),
    #[error("{} where the header has {}: {}", plural(*.found, "cell"), plural(*.header, "column"), cells_advice(*.found, *.header))]
    CellCount { found: usize, header: usize },
    #[error("each line is an object of its own: this looks like JSONL; rename the file so that it ends in .jsonl")]
    LooksLikeJsonl,
    #[error("a quote opened in this row is never closed")]
    UnclosedQuote,
    #[error("the header names column `{0}` twice: rename one of them")]
    DuplicateColumn(String),
    #[error("the mapping reads `{field}` from column `{column}`, which no row has; there are: {}", list(.known))]
    UnknownColumn { field: &'static str, column: String, known: Vec<String> },
    #[error("two fields are read from column `{0}`: give each field a column of its own")]
    ColumnUsedTwice(String),
    #[error("no input: the row has {}, but no `{wanted}`; fill it in, or map another column: fields = {{ input = \"...\" }}", list(.columns))]
    MissingInput { wanted: String, columns: Vec<String> },
    #[error("no row has a column `input`; there are: {}. Say which one it is: fields = {{ input = \"...\" }}", list(.0))]
    NoInput(Vec<String>),
    #[error("no row has a column `expected`, which a scorer needs; there are: {}. Say which one it is: fields = {{ expected = \"...\" }}", list(.0))]
    NoExpected(Vec<String>),
    #[error("the input is empty: fill it in or remove the row")]
    EmptyInput,
    #[error("`{column}` must be {wanted}, found {found}")]
    WrongType { column: String, wanted: &'static str, found: String },
    #[error("id `{id}` is already used on line {first}: ids must be unique")]
    DuplicateId { id: String, first: usize },
    #[error("no expected answer, which a scorer needs: fill it in, remove the row, or use scorers that need none")]
    MissingExpected,
    #[error("a pinned row can't be a test row: remove `pinned`, or name train or dev as its split")]
    PinnedTest,
    #[error("group `{group}` is said to be {other} on line {line}, but {this} here: a group shares one split")]
    GroupSpansSplits { group: String, this: Split, other: Split, line: usize },
    #[error("no rows: add at least one")]
    Empty,
    #[error(
        "the lock file is not valid: {0}; restore it from version control, or delete it to split anew (scores from before are then not comparable)"
    )]
    BadLock(String),
    #[error("the lock file has version {found}, this program knows up to {known}: use a newer ratchet")]
    NewerLock { found: u64, known: u64 },
}

fn cells_advice(found: usize, header: usize) -> &'static str {
    if found > header {
        "put cells that contain the separator in quotes"
    } else {
        "an empty cell needs its separator too; put cells that span lines in quotes"
    }
}

/// Names between commas, the first twelve.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "no columns".to_owned(),
        1..=12 => shown,
        more => format!("{shown} and {} more", more - 12),
    }
}

/// A row as a warning names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RowRef {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Its id.
    pub id: String,
    /// Its split.
    pub split: Split,
}

impl fmt::Display for RowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (line {}, {})", self.id, self.line, self.split)
    }
}

/// Something about a usable dataset that a person should know. Displayed as one sentence or a few, with the first
/// cases spelled out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// Rows with the same input, each list of rows with more than one expected answer: no prompt can get all right.
    ConflictingLabels {
        /// The rows of each input.
        cases: Vec<Vec<RowRef>>,
    },
    /// Rows with the same input and expected answer as another: they count more than once.
    Duplicates {
        /// The rows of each input.
        cases: Vec<Vec<RowRef>>,
    },
    /// Rows that differ by little and are in different splits: what was learned on one is tested on the other.
    NearDuplicates {
        /// The pairs, in file order.
        pairs: Vec<(RowRef, RowRef)>,
        /// How many rows were compared: all, or a sample of a large dataset.
        compared: usize,
    },
    /// So few rows that what the splits can show is limited.
    FewRows {
        /// Rows in train, dev and test.
        rows: [usize; 3],
    },
    /// Rows that name another split than the lock had; the rows won.
    MovedByRow {
        /// The row, now in the split it names, and the split that it was in.
        rows: Vec<(RowRef, Split)>,
    },
    /// Rows that were test rows and are now pinned, or share a group with a pinned row: they have left test.
    PinnedLeftTest {
        /// The rows, in their new split.
        rows: Vec<RowRef>,
    },
    /// A group whose rows were locked to different splits before they were a group; old rows don't move.
    GroupSpansSplits {
        /// The group's name.
        group: String,
        /// Its rows.
        rows: Vec<RowRef>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConflictingLabels { cases } => {
                write!(f, "{} with different expected answers, so that no prompt can get all right: ", inputs(cases))?;
                f.write_str(&some(cases, |rows| join(rows)))
            }
            Self::Duplicates { cases } => {
                write!(f, "{} twice or more with the same expected answer, counting each time: ", inputs(cases))?;
                f.write_str(&some(cases, |rows| join(rows)))
            }
            Self::NearDuplicates { pairs, compared } => {
                let pairs_found = plural(pairs.len(), "near-duplicate pair");
                write!(f, "{pairs_found} across splits among {compared} rows compared; ")?;
                f.write_str("give each pair one `group`: ")?;
                f.write_str(&some(pairs, |(a, b)| format!("{a} and {b}")))
            }
            Self::FewRows { rows } => few_rows(f, *rows),
            Self::MovedByRow { rows } => {
                let rows_moved = plural(rows.len(), "row");
                write!(f, "{rows_moved} moved, to another split than the lock file's: ")?;
                f.write_str(&some(rows, |(row, was)| format!("{row}, before in {was}")))
            }
            Self::PinnedLeftTest { rows } => {
                let rows_left = plural(rows.len(), "row");
                write!(f, "{rows_left} left test for being pinned, or grouped with a pinned row: ")?;
                f.write_str(&some(rows, ToString::to_string))
            }
            Self::GroupSpansSplits { group, rows } => {
                write!(f, "group `{group}` spans splits, since its rows were locked before they were a group: ")?;
                f.write_str(&join(rows))
            }
        }
    }
}

fn inputs(cases: &[Vec<RowRef>]) -> String {
    match cases.len() {
        1 => "1 input occurs".to_owned(),
        many => format!("{many} inputs occur"),
    }
}

/// The first three things in words, and how many more.
fn some<T>(things: &[T], words: impl Fn(&T) -> String) -> String {
    let shown = things.iter().take(3).map(words).collect::<Vec<_>>().join("; ");
    match things.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn join(rows: &[RowRef]) -> String {
    let shown = rows.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if rows.len() > 4 { format!("{shown} and {} more", rows.len() - 4) } else { shown }
}

fn few_rows(f: &mut fmt::Formatter<'_>, [train, dev, test]: [usize; 3]) -> fmt::Result {
    let total = train + dev + test;
    write!(f, "only {} ({train} train, {dev} dev, {test} test): ", plural(total, "row"))?;
    if test == 0 && total >= FEWEST_FOR_TEST {
        f.write_str(
            "the rows' own splits and groups leave no row for test, so that no gain can be confirmed on rows the search never \
             saw. Let some rows name test as their split, or leave the split out",
        )
    } else if test == 0 {
        f.write_str(
            "there is no test split, so that no gain can be confirmed on rows the search never saw; scores are on \
             rows that it selected on. Add rows, 30 or more in all, for a test split",
        )
    } else {
        f.write_str("the test split is so small that only a very large gain can be shown on it. Add rows")
    }
}
