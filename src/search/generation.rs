//! One generation: diagnose, propose, screen, race, merge, and one question to the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;

use super::choose::{Bandit, choose, kind};
use super::judge::Judgement;
use super::meter::{Doing, Meter};
use super::race::{self, Standing};
use super::{Halt, Revision, Search, merge, screen};
use crate::dataset::{Example, Split};
use crate::diagnose::{FailureCluster, diagnose};
use crate::digest::Digest;
use crate::eval::{Change, Comparison, Outcome, OutcomeError, Summary, compare};
use crate::model::CallError;
use crate::prompt::PromptSet;
use crate::propose::{Attempt, Dropped, Proposal, Proposed};
use crate::run::{self, AskFailed, Decision, Diagnosed, Event, GenerationEnded, GenerationStarted};

/// What a search remembers from generation to generation.
pub(super) struct State {
    pub incumbent: Revision,
    /// Whether the model was seen to answer the same question in two ways.
    pub noisy: bool,
    /// Digests of all prompts tried.
    pub seen: BTreeSet<Digest>,
    /// Ideas that ended badly.
    pub tried: Vec<Attempt>,
    /// Generations in a row that kept nothing.
    pub without_gain: u32,
    /// The incumbent's failures, largest first.
    clusters: Vec<FailureCluster>,
    /// Clusters of all generations, oldest first: ids are never used twice.
    past_clusters: Vec<FailureCluster>,
    bandit: Bandit,
    /// Survivors of races against this incumbent that the gate hasn't refused, best first.
    survivors: Vec<Survivor>,
    /// Whether the last question to the gate was a merge that failed: then the best single survivor is next.
    single_next: bool,
    /// Ids of the candidates that the gate has judged against this incumbent.
    judged: BTreeSet<String>,
}

