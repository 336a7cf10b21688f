//! What a plateau changes. After one generation without gain the clusters that nothing was asked for yet come first;
//! after two, or where there are none, every second proposal looks at the task as a whole, some edit a prompt of the
//! archive, and what a prompt of the archive holds is tried on the incumbent. Then patience ends the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::archive::Entry;
use super::ask::Source;
use super::choose::Choice;
use super::generation::{Candidate, State};
use super::meter::{Doing, Meter};
use super::{Halt, Revision, Search};
use crate::dataset::{Example, Split};
use crate::diagnose::{FailureCluster, diagnose};
use crate::eval::Outcome;
use crate::prompt::{PromptSet, merge};
use crate::propose::{Proposal, Proposed};
use crate::run::{Event, Widened};
use crate::seed;

/// The strategy's name of what is tried on the incumbent without a proposer's call.
pub(super) const DONOR: &str = "from-archive";
/// Clusters for each proposal that looks at the task as a whole: usually, and when bold.
const USUAL: usize = 2;
const BOLD: usize = 1;
/// Of so many proposals, one edits a prompt of the archive; and the most that do.
const PROPOSALS_A_PARENT: usize = 3;
const MOST_PARENTS: usize = 2;

/// What happened since something was kept.
#[derive(Debug, Default)]
pub(super) struct Plateau {
    /// Proposals asked for, by id of the cluster.
    asked: BTreeMap<String, usize>,
    widened: Vec<Widened>,
}

/// How a generation goes about its proposals.
pub(super) struct Plan {
    /// In the order in which they take turns.
    pub clusters: Vec<FailureCluster>,
    /// Clusters for each proposal that looks at the task as a whole.
    pub clusters_a_whole: usize,
    /// Prompts of the archive that are edited in the incumbent's stead.
    parents: Vec<Arc<Parent>>,
    /// What is tried on the incumbent.
    pub donor: Option<Entry>,
}

/// A prompt of the archive, with what fails under it.
#[derive(Debug)]
pub(super) struct Parent {
    pub entry: Entry,
    outcomes: Vec<Outcome>,
    clusters: Vec<FailureCluster>,
}

impl Parent {
    pub fn source(&self) -> Source<'_> {
        Source {
            prompts: &self.entry.prompts,
            quoted: &self.entry.quoted,
            outcomes: &self.outcomes,
            clusters: &self.clusters,
        }
    }
}

impl Plan {
    /// Lets the last proposals that look at the task as a whole edit the parents.
    pub fn give_parents(&self, choices: &mut [Choice]) {
        let whole = choices.iter_mut().rev().filter(|choice| choice.cluster.is_none());
        for (choice, parent) in whole.zip(&self.parents) {
            choice.parent = Some(Arc::clone(parent));
        }
    }
}

impl Plateau {
    /// Takes in what was asked for.
    pub fn observe(&mut self, choices: &[Choice]) {
        for cluster in choices.iter().filter_map(|choice| choice.cluster.as_ref()) {
            *self.asked.entry(cluster.id.clone()).or_default() += 1;
        }
    }

    fn asked(&self, cluster: &FailureCluster) -> usize {
        self.asked.get(&cluster.id).copied().unwrap_or(0)
    }

    /// Why the search ends after `generations` in a row that kept nothing.
    pub fn why_stopped(&self, generations: u32) -> String {
        let clusters: BTreeSet<&String> = self.widened.iter().flat_map(|widened| &widened.clusters).collect();
        let prompts: BTreeSet<&String> =
            self.widened.iter().flat_map(|widened| widened.parents.iter().chain(&widened.donor)).collect();
        let tried = [
            (!clusters.is_empty()).then(|| counted(clusters.len(), "other cluster")),
            self.widened.iter().any(|widened| widened.bolder).then(|| "the task as a whole".to_owned()),
            (!prompts.is_empty()).then(|| format!("{} of the archive", counted(prompts.len(), "prompt"))),
        ];
        let tried: Vec<String> = tried.into_iter().flatten().collect();
        let widened = if tried.is_empty() { String::new() } else { format!(", also with {}", tried.join(", ")) };
        format!("{} in a row kept nothing{widened}", counted(generations as usize, "generation"))
    }
}

