//! Running an optimisation: its folder, its sinks, and the search between them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::account::Purse;
use super::lineup::Lineup;
use super::live::LiveFile;
use super::ready::ready;
use super::snapshot::check_files;
use super::{Models, Project, ProjectError, Use};
use crate::clock::{self, Clock};
use crate::durable;
use crate::eval::OutcomeError;
use crate::model::{Amount, ModelRole, Spend};
use crate::money::Money;
use crate::report;
use crate::run::{
    Allotted, Event, Files, Journal, ProviderNotice, Pulls, PullsLedger, Recorded, RunEnded, RunError, RunFolder,
    RunState, Sink, Spent, SplitUses, UseCount, state,
};
use crate::search::{CallsSpent, Halt, Search};
use crate::text::{count, plural};

/// Sees what a run does, with what it has used so far.
pub trait Watch: Send + Sync {
    /// The run whose events come from now on.
    fn begin(&self, _folder: &RunFolder) {}

    /// Something beside the run's events, such as a warning about the data.
    fn note(&self, _line: &str) {}

    /// Takes one event; progress may come from any thread.
    fn see(&self, event: &Event, spend: &Spend);
}

/// How long a resumed run may go on, where that was said anew: it counts from now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenTime {
    /// As `budget.for`.
    pub duration: Option<String>,
    /// As `budget.until`.
    pub until: Option<String>,
}

/// A run that ended as planned.
#[derive(Debug)]
pub struct Optimized {
    /// Its folder.
    pub folder: RunFolder,
    /// How it ended.
    pub ended: RunEnded,
}

/// Why a run did not end as planned.
#[derive(Debug, thiserror::Error)]
pub enum OptimizeError {
    /// The project can't be run; nothing was written.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A model can't be had; nothing was written.
    #[error("{error}")]
    NotReady {
        /// Whose it is.
        role: ModelRole,
        /// What the first rows met, or the first contact.
        error: OutcomeError,
        /// How many rows that is, in words, where the error is each row's own.
        context: Option<String>,
    },
    /// The run folder can't be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run has ended already.
    #[error("run {0} is finished; there is nothing to resume")]
    Finished(String),
    /// It halted; what was done is kept and can be resumed.
    #[error("{halt}")]
    Halted {
        /// Why.
        halt: Halt,
        /// The run's folder.
        folder: Box<RunFolder>,
    },
}

/// Starts a run of `project` and sees it to its end.
///
/// # Errors
/// [`OptimizeError`].
pub async fn optimize(
    project: &mut Project,
    clock: Arc<dyn Clock>,
    interrupt: CancellationToken,
    watch: Arc<dyn Watch>,
) -> Result<Optimized, OptimizeError> {
    project.check_splits()?;
    project.check_length()?;
    project.check_budget()?;
    let now = clock.now();
    project.settle_until(now)?;
    let end = project.end(now, Duration::ZERO)?;
    if !project.limits().is_unlimited() && project.plan(now).await?.generations_afforded == 0 {
        watch.note(
            "warning: with the sealed test's share kept back, the budget is likely to end before the first generation \
             is through, and at best a set of examples is tried: raise it to have edits tried; `ratchet optimize --dry-run` tells what a run takes",
        );
    }
    let past = PullsLedger::read(&project.runs())?.past();
    let name = project.name();
    // Before anything is paid for: what is asked from here on is this run's, whoever starts another this moment.
    let mut claim = RunFolder::claim(&project.runs(), &name, &project.config_file, now)?;
    let use_ = Use { payer: claim.folder().manifest.run.clone(), limits: project.limits(), interrupt };
    let models = ready(project, &use_, |models| end_at(models, &clock, end), watch.as_ref()).await?;
    project.save_splits()?;
    project.write_snapshot(claim.folder(), &past)?;
    let folder = claim.begin()?;
    run(project.for_run(), models, folder, clock, watch).await
}

