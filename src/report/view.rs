//! [`RunView`]: a run's events, gathered by what they are about. Holds for unfinished runs too: what hasn't happened is
//! absent.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Unran, undecidable};
use crate::config::Objective;
use crate::dataset::Example;
use crate::diagnose::FailureCluster;
use crate::eval::Summary;
use crate::model::ModelRole;
use crate::run::{
    Ablated, BaselineMeasured, Decision, Dropped, During, Event, FellBack, GenerationEnded, IncumbentMeasured, Judged,
    LimitReached, Manifest, Merged, NoiseMeasured, Proposed, Raced, RunEnded, RunError, RunFolder, RunStarted,
    Screened, Shortened, Spent, SplitUses, TestOpened, UseCount, Widened,
};

/// Everything that people see of a run.
#[derive(Debug, Clone)]
pub struct RunView {
    /// What `run.json` says.
    pub manifest: Manifest,
    /// Eight hex digits that name the run.
    pub short_id: String,
    /// The run's settings; absent where it was stopped before it began.
    pub started: Option<RunStarted>,
    /// The starting prompt on train and dev.
    pub baseline: Option<BaselineMeasured>,
    /// The incumbent as the model that answers or judges since then sees it, where that changed after something was kept.
    pub anew: Option<IncumbentMeasured>,
    /// Models that took over from others, in order.
    pub fell_back: Vec<FellBack>,
    /// The model's noise and what gain the data can show.
    pub noise: Option<NoiseMeasured>,
    /// In order.
    pub generations: Vec<GenerationView>,
    /// The sealed test, once opened.
    pub test: Option<TestOpened>,
    /// How the run ended; absent while it is unfinished.
    pub ended: Option<RunEnded>,
    /// Limits that were reached.
    pub limits: Vec<LimitReached>,
    /// Proposals that a limit left no room for.
    pub unpaid: usize,
    /// Answers that could not be had, over all candidates.
    pub rows_failed: usize,
    /// The rows that could not run, and why.
    pub unran: Unran,
    /// Calls, tokens, money and time.
    pub spent: Spent,
    /// Uses of this dataset's dev and test by all runs of the project together; why they can't be told where their ledger
    /// is damaged.
    pub uses: Result<UseCount, String>,
    /// The rows that a verdict names, by id, where the snapshot still holds them.
    pub examples: BTreeMap<String, Example>,
}

/// One generation of a run.
#[derive(Debug, Clone, Default)]
pub struct GenerationView {
    /// 1 for the first.
    pub number: u32,
    /// Id of the incumbent when it began.
    pub incumbent: String,
    /// Failures of that incumbent on train, largest first.
    pub clusters: Vec<FailureCluster>,
    /// What a plateau changed about it.
    pub widened: Option<Widened>,
    /// Candidates that passed the static guards, then their merge.
    pub candidates: Vec<CandidateView>,
    /// Asks that yielded no candidate.
    pub dropped: Vec<Dropped>,
    /// The gate's decision; its candidate may come from an earlier generation.
    pub judged: Option<Judged>,
    /// How it ended; absent while it is going on.
    pub ended: Option<GenerationEnded>,
    /// Whether another model took over before its end: then it doesn't count.
    pub was_cut: bool,
}

/// A candidate and how far it came.
#[derive(Debug, Clone)]
pub struct CandidateView {
    /// Where it comes from.
    pub origin: Origin,
    /// The cluster it is for, where it is for one.
    pub cluster: Option<FailureCluster>,
    /// How it did where it should show.
    pub screened: Option<Screened>,
    /// How it did on train.
    pub raced: Option<Raced>,
    /// The gate's decision.
    pub judged: Option<Judged>,
    /// Id of the latest merge that holds its edits.
    pub merged_into: Option<String>,
    /// Its hunks that were left out again after it was kept, in order.
    pub ablated: Vec<Ablated>,
}

/// Where a candidate comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A proposal.
    Proposed(Proposed),
    /// Survivors, merged.
    Merged(Merged),
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It became the incumbent.
    Kept,
    /// Its edits were kept as a part of a merge.
    KeptInMerge,
    /// The gate refused it.
    Rejected,
    /// The gate could not decide.
    Undecided,
    /// It was dropped at the screen, lost its race, or its merge was no better than its best part.
    Lost,
    /// It was ahead on train and never put to the gate by itself.
    Waiting,
    /// It was not tried to the end.
    Untried,
}

