//! The engine's only output: one stream of [`Event`]s. The journal, the run folder, the terminal and the reports all
//! read it.
//!
//! Three kinds travel in it. *Decisions* are journalled, in an order that never depends on timing. *Inputs* are
//! journalled too: what a decision rested on besides stored responses, so that a replay sees the same. *Sightings*
//! (progress, outcomes on their way into files) are not journalled: they can be had again.

use serde::{Deserialize, Serialize};

use super::{FellBack, IncumbentMeasured, ProviderNotice, RunEnded, Stopped};
use crate::config::Objective;
use crate::diagnose::FailureCluster;
use crate::digest::Digest;
use crate::eval::{Changes, Comparison, Outcome, OutcomeError, Summary};
use crate::model::{Amount, CallError, ModelRole};
use crate::prompt::Edit;
use crate::propose::Proposal;
use crate::stats::Interval;

/// The version of the run folder's format. A reader opens every version up to its own and refuses newer ones.
pub const FORMAT: u32 = 1;

/// One event of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The run began.
    RunStarted(RunStarted),
    /// A row could not run; replay gives the same error.
    RowFailed(RowFailed),
    /// A proposer's call failed for good; replay gives the same error.
    AskFailed(AskFailed),
    /// Attempts without an answer took a part of the budget; replay counts the same.
    AttemptsLost(AttemptsLost),
    /// A limit on money, calls, tokens or time was reached; replay stops at the same place.
    LimitReached(LimitReached),
    /// Another model took the place of one that can't be had any more; replay changes over at the same place.
    FellBack(FellBack),
    /// The starting prompt was measured.
    BaselineMeasured(BaselineMeasured),
    /// The incumbent was measured anew, since another model answers or judges from here on.
    IncumbentMeasured(IncumbentMeasured),
    /// The model's noise was measured.
    NoiseMeasured(NoiseMeasured),
    /// A generation began.
    GenerationStarted(GenerationStarted),
    /// Failures of the incumbent were clustered.
    Diagnosed(Diagnosed),
    /// A plateau made the search look elsewhere.
    Widened(Widened),
    /// A candidate passed the static guards.
    Proposed(Proposed),
    /// An ask yielded no candidate.
    Dropped(Dropped),
    /// A candidate was tried where it should show.
    Screened(Screened),
    /// A candidate ran over train against the incumbent.
    Raced(Raced),
    /// Survivors were merged into one candidate.
    Merged(Merged),
    /// The gate decided.
    Judged(Judged),
    /// A hunk of what was kept was left out again, to see whether it earns its place.
    Ablated(Ablated),
    /// A generation ended.
    GenerationEnded(GenerationEnded),
    /// The sealed test was opened.
    TestOpened(TestOpened),
    /// The run ended as planned.
    RunEnded(RunEnded),
    /// Outcomes of a prompt, for the run folder. Not journalled.
    #[serde(skip)]
    Measured(Measured),
    /// How far things are. Not journalled.
    #[serde(skip)]
    Progress(Progress),
    /// A provider is out, or back. Not journalled.
    #[serde(skip)]
    Provider(ProviderNotice),
}

impl Event {
    /// Whether the event belongs in the journal.
    pub fn is_journalled(&self) -> bool {
        !matches!(self, Event::Measured(_) | Event::Progress(_) | Event::Provider(_))
    }

    /// Its name in the journal; `None` where it isn't journalled.
    pub fn name(&self) -> Option<String> {
        Some(serde_json::to_value(self).ok()?.get("event")?.as_str()?.to_owned())
    }
}

/// The run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT`] of the folder.
    pub format: u32,
    /// The project's name.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// Fingerprint of the dataset.
    pub dataset: Digest,
    /// Digest of the starting prompts: also the id of the baseline candidate, shortened.
    pub baseline: Digest,
    /// Rows of train, dev and test.
    pub rows: [usize; 3],
    /// Most generations.
    pub generations: u32,
    /// Proposals a generation.
    pub proposals: u32,
    /// Values below it are failing.
    pub pass_threshold: f64,
    /// What the scores of this run are.
    #[serde(default, skip_serializing_if = "Objective::is_mean_score")]
    pub objective: Objective,
    /// Whether the target declares itself deterministic.
    pub deterministic: bool,
    /// What deserves a look before the run is trusted, such as a judge that can't tell revisions apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A row could not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowFailed {
    /// Digest of the prompts.
    pub prompts: Digest,
    /// Id of the example.
    pub example: String,
    /// Which draw.
    pub sample: u32,
    /// What took the place of its answer.
    pub error: OutcomeError,
}