/// Goes on with the run in `folder` from where it was interrupted: the search is run again on what is recorded.
///
/// # Errors
/// [`OptimizeError`].
pub async fn resume(
    root: &Path,
    folder: RunFolder,
    clock: Arc<dyn Clock>,
    interrupt: CancellationToken,
    watch: Arc<dyn Watch>,
    time: GivenTime,
) -> Result<Optimized, OptimizeError> {
    // The report is written last: without it, the process ended between its last decision and its last file.
    let reported = folder.path.join(report::FILE).is_file();
    if reported && state(&folder.events().unwrap_or_default()).0 == RunState::Finished {
        return Err(OptimizeError::Finished(folder.manifest.run));
    }
    let _lock = folder.lock(&clock::timestamp(clock.now()))?;
    check_files(root, &folder)?;
    let mut project = Project::of_snapshot(root, &folder, []).await?;
    let payer = folder.manifest.run.clone();
    let models = project.models(&Use { payer, limits: project.limits(), interrupt })?;
    let mut earlier = Duration::try_from_secs_f64(Spent::read(&folder.path).seconds).unwrap_or_default();
    if time != GivenTime::default() {
        (project.config.budget.duration, project.config.budget.until) = (time.duration, time.until);
        earlier = Duration::ZERO;
    }
    let now = clock.now();
    let end = project.end(now, earlier)?;
    let events = folder.events().unwrap_or_default();
    let stopped_already = events.iter().any(|event| matches!(event, Event::LimitReached(_)));
    if end.is_some_and(|end| end <= now) && !stopped_already {
        return Err(ProjectError::TimeUp.into());
    }
    end_at(&models, &clock, end);
    run(project, models, folder, clock, watch).await
}

/// Lets the models know when to stop.
fn end_at(models: &Models, clock: &Arc<dyn Clock>, end: Option<Duration>) {
    if let Some(end) = end {
        models.budget().end_at(Arc::clone(clock), end);
    }
}