impl State {
    pub fn new(baseline: Revision, noisy: bool) -> Self {
        Self {
            noisy,
            seen: BTreeSet::from([baseline.prompts.digest()]),
            tried: Vec::new(),
            without_gain: 0,
            clusters: Vec::new(),
            past_clusters: Vec::new(),
            bandit: Bandit::default(),
            survivors: Vec::new(),
            single_next: false,
            judged: BTreeSet::new(),
            incumbent: baseline,
        }
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
    pub difference: f64,
}

/// How a candidate's trial on train went.
struct Trial {
    screened: Option<run::Screened>,
    raced: Option<run::Raced>,
}

impl Trial {
    /// Whether the candidate survived, or how it ended, in words; nothing where the budget did not allow to try it.
    fn fate(&self) -> Option<Result<(), String>> {
        match (&self.screened, &self.raced) {
            (_, Some(raced)) if raced.survived => Some(Ok(())),
            (_, Some(raced)) if !raced.breaks_pinned.is_empty() => {
                Some(Err(format!("dropped for breaking pinned {}", raced.breaks_pinned.join(", "))))
            }
            (_, Some(raced)) => Some(Err(format!(
                "lost the race on train: fixed {}, broke {} of {}",
                raced.fixed, raced.broken, raced.rows
            ))),
            (Some(screened), None) if !screened.passed => {
                Some(Err(format!("dropped at the screen: fixed {}, broke {}", screened.fixed, screened.broken)))
            }
            (_, None) => None,
        }
    }
}

impl Search<'_> {
    /// Runs one generation.
    pub(super) async fn generation(&self, meter: &Meter<'_>, state: &mut State, generation: u32) -> Result<(), Halt> {
        let incumbent = state.incumbent.id.clone();
        self.sink.emit(Event::GenerationStarted(GenerationStarted { generation, incumbent }))?;
        self.diagnose(state, generation)?;
        let candidates = self.candidates(meter, state, generation).await?;
        self.try_out(meter, state, candidates, generation).await?;
        let mut kept = false;
        if let Some((candidate, parts)) = self.question(meter, state, generation).await? {
            kept = self.ask_gate(meter, state, candidate, &parts, generation).await?;
        }
        state.without_gain = if kept { 0 } else { state.without_gain + 1 };
        self.sink.emit(Event::GenerationEnded(GenerationEnded {
            generation,
            incumbent: state.incumbent.id.clone(),
            kept,
            train: Summary::of(&state.incumbent.train),
            dev: Summary::of(&state.incumbent.dev),
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
        if generation == 1 {
            let train = self.dataset.rows(Split::Train);
            let labels = self.labels();
            let free = self.propose.free(&state.incumbent.prompts, &train, &labels, self.settings.seed);
            for (strategy, proposed) in free {
                found.extend(self.admit(state, strategy, None, Ok(proposed), generation)?);
            }
        }
        let left = self.settings.calls.proposer_left((self.spent)());
        let count = u64::from(self.settings.proposals).min(left) as usize;
        let choices = choose(&state.clusters, self.strategies, &state.bandit, count, self.settings.seed, generation);
        let asks = self.asks(state, &state.clusters, choices, generation);
        let doing = Doing { generation, stage: "propose", trying: format!("{} proposals", asks.len()) };
        meter.announce(&doing);
        let replies = join_all(asks.iter().map(|ask| async {
            match self.recorded.asks.get(&(generation, ask.slot)) {
                Some(error) => Err(Dropped::Call(error.clone())),
                None => self.propose.propose(ask).await,
            }
        }))
        .await;
        for (ask, reply) in asks.into_iter().zip(replies) {
            if let Err(Dropped::Call(error)) = &reply {
                if error.is_systemic() && !matches!(error, CallError::Budget(_)) {
                    return Err(OutcomeError::Call(error.clone()).into());
                }
                let failed = AskFailed { generation, slot: ask.slot, error: error.clone() };
                self.sink.emit(Event::AskFailed(failed))?;
            }
            found.extend(self.admit(state, ask.strategy.name.clone(), ask.cluster, reply, generation)?);
        }
        Ok(found)
    }

    /// Makes a reply a candidate, unless it came to nothing or was tried before; either is said.
    fn admit(
        &self,
        state: &mut State,
        strategy: String,
        cluster: Option<FailureCluster>,
        reply: Result<Proposed, Dropped>,
        generation: u32,
    ) -> Result<Option<Candidate>, Halt> {
        let reply = reply.and_then(|proposed| {
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
        quoted.extend(proposal.quoted.iter().cloned());
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
            parent: state.incumbent.id.clone(),
            strategy,
            cluster: cluster_id,
            prompts: texts(&candidate.prompts),
            tokens: candidate.prompts.tokens(),
            diff: state.incumbent.prompts.unified_diff(&candidate.prompts),
            proposal: Proposal { ..proposal },
        }))?;
        Ok(Some(candidate))
    }

    /// Screens and races all candidates at once, and takes in how they did.
    async fn try_out(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        candidates: Vec<Candidate>,
        generation: u32,
    ) -> Result<(), Halt> {
        let reference = self.reference(meter, state, generation).await?;
        let spare = self.task_calls_left().saturating_sub(self.gate_calls());
        let share = usize::try_from(spare / candidates.len().max(1) as u64).unwrap_or(usize::MAX);
        let trials = join_all(
            candidates.iter().map(|candidate| self.trial(meter, state, candidate, &reference, generation, share)),
        )
        .await;
        meter.journal_failures()?;
        for (candidate, trial) in candidates.into_iter().zip(trials) {
            let trial = trial?;
            let fate = trial.fate();
            let Trial { screened, raced } = trial;
            if let Some(fate) = fate {
                state.bandit.observe(&candidate.strategy, kind(candidate.cluster.as_ref()), fate.is_ok());
                state.tried.extend(fate.err().map(|ended| attempt(&candidate, ended)));
            }
            let survived = raced.as_ref().is_some_and(|raced| raced.survived);
            if let Some(screened) = screened {
                self.sink.emit(Event::Screened(screened))?;
            }
            if let Some(raced) = raced {
                let difference = raced.difference;
                self.sink.emit(Event::Raced(raced))?;
                if survived {
                    state.survivors.push(Survivor { candidate, difference });
                }
            }
        }
        // Best first; the shorter prompt on a tie.
        state.survivors.sort_by(|one, other| {
            other
                .difference
                .total_cmp(&one.difference)
                .then_with(|| one.candidate.prompts.tokens().cmp(&other.candidate.prompts.tokens()))
                .then_with(|| one.candidate.id.cmp(&other.candidate.id))
        });
        Ok(())
    }

    /// The incumbent on train, to race against: a fresh draw where the model is noisy, since rows that were chosen
    /// because they failed look better by themselves the next time.
    async fn reference(&self, meter: &Meter<'_>, state: &State, generation: u32) -> Result<Vec<Outcome>, Halt> {
        let train = self.dataset.rows(Split::Train);
        let affordable = self.task_calls_left() >= self.gate_calls() + 2 * train.len() as u64;
        let sample = u32::from(state.noisy && affordable);
        let doing = Doing { generation, stage: "race", trying: "the incumbent once more".to_owned() };
        meter.measure(&state.incumbent.prompts, &train, sample, &doing).await
    }

    async fn trial(
        &self,
        meter: &Meter<'_>,
        state: &State,
        candidate: &Candidate,
        reference: &[Outcome],
        generation: u32,
        most_rows: usize,
    ) -> Result<Trial, Halt> {
        let shorter = candidate.prompts.tokens() < state.incumbent.prompts.tokens();
        let mut trial = Trial { screened: None, raced: None };
        let mut spent = 0;
        if let Some(cluster) = &candidate.cluster {
            let rows: Vec<Arc<Example>> = screen::rows(cluster, reference, self.settings.pass_threshold)
                .into_iter()
                .filter(|row| !candidate.quoted.contains(&row.id))
                .collect();
            if rows.len() > most_rows {
                return Ok(trial);
            }
            spent = rows.len();
            let doing = Doing { generation, stage: "screen", trying: candidate.strategy.clone() };
            let comparison = self.against(meter, reference, candidate, &rows, &doing).await?;
            let (fixed, broken) = (comparison.fixed(), comparison.broken());
            let passed = screen::passes(fixed, broken, shorter);
            trial.screened = Some(run::Screened {
                generation,
                candidate: candidate.id.clone(),
                fixed,
                broken,
                rows: comparison.rows.len(),
                passed,
            });
            if !passed {
                return Ok(trial);
            }
        }
        let train = self.dataset.rows(Split::Train);
        let mut rows: Vec<Arc<Example>> = race::order(&train, self.settings.seed, generation)
            .into_iter()
            .filter(|row| !candidate.quoted.contains(&row.id))
            .collect();
        rows.truncate(most_rows - spent);
        trial.raced = self.race(meter, candidate, reference, &rows, shorter, generation).await?;
        Ok(trial)
    }

    async fn race(
        &self,
        meter: &Meter<'_>,
        candidate: &Candidate,
        reference: &[Outcome],
        rows: &[Arc<Example>],
        shorter: bool,
        generation: u32,
    ) -> Result<Option<run::Raced>, Halt> {
        let doing = Doing { generation, stage: "race", trying: candidate.strategy.clone() };
        let mut ran = 0;
        while ran < rows.len() {
            ran = (ran + race::BLOCK).min(rows.len());
            let comparison = self.against(meter, reference, candidate, &rows[..ran], &doing).await?;
            let breaks_pinned = self.breaks_pinned(meter, &comparison);
            let standing = if breaks_pinned.is_empty() {
                race::standing(&comparison, ran, rows.len(), shorter)
            } else {
                Standing::Dropped
            };
            if standing != Standing::Running {
                return Ok(Some(run::Raced {
                    generation,
                    candidate: candidate.id.clone(),
                    rows: ran,
                    of: rows.len(),
                    fixed: comparison.fixed(),
                    broken: comparison.broken(),
                    difference: comparison.difference,
                    standard_error: comparison.standard_error,
                    survived: standing == Standing::Survived,
                    breaks_pinned,
                }));
            }
        }
        Ok(None)
    }

    /// Pinned rows for which the gate is sure to refuse. Where the model may be noisy, the gate asks again first.
    fn breaks_pinned(&self, meter: &Meter<'_>, comparison: &Comparison) -> Vec<String> {
        if !self.settings.protected.pinned || !meter.is_deterministic() {
            return Vec::new();
        }
        let pinned = |id: &&str| self.dataset.examples.iter().any(|example| example.pinned && example.id == *id);
        comparison.ids(Change::Broken).filter(pinned).map(str::to_owned).collect()
    }

    /// The candidate on `rows`, paired with the incumbent's outcomes in `reference`.
    async fn against(
        &self,
        meter: &Meter<'_>,
        reference: &[Outcome],
        candidate: &Candidate,
        rows: &[Arc<Example>],
        doing: &Doing,
    ) -> Result<Comparison, Halt> {
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let before: Vec<Outcome> =
            reference.iter().filter(|outcome| ids.contains(outcome.example.id.as_str())).cloned().collect();
        let after = meter.measure(&candidate.prompts, rows, 0, doing).await?;
        Ok(compare(&before, &after, self.settings.pass_threshold))
    }

    /// The generation's one question to the gate: the merge of the survivors, or the best of them. With the ids of its
    /// parts.
    async fn question(
        &self,
        meter: &Meter<'_>,
        state: &State,
        generation: u32,
    ) -> Result<Option<(Candidate, Vec<String>)>, Halt> {
        let open: Vec<&Survivor> =
            state.survivors.iter().filter(|survivor| !state.judged.contains(&survivor.candidate.id)).collect();
        let Some(best) = open.first() else { return Ok(None) };
        let single = || Some((best.candidate.clone(), vec![best.candidate.id.clone()]));
        let train: Vec<Arc<Example>> = self.dataset.rows(Split::Train);
        let affordable = self.task_calls_left() >= self.gate_calls() + train.len() as u64;
        if state.single_next || open.len() == 1 || !affordable {
            return Ok(single());
        }
        let mut together: Vec<&Candidate> = open.iter().map(|survivor| &survivor.candidate).collect();
        // All that go together; where they hurt one another, the best two.
        for _ in 0..2 {
            let Some((merged, parts)) = self.merge_of(state, &together) else { break };
            let (better, difference) = self.merge_is_better(meter, state, &merged, &best.candidate, generation).await?;
            let ids: Vec<String> = parts.iter().map(|part| part.id.clone()).collect();
            self.sink.emit(Event::Merged(run::Merged {
                generation,
                candidate: merged.id.clone(),
                parent: state.incumbent.id.clone(),
                parts: ids.clone(),
                prompts: texts(&merged.prompts),
                tokens: merged.prompts.tokens(),
                diff: state.incumbent.prompts.unified_diff(&merged.prompts),
                difference,
                better,
            }))?;
            if better {
                return Ok(Some((merged, ids)));
            }
            if parts.len() == 2 || self.task_calls_left() < self.gate_calls() + train.len() as u64 {
                break;
            }
            together = parts[..2].to_vec();
        }
        Ok(single())
    }

    /// The merge of as many of `survivors` (best first) as go together, with its parts; nothing where that is one
    /// alone, or a merge that the gate has judged.
    fn merge_of<'a>(&self, state: &State, survivors: &[&'a Candidate]) -> Option<(Candidate, Vec<&'a Candidate>)> {
        let sides: Vec<Arc<PromptSet>> = survivors.iter().map(|candidate| Arc::clone(&candidate.prompts)).collect();
        let fits = |prompts: &PromptSet| self.propose.fits(prompts);
        // Two sets of examples for the task as a whole are alternatives.
        let is_example_set = |candidate: &Candidate| {
            candidate.cluster.is_none() && candidate.quoted.len() > state.incumbent.quoted.len()
        };
        let alternatives =
            |one: usize, other: usize| is_example_set(survivors[one]) && is_example_set(survivors[other]);
        let base = &state.incumbent.prompts;
        let (prompts, parts) = merge::merge_survivors(base, &sides, fits, alternatives);
        if parts.len() < 2 || state.judged.contains(&prompts.digest().short()) {
            return None;
        }
        let parts: Vec<&Candidate> = parts.into_iter().map(|part| survivors[part]).collect();
        Some((merged_candidate(prompts, &parts), parts))
    }