/// A proposer's call failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskFailed {
    /// The generation.
    pub generation: u32,
    /// Number of the proposal within its generation.
    pub slot: u32,
    /// Its error.
    pub error: CallError,
}

/// What attempts that may have been billed without an answer count as, when a generation begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptsLost {
    /// The generation.
    pub generation: u32,
    /// Of the whole run so far, by role.
    pub lost: std::collections::BTreeMap<ModelRole, Amount>,
}

/// A limit was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitReached {
    /// The generation that was not begun or not finished; 0 for the baseline.
    pub generation: u32,
    /// At what.
    pub during: During,
    /// The limit: `budget` or `time`.
    pub limit: Stopped,
    /// In plain words.
    pub reason: String,
}

/// At what a limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum During {
    /// Before a generation, which could not have been gated.
    Before,
    /// Within a generation, or the baseline.
    Within,
    /// At the sealed test, which is left out.
    Test,
}

/// The starting prompt was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineMeasured {
    /// On train: of no rows where the run opens with examples.
    pub train: Summary,
    /// On dev.
    pub dev: Summary,
    /// The starting prompt's size in tokens.
    pub tokens: usize,
}

/// The model's noise was measured: the same prompt twice on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseMeasured {
    /// Rows that ran twice; 0 where the target declares itself deterministic, or too few calls were left.
    pub rows: usize,
    /// Share of those rows whose value differed, in [0, 1].
    pub flip_rate: f64,
    /// Ids of the rows that differed.
    pub flaky: Vec<String>,
    /// The smallest gain that dev can tell from luck, in [0, 1].
    pub detectable: f64,
    /// Dev rows that would show half of that.
    pub rows_for_half: u64,
    /// The same in plain words.
    pub words: String,
}

/// A generation began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationStarted {
    /// 1 for the first.
    pub generation: u32,
    /// Id of the incumbent.
    pub incumbent: String,
}

/// Failures of the incumbent on train, clustered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosed {
    /// The generation.
    pub generation: u32,
    /// Largest first.
    pub clusters: Vec<FailureCluster>,
}

/// A plateau made the search look elsewhere in this generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Widened {
    /// The generation.
    pub generation: u32,
    /// Generations in a row that kept nothing before it.
    pub without_gain: u32,
    /// Ids of the clusters that nothing was asked for since the last gain; they come first.
    pub clusters: Vec<String>,
    /// Whether more proposals than usual look at the task as a whole.
    pub bolder: bool,
    /// Ids of the prompts of the archive that may be edited in the incumbent's stead.
    pub parents: Vec<String>,
    /// Id of the prompt of the archive whose edits are tried on the incumbent.
    pub donor: Option<String>,
    /// The same in plain words.
    pub words: String,
}

/// A candidate passed the static guards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// The generation.
    pub generation: u32,
    /// Id of the candidate: the shortened digest of its prompts.
    pub candidate: String,
    /// Id of the prompt that was edited: the incumbent, or one of the archive. What was made of one of the archive is
    /// brought to the incumbent where it applies cleanly.
    pub parent: String,
    /// Which strategy made it.
    pub strategy: String,
    /// The cluster it is for, by id.
    pub cluster: Option<String>,
    /// The proposal.
    pub proposal: Proposal,
    /// The prompts that it yields, by name.
    pub prompts: std::collections::BTreeMap<String, String>,
    /// Size of the prompts in tokens.
    pub tokens: usize,
    /// Unified diff against the incumbent.
    pub diff: String,
}

/// An ask yielded no candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// The generation.
    pub generation: u32,
    /// Which strategy.
    pub strategy: String,
    /// For which cluster, by id.
    pub cluster: Option<String>,
    /// Why.
    pub reason: String,
}

