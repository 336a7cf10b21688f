//! The run of `tests/golden/run-format-1`, and runs that went otherwise, as views.

use std::path::Path;

use tempfile::TempDir;

use super::RunView;
use crate::durable;
use crate::run::{Decision, Event, RunFolder, RunStarted};

/// A run folder that lasts as long as this.
pub(super) struct Fixture {
    pub folder: RunFolder,
    _keep: TempDir,
}

impl Fixture {
    pub fn view(&self) -> RunView {
        RunView::read(&self.folder).unwrap()
    }
}

pub(super) fn golden() -> RunFolder {
    RunFolder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-format-1")).unwrap()
}

/// The golden run with its events changed, its rows and without its `spend.json`.
pub(super) fn changed(change: impl FnOnce(Vec<Event>) -> Vec<Event>) -> Fixture {
    let keep = tempfile::tempdir().unwrap();
    let golden = golden();
    let path = keep.path().join(&golden.manifest.run);
    let lines: Vec<String> =
        change(golden.events().unwrap()).iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    durable::write(&path.join("journal.jsonl"), lines.concat().as_bytes()).unwrap();
    for file in ["run.json", "snapshot/dataset.jsonl", "spend.json"] {
        durable::write(&path.join(file), &std::fs::read(golden.path.join(file)).unwrap()).unwrap();
    }
    Fixture { folder: RunFolder::open(&path).unwrap(), _keep: keep }
}

/// A run whose one kept revision is shown to be better on test.
pub(super) fn finished() -> Fixture {
    changed(|events| events)
}

/// The same, with a warning about its judge.
pub(super) fn doubted() -> Fixture {
    let doubt = |event| match event {
        Event::RunStarted(started) => {
            let warnings = vec!["the judge `tone` can't tell | revisions apart".to_owned()];
            Event::RunStarted(RunStarted { warnings, ..started })
        }
        other => other,
    };
    changed(|events| events.into_iter().map(doubt).collect())
}

/// The same, killed while its first candidates were tried.
pub(super) fn unfinished() -> Fixture {
    changed(|events| events.into_iter().take_while(|event| !matches!(event, Event::Merged(_))).collect())
}

/// The same, had the gate refused everything.
pub(super) fn nothing_kept() -> Fixture {
    changed(|events| {
        let refused = |event| match event {
            Event::TestOpened(_) => None,
            Event::Judged(mut judged) => {
                judged.verdict.decision = Decision::Rejected;
                Some(Event::Judged(judged))
            }
            Event::GenerationEnded(mut ended) => {
                ended.kept = false;
                Some(Event::GenerationEnded(ended))
            }
            event => Some(event),
        };
        events.into_iter().filter_map(refused).collect()
    })
}
