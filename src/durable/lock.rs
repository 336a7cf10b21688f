//! An exclusive lock on a folder or file, held through a lock file beside it.
//!
//! The operating system gives the lock back when its holder ends, however it ends; the text in the file only says who
//! it was. The file is never removed, since another process may be about to lock it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DurableError;
use super::atomic::{create_folder, folder_of};

/// How often a lock that is taken is tried again, and the pause before: [`Lock::holder`] takes it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// A held lock; dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Keeps the lock for as long as it is open.
    file: File,
}

impl Lock {
    /// Takes the lock file at `path`, creating it where missing; doesn't wait for a holder to end. `since` is the time
    /// to tell others, for example `clock::timestamp(clock.now())`. [`DurableError::Held`] names the holder.
    pub fn acquire(path: &Path, since: &str) -> Result<Self, DurableError> {
        let mut file = open(path)?;
        take(&file, path)?;
        let host = gethostname::gethostname();
        let text = format!("pid {} on {} since {since}\n", std::process::id(), host.to_string_lossy());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(DurableError::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Takes the lock file at `path`, creating it where missing; waits for whoever has it. For what is done in a moment,
    /// so it doesn't say who holds it.
    ///
    /// # Errors
    /// The file can't be opened or locked.
    pub fn wait(path: &Path) -> Result<Self, DurableError> {
        let file = open(path)?;
        file.lock().map_err(DurableError::io("lock", path))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Who holds the lock file at `path`: "pid N on HOST since T", or "another process" where that can't be read.
    /// `None` where nobody does, or the file isn't there.
    ///
    /// # Errors
    /// The file can't be opened or locked.
    pub fn holder(path: &Path) -> Result<Option<String>, DurableError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DurableError::io("open", path)(error)),
        };
        // Shared, so that several may ask at once; given back when the file is closed.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(path))),
            Err(TryLockError::Error(error)) => Err(DurableError::io("lock", path)(error)),
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds it any more; what is left behind is the same after every run.
        let _ = self.file.set_len(0);
    }
}

/// The lock file at `path`, made where it is missing.
fn open(path: &Path) -> Result<File, DurableError> {
    create_folder(&folder_of(path))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(DurableError::io("open", path))
}

/// Locks `file`, which is the one at `path`.
fn take(file: &File, path: &Path) -> Result<(), DurableError> {
    let mut tries = 1..TRIES;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if tries.next().is_some() => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(DurableError::Held { path: path.to_path_buf(), holder: holder(path) });
            }
            Err(TryLockError::Error(error)) => return Err(DurableError::io("lock", path)(error)),
        }
    }
}

/// What the holder wrote about itself.
fn holder(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        // Between locking and writing its name, or where a locked file can't be read.
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runs/.lock");
        let lock = Lock::acquire(&path, "2026-01-31T22:05:09Z").unwrap();
        let refusal = Lock::acquire(&path, "2026-01-31T22:06:00Z").unwrap_err();
        let message = refusal.to_string();
        let host = gethostname::gethostname();
        let holder = format!("pid {} on {} since 2026-01-31T22:05:09Z", std::process::id(), host.to_string_lossy());
        assert!(message.contains(&format!("held by {holder}")) && message.contains(".lock"), "{message}");
        assert_eq!(Lock::holder(&path).unwrap(), Some(holder));
        drop(lock);
        assert_eq!(Lock::holder(&path).unwrap(), None);
        Lock::acquire(&path, "2026-01-31T22:07:00Z").unwrap();
    }

    #[test]
    fn a_name_left_by_a_dead_holder_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        fs::write(&path, "pid 1 since long ago, with a longer line than any new one would ever have\n").unwrap();
        let lock = Lock::acquire(&path, "now").unwrap();
        let text = fs::read_to_string(lock.path()).unwrap();
        assert!(
            text.starts_with(&format!("pid {} on ", std::process::id())) && text.ends_with(" since now\n"),
            "{text}"
        );
    }
}
