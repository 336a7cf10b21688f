//! The choices of a review and their file, `review.json` in the run's folder: written after each choice, so that a
//! review can be left and gone on with at any time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Hunk, HunkId, Measurement, Revisions};
use crate::digest::Digest;
use crate::durable;
use crate::prompt::{Edit, PromptSet};
use crate::run::{RunError, RunFolder};

const FILE: &str = "review.json";

/// The version of `review.json`. Every version up to it opens; newer ones are refused.
const FORMAT: u32 = 1;

/// What a person wants of a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "choice")]
pub enum Choice {
    /// As it is.
    Accept,
    /// Not at all.
    Reject,
    /// With another text in the place of what it replaces.
    Edit {
        /// That text.
        replace: String,
    },
}

impl Choice {
    /// The edit that this makes of `hunk`, if any.
    pub fn edit(&self, hunk: &Hunk) -> Option<Edit> {
        match self {
            Choice::Accept => Some(hunk.edit.clone()),
            Choice::Reject => None,
            Choice::Edit { replace } => Some(Edit { replace: replace.clone(), ..hunk.edit.clone() }),
        }
    }
}

/// Choices by hunk; a hunk without one is open.
pub type Choices = BTreeMap<HunkId, Choice>;

/// A review as far as it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Version of the file.
    format: u32,
    /// The hunks that the choices are for. A run that is resumed may add to them.
    hunks: BTreeMap<HunkId, Digest>,
    /// Choices in the order in which they were made, those that were made at once together: undoing takes off the last.
    steps: Vec<Choices>,
    /// Results that were measured.
    measurements: Vec<Measurement>,
}

impl Review {
    /// A review of `revisions` without any choice.
    pub fn new(revisions: &Revisions) -> Self {
        Self { format: FORMAT, hunks: revisions.digests(), steps: Vec::new(), measurements: Vec::new() }
    }

    /// The review of `revisions` in the run's folder; `None` where there is none yet.
    ///
    /// # Errors
    /// The file is damaged, from a newer version of Ratchet, or about other hunks than the run has now.
    pub fn read(folder: &RunFolder, revisions: &Revisions) -> Result<Option<Self>, RunError> {
        let path = file(folder);
        let unreadable = |message: String| RunError::Unreadable { path: path.clone(), message };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(format!("can't be read: {error}"))),
        };
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged = |error| unreadable(format!("is damaged ({error}); delete it to review the run anew"));
        let version: Version = serde_json::from_str(&text).map_err(damaged)?;
        if version.format > FORMAT {
            let message = "was written by a newer version of Ratchet; update Ratchet to open it";
            return Err(unreadable(message.to_owned()));
        }
        let mut review: Self = serde_json::from_str(&text).map_err(damaged)?;
        let hunks = revisions.digests();
        let changed = review.hunks.iter().any(|(id, digest)| hunks.get(id) != Some(digest));
        if changed || review.steps.iter().flat_map(Choices::keys).any(|id| !hunks.contains_key(id)) {
            let message = "is about other hunks than the run has; delete it to review the run anew";
            return Err(unreadable(message.to_owned()));
        }
        review.hunks = hunks;
        Ok(Some(review))
    }

    /// Writes the review into the run's folder: the old one or the new one, never a part.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunError> {
        let path = file(folder);
        let text = serde_json::to_string_pretty(self).map_err(|error| RunError::Unreadable {
            path: path.clone(),
            message: format!("could not be written as JSON: {error}"),
        })?;
        Ok(durable::write(&path, format!("{text}\n").as_bytes())?)
    }

    /// What is chosen so far.
    pub fn choices(&self) -> Choices {
        self.steps.iter().flatten().map(|(id, choice)| (*id, choice.clone())).collect()
    }

    /// Makes choices, as one step; a hunk that had one gets the new one. No choices are no step.
    pub fn choose(&mut self, choices: Choices) {
        if !choices.is_empty() {
            self.steps.push(choices);
        }
    }

    /// Takes the last step back; says which hunks it was about. `None` where there is none.
    pub fn undo(&mut self) -> Option<Vec<HunkId>> {
        self.steps.pop().map(|step| step.into_keys().collect())
    }

    /// Hunks without a choice, in order.
    pub fn open(&self, revisions: &Revisions) -> Vec<HunkId> {
        let choices = self.choices();
        revisions.hunks().map(|(_, hunk)| hunk.id).filter(|id| !choices.contains_key(id)).collect()
    }

    /// What was measured of `prompts`, if they were.
    pub fn measurement(&self, prompts: &PromptSet) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.prompts == prompts.digest())
    }

    /// How many different results this review has measured on dev.
    pub fn measured(&self) -> usize {
        self.measurements.len()
    }

    /// Takes in a measurement; an earlier one of the same prompts is replaced.
    pub fn note(&mut self, measurement: Measurement) {
        self.measurements.retain(|earlier| earlier.prompts != measurement.prompts);
        self.measurements.push(measurement);
    }

    /// Where the review is kept.
    pub fn path(folder: &RunFolder) -> PathBuf {
        file(folder)
    }
}

