//! What is wrong with a config, as data and in words.

use std::fmt;

/// Everything that is wrong with a config; shown one problem a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// At least one, in order of place.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The dotted path of the key, as `--set` takes it; empty for a file that isn't TOML.
    pub key: String,
    /// What is wrong.
    pub cause: Cause,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file.
    File {
        /// The file's name as the caller gave it.
        file: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// On the command line, by `--set` with this key.
    Override(String),
}

/// What is wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It isn't TOML, or an override that can't be applied.
    Syntax(String),
    /// There is no such key.
    UnknownKey {
        /// The key alone.
        name: String,
        /// Where it was found: `in [models.task]`, or `at the top level`.
        table: String,
        /// The keys that the table takes.
        allowed: Vec<String>,
        /// The allowed key that looks most like it, if any does.
        nearest: Option<String>,
        /// Whether the top level takes a key of that name: in TOML all that follows a `[table]` belongs to it.
        of_top: bool,
    },
    /// The key takes no such value.
    Value {
        /// The value, shortened.
        found: String,
        /// What the key takes.
        allowed: String,
        /// The allowed word that looks most like it, if any does.
        nearest: Option<String>,
    },
    /// A key that must be there is absent; says what it is for, or what it takes.
    Missing(String),
    /// Keys that don't go together.
    Conflict(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Override(key) => write!(f, "--set {key}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, cause } = self;
        write!(f, "{place}: ")?;
        match cause {
            Cause::Syntax(message) | Cause::Conflict(message) => f.write_str(message),
            Cause::Missing(purpose) => write!(f, "`{key}` is missing: {purpose}"),
            Cause::Value { found, allowed, nearest } => {
                write!(f, "`{key}` is {found}, but must be {allowed}")?;
                write_nearest(f, nearest.as_deref())
            }
            Cause::UnknownKey { name, table, allowed, nearest, of_top } => {
                write!(f, "unknown key `{name}` {table}")?;
                match nearest {
                    _ if *of_top => write!(f, "; it belongs to the top level: write it before the first [table]"),
                    Some(_) => write_nearest(f, nearest.as_deref()),
                    None => write!(f, "; allowed: {}", allowed.join(", ")),
                }
            }
        }
    }
}

fn write_nearest(f: &mut fmt::Formatter<'_>, nearest: Option<&str>) -> fmt::Result {
    nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean `{nearest}`?"))
}
