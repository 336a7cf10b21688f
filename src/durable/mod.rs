//! Files that appear whole or not at all, append-only logs with torn-tail recovery, locks.
//!
//! Owns how bytes reach the disk so that a crash or a full disk loses nothing that was promised. Knows nothing of what
//! the bytes mean beyond "one JSON value a line" in a log. All calls block; async code runs them on a blocking thread.

use std::io;
use std::path::{Path, PathBuf};

mod atomic;
mod lock;
mod log;

pub use atomic::{
    create_folder, create_new_folder, remove_leftovers, remove_leftovers_here, write, write_unsynced, write_with,
};
pub use lock::Lock;
pub use log::Log;

/// Why a durable operation failed, with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The operating system refused.
    #[error("cannot {action} {}: {reason}{}", path.display(), advice(reason.kind()))]
    Io {
        /// What was tried, as a verb: "write", "open".
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The operating system's reason. It is told in the message, and so isn't a source to be told again.
        reason: io::Error,
    },
    /// A line before the last of a log is not one JSON value: no crash does that.
    #[error(
        "{}, line {line}: {problem}. Only the last line of a log can be torn by a crash, so this file was changed by \
         something else: restore it from a copy, or cut it off before this line to go on from there",
        path.display()
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A record that the log could not give back was to be appended.
    #[error("cannot append to {}: {problem}; a record is one JSON value on one line", path.display())]
    NotARecord {
        /// The log.
        path: PathBuf,
        /// What is wrong with the record.
        problem: String,
    },
    /// Somebody else holds the lock.
    #[error("{} is held by {holder}: wait for it to end or stop it, then try again", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it: "pid N on HOST since T", or "another process" where that can't be read.
        holder: String,
    },
}

impl DurableError {
    /// For `map_err`: adds what was tried and where.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |reason| Self::Io { action, path, reason }
    }
}

/// What to do about a failure, to be put after the reason.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ". Free some space, then run again: nothing written before is lost"
        }
        io::ErrorKind::ReadOnlyFilesystem => ". The file system is read-only: choose a folder that can be written",
        io::ErrorKind::PermissionDenied => ". Check who owns it and its permissions",
        io::ErrorKind::NotADirectory => ". A part of the path is a file: move it away or choose another folder",
        io::ErrorKind::AlreadyExists => ". A file has this name: move it away or choose another name",
        io::ErrorKind::IsADirectory => ". A folder has this name: move it away or choose another name",
        io::ErrorKind::NotFound => ". Check the path",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_where_and_what_to_do() {
        let error = DurableError::io("write", Path::new("runs/1/journal.jsonl"))(io::ErrorKind::StorageFull.into());
        let message = error.to_string();
        assert!(message.starts_with("cannot write runs/1/journal.jsonl: "), "{message}");
        assert!(message.contains("Free some space"), "{message}");
        assert!(std::error::Error::source(&error).is_none(), "the reason would be told twice");
    }
}
