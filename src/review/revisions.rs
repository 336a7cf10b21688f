//! The kept revisions of a run, hunk by hunk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::prompt::{Edit, Prompt, PromptSet, hunks, merge};
use crate::report::{CandidateView, Origin, RunView};
use crate::run::{Ablated, Judged, RunError, RunFolder};

/// Names one hunk of a run: `g2h1` is the first hunk of what generation 2 kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HunkId {
    /// The generation that kept it.
    pub generation: u32,
    /// From 1, in the order of the prompts' names and of the text.
    pub number: u32,
}

impl fmt::Display for HunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}h{}", self.generation, self.number)
    }
}

impl FromStr for HunkId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix('g').and_then(|rest| rest.split_once('h'));
        let id = parts.and_then(|(generation, number)| {
            Some(Self { generation: generation.parse().ok()?, number: number.parse().ok()? })
        });
        id.ok_or_else(|| format!("`{text}` is no hunk's id; they look like g2h1, and `ratchet review --list` has them"))
    }
}

impl From<HunkId> for String {
    fn from(id: HunkId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for HunkId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// One hunk of a kept revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its name.
    pub id: HunkId,
    /// The prompts that it was written for.
    pub base: PromptSet,
    /// What it changes, against `base`.
    pub edit: Edit,
    /// Which of the revision's purposes it serves, as an index; none where a merge did what no part of it had.
    pub purpose: Option<usize>,
}

/// What a proposal was for: a revision has one, or one for each part of a merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Purpose {
    /// The strategy that made it.
    pub strategy: String,
    /// Label of the failure cluster that it is for.
    pub cluster: Option<String>,
    /// Why it should help, in the proposer's words.
    pub rationale: String,
    /// What should change, in the proposer's words.
    pub expected_effect: String,
    /// Ids of the train rows that its edits quote.
    pub quoted: Vec<String>,
}

/// One kept revision.
#[derive(Debug, Clone)]
pub struct Revision {
    /// The generation that kept it.
    pub generation: u32,
    /// The gate's decision with its numbers.
    pub judged: Judged,
    /// Its prompts.
    pub prompts: PromptSet,
    /// What it was for.
    pub purposes: Vec<Purpose>,
    /// What it changes, part by part; all of them together make `prompts` of those of the one before.
    pub hunks: Vec<Hunk>,
}

/// The kept revisions of one run, first to last.
#[derive(Debug, Clone)]
pub struct Revisions {
    /// The prompts that the run began with.
    pub baseline: PromptSet,
    /// Each built on the one before it.
    pub revisions: Vec<Revision>,
}

impl Revisions {
    /// The kept revisions of the run that `view` shows, whose folder is `folder`.
    ///
    /// # Errors
    /// The snapshot's prompts are missing or damaged, or a kept prompt no longer parses.
    pub fn read(folder: &RunFolder, view: &RunView) -> Result<Self, RunError> {
        let baseline = snapshot_prompts(&folder.snapshot().join("prompts"))?;
        if let Some(started) = &view.started
            && started.baseline != baseline.digest()
        {
            let message = "aren't the prompts that the run began with; restore the folder from a copy".to_owned();
            return Err(RunError::Unreadable { path: folder.snapshot().join("prompts"), message });
        }
        let damaged = |error: String| RunError::Unreadable {
            path: folder.path.join("journal.jsonl"),
            message: format!("holds a kept revision that can't be read: {error}"),
        };
        let mut revisions: Vec<Revision> = Vec::new();
        for (candidate, judged) in view.kept() {
            let parent = revisions.last().map_or(&baseline, |revision| &revision.prompts).clone();
            let earlier = revisions.iter().filter(|revision| revision.generation == judged.generation);
            let first = 1 + earlier.map(|revision| revision.hunks.len() as u32).sum::<u32>();
            revisions.push(Revision::new(view, candidate, judged, &parent, first).map_err(damaged)?);
        }
        Ok(Self { baseline, revisions })
    }

    /// All hunks in order, each with its revision.
    pub fn hunks(&self) -> impl Iterator<Item = (&Revision, &Hunk)> {
        self.revisions.iter().flat_map(|revision| revision.hunks.iter().map(move |hunk| (revision, hunk)))
    }

