//! What comes of calibrating a judge ([`Calibration`]): how far it agrees with people, with itself, and whether it can tell
//! revisions apart. Pure: what was asked and answered comes from `calibrate.rs`.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::eval::CONFIDENCE;
use crate::score::{Ballot, Criterion, Judge};
use crate::search::detectable_gain;
use crate::stats::{agreement, mean, rank_correlation};

/// Most different values that are compared as they are; beyond, only passing and failing are.
const MOST_VALUES: usize = 6;

/// A judge whose noise raises what the gate can detect by more than this factor can't tell revisions apart.
const TOO_NOISY: f64 = 1.5;

/// Most votes that are advised.
const MOST_VOTES: u32 = 9;

/// How a judge compares with people and with itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The scorer's name.
    pub scorer: String,
    /// The model that it asks.
    pub model: String,
    /// How far the two agree.
    #[serde(flatten)]
    pub agreed: Agreed,
    /// The same by criterion, where people rated by criterion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<CriterionAgreed>,
    /// Rows that it gave no usable verdict on.
    pub errors: usize,
    /// Mean of what people gave, in [0, 1].
    pub human_mean: f64,
    /// Mean of what the judge gave.
    pub judge_mean: f64,
    /// Rank correlation of the judge's value less the people's with the length of the answer; null where that can't be
    /// told.
    pub length: Option<Bias>,
    /// Of a battle: pairs whose winner was the same place in both orders, and in which it was the first.
    pub position: Option<Position>,
    /// The judge asked twice.
    pub retest: Retest,
    /// The smallest gain on dev that the gate can tell from luck, in [0, 1]: with a judge without noise, and with this one.
    pub detectable: [f64; 2],
    /// Whether this judge can tell revisions apart.
    pub tells_apart: bool,
    /// The same in words, with what to do.
    pub verdict: String,
}

/// How far people and a judge agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreed {
    /// Rows that both gave a value.
    pub rows: usize,
    /// Share of rows on which both say the same.
    pub agreement: f64,
    /// Cohen's kappa; null where people always say the same one thing, so that there is nothing to agree about.
    pub kappa: Option<f64>,
    /// Its 95 % interval.
    pub kappa_interval: Option<[f64; 2]>,
    /// What is told apart: values, or `fail` and `pass` where there are many.
    pub categories: Vec<String>,
    /// Rows by what people said (rows) and what the judge said (columns), in the order of `categories`.
    pub confusion: Vec<Vec<usize>>,
}

impl Agreed {
    /// Of what people and the judge gave each answer.
    fn of(values: &[(f64, f64)], pass_threshold: f64) -> Self {
        let (categories, pairs) = categorised(values, pass_threshold);
        let mut confusion = vec![vec![0; categories.len()]; categories.len()];
        pairs.iter().for_each(|(human, judge)| confusion[*human][*judge] += 1);
        let found = agreement(&pairs, CONFIDENCE).filter(|_| !is_same_throughout(&confusion));
        let same = pairs.iter().filter(|(human, judge)| human == judge).count();
        Self {
            rows: values.len(),
            agreement: same as f64 / values.len().max(1) as f64,
            kappa: found.map(|found| found.kappa),
            kappa_interval: found.map(|found| [found.interval.low, found.interval.high]),
            categories,
            confusion,
        }
    }

    /// Whether people gave all answers the same.
    pub fn is_without_difference(&self) -> bool {
        is_same_throughout(&self.confusion)
    }

    /// Whether they are shown to agree more than chance would have it.
    fn is_shown(&self) -> bool {
        self.kappa_interval.is_some_and(|[low, _]| low > 0.0)
    }
}

/// Whether people used one category at most.
fn is_same_throughout(confusion: &[Vec<usize>]) -> bool {
    confusion.iter().filter(|row| row.iter().sum::<usize>() > 0).count() < 2
}

/// How far people and a judge agree on one criterion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriterionAgreed {
    /// Its name.
    pub criterion: String,
    /// How far they do.
    #[serde(flatten)]
    pub agreed: Agreed,
}

