//! The journal: every decision and input of a run, one JSON line each, durable before the run goes on.
//!
//! A resumed run makes its events anew from stored responses. As long as the journal already holds them they are
//! compared, not written: a run that decides otherwise than it did is stopped before it can mix two histories.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{Event, FORMAT, RunError, Sink};
use crate::durable::{DurableError, Log};

/// Name of the journal within a run folder.
pub(super) const FILE: &str = "journal.jsonl";

/// The journal of one run, open for writing.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: Log,
    /// Lines that an earlier process wrote.
    recorded: Vec<String>,
    /// How many of them were made again so far.
    replayed: usize,
}

impl Journal {
    /// Opens the journal in `folder`, new or to be gone on with; a torn last line is cut off. With the events that it
    /// holds.
    ///
    /// # Errors
    /// The file can't be opened or is damaged, or belongs to a newer version of Ratchet.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Event>), RunError> {
        let path = folder.join(FILE);
        let (log, recorded) = Log::open(&path)?;
        let events = parse(&path, recorded.iter().map(String::as_str))?;
        Ok((Self { state: Mutex::new(State { log, recorded, replayed: 0 }) }, events))
    }

    /// What was cut off of a torn last line when it was opened, in words; nothing where it was whole.
    pub fn repaired(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.log.cut() > 0).then(|| {
            format!(
                "the last line of {} was not written to its end and was cut off ({} bytes); what it said is done again",
                state.log.path().display(),
                state.log.cut()
            )
        })
    }
}

impl Sink for Journal {
    fn emit(&self, event: Event) -> Result<(), RunError> {
        if !event.is_journalled() {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&event).map_err(|error| RunError::Unreadable {
            path: state.log.path().to_path_buf(),
            message: format!("an event could not be written as JSON: {error}"),
        })?;
        if let Some(recorded) = state.recorded.get(state.replayed) {
            if *recorded != line {
                let journal = state.log.path().to_path_buf();
                return Err(RunError::Diverged { journal, line: state.replayed + 1 });
            }
            state.replayed += 1;
            return Ok(());
        }
        state.log.append(&line)?;
        state.log.sync()?;
        Ok(())
    }
}

/// The events of the run in `folder`, for reading only. A torn last line is passed over.
///
/// # Errors
/// The file can't be read or is damaged, or belongs to a newer version of Ratchet.
pub fn read_events(folder: &Path) -> Result<Vec<Event>, RunError> {
    let path = folder.join(FILE);
    let unreadable = |error: DurableError| RunError::Unreadable {
        path: path.clone(),
        message: match error {
            DurableError::Io { reason, .. } => format!("can't be read: {reason}"),
            DurableError::Damaged { line, problem, .. } => {
                format!("line {line} is no event: {problem}; restore the file from a copy")
            }
            other => other.to_string(),
        },
    };
    let records = Log::read(&path).map_err(unreadable)?;
    parse(&path, records.iter().map(String::as_str))
}

fn parse<'a>(path: &Path, lines: impl Iterator<Item = &'a str>) -> Result<Vec<Event>, RunError> {
    let mut events = Vec::new();
    for (index, line) in lines.enumerate() {
        let event: Event = serde_json::from_str(line).map_err(|error| RunError::Unreadable {
            path: path.to_path_buf(),
            message: match newer_format(line) {
                Some(format) => format!(
                    "written by a newer version of Ratchet (format {format}, this one reads up to {FORMAT}); update \
                     Ratchet to open it"
                ),
                None => format!("line {} is no event: {error}; restore the file from a copy", index + 1),
            },
        })?;
        if let Event::RunStarted(started) = &event
            && started.format > FORMAT
        {
            let message = format!(
                "written by a newer version of Ratchet (format {}, this one reads up to {FORMAT}); update Ratchet to \
                 open it",
                started.format
            );
            return Err(RunError::Unreadable { path: path.to_path_buf(), message });
        }
        events.push(event);
    }
    Ok(events)
}

/// The format that a first line names, where it is above ours.
fn newer_format(line: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("format")?.as_u64().filter(|format| *format > u64::from(FORMAT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Dropped, GenerationStarted};

    fn started(generation: u32) -> Event {
        Event::GenerationStarted(GenerationStarted { generation, incumbent: "a".to_owned() })
    }

    #[test]
    fn a_reopened_journal_compares_what_it_holds_and_appends_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, none) = Journal::open(folder.path()).unwrap();
        assert!(none.is_empty());
        journal.emit(started(1)).unwrap();
        let before = std::fs::read(folder.path().join(FILE)).unwrap();
        let (again, events) = Journal::open(folder.path()).unwrap();
        assert_eq!(events.len(), 1);
        again.emit(started(1)).unwrap();
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), before);
        again.emit(started(2)).unwrap();
        assert_eq!(read_events(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_run_that_decides_otherwise_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path()).unwrap().0.emit(started(1)).unwrap();
        let (again, _) = Journal::open(folder.path()).unwrap();
        let other = Event::Dropped(Dropped {
            generation: 1,
            strategy: "add-rule".to_owned(),
            cluster: None,
            reason: "no".to_owned(),
        });
        let error = again.emit(other).unwrap_err();
        assert!(matches!(error, RunError::Diverged { line: 1, .. }), "{error}");
    }

    #[test]
    fn a_torn_last_line_is_no_event() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path()).unwrap().0.emit(started(1)).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for torn in [b"{\"event\":\"generation_st".as_slice(), b"{\"event\":\"\xc3", b"\xff\xff\n"] {
            std::fs::write(&path, [&whole, torn].concat()).unwrap();
            assert_eq!(read_events(folder.path()).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"event\":\"run_started\",\"format\":99}\n").unwrap();
        let error = read_events(folder.path()).unwrap_err().to_string();
        assert!(error.contains("format 99") && error.contains("update"), "{error}");
    }
}