    /// The hunk of that id, with its revision.
    pub fn hunk(&self, id: HunkId) -> Option<(&Revision, &Hunk)> {
        self.hunks().find(|(_, hunk)| hunk.id == id)
    }

    /// The last kept revision's prompts; the baseline where nothing was kept.
    pub fn winner(&self) -> &PromptSet {
        self.revisions.last().map_or(&self.baseline, |revision| &revision.prompts)
    }

    /// The kept revision with exactly these prompts.
    pub fn revision_of(&self, prompts: &PromptSet) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.prompts.digest() == prompts.digest())
    }

    /// Ids of the train rows that any revision quotes: left out of both arms when a result is measured.
    pub fn quoted(&self) -> BTreeSet<String> {
        let purposes = self.revisions.iter().flat_map(|revision| &revision.purposes);
        purposes.flat_map(|purpose| purpose.quoted.iter().cloned()).collect()
    }

    /// Digest of each hunk: a review's choices are for these hunks and no others.
    pub fn digests(&self) -> BTreeMap<HunkId, Digest> {
        let digest =
            |edit: &Edit| Digest::of_parts([&edit.file, &edit.search, &edit.replace].map(|part| part.as_bytes()));
        self.hunks().map(|(_, hunk)| (hunk.id, digest(&hunk.edit))).collect()
    }
}

impl Revision {
    fn new(
        view: &RunView,
        candidate: &CandidateView,
        judged: &Judged,
        parent: &PromptSet,
        first: u32,
    ) -> Result<Self, String> {
        let prompts = parse_set(candidate.prompts())?;
        let parts = view.parts(candidate);
        let removed: Vec<&Ablated> = candidate.ablated.iter().filter(|ablated| ablated.shortened.is_some()).collect();
        let numbers = (first..).map(|number| HunkId { generation: judged.generation, number });
        let hunks = hunks_of(parent, &sides(parent, &parts, &removed), &prompts, numbers);
        let purposes = parts.iter().filter_map(|part| purpose_of(part)).collect();
        Ok(Self { generation: judged.generation, judged: judged.clone(), hunks, prompts, purposes })
    }
}

impl Hunk {
    /// 1-based line of the base's text where it begins.
    pub fn line(&self) -> usize {
        let before = self.base.get(&self.edit.file).and_then(|prompt| {
            let at = prompt.text().find(&self.edit.search)?;
            prompt.text().get(..at)
        });
        1 + before.unwrap_or_default().matches('\n').count()
    }

    /// It alone, as a unified diff against its base.
    pub fn diff(&self) -> String {
        let edited = self.base.apply(std::slice::from_ref(&self.edit));
        edited.map_or_else(|_| String::new(), |edited| self.base.unified_diff(&edited))
    }
}

/// From `parent` to `prompts` by way of `sides`, merged one after another, so that each hunk is one part's alone even
/// where several parts add lines at the same place. What is left at the end belongs to no part.
fn hunks_of(
    parent: &PromptSet,
    sides: &[PromptSet],
    prompts: &PromptSet,
    mut ids: impl Iterator<Item = HunkId>,
) -> Vec<Hunk> {
    let mut found = Vec::new();
    let mut base = parent.clone();
    let merges = (1..=sides.len()).map(|count| merge(parent, &sides[..count].iter().collect::<Vec<_>>()).ok());
    let purposes = (0..sides.len()).map(Some);
    let ways = merges.zip(purposes).chain(std::iter::once((Some(prompts.clone()), None)));
    for (next, purpose) in ways {
        let Some(next) = next else { continue };
        for old in base.iter() {
            let edits = next.get(old.name()).map_or_else(Vec::new, |new| hunks(old, new));
            found.extend(edits.into_iter().zip(&mut ids).map(|(edit, id)| Hunk {
                id,
                base: base.clone(),
                edit,
                purpose,
            }));
        }
        base = next;
    }
    found
}

