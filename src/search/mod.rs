//! The loop: generations of diagnose, propose, screen, race, merge and gate; then the sealed test.
//!
//! A search is a pure function of its inputs, its seed and the outcomes it measures. It holds no state that a resumed
//! run would have to read back: resuming is running it again on stored responses. One file for each decision:
//!
//! | file | decides |
//! |---|---|
//! | `opening.rs` | what the gate is asked first, where calls are short |
//! | `widen.rs`, `archive.rs` | where a plateau makes it look, and which earlier prompts it takes up again |
//! | `choose.rs` | which strategy is tried on which cluster |
//! | `screen.rs` | whether a candidate shows anything where it should |
//! | `race.rs` | whether it is ahead on train |
//! | `merge.rs` | which survivors become one question |
//! | `gate.rs` | whether that is kept |
//! | `ablate.rs` | which hunks of what was kept go again |
//! | `inferior.rs` | whether a shorter prompt may take the place of a longer one |
//! | `usable.rs` | whether it is any use to go on asking the proposer |
//! | `noise.rs` | what gain the data can show |
//! | `pace.rs` | how thorough all that is, by the calls left |
//! | `weight.rs` | how many of them a question to the gate takes |
//! | `fall_back.rs` | what goes on where another model takes over |
//!
//! `generation.rs`, `trial.rs`, `question.rs` and `judge.rs` act on these decisions, `meter.rs` measures for them.

mod ablate;
mod account;
mod archive;
mod ask;
mod choose;
mod fall_back;
mod gate;
mod generation;
mod inferior;
mod judge;
mod merge;
mod meter;
mod noise;
mod opening;
mod pace;
mod plan;
mod question;
mod race;
mod screen;
mod settings;
mod trial;
mod usable;
mod weight;
mod widen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use account::{Account, Unlimited};
pub use choose::expected_reward;
pub use fall_back::{Alone, Standby};
pub use gate::MISSING_SHARE;
pub use noise::detectable_gain;
pub use plan::{Calls, Outline};
pub use settings::{CallLimits, CallsSpent, GateSettings, Parts, Protected, Settings};

use crate::dataset::{Dataset, Example, Split};
use crate::eval::{Evaluate, Outcome, OutcomeError};
use crate::model::{CallError, ModelRole};
use crate::prompt::PromptSet;
use crate::propose::{Propose, Strategy};
use crate::run::{
    BaselineMeasured, During, Event, FORMAT, Pulls, Recorded, RunEnded, RunError, RunStarted, Sink, Stopped,
    TestOpened, Unusable,
};
use crate::text::plural;
use choose::Bandit;
use generation::State;
use meter::{Doing, Meter};

/// Why a search ended before its time. What was kept stays; the run can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// A fault that no later call can escape.
    #[error(transparent)]
    Fault(OutcomeError),
    /// Less than half of the baseline's rows could run: that is no bad row, and what would be decided on the others is
    /// worth nothing.
    #[error("only {ran} of {rows} rows of the baseline could run; the first of the others failed with: {error}")]
    FewRan {
        /// Rows that ran.
        ran: usize,
        /// All of them.
        rows: usize,
        /// Of the first row that could not run.
        error: Box<OutcomeError>,
    },
    /// The run folder could not be written.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<OutcomeError> for Halt {
    fn from(error: OutcomeError) -> Self {
        match error {
            OutcomeError::Call(CallError::Interrupted) => Halt::Interrupted,
            other => Halt::Fault(other),
        }
    }
}

/// What the task is, for the proposer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Task {
    /// In the user's words.
    pub description: Option<String>,
    /// The user's hints.
    pub hints: Vec<String>,
}

/// Everything that a search works with.
pub struct Search<'a> {
    /// What it may do.
    pub settings: &'a Settings,
    /// The rows.
    pub dataset: &'a Dataset,
    /// The starting prompts.
    pub baseline: Arc<PromptSet>,
    /// What the task is.
    pub task: &'a Task,
    /// Measures prompts.
    pub evaluate: &'a dyn Evaluate,
    /// Makes proposals.
    pub propose: &'a dyn Propose,
    /// The strategies to choose from.
    pub strategies: &'a [Arc<Strategy>],
    /// Where events go.
    pub sink: &'a dyn Sink,
    /// Calls that this run has paid for so far.
    pub spent: &'a (dyn Fn() -> CallsSpent + Send + Sync),
    /// What limits it besides the settings.
    pub account: &'a dyn Account,
    /// What answers where its models can't be had any more.
    pub standby: &'a dyn Standby,
    /// Errors that an interrupted run has journalled.
    pub recorded: Recorded,
    /// What the strategies came to in earlier runs, as the run's snapshot has it.
    pub past: Pulls,
}

