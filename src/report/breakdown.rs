//! One evaluation taken apart: scores by label, by field and by tag, which label was answered for which, the worst rows.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::dataset::Labels;
use crate::eval::{Outcome, Summary};

/// The rows that share a label or a tag, or all rows as far as one field goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The label, the tag or the field.
    pub name: String,
    /// Their scores.
    pub summary: Summary,
}

/// Scores by expected label, in the order of `labels`; labels without a row are left out.
pub fn by_label(outcomes: &[Outcome], labels: &[String]) -> Vec<Group> {
    let mut rows: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        if let Some(label) = outcome.example.expected_text() {
            rows.entry(label).or_default().push(outcome);
        }
    }
    labels
        .iter()
        .filter_map(|label| Some(Group { name: label.clone(), summary: Summary::of(rows.remove(label)?) }))
        .collect()
}

/// In how many of the rows each field of answers in JSON is right, whatever stands around the JSON; nothing for `sets` of
/// labels that are whole answers.
pub fn by_field(outcomes: &[Outcome], sets: &[Labels]) -> Vec<Group> {
    let scored = |set: &Labels, field: &str| -> Vec<Outcome> {
        let mut outcomes = outcomes.to_vec();
        for outcome in &mut outcomes {
            let expected = set.label_of(&outcome.example);
            if let Ok(answer) = &mut outcome.result {
                answer.value = f64::from(u8::from(field_of(&answer.completion.text, field) == expected));
            }
        }
        outcomes
    };
    let group = |set: &Labels| {
        let name = set.field.clone()?;
        Some(Group { summary: Summary::of(&scored(set, &name)), name })
    };
    sets.iter().filter_map(group).collect()
}

/// The value of a field in the object between the outermost braces.
fn field_of(answer: &str, field: &str) -> Option<String> {
    let object = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let object: Map<String, Value> = serde_json::from_str(object).ok()?;
    let value = object.get(field)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Scores by tag, the most frequent tag first. A row counts under each of its tags.
pub fn by_tag(outcomes: &[Outcome]) -> Vec<Group> {
    let mut rows: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        for tag in &outcome.example.tags {
            rows.entry(tag).or_default().push(outcome);
        }
    }
    let mut groups: Vec<(&str, Vec<&Outcome>)> = rows.into_iter().collect();
    groups.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    groups.into_iter().map(|(tag, rows)| Group { name: tag.to_owned(), summary: Summary::of(rows) }).collect()
}

/// How often each label was answered where each was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The labels, in the order of both sides.
    pub labels: Vec<String>,
    /// A row for each expected label, a column for each answered one, and a last column for any other answer.
    pub counts: Vec<Vec<usize>>,
}

/// Counts what was answered for what, over rows that ran; white space around an answer is ignored.
pub fn confusion(outcomes: &[Outcome], labels: &[String]) -> Confusion {
    let place = |text: &str| labels.iter().position(|label| label.trim() == text.trim());
    let mut counts = vec![vec![0; labels.len() + 1]; labels.len()];
    for outcome in outcomes {
        let (Ok(answer), Some(expected)) = (&outcome.result, outcome.example.expected_text()) else { continue };
        if let Some(expected) = place(&expected) {
            counts[expected][place(&answer.completion.text).unwrap_or(labels.len())] += 1;
        }
    }
    Confusion { labels: labels.to_vec(), counts }
}

impl Confusion {
    /// What was answered for another label, the most frequent first: expected, answered (none for what is no label) and
    /// the number of rows.
    pub fn mistakes(&self) -> Vec<(&str, Option<&str>, usize)> {
        let mut mistakes = Vec::new();
        for (expected, row) in self.counts.iter().enumerate() {
            for (answered, count) in row.iter().enumerate() {
                if answered != expected && *count > 0 {
                    let answered = self.labels.get(answered).map(String::as_str);
                    mistakes.push((self.labels[expected].as_str(), answered, *count));
                }
            }
        }
        mistakes.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        mistakes
    }
}

/// The failing rows, the lowest value first, then in the order of `outcomes`.
pub fn worst(outcomes: &[Outcome], pass_threshold: f64) -> Vec<&Outcome> {
    let mut failing: Vec<(f64, &Outcome)> = outcomes
        .iter()
        .filter(|outcome| outcome.is_failing(pass_threshold))
        .filter_map(|outcome| Some((outcome.value()?, outcome)))
        .collect();
    failing.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    failing.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::eval::{Answer, OutcomeError};
    use crate::model::{CallError, testing};

    fn outcome(id: &str, expected: &str, tags: &[&str], answer: Option<(&str, f64)>) -> Outcome {
        let row = json!({"id": id, "input": "text", "expected": expected, "tags": tags});
        let result = match answer {
            None => Err(OutcomeError::Call(CallError::Transient("reset".to_owned()))),
            Some((text, value)) => Ok(Answer { completion: testing::answer(text), scores: Vec::new(), value }),
        };
        Outcome { example: Arc::new(serde_json::from_value(row).unwrap()), sample: 0, result }
    }

    fn outcomes() -> Vec<Outcome> {
        vec![
            outcome("1", "a", &["x", "y"], Some(("a", 1.0))),
            outcome("2", "a", &["y"], Some(("b\n", 0.5))),
            outcome("3", "b", &[], Some(("neither", 0.0))),
            outcome("4", "b", &["y"], None),
        ]
    }

    fn labels() -> Vec<String> {
        ["b", "a", "unused"].map(str::to_owned).to_vec()
    }

    #[test]
    fn rows_that_could_not_run_are_counted_apart_in_every_group() {
        let groups = by_label(&outcomes(), &labels());
        let seen: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.summary.examples, g.summary.errors)).collect();
        assert_eq!(seen, [("b", 1, 1), ("a", 2, 0)]);
        let tags = by_tag(&outcomes());
        let seen: Vec<_> = tags.iter().map(|g| (g.name.as_str(), g.summary.examples, g.summary.errors)).collect();
        assert_eq!(seen, [("y", 2, 1), ("x", 1, 0)]);
    }

    #[test]
    fn fields_are_scored_by_themselves_whatever_stands_around_the_json() {
        let expected = r#"{"size": "big", "old": true}"#;
        let answers =
            [r#"{"size": "big", "old": true}"#, "```json\n{\"size\": \"big\", \"old\": false}\n```", "none", "}{"];
        let outcomes: Vec<Outcome> = answers.map(|answer| outcome("1", expected, &[], Some((answer, 0.0)))).to_vec();
        let set = |field: &str| Labels { field: Some(field.to_owned()), counts: Vec::new() };
        let groups = by_field(&outcomes, &[set("old"), set("size"), Labels { field: None, counts: Vec::new() }]);
        let seen: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.summary.score)).collect();
        assert_eq!(seen, [("old", 0.25), ("size", 0.5)]);
    }

    #[test]
    fn what_is_no_label_has_a_column_of_its_own() {
        let confusion = confusion(&outcomes(), &labels());
        assert_eq!(confusion.counts, [[0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]);
        assert_eq!(confusion.mistakes(), [("b", None, 1), ("a", Some("b"), 1)]);
    }

    #[test]
    fn the_lowest_value_is_the_worst_row() {
        let outcomes = outcomes();
        let ids: Vec<&str> = worst(&outcomes, 1.0).iter().map(|outcome| outcome.example.id.as_str()).collect();
        assert_eq!(ids, ["3", "2"]);
        assert!(worst(&outcomes, 0.0).is_empty());
    }
}
