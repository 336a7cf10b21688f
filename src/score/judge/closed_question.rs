//! `closed_question`: one question about the answer, to be answered with yes or no; yes is 1.

use super::{Choice, Criterion, Question};

impl Question {
    /// Asks `question`, which the answer passes where it is answered with yes.
    ///
    /// # Errors
    /// A blank question.
    pub fn closed(question: &str) -> Result<Self, String> {
        let question = question.trim();
        if question.is_empty() {
            return Err("`question` is empty; ask what a good answer is told by, to be answered with yes".to_owned());
        }
        let choices = vec![
            Choice::known("yes", 1.0, "the question is clearly to be answered with yes"),
            Choice::known("no", 0.0, "anything else"),
        ];
        let criterion = Criterion::known("question", question, choices);
        Ok(Self::single("closed_question", include_str!("prompts/criterion.prompty"), criterion))
    }
}