/// A prompt with what was measured of it.
#[derive(Debug, Clone)]
struct Revision {
    id: String,
    prompts: Arc<PromptSet>,
    /// Train rows that the prompt or one before it quotes; left out of both arms wherever it is compared.
    quoted: BTreeSet<String>,
    /// First draws, all rows of the split.
    train: Vec<Outcome>,
    dev: Vec<Outcome>,
}

impl Search<'_> {
    /// Runs the search to its end.
    ///
    /// # Errors
    /// [`Halt`]: interrupted, a fault that no later call can escape, or a run folder that can't be written.
    pub async fn run(&self) -> Result<RunEnded, Halt> {
        self.sink.emit(Event::RunStarted(self.started()))?;
        let mut state = State::new(self.unmeasured(), !self.evaluate.is_deterministic(), self.bandit());
        self.close_before_break(&state);
        loop {
            let failed = self.recorded.rows.get(state.changes).cloned().unwrap_or_default();
            let meter = Meter::new(self.evaluate, self.sink, failed, &self.settings.objective);
            match self.go_on(&meter, &mut state).await {
                Ok(ended) => return Ok(ended),
                Err(halt) => self.fall_back(&meter, &mut state, halt).await?,
            }
        }
    }

    /// Goes on to the end of the run with the models as they are.
    async fn go_on(&self, meter: &Meter<'_>, state: &mut State) -> Result<RunEnded, Halt> {
        if state.stopped.is_none() {
            state.stopped = Some(self.search(meter, state).await?);
        }
        let baseline = self.unmeasured();
        if state.incumbent.id != baseline.id {
            self.account.keep_back(0, 1.0);
            self.close_before_break(state);
            if let Err(halt) = self.open_test(meter, &baseline, &state.incumbent).await {
                self.at_limit(meter, state, halt, During::Test)?;
            }
        }
        let (stopped, why) = (state.stopped.unwrap_or(Stopped::Generations), state.why.clone());
        self.end(stopped, why, state.usable.none(), state.incumbent.id.clone())
    }

    /// Measures the incumbent and runs the generations that are left; says why there are no more.
    async fn search(&self, meter: &Meter<'_>, state: &mut State) -> Result<Stopped, Halt> {
        // With none left, only the sealed test is.
        if self.generations_left(state) == 0 {
            return Ok(Stopped::Generations);
        }
        match self.begin(meter, state).await {
            Ok(()) => self.generations(meter, state).await,
            Err(halt) => self.at_limit(meter, state, halt, During::Within),
        }
    }

    /// The incumbent, at the start the baseline; the noise is measured besides.
    async fn begin(&self, meter: &Meter<'_>, state: &mut State) -> Result<(), Halt> {
        let generation = state.generation;
        let incumbent = if state.incumbent.prompts.digest() == self.baseline.digest() {
            state.opens = self.opens(state);
            self.measure_baseline(meter, state.opens, generation).await?
        } else {
            self.measure_anew(meter, state).await?
        };
        self.keep_back_test(meter, &incumbent.prompts);
        self.measure_noise(meter, &incumbent, generation).await?;
        let opens = state.opens;
        state.renew(incumbent, !meter.is_deterministic());
        state.opens = opens;
        Ok(())
    }

    fn end(&self, stopped: Stopped, why: String, unusable: Option<Unusable>, winner: String) -> Result<RunEnded, Halt> {
        self.account.settle().map_err(OutcomeError::Call)?;
        let spent = (self.spent)();
        let mut calls = BTreeMap::from([("task".to_owned(), spent.task), ("proposer".to_owned(), spent.proposer)]);
        let scoring = self.settings.calls.scoring;
        for (role, made, of_one) in
            [("judge", spent.judge, scoring.judge), ("embedder", spent.embedder, scoring.embedder)]
        {
            if of_one > 0 {
                calls.insert(role.to_owned(), made);
            }
        }
        let ended = RunEnded { stopped, why, unusable, winner, calls };
        self.sink.emit(Event::RunEnded(ended.clone()))?;
        Ok(ended)
    }

    /// The bandit as the run begins: it knows nothing where it is left out.
    fn bandit(&self) -> Bandit {
        if self.settings.parts.bandit { Bandit::new(self.past.clone()) } else { Bandit::default() }
    }

    fn started(&self) -> RunStarted {
        RunStarted {
            format: FORMAT,
            name: self.settings.name.clone(),
            seed: self.settings.seed,
            dataset: self.dataset.fingerprint,
            baseline: self.baseline.digest(),
            rows: Split::ALL.map(|split| self.dataset.rows(split).len()),
            generations: self.settings.generations,
            proposals: self.settings.proposals,
            pass_threshold: self.settings.pass_threshold,
            objective: self.settings.objective.kind(),
            deterministic: self.evaluate.is_deterministic(),
            warnings: self.settings.warnings.clone(),
        }
    }

    async fn generations(&self, meter: &Meter<'_>, state: &mut State) -> Result<Stopped, Halt> {
        while self.generations_left(state) > 0 {
            let generation = state.generation + 1;
            if let Some((stopped, why)) = self.stop(meter, state) {
                state.why = why;
                return Ok(stopped);
            }
            if let Some(stopped) = self.forbidden(meter, state, generation)? {
                return Ok(stopped);
            }
            self.count_lost(state, generation)?;
            state.generation = generation;
            if let Err(halt) = self.generation(meter, state, generation).await {
                return self.at_limit(meter, state, halt, During::Within);
            }
        }
        let (stopped, why) = self.stop_early(state).unwrap_or((Stopped::Generations, String::new()));
        state.why = why;
        Ok(stopped)
    }

    /// A reason not to begin another generation, where there is one, and more on it in plain words.
    fn stop(&self, meter: &Meter<'_>, state: &State) -> Option<(Stopped, String)> {
        if let Some(early) = self.stop_early(state) {
            return Some(early);
        }
        if state.usable.is_hopeless() {
            return Some((Stopped::NothingProposed, String::new()));
        }
        if state.without_gain >= self.settings.patience {
            return Some((Stopped::NoGain, state.plateau.why_stopped(state.without_gain)));
        }
        // Before the next: where calls are short, the incumbent was measured on few rows.
        if self.task_calls_left() < self.least_calls(meter, state) {
            return Some((Stopped::Budget, self.not_covered(ModelRole::Task, "another generation")));
        }
        let Revision { train, quoted, .. } = &state.incumbent;
        let is_failing = |outcome: &Outcome| outcome.is_failing(self.settings.pass_threshold);
        if state.opens || train.iter().any(is_failing) {
            return None;
        }
        let (measured, of) = (train.len(), self.unquoted(quoted).len());
        if measured < of {
            let others = self.not_covered(ModelRole::Task, "the others");
            return Some((
                Stopped::Budget,
                format!("{measured} of {of} train rows were measured, none fails; {others}"),
            ));
        }
        Some((Stopped::NothingFails, String::new()))
    }

    /// A reason that holds also where no generation is left.
    fn stop_early(&self, state: &State) -> Option<(Stopped, String)> {
        let dev = self.settings.objective.summary(&state.incumbent.dev);
        if self.settings.target_score.is_some_and(|target| dev.score >= target) {
            return Some((Stopped::TargetScore, String::new()));
        }
        // As long as the gate is asked about what was proposed before, there is something to do without proposals.
        let goes_on = state.asked && state.is_anything_waiting();
        let reason = state.unpaid.as_ref().filter(|_| !goes_on)?;
        Some((Stopped::Budget, format!("no proposal could be paid for: {reason}")))
    }

    /// That what the limits leave for `role` does not cover `what`, naming the narrowest of them.
    fn not_covered(&self, role: ModelRole, what: &str) -> String {
        let limit = self.account.limit(role).unwrap_or_else(|| "the budget".to_owned());
        let kept_back = match self.test_calls() * self.evaluate.answers_a_row() {
            calls if calls > 0 && role == ModelRole::Task => {
                format!(": {} are kept back for the sealed test", plural(calls as usize, "call"))
            }
            _ => String::new(),
        };
        format!("what is left of {limit} does not cover {what}{kept_back}")
    }

    /// Task calls left for the search: the sealed test's share is kept back, and that of the pinned rows, which a question
    /// to the gate takes beside dev.
    fn task_calls_left(&self) -> u64 {
        let of_calls = |answers: u64| answers / self.evaluate.answers_a_row().max(1);
        let within_settings = of_calls(self.settings.calls.task_left((self.spent)())).saturating_sub(self.test_calls());
        let left = within_settings.min(of_calls(self.account.left(ModelRole::Task)));
        left.saturating_sub(self.pinned_rows().len() as u64)
    }

    /// Proposer calls left for the search.
    fn proposer_calls_left(&self) -> u64 {
        self.settings.calls.proposer_left((self.spent)()).min(self.account.left(ModelRole::Proposer))
    }

    /// Task calls that one question to the gate takes, without confirmation.
    fn gate_calls(&self) -> u64 {
        self.dataset.rows(Split::Dev).len() as u64
    }

    async fn measure_baseline(&self, meter: &Meter<'_>, opens: bool, generation: u32) -> Result<Revision, Halt> {
        let unmeasured = self.unmeasured();
        let train = if opens { Vec::new() } else { self.unquoted(&unmeasured.quoted) };
        let dev = self.dataset.rows(Split::Dev);
        let rows: Vec<Arc<Example>> = train.iter().chain(&dev).cloned().collect();
        let doing = Doing { generation, stage: "baseline", trying: "the prompt as it is".to_owned() };
        let mut outcomes = self.first_draws(meter, &self.baseline, &rows, &doing).await?;
        meter.journal_failures()?;
        let dev = outcomes.split_off(train.len());
        let objective = &self.settings.objective;
        let (on_train, on_dev) = (objective.summary(&outcomes), objective.summary(&dev));
        let event = BaselineMeasured { train: on_train, dev: on_dev, tokens: self.baseline.tokens() };
        self.sink.emit(Event::BaselineMeasured(event))?;
        Ok(Revision { train: outcomes, dev, ..unmeasured })
    }

    /// `prompts` on `rows` for the first time, where nothing is known of the models yet.
    async fn first_draws(
        &self,
        meter: &Meter<'_>,
        prompts: &Arc<PromptSet>,
        rows: &[Arc<Example>],
        doing: &Doing,
    ) -> Result<Vec<Outcome>, Halt> {
        let outcomes = meter.measure(prompts, rows, 0, doing).await?;
        meter::few_ran(&outcomes).map_or(Ok(outcomes), Err)
    }

    /// Measures the model's noise, to tell what gain dev can show.
    async fn measure_noise(&self, meter: &Meter<'_>, incumbent: &Revision, generation: u32) -> Result<(), Halt> {
        let dev = self.dataset.rows(Split::Dev);
        let left = if meter.is_deterministic() { 0 } else { self.task_calls_left() };
        let rows = noise::rows(&dev, left, self.settings.seed);
        let doing = Doing { generation, stage: "noise", trying: "the same rows once more".to_owned() };
        let first = meter.measure(&incumbent.prompts, &rows, 0, &doing).await?;
        let second = meter.measure(&incumbent.prompts, &rows, 1, &doing).await?;
        meter.journal_failures()?;
        let told = self.settings.objective.effective_rows(dev.iter().map(AsRef::<Example>::as_ref));
        let judge_noise = self.gate().judge_noise;
        let deterministic = meter.is_deterministic();
        let mut noise = noise::measured(deterministic, &first, &second, (dev.len(), told), judge_noise);
        noise.words += if self.dataset.rows(Split::Test).is_empty() {
            "; the gate keeps on less, and there are no test rows to show it"
        } else {
            "; the gate keeps on less, which only the sealed test can show"
        };
        if judge_noise == 0.0 && self.settings.gate.judge_noise > 0.0 {
            noise.words += "; the judge that took over was not calibrated, so its own noise is not in this";
        }
        self.sink.emit(Event::NoiseMeasured(noise))?;
        Ok(())
    }

    /// Opens the sealed test: baseline and winner, once.
    async fn open_test(&self, meter: &Meter<'_>, baseline: &Revision, winner: &Revision) -> Result<(), Halt> {
        let rows = self.dataset.rows(Split::Test);
        if rows.is_empty() {
            return Ok(());
        }
        let doing = |trying: &str| Doing {
            generation: self.settings.generations,
            stage: meter::TEST,
            trying: trying.to_owned(),
        };
        let before = meter.measure(&baseline.prompts, &rows, 0, &doing("the baseline")).await?;
        let after = meter.measure(&winner.prompts, &rows, 0, &doing("the winner")).await?;
        meter.journal_failures()?;
        let objective = &self.settings.objective;
        let comparison = objective.compare(&before, &after, self.settings.pass_threshold);
        if comparison.rows.is_empty() {
            return Ok(());
        }
        let shown = gate::shows_gain(&comparison);
        self.sink.emit(Event::TestOpened(TestOpened {
            baseline: objective.summary(&before),
            winner: objective.summary(&after),
            shown,
            rows_to_show: if shown { 0 } else { gate::rows_to_show(&comparison) },
            comparison,
        }))?;
        Ok(())
    }
}
