//! Scoring a prompt by hand: what `eval`, `failures` and `compare` share. Calls go through the response store under a
//! name of their own, so that what any run or evaluation has paid for costs nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use prompt_ratchet::dataset::{Example, Filter, Rows, Selection, Split};
use prompt_ratchet::eval::{Evaluate, Evaluation, Outcome, OutcomeError, RowSource, Summary, TakeOutcome};
use prompt_ratchet::model::{Amount, CallError, Limits, ModelRole, Spend};
use prompt_ratchet::project::{Models, Project, Use, probe, read, told_if_slow};
use prompt_ratchet::prompt::{Prompt, PromptSet};
use prompt_ratchet::propose::quoted_rows;
use prompt_ratchet::report::{count, lost_in_words, one_line, plural};
use prompt_ratchet::run::{ProviderNotice, SplitUses, UseCount};
use tokio_util::sync::CancellationToken;

use super::Global;
use super::exit::Failure;
use super::holds::Holds;
use super::plain;
use super::say;
use super::signals::interrupt;

/// `--split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitChoice {
    /// The rows that the proposer sees
    Train,
    /// The rows that answer the gate's questions
    Dev,
    /// The sealed rows; looking at them is counted
    Test,
    /// All rows, test included; looking at test is counted
    All,
}

impl SplitChoice {
    /// The splits that it names; train and dev where nothing was chosen.
    pub fn splits(choice: Option<Self>) -> Vec<Split> {
        match choice {
            None => vec![Split::Train, Split::Dev],
            Some(Self::Train) => vec![Split::Train],
            Some(Self::Dev) => vec![Split::Dev],
            Some(Self::Test) => vec![Split::Test],
            Some(Self::All) => Split::ALL.to_vec(),
        }
    }
}

/// Says something beside the results, unless all is to be quiet.
pub fn note(quiet: bool, text: &str) {
    if !quiet {
        say::line(plain::neutral(text));
    }
}

/// What is said when the split lock file was written.
pub fn splits_written(path: &Path) -> String {
    format!("wrote {}: which row is in which split; commit it", path.display())
}

/// What an evaluation used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Used {
    /// Calls that were paid for now.
    pub live: u64,
    /// Of them, the judge's.
    pub judged: u64,
    /// Of them, the embedder's.
    pub embedded: u64,
    /// Calls answered from the store.
    pub stored: u64,
    /// Tokens read and written by the live calls.
    pub tokens: u64,
    /// Dollars for the live calls; `None` where a price isn't known.
    pub dollars: Option<f64>,
    /// What attempts without an answer count as, which may have been billed.
    pub lost: Amount,
    /// Time from start to end.
    pub seconds: f64,
}

impl Used {
    /// What `spends` come to, and what `models` lost.
    fn of(spends: &[Spend], models: &Models, seconds: f64) -> Self {
        let lost = models.budget().lost().into_values().fold(Amount::default(), |sum, lost| sum + lost);
        Self { lost, ..Self::answered(spends, seconds) }
    }

    fn answered(spends: &[Spend], seconds: f64) -> Self {
        let mut used = Self { dollars: Some(0.0), seconds, ..Self::default() };
        for total in spends.iter().map(Spend::total) {
            used.live += total.live;
            used.stored += total.stored;
            used.tokens += total.tokens_in + total.tokens_out;
            used.dollars = used.dollars.filter(|_| total.unpriced == 0).map(|sum| sum + total.cost.dollars());
        }
        let live = |role| spends.iter().filter_map(|spend| spend.roles.get(&role)).map(|made| made.live).sum();
        (used.judged, used.embedded) = (live(ModelRole::Judge), live(ModelRole::Embedder));
        used
    }

