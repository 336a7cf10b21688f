//! What a judge is asked to decide: [`Criterion`]s, each with enumerated [`Choice`]s that have values.

/// One of the verdicts that a judge can give.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The word that the judge writes.
    pub word: String,
    /// When it applies, where the word alone doesn't say.
    pub meaning: Option<String>,
    /// What it is worth, in [0, 1].
    pub value: f64,
}

impl Choice {
    /// A choice of a kind of judge that comes with Ratchet.
    pub(super) fn known(word: &str, value: f64, meaning: &str) -> Self {
        Self { word: word.to_owned(), meaning: Some(meaning.to_owned()), value }
    }
}

/// One question about an answer, with its possible verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// Its name, in reasons and clusters.
    pub name: String,
    /// What is asked about the answer.
    pub question: String,
    /// Its weight beside the others, above 0.
    pub weight: f64,
    /// At least two, of different values; the best first.
    pub choices: Vec<Choice>,
}

impl Criterion {
    /// A criterion whose choices are words with values.
    ///
    /// # Errors
    /// What is wrong with it, and what to write: a blank name or question, fewer than two choices, two that only their
    /// case tells apart, a value outside [0, 1], or all of one value.
    pub fn new(
        name: &str,
        question: &str,
        weight: f64,
        choices: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<Self, String> {
        let (name, question) = (name.trim(), question.trim());
        if name.is_empty() {
            return Err("a criterion has no name; give it one in a word or two, as in name = \"complete\"".to_owned());
        }
        let wrong = |message: String| Err(format!("criterion `{name}`: {message}"));
        if question.is_empty() {
            return wrong("`question` is empty; ask what decides it, as in \"Does the reply say when?\"".to_owned());
        }
        if !(weight.is_finite() && weight > 0.0) {
            return wrong(format!("weight is {weight}; it must be above 0"));
        }
        let mut choices: Vec<Choice> = choices
            .into_iter()
            .map(|(word, value)| Choice { word: word.trim().to_owned(), meaning: None, value })
            .collect();
        // The best first, so that the order of a table's keys changes nothing.
        choices.sort_by(|one, other| other.value.total_cmp(&one.value).then_with(|| one.word.cmp(&other.word)));
        for (index, choice) in choices.iter().enumerate() {
            if choice.word.is_empty() {
                return wrong("a choice has no name; write words, as in choices = { yes = 1, no = 0 }".to_owned());
            }
            if !(0.0..=1.0).contains(&choice.value) {
                return wrong(format!("choice `{}` is worth {}; values go from 0 to 1", choice.word, choice.value));
            }
            if choices[..index].iter().any(|earlier| is_same_word(&earlier.word, &choice.word)) {
                return wrong(format!("there are two choices `{}`; give one of them another word", choice.word));
            }
        }
        let (Some(best), Some(worst)) = (choices.first(), choices.last()) else {
            return wrong("it has no choices; write at least two, as in choices = { yes = 1, no = 0 }".to_owned());
        };
        if choices.len() < 2 {
            return wrong(format!("`{}` is its only choice; a verdict needs at least two", best.word));
        }
        if best.value == worst.value {
            return wrong(format!(
                "all choices are worth {}, so no answer can be told from another; give them different values",
                best.value
            ));
        }
        Ok(Self { name: name.to_owned(), question: question.to_owned(), weight, choices })
    }

    /// A criterion of a kind of judge that comes with Ratchet.
    pub(super) fn known(name: &str, question: &str, choices: Vec<Choice>) -> Self {
        Self { name: name.to_owned(), question: question.to_owned(), weight: 1.0, choices }
    }

    /// The choice that `word` is, white space and case apart.
    pub(super) fn choice(&self, word: &str) -> Option<usize> {
        self.choices.iter().position(|choice| is_same_word(&choice.word, word.trim()))
    }

    /// What a word is worth, where it is one of the choices.
    pub fn value_of(&self, word: &str) -> Option<f64> {
        self.choice(word).map(|choice| self.choices[choice].value)
    }

    /// The words of all choices, in quotes.
    pub fn words(&self) -> String {
        self.choices.iter().map(|choice| format!("\"{}\"", choice.word)).collect::<Vec<_>>().join(" | ")
    }
}

fn is_same_word(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(choices: &[(&str, f64)]) -> Result<Criterion, String> {
        Criterion::new("tone", "Is it kind?", 1.0, choices.iter().map(|(word, value)| ((*word).to_owned(), *value)))
    }

    #[test]
    fn choices_come_best_first_and_are_found_whatever_their_case() {
        let criterion = criterion(&[("No", 0.0), ("partly", 0.5), ("Yes", 1.0)]).unwrap();
        let words: Vec<&str> = criterion.choices.iter().map(|choice| choice.word.as_str()).collect();
        assert_eq!(words, ["Yes", "partly", "No"]);
        assert_eq!((criterion.choice(" yes\n"), criterion.choice("maybe")), (Some(0), None));
    }

    #[test]
    fn an_invalid_criterion_is_refused_with_what_to_write() {
        let choices = [("yes".to_owned(), 1.0), ("no".to_owned(), 0.0)];
        assert!(Criterion::new(" ", "Is it?", 1.0, choices.clone()).unwrap_err().contains("no name"));
        assert!(Criterion::new("a", " ", 1.0, choices.clone()).unwrap_err().contains("`question` is empty"));
        assert!(Criterion::new("a", "Is it?", 0.0, choices).unwrap_err().contains("above 0"));
        for (choices, message) in [
            (&[][..], "no choices"),
            (&[("yes", 1.0)], "only choice"),
            (&[("yes", 1.0), ("YES", 0.0)], "two choices"),
            (&[("yes", 1.0), (" ", 0.0)], "no name"),
            (&[("yes", 1.5), ("no", 0.0)], "from 0 to 1"),
            (&[("yes", f64::NAN), ("no", 0.0)], "from 0 to 1"),
            (&[("yes", 0.5), ("no", 0.5)], "different values"),
        ] {
            let error = criterion(choices).unwrap_err();
            assert!(error.contains(message) && error.starts_with("criterion `tone`"), "{error}");
        }
    }
}
