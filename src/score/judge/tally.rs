//! From ballots to a score: several votes are combined criterion by criterion, and the weighted mean is the value.

use super::battle::{OUTCOMES, SWAPPED};
use super::case::Order;
use super::reply::Verdict;
use super::{Criterion, Question};
use crate::score::Score;

/// What several votes come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Combine {
    /// The choice that most chose; of equals, the one that is worth least.
    #[default]
    Majority,
    /// The mean of the values.
    Mean,
}

/// One reply of a judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// Which of its choices for each criterion; of a battle, the outcome for the answer that is judged, whichever place
    /// it was shown at: 0 better, 1 a tie, 2 worse.
    pub choices: Vec<usize>,
    /// Why, a criterion.
    pub reasons: Vec<String>,
    /// Whether a battle showed the answer second.
    pub swapped: bool,
}

impl Ballot {
    pub(super) fn new(question: &Question, verdicts: Vec<Verdict>, order: Order) -> Self {
        let swapped = order == Order::ReferenceFirst;
        let (choices, reasons) = verdicts
            .into_iter()
            .map(|Verdict { choice, reason }| {
                let choice = if question.is_battle && swapped { SWAPPED[choice] } else { choice };
                (choice, reason)
            })
            .unzip();
        Self { choices, reasons, swapped }
    }
}

/// What the ballots say to one criterion.
struct Decided<'a> {
    criterion: &'a Criterion,
    value: f64,
    choice: usize,
    reason: &'a str,
}

/// What is wanted of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What the criteria ask for.
    Asked,
    /// Its opposite.
    Opposite,
}

impl Wanted {
    /// How good a value is.
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Asked => value,
            Self::Opposite => 1.0 - value,
        }
    }
}

/// The score that at least one ballot comes to, where so is `wanted`.
pub(super) fn score(name: &str, question: &Question, ballots: &[Ballot], combine: Combine, wanted: Wanted) -> Score {
    let mut decided = decide_all(question, ballots, combine);
    let weights: f64 = decided.iter().map(|one| one.criterion.weight).sum();
    let sum: f64 = decided.iter().map(|one| one.criterion.weight * one.value).sum();
    let value = wanted.of((sum / weights).clamp(0.0, 1.0));
    let loss = |one: &Decided| one.criterion.weight * (1.0 - wanted.of(one.value));
    // Stable: of equals, the criterion that the user named first.
    decided.sort_by(|one, other| loss(other).total_cmp(&loss(one)));
    let first = decided.first().filter(|one| loss(one) > 0.0);
    Score {
        scorer: name.to_owned(),
        value,
        criterion: first.map(|one| label(question, one)),
        reason: reason(question, &decided, wanted),
    }
}

/// What the ballots come to by criterion, in the question's order.
pub(super) fn values(question: &Question, ballots: &[Ballot], combine: Combine) -> Vec<f64> {
    decide_all(question, ballots, combine).iter().map(|one| one.value).collect()
}

fn decide_all<'a>(question: &'a Question, ballots: &'a [Ballot], combine: Combine) -> Vec<Decided<'a>> {
    // The two orders of a battle are one opinion: where they contradict each other, it is a draw.
    let combine = if question.is_battle { Combine::Mean } else { combine };
    let criteria = question.criteria.iter().enumerate();
    criteria.map(|(at, criterion)| decide(criterion, at, ballots, combine)).collect()
}

fn decide<'a>(criterion: &'a Criterion, at: usize, ballots: &'a [Ballot], combine: Combine) -> Decided<'a> {
    let mut votes = vec![0_usize; criterion.choices.len()];
    ballots.iter().for_each(|ballot| votes[ballot.choices[at]] += 1);
    // Choices come best first: of equals the last is worth least.
    let choice = (0..votes.len()).max_by_key(|choice| votes[*choice]).unwrap_or_default();
    let value = match combine {
        Combine::Majority => criterion.choices[choice].value,
        Combine::Mean => {
            let sum: f64 = ballots.iter().map(|ballot| criterion.choices[ballot.choices[at]].value).sum();
            sum / ballots.len() as f64
        }
    };
    let reason = ballots.iter().find(|ballot| ballot.choices[at] == choice).map_or("", |ballot| &ballot.reasons[at]);
    Decided { criterion, value, choice, reason }
}

/// What to call a failure: the criterion of a rubric; where there is one criterion, its verdict.
fn label(question: &Question, decided: &Decided) -> String {
    if question.is_keyed {
        return decided.criterion.name.clone();
    }
    word(question, decided).to_owned()
}

fn word<'a>(question: &Question, decided: &Decided<'a>) -> &'a str {
    if question.is_battle { OUTCOMES[decided.choice] } else { &decided.criterion.choices[decided.choice].word }
}

