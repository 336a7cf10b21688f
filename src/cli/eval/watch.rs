//! `ratchet eval --watch`: scores again whenever the prompt file is saved.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prompt_ratchet::config::Config;
use prompt_ratchet::dataset::Rows;
use prompt_ratchet::eval::{Change, Comparison, Outcome};
use prompt_ratchet::project::{Project, ProjectError};
use prompt_ratchet::report::{Breakdown, plural, points};

use super::super::say;
use super::Eval;
use super::table::{Page, score_line};
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::measure::{Bench, SplitChoice, left_out, split_names};
use crate::cli::plain::{self, WIDTH, line};
use crate::cli::report::print;

/// How often the file is looked at. By content, since not every file system tells of changes.
const POLL: Duration = Duration::from_millis(200);

/// Most rows listed a kind of change.
const LISTED: usize = 5;

/// Watches until Ctrl-C.
pub async fn watch(eval: &Eval, global: &Global) -> Result<Exit, Failure> {
    let Some(project) = load(global).await? else { return Ok(Exit::Done) };
    let mut bench = Bench::of(project, global);
    bench.leave_out_addresses().await?;
    let rows = eval.rows(&bench)?;
    let files: Vec<PathBuf> = match &eval.prompt {
        Some(path) if path.is_dir() => bench.project.prompts.iter().map(|prompt| path.join(prompt.name())).collect(),
        Some(path) => vec![path.clone()],
        None => bench.project.prompt_files.values().cloned().collect(),
    };
    let names = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" or ");
    let mut history = History::default();
    let content = || contents(&files);
    let mut seen = content();
    loop {
        let scored = tokio::select! {
            scored = score(eval, &mut bench, &files, &rows, &mut history) => Some(scored),
            // Saved again meanwhile: what is under way is of no use; its answers are stored.
            () = changed(content, &seen) => None,
        };
        if bench.is_interrupted() {
            return Ok(Exit::Done);
        }
        // What was read may be newer than what was seen: then the error may be of a save under way.
        if let Some(Err(failure)) = &scored
            && content() == seen
        {
            say::line(format_args!("error: {}", plain::neutral(&format!("{:#}", failure.error))));
        }
        if scored.is_some() && content() == seen {
            bench.note(&format!("waiting for {names} to be saved; Ctrl-C ends"));
        }
        match bench.idle(settled(content, seen)).await {
            Some(settled) => seen = settled,
            None => return Ok(Exit::Done),
        }
    }
}

/// Loads the project; where its prompt is broken, says so and waits until it is saved. None after Ctrl-C.
async fn load(global: &Global) -> Result<Option<Project>, Failure> {
    loop {
        let files = prompt_files(global);
        let before = contents(&files);
        let error = match Project::load(&global.config, &global.overrides).await {
            Ok(project) => return Ok(Some(project)),
            Err(ProjectError::Prompt(error)) => error,
            Err(error) => return Err(error.into()),
        };
        say::line(format_args!("error: {}", plain::neutral(&error.to_string())));
        if !global.quiet {
            say::line("waiting for the prompt to be saved; Ctrl-C ends");
        }
        tokio::select! {
            _ = settled(|| contents(&files), before) => {}
            _ = tokio::signal::ctrl_c() => return Ok(None),
        }
    }
}