impl RunView {
    /// Gathers what the run's folder holds.
    ///
    /// # Errors
    /// The journal is damaged. A missing journal is a run that was stopped before it
    /// began; a missing snapshot leaves the rows' texts out.
    pub fn read(folder: &RunFolder) -> Result<Self, RunError> {
        let began = folder.path.join("journal.jsonl").exists();
        let events = if began { folder.events()? } else { Vec::new() };
        let mut view = Self::of(folder, events);
        if let Some(started) = &view.started {
            let runs = folder.path.parent().unwrap_or(Path::new(""));
            let uses = SplitUses::read(runs).map(|uses| uses.total(started.dataset));
            view.uses = uses.map_err(|error| error.to_string());
        }
        view.examples = view.read_examples(folder);
        Ok(view)
    }

    fn of(folder: &RunFolder, events: Vec<Event>) -> Self {
        let mut view = Self {
            manifest: folder.manifest.clone(),
            short_id: folder.short_id(),
            started: None,
            baseline: None,
            anew: None,
            fell_back: Vec::new(),
            noise: None,
            generations: Vec::new(),
            test: None,
            ended: None,
            limits: Vec::new(),
            unpaid: 0,
            rows_failed: 0,
            unran: Unran::default(),
            spent: Spent::read(&folder.path),
            uses: Ok(UseCount::default()),
            examples: BTreeMap::new(),
        };
        for event in events {
            view.take(event);
        }
        view
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::RunStarted(started) => self.started = Some(started),
            Event::RowFailed(failed) => {
                self.rows_failed += 1;
                self.unran.take(&failed);
            }
            Event::LimitReached(reached) => self.limits.push(reached),
            Event::AskFailed(failed) => self.unpaid += usize::from(failed.error.is_limit()),
            Event::BaselineMeasured(baseline) => self.baseline = Some(baseline),
            Event::IncumbentMeasured(measured) => self.anew = Some(measured),
            Event::FellBack(change) => {
                if let Some(last) = self.generations.last_mut() {
                    last.was_cut |= change.role != ModelRole::Proposer && last.ended.is_none();
                }
                self.fell_back.push(change);
            }
            Event::NoiseMeasured(noise) => self.noise = Some(noise),
            Event::GenerationStarted(started) => self.generations.push(GenerationView {
                number: started.generation,
                incumbent: started.incumbent,
                ..GenerationView::default()
            }),
            Event::TestOpened(test) => self.test = Some(test),
            Event::RunEnded(ended) => self.ended = Some(ended),
            event => self.take_within_generation(event),
        }
    }

    fn take_within_generation(&mut self, event: Event) {
        match event {
            Event::Screened(screened) => {
                if let Some(candidate) = self.candidate_mut(&screened.candidate) {
                    candidate.screened = Some(screened);
                }
            }
            Event::Raced(raced) => {
                if let Some(candidate) = self.candidate_mut(&raced.candidate) {
                    candidate.raced = Some(raced);
                }
            }
            Event::Merged(merged) => self.take_merge(merged),
            Event::Judged(judged) => {
                if let Some(candidate) = self.candidate_mut(&judged.candidate) {
                    candidate.judged = Some(judged.clone());
                }
                if let Some(generation) = self.generations.last_mut() {
                    generation.judged = Some(judged);
                }
            }
            Event::Ablated(ablated) => {
                if let Some(candidate) = self.candidate_mut(&ablated.revision) {
                    candidate.ablated.push(ablated);
                }
            }
            event => {
                let Some(generation) = self.generations.last_mut() else { return };
                match event {
                    Event::Diagnosed(diagnosed) => generation.clusters = diagnosed.clusters,
                    Event::Proposed(proposed) => {
                        let cluster = generation.cluster(proposed.cluster.as_deref()).cloned();
                        generation.candidates.push(CandidateView::new(Origin::Proposed(proposed), cluster));
                    }
                    Event::Widened(widened) => generation.widened = Some(widened),
                    Event::Dropped(dropped) => generation.dropped.push(dropped),
                    Event::GenerationEnded(ended) => generation.ended = Some(ended),
                    _ => {}
                }
            }
        }
    }

    fn take_merge(&mut self, merged: Merged) {
        for part in &merged.parts {
            if let Some(candidate) = self.candidate_mut(part) {
                candidate.merged_into = Some(merged.candidate.clone());
            }
        }
        if let Some(generation) = self.generations.last_mut() {
            generation.candidates.push(CandidateView::new(Origin::Merged(merged), None));
        }
    }

    /// The latest candidate of that id: a survivor may be judged generations after it was proposed.
    fn candidate_mut(&mut self, id: &str) -> Option<&mut CandidateView> {
        self.generations
            .iter_mut()
            .rev()
            .flat_map(|generation| generation.candidates.iter_mut().rev())
            .find(|candidate| candidate.id() == id)
    }

    /// The latest candidate of that id, or that was shortened to it.
    pub fn candidate(&self, id: &str) -> Option<&CandidateView> {
        self.generations
            .iter()
            .rev()
            .flat_map(|generation| generation.candidates.iter().rev())
            .find(|candidate| candidate.id() == id || candidate.shortened().is_some_and(|(of, _)| of == id))
    }

    /// All candidates, in the order in which they were made.
    pub fn candidates(&self) -> impl Iterator<Item = &CandidateView> {
        self.generations.iter().flat_map(|generation| &generation.candidates)
    }

    /// How many generations there were, but for those that another model's taking over cut off; and how many of these.
    pub fn generations_had(&self) -> (usize, usize) {
        let cut = self.generations.iter().filter(|generation| generation.was_cut).count();
        (self.generations.len() - cut, cut)
    }

    /// The number that the last generation may have; 0 before the run began.
    pub fn last_generation(&self) -> u32 {
        self.started.as_ref().map_or(0, |started| started.generations + self.generations_had().1 as u32)
    }

    /// The kept revisions in order, each with its verdict.
    pub fn kept(&self) -> Vec<(&CandidateView, &Judged)> {
        self.generations
            .iter()
            .filter_map(|generation| generation.judged.as_ref())
            .filter(|judged| judged.verdict.decision == Decision::Kept)
            .filter_map(|judged| Some((self.candidate(&judged.candidate)?, judged)))
            .collect()
    }

    /// The proposals that a candidate consists of: itself, or the parts of the merge.
    pub fn parts<'a>(&'a self, candidate: &'a CandidateView) -> Vec<&'a CandidateView> {
        match &candidate.origin {
            Origin::Proposed(_) => vec![candidate],
            Origin::Merged(merged) => merged.parts.iter().filter_map(|part| self.candidate(part)).collect(),
        }
    }

    /// Whether the proposal edits a prompt of the archive, not the incumbent.
    pub fn is_of_archive(&self, proposed: &Proposed) -> bool {
        let of_that = |generation: &&GenerationView| generation.number == proposed.generation;
        self.generations.iter().find(of_that).is_some_and(|generation| generation.incumbent != proposed.parent)
    }

    /// The limit that left the sealed test out, where one did.
    pub fn test_limit(&self) -> Option<&LimitReached> {
        self.limits.iter().find(|reached| reached.during == During::Test)
    }

    /// The baseline on dev.
    pub fn baseline_dev(&self) -> Option<&Summary> {
        let anew = self.anew.as_ref().map(|anew| &anew.baseline_dev);
        anew.or(self.baseline.as_ref().map(|baseline| &baseline.dev))
    }

    /// The best prompt so far on dev, which is the split it was selected on.
    pub fn winner_dev(&self) -> Option<&Summary> {
        let anew = self.anew.as_ref();
        let is_later = |judged: &Judged| anew.is_none_or(|anew| judged.generation > anew.generation);
        let kept =
            self.kept().last().filter(|(_, judged)| is_later(judged)).map(|(kept, judged)| kept.dev_after(judged));
        kept.or(anew.map(|anew| &anew.dev)).or(self.baseline_dev())
    }

    /// What the run's scores are.
    pub fn objective(&self) -> Objective {
        self.started.as_ref().map(|started| started.objective).unwrap_or_default()
    }

    /// What deserves a look before the run is trusted, in plain words.
    pub fn warnings(&self) -> Vec<String> {
        let of_models = self.started.iter().flat_map(|started| started.warnings.iter().cloned());
        let unusable = self.ended.iter().filter_map(|ended| ended.unusable.as_ref());
        let undecidable = self.baseline_dev().and_then(undecidable);
        of_models.chain(undecidable).chain(unusable.map(|unusable| unusable.words())).collect()
    }

    /// What became of `candidate`.
    pub fn fate(&self, candidate: &CandidateView) -> Fate {
        let decision = candidate.judged.as_ref().map(|judged| judged.verdict.decision);
        let within = candidate.merged_into.as_ref().and_then(|merge| self.candidate(merge));
        let merge_decision = within.and_then(|merge| merge.judged.as_ref()).map(|judged| judged.verdict.decision);
        match (decision, merge_decision, &candidate.origin) {
            (Some(Decision::Kept), ..) => Fate::Kept,
            (_, Some(Decision::Kept), _) => Fate::KeptInMerge,
            (Some(Decision::Rejected), ..) => Fate::Rejected,
            (Some(Decision::Undecided), ..) => Fate::Undecided,
            (None, _, Origin::Merged(merged)) if !merged.better => Fate::Lost,
            (None, _, Origin::Merged(_)) => Fate::Untried,
            (None, _, Origin::Proposed(_)) => match (&candidate.screened, &candidate.raced) {
                (_, Some(raced)) if raced.survived => Fate::Waiting,
                (_, Some(_)) => Fate::Lost,
                (Some(screened), None) if !screened.passed => Fate::Lost,
                _ => Fate::Untried,
            },
        }
    }

    /// The rows that kept revisions fixed, broke or worsened, from the snapshot.
    fn read_examples(&self, folder: &RunFolder) -> BTreeMap<String, Example> {
        let named: std::collections::BTreeSet<&String> = self
            .kept()
            .into_iter()
            .flat_map(|(_, judged)| judged.fixed.iter().chain(&judged.broken).chain(&judged.worsened))
            .collect();
        if named.is_empty() {
            return BTreeMap::new();
        }
        let text = std::fs::read_to_string(folder.snapshot().join("dataset.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Example>(line).ok())
            .filter(|example| named.contains(&example.id))
            .map(|example| (example.id.clone(), example))
            .collect()
    }
}

impl GenerationView {
    /// The cluster of that id.
    pub fn cluster(&self, id: Option<&str>) -> Option<&FailureCluster> {
        self.clusters.iter().find(|cluster| Some(cluster.id.as_str()) == id)
    }
}

impl CandidateView {
    fn new(origin: Origin, cluster: Option<FailureCluster>) -> Self {
        Self { origin, cluster, screened: None, raced: None, judged: None, merged_into: None, ablated: Vec::new() }
    }

    /// The shortened digest of its prompts.
    pub fn id(&self) -> &str {
        match &self.origin {
            Origin::Proposed(proposed) => &proposed.candidate,
            Origin::Merged(merged) => &merged.candidate,
        }
    }

    /// The generation that made it.
    pub fn generation(&self) -> u32 {
        match &self.origin {
            Origin::Proposed(proposed) => proposed.generation,
            Origin::Merged(merged) => merged.generation,
        }
    }

    /// What is left of it after hunks that did not earn their place went, with the id of that.
    pub fn shortened(&self) -> Option<(&str, &Shortened)> {
        let last = self.ablated.iter().rev();
        last.filter_map(|ablated| Some((ablated.candidate.as_str(), ablated.shortened.as_ref()?))).next()
    }

    /// It on dev as it was kept, by the gate's verdict and what was left out afterwards.
    pub fn dev_after<'a>(&'a self, judged: &'a Judged) -> &'a Summary {
        self.shortened().map_or(&judged.dev, |(_, shortened)| &shortened.dev)
    }

    /// Its prompts by name, shortened where it was.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        match (self.shortened(), &self.origin) {
            (Some((_, shortened)), _) => &shortened.prompts,
            (None, Origin::Proposed(proposed)) => &proposed.prompts,
            (None, Origin::Merged(merged)) => &merged.prompts,
        }
    }

    /// Size of its prompts in tokens, shortened where it was.
    pub fn tokens(&self) -> usize {
        if let Some((_, shortened)) = self.shortened() {
            return shortened.tokens;
        }
        match &self.origin {
            Origin::Proposed(proposed) => proposed.tokens,
            Origin::Merged(merged) => merged.tokens,
        }
    }

    /// Unified diff against its parent, shortened where it was.
    pub fn diff(&self) -> &str {
        if let Some((_, shortened)) = self.shortened() {
            return &shortened.diff;
        }
        match &self.origin {
            Origin::Proposed(proposed) => &proposed.diff,
            Origin::Merged(merged) => &merged.diff,
        }
    }

    /// The strategy that made it, or that it is a merge.
    pub fn made_by(&self) -> &str {
        match &self.origin {
            Origin::Proposed(proposed) => &proposed.strategy,
            Origin::Merged(_) => "merge",
        }
    }
}