/// One line a criterion that cost something, the dearest first; the judge's words where there is one criterion.
fn reason(question: &Question, decided: &[Decided], wanted: Wanted) -> Option<String> {
    let lines: Vec<String> = if question.is_keyed {
        let lost = decided.iter().filter(|one| wanted.of(one.value) < 1.0);
        lost.map(|one| format!("{}: {} ({})", one.criterion.name, one.reason, word(question, one))).collect()
    } else {
        decided.iter().map(|one| format!("{} ({})", one.reason, word(question, one)).trim_start().to_owned()).collect()
    };
    let reason = lines.join("\n");
    (!reason.is_empty()).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rubric() -> Question {
        let criterion = |name: &str, weight: f64| {
            let choices = [("yes", 1.0), ("partly", 0.5), ("no", 0.0)].map(|(word, value)| (word.to_owned(), value));
            Criterion::new(name, "Is it?", weight, choices).unwrap()
        };
        Question::rubric(vec![criterion("complete", 3.0), criterion("tone", 1.0)]).unwrap()
    }

    fn ballot(choices: &[usize]) -> Ballot {
        let reasons = choices.iter().map(|choice| format!("because of {choice}")).collect();
        Ballot { choices: choices.to_vec(), reasons, swapped: false }
    }

    fn scored(ballots: &[Ballot], combine: Combine) -> Score {
        score("reply", &rubric(), ballots, combine, Wanted::Asked)
    }

    #[test]
    fn the_value_is_the_weighted_mean_and_the_dearest_criterion_comes_first() {
        let score = scored(&[ballot(&[1, 2])], Combine::Majority);
        assert_eq!(score.value, 0.375);
        assert_eq!(score.criterion.as_deref(), Some("complete"));
        let lines = "complete: because of 1 (partly)\ntone: because of 2 (no)";
        assert_eq!(score.reason.as_deref(), Some(lines));
        let passed = scored(&[ballot(&[0, 0])], Combine::Majority);
        assert_eq!((passed.value, passed.criterion, passed.reason), (1.0, None, None));
    }

    #[test]
    fn votes_are_combined_by_majority_with_the_lower_of_equals_or_by_their_mean() {
        let ballots = [ballot(&[0, 0]), ballot(&[2, 0]), ballot(&[0, 0])];
        assert_eq!(scored(&ballots, Combine::Majority).value, 1.0);
        assert!((scored(&ballots, Combine::Mean).value - 0.75).abs() < 1e-12);
        assert_eq!(scored(&ballots[..2], Combine::Majority).value, 0.25, "one vote each");
    }

    #[test]
    fn a_single_criterion_fails_by_its_verdict() {
        let question = Question::factuality();
        let score = score("facts", &question, &[ballot(&[4])], Combine::Majority, Wanted::Asked);
        assert_eq!((score.value, score.criterion.as_deref()), (0.0, Some("disagrees")));
        assert_eq!(score.reason.as_deref(), Some("because of 4 (disagrees)"));
    }

    #[test]
    fn where_the_opposite_is_wanted_the_criterion_that_earned_the_most_comes_first() {
        let opposite =
            |choices: &[usize]| score("not-reply", &rubric(), &[ballot(choices)], Combine::Majority, Wanted::Opposite);
        let found = opposite(&[1, 0]);
        assert_eq!((found.value, found.criterion.as_deref()), (0.375, Some("complete")));
        let lines = "complete: because of 1 (partly)\ntone: because of 0 (yes)";
        assert_eq!(found.reason.as_deref(), Some(lines));
        let nothing = opposite(&[2, 2]);
        assert_eq!((nothing.value, nothing.criterion, nothing.reason), (1.0, None, None));
        let question = Question::closed("Is a rival named?").unwrap();
        let found = score("not-rival", &question, &[ballot(&[0])], Combine::Majority, Wanted::Opposite);
        assert_eq!((found.value, found.criterion.as_deref()), (0.0, Some("yes")));
        assert_eq!(found.reason.as_deref(), Some("because of 0 (yes)"));
    }

    #[test]
    fn a_battle_that_only_the_place_decides_is_a_draw() {
        let question = Question::battle(None);
        let says = |word: usize, order| {
            Ballot::new(&question, vec![Verdict { choice: word, reason: "nicer".to_owned() }], order)
        };
        let value = |first: usize, second: usize| {
            let ballots = [says(first, Order::AnswerFirst), says(second, Order::ReferenceFirst)];
            score("battle", &question, &ballots, Combine::Majority, Wanted::Asked).value
        };
        assert_eq!(value(0, 2), 1.0, "better wherever it stands");
        assert_eq!(value(2, 0), 0.0, "worse wherever it stands");
        assert_eq!((value(0, 0), value(2, 2), value(1, 1)), (0.5, 0.5, 0.5));
        assert_eq!(value(0, 1), 0.75);
    }
}
