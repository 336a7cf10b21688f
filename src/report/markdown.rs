//! `report.md`: what a reviewer needs beside the diff in a pull request. The same run gives the same bytes, but for the
//! last section, which holds all that depends on time, money and other runs.

use super::escape::{cell_code, code, fenced, inline};
use super::numbers::{evidence, percent, plural, points, signed, signed_interval, tally};
use super::terminal::{cut_off, headline, when, why_nothing};
use super::{CandidateView, Origin, RunView, ablation, interval, p_value, spending, tried, unran};
use crate::config::Objective;
use crate::eval::Summary;
use crate::model::ModelRole;
use crate::run::{FellBack, Judged, RunStarted};

/// Rows listed of those that a kept revision fixed, and of those that it broke.
const LISTED: usize = 20;

/// Characters of a row's input that are shown.
const INPUT: usize = 100;

/// The report of a run.
pub fn markdown(view: &RunView) -> String {
    let mut sections = vec![head(view)];
    sections.extend(scores(view));
    sections.extend(models(view));
    sections.extend(noise(view));
    sections.push(kept(view));
    sections.extend(tried::widened(view));
    sections.extend(tried::not_kept(view));
    sections.extend(tried::dropped(view));
    sections.extend(unresolved(view));
    sections.extend(sizes(view));
    sections.push(spending::section(view));
    sections.join("\n")
}

/// A Markdown table; cells are escaped by the caller.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

fn head(view: &RunView) -> String {
    let mut text = format!("# {}: {}\n\n", inline(&view.manifest.name), headline(view));
    text += &format!(
        "Run {} ({}), begun {} by Ratchet {}.",
        code(&view.manifest.run, 200),
        code(&view.short_id, 20),
        inline(&view.manifest.started),
        inline(&view.manifest.version)
    );
    if let Some(RunStarted { seed, dataset, rows: [train, dev, test], .. }) = &view.started {
        text += &format!(
            " Seed {seed}. Dataset {}: {train} train, {dev} dev and {test} test rows.",
            code(&dataset.short(), 20)
        );
    }
    // On the line that names the run, which is another one in every run.
    text += &format!(" Spent: {}.", spending::in_one_line(view));
    if view.ended.is_some() {
        text += &next(view);
    }
    text.push('\n');
    if let Some(ended) = &view.ended {
        let most = view.started.as_ref().map_or(0, |started| started.generations);
        let (had, cut) = view.generations_had();
        text += &format!(
            "Kept {} of {}. Stopped after {} of at most {most}{}: {}.\n",
            view.kept().len(),
            plural(view.candidates().count(), "candidate"),
            plural(had, "generation"),
            cut_off(cut),
            ended.words()
        );
    } else {
        text += &format!("Not finished; `ratchet resume {}` goes on with it.\n", view.short_id);
    }
    for warning in view.warnings() {
        text += &format!("\n**Warning:** {}\n", inline(&warning));
    }
    text
}

/// What to do with the result.
fn next(view: &RunView) -> String {
    let run = &view.short_id;
    if view.kept().is_empty() {
        return " Next: `ratchet failures` shows what the prompt gets wrong.".to_owned();
    }
    format!(
        " Next: `ratchet review {run}` steps through the edits, `ratchet apply {run}` writes the result to the prompt file."
    )
}

