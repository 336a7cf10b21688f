//! One evaluation taken apart: scores by label, by field and by tag, which label was answered for which, the worst rows.
//! Outcomes are taken one by one as they come, in any order, and what comes out is as if they had come in that of the rows.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::least::Least;
use super::{Certainty, Classified, LengthBias};
use crate::dataset::Labels;
use crate::eval::{Objective, Outcome, Summary};
use crate::model::FinishReason;
use crate::stats::{Cells, Labelled};

/// How many rows that could not run are told of.
const ERRORS: usize = 5;

/// What an evaluation is to be taken apart by.
#[derive(Debug, Clone, Default)]
pub struct Aspects {
    /// What the score is.
    pub objective: Objective,
    /// The labels, for a task of labels.
    pub labels: Option<Vec<String>>,
    /// The labels of each field, for a task of answers in JSON; sets of labels that are whole answers count for nothing.
    pub fields: Vec<Labels>,
    /// The names of the scorers that are judges.
    pub judges: Vec<String>,
    /// Values below it are failing.
    pub pass_threshold: f64,
    /// How many failing rows to keep.
    pub worst: usize,
}

/// What an evaluation comes to. Some twenty bytes a row are kept, and the few outcomes that are shown.
#[derive(Debug)]
pub struct Breakdown {
    aspects: Aspects,
    /// One a row, by place.
    rows: Vec<Row>,
    /// One a row, by place, once one of them isn't 1: most datasets have none.
    weights: Vec<f64>,
    places: LabelPlaces,
    /// The places of the rows of each tag, as they came.
    tags: BTreeMap<String, Vec<u32>>,
    /// Whether each row is right in each field.
    right: Vec<Vec<bool>>,
    /// For each judge the place of each row that it scored, the length of the answer, and the score.
    lengths: Vec<Vec<(u32, u32, f64)>>,
    /// The log probability of each answer that has one, and whether its row passes.
    logprobs: Vec<(f64, bool)>,
    /// Answers that were cut at the token limit.
    cut: usize,
    /// By value, then by place.
    worst: Least<(u64, usize), Outcome>,
    /// By place; id and error.
    errors: Least<usize, (String, String)>,
}

/// What is kept of a row.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// NaN until it is there, and where the row could not run.
    value: f64,
    /// The place of the expected label, and of the answered one; [`NO_LABEL`] for another answer.
    expected: u32,
    answered: u32,
}

const NO_LABEL: u32 = u32::MAX;

impl Row {
    /// The value, where the row ran.
    fn value(&self) -> Option<f64> {
        Some(self.value).filter(|value| !value.is_nan())
    }
}

/// Where each label is in the list.
#[derive(Debug, Default)]
struct LabelPlaces(BTreeMap<String, u32>);

impl LabelPlaces {
    fn new(labels: &[String]) -> Self {
        Self(labels.iter().zip(0..).map(|(label, at)| (label.clone(), at)).collect())
    }

    /// Of an expected or an answered text; white space around it is ignored.
    fn of(&self, text: &str) -> u32 {
        self.0.get(text.trim()).copied().unwrap_or(NO_LABEL)
    }
}

/// The rows that share a label or a tag, or all rows as far as one field goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The label, the tag or the field.
    pub name: String,
    /// Their scores.
    pub summary: Summary,
}

impl Breakdown {
    /// Nothing yet, of so many rows.
    pub fn new(aspects: Aspects, rows: usize) -> Self {
        let nothing = Row { value: f64::NAN, expected: NO_LABEL, answered: NO_LABEL };
        let aspects =
            Aspects { fields: aspects.fields.into_iter().filter(|set| set.field.is_some()).collect(), ..aspects };
        Self {
            rows: vec![nothing; rows],
            weights: Vec::new(),
            places: LabelPlaces::new(aspects.labels.as_deref().unwrap_or_default()),
            tags: BTreeMap::new(),
            right: aspects.fields.iter().map(|_| vec![false; rows]).collect(),
            lengths: aspects.judges.iter().map(|_| Vec::new()).collect(),
            logprobs: Vec::new(),
            cut: 0,
            worst: Least::new(aspects.worst),
            errors: Least::new(ERRORS),
            aspects,
        }
    }