/// The prompt files that the config names; none where it can't be read.
fn prompt_files(global: &Global) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(&global.config).unwrap_or_default();
    let root = global.config.parent().unwrap_or(Path::new(""));
    let config = Config::parse(&global.config.to_string_lossy(), &text, &global.overrides);
    config.map(|config| config.prompt_files().values().map(|path| root.join(path)).collect()).unwrap_or_default()
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Waits until `content` is no longer what was `seen`.
async fn changed<T: PartialEq>(content: impl Fn() -> T, seen: &T) {
    while content() == *seen {
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until `content` is no longer what was `seen`, and then until it has been the same for one poll: editors save
/// in several steps, and half a file isn't what anybody wrote.
async fn settled<T: PartialEq>(content: impl Fn() -> T, seen: T) -> T {
    changed(&content, &seen).await;
    let mut latest = content();
    loop {
        tokio::time::sleep(POLL).await;
        let now = content();
        if now == latest {
            return now;
        }
        latest = now;
    }
}

/// The outcomes of the first and of the latest prompt that could be scored.
#[derive(Default)]
struct History {
    start: Option<Vec<Outcome>>,
    previous: Option<Vec<Outcome>>,
}

async fn score(
    eval: &Eval,
    bench: &mut Bench,
    files: &[PathBuf],
    rows: &Rows,
    history: &mut History,
) -> Result<(), Failure> {
    let prompts = bench.prompts_of(files)?;
    let (rows, quoted) = eval.scored(rows.clone(), &prompts)?;
    let measured = bench.measure_stored_first(&prompts, &rows, "eval").await?;
    let splits = SplitChoice::splits(eval.split);
    bench.book(&splits, &format!("eval-{}", prompts.digest().short()), false, &rows)?;
    let outcomes = measured.evaluation.outcomes;
    let (objective, pass_threshold) = (bench.project.objective(), bench.project.config.pass_threshold);
    let title = format!("{} on {}", prompts.names(), split_names(&splits));
    let mut text = match (&history.start, &history.previous) {
        (Some(start), Some(previous)) => {
            let summary = objective.summary(&outcomes);
            let mut text = format!("{}\n{}\n", line(&title, WIDTH), score_line(&summary, &objective));
            if summary.errors > 0 {
                text += &format!("{} could not run and count nowhere\n", plural(summary.errors, "row"));
            }
            if let Some(words) = left_out(quoted, "the prompt") {
                text += &format!("{words}\n");
            }
            // Over the rows that neither prompt quotes.
            let since = objective.compare(previous, &outcomes, pass_threshold);
            text += &counts("since the last save", &since);
            text += &listed(&since);
            text += &counts("since the start", &objective.compare(start, &outcomes, pass_threshold));
            text
        }
        _ => {
            let breakdown = &Breakdown::of(eval.aspects(bench), &outcomes);
            Page { title, breakdown, quoted }.to_string()
        }
    };
    text += &format!("{}\n\n", measured.used.words());
    history.start.get_or_insert_with(|| outcomes.clone());
    history.previous = Some(outcomes);
    print(&text)
}

/// `since the start: +3.2 points; 12 improved, 3 regressed, 340 stayed`.
fn counts(since: &str, comparison: &Comparison) -> String {
    let of = |changes: [Change; 2]| changes.into_iter().map(|change| comparison.count(change)).sum::<usize>();
    let improved = of([Change::Fixed, Change::Improved]);
    let regressed = of([Change::Broken, Change::Worsened]);
    let stayed = comparison.count(Change::Unchanged);
    let points = points(comparison.difference);
    format!("{since}: {points}; {improved} improved, {regressed} regressed, {stayed} stayed\n")
}

fn listed(comparison: &Comparison) -> String {
    let mut text = String::new();
    for (name, changes) in
        [("improved", [Change::Fixed, Change::Improved]), ("regressed", [Change::Broken, Change::Worsened])]
    {
        let ids: Vec<&str> = changes.into_iter().flat_map(|change| comparison.ids(change)).collect();
        if ids.is_empty() {
            continue;
        }
        let shown = ids.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        let more = ids.len().saturating_sub(LISTED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        text += &format!("  {}{more}\n", line(&format!("{name}: {shown}"), WIDTH - 2 - more.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_saved_is_read_when_it_has_been_the_same_for_one_poll() {
        let steps = ["old", "old", "", "user:\n{{ in", "user:\n{{ input }}", "user:\n{{ input }}", "later"];
        let at = Cell::new(0);
        let content = || {
            at.set(at.get() + 1);
            steps[at.get() - 1]
        };
        assert_eq!(settled(content, "old").await, "user:\n{{ input }}");
    }
}
