//! One generation: diagnose, propose, screen, race, merge, and one question to the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ablate::{Ablation, Part};
use super::archive::{Archive, Entry};
use super::choose::{Bandit, choose};
use super::judge::Judgement;
use super::meter::{Doing, Meter};
use super::question::Question;
use super::race::{self, Course};
use super::usable::Usable;
use super::widen::{self, Parent, Plateau};
use super::{Halt, Revision, Search};
use crate::dataset::Split;
use crate::diagnose::{FailureCluster, FailureKind, diagnose};
use crate::digest::Digest;
use crate::eval::{Change, Outcome, OutcomeError};
use crate::model::{Amount, CallError, ModelRole};
use crate::prompt::PromptSet;
use crate::propose::{Attempt, Dropped, FreeAsk, Proposed, Sets, Strategy};
use crate::run::{self, AskFailed, Decision, Diagnosed, Event, GenerationEnded, GenerationStarted, Stopped};

/// What a search remembers from generation to generation.
pub(super) struct State {
    /// The generation that is under way or was the last; 0 before the first.
    pub generation: u32,
    /// How many generations came to their end. One that ended as another model took over did not: it is not counted
    /// among those that the run may have.
    pub whole: u32,
    /// Whether the next generation opens the run with examples.
    pub opens: bool,
    /// Whether no generation but an opening has ended since the models that answer and judge were last changed.
    pub is_new: bool,
    /// How many of the recorded breaks it has come past.
    pub breaks: usize,
    /// How many of them changed the model that answers or judges.
    pub changes: usize,
    /// What the search knows to be lost of the budget.
    pub lost: BTreeMap<ModelRole, Amount>,
    /// Why no further generation is begun, and more on it in plain words.
    pub stopped: Option<Stopped>,
    pub why: String,
    /// Why the budget covered no proposal in the latest generation, where that is so: then none will come any more.
    pub unpaid: Option<String>,
    /// Whether the latest generation put a question to the gate.
    pub asked: bool,
    pub incumbent: Revision,
    /// Whether the model may answer the same question in two ways. A noise measurement without a flip is no proof that it
    /// doesn't.
    pub noisy: bool,
    /// Digests of all prompts tried.
    pub seen: BTreeSet<Digest>,
    /// Ideas that ended badly.
    pub tried: Vec<Attempt>,
    /// Generations in a row that kept nothing.
    pub without_gain: u32,
    /// The incumbent's failures, largest first.
    pub clusters: Vec<FailureCluster>,
    /// Clusters of all generations, oldest first: ids are never used twice.
    pub past_clusters: Vec<FailureCluster>,
    pub bandit: Bandit,
    /// Survivors of races against this incumbent that the gate hasn't refused, best first.
    pub survivors: Vec<Survivor>,
    /// Whether the parts of the last question hurt one another: then the best single survivor is next.
    pub single_next: bool,
    /// Ids of the candidates that the gate has judged against this incumbent.
    pub judged: BTreeSet<String>,
    /// Prompts that are best on some rows.
    pub archive: Archive,
    /// Revisions to be offered to the archive once it is needed: that takes all of train.
    pub unarchived: Vec<Revision>,
    pub plateau: Plateau,
    /// What the proposer's replies came to.
    pub usable: Usable,
    /// What is left to be asked of the hunks that were kept last.
    pub ablation: Option<Ablation>,
    /// Calls that ablation has taken.
    pub ablation_calls: u64,
}

impl State {
    pub fn new(incumbent: Revision, noisy: bool, bandit: Bandit) -> Self {
        let mut state = Self {
            generation: 0,
            whole: 0,
            opens: false,
            is_new: true,
            breaks: 0,
            changes: 0,
            lost: BTreeMap::new(),
            stopped: None,
            why: String::new(),
            unpaid: None,
            asked: false,
            noisy,
            seen: BTreeSet::from([incumbent.prompts.digest()]),
            tried: Vec::new(),
            without_gain: 0,
            clusters: Vec::new(),
            past_clusters: Vec::new(),
            bandit,
            survivors: Vec::new(),
            single_next: false,
            judged: BTreeSet::new(),
            archive: Archive::default(),
            unarchived: Vec::new(),
            plateau: Plateau::default(),
            usable: Usable::default(),
            ablation: None,
            ablation_calls: 0,
            incumbent,
        };
        state.archive_incumbent();
        state
    }

