//! What leaving out the hunks of a kept revision showed, in words.

use super::escape::inline;
use super::numbers::{plural, points, signed};
use super::{CandidateView, RunView, tally};
use crate::run::Ablated;

/// Whether the hunk stays or goes, and why: `goes: 0 fixed, 0 broken of 176 rows, at worst -1.1 points (margin 2.0)`. One
/// that stays may not have run on all rows: the others count as unchanged.
pub fn ablation(ablated: &Ablated) -> String {
    let counts = format!("{} fixed, {} broken of {}", ablated.fixed, ablated.broken, plural(ablated.rows, "row"));
    match (&ablated.shortened, &ablated.guard) {
        (Some(_), _) => format!(
            "goes: {counts}, at worst {} (margin {})",
            points(ablated.interval.low),
            signed(ablated.margin).trim_start_matches('+')
        ),
        (None, Some(guard)) => format!("stays: {counts}; without it the prompt {guard}"),
        (None, None) => format!("stays: {counts}, any others counted as unchanged"),
    }
}

/// One line for each hunk of `candidate` that was left out.
pub(super) fn lines(view: &RunView, candidate: &CandidateView) -> String {
    let mut text = String::new();
    for ablated in &candidate.ablated {
        let parts: Vec<&str> =
            ablated.parts.iter().filter_map(|part| view.candidate(part)).map(CandidateView::made_by).collect();
        text += &format!(
            "- A hunk of {} left out, on train and dev: {} {}\n",
            inline(&tally(&parts, " + ")),
            points(ablated.difference),
            inline(&ablation(ablated))
        );
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