/// The prompts of each part, without the hunks that went after it was kept. Not told where one can't be read: then all
/// hunks are the merge's own.
fn sides(parent: &PromptSet, parts: &[&CandidateView], removed: &[&Ablated]) -> Vec<PromptSet> {
    let side = |part: &&CandidateView| {
        let Origin::Proposed(proposed) = &part.origin else { return None };
        let side = parse_set(&proposed.prompts).ok()?;
        let gone = |edit: &Edit| {
            removed.iter().any(|ablated| ablated.parts.contains(&proposed.candidate) && ablated.hunk == *edit)
        };
        let mut edits: Vec<Edit> =
            parent.iter().flat_map(|old| side.get(old.name()).map_or_else(Vec::new, |new| hunks(old, new))).collect();
        if !edits.iter().any(gone) {
            return Some(side);
        }
        edits.retain(|edit| !gone(edit));
        parent.apply(&edits).ok()
    };
    parts.iter().map(side).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn purpose_of(part: &CandidateView) -> Option<Purpose> {
    let Origin::Proposed(proposed) = &part.origin else { return None };
    Some(Purpose {
        strategy: proposed.strategy.clone(),
        cluster: part.cluster.as_ref().map(|cluster| cluster.label.clone()),
        rationale: proposed.proposal.rationale.clone(),
        expected_effect: proposed.proposal.expected_effect.clone(),
        quoted: proposed.proposal.quoted.clone(),
    })
}

fn parse_set(texts: &BTreeMap<String, String>) -> Result<PromptSet, String> {
    let prompts: Result<Vec<Prompt>, _> = texts.iter().map(|(name, text)| Prompt::parse(name, text)).collect();
    prompts.and_then(PromptSet::new).map_err(|error| error.to_string())
}

fn snapshot_prompts(folder: &Path) -> Result<PromptSet, RunError> {
    let unreadable = |message: String| RunError::Unreadable { path: folder.to_path_buf(), message };
    let missing = |error: std::io::Error| unreadable(format!("can't be read ({error}); the run's snapshot is needed"));
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(missing)? {
        let path = entry.map_err(missing)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        texts.insert(name, std::fs::read_to_string(&path).map_err(missing)?);
    }
    parse_set(&texts).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read() {
        let id: HunkId = "g2h13".parse().unwrap();
        assert_eq!((id.generation, id.number, id.to_string()), (2, 13, "g2h13".to_owned()));
        for wrong in ["", "g2", "h1", "2h1", "g2h1x", "gh"] {
            assert!(wrong.parse::<HunkId>().unwrap_err().contains("--list"), "{wrong}");
        }
    }

    #[test]
    fn a_kept_run_opens_with_the_hunks_of_its_revisions() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-format-1");
        let folder = RunFolder::open(&path).unwrap();
        let view = RunView::read(&folder).unwrap();
        let revisions = Revisions::read(&folder, &view).unwrap();
        assert_eq!(revisions.revisions.len(), view.kept().len());
        for revision in &revisions.revisions {
            assert!(!revision.purposes.is_empty());
            assert!(
                revision.hunks.iter().all(|hunk| hunk.purpose.is_some_and(|index| index < revision.purposes.len()))
            );
        }
        assert!(revisions.revision_of(revisions.winner()).is_some());
    }

    #[test]
    fn parts_of_a_merge_that_add_at_the_same_place_are_hunks_of_their_own() {
        let set = |text: &str| PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap();
        let parent = set("one\n{{ input }}\n");
        let sides = [set("one\nb\n{{ input }}\n"), set("one\na\n{{ input }}\n")];
        let merged = set("one\na\nb\n{{ input }}\n");
        let ids = || (1..).map(|number| HunkId { generation: 1, number });
        let found = hunks_of(&parent, &sides, &merged, ids());
        assert_eq!(found.iter().map(|hunk| hunk.purpose).collect::<Vec<_>>(), [Some(0), Some(1)]);
        assert!(found[0].diff().contains("+b\n") && found[1].diff().contains("+a\n"));
        let mended = set("ONE\na\nb\n{{ input }}\n");
        let found = hunks_of(&parent, &sides, &mended, ids());
        assert_eq!(found.iter().map(|hunk| hunk.purpose).collect::<Vec<_>>(), [Some(0), Some(1), None]);
    }
}