/// A correlation with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bias {
    /// In [-1, 1].
    pub correlation: f64,
    /// 95 %.
    pub interval: [f64; 2],
}

/// How often the place decides a battle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Pairs asked in both orders.
    pub pairs: usize,
    /// Those whose winner was the same place in both.
    pub by_place: usize,
    /// Of them, those won by the first place.
    pub first: usize,
}

/// What a second draw changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Retest {
    /// Rows asked twice; 0 where the judge is declared deterministic.
    pub rows: usize,
    /// Rows that got another value.
    pub flips: usize,
    /// Mean squared difference of the two values.
    pub noise_variance: f64,
}

/// One answer with what people and the judge gave it.
pub(super) struct Rated {
    pub human: f64,
    /// Characters of the answer.
    pub length: f64,
    /// By what people gave a value for.
    pub judge: f64,
    /// The whole value, first draw and second; no second where the judge is deterministic.
    pub draws: (f64, Option<f64>),
    pub ballots: Vec<Ballot>,
    /// What people, where they did, and the judge gave it by criterion.
    pub by_criterion: Vec<(Option<f64>, f64)>,
}

/// What `rated` comes to; `errors` answers had no usable verdict.
pub(super) fn calibration(
    judge: &Judge,
    rated: &[Rated],
    errors: usize,
    pass_threshold: f64,
    dev_rows: usize,
) -> Calibration {
    let of = |pick: fn(&Rated) -> f64| mean(&rated.iter().map(pick).collect::<Vec<_>>()).unwrap_or(0.0);
    let values: Vec<(f64, f64)> = rated.iter().map(|one| (one.human, one.judge)).collect();
    let agreed = Agreed::of(&values, pass_threshold);
    let criteria = by_criterion(judge, rated, pass_threshold);
    let excess: Vec<(f64, f64)> = rated.iter().map(|one| (one.length, one.judge - one.human)).collect();
    let length = rank_correlation(&excess, CONFIDENCE)
        .map(|of| Bias { correlation: of.rho, interval: [of.interval.low, of.interval.high] });
    let retest = retest(rated);
    let detectable = [0.0, retest.noise_variance].map(|variance| detectable_gain(dev_rows, dev_rows, variance).0);
    let (tells_apart, mut verdict) = verdict(&agreed, detectable, dev_rows, retest, judge);
    let apart: Vec<String> = criteria
        .iter()
        .filter(|of| !of.agreed.is_shown() && !of.agreed.is_without_difference())
        .map(|of| format!("`{}`", of.criterion))
        .collect();
    if !apart.is_empty() {
        verdict += &format!(" On {} alone it is not shown to agree with people.", apart.join(" and on "));
    }
    Calibration {
        scorer: judge.label().to_owned(),
        model: judge.model_name().to_owned(),
        criteria,
        errors,
        human_mean: of(|one| one.human),
        judge_mean: of(|one| one.judge),
        agreed,
        length,
        position: position(rated),
        retest,
        detectable,
        tells_apart,
        verdict,
    }
}

/// By criterion, for those that people gave a value for.
fn by_criterion(judge: &Judge, rated: &[Rated], pass_threshold: f64) -> Vec<CriterionAgreed> {
    let of = |(at, criterion): (usize, &Criterion)| {
        let value = |one: &Rated| one.by_criterion.get(at).and_then(|(human, judge)| Some(((*human)?, *judge)));
        let values: Vec<(f64, f64)> = rated.iter().filter_map(value).collect();
        let agreed = || Agreed::of(&values, pass_threshold);
        (!values.is_empty()).then(|| CriterionAgreed { criterion: criterion.name.clone(), agreed: agreed() })
    };
    judge.criteria().iter().enumerate().filter_map(of).collect()
}