/// Measuring a revision on all of train for the archive may take one call in so many of those that are left.
const SHARE: u64 = 8;

impl State {
    /// Has the incumbent offered to the archive once it is needed.
    pub fn archive_incumbent(&mut self) {
        self.unarchived.push(self.incumbent.clone());
    }
}

impl Search<'_> {
    /// Takes `candidate`, which ran over all of train, into the archive.
    pub(super) fn archive(&self, meter: &Meter<'_>, state: &mut State, candidate: &Candidate) {
        let known = meter.known(&candidate.prompts, &self.unquoted(&candidate.quoted));
        if let Some(outcomes) = known {
            let base = &state.incumbent.prompts;
            state.archive.offer(entry(&candidate.id, &candidate.prompts, &candidate.quoted, base, &outcomes));
        }
    }

    /// Offers the revisions that were kept to the archive, oldest first, as far as the calls go.
    async fn fill_archive(&self, meter: &Meter<'_>, state: &mut State, generation: u32) -> Result<(), Halt> {
        for revision in std::mem::take(&mut state.unarchived) {
            let Revision { id, prompts, quoted, .. } = &revision;
            let rows = self.unquoted(quoted);
            if meter.unknown(prompts, &rows, 0) > self.task_calls_left() / SHARE {
                state.unarchived.push(revision);
                continue;
            }
            let doing = Doing { generation, stage: "train", trying: "a revision for the archive".to_owned() };
            let outcomes = meter.measure(prompts, &rows, 0, &doing).await?;
            state.archive.offer(entry(id, prompts, quoted, prompts, &outcomes));
        }
        meter.journal_failures()
    }

    /// Train rows that a prompt does not quote.
    pub(super) fn unquoted(&self, quoted: &BTreeSet<String>) -> Vec<Arc<Example>> {
        self.dataset.rows(Split::Train).into_iter().filter(|row| !quoted.contains(&row.id)).collect()
    }

    /// How the generation goes about its `count` proposals; says so where that is wider than usual.
    pub(super) async fn plan(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        count: usize,
        generation: u32,
    ) -> Result<Plan, Halt> {
        let clusters = state.clusters.clone();
        let mut plan = Plan { clusters, clusters_a_whole: USUAL, parents: Vec::new(), donor: None };
        if state.without_gain == 0 || !self.settings.parts.widen {
            return Ok(plan);
        }
        plan.clusters.sort_by_key(|cluster| state.plateau.asked(cluster));
        let others: Vec<String> = plan
            .clusters
            .iter()
            .filter(|cluster| state.plateau.asked(cluster) == 0)
            .map(|cluster| cluster.id.clone())
            .collect();
        let bolder = state.without_gain > 1 || others.is_empty();
        if bolder {
            plan.clusters_a_whole = BOLD;
        }
        if bolder && self.settings.parts.archive {
            if !self.is_short(state) {
                self.fill_archive(meter, state, generation).await?;
            }
            plan.parents = self.parents(meter, state, count, generation).await?;
            plan.donor = self.donor(state, generation);
        }
        let mut widened = Widened {
            generation,
            without_gain: state.without_gain,
            clusters: others,
            bolder,
            parents: plan.parents.iter().map(|parent| parent.entry.id.clone()).collect(),
            donor: plan.donor.as_ref().map(|donor| donor.id.clone()),
            words: String::new(),
        };
        widened.words = words(&widened);
        state.plateau.widened.push(widened.clone());
        self.sink.emit(Event::Widened(widened))?;
        Ok(plan)
    }

    /// Prompts of the archive to edit, apart from the incumbent.
    async fn parents(
        &self,
        meter: &Meter<'_>,
        state: &State,
        count: usize,
        generation: u32,
    ) -> Result<Vec<Arc<Parent>>, Halt> {
        let mut random = seed::generator(self.settings.seed, generation, "parents");
        let mut drawn = BTreeSet::from([state.incumbent.id.clone()]);
        let mut parents = Vec::new();
        for _ in 0..(count / PROPOSALS_A_PARENT).min(MOST_PARENTS) {
            let Some(entry) = state.archive.draw(&mut random, |entry| !drawn.contains(&entry.id)) else { break };
            drawn.insert(entry.id.clone());
            let doing = Doing { generation, stage: "propose", trying: "a prompt of the archive".to_owned() };
            let outcomes = meter.measure(&entry.prompts, &self.unquoted(&entry.quoted), 0, &doing).await?;
            let clusters = diagnose(&outcomes, self.settings.pass_threshold, &state.past_clusters);
            parents.push(Arc::new(Parent { entry: entry.clone(), outcomes, clusters }));
        }
        Ok(parents)
    }

    /// A prompt of the archive whose edits apply to the incumbent and make something new of it. What was made from this
    /// incumbent is no donor: it is a survivor or was refused.
    fn donor(&self, state: &State, generation: u32) -> Option<Entry> {
        let mut random = seed::generator(self.settings.seed, generation, "donor");
        let incumbent = state.incumbent.prompts.digest();
        let is_new = |entry: &Entry| {
            entry.base.digest() != incumbent
                && self
                    .onto_incumbent(state, entry, &entry.prompts)
                    .is_some_and(|prompts| !state.seen.contains(&prompts.digest()))
        };
        state.archive.draw(&mut random, is_new).cloned()
    }

    /// The incumbent with what `prompts`, an edit of `parent` or itself, changes of what `parent` was made from; nothing
    /// where the two don't go together.
    pub(super) fn onto_incumbent(&self, state: &State, parent: &Entry, prompts: &PromptSet) -> Option<PromptSet> {
        let merged = merge(&parent.base, &[&state.incumbent.prompts, prompts]).ok()?;
        self.propose.fits(&merged).then_some(merged)
    }
}

