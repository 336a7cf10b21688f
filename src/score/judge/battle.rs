//! `battle`: the answer against the expected one, as two anonymous answers. Asked in both orders, since judges favour a
//! place: a judge that always prefers the first answer makes it a draw.

use super::{Choice, Criterion, Question};

/// The verdict that each of the three choices is for the answer when it is shown second.
pub(super) const SWAPPED: [usize; 3] = [2, 1, 0];

/// What the three choices are for the answer when it is shown first.
pub(super) const OUTCOMES: [&str; 3] = ["better", "tie", "worse"];

impl Question {
    /// Asks which is the better answer to the input, optionally told what `better` means.
    pub fn battle(criterion: Option<&str>) -> Self {
        let choices = vec![
            Choice::known("first", 1.0, "the first answer is better"),
            Choice::known("tie", 0.5, "neither is better"),
            Choice::known("second", 0.0, "the second answer is better"),
        ];
        let usual = "Which answer serves whoever asked better?";
        let question = criterion.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(usual);
        let criterion = Criterion::known("battle", question, choices);
        let question = Self::single("battle", include_str!("prompts/battle.prompty"), criterion);
        Self { needs_expected: true, is_battle: true, ..question }
    }
}
