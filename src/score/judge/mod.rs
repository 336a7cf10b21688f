//! Judges: scorers that ask a model for a verdict. One file a kind of question; asking, voting and reading the reply
//! are the same for all.
//!
//! A verdict is one of enumerated choices, each with a value, and comes with a reason that is written before it. A reply
//! that can't be read is asked for once more, as a fresh draw; after that the row is missing, never a zero. The model is
//! handed in with each answer ([`Scoring`]): a judge is built and checked before there is any.

mod battle;
mod case;
mod closed_question;
mod criterion;
mod factuality;
mod faithfulness;
mod question;
mod relevance;
mod reply;
mod rubric;
mod summary;
mod tally;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Map, Value};

pub use criterion::{Choice, Criterion};
pub use question::Question;
use tally::Wanted;
pub use tally::{Ballot, Combine};

use super::{Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::digest::Digest;
use crate::model::{
    AnswerFormat, BoxFuture, Call, CallError, ChatRequest, Completion, FinishReason, ModelRole, Origin, Usage,
};
use crate::prompt::{Message, Prompt};
use case::Order;

/// The model that a judge asks, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JudgeModel {
    /// The model's name as the provider knows it.
    pub model: String,
    /// Sampling temperature; `None` for the provider's default.
    pub temperature: Option<f64>,
    /// Most tokens of a reply; `None` for the provider's default.
    pub max_tokens: Option<u32>,
    /// What the seed of each call is made of; `None` for the provider's own.
    pub seed: Option<u32>,
    /// Further parameters, passed through.
    pub extra: Map<String, Value>,
    /// Whether the provider declares itself deterministic.
    pub deterministic: bool,
}

/// How a judge asks.
#[derive(Debug, Clone)]
pub struct JudgeOptions {
    /// The model.
    pub model: JudgeModel,
    /// A prompt file in place of the kind's own: the name that errors give it, and its text.
    pub prompt: Option<(String, String)>,
    /// How often it is asked about one answer, at least once.
    pub votes: u32,
    /// What several votes come to.
    pub combine: Combine,
}

/// A scorer that asks a model.
#[derive(Debug)]
pub struct Judge {
    name: String,
    question: Question,
    prompt: Prompt,
    model: JudgeModel,
    votes: u32,
    combine: Combine,
    /// Whether it gave a verdict that could be used.
    is_usable: AtomicBool,
    /// Answers on which it gave none.
    unusable: AtomicUsize,
}

/// So many answers without one verdict that can be used are no accident.
const HOPELESS: usize = 20;

impl Judge {
    /// A judge called `name` that asks `question`.
    ///
    /// # Errors
    /// A prompt file that doesn't parse, or that doesn't show what is to be judged or ask for the reply; votes that
    /// would all be the same one.
    pub fn new(name: impl Into<String>, question: Question, options: JudgeOptions) -> Result<Self, ScorerSetupError> {
        let name = name.into();
        let own = (format!("{}.prompty", question.kind), question.prompt.to_owned());
        let (file, text) = options.prompt.unwrap_or(own);
        let advice = "of a judge's prompt, `input` has `answer`, `expected`, `criteria` and more: see docs/judges.md";
        let unusable = |error| ScorerSetupError::new(&name, format!("{error}; {advice}"));
        let prompt = Prompt::parse(&file, &text).map_err(unusable)?;
        let needed: &[&str] = if question.is_battle { &["input.first", "input.second"] } else { &["input.answer"] };
        for variable in needed.iter().chain(&["input.reply"]) {
            if !prompt.variables().contains(*variable) {
                let message = format!(
                    "{file}: the prompt doesn't use `{{{{ {variable} }}}}`; a judge's prompt shows what is to be judged \
                     and ends with the form of the reply"
                );
                return Err(ScorerSetupError::new(name, message));
            }
        }
        if options.votes > 1 && options.model.deterministic {
            let message = format!(
                "votes = {}, but the judge's model is declared deterministic: all votes would be the same; leave votes out",
                options.votes
            );
            return Err(ScorerSetupError::new(name, message));
        }
        let JudgeOptions { model, votes, combine, .. } = options;
        let (is_usable, unusable) = Default::default();
        Ok(Self { name, question, prompt, model, votes: votes.max(1), combine, is_usable, unusable })
    }

