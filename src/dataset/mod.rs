//! Examples and where they belong: readers, checks, splits and their lock file.
//!
//! A dataset is loaded once, checked as a whole, and never changes afterwards. Splits are assigned by the dataset,
//! never by a run, so that a row that was test yesterday is test today.

mod check;
mod example;
mod guess;
mod identity;
mod load;
mod lock;
mod packed;
mod problem;
mod read;
mod record;
mod select;
mod source;
mod split;
mod split_map;

pub use example::{Dataset, Example, PackedDataset, Split};
pub use guess::{Doubt, Guess, guess};
pub use identity::fingerprint;
pub use load::{Loaded, load};
pub use lock::SplitLock;
pub use packed::PackedRows;
pub use problem::{DatasetError, Fault, Problem, RowRef, Warning};
pub use select::{Filter, FilterError, Labels, Rows, Selection, label_sets, labels};
pub use source::{Columns, Fields, Format, Source};
pub use split::FEWEST_FOR_TEST;

#[cfg(test)]
mod tests;
