//! Measuring a judge against people: on answers that people rated, and against itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::{Models, Project};
use crate::dataset::{Example, Split};
use crate::eval::{CONFIDENCE, OutcomeError};
use crate::model::{Chat, Completion, FinishReason, Origin, Usage};
use crate::score::{Ballot, Judge, ScoreError, Scoring};
use crate::search::detectable_gain;
use crate::stats::{agreement, mean, rank_correlation};

/// Most different values that are compared as they are; beyond, only passing and failing are.
const MOST_VALUES: usize = 6;

/// A judge whose noise raises what the gate can detect by more than this factor can't tell revisions apart.
const TOO_NOISY: f64 = 1.5;

/// Most votes that are advised.
const MOST_VOTES: u32 = 9;

/// Where a row has what people said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatedFields {
    /// The metadata field with the answer that they rated.
    pub answer: String,
    /// The metadata field with what they gave it.
    pub human: String,
}

/// Why a judge can't be calibrated.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// No judge, or none of that name.
    #[error("{0}")]
    NoJudge(String),
    /// A label that can't be compared.
    #[error(
        "row `{row}`: metadata field `{field}` is {found}; write a number from 0 to 1, true or false, or one of the \
         judge's choices: {choices}"
    )]
    Label {
        /// The row.
        row: String,
        /// The field.
        field: String,
        /// What was found.
        found: String,
        /// What would do.
        choices: String,
    },
    /// No row has both fields.
    #[error(
        "no row has both metadata fields, `{answer}` (an answer) and `{human}` (what people gave it); name others with \
         --answer and --human, and map columns with [dataset] fields",
        answer = .0.answer, human = .0.human
    )]
    Unrated(RatedFields),
    /// A fault that no row can escape, or that no row did.
    #[error(transparent)]
    Fault(OutcomeError),
}

/// How a judge compares with people and with itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The scorer's name.
    pub scorer: String,
    /// The model that it asks.
    pub model: String,
    /// Rows that it judged.
    pub rows: usize,
    /// Rows that it gave no usable verdict on.
    pub errors: usize,
    /// Mean of what people gave, in [0, 1].
    pub human_mean: f64,
    /// Mean of what the judge gave.
    pub judge_mean: f64,
    /// Share of rows on which both say the same.
    pub agreement: f64,
    /// Cohen's kappa; null where both always say the same one thing.
    pub kappa: Option<f64>,
    /// Its 95 % interval.
    pub kappa_interval: Option<[f64; 2]>,
    /// What is told apart: values, or `fail` and `pass` where there are many.
    pub categories: Vec<String>,
    /// Rows by what people said (rows) and what the judge said (columns), in the order of `categories`.
    pub confusion: Vec<Vec<usize>>,
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
struct Rated {
    human: f64,
    length: f64,
    judge: f64,
    again: Option<f64>,
    ballots: Vec<Ballot>,
}

impl Project {
    /// Asks the judge called `scorer` (the only one where it isn't named) twice about every answer that people rated.
    ///
    /// # Errors
    /// [`CalibrateError`].
    pub async fn calibrate(
        &self,
        models: &Models,
        scorer: Option<&str>,
        fields: &RatedFields,
    ) -> Result<Calibration, CalibrateError> {
        let judge = self.judge(scorer)?;
        let mut rows = Vec::new();
        let examples: Vec<Example> = self.dataset.rows.iter().collect();
        for example in &examples {
            rows.extend(rated(judge, example, fields)?);
        }
        if rows.is_empty() {
            return Err(CalibrateError::Unrated(fields.clone()));
        }
        let chat = Arc::clone(&models.judge) as Arc<dyn Chat>;
        let asked = rows.iter().map(|(example, answer, human)| ask(judge, chat.as_ref(), example, answer, *human));
        let (mut judged, mut first_error, mut errors) = (Vec::new(), None, 0);
        for result in join_all(asked).await {
            match result {
                Ok(rated) => judged.push(rated),
                Err(error) => match OutcomeError::from(error) {
                    fault @ OutcomeError::Call(_) => return Err(CalibrateError::Fault(fault)),
                    error => {
                        first_error.get_or_insert(error);
                        errors += 1;
                    }
                },
            }
        }
        match first_error.filter(|_| judged.is_empty()) {
            Some(error) => Err(CalibrateError::Fault(error)),
            None => {
                let dev_rows = self.dataset.count(Split::Dev);
                Ok(calibration(judge, &judged, errors, self.config.pass_threshold, dev_rows))
            }
        }
    }

    fn judge(&self, name: Option<&str>) -> Result<&Judge, CalibrateError> {
        let judges: Vec<&Judge> = self.scorers.judges().collect();
        let names = || judges.iter().map(|judge| format!("`{}`", judge.label())).collect::<Vec<_>>().join(", ");
        let found = match (name, judges.as_slice()) {
            (_, []) => {
                Err("no scorer of the project is a judge; add one as [[scorers]], see docs/judges.md".to_owned())
            }
            (None, [only]) => Ok(*only),
            (None, _) => Err(format!("the project has several judges; name one of {}", names())),
            (Some(name), _) => {
                let found = judges.iter().find(|judge| judge.label() == name).copied();
                found.ok_or_else(|| format!("there is no judge `{name}`; there is {}", names()))
            }
        };
        found.map_err(CalibrateError::NoJudge)
    }
}