    /// Begins anew from `incumbent` as it was measured by the models that answer and judge from here on: whatever rested
    /// on the answers before goes, where the search is and what it has learned of strategies stays.
    pub fn renew(&mut self, incumbent: Revision, noisy: bool) {
        let bandit = std::mem::take(&mut self.bandit);
        *self = Self {
            generation: self.generation,
            whole: self.whole,
            breaks: self.breaks,
            changes: self.changes,
            lost: std::mem::take(&mut self.lost),
            past_clusters: std::mem::take(&mut self.past_clusters),
            usable: std::mem::take(&mut self.usable),
            ..Self::new(incumbent, noisy, bandit)
        };
    }
}

impl State {
    /// Whether there are survivors that the gate has not judged.
    pub fn is_anything_waiting(&self) -> bool {
        self.survivors.iter().any(|survivor| !self.judged.contains(&survivor.candidate.id))
    }

    /// The survivors of these ids.
    fn parts(&self, ids: &[String]) -> Vec<Part> {
        let survivors = self.survivors.iter().map(|survivor| &survivor.candidate);
        survivors
            .filter(|candidate| ids.contains(&candidate.id))
            .map(|candidate| Part { id: candidate.id.clone(), prompts: Arc::clone(&candidate.prompts) })
            .collect()
    }

    /// Puts the best survivor first; the shorter prompt on a tie.
    pub fn rank_survivors(&mut self) {
        self.survivors.sort_by(|one, other| {
            other
                .difference
                .total_cmp(&one.difference)
                .then_with(|| one.candidate.prompts.tokens().cmp(&other.candidate.prompts.tokens()))
                .then_with(|| one.candidate.id.cmp(&other.candidate.id))
        });
    }
}

/// A prompt on trial.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub id: String,
    pub strategy: String,
    pub cluster: Option<FailureCluster>,
    pub rationale: String,
    pub prompts: Arc<PromptSet>,
    /// Train rows that its prompt quotes, the incumbent's included.
    pub quoted: BTreeSet<String>,
}

/// A candidate that came out of its race ahead.
#[derive(Debug, Clone)]
pub(super) struct Survivor {
    pub candidate: Candidate,
    /// Its gain on train, as far as it was run.
    pub difference: f64,
    /// Share of train rows that it changes.
    pub changed: f64,
    pub course: Course,
    /// Failing and passing rows of the course that it ran.
    pub run: (usize, usize),
}