/// `$0.2265, 21 calls`: what is not zero of an amount; nothing where all of it is.
fn in_words(amount: Amount) -> Option<String> {
    let Amount { calls, tokens, money } = amount;
    let parts = [
        (money > Money::default()).then(|| money.to_string()),
        (tokens > 0).then(|| plural(tokens as usize, "token")),
        (calls > 0).then(|| plural(calls as usize, "call")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Sees the run in `folder` to its end; whoever calls holds its lock.
async fn run(
    project: Project,
    models: Models,
    folder: RunFolder,
    clock: Arc<dyn Clock>,
    watch: Arc<dyn Watch>,
) -> Result<Optimized, OptimizeError> {
    durable::remove_leftovers(&folder.path).map_err(RunError::from)?;
    let (journal, events) = Journal::open(&folder.path)?;
    if let Some(repaired) = journal.repaired() {
        watch.note(&format!("note: {repaired}"));
    }
    let earlier = Spent::read(&folder.path);
    for (role, lost) in earlier.lost {
        models.budget().carry_over_lost(role, lost);
    }
    for (role, used) in &earlier.spend.roles {
        models.ledger().carry_over_failed(*role, used.failed);
    }
    let gone = models.gone(&earlier.spend).map_err(ProjectError::from)?;
    if !gone.is_empty() {
        let (calls, of) = (gone.values().map(|gone| gone.calls).sum::<u64>(), earlier.spend.total().live);
        watch.note(&format!(
            "warning: {} of the {} that this run has paid for are no longer in the response store: they are asked for, and \
             paid for, again",
            count(calls),
            plural(of as usize, "answer")
        ));
    }
    for (role, gone) in &gone {
        models.budget().carry_over_lost(*role, *gone);
    }
    let (allotted, path) = (Allotted::read(&folder.path)?, folder.path.clone());
    let under_way = models
        .budget()
        .allot(&allotted.0, move |allotted| Allotted(allotted.clone()).write(&path).map_err(|error| error.to_string()));
    if let Some(amount) = in_words(under_way) {
        watch.note(&format!(
            "note: calls were under way when the run was killed, and may have been billed: {amount} of its limits count as spent"
        ));
    }
    let models = Arc::new(models);
    watch.begin(&folder);
    SplitUses::know(folder.path.parent().unwrap_or(Path::new("")), &project.dataset)?;
    let output = Arc::new(Output {
        journal,
        live: LiveFile::new(&folder, Arc::clone(&clock), Arc::clone(&models)),
        files: Files::new(&folder.path, &project.prompts),
        books: Books::new(&project, &folder, clock, Arc::clone(&models)),
        watch,
    });
    if !gone.is_empty() {
        // They are lost once, however often the run is resumed.
        output.books.write()?;
    }
    tell_of_outages(&models, &output);
    let settings = project.settings();
    let task = project.task();
    let dataset = Arc::new(project.rows_of_run());
    let account = Purse::new(Arc::clone(&models), project.scorers.calls());
    let spent = || calls_spent(&models.spend());
    let (baseline, strategies) = (Arc::clone(&project.prompts), project.strategies.clone());
    let lineup = Lineup::new(project, Arc::clone(&dataset), Arc::clone(&models));
    let search = Search {
        settings: &settings,
        dataset: &dataset,
        baseline,
        task: &task,
        evaluate: &lineup,
        propose: &lineup,
        standby: &lineup,
        strategies: &strategies,
        sink: output.as_ref(),
        spent: &spent,
        account: &account,
        recorded: Recorded::of(&events),
        // As written, also in the process that wrote it: what a resumed run will read.
        past: Pulls::read(&folder.snapshot())?,
    };
    let result = search.run().await;
    let write = || {
        output.books.write()?;
        note_pulls(&folder)?;
        output.live.ended();
        Allotted::remove(&folder.path);
        // Last: with the report there, the run is finished, and nothing goes on with it.
        report::write(&folder)
    };
    match result.and_then(|ended| write().map(|()| ended).map_err(Halt::from)) {
        Ok(ended) => Ok(Optimized { folder, ended }),
        Err(halt) => {
            // Why it halted matters more than that the books can't be written either.
            let _ = output.books.write();
            models.budget().settle_allotment();
            output.live.halted(&halt);
            Err(OptimizeError::Halted { halt, folder: Box::new(folder) })
        }
    }
}

/// Takes what the strategies came to in the run, which has ended, into the project's ledger.
fn note_pulls(folder: &RunFolder) -> Result<(), RunError> {
    let runs = folder.path.parent().unwrap_or(Path::new(""));
    PullsLedger::record(runs, &folder.manifest.run, Pulls::of(&folder.events()?))
}

/// Has `output` take what the models' providers tell of themselves. It holds the models, so they must not hold it.
fn tell_of_outages(models: &Models, output: &Arc<Output>) {
    let output = Arc::downgrade(output);
    models.listen(move |role, notice| {
        if let Some(output) = output.upgrade() {
            // A sighting: a terminal that is gone must not end the run.
            let _ = output.emit(Event::Provider(ProviderNotice { role, notice: notice.clone() }));
        }
    });
}

fn calls_spent(spend: &Spend) -> CallsSpent {
    let live = |role| spend.roles.get(&role).map_or(0, |spend| spend.live);
    let [task, proposer, judge, embedder] = ModelRole::ALL.map(live);
    CallsSpent { total: spend.total().live, task, proposer, judge, embedder }
}

/// All that a run's events go to: the journal first, so that nothing is shown that isn't durable.
struct Output {
    journal: Journal,
    live: LiveFile,
    files: Files,
    books: Books,
    watch: Arc<dyn Watch>,
}

impl Sink for Output {
    fn emit(&self, event: Event) -> Result<(), RunError> {
        self.journal.emit(event.clone())?;
        if tracing::enabled!(tracing::Level::INFO)
            && let Some(event) = event.name()
        {
            tracing::info!(event);
        }
        self.live.take(&event);
        self.watch.see(&event, &self.books.models.spend());
        self.books.take(&event)?;
        self.files.emit(event)
    }
}

/// Money, time, and the uses of dev and test.
struct Books {
    models: Arc<Models>,
    folder: PathBuf,
    runs: PathBuf,
    run: String,
    dataset: crate::digest::Digest,
    clock: Arc<dyn Clock>,
    began: Duration,
    earlier_seconds: f64,
    uses: Mutex<UseCount>,
}

impl Books {
    fn new(project: &Project, folder: &RunFolder, clock: Arc<dyn Clock>, models: Arc<Models>) -> Self {
        Self {
            models,
            runs: folder.path.parent().unwrap_or(Path::new("")).to_path_buf(),
            run: folder.manifest.run.clone(),
            dataset: project.dataset.fingerprint,
            began: clock.now(),
            clock,
            earlier_seconds: Spent::read(&folder.path).seconds,
            folder: folder.path.clone(),
            uses: Mutex::default(),
        }
    }

    fn take(&self, event: &Event) -> Result<(), RunError> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Judged(_) | Event::Ablated(_) => uses.dev += 1,
            Event::TestOpened(_) => uses.test += 1,
            Event::NoiseMeasured(_) | Event::GenerationEnded(_) | Event::AttemptsLost(_) => return self.write(),
            _ => return Ok(()),
        }
        SplitUses::record(&self.runs, self.dataset, &self.run, *uses).map(drop)
    }

    fn write(&self) -> Result<(), RunError> {
        let seconds = self.earlier_seconds + self.clock.now().saturating_sub(self.began).as_secs_f64();
        let lost = self.models.budget().lost();
        Spent { seconds, spend: self.models.spend(), lost }.write(&self.folder)
    }
}