    /// Whether the merge does no worse on train than its best part, with its mean difference from the incumbent.
    async fn merge_is_better(
        &self,
        meter: &Meter<'_>,
        state: &State,
        merged: &Candidate,
        best: &Candidate,
        generation: u32,
    ) -> Result<(bool, f64), Halt> {
        let train = self.dataset.rows(Split::Train);
        let rows: Vec<Arc<Example>> = train.into_iter().filter(|row| !merged.quoted.contains(&row.id)).collect();
        let doing = Doing { generation, stage: "merge", trying: merged.strategy.clone() };
        let reference = self.reference(meter, state, generation).await?;
        let of_merge = self.against(meter, &reference, merged, &rows, &doing).await?;
        let of_best = self.against(meter, &reference, best, &rows, &doing).await?;
        meter.journal_failures()?;
        let better = of_merge.difference >= of_best.difference && self.breaks_pinned(meter, &of_merge).is_empty();
        Ok((better, of_merge.difference))
    }

    /// Puts `candidate` to the gate and takes in the verdict; says whether it was kept.
    async fn ask_gate(
        &self,
        meter: &Meter<'_>,
        state: &mut State,
        candidate: Candidate,
        parts: &[String],
        generation: u32,
    ) -> Result<bool, Halt> {
        let Judgement { verdict, dev, comparison } = self.judge(meter, state, &candidate, generation).await?;
        meter.journal_failures()?;
        let ids = |change| comparison.ids(change).map(str::to_owned).collect();
        self.sink.emit(Event::Judged(run::Judged {
            generation,
            candidate: candidate.id.clone(),
            incumbent: state.incumbent.id.clone(),
            verdict: verdict.clone(),
            dev: Summary::of(&dev),
            fixed: ids(Change::Fixed),
            broken: ids(Change::Broken),
        }))?;
        state.judged.insert(candidate.id.clone());
        match verdict.decision {
            Decision::Kept => {
                state.incumbent = self.revision(meter, candidate, dev, generation).await?;
                state.survivors.clear();
                state.judged.clear();
                state.single_next = false;
                return Ok(true);
            }
            Decision::Rejected => {
                let ended = format!(
                    "rejected at the gate: {} (fixed {}, broke {})",
                    verdict.reason, verdict.fixed, verdict.broken
                );
                state.tried.push(attempt(&candidate, ended));
            }
            Decision::Undecided => {}
        }
        state.single_next = parts.len() > 1;
        Ok(false)
    }