type RatedRow<'a> = (&'a Example, Completion, f64);

/// The answer of `example` that people rated, and their value; none where a field is absent.
fn rated<'a>(
    judge: &Judge,
    example: &'a Example,
    fields: &RatedFields,
) -> Result<Option<RatedRow<'a>>, CalibrateError> {
    let field = |name: &str| example.metadata.get(name).filter(|value| !value.is_null());
    let (Some(answer), Some(human)) = (field(&fields.answer), field(&fields.human)) else { return Ok(None) };
    let value = match human {
        Value::Bool(good) => Some(f64::from(u8::from(*good))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => judge.value_of(text).or_else(|| text.trim().parse().ok()),
        _ => None,
    };
    let value = value.filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| CalibrateError::Label {
        row: example.id.clone(),
        field: fields.human.clone(),
        found: human.to_string(),
        choices: judge.words(),
    })?;
    let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    Ok(Some((example, completion(text), value)))
}

fn completion(text: String) -> Completion {
    Completion { origin: Origin::Stored, ..Completion::live(text, FinishReason::Stop, Usage::default()) }
}

async fn ask(
    judge: &Judge,
    chat: &dyn Chat,
    example: &Example,
    answer: &Completion,
    human: f64,
) -> Result<Rated, ScoreError> {
    let draw = |sample| judge.ballots(example, answer, Scoring { sample, judge: Some(chat), embedder: None });
    let ballots = draw(0).await?;
    let again = if judge.is_deterministic() { None } else { Some(judge.tally(&draw(1).await?).value) };
    let length = answer.text.chars().count() as f64;
    Ok(Rated { human, length, judge: judge.tally(&ballots).value, again, ballots })
}

fn calibration(judge: &Judge, rated: &[Rated], errors: usize, pass_threshold: f64, dev_rows: usize) -> Calibration {
    let of = |pick: fn(&Rated) -> f64| mean(&rated.iter().map(pick).collect::<Vec<_>>()).unwrap_or(0.0);
    let (categories, pairs) = categorised(rated, pass_threshold);
    let mut confusion = vec![vec![0; categories.len()]; categories.len()];
    pairs.iter().for_each(|(human, judge)| confusion[*human][*judge] += 1);
    let found = agreement(&pairs, CONFIDENCE);
    let same = pairs.iter().filter(|(human, judge)| human == judge).count();
    let excess: Vec<(f64, f64)> = rated.iter().map(|one| (one.length, one.judge - one.human)).collect();
    let length = rank_correlation(&excess, CONFIDENCE)
        .map(|of| Bias { correlation: of.rho, interval: [of.interval.low, of.interval.high] });
    let retest = retest(rated);
    let detectable = [0.0, retest.noise_variance].map(|variance| detectable_gain(dev_rows, dev_rows, variance).0);
    let (tells_apart, verdict) = verdict(found.map(|found| found.interval.low), detectable, dev_rows, retest, judge);
    Calibration {
        scorer: judge.label().to_owned(),
        model: judge.model_name().to_owned(),
        rows: rated.len(),
        errors,
        human_mean: of(|one| one.human),
        judge_mean: of(|one| one.judge),
        agreement: same as f64 / rated.len().max(1) as f64,
        kappa: found.map(|found| found.kappa),
        kappa_interval: found.map(|found| [found.interval.low, found.interval.high]),
        categories,
        confusion,
        length,
        position: position(rated),
        retest,
        detectable,
        tells_apart,
        verdict,
    }
}

/// The categories, and those of people and judge for each answer.
fn categorised(rated: &[Rated], pass_threshold: f64) -> (Vec<String>, Vec<(usize, usize)>) {
    // As written to three digits: what a mean of votes leaves beyond that says nothing.
    let name = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    let mut values: Vec<f64> = rated.iter().flat_map(|one| [one.human, one.judge]).collect();
    values.sort_by(f64::total_cmp);
    let distinct: BTreeSet<String> = values.iter().map(|value| name(*value)).collect();
    if distinct.len() > MOST_VALUES {
        let passes = |value: f64| usize::from(value >= pass_threshold);
        let pairs = rated.iter().map(|one| (passes(one.human), passes(one.judge)));
        return (vec!["fail".to_owned(), "pass".to_owned()], pairs.collect());
    }
    // Numbers from 0 to 1 sort as their digits do.
    let categories: Vec<String> = distinct.into_iter().collect();
    let place = |value: f64| categories.iter().position(|category| *category == name(value)).unwrap_or_default();
    let pairs = rated.iter().map(|one| (place(one.human), place(one.judge))).collect();
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
    let pairs: Vec<f64> = rated.iter().filter_map(|one| Some(one.judge - one.again?)).collect();
    let squares: Vec<f64> = pairs.iter().map(|difference| difference * difference).collect();
    Retest {
        rows: pairs.len(),
        flips: pairs.iter().filter(|difference| **difference != 0.0).count(),
        noise_variance: mean(&squares).unwrap_or(0.0),
    }
}

fn verdict(
    kappa_low: Option<f64>,
    [without, with]: [f64; 2],
    dev_rows: usize,
    retest: Retest,
    judge: &Judge,
) -> (bool, String) {
    if kappa_low.is_none_or(|low| low <= 0.0) {
        let message = "No: it is not shown to agree with people more than chance would. Sharpen the criteria, use a \
                       larger model, or rate more answers.";
        return (false, message.to_owned());
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