fn scores(view: &RunView) -> Option<String> {
    let (before, after) = (view.baseline_dev()?, view.winner_dev()?);
    let dev_difference = if view.kept().is_empty() {
        ["".to_owned(), "".to_owned()]
    } else {
        [points(after.score - before.score), "none: selected on".to_owned()]
    };
    let mut rows = Vec::new();
    match &view.test {
        Some(test) => rows.push(vec![
            "**test** (sealed until the end)".to_owned(),
            test.comparison.rows.len().to_string(),
            score(&test.baseline),
            score(&test.winner),
            format!("{} {}", points(test.comparison.difference), signed_interval(&test.comparison.interval)),
            p_value(test.comparison.p_value),
        ]),
        None => {
            let without = view.started.as_ref().is_some_and(|started| started.rows[2] == 0);
            let state = if without { "**test** (has no rows)" } else { "**test** (still sealed)" };
            rows.push(std::iter::once(state).chain([""; 5]).map(str::to_owned).collect());
        }
    }
    let [difference, p] = dev_difference;
    rows.push(vec![
        "dev (the search selected on it)".to_owned(),
        after.examples.to_string(),
        score(before),
        if view.kept().is_empty() { "the baseline".to_owned() } else { score(after) },
        difference,
        p,
    ]);
    let mut text = "## Scores\n\n".to_owned();
    text += &table(&["split", "examples", "baseline", "winner", "paired difference", "p"], rows);
    text += "\nIntervals are at 95 %.";
    if view.objective() == Objective::MacroF1 {
        text += " Scores are macro F1, the mean of F1 over the labels; fixed and broken count rows. Intervals of a difference \
                 hold zero unless a permutation test leaves it out too.";
    }
    if !view.kept().is_empty() {
        text += " Only test says whether the winner is better: dev is asked once a generation, and what is kept is what \
                 looked good there.";
    }
    text.push('\n');
    if let Some(test) = &view.test {
        text += &format!("On test, of {}: {}.\n", plural(test.comparison.rows.len(), "row"), test.comparison.changes());
    }
    if view.rows_failed > 0 {
        text += &format!(
            "{} could not be had or scored; such rows are missing from a comparison, never counted as wrong:\n\n{}",
            plural(view.rows_failed, "answer"),
            unran::markdown(&view.unran)
        );
    }
    Some(text)
}

/// Where no row ran, there is no score.
fn score(summary: &Summary) -> String {
    match summary.examples {
        0 => "-".to_owned(),
        _ => format!("{} {}", percent(summary.score), interval(&summary.interval)),
    }
}

/// Models that took over in the midst of the run.
fn models(view: &RunView) -> Option<String> {
    let line = |change: &FellBack| format!("- In {}: {}.\n", when(change), inline(&change.words()));
    let lines: String = view.fell_back.iter().map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let mut text = format!("## Models that took over\n\n{lines}");
    if view.fell_back.iter().any(|change| change.role != ModelRole::Proposer) {
        text += "\nNo comparison is of answers of two models. The scores above are the last one's, but for dev where only \
                 the sealed test was left; what was kept before it took over was kept on the scores of the one before.\n";
    }
    Some(text)
}