    /// In words: `calls: 12 live, 340 stored; 1,234 tokens, $0.0012, and up to $0.0003 for 2 attempts without an answer,
    /// 3.4 s`.
    pub fn words(&self) -> String {
        let dollars = match self.dollars {
            Some(dollars) => format!("${dollars:.4}"),
            None => "price unknown".to_owned(),
        };
        let [live, stored] = [self.live, self.stored].map(count);
        let tokens = plural(self.tokens as usize, "token");
        let of_scorers =
            [("judge", self.judged), ("embedder", self.embedded)].into_iter().filter(|(_, made)| *made > 0);
        let scored: Vec<String> = of_scorers.map(|(role, made)| format!("{} of the {role}", count(made))).collect();
        let scored = if scored.is_empty() { String::new() } else { format!(" ({})", scored.join(", ")) };
        let lost = lost_in_words(self.lost).map_or(String::new(), |words| format!(", and {words}"));
        format!("calls: {live} live{scored}, {stored} stored; {tokens}, {dollars}{lost}, {:.1} s", self.seconds)
    }
}

/// An evaluation and what it used.
pub struct Measured {
    /// One outcome a row, in the order of the rows.
    pub evaluation: Evaluation,
    /// What it used.
    pub used: Used,
}

impl Measured {
    /// The scores together.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.evaluation.outcomes)
    }
}

/// The prompt in the file at `path`, called `name`.
fn read_prompt(path: &Path, name: &str) -> Result<Prompt, Failure> {
    Prompt::parse(name, &read(path).map_err(Failure::usage)?).map_err(Failure::usage)
}

/// A project that prompts are scored in.
pub struct Bench {
    /// The project.
    pub project: Project,
    quiet: bool,
    interrupt: CancellationToken,
    /// Whether nothing is asked, so that Ctrl-C has nothing to stop.
    is_idle: Arc<AtomicBool>,
}

impl Bench {
    /// Loads the project and says on stderr what deserves a look. Ctrl-C stops what is under way from here on.
    pub async fn load(global: &Global) -> Result<Self, Failure> {
        let project = Project::load(&global.config, &global.overrides).await?;
        Ok(Self::of(project, global))
    }

    /// The labels of a task of labels, the most frequent first.
    pub fn labels(&self) -> Option<Vec<String>> {
        self.project.labels().map(|labels| labels.into_iter().map(|(label, _)| label).collect())
    }

    /// Scores in `project`, which is loaded already.
    pub fn of(project: Project, global: &Global) -> Self {
        let (quiet, is_idle) = (global.quiet, Arc::new(AtomicBool::new(false)));
        let idle = Arc::clone(&is_idle);
        let interrupt = interrupt(move |line| {
            if !quiet && !idle.load(Ordering::Relaxed) {
                say::line(line);
            }
        });
        let bench = Self { project, quiet: global.quiet, interrupt, is_idle };
        for warning in &bench.project.warnings {
            bench.note(&format!("warning: {warning}"));
        }
        bench
    }

    /// Has all that is asked from here on asked without the addresses that can't be reached, and says so.
    pub async fn leave_out_addresses(&mut self) -> Result<(), Failure> {
        let use_ = self.use_of(Limits::nothing());
        for note in self.project.leave_out_addresses(&use_).await? {
            self.note(&note);
        }
        Ok(())
    }

    /// Says something beside the results.
    pub fn note(&self, text: &str) {
        note(self.quiet, text);
    }

    /// The rows to look at; none is an error.
    pub fn rows(&self, splits: &[Split], filters: &[Filter], limit: Option<usize>) -> Result<Rows, Failure> {
        let selection = Selection { splits: splits.to_vec(), filters: filters.to_vec(), limit };
        let rows = selection.rows(&self.project.dataset);
        if rows.is_empty() {
            let names = split_names(splits);
            return Err(Failure::usage(if filters.is_empty() {
                anyhow::anyhow!("there are no {names} rows; choose others with --split, or add rows to the dataset")
            } else {
                anyhow::anyhow!("no {names} row passes the filter; `ratchet eval` lists the labels and tags there are")
            }));
        }
        Ok(rows)
    }

    /// The project's prompts with the prompt file at `path` in place of the one of that name, or of the only one; with
    /// all the files of a folder in place of those of their names.
    pub fn prompts(&self, path: &Path) -> Result<Arc<PromptSet>, Failure> {
        if !path.is_dir() {
            return self.prompts_of(&[path.to_path_buf()]);
        }
        let files: Vec<PathBuf> = self.project.prompts.iter().map(|prompt| path.join(prompt.name())).collect();
        self.prompts_of(&files)
    }

