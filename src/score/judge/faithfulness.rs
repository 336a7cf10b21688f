//! `faithfulness`: whether all that the answer claims is borne out by a context that the row brings along.

use super::{Choice, Criterion, Question};

impl Question {
    /// Asks whether the answer keeps to the context in the field `context` of the row's metadata or input.
    pub fn faithfulness(context: &str) -> Self {
        let choices = vec![
            Choice::known("supported", 1.0, "every claim of the answer is in the context or follows from it"),
            Choice::known("partly", 0.5, "the context contradicts nothing, but does not bear out every claim"),
            Choice::known("unsupported", 0.0, "a claim contradicts the context, or the main claim is not in it"),
        ];
        let question = "Is all that the answer claims borne out by the context? What you know besides does not count, \
                        even if it is true.";
        let criterion = Criterion::known("faithfulness", question, choices);
        let question = Self::single("faithfulness", include_str!("prompts/criterion.prompty"), criterion);
        Self { context: Some(context.to_owned()), ..question }
    }
}
