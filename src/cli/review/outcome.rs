//! What the choices of a review amount to: a revision that the run measured, or a result to be measured now.

use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prompt_ratchet::dataset::{Example, Split};
use prompt_ratchet::eval::Summary;
use prompt_ratchet::project::{Project, Use};
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::propose::quoted_rows;
use prompt_ratchet::report::{one_line, percent, plural, points, signed_interval, wrapped};
use prompt_ratchet::review::{Blocked, Choice, Gain, Measurement, QuotedRow, REVIEW, Revision, measure};
use prompt_ratchet::run::{SplitUses, UseCount};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::Global;
use super::super::exit::Failure;
use super::super::paint::Paint;
use super::super::report::{json_interval, screen_width};
use super::super::say;
use super::Session;

/// What is known of the prompts that the choices make.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing is left of the run: they are the prompts it began with.
    Baseline,
    /// They are what this generation kept, on which the run's own figures hold.
    Revision(u32),
    /// The review measured them.
    Measured(Box<Measurement>),
    /// Nobody has measured them yet.
    Unmeasured,
}

/// Most characters of the quoted rows' ids, by split.
const NAMED: usize = 60;

/// The end of a review.
pub struct Outcome {
    standing: Standing,
    blocked: Vec<Blocked>,
    /// Calls that measuring took now.
    calls: u64,
}

/// What is known of `prompts`.
pub fn standing(session: &Session, prompts: &PromptSet) -> Standing {
    if prompts.digest() == session.revisions.baseline.digest() {
        return Standing::Baseline;
    }
    match (session.revisions.revision_of(prompts), session.review.measurement(prompts)) {
        (Some(revision), _) => Standing::Revision(revision.generation),
        (None, Some(measurement)) => Standing::Measured(Box::new(measurement.clone())),
        (None, None) => Standing::Unmeasured,
    }
}

/// Composes what was chosen, and measures it where nobody has.
pub async fn reach(session: &mut Session, global: &Global) -> Result<Outcome, Failure> {
    let composed = session.revisions.compose(&session.review.choices());
    let blocked = composed.blocked;
    match standing(session, &composed.prompts) {
        Standing::Unmeasured => {
            let (measurement, calls) = measure_now(session, composed.prompts, global).await?;
            session.review.note(measurement.clone());
            session.review.write(&session.folder)?;
            note_use(session)?;
            Ok(Outcome { standing: Standing::Measured(Box::new(measurement)), blocked, calls })
        }
        standing => Ok(Outcome { standing, blocked, calls: 0 }),
    }
}

async fn measure_now(session: &Session, prompts: PromptSet, global: &Global) -> Result<(Measurement, u64), Failure> {
    let root = global.config.parent().unwrap_or(Path::new(""));
    let project = Project::of_run(root, &session.folder).await?;
    let payer = format!("{}{REVIEW}", session.view.manifest.run);
    let models = project.models(&Use { payer, limits: project.limits(), interrupt: CancellationToken::new() })?;
    let evaluator = project.evaluator(&models);
    let mut quoted = session.revisions.quoted();
    let mut by_result = Vec::new();
    for split in Split::ALL {
        let rows = quoted_rows(project.measured(split).iter(), &prompts);
        by_result.extend(rows.iter().map(|row| QuotedRow { row: row.clone(), split }));
        quoted.extend(rows);
    }
    let [train, dev] = [Split::Train, Split::Dev]
        .map(|split| project.measured(split).with(|row| !quoted.contains(row)).iter().collect::<Vec<Arc<Example>>>());
    if !global.quiet {
        say::line(format_args!(
            "The run never measured just these edits: measuring them on {} of train and dev.\nStored answers cost \
             nothing.",
            plural(train.len() + dev.len(), "row")
        ));
    }
    let bar = progress(2 * (train.len() + dev.len()), global.quiet);
    let (baseline, result) = (Arc::new(session.revisions.baseline.clone()), Arc::new(prompts));
    let (objective, threshold) = (project.objective(), project.config.pass_threshold);
    let by = (&objective, threshold);
    let measured = measure(&evaluator, &baseline, &result, (&train, &dev), by_result, by, &|_| bar.inc(1)).await;
    bar.finish_and_clear();
    let measured = measured.map_err(|error| Failure::of_models(&models, &error))?;
    Ok((measured, models.spend().total().live))
}

