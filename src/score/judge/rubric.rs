//! `rubric`: the user's own criteria, each with choices that have values; one call decides them all.

use super::{Criterion, Question};

impl Question {
    /// A rubric of `criteria`.
    ///
    /// # Errors
    /// No criterion, or two of one name.
    pub fn rubric(criteria: Vec<Criterion>) -> Result<Self, String> {
        let Some(first) = criteria.first().cloned() else {
            return Err("the rubric has no criteria; add one as [[scorers.criteria]]".to_owned());
        };
        for (index, criterion) in criteria.iter().enumerate() {
            if criteria[..index].iter().any(|earlier| earlier.name.to_lowercase() == criterion.name.to_lowercase()) {
                return Err(format!("two criteria are called `{}`; give one of them another name", criterion.name));
            }
        }
        let question = Self::single("rubric", include_str!("prompts/rubric.prompty"), first);
        Ok(Self { criteria, is_keyed: true, ..question })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rubric_needs_criteria_of_different_names() {
        let criterion = |name: &str| {
            Criterion::new(name, "Is it?", 1.0, [("yes".to_owned(), 1.0), ("no".to_owned(), 0.0)]).unwrap()
        };
        assert!(Question::rubric(Vec::new()).unwrap_err().contains("[[scorers.criteria]]"));
        assert!(Question::rubric(vec![criterion("tone"), criterion("Tone")]).unwrap_err().contains("two criteria"));
        assert_eq!(Question::rubric(vec![criterion("tone"), criterion("facts")]).unwrap().criteria.len(), 2);
    }
}
