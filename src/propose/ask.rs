//! What is asked of a proposer, as data: [`Ask`]; and the seam that answers it: [`Propose`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Proposal, Strategy};
use crate::dataset::{Example, Labels};
use crate::diagnose::FailureCluster;
use crate::digest::Digest;
use crate::model::{BoxFuture, CallError};
use crate::prompt::PromptSet;

/// A train row as the proposer sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownRow {
    /// The example's id.
    pub id: String,
    /// Its input as text.
    pub input: String,
    /// The reference answer.
    pub expected: Option<String>,
    /// What the incumbent answered, where it was asked.
    pub answered: Option<String>,
    /// A scorer's reason, where one was given.
    pub reason: Option<String>,
    /// The steps of the agent that answered, in short, where it was one: they tell which prompt is to blame.
    pub steps: Option<String>,
}

/// An idea that was tried before, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The strategy's name.
    pub strategy: String,
    /// The cluster's label, where there was one.
    pub cluster: Option<String>,
    /// The proposal's rationale.
    pub rationale: String,
    /// How it ended, in words: `rejected at the gate: fixed 3, broke 5`.
    pub ended: String,
}

/// One request for one proposal: a strategy for a cluster.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The run's seed.
    pub seed: u64,
    /// 1 for the first.
    pub generation: u32,
    /// Number of the proposal within its generation, 0 first.
    pub slot: u32,
    /// How to ask.
    pub strategy: Arc<Strategy>,
    /// What to mend; `None` for strategies that look at the task as a whole.
    pub cluster: Option<FailureCluster>,
    /// The prompts to edit.
    pub prompts: Arc<PromptSet>,
    /// What the task is, in the user's words.
    pub description: Option<String>,
    /// The user's hints.
    pub hints: Vec<String>,
    /// Where the task is one of labels: those of the answer, or of its fields, and how many train rows have each.
    pub labels: Vec<Labels>,
    /// Failing train rows: those of the cluster, or of several clusters where there is none.
    pub failing: Vec<ShownRow>,
    /// Near neighbours that pass today and must go on passing.
    pub passing: Vec<ShownRow>,
    /// Train rows to choose examples from, for strategies that quote rows; empty for all others.
    pub train_rows: Vec<ShownRow>,
    /// What was tried here before.
    pub tried: Vec<Attempt>,
    /// Digests of all prompts that were tried in this run.
    pub seen: Arc<BTreeSet<Digest>>,
}

/// Which sets of examples are offered without a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sets {
    /// Each size, and a line that pins the format of the answer: for prompts on which nothing was tried before.
    Sizes,
    /// A few more rows of each label.
    More,
    /// Each size, the largest first, with the format line in it: for the opening of a run, which no race goes before.
    Whole,
    /// The same of all rows that fit, which leaves none to compare on.
    All,
}

/// One request for proposals that need no model.
#[derive(Debug, Clone, Copy)]
pub struct FreeAsk<'a> {
    /// The run's seed.
    pub seed: u64,
    /// 1 for the first.
    pub generation: u32,
    /// The prompts to edit.
    pub prompts: &'a PromptSet,
    /// The train rows to draw examples from.
    pub train: &'a [Arc<Example>],
    /// Ids of those that the prompts quote already.
    pub quoted: &'a BTreeSet<String>,
    /// Labels of the answer, or of its fields; empty where the task is not one of labels.
    pub labels: &'a [Labels],
    /// Which sets of examples are offered.
    pub sets: Sets,
    /// Whether answers fail by their form. Where they do, examples may show nothing without the line that mends it.
    pub form_fails: bool,
}

/// A proposal that passed the static guards, and the prompts it yields.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// The proposal.
    pub proposal: Proposal,
    /// The ask's prompts with the edits applied.
    pub prompts: PromptSet,
}

/// Why an ask yielded nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// The reply could not be read, also after it was sent back once.
    #[error("unreadable reply: {0}")]
    Reply(String),
    /// A static guard refused the edits, also after they were sent back once.
    #[error("{0}")]
    Guard(String),
    /// The edits make the prompt too long, also after they were sent back once.
    #[error("{0}")]
    TooLong(String),
    /// There was no reply.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Makes proposals.
pub trait Propose: Send + Sync {
    /// Answers one ask.
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>>;

    /// What can be proposed without a model, each with its strategy's name.
    fn free(&self, ask: &FreeAsk<'_>) -> Vec<(String, Proposed)>;

    /// What `prompts` are without one of their lines, each with its strategy's name: the longest line first, and only
    /// what is not among `seen`.
    fn shorter(&self, prompts: &PromptSet, seen: &BTreeSet<Digest>) -> Vec<(String, Proposed)>;

    /// Whether `after` leaves alone what no edit of `before` may change, and renders: the static guards that a part of
    /// an edit may fail though the whole passed.
    fn is_sound(&self, before: &PromptSet, after: &PromptSet) -> bool;

    /// Whether `prompts` are within the limits of size and growth.
    fn fits(&self, prompts: &PromptSet) -> bool;
}
