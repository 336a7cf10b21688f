//! From `[[scorers]]` to judges, and what is said of the model that they ask.

use std::path::Path;

use super::Project;
use super::named::NamedFiles;
use crate::config::{Config, CriterionConfig, ModelConfig, Provider, ScorerKind, Votes};
use crate::model::ModelRole;
use crate::run::Calibrations;
use crate::score::{Combine, Criterion, Judge, JudgeModel, JudgeOptions, Question, ScorerSet, ScorerSetupError};

/// Builds the judge that `kind` describes; `name` is that in reports, and `files` is told of its prompt file.
///
/// # Errors
/// An invalid rubric, a prompt file that can't be read or doesn't fit, a model that can't judge.
pub(super) fn build(
    config: &Config,
    kind: &ScorerKind,
    name: &str,
    root: &Path,
    files: &mut NamedFiles,
) -> Result<Judge, ScorerSetupError> {
    let failed = |message: String| ScorerSetupError { scorer: name.to_owned(), message };
    let (question, prompt, votes, combine) = asked(kind).map_err(failed)?;
    let model = Project::model(config, ModelRole::Judge);
    if model.provider == Provider::Embedded {
        return Err(failed(
            "the embedded model is a word classifier and can't judge; name a model that can as [models.judge]"
                .to_owned(),
        ));
    }
    let prompt = match prompt {
        Some(path) => {
            let text = files.text(root, path).map_err(|error| failed(error.to_string()))?;
            Some((root.join(path).display().to_string(), text))
        }
        None => None,
    };
    Judge::new(name, question, JudgeOptions { model: judge_model(config), prompt, votes, combine })
}

type Asked<'a> = (Question, Option<&'a Path>, u32, Combine);

fn asked(kind: &ScorerKind) -> Result<Asked<'_>, String> {
    let (question, prompt, votes, combine) = match kind {
        ScorerKind::Rubric { criteria, prompt, votes, combine } => (rubric(criteria)?, prompt, votes, combine),
        ScorerKind::ClosedQuestion { question, prompt, votes, combine } => {
            (Question::closed(question)?, prompt, votes, combine)
        }
        ScorerKind::Factuality { prompt, votes, combine } => (Question::factuality(), prompt, votes, combine),
        ScorerKind::Relevance { prompt, votes, combine } => (Question::relevance(), prompt, votes, combine),
        ScorerKind::Faithfulness { context, prompt, votes, combine } => {
            (Question::faithfulness(context), prompt, votes, combine)
        }
        ScorerKind::Summary { prompt, votes, combine } => (Question::summary(), prompt, votes, combine),
        ScorerKind::Battle { question, prompt, votes } => {
            (Question::battle(question.as_deref()), prompt, votes, &Votes::Mean)
        }
        other => return Err(format!("`{}` is no judge", other.type_name())),
    };
    let combine = match combine {
        Votes::Majority => Combine::Majority,
        Votes::Mean => Combine::Mean,
    };
    Ok((question, prompt.as_deref(), *votes, combine))
}

/// Whether a judge can be made of `kind`.
///
/// # Errors
/// What is wrong with its criteria, or that it is no judge.
pub(super) fn check_rubric(kind: &ScorerKind) -> Result<(), String> {
    asked(kind).map(drop)
}

fn rubric(criteria: &[CriterionConfig]) -> Result<Question, String> {
    let criteria = criteria.iter().map(|criterion| {
        let choices = criterion.choices.iter().map(|(word, value)| (word.clone(), *value));
        Criterion::new(&criterion.name, &criterion.question, criterion.weight, choices)
    });
    Question::rubric(criteria.collect::<Result<_, _>>()?)
}

/// The model that judges ask. Without one of its own that is the task's, but with the provider's default for the length
/// of a reply: the task's suits its answers.
pub(super) fn judge_model(config: &Config) -> JudgeModel {
    let model = Project::model(config, ModelRole::Judge);
    JudgeModel {
        model: model.model.clone().unwrap_or_default(),
        temperature: model.temperature,
        max_tokens: model.max_tokens.filter(|_| config.models.judge.is_some()),
        seed: model.seed,
        extra: model.extra.clone(),
        deterministic: model.is_deterministic(),
    }
}

/// What deserves a look about the judges, in plain words.
pub(super) fn warnings(config: &Config, scorers: &ScorerSet, calibrations: &Calibrations) -> Vec<String> {
    partial(config, scorers).into_iter().chain(doubts(scorers, calibrations)).collect()
}

/// A judge whose model has another part to play: models tend to favour what they wrote themselves.
fn partial(config: &Config, scorers: &ScorerSet) -> Option<String> {
    let judge = scorers.judges().next()?;
    let name = judge.model_name();
    let model = Project::model(config, ModelRole::Judge);
    let is_same = |role| is_same_model(model, Project::model(config, role));
    let whose = match (is_same(ModelRole::Task), is_same(ModelRole::Proposer)) {
        (true, true) => "also answers the rows and proposes the edits",
        (true, false) => "also answers the rows",
        (false, true) => "also proposes the edits",
        (false, false) => return None,
    };
    Some(format!(
        "the judge is {name}, which {whose}; a model tends to favour what it wrote itself: name another one as \
         [models.judge], and compare it with people by `ratchet scorer calibrate`"
    ))
}

/// Judges that were calibrated, and can't tell revisions apart.
fn doubts(scorers: &ScorerSet, calibrations: &Calibrations) -> Vec<String> {
    let doubt = |judge: &Judge| {
        let calibrated = calibrations.of(judge.label(), judge.digest()).filter(|found| !found.tells_apart)?;
        Some(format!(
            "the judge `{}` can't tell revisions apart, as it was calibrated. {} Then run `ratchet scorer calibrate` again; \
             until it says yes, take what a run keeps for a suggestion.",
            judge.label(),
            calibrated.verdict
        ))
    };
    scorers.judges().filter_map(doubt).collect()
}

/// Variance of the difference of two draws of a row that judges make by themselves, as they were calibrated.
pub(super) fn noise(config: &Config, scorers: &ScorerSet, calibrations: &Calibrations) -> f64 {
    let of_one = |(judge, share): (&Judge, f64)| {
        let calibrated = calibrations.of(judge.label(), judge.digest())?;
        Some(share * share * calibrated.noise_variance)
    };
    let of_answer: f64 = scorers.judge_shares().filter_map(of_one).sum();
    // A mean of several answers is judged as often.
    let is_mean = config.repeats.at_least.is_none() && config.repeats.pass_at.is_none();
    if is_mean { of_answer / f64::from(config.repeats.samples) } else { of_answer }
}

fn is_same_model(one: &ModelConfig, other: &ModelConfig) -> bool {
    (one.provider, &one.model, &one.base_url) == (other.provider, &other.model, &other.base_url)
}
