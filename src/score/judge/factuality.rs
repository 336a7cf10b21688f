//! `factuality`: the facts of the answer against those of the expected one. Cases and values are those of autoevals'
//! `Factuality` (`templates/factuality.yaml`: A 0.4, B 0.6, C 1, D 0, E 1), with words for its letters.

use super::{Choice, Criterion, Question};

impl Question {
    /// Compares facts with the expected answer.
    pub fn factuality() -> Self {
        let choices = vec![
            Choice::known("same", 1.0, "it states the same facts as the reference"),
            Choice::known("immaterial", 1.0, "it differs from the reference, but in nothing that matters to the facts"),
            Choice::known("superset", 0.6, "it states all facts of the reference and others, and contradicts none"),
            Choice::known("subset", 0.4, "it states only some facts of the reference, and contradicts none"),
            Choice::known("disagrees", 0.0, "it contradicts the reference"),
        ];
        let question = "How do the facts that the answer states compare with those of the reference? Style, wording and \
                        order don't matter.";
        let criterion = Criterion::known("facts", question, choices);
        let question = Self::single("factuality", include_str!("prompts/criterion.prompty"), criterion);
        Self { needs_expected: true, ..question }
    }
}