fn file(folder: &RunFolder) -> PathBuf {
    Path::new(&folder.path).join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::compose::tests::{id, revisions};
    use crate::run::Manifest;

    fn folder(path: &Path) -> RunFolder {
        let manifest = Manifest {
            format: 1,
            run: "r".to_owned(),
            name: "n".to_owned(),
            started: String::new(),
            version: String::new(),
            config: PathBuf::new(),
        };
        RunFolder { path: path.to_path_buf(), manifest }
    }

    fn two() -> Revisions {
        revisions(&["a\nb\n{{ input }}\n", "A\nb\n{{ input }}\n", "A\nB\n{{ input }}\n"])
    }

    #[test]
    fn a_review_that_was_left_goes_on_where_it_was() {
        let keep = tempfile::tempdir().unwrap();
        let (folder, revisions) = (folder(keep.path()), two());
        assert_eq!(Review::read(&folder, &revisions).unwrap(), None);
        let mut review = Review::new(&revisions);
        review.choose(Choices::from([(id("g1h1"), Choice::Edit { replace: "x".to_owned() })]));
        review.write(&folder).unwrap();
        let again = Review::read(&folder, &revisions).unwrap().unwrap();
        assert_eq!(again, review);
        assert_eq!(again.open(&revisions), [id("g2h1")]);
    }

    #[test]
    fn undo_takes_back_one_step_with_all_that_it_chose_even_after_a_restart() {
        let keep = tempfile::tempdir().unwrap();
        let (folder, revisions) = (folder(keep.path()), two());
        let mut review = Review::new(&revisions);
        review.choose(Choices::from([(id("g1h1"), Choice::Accept)]));
        review.choose(Choices::from([(id("g1h1"), Choice::Reject), (id("g2h1"), Choice::Reject)]));
        review.write(&folder).unwrap();
        let mut review = Review::read(&folder, &revisions).unwrap().unwrap();
        assert_eq!(review.undo(), Some(vec![id("g1h1"), id("g2h1")]));
        assert_eq!(review.choices(), Choices::from([(id("g1h1"), Choice::Accept)]));
        assert_eq!(review.undo(), Some(vec![id("g1h1")]));
        assert_eq!(review.undo(), None);
    }

    #[test]
    fn a_review_of_other_hunks_is_refused_with_advice() {
        let keep = tempfile::tempdir().unwrap();
        let folder = folder(keep.path());
        Review::new(&two()).write(&folder).unwrap();
        let other = revisions(&["a\n{{ input }}\n", "A\n{{ input }}\n"]);
        let error = Review::read(&folder, &other).unwrap_err().to_string();
        assert!(error.contains("other hunks") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn hunks_that_a_resumed_run_adds_are_open() {
        let keep = tempfile::tempdir().unwrap();
        let folder = folder(keep.path());
        let before = revisions(&["a\nb\n{{ input }}\n", "A\nb\n{{ input }}\n"]);
        let mut review = Review::new(&before);
        review.choose(Choices::from([(id("g1h1"), Choice::Accept)]));
        review.write(&folder).unwrap();
        let review = Review::read(&folder, &two()).unwrap().unwrap();
        assert_eq!(review.open(&two()), [id("g2h1")]);
    }

    #[test]
    fn a_newer_file_is_refused_with_advice() {
        let keep = tempfile::tempdir().unwrap();
        let folder = folder(keep.path());
        std::fs::write(Review::path(&folder), "{\"format\": 99}").unwrap();
        let error = Review::read(&folder, &two()).unwrap_err().to_string();
        assert!(error.contains("newer version"), "{error}");
    }
}