fn progress(rows: usize, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(rows as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:20.cyan/dim} {pos}/{len} rows  {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// Counts the use of dev in the project's ledger.
fn note_use(session: &Session) -> Result<(), Failure> {
    let (Some(started), Some(runs)) = (&session.view.started, session.folder.path.parent()) else { return Ok(()) };
    let uses = UseCount { dev: u32::try_from(session.review.measured()).unwrap_or(u32::MAX), test: 0 };
    SplitUses::record(runs, started.dataset, &format!("{}{REVIEW}", session.view.manifest.run), uses)?;
    Ok(())
}

impl Outcome {
    /// For people.
    pub fn text(&self, session: &Session) -> String {
        let width = screen_width();
        let mut lines = vec![chosen(session)];
        let objective = session.view.objective();
        if !objective.is_mean_score() {
            lines.push(format!("Scores are {}.", objective.words()));
        }
        for blocked in &self.blocked {
            lines.extend(wrapped(&format!("{} can't be made: {}", blocked.id, blocked.reason), width, "  "));
        }
        match &self.standing {
            Standing::Baseline => {
                lines.push("Nothing is accepted: the prompt stays as it is.".to_owned());
                lines.push(otherwise(session));
                return lines.join("\n") + "\n";
            }
            Standing::Revision(generation) => lines.extend(of_revision(session, *generation, width)),
            Standing::Measured(measurement) => lines.extend(self.of_measurement(measurement, width)),
            Standing::Unmeasured => {}
        }
        lines.push(otherwise(session));
        lines.push(format!("Next: ratchet apply {}", session.name));
        lines.join("\n") + "\n"
    }

    fn of_measurement(&self, measurement: &Measurement, width: usize) -> Vec<String> {
        let calls = if self.calls == 0 { String::new() } else { format!(" ({})", plural(self.calls as usize, "call")) };
        let mut lines = vec![format!("Measured by this review{calls}, against the prompt that the run began with:")];
        for (split, gained) in [("dev", &measurement.dev), ("train", &measurement.train)] {
            lines.push(format!("  {split:<5}  {}", score(gained)));
            lines.push(format!("         {}", rows(gained)));
        }
        let paint = Paint::stdout();
        let (headline, advice) = if measurement.dev.is_shown() {
            (
                paint.good("Better on dev."),
                "The run chose among its edits on dev, so expect somewhat less on new rows. The sealed test was not \
                 opened.",
            )
        } else {
            (
                paint.open("Not shown to be better:"),
                "the interval on dev reaches down to zero. More hunks, or more dev rows, may show it.",
            )
        };
        let mut words = wrapped(&format!("{headline} {advice}"), width, "");
        lines.append(&mut words);
        if let Some(words) = of_quoted(&measurement.quoted) {
            lines.extend(wrapped(&words, width, "  "));
        }
        lines
    }

    /// For scripts.
    pub fn json(&self, session: &Session) -> Value {
        let mut value = json!({ "blocked": self.blocked, "calls": self.calls });
        let same_as = match &self.standing {
            Standing::Baseline => Some("baseline".to_owned()),
            Standing::Revision(generation) => Some(format!("g{generation}")),
            Standing::Measured(measurement) => {
                value["train"] = json_gain(&measurement.train);
                value["dev"] = json_gain(&measurement.dev);
                value["better_on_dev"] = json!(measurement.dev.is_shown());
                value["quoted"] = json!(measurement.quoted);
                None
            }
            Standing::Unmeasured => None,
        };
        value["same_as"] = json!(same_as);
        let composed = session.revisions.compose(&session.review.choices());
        let texts = composed.prompts.iter().map(|prompt| (prompt.name().to_owned(), json!(prompt.text())));
        value["prompts"] = Value::Object(texts.collect());
        value
    }
}

/// What is said of rows that the result quotes and the baseline doesn't; a warning where the proposer never saw them.
fn of_quoted(quoted: &[QuotedRow]) -> Option<String> {
    let told = |split| {
        let rows: Vec<&str> = quoted.iter().filter(|of| of.split == split).map(|of| of.row.as_str()).collect();
        let what = format!("{} row", split.name());
        (!rows.is_empty()).then(|| format!("{} ({})", plural(rows.len(), &what), one_line(&rows.join(", "), NAMED)))
    };
    let found: Vec<String> = Split::ALL.into_iter().filter_map(told).collect();
    let held_out = quoted.iter().any(|of| of.split != Split::Train);
    let words = format!("the result quotes {} as examples, which were left out", found.join(", "));
    match (found.is_empty(), held_out) {
        (true, _) => None,
        (false, false) => Some(format!("Note: {words}.")),
        (false, true) => Some(format!("Warning: {words}. Rows of dev and test are there to be answered unseen.")),
    }
}

fn json_gain(gain: &Gain) -> Value {
    let mut value = json!(gain);
    value["interval"] = json_interval(&gain.interval);
    value
}

/// How a choice that was made is changed.
fn otherwise(session: &Session) -> String {
    format!("To choose otherwise: ratchet review {} --reject ID, or --accept ID (--list has them)", session.name)
}

fn chosen(session: &Session) -> String {
    let choices = session.review.choices();
    let number = |is: fn(&Choice) -> bool| choices.values().filter(|choice| is(choice)).count();
    format!(
        "{}: {} accepted, {} edited, {} rejected",
        plural(session.hunks(), "hunk"),
        number(|choice| *choice == Choice::Accept),
        number(|choice| matches!(choice, Choice::Edit { .. })),
        number(|choice| *choice == Choice::Reject),
    )
}

fn score(gain: &Gain) -> String {
    format!(
        "{} to {}, {} {}",
        percent(gain.before),
        percent(gain.after),
        points(gain.difference),
        signed_interval(&gain.interval)
    )
}

fn rows(gain: &Gain) -> String {
    let missing = if gain.missing == 0 { String::new() } else { format!(", {} missing", gain.missing) };
    format!("{} of {}{missing}", gain.changes(), plural(gain.rows, "row"))
}

fn of_revision(session: &Session, generation: u32, width: usize) -> Vec<String> {
    let Some(revision) = session.revisions.revisions.iter().find(|revision| revision.generation == generation) else {
        return Vec::new();
    };
    let is_winner = revision.prompts.digest() == session.revisions.winner().digest();
    let mut words =
        format!("This is just what generation {generation} kept{}.", if is_winner { ", the winner" } else { "" });
    if let Some(baseline) = session.view.baseline_dev() {
        words += &format!(" The run measured it on dev: {}.", from_to(baseline, revision));
    }
    if let Some(test) = session.view.test.as_ref().filter(|_| is_winner) {
        let shown = if test.shown { "better" } else { "not shown to be better" };
        words += &format!(
            " On the sealed test: {} to {}, {} {}: {shown}.",
            percent(test.baseline.score),
            percent(test.winner.score),
            points(test.comparison.difference),
            signed_interval(&test.comparison.interval)
        );
    }
    wrapped(&words, width, "")
}

fn from_to(baseline: &Summary, revision: &Revision) -> String {
    format!("{} to {}", percent(baseline.score), percent(revision.judged.dev.score))
}