    /// The project's prompts with those in `files` in place of the ones of their names, or of the only one.
    pub fn prompts_of(&self, files: &[PathBuf]) -> Result<Arc<PromptSet>, Failure> {
        let mut set = self.project.prompts.as_ref().clone();
        for path in files {
            let own = self.project.prompt_files.iter().find(|(_, file)| *file == path).map(|(name, _)| name.clone());
            let file = || path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = own.or_else(file).unwrap_or_default();
            let newer = if set.len() == 1 {
                PromptSet::new([read_prompt(path, &path.to_string_lossy())?]).and_then(|newer| newer.made_of(&set))
            } else if set.get(&name).is_none() {
                return Err(Failure::usage(anyhow::anyhow!(
                    "{}: the project has several prompts, and none of this name: {}",
                    path.display(),
                    set.names()
                )));
            } else {
                set.with(read_prompt(path, &name)?)
            };
            set = newer.map_err(Failure::usage)?;
        }
        Ok(Arc::new(set))
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.is_cancelled()
    }

    /// Waits for `wanted` while nothing is asked; `None` after Ctrl-C.
    pub async fn idle<T>(&self, wanted: impl Future<Output = T>) -> Option<T> {
        self.is_idle.store(true, Ordering::Relaxed);
        tokio::select! {
            came = wanted => {
                self.is_idle.store(false, Ordering::Relaxed);
                Some(came)
            }
            () = self.interrupt.cancelled() => None,
        }
    }

    /// Scores `prompts` on `rows` and keeps all outcomes.
    ///
    /// # Errors
    /// As [`Bench::stream`].
    pub async fn measure(&self, prompts: &Arc<PromptSet>, rows: &Rows, title: &str) -> Result<Measured, Failure> {
        let mut slots = vec![None; rows.len()];
        let used = self.stream(prompts, rows, title, &mut |at, outcome| slots[at] = Some(outcome)).await?;
        Ok(Measured { evaluation: evaluation(prompts, slots), used })
    }

    /// Scores `prompts` on `rows` and hands each outcome to `take` as it comes, with the place of its row.
    ///
    /// # Errors
    /// No row could run: then there is no score. A row that doesn't render. Ctrl-C.
    pub async fn stream(
        &self,
        prompts: &Arc<PromptSet>,
        rows: &Rows,
        title: &str,
        take: TakeOutcome<'_>,
    ) -> Result<Used, Failure> {
        check(prompts, rows)?;
        let began = Instant::now();
        let models = self.models(Limits::default())?;
        let bar = self.bar(rows.len(), title);
        let mut ran = Ran::default();
        let mut noted = |at: usize, outcome: Outcome| {
            ran.note(at, &outcome);
            take(at, outcome);
        };
        self.live(&models, prompts, Arc::new(rows.clone()), &bar, &mut noted).await?;
        ran.check(rows.len(), &models)?;
        Ok(Used::of(&[models.spend()], &models, began.elapsed().as_secs_f64()))
    }

    /// The same as [`Bench::measure`], but rows whose answer is stored come first.
    pub async fn measure_stored_first(
        &self,
        prompts: &Arc<PromptSet>,
        rows: &Rows,
        title: &str,
    ) -> Result<Measured, Failure> {
        check(prompts, rows)?;
        let began = Instant::now();
        let bar = self.bar(rows.len(), title);
        let (mut outcomes, free) = self.stored(prompts, rows.iter()).await?;
        bar.inc(outcomes.iter().flatten().count() as u64);
        let missing: Vec<usize> = (0..outcomes.len()).filter(|at| outcomes[*at].is_none()).collect();
        let (mut spends, models) = (vec![free], self.models(Limits::default())?);
        if !missing.is_empty() {
            let rest: Vec<Arc<Example>> = missing.iter().filter_map(|at| rows.get(*at)).collect();
            let mut take = |at: usize, outcome| outcomes[missing[at]] = Some(outcome);
            self.live(&models, prompts, Arc::new(rest), &bar, &mut take).await?;
            spends.push(models.spend());
        }
        let mut ran = Ran::default();
        outcomes.iter().flatten().enumerate().for_each(|(at, outcome)| ran.note(at, outcome));
        ran.check(rows.len(), &models)?;
        let used = Used::of(&spends, &models, began.elapsed().as_secs_f64());
        Ok(Measured { evaluation: evaluation(prompts, outcomes), used })
    }

