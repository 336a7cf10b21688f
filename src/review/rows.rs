//! The rows that a revision fixed, broke, improved and worsened, with the answers before and after: from the snapshot and the outcomes in
//! the run's folder. Train and dev only: what test holds stays sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::dataset::{Example, Split};
use crate::eval::Change;
use crate::run::{Judged, RunError, RunFolder};

/// What was answered to a row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Given {
    /// Its value in [0, 1].
    pub value: f64,
    /// The answer's text.
    pub answer: String,
}

/// A row that a revision changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedRow {
    /// The row; never one of test.
    pub example: Arc<Example>,
    /// Train or dev.
    pub split: Split,
    /// What became of it; never [`Change::Unchanged`].
    pub change: Change,
    /// The parent's first answer.
    pub before: Given,
    /// The revision's first answer.
    pub after: Given,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    sample: u32,
    /// Absent where the row could not run.
    #[serde(flatten)]
    given: Option<Given>,
}

/// The rows of the run's dataset, in order, with their splits.
///
/// # Errors
/// The snapshot is missing or damaged.
pub fn rows_of(folder: &RunFolder) -> Result<Vec<(Arc<Example>, Split)>, RunError> {
    let path = folder.snapshot().join("dataset.jsonl");
    let unreadable = |message: String| RunError::Unreadable { path: path.clone(), message };
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(format!("can't be read: {error}")))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let example: Example = serde_json::from_str(line)
                .map_err(|error| unreadable(format!("line {} is damaged: {error}", index + 1)))?;
            let split = example.split.unwrap_or(Split::Train);
            Ok((Arc::new(example), split))
        })
        .collect()
}

/// The rows of train and dev that the kept revision of `judged` changed: broken ones first, then those worsened, fixed and
/// improved; dev before train.
/// A row counts where both first answers are on file.
///
/// # Errors
/// The snapshot or the outcomes can't be read.
pub fn changed_rows(folder: &RunFolder, judged: &Judged, pass_threshold: f64) -> Result<Vec<ChangedRow>, RunError> {
    let before = first_answers(folder, &judged.incumbent)?;
    let after = first_answers(folder, &judged.candidate)?;
    let mut changed: Vec<ChangedRow> = rows_of(folder)?
        .into_iter()
        .filter(|(_, split)| *split != Split::Test)
        .filter_map(|(example, split)| {
            let (before, after) = (before.get(&example.id)?.clone(), after.get(&example.id)?.clone());
            let change = Change::of(before.value, after.value, pass_threshold);
            (change != Change::Unchanged).then_some(ChangedRow { example, split, change, before, after })
        })
        .collect();
    // Stable: within each kind and split in the order of the dataset.
    let order = [Change::Broken, Change::Worsened, Change::Fixed, Change::Improved];
    let place = |change| order.iter().position(|other| *other == change);
    changed.sort_by_key(|row| (place(row.change), row.split != Split::Dev));
    Ok(changed)
}

/// First answers of a candidate, whatever the generations that asked for them.
fn first_answers(folder: &RunFolder, candidate: &str) -> Result<BTreeMap<String, Given>, RunError> {
    let mut given = BTreeMap::new();
    let generations = folder.path.join("generations");
    let entries = std::fs::read_dir(&generations).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.path().join("candidates").join(candidate).join("outcomes.jsonl")).collect();
    files.sort();
    for path in files {
        let unreadable = |message: String| RunError::Unreadable { path: path.clone(), message };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(format!("can't be read: {error}"))),
        };
        for (index, line) in text.lines().enumerate() {
            let line: Line = serde_json::from_str(line)
                .map_err(|error| unreadable(format!("line {} is damaged: {error}", index + 1)))?;
            if let (0, Some(first)) = (line.sample, line.given) {
                given.insert(line.id, first);
            }
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Event, Manifest};

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn broken_rows_come_first_and_rows_of_test_never() {
        let keep = tempfile::tempdir().unwrap();
        let row = |id: &str, split: &str| format!("{{\"id\":\"{id}\",\"input\":\"i\",\"split\":\"{split}\"}}\n");
        let rows = row("a", "train") + &row("b", "dev") + &row("c", "dev") + &row("d", "dev") + &row("t", "test");
        write(keep.path().join("snapshot/dataset.jsonl"), &rows);
        let answers = |candidate: &str, generation: &str, values: &[(&str, u32, f64)]| {
            let lines = values.iter().map(|(id, sample, value)| {
                format!("{{\"id\":\"{id}\",\"sample\":{sample},\"value\":{value:.1},\"answer\":\"x\"}}\n")
            });
            let folder = keep.path().join("generations").join(generation).join("candidates").join(candidate);
            write(folder.join("outcomes.jsonl"), &lines.collect::<String>());
        };
        answers("old", "000", &[("a", 0, 0.0), ("b", 0, 0.0), ("c", 0, 1.0), ("d", 0, 0.6), ("t", 0, 0.0)]);
        answers("old", "001", &[("a", 1, 1.0)]);
        answers("new", "001", &[("a", 0, 1.0), ("b", 0, 1.0), ("c", 0, 0.0), ("d", 0, 0.5), ("t", 0, 1.0)]);
        let judged = serde_json::json!({
            "event": "judged", "generation": 1, "candidate": "new", "incumbent": "old", "fixed": [], "broken": [],
            "verdict": {"decision": "kept", "reason": "", "rows": 2, "missing": 0, "fixed": 1, "broken": 1,
                "difference": 0.0, "standard_error": 0.0, "p_value": 1.0, "samples": 0},
            "dev": {"score": 0.5, "interval": {"low": 0.0, "high": 1.0}, "examples": 2, "errors": 0},
        });
        let Event::Judged(judged) = serde_json::from_value(judged).unwrap() else { panic!("it is a verdict") };
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "format": 1, "run": "r", "name": "n", "started": "", "version": "", "config": ""
        }))
        .unwrap();
        let folder = RunFolder { path: keep.path().to_path_buf(), manifest };
        let changed = changed_rows(&folder, &judged, 1.0).unwrap();
        let short: Vec<(&str, Change)> = changed.iter().map(|row| (row.example.id.as_str(), row.change)).collect();
        assert_eq!(short, [("c", Change::Broken), ("d", Change::Worsened), ("b", Change::Fixed), ("a", Change::Fixed)]);
    }
}
