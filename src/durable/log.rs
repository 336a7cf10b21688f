//! An append-only log of JSON values, one a line, that survives being cut off anywhere.
//!
//! A record counts once its newline is written. What a crash leaves behind it is cut off on opening; damage anywhere
//! else is refused, since going on would silently drop what came after.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::DurableError;
use super::atomic::{create_folder, folder_of, sync_folder};

/// An open log. One writer at a time: guard it with a [`super::Lock`] where several processes may come.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of whole records in the file.
    length: u64,
    /// Bytes of a torn record that were cut off.
    cut: u64,
    /// Set when a failed append could not be taken back: another record would follow a torn one.
    torn: bool,
}

impl Log {
    /// Opens or creates the log at `path` and returns it with its records, oldest first, without their newlines.
    ///
    /// A last line without newline, or that isn't JSON, is a torn write and is removed from the file.
    /// A line before it that isn't JSON is an error that names it.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>), DurableError> {
        let folder = folder_of(path);
        create_folder(&folder)?;
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(path).map_err(DurableError::io("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(DurableError::io("read", path))?;
        let records = whole_records(&bytes, path)?;
        let length = records.iter().map(|record| record.len() as u64 + 1).sum();
        let cut = bytes.len() as u64 - length;
        if cut > 0 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(DurableError::io("repair", path))?;
        }
        sync_folder(&folder)?;
        Ok((Self { path: path.to_path_buf(), file, length, cut, torn: false }, records))
    }

    /// The records of the log at `path`, oldest first, without their newlines. A torn last line is passed over, as
    /// [`Log::open`] would cut it off; nothing is written.
    pub fn read(path: &Path) -> Result<Vec<String>, DurableError> {
        let bytes = std::fs::read(path).map_err(DurableError::io("read", path))?;
        whole_records(&bytes, path)
    }

    /// How many bytes of a torn record were cut off when it was opened; 0 where none was.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Appends one record. It survives the end of this process at once, a power cut after the next [`Log::sync`].
    ///
    /// Where writing fails part of the way, that part is taken back, so that the log stays whole and later appends
    /// may be tried.
    pub fn append(&mut self, record: &str) -> Result<(), DurableError> {
        if let Err(problem) = check(record.as_bytes()) {
            return Err(DurableError::NotARecord { path: self.path.clone(), problem });
        }
        if self.torn {
            self.take_back().map_err(DurableError::io("repair", &self.path))?;
        }
        let mut line = Vec::with_capacity(record.len() + 1);
        line.extend_from_slice(record.as_bytes());
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            self.torn = true;
            // If this fails too, the next append tries it again first.
            let _ = self.take_back();
            return Err(DurableError::io("append to", &self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Makes all records appended so far durable. Costs a disk flush, so call it once for a group of records.
    pub fn sync(&self) -> Result<(), DurableError> {
        self.file.sync_data().map_err(DurableError::io("sync", &self.path))
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take_back(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.torn = false;
        Ok(())
    }
}

/// The records in `bytes` up to a torn tail.
fn whole_records(bytes: &[u8], path: &Path) -> Result<Vec<String>, DurableError> {
    let mut records = Vec::new();
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        match check(line) {
            Ok(text) => records.push(text.to_owned()),
            Err(_) if lines.peek().is_none() => break,
            Err(problem) => {
                return Err(DurableError::Damaged { path: path.to_path_buf(), line: records.len() + 1, problem });
            }
        }
    }
    Ok(records)
}

/// A record is valid UTF-8, one JSON value, and without a newline.
fn check(line: &[u8]) -> Result<&str, String> {
    if line.contains(&b'\n') {
        return Err("it holds a line break".to_owned());
    }
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("not JSON ({error})"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn at(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("journal.jsonl");
        fs::write(&path, content).unwrap();
        (root, path)
    }

    #[test]
    fn records_come_back_in_order_after_reopening() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run/journal.jsonl");
        let (mut log, records) = Log::open(&path).unwrap();
        assert!(records.is_empty());
        log.append(r#"{"event":"started"}"#).unwrap();
        log.append("2").unwrap();
        log.sync().unwrap();
        drop(log);
        let (_, records) = Log::open(&path).unwrap();
        assert_eq!(records, [r#"{"event":"started"}"#, "2"]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_appending_goes_on_behind_the_whole_ones() {
        for torn in [&b"1\n{\"a\":"[..], b"1\n2", b"1\n{\"a\n", b"1\n\0\0\0\n", b"1\n\xff\xfe"] {
            let (_root, path) = at(torn);
            let (mut log, records) = Log::open(&path).unwrap();
            assert_eq!((records, log.cut()), (vec!["1".to_owned()], torn.len() as u64 - 2));
            log.append("3").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"1\n3\n");
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error_that_names_the_line_and_changes_nothing() {
        let (_root, path) = at(b"1\n{\"a\":\n3\n");
        let error = Log::open(&path).unwrap_err().to_string();
        assert!(error.contains("journal.jsonl, line 2: not JSON"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"1\n{\"a\":\n3\n");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_appended() {
        let (_root, path) = at(b"");
        let (mut log, _) = Log::open(&path).unwrap();
        for record in ["", "{", "1\n2", "{}\n"] {
            assert!(matches!(log.append(record), Err(DurableError::NotARecord { .. })), "{record:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cutting_at_any_byte_recovers_exactly_the_whole_lines_before_the_cut(
            texts in prop::collection::vec(any::<String>(), 0..6),
            share in 0.0..=1.0_f64,
        ) {
            let (_root, path) = at(b"");
            let (mut log, _) = Log::open(&path).unwrap();
            let records: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
            for record in &records {
                log.append(record).unwrap();
            }
            let bytes = fs::read(&path).unwrap();
            let cut = (bytes.len() as f64 * share) as usize;
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let (_, found) = Log::open(&path).unwrap();
            prop_assert_eq!(&found, &records[..whole]);
            let (_, again) = Log::open(&path).unwrap();
            prop_assert_eq!(again, found);
        }
    }
}
