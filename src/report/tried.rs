//! The report's sections on what was tried and came to nothing: the seed of the next idea.

use super::escape::{cell_code, inline};
use super::markdown::table;
use super::numbers::{evidence, points, tally};
use super::{CandidateView, Fate, Origin, RunView, plural};
use crate::run::{Raced, Screened};

/// Candidates that were not kept, with the reason.
pub(super) fn not_kept(view: &RunView) -> Option<String> {
    let rows: Vec<Vec<String>> = view
        .candidates()
        .filter(|candidate| !matches!(view.fate(candidate), Fate::Kept | Fate::KeptInMerge))
        .map(|candidate| {
            vec![
                candidate.generation().to_string(),
                cell_code(candidate.id(), 20),
                made_by(view, candidate),
                purpose(candidate),
                inline(&how_it_ended(view, candidate)),
            ]
        })
        .collect();
    let head = ["generation", "candidate", "strategy", "for", "how it ended"];
    (!rows.is_empty()).then(|| format!("## Tried and not kept\n\n{}{}", vetoes(view), table(&head, rows)))
}

/// Which pinned rows refused candidates that were ahead on train: the user may not want them that much.
fn vetoes(view: &RunView) -> String {
    let refused: Vec<&Raced> = view
        .candidates()
        .filter_map(|candidate| candidate.raced.as_ref())
        .filter(|raced| raced.difference > 0.0 && !raced.breaks_pinned.is_empty())
        .collect();
    let Some(most) = refused.iter().map(|raced| raced.difference).reduce(f64::max) else { return String::new() };
    let rows: Vec<String> = refused.iter().flat_map(|raced| &raced.breaks_pinned).map(|id| cell_code(id, 40)).collect();
    format!(
        "Pinned rows refused {} that {} ahead on train, by up to an estimated {}: {}.\n\n",
        plural(refused.len(), "candidate"),
        if refused.len() == 1 { "was" } else { "were" },
        points(most),
        tally(&rows, ", ")
    )
}

/// What plateaus changed about generations.
pub(super) fn widened(view: &RunView) -> Option<String> {
    let lines: Vec<String> = view
        .generations
        .iter()
        .filter_map(|generation| generation.widened.as_ref())
        .map(|widened| format!("- Generation {}: {}.\n", widened.generation, inline(&widened.words)))
        .collect();
    (!lines.is_empty()).then(|| format!("## Widened on a plateau\n\n{}", lines.concat()))
}

/// Proposals that never became candidates.
pub(super) fn dropped(view: &RunView) -> Option<String> {
    let rows: Vec<Vec<String>> = view
        .generations
        .iter()
        .flat_map(|generation| generation.dropped.iter().map(move |dropped| (generation, dropped)))
        .map(|(generation, dropped)| {
            let cluster = generation.cluster(dropped.cluster.as_deref());
            vec![
                generation.number.to_string(),
                inline(&dropped.strategy),
                cluster.map_or("the task as a whole".to_owned(), |cluster| inline(&cluster.label)),
                inline(&dropped.reason),
            ]
        })
        .collect();
    let head = ["generation", "strategy", "for", "why"];
    (!rows.is_empty()).then(|| format!("## Proposals dropped before any row was spent\n\n{}", table(&head, rows)))
}

fn purpose(candidate: &CandidateView) -> String {
    match (&candidate.cluster, &candidate.origin) {
        (Some(cluster), _) => inline(&cluster.label),
        (None, Origin::Proposed(_)) => "the task as a whole".to_owned(),
        (None, Origin::Merged(_)) => "as its parts".to_owned(),
    }
}

fn made_by(view: &RunView, candidate: &CandidateView) -> String {
    match &candidate.origin {
        Origin::Proposed(proposed) if view.is_of_archive(proposed) => {
            format!("{}, on {} of the archive", inline(&proposed.strategy), cell_code(&proposed.parent, 20))
        }
        Origin::Proposed(proposed) => inline(&proposed.strategy),
        Origin::Merged(_) => {
            let parts: Vec<String> = view.parts(candidate).iter().map(|part| cell_code(part.id(), 20)).collect();
            format!("merge of {}", parts.join(" + "))
        }
    }
}

/// How a candidate's trial ended, in plain words; not for the kept.
fn how_it_ended(view: &RunView, candidate: &CandidateView) -> String {
    let fate = view.fate(candidate);
    if let (Some(judged), Fate::Rejected | Fate::Undecided) = (&candidate.judged, fate) {
        let verdict = &judged.verdict;
        let decision = if fate == Fate::Rejected { "rejected" } else { "undecided" };
        return format!(
            "{decision} on dev: {} ({} of {}{})",
            verdict.reason,
            verdict.changes(),
            plural(verdict.rows, "row"),
            evidence(verdict)
        );
    }
    if let Origin::Merged(merged) = &candidate.origin {
        return match &merged.breaks_pinned[..] {
            [] if fate == Fate::Lost => "no better than its best part".to_owned(),
            [] => "not put to the gate".to_owned(),
            broken => format!("breaks pinned {}", broken.join(", ")),
        };
    }
    match (&candidate.screened, &candidate.raced) {
        (_, Some(raced)) if raced.survived => {
            let merged =
                if candidate.merged_into.is_some() { "gated only as a part of a merge" } else { "not put to the gate" };
            format!("{}, {merged}", estimated(raced))
        }
        (_, Some(raced)) if !raced.breaks_pinned.is_empty() => {
            format!("{}, but breaks pinned {}", estimated(raced), raced.breaks_pinned.join(", "))
        }
        (_, Some(raced)) => format!("lost the race: {}", estimated(raced)),
        (Some(Screened { could_not_run: Some(error), .. }), None) => {
            format!("the model could not answer it: {}", inline(error))
        }
        (Some(screened), None) if !screened.passed => format!(
            "screened out: {} fixed and {} broken of the {} where it should show",
            screened.fixed,
            screened.broken,
            plural(screened.rows, "row")
        ),
        _ => "not tried to the end".to_owned(),
    }
}

/// What a race says of train, and of which rows.
fn estimated(raced: &Raced) -> String {
    format!(
        "an estimated {} on train, from {} of {} ({})",
        points(raced.difference),
        raced.rows,
        plural(raced.of, "row"),
        raced.changes()
    )
}