    /// All of `outcomes`, one a row.
    pub fn of(aspects: Aspects, outcomes: &[Outcome]) -> Self {
        let mut breakdown = Self::new(aspects, outcomes.len());
        outcomes.iter().enumerate().for_each(|(at, outcome)| breakdown.take(at, outcome));
        breakdown
    }

    /// Takes the outcome of the row at a place; each row once.
    pub fn take(&mut self, at: usize, outcome: &Outcome) {
        let count = self.rows.len();
        let Some(row) = self.rows.get_mut(at) else { return };
        let (example, place) = (&outcome.example, at as u32);
        row.value = outcome.value().unwrap_or(f64::NAN);
        if example.weight != 1.0 {
            self.weights.resize(count, 1.0);
            self.weights[at] = example.weight;
        }
        for tag in &example.tags {
            match self.tags.get_mut(tag) {
                Some(places) => places.push(place),
                None => {
                    self.tags.insert(tag.clone(), vec![place]);
                }
            }
        }
        if self.aspects.labels.is_some() {
            let expected = example.expected_text().unwrap_or_default();
            row.expected = self.places.of(&expected);
        }
        let answer = match &outcome.result {
            Ok(answer) => answer,
            Err(error) => return self.errors.offer(at, || (example.id.clone(), error.to_string())),
        };
        let is_whole = answer.completion.finish.is_whole();
        self.cut += usize::from(answer.completion.finish == FinishReason::Length);
        row.answered = if is_whole { self.places.of(&answer.completion.text) } else { NO_LABEL };
        for (set, right) in self.aspects.fields.iter().zip(&mut self.right) {
            let field = set.field.as_deref().unwrap_or_default();
            right[at] = is_whole && field_of(&answer.completion.text, field) == set.label_of(example);
        }
        for (judge, lengths) in self.aspects.judges.iter().zip(&mut self.lengths) {
            if let Some(score) = answer.scores.iter().find(|score| score.scorer == *judge) {
                lengths.push((place, answer.completion.text.chars().count() as u32, score.value));
            }
        }
        if let Some(logprob) = answer.completion.logprob {
            self.logprobs.push((logprob, answer.value >= self.aspects.pass_threshold));
        }
        if outcome.is_failing(self.aspects.pass_threshold) {
            // Values are not negative, so their bits are in their order; but for minus zero.
            self.worst.offer(((answer.value + 0.0).to_bits(), at), || outcome.clone());
        }
    }

    /// What the score is.
    pub fn objective(&self) -> &Objective {
        &self.aspects.objective
    }

    /// The score.
    pub fn summary(&self) -> Summary {
        let of_rows = Summary::of_values(self.weighed().map(|(row, weight)| (row.value(), weight)));
        self.aspects.objective.summary_of(of_rows, || self.labelled())
    }

    /// How many rows are failing.
    pub fn failing(&self) -> usize {
        self.rows.iter().filter(|row| row.value < self.aspects.pass_threshold).count()
    }

    /// How many answers were cut at the token limit, and so are failing.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Scores by expected label, in the order of the labels; labels without a row are left out.
    pub fn by_label(&self) -> Vec<Group> {
        let Some(labels) = &self.aspects.labels else { return Vec::new() };
        let mut places: Vec<u32> = (0..).take(self.rows.len()).collect();
        let label = |place: &u32| self.rows[*place as usize].expected;
        places.sort_by_key(label);
        let alike = places.chunk_by(|one, other| label(one) == label(other));
        let group = |places: &[u32]| {
            let name = labels.get(label(places.first()?) as usize)?.clone();
            Some(Group { name, summary: self.summary_of(places) })
        };
        alike.filter_map(group).collect()
    }

    /// Scores by tag, the most frequent tag first. A row counts under each of its tags.
    pub fn by_tag(&self) -> Vec<Group> {
        let mut tags: Vec<(&String, &Vec<u32>)> = self.tags.iter().collect();
        tags.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        let group = |(tag, places): (&String, &Vec<u32>)| {
            let mut places = places.clone();
            places.sort_unstable();
            Group { name: tag.clone(), summary: self.summary_of(&places) }
        };
        tags.into_iter().map(group).collect()
    }

