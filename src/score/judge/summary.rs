//! `summary`: whether the answer is a good summary of the input. A reference summary is shown where the row has one.

use super::{Choice, Criterion, Question};

impl Question {
    /// Asks how good a summary of the input the answer is.
    pub fn summary() -> Self {
        let choices = vec![
            Choice::known("good", 1.0, "it has all main points, nothing that the text doesn't say, and no padding"),
            Choice::known("fair", 0.5, "it misses a main point or is padded, but says nothing that the text doesn't"),
            Choice::known("poor", 0.0, "it misses most main points, or says something that the text doesn't"),
        ];
        let question = "Is the answer a good summary of the text that was given? A reference, where there is one, is \
                        another good summary and not the only one.";
        let criterion = Criterion::known("summary", question, choices);
        Self::single("summary", include_str!("prompts/criterion.prompty"), criterion)
    }
}