/// A candidate was tried on the rows it claims to fix and on their passing neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    /// The generation.
    pub generation: u32,
    /// Id of the candidate.
    pub candidate: String,
    /// Rows fixed.
    pub fixed: usize,
    /// Rows broken.
    pub broken: usize,
    /// Rows tried.
    pub rows: usize,
    /// Whether it goes on to the race.
    pub passed: bool,
    /// Where it was dropped since many of its rows could not run, be it in the race: what the first of them met. The same
    /// model answered other prompts at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub could_not_run: Option<String>,
}

/// A candidate ran over train in blocks against the incumbent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raced {
    /// The generation.
    pub generation: u32,
    /// Id of the candidate.
    pub candidate: String,
    /// Rows run before it was decided, failing and passing ones equally often.
    pub rows: usize,
    /// Rows that the race had.
    pub of: usize,
    /// Rows fixed.
    pub fixed: usize,
    /// Rows broken.
    pub broken: usize,
    /// Rows improved without being fixed, where values are graded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub improved: usize,
    /// Rows worsened without being broken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worsened: usize,
    /// Mean paired difference on all of train, as estimated from the rows run, each kind by its share.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Whether it survived.
    pub survived: bool,
    /// Ids of pinned rows that it is sure to break; the gate would refuse it for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaks_pinned: Vec<String>,
}

impl Raced {
    /// How many rows changed in each way.
    pub fn changes(&self) -> Changes {
        let Self { fixed, broken, improved, worsened, .. } = *self;
        Changes { fixed, broken, improved, worsened }
    }
}

/// Survivors were merged into one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// The generation.
    pub generation: u32,
    /// Id of the merged candidate.
    pub candidate: String,
    /// Id of the candidate that was edited.
    pub parent: String,
    /// Ids of the candidates merged, best first.
    pub parts: Vec<String>,
    /// The merged prompts, by name.
    pub prompts: std::collections::BTreeMap<String, String>,
    /// Size of the prompts in tokens.
    pub tokens: usize,
    /// Unified diff against the parent.
    pub diff: String,
    /// Whether the merge, rather than its best part, goes to the gate.
    pub better: bool,
    /// Ids of pinned rows that it breaks; it doesn't go to the gate for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaks_pinned: Vec<String>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn is_none(samples: &u32) -> bool {
    *samples == 0
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The candidate is the new incumbent.
    Kept,
    /// It isn't better, or it breaks what must not break.
    Rejected,
    /// The evidence does not suffice.
    Undecided,
}

/// The gate's decision with its reason and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Kept, rejected or undecided.
    pub decision: Decision,
    /// In plain words, with what it would take to decide where it is undecided.
    pub reason: String,
    /// Rows compared.
    pub rows: usize,
    /// Rows missing in one arm or both.
    pub missing: usize,
    /// Rows fixed.
    pub fixed: usize,
    /// Rows broken.
    pub broken: usize,
    /// Rows improved without being fixed, where values are graded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub improved: usize,
    /// Rows worsened without being broken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worsened: usize,
    /// Paired difference of the scores.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Two-sided p value of "no difference".
    pub p_value: f64,
    /// Fresh samples taken of each flipped row, in each arm; 0 where the target is deterministic.
    pub samples: u32,
    /// Evidence from the fresh samples that the gain is real; absent where none were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_value: Option<f64>,
    /// Error rate that this verdict was allowed to spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
}

impl Verdict {
    /// How many rows changed in each way.
    pub fn changes(&self) -> Changes {
        let Self { fixed, broken, improved, worsened, .. } = *self;
        Changes { fixed, broken, improved, worsened }
    }
}

/// The gate decided about a candidate, on dev.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The generation.
    pub generation: u32,
    /// Id of the candidate.
    pub candidate: String,
    /// Id of the incumbent that it was measured against.
    pub incumbent: String,
    /// The decision.
    pub verdict: Verdict,
    /// The candidate on dev.
    pub dev: Summary,
    /// Ids of dev rows fixed.
    pub fixed: Vec<String>,
    /// Ids of dev rows broken.
    pub broken: Vec<String>,
    /// Ids of dev rows worsened without being broken, where values are graded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worsened: Vec<String>,
}

