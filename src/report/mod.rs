//! What people read of a run, all from its events.

use crate::run::{RunError, RunFolder};

/// Writes `report.md` into the run's folder.
///
/// # Errors
/// The run can't be read, or the report can't be written.
pub fn write(_folder: &RunFolder) -> Result<(), RunError> {
    Ok(())
}
