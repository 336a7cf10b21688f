//! Examples and where they belong: readers, checks, splits and their lock file.
//!
//! A [`Dataset`] is loaded once, checked as a whole, and never changes afterwards. Splits are assigned by the dataset,
//! never by a run, so that a row that was test yesterday is test today.

mod example;
mod problem;
mod source;

pub use example::{Dataset, Example, Split};
pub use problem::{DatasetError, Fault, Problem, RowRef, Warning};
pub use source::{Columns, Fields, Format, Source};
