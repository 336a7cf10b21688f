//! The review of a run: its kept revisions as hunks that a person accepts, edits or rejects one by one, what those
//! choices amount to, and putting the result into the prompt files. Data and pure decisions: nothing here asks anybody.
//!
//! | file | owns |
//! |---|---|
//! | `revisions.rs` | [`Revisions`]: the kept revisions, hunk by hunk |
//! | `compose.rs` | what chosen hunks amount to, and which hunks build on which, found by trying |
//! | `choices.rs` | [`Review`]: the choices made so far, in `review.json` of the run's folder |
//! | `rows.rs` | the rows that a revision fixed and broke, with both answers |
//! | `measure.rs` | measuring a result that the run itself never measured |
//! | `landing.rs` | merging the result with a prompt file that has changed since |
//!
//! Invariants: all hunks accepted as they are make the last kept revision, byte for byte; a review never opens test.

mod choices;
mod compose;
mod landing;
mod measure;
mod revisions;
mod rows;

/// Behind the id of a run, what its review pays and uses splits under: a run that is resumed must find its own budget as it
/// left it.
pub const REVIEW: &str = "-review";

pub use choices::{Choice, Choices, Review};
pub use compose::{Blocked, Composed};
pub use landing::{Collision, Landing, land};
pub use measure::{Gain, Measurement, QuotedRow, measure};
pub use revisions::{Hunk, HunkId, Purpose, Revision, Revisions};
pub use rows::{ChangedRow, Given, changed_rows, rows_of};
