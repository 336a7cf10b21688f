//! What leaving out the hunks of a kept revision showed, in words.

use super::escape::inline;
use super::numbers::{plural, points, signed};
use super::{CandidateView, RunView, tally};
use crate::run::Ablated;

/// Whether the hunk stays or goes, and why: `goes: 0 fixed, 0 broken of 176 rows, at worst -1.1 points (margin 2.0)`. One
/// that stays may not have run on all rows: the others count as unchanged.
pub fn ablation(ablated: &Ablated) -> String {
    let fresh = match ablated.samples {
        0 => String::new(),
        samples => format!(" by {} of each that changed", plural(samples as usize, "fresh sample")),
    };
    let counts = format!("{} of {}{fresh}", ablated.changes(), plural(ablated.rows, "row"));
    let margin = signed(ablated.margin);
    let worst = format!("at worst {} (margin {})", points(ablated.interval.low), margin.trim_start_matches('+'));
    match (&ablated.shortened, &ablated.guard) {
        (Some(_), _) if ablated.difference < 0.0 => format!("goes: {counts}, which may be luck, {worst}"),
        (Some(_), _) => format!("goes: {counts}, {worst}"),
        (None, Some(guard)) => format!("stays: {counts}; without it the prompt {guard}"),
        (None, None) => {
            let why = match (ablated.difference < 0.0, ablated.interval.low <= -ablated.margin) {
                (true, _) if ablated.samples == 0 => "; nothing may be lost on the rows themselves",
                (_, true) => "",
                (true, false) => "; more is lost on the rows themselves than luck explains",
                (false, false) => "; too many rows could not run, or none scores anything",
            };
            format!("stays: {counts}, any others counted as unchanged, {worst}{why}")
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunk_that_stays_is_told_with_the_margin_or_the_rule_that_keeps_it() {
        let with = |samples: u32, broken: usize, difference: f64, low: f64| {
            let hunk = serde_json::json!({ "file": "p", "search": "a", "replace": "b" });
            let ablated = serde_json::json!({
                "generation": 1, "revision": "r", "candidate": "c", "parent": "p", "parts": [], "hunk": hunk,
                "removed": "", "rows": 16, "fixed": 0, "broken": broken, "samples": samples, "difference": difference,
                "interval": { "low": low, "high": 0.02 }, "margin": 0.02,
            });
            serde_json::from_value::<Ablated>(ablated).unwrap()
        };
        let told = |broken, difference, low| ablation(&with(0, broken, difference, low));
        let counts = |broken| format!("stays: 0 fixed, {broken} broken of 16 rows, any others counted as unchanged");
        assert_eq!(told(0, 0.0, -0.03), format!("{}, at worst -3.0 points (margin 2.0)", counts(0)));
        let lost = "at worst -1.0 points (margin 2.0); nothing may be lost on the rows themselves";
        assert_eq!(told(2, -0.005, -0.01), format!("{}, {lost}", counts(2)));
        assert!(told(0, 0.0, -0.01).ends_with("; too many rows could not run, or none scores anything"));
        let fresh = "stays: 0 fixed, 2 broken of 16 rows by 4 fresh samples of each that changed, any others counted as unchanged";
        let lost = "at worst -1.0 points (margin 2.0); more is lost on the rows themselves than luck explains";
        assert_eq!(ablation(&with(4, 2, -0.005, -0.01)), format!("{fresh}, {lost}"));
        assert_eq!(ablation(&with(4, 2, -0.005, -0.03)), format!("{fresh}, at worst -3.0 points (margin 2.0)"));
    }
}