/// The categories, and those of people and judge for each answer.
fn categorised(rated: &[(f64, f64)], pass_threshold: f64) -> (Vec<String>, Vec<(usize, usize)>) {
    // As written to three digits: what a mean of votes leaves beyond that says nothing.
    let name = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    let mut values: Vec<f64> = rated.iter().flat_map(|(human, judge)| [*human, *judge]).collect();
    values.sort_by(f64::total_cmp);
    let distinct: BTreeSet<String> = values.iter().map(|value| name(*value)).collect();
    if distinct.len() > MOST_VALUES {
        let passes = |value: f64| usize::from(value >= pass_threshold);
        let pairs = rated.iter().map(|(human, judge)| (passes(*human), passes(*judge)));
        return (vec!["fail".to_owned(), "pass".to_owned()], pairs.collect());
    }
    // Numbers from 0 to 1 sort as their digits do.
    let categories: Vec<String> = distinct.into_iter().collect();
    let place = |value: f64| categories.iter().position(|category| *category == name(value)).unwrap_or_default();
    let pairs = rated.iter().map(|(human, judge)| (place(*human), place(*judge))).collect();
    (categories, pairs)
}

fn position(rated: &[Rated]) -> Option<Position> {
    let mut position = Position { pairs: 0, by_place: 0, first: 0 };
    for one in rated {
        // Orders alternate: each vote's ballot with the answer second follows the one with the answer first.
        for pair in one.ballots.chunks_exact(2).filter(|pair| pair[1].swapped) {
            position.pairs += 1;
            // Better at one place and worse at the other: the place won. Choice 0 is better, 2 worse.
            let first = (pair[0].choices[0], pair[1].choices[0]) == (0, 2);
            let second = (pair[0].choices[0], pair[1].choices[0]) == (2, 0);
            position.by_place += usize::from(first || second);
            position.first += usize::from(first);
        }
    }
    (position.pairs > 0).then_some(position)
}

fn retest(rated: &[Rated]) -> Retest {
    let pairs: Vec<f64> = rated.iter().filter_map(|one| Some(one.draws.0 - one.draws.1?)).collect();
    let squares: Vec<f64> = pairs.iter().map(|difference| difference * difference).collect();
    Retest {
        rows: pairs.len(),
        flips: pairs.iter().filter(|difference| **difference != 0.0).count(),
        noise_variance: mean(&squares).unwrap_or(0.0),
    }
}

fn verdict(
    agreed: &Agreed,
    [without, with]: [f64; 2],
    dev_rows: usize,
    retest: Retest,
    judge: &Judge,
) -> (bool, String) {
    if agreed.is_without_difference() {
        let message = "It can't be told: people's ratings don't differ, so that there is nothing to agree about. Rate answers of \
                       which some are better than others.";
        return (false, message.to_owned());
    }
    if !agreed.is_shown() {
        let message = "No: it is not shown to agree with people more than chance would. Sharpen the criteria, use a \
                       larger model, or rate more answers.";
        return (false, message.to_owned());
    }
    if without >= 1.0 {
        let message = format!(
            "It can't be told: with {dev_rows} dev rows no gain can be told from luck, whatever the judge. Add rows, or have more \
             of them in dev."
        );
        return (false, message);
    }
    let points = |gain: f64| format!("{:.1}", 100.0 * gain);
    if with <= TOO_NOISY * without {
        let message = format!(
            "Yes: with {dev_rows} dev rows the gate can tell gains of {} points from luck; this judge's noise is {} of \
             them.",
            points(with),
            points(with - without)
        );
        return (true, message);
    }
    let enough = |votes: &u32| {
        detectable_gain(dev_rows, dev_rows, retest.noise_variance / f64::from(*votes)).0 <= TOO_NOISY * without
    };
    let advice = match (2..=MOST_VOTES).find(enough) {
        Some(votes) => format!("votes = {} would bring that down enough.", u64::from(votes) * u64::from(judge.votes())),
        None => "More votes alone won't help: sharpen the criteria, or use a larger model.".to_owned(),
    };
    let message = format!(
        "No: its noise raises what the gate can tell from luck from {} to {} points, with {dev_rows} dev rows. {advice}",
        points(without),
        points(with)
    );
    (false, message)
}