    /// In how many of the rows each field of answers in JSON is right, whatever stands around the JSON.
    pub fn by_field(&self) -> Vec<Group> {
        let group = |(set, right): (&Labels, &Vec<bool>)| {
            let value = |((row, weight), right): ((&Row, f64), &bool)| {
                (row.value().map(|_| f64::from(u8::from(*right))), weight)
            };
            let summary = Summary::of_values(self.weighed().zip(right).map(value));
            Group { name: set.field.clone().unwrap_or_default(), summary }
        };
        self.aspects.fields.iter().zip(&self.right).map(group).collect()
    }

    fn summary_of(&self, places: &[u32]) -> Summary {
        let of_place = |at: &u32| (self.rows[*at as usize].value(), self.weight(*at as usize));
        Summary::of_values(places.iter().map(of_place))
    }

    fn weight(&self, at: usize) -> f64 {
        self.weights.get(at).copied().unwrap_or(1.0)
    }

    /// The rows with their weights.
    fn weighed(&self) -> impl Iterator<Item = (&Row, f64)> {
        self.rows.iter().enumerate().map(|(at, row)| (row, self.weight(at)))
    }

    /// What was answered for what, over rows that ran, of a task of labels; white space around an answer is ignored.
    pub fn confusion(&self) -> Option<Confusion> {
        let labels = self.aspects.labels.clone()?;
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (row, count) in self.labelled().iter() {
            *counts.entry((row.expected, row.answered.unwrap_or(labels.len()))).or_default() += count as usize;
        }
        Some(Confusion { labels, counts })
    }

    /// How well each label is told, of a task of labels.
    pub fn classified(&self) -> Option<Classified> {
        Classified::of(&self.labelled(), self.aspects.labels.as_ref()?)
    }

    /// The rows that ran and whose expected answer is a label.
    fn labelled(&self) -> Cells<Labelled> {
        let place = |label: u32| Some(label as usize).filter(|_| label != NO_LABEL);
        let ran = self.weighed().filter(|(row, _)| row.value().is_some());
        ran.filter_map(|(row, weight)| {
            Some(Labelled { expected: place(row.expected)?, answered: place(row.answered), weight })
        })
        .collect()
    }

    /// Whether the scores of each judge go with the length of the answers.
    pub fn length(&self) -> Vec<LengthBias> {
        let of = |(judge, lengths): (&String, &Vec<(u32, u32, f64)>)| {
            let mut lengths = lengths.clone();
            lengths.sort_unstable_by_key(|(place, ..)| *place);
            let pairs: Vec<(f64, f64)> =
                lengths.iter().map(|(_, length, score)| (f64::from(*length), *score)).collect();
            LengthBias::of(judge, &pairs)
        };
        self.aspects.judges.iter().zip(&self.lengths).map(of).collect()
    }

    /// Whether the model is more certain of what is right; nothing where it doesn't tell.
    pub fn certainty(&self) -> Option<Certainty> {
        Certainty::of(self.logprobs.clone())
    }

    /// Failing rows, the lowest value first, then in the order of the rows: as many as are to be kept.
    pub fn worst(&self) -> Vec<&Outcome> {
        self.worst.sorted()
    }

    /// Id and error of the first rows that could not run.
    pub fn errors(&self) -> Vec<&(String, String)> {
        self.errors.sorted()
    }
}

/// The value of a field in the object between the outermost braces.
fn field_of(answer: &str, field: &str) -> Option<String> {
    let object = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let object: Map<String, Value> = serde_json::from_str(object).ok()?;
    let value = object.get(field)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// How often each label was answered where each was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The labels, in the order of both sides.
    pub labels: Vec<String>,
    /// The number of rows by the places of the expected and the answered label; any other answer is one place further.
    counts: BTreeMap<(usize, usize), usize>,
}

