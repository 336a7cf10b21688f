//! `relevance`: whether the answer is about what was asked. It needs no reference.

use super::{Choice, Criterion, Question};

impl Question {
    /// Asks whether the answer addresses the input.
    pub fn relevance() -> Self {
        let choices = vec![
            Choice::known("fully", 1.0, "it addresses all that was asked, and little else"),
            Choice::known("partly", 0.5, "it addresses only a part of what was asked, or is padded with other things"),
            Choice::known("not", 0.0, "it does not address what was asked"),
        ];
        let question = "Does the answer address what was asked? Whether it is right is not the question here.";
        let criterion = Criterion::known("relevance", question, choices);
        Self::single("relevance", include_str!("prompts/criterion.prompty"), criterion)
    }
}
