//! Measuring a judge against people: asks it about answers that people rated, twice. What comes of it is worked out in
//! `calibration.rs`.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::Value;

use super::calibration::{Calibration, Rated, calibration};
use super::{Models, Project};
use crate::dataset::{Example, Split};
use crate::eval::OutcomeError;
use crate::model::{Chat, Completion, FinishReason, Origin, Usage};
use crate::run::{Calibrated, Calibrations, RunError};
use crate::score::{Judge, ScoreError, Scoring};
use crate::stats::weighted_mean;

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
    #[error("row `{row}`: metadata field `{field}` is {found}; write {wanted}")]
    Label {
        /// The row.
        row: String,
        /// The field.
        field: String,
        /// What was found.
        found: String,
        /// What would do.
        wanted: String,
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
        for example in self.dataset.rows.iter() {
            rows.extend(rated(judge, example, fields)?);
        }
        if rows.is_empty() {
            return Err(CalibrateError::Unrated(fields.clone()));
        }
        let chat = Arc::clone(&models.judge) as Arc<dyn Chat>;
        let asked = rows.iter().map(|(example, answer, human)| ask(judge, chat.as_ref(), example, answer, human));
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

    /// Keeps what a judge of this project came to for the runs to come.
    ///
    /// # Errors
    /// The file beside the runs is damaged or can't be written.
    pub fn keep_calibration(&self, found: &Calibration) -> Result<(), RunError> {
        let Some(judge) = self.scorers.judges().find(|judge| judge.label() == found.scorer) else { return Ok(()) };
        let calibrated = Calibrated {
            judge: judge.digest(),
            tells_apart: found.tells_apart,
            verdict: found.verdict.clone(),
            noise_variance: found.retest.noise_variance,
        };
        Calibrations::record(&self.runs(), judge.label(), calibrated)
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

/// What people gave one answer.
struct Human {
    value: f64,
    /// By criterion of the judge; empty where they gave one value for all.
    by_criterion: Vec<Option<f64>>,
}

/// A row, the answer of it that people rated, and what they gave that.
type RatedRow = (Example, Completion, Human);

/// The answer of `example` that people rated, and what they gave it; none where a field is absent.
fn rated(judge: &Judge, example: Example, fields: &RatedFields) -> Result<Option<RatedRow>, CalibrateError> {
    let Some(answer) = example.metadata.get(&fields.answer).filter(|value| !value.is_null()) else { return Ok(None) };
    let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    Ok(human(judge, &example, &fields.human)?.map(|human| (example, completion(text), human)))
}

/// What people gave the answer of `example`, in the metadata field `name`: one value for all or one by criterion, or
/// by criterion in fields of their own. A value by criterion is worth as much as the criterion is.
fn human(judge: &Judge, example: &Example, name: &str) -> Result<Option<Human>, CalibrateError> {
    let said = example.metadata.get(name).filter(|value| !value.is_null());
    if let Some(said) = said.filter(|said| !said.is_object()) {
        let value = value(said, |word| judge.value_of(word));
        let value = value.ok_or_else(|| unusable(example, name, said, wanted(judge)))?;
        return Ok(Some(Human { value, by_criterion: Vec::new() }));
    }
    let by_name = said.and_then(Value::as_object);
    let known = |key: &&String| judge.criteria().iter().any(|criterion| criterion.name == **key);
    if let Some(unknown) = by_name.and_then(|by_name| by_name.keys().find(|key| !known(key))) {
        let names: Vec<String> = judge.criteria().iter().map(|of| format!("\"{}\"", of.name)).collect();
        let field = format!("{name}.{unknown}");
        let said = by_name.and_then(|by_name| by_name.get(unknown)).unwrap_or(&Value::Null);
        return Err(unusable(example, &field, said, format!("it by the name of a criterion: {}", names.join(" | "))));
    }
    let mut by_criterion = Vec::new();
    for criterion in judge.criteria() {
        let field = format!("{name}.{}", criterion.name);
        let said = by_name.and_then(|by_name| by_name.get(&criterion.name)).or_else(|| example.metadata.get(&field));
        let given = said.filter(|value| !value.is_null()).map(|said| {
            let given = value(said, |word| criterion.value_of(word));
            given.ok_or_else(|| unusable(example, &field, said, one_of(&criterion.words())))
        });
        by_criterion.push(given.transpose()?);
    }
    let given: Vec<f64> = by_criterion.iter().flatten().copied().collect();
    Ok(weighted_mean(&given, Some(&weights(judge, &by_criterion))).map(|value| Human { value, by_criterion }))
}

/// The weights of the criteria that people gave a value for.
fn weights(judge: &Judge, given: &[Option<f64>]) -> Vec<f64> {
    judge.criteria().iter().zip(given).filter(|(_, given)| given.is_some()).map(|(of, _)| of.weight).collect()
}

/// What people said as a value in [0, 1].
fn value(said: &Value, of_word: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let value = match said {
        Value::Bool(good) => Some(f64::from(u8::from(*good))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => of_word(text).or_else(|| text.trim().parse().ok()),
        _ => None,
    };
    value.filter(|value| (0.0..=1.0).contains(value))
}

/// What people may have given an answer as a whole.
fn wanted(judge: &Judge) -> String {
    let [first, second, ..] = judge.criteria() else { return one_of(&judge.words()) };
    let by_name: Vec<String> = [first, second]
        .iter()
        .map(|of| format!("\"{}\": {}", of.name, of.words().split(" | ").next().unwrap_or("1")))
        .collect();
    format!(
        "a number from 0 to 1, or true or false, for all criteria together, or what each was given, as {{{}}}",
        by_name.join(", ")
    )
}

fn one_of(words: &str) -> String {
    format!("a number from 0 to 1, true or false, or one of the judge's choices: {words}")
}

fn unusable(example: &Example, field: &str, found: &Value, wanted: String) -> CalibrateError {
    CalibrateError::Label { row: example.id.clone(), field: field.to_owned(), found: found.to_string(), wanted }
}

fn completion(text: String) -> Completion {
    Completion { origin: Origin::Stored, ..Completion::live(text, FinishReason::Stop, Usage::default()) }
}

async fn ask(
    judge: &Judge,
    chat: &dyn Chat,
    example: &Example,
    answer: &Completion,
    human: &Human,
) -> Result<Rated, ScoreError> {
    let draw = |sample| judge.ballots(example, answer, Scoring { sample, judge: Some(chat), embedder: None });
    let ballots = draw(0).await?;
    let again = if judge.is_deterministic() { None } else { Some(judge.tally(&draw(1).await?).value) };
    let whole = judge.tally(&ballots).value;
    let by_criterion: Vec<(Option<f64>, f64)> =
        human.by_criterion.iter().copied().zip(judge.values(&ballots)).collect();
    // Compared is what people gave a value for.
    let same: Vec<f64> = by_criterion.iter().filter(|(human, _)| human.is_some()).map(|(_, judge)| *judge).collect();
    let of_same = weighted_mean(&same, Some(&weights(judge, &human.by_criterion)));
    Ok(Rated {
        human: human.value,
        length: answer.text.chars().count() as f64,
        judge: of_same.unwrap_or(whole),
        draws: (whole, again),
        ballots,
        by_criterion,
    })
}