    /// The outcomes of those rows whose answer is stored: no call is made for the others.
    pub async fn stored(
        &self,
        prompts: &Arc<PromptSet>,
        rows: impl Iterator<Item = Arc<Example>>,
    ) -> Result<(Vec<Option<Outcome>>, Spend), Failure> {
        // A budget of nothing: only the store can answer.
        let models = self.models(Limits::nothing())?;
        let evaluator = self.project.evaluator(&models);
        let mut outcomes = Vec::new();
        for row in rows {
            match evaluator.evaluate(prompts, &[row], 0, &|_| ()).await {
                Ok(mut evaluation) => outcomes.push(evaluation.outcomes.pop()),
                Err(OutcomeError::Call(CallError::Budget(_))) => outcomes.push(None),
                Err(fault) => return Err(Failure::of_models(&models, &fault)),
            }
        }
        Ok((outcomes, models.spend()))
    }

    async fn live(
        &self,
        models: &Models,
        prompts: &Arc<PromptSet>,
        rows: Arc<dyn RowSource>,
        bar: &ProgressBar,
        take: TakeOutcome<'_>,
    ) -> Result<(), Failure> {
        let notes = (!self.quiet).then(|| bar.clone());
        let slow = notes.clone();
        let holds = Holds::default();
        models.listen(move |role, notice| {
            let notice = ProviderNotice { role, notice: notice.clone() };
            if let Some(bar) = notes.as_ref().filter(|_| holds.is_worth_a_line(&notice.notice)) {
                bar.suspend(|| say::line(one_line(&notice.words(), usize::MAX)));
            }
        });
        let evaluator = self.project.evaluator(models);
        // Which model's table is to be mended the error doesn't say.
        let failed = |error: OutcomeError| Failure::of_models(models, &error);
        let first = probe(&evaluator, prompts, rows.as_ref());
        let first = told_if_slow(models, first, |line| {
            if let Some(bar) = slow {
                bar.suspend(|| say::line(line));
            }
        });
        if let Err(unready) = first.await {
            let context = match &unready.own {
                Some((asked, id)) if *asked == rows.count() => Some(none_could_run(*asked, id)),
                _ => unready.context(),
            };
            return Err(failed(unready.error).with(context));
        }
        let mut seen = |at: usize, outcome: Outcome| {
            bar.inc(1);
            let spend = models.spend();
            let task = spend.roles.get(&ModelRole::Task).copied().unwrap_or_default();
            bar.set_message(format!("{} live, {} stored", task.live, task.stored));
            take(at, outcome);
        };
        evaluator.stream(prompts, rows, 0, &mut seen).await.map_err(failed)
    }

    /// Models whose calls no run pays for.
    pub fn models(&self, limits: Limits) -> Result<Models, Failure> {
        Ok(self.project.models(&self.use_of(limits))?)
    }

    fn use_of(&self, limits: Limits) -> Use {
        // A name that no one has had before: whatever is in the store already counts as stored.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let payer = format!("eval-{now}-{}", std::process::id());
        Use { payer, limits, interrupt: self.interrupt.clone() }
    }

    fn bar(&self, rows: usize, title: &str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        // Draws to stderr, and only on a terminal.
        let bar = ProgressBar::new(rows as u64);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} rows  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(plain::line(title, 30));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Saves the splits that the scores rest on, and counts this use of them under `name`: a look at no more than the
    /// same `rows` counts once. Test is counted always, dev where a question was put to it.
    pub fn book(&mut self, splits: &[Split], name: &str, questions_dev: bool, rows: &Rows) -> Result<(), Failure> {
        let unsaved = self.project.unsaved_splits();
        self.project.save_splits()?;
        if let Some(path) = unsaved {
            self.note(&splits_written(&path));
        }
        let uses = UseCount {
            dev: u32::from(questions_dev && splits.contains(&Split::Dev)),
            test: u32::from(splits.contains(&Split::Test)),
        };
        if uses == UseCount::default() {
            return Ok(());
        }
        let runs = self.project.runs();
        let (dataset, splits) = (self.project.dataset.fingerprint, &self.project.dataset.splits);
        let is_held_out = |at: usize| rows.place(at).is_some_and(|place| splits[place] != Split::Train);
        let looked_at = (0..rows.len()).filter(|at| is_held_out(*at)).count();
        SplitUses::know(&runs, &self.project.dataset)?;
        let ledger = SplitUses::look(&runs, dataset, name, uses, looked_at)?;
        if uses.test > 0 {
            let total = ledger.total(dataset).test;
            let times = if total == 1 { "the first time".to_owned() } else { format!("{total} times by now") };
            self.note(&format!(
                "note: test rows were used, {times}; every prompt that is chosen by them makes their score prove less"
            ));
        }
        Ok(())
    }
}