impl Search<'_> {
    /// Runs one generation.
    pub(super) async fn generation(&self, meter: &Meter<'_>, state: &mut State, generation: u32) -> Result<(), Halt> {
        let incumbent = state.incumbent.id.clone();
        self.sink.emit(Event::GenerationStarted(GenerationStarted { generation, incumbent }))?;
        if state.opens
            && let Some(kept) = self.open(meter, state, generation).await?
        {
            return self.end_generation(state, kept, generation);
        }
        self.diagnose(state, generation)?;
        let candidates = self.candidates(meter, state, generation).await?;
        let before = self.task_calls_left();
        let new = self.try_out(meter, state, candidates, generation).await?;
        let trials = before.saturating_sub(self.task_calls_left());
        let mut kept = false;
        let waits = new && self.can_wait(state, trials);
        state.asked = false;
        if !waits && let Some(question) = self.question(meter, state, generation).await? {
            if question.parts.len() > 1 {
                self.archive(meter, state, &question.candidate);
            }
            state.seen.insert(question.candidate.prompts.digest());
            state.asked = true;
            kept = self.ask_gate(meter, state, question, generation).await?;
        }
        // A generation whose survivors wait for more has not been answered.
        state.without_gain = if kept { 0 } else { state.without_gain + u32::from(!waits) };
        // Where calls are short, what was kept is made shorter from what is left at the end.
        let is_last = self.generations_left(state) <= 1 || state.without_gain >= self.settings.patience;
        if !self.is_short(state) || is_last || state.unpaid.is_some() {
            match self.ablate(meter, state, generation, is_last).await {
                // What was kept stands, and the next generation finds that there is nothing left.
                Err(Halt::Fault(OutcomeError::Call(CallError::Budget(_)))) => {}
                other => other?,
            }
        }
        state.is_new = false;
        self.end_generation(state, kept, generation)
    }

    fn end_generation(&self, state: &mut State, kept: bool, generation: u32) -> Result<(), Halt> {
        state.whole += 1;
        self.sink.emit(Event::GenerationEnded(GenerationEnded {
            generation,
            incumbent: state.incumbent.id.clone(),
            kept,
            train: self.settings.objective.summary(&state.incumbent.train),
            dev: self.settings.objective.summary(&state.incumbent.dev),
        }))?;
        Ok(())
    }

    fn diagnose(&self, state: &mut State, generation: u32) -> Result<(), Halt> {
        let quoted = &state.incumbent.quoted;
        let outcomes: Vec<Outcome> =
            state.incumbent.train.iter().filter(|outcome| !quoted.contains(&outcome.example.id)).cloned().collect();
        state.clusters = diagnose(&outcomes, self.settings.pass_threshold, &state.past_clusters);
        state.past_clusters.extend(state.clusters.iter().cloned());
        let clusters = state.clusters.clone();
        self.sink.emit(Event::Diagnosed(Diagnosed { generation, clusters }))?;
        Ok(())
    }

    /// The generation's candidates: what needs no model first, then one for each ask that came to something.
    async fn candidates(&self, meter: &Meter<'_>, state: &mut State, generation: u32) -> Result<Vec<Candidate>, Halt> {
        let mut found = Vec::new();
        // What was kept before another model took over has had its turn.
        let is_first = state.is_new && state.incumbent.prompts.digest() == self.baseline.digest();
        for (strategy, proposed) in self.free(state, if is_first { Sets::Sizes } else { Sets::More }, generation) {
            found.extend(self.admit(state, strategy, None, None, Ok(proposed), generation)?);
        }
        for (strategy, proposed) in self.to_prune(meter, state) {
            found.extend(self.admit(state, strategy, None, None, Ok(proposed), generation)?);
        }
        let left = self.proposer_calls_left();
        state.unpaid = (left == 0).then(|| self.not_covered(ModelRole::Proposer, "another call"));
        let count = u64::from(self.settings.proposals).min(left) as usize;
        let plan = self.plan(meter, state, count, generation).await?;
        if let Some(donor) = &plan.donor {
            let proposed = Ok(widen::of_donor(donor));
            found.extend(self.admit(state, widen::DONOR.to_owned(), None, Some(donor), proposed, generation)?);
        }
        let (clusters, seed) = (&plan.clusters, self.settings.seed);
        let has_labels = !self.labels().is_empty();
        let strategies: Vec<Arc<Strategy>> =
            self.strategies.iter().filter(|strategy| has_labels || !strategy.of_labels).cloned().collect();
        let mut choices = choose(
            clusters,
            &strategies,
            &state.bandit,
            plan.clusters_a_whole,
            count,
            (seed, generation),
            state.is_new,
        );
        plan.give_parents(&mut choices);
        state.plateau.observe(&choices);
        let parents: Vec<Option<Arc<Parent>>> = choices.iter().map(|choice| choice.parent.clone()).collect();
        let asks = self.asks(state, clusters, choices, generation);
        let doing = Doing { generation, stage: "propose", trying: format!("{} proposals", asks.len()) };
        meter.announce(&doing);
        let replies = self.replies(meter, state, &asks, generation).await?;
        state.unpaid = state.unpaid.take().or_else(|| unpaid(&replies));
        for ((ask, parent), reply) in asks.into_iter().zip(parents).zip(replies) {
            if let Err(Dropped::Call(error)) = &reply {
                if error.is_systemic() && !matches!(error, CallError::Budget(_)) {
                    return Err(OutcomeError::Call(error.clone()).into());
                }
                let failed = AskFailed { generation, slot: ask.slot, error: error.clone() };
                self.sink.emit(Event::AskFailed(failed))?;
            }
            state.usable.observe(&reply);
            let (strategy, parent) = (ask.strategy.name.clone(), parent.as_ref().map(|parent| &parent.entry));
            found.extend(self.admit(state, strategy, ask.cluster, parent, reply, generation)?);
        }
        Ok(found)
    }

    /// What can be tried on the incumbent without a model.
    pub(super) fn free(&self, state: &State, sets: Sets, generation: u32) -> Vec<(String, Proposed)> {
        if !self.settings.parts.free {
            return Vec::new();
        }
        let Revision { prompts, quoted, .. } = &state.incumbent;
        self.propose.free(&FreeAsk {
            seed: self.settings.seed,
            generation,
            prompts,
            train: &self.dataset.rows(Split::Train),
            quoted,
            labels: &self.labels(),
            sets,
            form_fails: state.clusters.iter().any(|cluster| cluster.kind == FailureKind::Format),
        })
    }

    /// Makes a reply a candidate, unless it came to nothing or was tried before; either is said. What was made of a
    /// `parent` of the archive is brought to the incumbent where it applies cleanly.
    pub(super) fn admit(
        &self,
        state: &mut State,
        strategy: String,
        cluster: Option<FailureCluster>,
        parent: Option<&Entry>,
        reply: Result<Proposed, Dropped>,
        generation: u32,
    ) -> Result<Option<Candidate>, Halt> {
        let reply = reply.and_then(|mut proposed| {
            let merged = parent.and_then(|parent| self.onto_incumbent(state, parent, &proposed.prompts));
            proposed.prompts = merged.unwrap_or(proposed.prompts);
            if state.seen.insert(proposed.prompts.digest()) {
                Ok(proposed)
            } else {
                Err(Dropped::Guard("the same prompt was tried before".to_owned()))
            }
        });
        let cluster_id = cluster.as_ref().map(|cluster| cluster.id.clone());
        let Proposed { proposal, prompts } = match reply {
            Ok(proposed) => proposed,
            Err(dropped) => {
                let reason = dropped.to_string();
                let event = run::Dropped { generation, strategy, cluster: cluster_id, reason };
                self.sink.emit(Event::Dropped(event))?;
                return Ok(None);
            }
        };
        let mut quoted = state.incumbent.quoted.clone();
        quoted.extend(proposal.quoted.iter().chain(parent.iter().flat_map(|parent| &parent.quoted)).cloned());
        let candidate = Candidate {
            id: prompts.digest().short(),
            strategy: strategy.clone(),
            cluster,
            rationale: proposal.rationale.clone(),
            quoted,
            prompts: Arc::new(prompts),
        };
        self.sink.emit(Event::Proposed(run::Proposed {
            generation,
            candidate: candidate.id.clone(),
            parent: parent.map_or(&state.incumbent.id, |parent| &parent.id).clone(),
            strategy,
            cluster: cluster_id,
            prompts: texts(&candidate.prompts),
            tokens: candidate.prompts.tokens(),
            diff: state.incumbent.prompts.unified_diff(&candidate.prompts),
            proposal,
        }))?;
        Ok(Some(candidate))
    }

    /// Puts a question to the gate and takes in the verdict; says whether the candidate was kept.
    pub(super) async fn ask_gate(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        question: Question,
        generation: u32,
    ) -> Result<bool, Halt> {
        let Question { candidate, parts } = question;
        let Judgement { verdict, dev, comparison } = self.judge(meter, state, &candidate, generation).await?;
        meter.journal_failures()?;
        let ids = |change| comparison.ids(change).map(str::to_owned).collect();
        self.sink.emit(Event::Judged(run::Judged {
            generation,
            candidate: candidate.id.clone(),
            incumbent: state.incumbent.id.clone(),
            verdict: verdict.clone(),
            dev: self.settings.objective.summary(&dev),
            fixed: ids(Change::Fixed),
            broken: ids(Change::Broken),
            worsened: ids(Change::Worsened),
        }))?;
        if verdict.decision == Decision::Kept {
            let parts = state.parts(&parts);
            let Candidate { id, prompts, quoted, .. } = candidate;
            // It stands from here on, whatever becomes of the calls that measure it on train.
            let revision = Revision { id, prompts, quoted, train: Vec::new(), dev };
            let before = std::mem::replace(&mut state.incumbent, revision);
            self.keep_back_test(meter, &state.incumbent.prompts);
            state.incumbent.train =
                self.on_train(meter, state, &state.incumbent, self.rows_of_incumbent(state)).await?;
            state.survivors.clear();
            state.judged.clear();
            state.single_next = false;
            state.archive_incumbent();
            state.plateau = Plateau::default();
            state.ablation = Ablation::new(before, state.incumbent.clone(), parts, generation);
            return Ok(true);
        }
        state.judged.insert(candidate.id.clone());
        if verdict.decision == Decision::Rejected {
            let ended =
                format!("rejected at the gate: {} (fixed {}, broke {})", verdict.reason, verdict.fixed, verdict.broken);
            state.tried.push(attempt(&candidate, ended));
            state.survivors.retain(|survivor| survivor.candidate.id != candidate.id);
        }
        state.single_next = parts.len() > 1 && self.hurts_itself(meter, state, &candidate, &parts, generation).await?;
        meter.journal_failures()?;
        Ok(false)
    }

    /// An incumbent on `count` train rows, or as many more as the next generation needs, as far as the budget goes: the
    /// sealed test's share of it stays.
    pub(super) async fn on_train(
        &self,
        meter: &Meter<'_>,
        state: &State,
        revision: &Revision,
        count: usize,
    ) -> Result<Vec<Outcome>, Halt> {
        let generation = state.generation;
        let doing = Doing { generation, stage: "train", trying: "the new incumbent".to_owned() };
        let mut rows = race::order(&self.unquoted(&revision.quoted), self.settings.seed, generation);
        rows = meter.within(&revision.prompts, &rows, self.task_calls_left());
        let is_failing = |outcome: &&Outcome| outcome.is_failing(self.settings.pass_threshold);
        let mut train = Vec::new();
        let mut count = count.min(rows.len());
        while train.len() < count {
            train.extend(meter.measure(&revision.prompts, &rows[train.len()..count], 0, &doing).await?);
            // A block of failing rows is the least to learn from and to race on; that none fails has to be shown on all.
            if train.iter().filter(is_failing).count() < race::BLOCK {
                count = (count + race::BLOCK).min(rows.len());
            }
        }
        meter.journal_failures()?;
        Ok(train)
    }
}

/// Why the budget covered none of the proposals, where it covered none.
fn unpaid(replies: &[Result<Proposed, Dropped>]) -> Option<String> {
    let refused = |reply: &Result<Proposed, Dropped>| match reply {
        Err(Dropped::Call(CallError::Budget(reason))) => Some(reason.clone()),
        _ => None,
    };
    let reasons: Option<Vec<String>> = replies.iter().map(refused).collect();
    reasons?.into_iter().next()
}

pub(super) fn attempt(candidate: &Candidate, ended: String) -> Attempt {
    Attempt {
        strategy: candidate.strategy.clone(),
        cluster: candidate.cluster.as_ref().map(|cluster| cluster.label.clone()),
        rationale: candidate.rationale.clone(),
        ended,
    }
}

pub(super) fn texts(prompts: &PromptSet) -> BTreeMap<String, String> {
    prompts.iter().map(|prompt| (prompt.name().to_owned(), prompt.text().to_owned())).collect()
}