    /// What is asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Its name in reports.
    pub fn label(&self) -> &str {
        &self.name
    }

    /// The name of the model that it asks.
    pub fn model_name(&self) -> &str {
        &self.model.model
    }

    /// Digest of all that decides what it says of an answer.
    pub fn digest(&self) -> Digest {
        let Self { question, model, votes, combine, .. } = self;
        let asked = format!("{question:?} {model:?} {votes} {combine:?}");
        Digest::of_parts([asked.as_bytes(), self.prompt.text().as_bytes()])
    }

    /// What it decides, at least one.
    pub fn criteria(&self) -> &[Criterion] {
        &self.question.criteria
    }

    /// What ballots come to by criterion, in their order; at least one ballot.
    pub fn values(&self, ballots: &[Ballot]) -> Vec<f64> {
        tally::values(&self.question, ballots, self.combine)
    }

    /// How often it is asked about one answer.
    pub fn votes(&self) -> u32 {
        self.votes
    }

    /// What a word is worth as a verdict of people, where this judge has one criterion: one of its choices; of a battle,
    /// `better`, `tie` or `worse`.
    pub fn value_of(&self, word: &str) -> Option<f64> {
        let [criterion] = self.question.criteria.as_slice() else { return None };
        let choice = if self.question.is_battle {
            battle::OUTCOMES.iter().position(|outcome| outcome.eq_ignore_ascii_case(word.trim()))
        } else {
            criterion.choice(word)
        };
        choice.map(|choice| criterion.choices[choice].value)
    }

    /// The words that [`Judge::value_of`] knows, in quotes; empty where there are several criteria.
    pub fn words(&self) -> String {
        match self.question.criteria.as_slice() {
            [_] if self.question.is_battle => battle::OUTCOMES.map(|outcome| format!("\"{outcome}\"")).join(" | "),
            [criterion] => criterion.words(),
            _ => String::new(),
        }
    }

    /// The score that ballots come to; at least one.
    pub fn tally(&self, ballots: &[Ballot]) -> Score {
        tally::score(&self.name, &self.question, ballots, self.combine, Wanted::Asked)
    }

    /// Whether the same answer always gets the same verdict.
    pub fn is_deterministic(&self) -> bool {
        self.model.deterministic
    }

    /// Calls that judging one answer takes.
    pub fn calls(&self) -> u64 {
        u64::from(self.votes) * self.orders().len() as u64
    }