/// What `donor` holds as a proposal without edits of its own.
pub(super) fn of_donor(donor: &Entry) -> Proposed {
    let proposal = Proposal {
        edits: Vec::new(),
        rationale: format!("Brings the edits of {}, which is best on some rows, to the incumbent.", donor.id),
        expected_effect: String::new(),
        quoted: Vec::new(),
    };
    Proposed { proposal, prompts: donor.prompts.as_ref().clone() }
}

fn entry(
    id: &str,
    prompts: &Arc<PromptSet>,
    quoted: &BTreeSet<String>,
    base: &Arc<PromptSet>,
    outcomes: &[Outcome],
) -> Entry {
    let value = |outcome: &Outcome| Some((outcome.example.id.clone(), outcome.value()?));
    let values = outcomes.iter().filter_map(value).filter(|(row, _)| !quoted.contains(row)).collect();
    let (prompts, base) = (Arc::clone(prompts), Arc::clone(base));
    Entry { id: id.to_owned(), prompts, quoted: quoted.clone(), base, values }
}

fn words(widened: &Widened) -> String {
    let donor = widened.donor.as_ref().map(|_| "the edits of one are tried on the incumbent".to_owned());
    let others = widened.clusters.len();
    let wider = [
        (others > 0).then(|| {
            let come = if others == 1 { "comes" } else { "come" };
            format!("{} that nothing was asked for {come} first", counted(others, "cluster"))
        }),
        widened.bolder.then(|| "every second proposal looks at the task as a whole".to_owned()),
        (!widened.parents.is_empty())
            .then(|| format!("{} of the archive may be edited", counted(widened.parents.len(), "prompt"))),
        donor,
    ];
    let wider: Vec<String> = wider.into_iter().flatten().collect();
    format!("no gain for {}: {}", counted(widened.without_gain as usize, "generation"), wider.join("; "))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
