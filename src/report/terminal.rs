//! The morning screen: what a run came to, on one screen of plain text. Colours are the command line's business.

use super::numbers::{interval, percent, points, signed, signed_interval, tally};
use super::{CandidateView, Origin, RunView, count, one_line, p_value, plural, spending};
use crate::eval::Summary;
use crate::run::{Decision, FellBack, Judged, RunEnded, Stopped};

/// Kept revisions that are listed.
const LISTED: usize = 8;

/// What came of the run, in one sentence without an end mark. "Better" is said only where the sealed test shows it.
pub fn headline(view: &RunView) -> String {
    let kept = view.kept().len();
    let Some(ended) = &view.ended else {
        return match kept {
            0 => format!("unfinished: ratchet resume {}", view.short_id),
            kept => format!("unfinished, {} kept so far", plural(kept, "revision")),
        };
    };
    let Some(test) = &view.test else {
        return match kept {
            0 => format!("nothing kept, {}", why_nothing(view, ended)),
            kept => {
                let why = match view.test_limit() {
                    Some(reached) => format!("no sealed test, {}", reached.limit.at_test()),
                    None => "there are no test rows".to_owned(),
                };
                format!("{} kept, not shown to be better: {why}", plural(kept, "revision"))
            }
        };
    };
    let comparison = &test.comparison;
    let objective = view.objective();
    let of = if objective.is_mean_score() { String::new() } else { format!(" of {}", objective.words()) };
    let numbers = format!("{}{of} {}", points(comparison.difference), signed_interval(&comparison.interval));
    if test.shown {
        return format!("better on test, {numbers}");
    }
    if comparison.interval.high < 0.0 {
        return format!("worse on test, {numbers}");
    }
    match test.rows_to_show {
        0 if comparison.interval.low > 0.0 => {
            let rows = comparison.rows.len() + comparison.missing;
            let missing = format!("{} of {rows} rows could not run with both", comparison.missing);
            format!("not shown to be better on test, {numbers}: {missing}")
        }
        0 => format!("not shown to be better on test, {numbers}"),
        rows => format!("not shown to be better on test, {numbers}; about {} test rows would show it", count(rows)),
    }
}

/// Why nothing was kept. That no candidate was better is said only of a run in which the limits left room for all.
pub(super) fn why_nothing(view: &RunView, ended: &RunEnded) -> String {
    let is_cut = matches!(ended.stopped, Stopped::Budget | Stopped::Time);
    match view.unpaid {
        _ if is_cut || view.generations.is_empty() => ended.words().to_owned(),
        _ if view.candidates().next().is_none() && ended.unusable.is_some() => {
            "not one proposal could be used".to_owned()
        }
        0 => undecided(view).unwrap_or_else(|| "no candidate was really better".to_owned()),
        unpaid => format!("and the budget did not cover {}", plural(unpaid, "proposal")),
    }
}

/// That no question to the gate could be decided, where that is so, and why the last could not.
fn undecided(view: &RunView) -> Option<String> {
    let judged: Vec<&Judged> = view.generations.iter().filter_map(|generation| generation.judged.as_ref()).collect();
    let last = judged.last().filter(|_| judged.iter().all(|of| of.verdict.decision == Decision::Undecided))?;
    Some(match judged.len() {
        1 => format!("the one question to the gate could not be decided: {}", last.verdict.reason),
        asked => format!("none of {asked} questions to the gate could be decided; the last: {}", last.verdict.reason),
    })
}

/// The screen, at most `width` columns wide (but no narrower than 40).
pub fn terminal(view: &RunView, width: usize) -> String {
    let width = width.max(40);
    let mut lines = wrapped(&format!("{}: {}", one_line(&view.manifest.name, 30), headline(view)), width, "  ");
    for warning in view.warnings() {
        lines.extend(wrapped(&format!("warning: {}", one_line(&warning, usize::MAX)), width, "  "));
    }
    lines.push(String::new());
    lines.extend(scores(view));
    lines.extend(kept(view, width));
    lines.push(String::new());
    lines.extend(facts(view, width));
    lines.push(String::new());
    lines.extend(next(view, width));
    lines.join("\n") + "\n"
}

fn scores(view: &RunView) -> Vec<String> {
    let (Some(before), Some(after)) = (view.baseline_dev(), view.winner_dev()) else { return Vec::new() };
    let objective = view.objective();
    let name = if objective.is_mean_score() { "" } else { objective.words() };
    let mut lines = vec![format!("{name:8} {:23}{:23}difference", "baseline", "winner")];
    let score = |summary: &Summary| match summary.examples {
        0 => format!("{:>7}", "-"),
        _ => format!("{:>7} {}", percent(summary.score), interval(&summary.interval)),
    };
    if let Some(test) = &view.test {
        let comparison = &test.comparison;
        lines.push(format!(
            "  test  {:23}{:23} {} {}",
            score(&test.baseline),
            score(&test.winner),
            signed(comparison.difference),
            signed_interval(&comparison.interval)
        ));
    }
    if view.kept().is_empty() {
        lines.push(format!("  dev   {:23}", score(before)).trim_end().to_owned());
    } else {
        let difference = signed(after.score - before.score);
        lines.push(format!("  dev   {:23}{:23} {difference} (selected on)", score(before), score(after)));
    }
    if let Some(test) = &view.test {
        lines.push(format!(
            "         {} of test: {}, {}",
            plural(test.comparison.rows.len(), "row"),
            test.comparison.changes(),
            p_value(test.comparison.p_value)
        ));
        let [before, after] = [&test.baseline, &test.winner].map(|arm| arm.examples);
        if before != after {
            let ran =
                format!("{} ran with the baseline, {} with the winner", plural(before, "row"), count(after as u64));
            lines.push(format!("         which ran with both; {ran}"));
        }
        if let Ok(uses) = &view.uses
            && uses.test > 1
        {
            lines.push(format!("         opened {} times over all runs here, which wears it out", uses.test));
        }
    }
    lines.push(String::new());
    lines
}