    /// The orders in which it is asked.
    fn orders(&self) -> &'static [Order] {
        if self.question.is_battle { &[Order::AnswerFirst, Order::ReferenceFirst] } else { &[Order::AnswerFirst] }
    }

    /// One ballot for each vote and order, votes first.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub async fn ballots(
        &self,
        example: &Example,
        completion: &Completion,
        scoring: Scoring<'_>,
    ) -> Result<Vec<Ballot>, ScoreError> {
        let votes = (0..self.votes).flat_map(|vote| self.orders().iter().map(move |order| (vote, *order)));
        let ballots = join_all(votes.map(|(vote, order)| self.ballot(example, completion, scoring, vote, order))).await;
        // All are waited for: they are paid for, and which error is the row's must not depend on timing.
        ballots.into_iter().collect()
    }

    async fn ballot(
        &self,
        example: &Example,
        completion: &Completion,
        scoring: Scoring<'_>,
        vote: u32,
        order: Order,
    ) -> Result<Ballot, ScoreError> {
        let row = |message: String| ScoreError::of_row(&self.name, message);
        let messages = case::messages(&self.prompt, &self.question, example, completion, order)
            .map_err(|error| row(error.to_string()))?;
        let Some(chat) = scoring.judge else {
            return Err(ScoreError::of_scorer(&self.name, "there is no model to ask; this is a fault of Ratchet"));
        };
        let sample = scoring.sample;
        let draw = if vote == 0 { sample.to_string() } else { format!("{sample}.{vote}") };
        let again = format!("{sample}.{vote}.again");
        let mut unreadable = String::new();
        for draw in [draw, again] {
            let call =
                Call { role: ModelRole::Judge, request: self.request(messages.clone()), draw, row: example.id.clone() };
            let said = match chat.complete(&call).await {
                // Some servers take no format; the prompt says in words what the reply must be.
                Err(error) if error.is_refusal() => chat.complete(&unformatted(call)).await,
                other => other,
            };
            match self.read(&said.map_err(|error| self.failed(error))?) {
                Ok(verdicts) => {
                    self.is_usable.store(true, Ordering::Relaxed);
                    return Ok(Ballot::new(&self.question, verdicts, order));
                }
                Err(message) => unreadable = message,
            }
        }
        let unusable = self.unusable.fetch_add(1, Ordering::Relaxed) + 1;
        if unusable >= HOPELESS && !self.is_usable.load(Ordering::Relaxed) {
            let message = format!(
                "{unusable} answers, and not one usable verdict; the last reply: {unreadable}; use a larger model as \
                 [models.judge], or mend its prompt"
            );
            return Err(ScoreError::of_scorer(&self.name, message));
        }
        Err(row(format!(
            "two unusable replies: {unreadable}; if that happens often, use a larger model as [models.judge]"
        )))
    }

    fn request(&self, messages: Vec<Message>) -> ChatRequest {
        let JudgeModel { model, temperature, max_tokens, seed, extra, deterministic: _ } = self.model.clone();
        let format = AnswerFormat::Schema { name: "verdict".to_owned(), schema: reply::schema(&self.question) };
        ChatRequest { model, messages, temperature, max_tokens, seed, format, extra, ..ChatRequest::default() }
    }

    fn read(&self, said: &Completion) -> Result<Vec<reply::Verdict>, String> {
        match said.finish {
            FinishReason::Length => Err("it was cut at the token limit; raise models.judge.max_tokens".to_owned()),
            FinishReason::Refusal | FinishReason::Filter => Err("it was refused or withheld".to_owned()),
            FinishReason::Stop | FinishReason::Tool => reply::read(&self.question, &said.text),
        }
    }

    /// What a failed call is: of this row alone, or the same for every model and row.
    fn failed(&self, error: CallError) -> ScoreError {
        let advice = match &error {
            CallError::Rejected(_) => "; where all are, check the model and the parameters in [models.judge]",
            _ => "",
        };
        let message = format!("the judge's call failed: {}{advice}", error.to_string().trim_end_matches('.'));
        let call = (error.is_systemic() || error.is_transient()).then(|| Box::new(error));
        ScoreError { call, ..ScoreError::of_row(&self.name, message) }
    }
}

/// The same call without a format.
fn unformatted(call: Call) -> Call {
    Call { request: ChatRequest { format: AnswerFormat::Text, ..call.request }, ..call }
}

impl Scorer for Judge {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        self.question.needs_expected
    }

    /// Whether the prompt can be made for the row; what the answer is doesn't matter for that.
    fn check(&self, example: &Example) -> Result<(), String> {
        if let Some(field) = &self.question.context {
            case::context(example, field)?;
        }
        case::messages(&self.prompt, &self.question, example, &nothing(), Order::AnswerFirst)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn judges(&self) -> Vec<&Judge> {
        vec![self]
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let ballots = self.ballots(example, completion, scoring).await?;
            Ok(self.tally(&ballots))
        })
    }

    fn opposite<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(async move {
            let ballots = self.ballots(example, completion, scoring).await?;
            Ok(tally::score(&self.name, &self.question, &ballots, self.combine, Wanted::Opposite))
        })
    }
}

/// An answer without a word.
fn nothing() -> Completion {
    Completion { origin: Origin::Stored, ..Completion::live(String::new(), FinishReason::Stop, Usage::default()) }
}

#[cfg(test)]
mod tests;
