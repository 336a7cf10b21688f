//! Changing a file that all runs of a project write to: read, changed and written by one process at a time, so that two
//! runs that end together both leave their entry.

use std::path::Path;

use super::RunError;
use crate::durable::{self, Lock};

/// Name of the lock beside the ledgers.
const LOCK: &str = ".lock";

/// Has `change` read and write a ledger in the folder `runs`, while nobody else does.
///
/// # Errors
/// Those of `change`; the lock can't be had.
pub(super) fn alone<T>(runs: &Path, change: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    let _lock = Lock::wait(&runs.join(LOCK))?;
    // Whoever writes here holds the lock: what is half written belongs to nobody any more.
    durable::remove_leftovers_here(runs)?;
    change()
}

#[cfg(test)]
mod tests {
    use super::super::{Pulls, PullsLedger, SplitUses, UseCount};
    use crate::digest::Digest;

    #[test]
    fn runs_that_end_at_the_same_time_all_leave_their_entry() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        let dataset = Digest::of(b"tickets");
        std::thread::scope(|scope| {
            for run in 0..8 {
                let runs = &runs;
                scope.spawn(move || {
                    SplitUses::record(runs, dataset, &run.to_string(), UseCount { dev: 1, test: 1 }).unwrap();
                    PullsLedger::record(runs, &run.to_string(), Pulls::default()).unwrap();
                });
            }
        });
        assert_eq!(SplitUses::read(&runs).unwrap().total(dataset), UseCount { dev: 8, test: 8 });
        let noted = std::fs::read_to_string(runs.join("strategy-pulls.json")).unwrap();
        assert_eq!(noted.matches("\"run\"").count(), 8, "{noted}");
    }
}