/// A hunk of a kept revision was left out, and the rest compared with the revision on train and dev together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ablated {
    /// The generation.
    pub generation: u32,
    /// Id of the revision as the gate kept it.
    pub revision: String,
    /// Id of the prompts without the hunk, and without those that went before it.
    pub candidate: String,
    /// Id of the incumbent that the revision edits.
    pub parent: String,
    /// Ids of the proposals that the hunk belongs to: the candidate, or parts of a merge.
    pub parts: Vec<String>,
    /// The hunk, against the parent.
    pub hunk: Edit,
    /// What it takes out, as a unified diff.
    pub removed: String,
    /// Rows compared before it was decided.
    pub rows: usize,
    /// Rows fixed by leaving it out.
    pub fixed: usize,
    /// Rows broken by leaving it out.
    pub broken: usize,
    /// Rows improved without being fixed, where values are graded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub improved: usize,
    /// Rows worsened without being broken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worsened: usize,
    /// Fresh samples of each row that changed, in either arm, that these figures rest on; 0 where first draws told.
    #[serde(default, skip_serializing_if = "is_none")]
    pub samples: u32,
    /// Paired difference of the scores, without less with.
    pub difference: f64,
    /// Its 95 % interval; of a hunk that stays, on the assumption that the rows not run would not change.
    pub interval: Interval,
    /// How far below zero the interval may reach for the hunk to go.
    pub margin: f64,
    /// The hard guard for which the hunk stays all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// The prompts without the hunk, by name, where it stays; empty in runs of before they were kept.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub prompts: std::collections::BTreeMap<String, String>,
    /// The new incumbent, where the hunk went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortened: Option<Shortened>,
}

impl Ablated {
    /// How many rows changed in each way.
    pub fn changes(&self) -> Changes {
        let Self { fixed, broken, improved, worsened, .. } = *self;
        Changes { fixed, broken, improved, worsened }
    }
}

/// A kept revision without the hunks that did not earn their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shortened {
    /// Its prompts, by name.
    pub prompts: std::collections::BTreeMap<String, String>,
    /// Their size in tokens.
    pub tokens: usize,
    /// Unified diff against the parent.
    pub diff: String,
    /// It on dev.
    pub dev: Summary,
}

/// A generation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationEnded {
    /// The generation.
    pub generation: u32,
    /// Id of the incumbent after it.
    pub incumbent: String,
    /// Whether a candidate was kept.
    pub kept: bool,
    /// The incumbent on train.
    pub train: Summary,
    /// The incumbent on dev.
    pub dev: Summary,
}

/// The sealed test was opened: baseline and winner, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestOpened {
    /// The baseline on test.
    pub baseline: Summary,
    /// The winner on test.
    pub winner: Summary,
    /// The two, paired.
    pub comparison: Comparison,
    /// Whether the lower bound of the difference is above zero: the only ground on which to say "better".
    pub shown: bool,
    /// Where it isn't shown, about how many test rows would show a difference of this size; 0 where none would.
    pub rows_to_show: u64,
}

/// Outcomes of one candidate at one stage, for the run folder.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The generation; 0 for the baseline.
    pub generation: u32,
    /// Whether the rows are those of the sealed test.
    pub sealed: bool,
    /// Id of the candidate.
    pub candidate: String,
    /// In the order of the rows.
    pub outcomes: Vec<Outcome>,
}

/// How far things are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The generation; 0 before the first.
    pub generation: u32,
    /// What is being done: `baseline`, `propose`, `screen`, `race`, `gate`, `ablate`, `test`.
    pub stage: &'static str,
    /// What is being tried, in few words.
    pub trying: String,
    /// Id of the candidate whose rows these are; empty where there are none.
    pub candidate: String,
    /// Rows done in this stage.
    pub done: usize,
    /// Rows of this stage.
    pub of: usize,
    /// Their score by the run's objective, over those that ran.
    pub score: f64,
}
