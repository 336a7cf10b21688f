//! Writing a file so that a reader sees the old content or the new, never a part, whatever happens in between.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::DurableError;

const PREFIX: &str = ".ratchet-";
const SUFFIX: &str = ".tmp";

/// Replaces or creates the file at `path` with `bytes`; returns once both content and name are on disk.
///
/// Writes a temporary file in the same folder, syncs it, renames it over `path` and syncs the folder. Missing folders
/// are created. An existing file keeps its permissions, and a symbolic link goes on pointing to the file written.
/// On an error the old content stays as it was and no temporary file is left.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    write_with(path, |file| file.write_all(bytes))
}

/// The same for content that `write` makes as it goes.
pub fn write_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), DurableError> {
    replace(path, write, true)
}

/// Like [`write()`], but a power cut may lose it: for what is only worth knowing while the process lives.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    replace(path, |file| file.write_all(bytes), false)
}

fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    synced: bool,
) -> Result<(), DurableError> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(DurableError::io("write", path)(error)),
    };
    let folder = folder_of(&target);
    create_folder(&folder)?;

    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the process's umask takes away from these.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(&folder).map_err(DurableError::io("create a file in", &folder))?;
    if let Ok(existing) = fs::metadata(&target) {
        let permissions = file.as_file().set_permissions(existing.permissions());
        permissions.map_err(DurableError::io("write", &target))?;
    }
    let mut buffered = BufWriter::new(file.as_file_mut());
    let written = write(&mut buffered).and_then(|()| buffered.flush());
    drop(buffered);
    written.map_err(DurableError::io("write", &target))?;
    if synced {
        file.as_file().sync_all().map_err(DurableError::io("write", &target))?;
    }
    file.persist(&target).map_err(|error| DurableError::io("write", &target)(error.error))?;
    if synced { sync_folder(&folder) } else { Ok(()) }
}

/// Creates `folder` and those above it where missing, durably. A folder that exists is left as it is.
pub fn create_folder(folder: &Path) -> Result<(), DurableError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    if parent != folder {
        create_folder(&parent)?;
    }
    match fs::create_dir(folder) {
        // Another thread may have been quicker.
        Err(error) if !folder.is_dir() => Err(DurableError::io("create the folder", folder)(error)),
        _ => sync_folder(&parent),
    }
}

/// Creates `folder`, and those above it where missing, durably; false where something has this name already. Of several
/// that try at once, one gets true.
pub fn create_new_folder(folder: &Path) -> Result<bool, DurableError> {
    let parent = folder_of(folder);
    loop {
        create_folder(&parent)?;
        match fs::create_dir(folder) {
            Ok(()) => return sync_folder(&parent).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // Whoever made the folder above has taken it away again since.
            Err(error) if error.kind() == ErrorKind::NotFound && !parent.exists() => {}
            Err(error) => return Err(DurableError::io("create the folder", folder)(error)),
        }
    }
}

/// Removes the temporary files that a killed process may have left in `folder` and below, so that a resumed run ends
/// with the same files as one that was never killed. Only for a folder that nobody else writes to (see [`super::Lock`]).
pub fn remove_leftovers(folder: &Path) -> Result<(), DurableError> {
    remove_in(folder, true)
}

/// The same for `folder` alone, not for those below it.
pub fn remove_leftovers_here(folder: &Path) -> Result<(), DurableError> {
    remove_in(folder, false)
}

fn remove_in(folder: &Path, and_below: bool) -> Result<(), DurableError> {
    for entry in fs::read_dir(folder).map_err(DurableError::io("list", folder))? {
        let entry = entry.map_err(DurableError::io("list", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(DurableError::io("inspect", &path))?;
        if kind.is_dir() {
            if and_below {
                remove_in(&path, true)?;
            }
        } else if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            fs::remove_file(&path).map_err(DurableError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The folder that holds `path`: "." for a bare name.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes the names within `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), DurableError> {
    // Only Unix can open a folder as a file; elsewhere a rename is as durable as the system makes it.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(DurableError::io("sync", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_created_with_its_folders_and_replaced_without_leftovers() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runs/one/best.prompt");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(path.parent().unwrap()), ["best.prompt"]);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file_and_names_the_path() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("taken")).unwrap();
        let error = write(&root.path().join("taken"), b"text").unwrap_err().to_string();
        assert!(error.contains("taken"), "{error}");
        assert_eq!(names(root.path()), ["taken"]);
        fs::write(root.path().join("file"), "").unwrap();
        let error = write(&root.path().join("file/below"), b"text").unwrap_err().to_string();
        assert!(error.contains("A part of the path is a file"), "{error}");
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("generations/001");
        create_folder(&folder).unwrap();
        for name in [".ratchet-abc123.tmp", ".gitignore", "notes.tmp"] {
            fs::write(folder.join(name), "").unwrap();
        }
        remove_leftovers_here(root.path()).unwrap();
        assert_eq!(names(&folder).len(), 3);
        remove_leftovers(root.path()).unwrap();
        let mut left = names(&folder);
        left.sort();
        assert_eq!(left, [".gitignore", "notes.tmp"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_symbolic_links_survive() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real"), root.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