fn none_could_run(rows: usize, id: &str) -> String {
    format!("none of {} could run, so there is no score; row `{id}`", plural(rows, "row"))
}

/// Whether any row could run, and why the first could not.
#[derive(Default)]
struct Ran {
    any: bool,
    first: Option<(String, OutcomeError)>,
}

impl Ran {
    fn note(&mut self, at: usize, outcome: &Outcome) {
        match &outcome.result {
            Ok(_) => self.any = true,
            Err(error) if at == 0 => self.first = Some((outcome.example.id.clone(), error.clone())),
            Err(_) => {}
        }
    }

    /// That none of `rows` could run is an error: then there is no score.
    fn check(self, rows: usize, models: &Models) -> Result<(), Failure> {
        match self.first {
            Some((id, error)) if !self.any => {
                Err(Failure::of_models(models, &error).with(Some(none_could_run(rows, &id))))
            }
            _ => Ok(()),
        }
    }
}

fn evaluation(prompts: &PromptSet, outcomes: Vec<Option<Outcome>>) -> Evaluation {
    Evaluation { prompts: prompts.digest(), outcomes: outcomes.into_iter().flatten().collect() }
}

/// Those of `rows` that none of `prompts` quotes as an example, and how many one of them does: a good answer to such a row
/// is copied. That none is left is an error.
pub fn unquoted(rows: &Rows, prompts: &[&PromptSet]) -> Result<(Rows, usize), Failure> {
    let quoted: BTreeSet<String> = prompts.iter().flat_map(|prompts| quoted_rows(rows.iter(), prompts)).collect();
    let left = rows.with(|id| !quoted.contains(id));
    if left.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "all of these rows are quoted as examples, and copying one is not knowing: choose others with --split, \
             --filter or --limit"
        )));
    }
    Ok((left, quoted.len()))
}

/// What is said of rows that were left out since `whose` quotes them; nothing for none.
pub fn left_out(quoted: usize, whose: &str) -> Option<String> {
    (quoted > 0).then(|| format!("{} that {whose} quotes as examples left out", plural(quoted, "row")))
}

/// Every row must render before any is paid for.
fn check(prompts: &PromptSet, rows: &Rows) -> Result<(), Failure> {
    for prompt in prompts.iter() {
        for row in rows.iter() {
            prompt.check(&row).map_err(Failure::usage)?;
        }
    }
    Ok(())
}

/// `train + dev`.
pub fn split_names(splits: &[Split]) -> String {
    splits.iter().collect::<BTreeSet<_>>().into_iter().map(|split| split.name()).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use prompt_ratchet::money::Money;

    use super::*;

    #[test]
    fn test_is_left_alone_unless_asked() {
        assert_eq!(split_names(&SplitChoice::splits(None)), "train + dev");
        assert_eq!(split_names(&SplitChoice::splits(Some(SplitChoice::All))), "train + dev + test");
    }

    #[test]
    fn a_price_that_is_not_known_is_no_zero() {
        let used = Used { live: 1200, stored: 3, tokens: 4, seconds: 0.04, ..Used::default() };
        assert_eq!(used.words(), "calls: 1,200 live, 3 stored; 4 tokens, price unknown, 0.0 s");
        let lost = Amount { calls: 2, tokens: 9, money: Money::from_dollars(0.01) };
        let words = Used { dollars: Some(0.1), lost, ..used }.words();
        assert!(words.ends_with("$0.1000, and up to $0.0100 for 2 attempts without an answer, 0.0 s"), "{words}");
        assert_eq!(Used::answered(&[], 0.0).dollars, Some(0.0));
    }
}
