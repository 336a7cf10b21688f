//! `list_contains`: the answer lists the expected items, or ones like them, in any order.

use std::borrow::Cow;

use super::answer::{expected, quote};
use super::assignment::assign;
use super::levenshtein::similarity;
use super::{Grade, Grader, ItemOptions, ScorerSetupError};
use crate::dataset::Example;

/// Most items of either list that are paired (the work is the square of one by the other); see [`ListContains`].
const PAIRED: usize = 500;

/// Items are paired one to one so that the sum of their Levenshtein similarities is the greatest; that sum by the length
/// of the longer list, in [0, 1]. As autoevals' `ListContains` (Python, 0.4.1): two empty lists are 1, one empty list
/// is 0, also where further items are allowed.
///
/// Items beyond the 500th of either list are like none, so that a runaway answer can't hold up the evaluation.
#[derive(Debug, Clone)]
pub struct ListContains {
    name: String,
    options: ItemOptions,
    allow_extra: bool,
}

impl ListContains {
    /// A scorer called `name` in reports. `allow_extra`: the sum is divided by the number of expected items, so that
    /// further ones in the answer cost nothing.
    ///
    /// # Errors
    /// An empty separator.
    pub fn new(
        name: impl Into<String>,
        options: ItemOptions,
        allow_extra: bool,
    ) -> Result<ListContains, ScorerSetupError> {
        let name = name.into();
        options.check(&name)?;
        Ok(ListContains { name, options, allow_extra })
    }
}

/// The similarity of each expected item to the item of the answer that it is paired with; 0 for one without.
fn paired(expected: &[Cow<'_, str>], answer: &[Cow<'_, str>]) -> Vec<f64> {
    let (few, many) = (&expected[..expected.len().min(PAIRED)], &answer[..answer.len().min(PAIRED)]);
    let table: Vec<Vec<f64>> =
        few.iter().map(|wanted| many.iter().map(|item| similarity(wanted, item)).collect()).collect();
    let mut similarities = vec![0.0; expected.len()];
    if few.len() <= many.len() {
        for (wanted, item) in assign(few.len(), many.len(), |row, column| table[row][column]).into_iter().enumerate() {
            similarities[wanted] = table[wanted][item];
        }
    } else {
        for (item, wanted) in assign(many.len(), few.len(), |row, column| table[column][row]).into_iter().enumerate() {
            similarities[wanted] = table[wanted][item];
        }
    }
    similarities
}

impl Grader for ListContains {
    fn name(&self) -> &str {
        &self.name
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        let expected = self.options.of_value(expected(example)?);
        let answer = self.options.of_text(answer);
        match (expected.is_empty(), answer.is_empty()) {
            (true, true) => return Ok(Grade::pass()),
            (true, false) => return Ok(Grade::fail("no item is wanted")),
            (false, true) => return Ok(Grade::fail("no items")),
            (false, false) => {}
        }
        let similarities = paired(&expected, &answer);
        let whole = if self.allow_extra { expected.len() } else { expected.len().max(answer.len()) };
        let value = similarities.iter().sum::<f64>() / whole as f64;
        Ok(Grade::graded(value, || reason(&expected, answer.len(), &similarities)))
    }
}

/// Which expected items nothing in the answer is just like.
fn reason(expected: &[Cow<'_, str>], answered: usize, similarities: &[f64]) -> String {
    let unlike = expected.iter().zip(similarities).filter(|(_, similarity)| **similarity < 1.0);
    let unlike: Vec<String> = unlike.map(|(item, similarity)| format!("{} ({similarity:.2})", quote(item))).collect();
    if unlike.is_empty() {
        return format!("{} more than wanted", answered.saturating_sub(expected.len()));
    }
    format!("lacks {}", unlike.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{reason, try_score, value};
    use super::*;

    fn scorer(allow_extra: bool) -> ListContains {
        ListContains::new("list_contains", ItemOptions::default(), allow_extra).unwrap()
    }

    /// Printed by `ListContains` of autoevals 0.4.1 (Python), without and with `allow_extra_entities`.
    #[test]
    fn the_score_is_that_of_autoevals() {
        for (answer, expected, strict, lenient) in [
            (json!(["foo"]), json!(["foo", "bar"]), 0.5, 0.5),
            (json!(["foo", "bar"]), json!(["foo"]), 0.5, 1.0),
            (json!(["bar", "foo"]), json!(["foo", "bar"]), 1.0, 1.0),
            (json!(["fooo", "bat", "qux"]), json!(["foo", "bar"]), 0.472_222_222_222_222_27, 0.708_333_333_333_333_4),
            (json!([]), json!([]), 1.0, 1.0),
            (json!([]), json!(["a"]), 0.0, 0.0),
            (
                json!(["workspaces", "pivot"]),
                json!(["workspaces", "pivots"]),
                0.916_666_666_666_666_7,
                0.916_666_666_666_666_7,
            ),
            (json!(["ab", "abc"]), json!(["abc", "abcd"]), 0.75, 0.75),
            (json!(["red", "blue", "green"]), json!(["green", "bleu"]), 0.5, 0.75),
        ] {
            for (allow_extra, wanted) in [(false, strict), (true, lenient)] {
                let found = value(&scorer(allow_extra), expected.clone(), &answer.to_string());
                assert!((found - wanted).abs() < 1e-12, "{answer} {expected}: {found}");
            }
        }
    }

    #[test]
    fn the_reason_names_the_items_that_nothing_is_like() {
        assert_eq!(reason(&scorer(false), "foo, bar", "bat, foo"), r#"lacks "bar" (0.67)"#);
        assert_eq!(reason(&scorer(false), "foo", "bar, foo"), "1 more than wanted");
        assert!(try_score(&scorer(false), Value::Null, "a").is_err());
    }

    #[test]
    fn a_runaway_answer_is_scored_without_pairing_all_of_it() {
        let answer = (0..20_000).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
        let score = value(&scorer(false), "3, 4", &answer);
        assert!((score - 2.0 / 20_000.0).abs() < 1e-12, "{score}");
        assert_eq!(value(&scorer(true), "3, 4", &answer), 1.0);
    }
}
