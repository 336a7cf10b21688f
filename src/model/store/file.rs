//! The store's file, made with the first answer that is kept: a start that fails leaves nothing behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::sqlite::SqliteShelf;
use super::{Paid, Response};
use crate::model::{CallError, CallKey, ModelRole};

/// A store's file, or the place where it will be.
pub(super) struct FileShelf {
    path: PathBuf,
    opened: OnceLock<SqliteShelf>,
    /// Held while the file is being opened, so that only one of many first answers does.
    opening: Mutex<()>,
}

impl FileShelf {
    /// The file at `path` is opened, and so checked, if it is there.
    pub(super) fn new(path: &Path) -> Result<Self, CallError> {
        let shelf = Self { path: path.to_path_buf(), opened: OnceLock::new(), opening: Mutex::default() };
        shelf.existing()?;
        Ok(shelf)
    }

    /// The file if it is there: another process may have made it since.
    fn existing(&self) -> Result<Option<&SqliteShelf>, CallError> {
        match self.opened.get() {
            None if !self.path.exists() => Ok(None),
            _ => self.made().map(Some),
        }
    }

    /// The file, made if it isn't there.
    fn made(&self) -> Result<&SqliteShelf, CallError> {
        if let Some(shelf) = self.opened.get() {
            return Ok(shelf);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = self.opened.get() {
            return Ok(shelf);
        }
        let shelf = SqliteShelf::open(&self.path)?;
        Ok(self.opened.get_or_init(|| shelf))
    }

    pub(super) fn read(&self, key: CallKey, run: &str) -> Result<Option<Response>, CallError> {
        self.existing()?.map_or(Ok(None), |shelf| shelf.read(key, run))
    }

    pub(super) async fn write(&self, response: Response) -> Result<Response, CallError> {
        self.made()?.write(response).await
    }

    pub(super) fn paid(&self, run: &str) -> Result<BTreeMap<ModelRole, Paid>, CallError> {
        self.existing()?.map_or(Ok(BTreeMap::new()), |shelf| shelf.paid(run))
    }
}