fn noise(view: &RunView) -> Option<String> {
    let noise = view.noise.as_ref()?;
    let mut text = format!("## What this data can show\n\n{}.\n", inline(&capitalised(&noise.words)));
    if !noise.flaky.is_empty() {
        let ids: Vec<String> = noise.flaky.iter().take(LISTED).map(|id| code(id, 60)).collect();
        let more = noise.flaky.len().saturating_sub(LISTED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        text += &format!("\nFlaky rows: {}{rest}.\n", ids.join(", "));
    }
    Some(text)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn kept(view: &RunView) -> String {
    let kept = view.kept();
    if kept.is_empty() {
        if view.generations.is_empty() {
            return "## Kept\n\nNothing: no generation was begun.\n".to_owned();
        }
        let Some(ended) = &view.ended else { return "## Kept\n\nNothing so far.\n".to_owned() };
        return format!(
            "## Kept\n\nNothing: {}. So nothing was changed and test was not opened.\n",
            inline(&why_nothing(view, ended))
        );
    }
    let mut text = "## Kept\n".to_owned();
    for (number, (candidate, judged)) in kept.into_iter().enumerate() {
        text += &format!("\n### {}. {}\n\n", number + 1, title(view, candidate));
        text += &purposes(view, candidate);
        text += &numbers(view, candidate, judged);
        text += &ablation::lines(view, candidate);
        text += &row_list(view, "Fixed", &judged.fixed);
        text += &row_list(view, "Broken", &judged.broken);
        text += &row_list(view, "Worsened", &judged.worsened);
        text += &format!("\n{}", fenced(candidate.diff(), "diff"));
    }
    text
}

fn title(view: &RunView, candidate: &CandidateView) -> String {
    let parts: Vec<String> = view.parts(candidate).into_iter().map(|part| inline(part.made_by())).collect();
    format!("Generation {}: {}", gated_in(candidate), tally(&parts, " + "))
}

/// The generation whose question the candidate was.
fn gated_in(candidate: &CandidateView) -> u32 {
    candidate.judged.as_ref().map_or(candidate.generation(), |judged| judged.generation)
}

/// What each edit is for.
fn purposes(view: &RunView, candidate: &CandidateView) -> String {
    let mut text = String::new();
    for part in view.parts(candidate) {
        let Origin::Proposed(proposed) = &part.origin else { continue };
        let cluster = match &part.cluster {
            Some(cluster) => format!("for {} ({})", inline(&cluster.label), plural(cluster.members.len(), "train row")),
            None => "for the task as a whole".to_owned(),
        };
        text += &format!("- **{}**, {cluster}: {}\n", inline(part.made_by()), inline(&proposed.proposal.rationale));
        if !proposed.proposal.expected_effect.is_empty() {
            text += &format!("  Expected: {}\n", inline(&proposed.proposal.expected_effect));
        }
    }
    text
}

fn numbers(view: &RunView, candidate: &CandidateView, judged: &Judged) -> String {
    let verdict = &judged.verdict;
    let tokens_before = view
        .candidate(&judged.incumbent)
        .map(CandidateView::tokens)
        .or(view.baseline.as_ref().map(|baseline| baseline.tokens));
    let tokens = tokens_before.map_or(String::new(), |before| format!(" Tokens: {before} to {}.", candidate.tokens()));
    format!(
        "\nOn dev {} (standard error {}, {}), {} of {}{}. Kept because: {}.{tokens}\n",
        points(verdict.difference),
        signed(verdict.standard_error).trim_start_matches('+'),
        p_value(verdict.p_value),
        verdict.changes(),
        plural(verdict.rows, "row"),
        evidence(verdict),
        inline(&verdict.reason),
    )
}

fn row_list(view: &RunView, change: &str, ids: &[String]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{change} on dev:\n\n");
    for id in ids.iter().take(LISTED) {
        text += &format!("- {}", code(id, 60));
        if let Some(example) = view.examples.get(id) {
            text += &format!(" {}", code(&example.input_text(), INPUT));
            if let Some(expected) = example.expected_text() {
                text += &format!(", expected {}", code(&expected, 60));
            }
        }
        text.push('\n');
    }
    if ids.len() > LISTED {
        text += &format!("- and {} more\n", ids.len() - LISTED);
    }
    text
}

fn unresolved(view: &RunView) -> Option<String> {
    let last = view.generations.iter().rev().find(|generation| !generation.clusters.is_empty())?;
    let rows = last.clusters.iter().map(|cluster| {
        vec![
            cell_code(&cluster.id, 40),
            inline(&cluster.label),
            cluster.members.len().to_string(),
            percent(cluster.share),
        ]
    });
    let as_of = if last.ended.as_ref().is_some_and(|ended| ended.kept) {
        format!("of the incumbent that generation {} began with; what it kept came after", last.number)
    } else {
        format!("of the incumbent in generation {}", last.number)
    };
    // Where calls were short, a later incumbent ran on part of train.
    let before = view.generations.iter().rev().filter(|generation| generation.number < last.number);
    let ended = before.filter_map(|generation| generation.ended.as_ref()).next();
    let of = view.started.as_ref().map_or(0, |started| started.rows[0]);
    let part = ended.map(|ended| ended.train.examples + ended.train.errors).filter(|ran| *ran < of);
    let part = part.map_or(String::new(), |ran| format!(" (the {ran} of its {of} rows that this one was run on)"));
    Some(format!(
        "## What still fails\n\nOn train{part}, {as_of}.\n\n{}",
        table(&["cluster", "what fails", "rows", "share"], rows)
    ))
}

fn sizes(view: &RunView) -> Option<String> {
    // Scores of two models don't go into one table.
    let baseline = view.baseline.as_ref().filter(|_| view.anew.is_none())?;
    let mut rows = vec![vec!["baseline".to_owned(), baseline.tokens.to_string(), score(&baseline.dev)]];
    for (candidate, judged) in view.kept() {
        rows.push(vec![title(view, candidate), candidate.tokens().to_string(), score(candidate.dev_after(judged))]);
    }
    (rows.len() > 1).then(|| format!("## Score against size\n\n{}", table(&["revision", "tokens", "dev"], rows)))
}