fn kept(view: &RunView, width: usize) -> Vec<String> {
    let kept = view.kept();
    let (had, cut) = view.generations_had();
    let (of, had) = (plural(view.candidates().count(), "candidate"), plural(had, "generation"));
    let head = format!("Kept {} of {of}, in {had}{}", kept.len(), cut_off(cut));
    let mut lines = wrapped(&head, width, "  ");
    for (candidate, judged) in kept.iter().take(LISTED) {
        let parts: Vec<&CandidateView> = view.parts(candidate);
        let head = format!(
            "  gen {:<3} {:>5} on dev ({})  ",
            judged.generation,
            signed(judged.verdict.difference),
            judged.verdict.changes()
        );
        let made_by: Vec<&str> = parts.iter().map(|part| part.made_by()).collect();
        let made_by = tally(&made_by, " + ");
        let room = width.saturating_sub(head.chars().count());
        if made_by.chars().count() <= room {
            lines.push(format!("{head}{}", one_line(&made_by, room)));
        } else {
            lines.extend([head.trim_end().to_owned(), format!("    {}", one_line(&made_by, width - 4))]);
        }
        for part in parts {
            lines.push(format!("      {}", one_line(&purpose(part), width - 6)));
        }
    }
    if kept.len() > LISTED {
        lines.push(format!("  and {} more", kept.len() - LISTED));
    }
    lines
}

/// Generations that don't count among those that the run had.
pub(super) fn cut_off(cut: usize) -> String {
    if cut == 0 { String::new() } else { format!(", and {cut} that another model's taking over cut off") }
}

/// What an edit is for: its cluster, or else its rationale.
fn purpose(part: &CandidateView) -> String {
    match (&part.cluster, &part.origin) {
        (Some(cluster), _) => format!("for: {}", cluster.label),
        (None, Origin::Proposed(proposed)) => proposed.proposal.rationale.clone(),
        (None, Origin::Merged(_)) => "a merge".to_owned(),
    }
}

fn facts(view: &RunView, width: usize) -> Vec<String> {
    let mut lines = wrapped(&format!("Spent    {}", spending::in_one_line(view)), width, "         ");
    match &view.ended {
        Some(ended) => lines.extend(wrapped(&format!("Stopped  {}", ended.words()), width, "         ")),
        None => lines.push("Stopped  before its end; nothing that was done is lost".to_owned()),
    }
    for change in &view.fell_back {
        let since = format!("Model    {} answers as {} since {}", change.model, change.role, when(change));
        lines.extend(wrapped(&since, width, "         "));
    }
    if view.rows_failed > 0 {
        let failed = format!(
            "Missing  {} could not be had or scored; no such row counts as wrong",
            plural(view.rows_failed, "answer")
        );
        lines.extend(wrapped(&failed, width, "         "));
    }
    lines
}

/// When another model took over.
pub(super) fn when(change: &FellBack) -> String {
    match change.generation {
        0 => "the baseline".to_owned(),
        generation => format!("generation {generation}"),
    }
}

fn next(view: &RunView, width: usize) -> Vec<String> {
    let run = &view.short_id;
    let mut commands = Vec::new();
    if view.ended.is_none() {
        commands.push((format!("ratchet resume {run}"), "go on where it stopped"));
    }
    if view.kept().is_empty() {
        commands.push((format!("ratchet report {run} --markdown"), "what was tried, and why it was not kept"));
        commands.push(("ratchet failures".to_owned(), "what the prompt gets wrong"));
    } else {
        commands.push((format!("ratchet review {run}"), "step through the edits: accept, change, reject"));
        commands.push((format!("ratchet apply {run}"), "write the result to the prompt file"));
        commands.push((format!("ratchet diff {run}"), "see what changed"));
    }
    let longest = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let mut lines = vec!["Next".to_owned()];
    for (command, purpose) in commands {
        let line = format!("  {command:longest$}  {purpose}");
        lines.push(if line.chars().count() <= width { line } else { format!("  {command}") });
    }
    lines
}

/// `text` in lines of at most `width` columns, all but the first behind `indent`; longer words stay whole.
pub fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > width && !line.trim().is_empty() {
            lines.push(std::mem::replace(&mut line, format!("{indent}{word}")));
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.push(line);
    lines
}