impl Confusion {
    /// In how many rows the label at the place `expected` was answered with that at the place `answered`; one place further
    /// are all other answers.
    pub fn count(&self, expected: usize, answered: usize) -> usize {
        self.counts.get(&(expected, answered)).copied().unwrap_or_default()
    }

    /// Whether any answer is a label.
    pub fn has_answers(&self) -> bool {
        self.counts.keys().any(|(_, answered)| *answered < self.labels.len())
    }

    /// What was answered for another label, the most frequent first: expected, answered (none for what is no label) and
    /// the number of rows.
    pub fn mistakes(&self) -> Vec<(&str, Option<&str>, usize)> {
        let mut mistakes = Vec::new();
        for ((expected, answered), count) in &self.counts {
            if answered != expected {
                let answered = self.labels.get(*answered).map(String::as_str);
                mistakes.push((self.labels[*expected].as_str(), answered, *count));
            }
        }
        mistakes.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rand::seq::SliceRandom;
    use serde_json::json;

    use super::*;
    use crate::eval::{Answer, OutcomeError};
    use crate::model::{CallError, testing};
    use crate::score::Score;
    use crate::seed::generator;

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

    fn aspects() -> Aspects {
        Aspects { labels: Some(labels()), pass_threshold: 1.0, worst: 9, ..Aspects::default() }
    }

    #[test]
    fn rows_that_could_not_run_are_counted_apart_in_every_group() {
        let breakdown = Breakdown::of(aspects(), &outcomes());
        let groups = breakdown.by_label();
        let seen: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.summary.examples, g.summary.errors)).collect();
        assert_eq!(seen, [("b", 1, 1), ("a", 2, 0)]);
        let tags = breakdown.by_tag();
        let seen: Vec<_> = tags.iter().map(|g| (g.name.as_str(), g.summary.examples, g.summary.errors)).collect();
        assert_eq!(seen, [("y", 2, 1), ("x", 1, 0)]);
        assert_eq!(breakdown.errors().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["4"]);
    }

    #[test]
    fn fields_are_scored_by_themselves_whatever_stands_around_the_json() {
        let expected = r#"{"size": "big", "old": true}"#;
        let answers =
            [r#"{"size": "big", "old": true}"#, "```json\n{\"size\": \"big\", \"old\": false}\n```", "none", "}{"];
        let outcomes: Vec<Outcome> = answers.map(|answer| outcome("1", expected, &[], Some((answer, 0.0)))).to_vec();
        let set = |field: &str| Labels { field: Some(field.to_owned()), counts: Vec::new() };
        let fields = vec![set("old"), set("size"), Labels { field: None, counts: Vec::new() }];
        let groups = Breakdown::of(Aspects { fields, ..Aspects::default() }, &outcomes).by_field();
        let seen: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.summary.score)).collect();
        assert_eq!(seen, [("old", 0.25), ("size", 0.5)]);
    }

    #[test]
    fn what_is_no_label_has_a_column_of_its_own() {
        let confusion = Breakdown::of(aspects(), &outcomes()).confusion().unwrap();
        let counts = [0, 1, 2].map(|expected| [0, 1, 2, 3].map(|answered| confusion.count(expected, answered)));
        assert_eq!(counts, [[0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]);
        assert_eq!(confusion.mistakes(), [("b", None, 1), ("a", Some("b"), 1)]);
    }

    #[test]
    fn white_space_around_an_expected_answer_makes_no_other_label() {
        let outcomes = [
            outcome("1", "a", &[], Some(("a", 1.0))),
            outcome("2", "a ", &[], Some(("a", 1.0))),
            outcome("3", "\tb\n", &[], Some(("a", 0.0))),
        ];
        let breakdown = Breakdown::of(aspects(), &outcomes);
        let groups = breakdown.by_label();
        let seen: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.summary.examples, g.summary.score)).collect();
        assert_eq!(seen, [("b", 1, 0.0), ("a", 2, 1.0)]);
        assert_eq!(breakdown.confusion().unwrap().count(1, 1), 2);
    }

    #[test]
    fn the_lowest_value_is_the_worst_row() {
        let breakdown = Breakdown::of(aspects(), &outcomes());
        let ids: Vec<&str> = breakdown.worst().iter().map(|outcome| outcome.example.id.as_str()).collect();
        assert_eq!((ids, breakdown.failing()), (vec!["3", "2"], 2));
        assert_eq!(Breakdown::of(Aspects { pass_threshold: 0.0, ..aspects() }, &outcomes()).failing(), 0);
    }

    /// A row's label, tags, weight and answer with its value; the answer is a label where it is below 3.
    type Given = (usize, Vec<usize>, f64, Option<(usize, f64)>);

    fn given() -> impl Strategy<Value = Given> {
        let value = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64];
        let weight = prop_oneof![Just(1.0), 0.1..9.0_f64];
        (0_usize..3, prop::collection::vec(0_usize..2, 0..2), weight, prop::option::of((0_usize..5, value)))
    }

    fn of_given((at, (label, tags, weight, answer)): (usize, &Given)) -> Outcome {
        let names = labels();
        let tags: Vec<&str> = tags.iter().map(|tag| ["x", "y"][*tag]).collect();
        let answer = answer.map(|(answered, value)| (names.get(answered).map_or("other", String::as_str), value));
        // Ids in another order than the rows.
        let mut outcome = outcome(&format!("{}", at * 7 % 41), &names[*label], &tags, answer);
        Arc::make_mut(&mut outcome.example).weight = *weight;
        if let Ok(answer) = &mut outcome.result {
            answer.scores = vec![Score { scorer: "j".into(), value: answer.value, reason: None, criterion: None }];
        }
        outcome
    }

    proptest! {
        // Each takes four bootstraps.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn outcomes_in_any_order_come_to_the_same_as_all_at_once(
            given in prop::collection::vec(given(), 1..41), seed in any::<u64>(),
        ) {
            let outcomes: Vec<Outcome> = given.iter().enumerate().map(of_given).collect();
            let aspects = || Aspects { judges: vec!["j".to_owned()], worst: 3, ..aspects() };
            let whole = Breakdown::of(aspects(), &outcomes);
            let mut streamed = Breakdown::new(aspects(), outcomes.len());
            let mut order: Vec<usize> = (0..outcomes.len()).collect();
            order.shuffle(&mut generator(seed, 0, "order"));
            order.iter().for_each(|at| streamed.take(*at, &outcomes[*at]));
            let ids = |breakdown: &Breakdown| -> Vec<String> {
                breakdown.worst().iter().map(|outcome| outcome.example.id.clone()).collect()
            };
            prop_assert_eq!(ids(&streamed), ids(&whole));
            prop_assert_eq!(streamed.errors(), whole.errors());
            prop_assert_eq!((streamed.by_label(), streamed.by_tag()), (whole.by_label(), whole.by_tag()));
            prop_assert_eq!((streamed.confusion(), streamed.length()), (whole.confusion(), whole.length()));
            prop_assert_eq!(streamed.classified(), whole.classified());

            // And to what the outcomes themselves say.
            prop_assert_eq!(streamed.summary(), Summary::of(&outcomes));
            let objective = Objective::MacroF1 { labels: labels().into(), seed: 1 };
            let by_labels = Breakdown::of(Aspects { objective: objective.clone(), ..aspects() }, &outcomes);
            prop_assert_eq!(by_labels.summary(), objective.summary(&outcomes));
            for group in streamed.by_label() {
                let rows = outcomes.iter().filter(|row| row.example.expected == Some(json!(group.name)));
                prop_assert_eq!(group.summary, Summary::of(rows));
            }
            for group in streamed.by_tag() {
                prop_assert_eq!(group.summary, Summary::of(outcomes.iter().filter(|row| row.example.tags.contains(&group.name))));
            }
            let mut failing: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.is_failing(1.0)).collect();
            failing.sort_by(|one, other| one.value().partial_cmp(&other.value()).unwrap());
            prop_assert_eq!(streamed.failing(), failing.len());
            let worst: Vec<String> = failing.iter().take(3).map(|outcome| outcome.example.id.clone()).collect();
            prop_assert_eq!(ids(&streamed), worst);
        }
    }
}