    /// A kept candidate as the new incumbent, measured on all of train.
    async fn revision(
        &self,
        meter: &Meter<'_>,
        candidate: Candidate,
        dev: Vec<Outcome>,
        generation: u32,
    ) -> Result<Revision, Halt> {
        let doing = Doing { generation, stage: "train", trying: "the new incumbent".to_owned() };
        let train = meter.measure(&candidate.prompts, &self.dataset.rows(Split::Train), 0, &doing).await?;
        meter.journal_failures()?;
        Ok(Revision { id: candidate.id, prompts: candidate.prompts, quoted: candidate.quoted, train, dev })
    }
}

fn merged_candidate(prompts: PromptSet, parts: &[&Candidate]) -> Candidate {
    let join = |texts: Vec<&str>| texts.join("; ");
    Candidate {
        id: prompts.digest().short(),
        strategy: format!("merge of {}", parts.len()),
        cluster: None,
        rationale: join(parts.iter().map(|part| part.rationale.as_str()).collect()),
        quoted: parts.iter().flat_map(|part| part.quoted.iter().cloned()).collect(),
        prompts: Arc::new(prompts),
    }
}

fn attempt(candidate: &Candidate, ended: String) -> Attempt {
    Attempt {
        strategy: candidate.strategy.clone(),
        cluster: candidate.cluster.as_ref().map(|cluster| cluster.label.clone()),
        rationale: candidate.rationale.clone(),
        ended,
    }
}

fn texts(prompts: &PromptSet) -> BTreeMap<String, String> {
    prompts.iter().map(|prompt| (prompt.name().to_owned(), prompt.text().to_owned())).collect()
}
