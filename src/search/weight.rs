//! What a call takes with one prompt and with another. Calls left are counted at their mean, but one with a long prompt takes
//! more money and tokens: where those are limited, a candidate's question to the gate and its share of the sealed test are
//! counted by what its own calls have taken.

use super::generation::{Candidate, State};
use super::meter::Meter;
use super::{Search, race};
use crate::dataset::Split;
use crate::eval::Outcome;
use crate::prompt::PromptSet;

/// The share of the sealed test is kept back with a quarter more than expected.
const WITH_MARGIN: f64 = 1.25;

/// What answers have taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    answers: u64,
    tokens: u64,
    picos: u64,
}

impl Taken {
    /// Takes in a row's answer, if there is one.
    pub fn add(&mut self, outcome: &Outcome) {
        let Ok(answer) = &outcome.result else { return };
        let usage = answer.completion.usage;
        self.answers += 1;
        self.tokens = self.tokens.saturating_add(usage.input.saturating_add(usage.output));
        self.picos = self.picos.saturating_add(answer.completion.cost.map_or(0, |cost| cost.picos()));
    }

    /// How many average answers of `all` one of these takes, in tokens or money, whichever is more; `None` where nothing is
    /// known.
    pub fn in_average(&self, all: &Taken) -> Option<f64> {
        let mean = |sum: u64, answers: u64| sum as f64 / answers.max(1) as f64;
        let ratio = |own: u64, of_all: u64| (own > 0).then(|| mean(own, self.answers) / mean(of_all, all.answers));
        let (tokens, money) = (ratio(self.tokens, all.tokens), ratio(self.picos, all.picos));
        tokens.into_iter().chain(money).reduce(f64::max)
    }
}

impl Search<'_> {
    /// How many average calls one with `prompts` takes: 1 where only calls are limited, or nothing is known of them.
    pub(super) fn weight(&self, meter: &Meter<'_>, prompts: &PromptSet) -> f64 {
        if self.account.has_estimates() { meter.weight(prompts).unwrap_or(1.0) } else { 1.0 }
    }

    /// The same of a merge that was not measured yet: the incumbent with what each of `parts` adds to it.
    pub(super) fn weight_of_merge(&self, meter: &Meter<'_>, state: &State, parts: &[&Candidate]) -> f64 {
        let incumbent = self.weight(meter, &state.incumbent.prompts);
        let added = |part: &&Candidate| (self.weight(meter, &part.prompts) - incumbent).max(0.0);
        incumbent + parts.iter().map(added).sum::<f64>()
    }

    /// Average calls that a question to the gate takes whose prompt has this weight, with what the sealed test takes more
    /// should it be kept.
    pub(super) fn question_calls(&self, meter: &Meter<'_>, state: &State, weight: f64) -> u64 {
        let more = (weight - self.weight(meter, &state.incumbent.prompts)).max(0.0);
        let test = self.dataset.rows(Split::Test).len() as f64;
        weighted(self.gate_calls(), weight.max(1.0)) + (WITH_MARGIN * test * more).ceil() as u64
    }

    /// Task calls without which a generation comes to nothing.
    pub(super) fn least_calls(&self, meter: &Meter<'_>, state: &State) -> u64 {
        let weight = self.weight(meter, &state.incumbent.prompts);
        let of_race = if state.opens { 0 } else { race::BLOCK as u64 };
        self.question_calls(meter, state, weight) + of_race
    }

    /// Has what the sealed test takes kept back, with `incumbent` as the winner.
    pub(super) fn keep_back_test(&self, meter: &Meter<'_>, incumbent: &PromptSet) {
        let takes = f64::midpoint(self.weight(meter, &self.baseline), self.weight(meter, incumbent));
        self.account.keep_back(self.test_calls() * self.evaluate.answers_a_row(), WITH_MARGIN * takes);
    }
}

/// How many average calls `calls` of this weight take.
pub(super) fn weighted(calls: u64, weight: f64) -> u64 {
    (calls as f64 * weight).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::outcome;
    use crate::model::Usage;
    use crate::money::Money;

    #[test]
    fn an_answer_weighs_what_it_takes_beside_the_average_in_tokens_or_money() {
        let taken = |answers: &[(u64, Option<u64>)]| {
            let mut taken = Taken::default();
            for (tokens, picos) in answers {
                let mut outcome = outcome("a", 1.0);
                if let Ok(answer) = &mut outcome.result {
                    answer.completion.usage = Usage { input: *tokens, ..Usage::default() };
                    answer.completion.cost = picos.map(Money::from_picos);
                }
                taken.add(&outcome);
            }
            taken
        };
        let all = taken(&[(10, Some(1)), (20, Some(2)), (30, Some(3))]);
        assert_eq!(taken(&[(10, Some(1))]).in_average(&all), Some(0.5));
        assert_eq!(taken(&[(40, Some(2)), (60, None)]).in_average(&all), Some(2.5));
        assert_eq!((taken(&[]).in_average(&all), taken(&[(0, None)]).in_average(&all)), (None, None));
        assert_eq!([weighted(10, 1.0), weighted(10, 1.21), weighted(u64::MAX, 1.0)], [10, 13, u64::MAX]);
    }
}
