//! The words of a chat call: request, completion, usage, errors.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AnswerFormat, Tools};
use crate::digest::Digest;
use crate::money::Money;
use crate::prompt::Message;

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelRole {
    /// Answers the dataset's rows.
    Task,
    /// Proposes edits.
    Proposer,
    /// Scores answers.
    Judge,
    /// Embeds texts, by which scorers compare them.
    Embedder,
}

impl ModelRole {
    /// All roles, in order.
    pub const ALL: [ModelRole; 4] = [ModelRole::Task, ModelRole::Proposer, ModelRole::Judge, ModelRole::Embedder];

    /// `task`, `proposer`, `judge` or `embedder`.
    pub fn name(self) -> &'static str {
        match self {
            ModelRole::Task => "task",
            ModelRole::Proposer => "proposer",
            ModelRole::Judge => "judge",
            ModelRole::Embedder => "embedder",
        }
    }
}

impl fmt::Display for ModelRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything that decides an answer, apart from which draw it is. Serialised in field order: the bytes are the key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model's name as the provider knows it.
    pub model: String,
    /// The conversation so far; the last message is the one to answer.
    pub messages: Vec<Message>,
    /// Sampling temperature; absent means the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Most tokens to answer with; absent means the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Seed of the first draw (see [`Call::seeded`]), below 2^31; absent means that the provider draws one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Whether the log probability of the answer is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logprobs: bool,
    /// The form that the answer must have.
    #[serde(default, rename = "json", skip_serializing_if = "AnswerFormat::is_text")]
    pub format: AnswerFormat,
    /// What the model may ask for; then the whole conversation stands there, and `messages` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Further parameters, passed through as the user wrote them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl ChatRequest {
    /// About as many bytes as it takes in JSON, so that memory is set aside once.
    pub(super) fn size(&self) -> usize {
        // Line ends and quotes take two bytes.
        256 + self.messages.iter().map(|message| message.content.len() * 9 / 8 + 64).sum::<usize>()
    }
}

/// One call through the stack.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose budget it is.
    pub role: ModelRole,
    /// What is asked.
    pub request: ChatRequest,
    /// Which draw of the same request this is: `"0"`, `"1"`, … for a row's samples; run seed, generation and slot for
    /// a proposer's call. Part of the store's key, so that a repeat is always a fresh draw.
    pub draw: String,
    /// Id of the row that it is made for; empty where it is for none. No part of the key: it decides which of several
    /// addresses is asked, and that is.
    pub row: String,
}

/// Which provider answers: part of a call's key, so that two providers of a model of the same name are never mixed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderId {
    /// The provider's kind as the config names it: `openai`, `embedded`, …
    pub kind: String,
    /// Its address; for a provider without one, whatever else decides its answers (the embedded model's version).
    pub base_url: String,
}

impl Call {
    /// The key under which the answer is stored: a digest of the provider, the whole request and the draw. The role is
    /// not part of it: the same question is the same question, whoever pays.
    pub fn key(&self, provider: &ProviderId) -> CallKey {
        // Strings, numbers and maps with string keys always serialise; should that ever change, the debug form is as
        // good a key, since nothing reads it back.
        let mut request = Vec::with_capacity(self.request.size());
        if serde_json::to_writer(&mut request, &self.request).is_err() {
            request = format!("{:?}", self.request).into_bytes();
        }
        Digest::of_parts([provider.kind.as_bytes(), provider.base_url.as_bytes(), &request, self.draw.as_bytes()])
    }

    /// The request as it is sent. Each draw has a seed of its own, which the model's seed decides: with the same one,
    /// repeats of a row would be alike, and less noise be measured than there is.
    pub fn seeded(&self) -> Cow<'_, ChatRequest> {
        match self.request.seed {
            Some(seed) if self.draw != FIRST_DRAW => {
                let drawn = Digest::of_parts([seed.to_le_bytes().as_slice(), self.draw.as_bytes()]).as_u64();
                // 31 bits: what every provider takes.
                let seed = u32::try_from(drawn >> 33).ok();
                Cow::Owned(ChatRequest { seed, ..self.request.clone() })
            }
            _ => Cow::Borrowed(&self.request),
        }
    }
}

/// The draw that has the seed as it was given.
const FIRST_DRAW: &str = "0";

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It ran into the token limit: the answer is cut.
    Length,
    /// It refused.
    Refusal,
    /// The provider's filter withheld the answer.
    Filter,
    /// It asked for a tool.
    Tool,
}

impl FinishReason {
    /// Whether it said all that it had to say: not where that was refused, withheld or cut.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Stop | Self::Tool)
    }
}

/// Tokens of one call, as the provider counted them, brought to one form: some report cached tokens as a part of the
/// input (OpenAI), some beside it (Anthropic). Here they are always a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input: u64,
    /// Tokens written, reasoning included.
    pub output: u64,
    /// Of `input`, those read from the provider's cache.
    #[serde(default)]
    pub cached: u64,
    /// Of `output`, those of reasoning, where the provider counts them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Of `input`, those written to the provider's cache, where it counts them. Not kept in the store: the cost is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Usage {
    /// The usage of a provider that counts tokens read from its cache and written to it beside its input, as Anthropic
    /// does.
    pub fn beside(input: u64, output: u64, cached: u64, cache_write: u64) -> Self {
        Self {
            input: input.saturating_add(cached).saturating_add(cache_write),
            output,
            cached,
            reasoning: 0,
            cache_write,
        }
    }
}

/// Where a completion came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Paid for by this run (also when the run was resumed and reads it back from the store).
    Live,
    /// Paid for earlier.
    Stored,
}

/// One step of an agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceStep {
    /// What ran, a tool or a model call.
    pub name: String,
    /// What it was given.
    #[serde(default)]
    pub input: Value,
    /// What it gave back.
    #[serde(default)]
    pub output: Value,
    /// Its error, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Tokens, where it asked a model and they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Usage>,
    /// The file of the prompt that it asked with, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The key of its answer in the response store, where it asked a model through Ratchet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallKey>,
}

impl TraceStep {
    /// `name -> what it gave back`, or how it failed; that is cut to `longest` characters.
    pub fn in_short(&self, longest: usize) -> String {
        let cut = |text: &str| match text.char_indices().nth(longest) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        let name = &self.name;
        match (&self.error, &self.output) {
            (Some(error), _) => format!("{name} failed: {}", cut(error)),
            (None, Value::Null) => name.clone(),
            (None, Value::String(text)) => format!("{name} -> {}", cut(text)),
            (None, output) => format!("{name} -> {}", cut(&output.to_string())),
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The answer's text.
    pub text: String,
    /// What the model thought before it answered, where the provider shows it: kept for people, never scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The tools that the model asks for, where it was offered any: a list, as OpenAI's chat completions write it, whatever
    /// the provider speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// The mean log probability of the answer's tokens, natural logarithm, where it was asked for and told; at most 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f64>,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// Tokens.
    pub usage: Usage,
    /// Time to the answer when it was live, in milliseconds.
    pub latency_ms: u64,
    /// Its price when it was live; `None` where the price isn't known.
    pub cost: Option<Money>,
    /// Live or stored.
    pub origin: Origin,
    /// The steps of an agent, where the target is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<TraceStep>>,
    /// The address that answered, where the model has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Completion {
    /// A live answer, as a provider gives it; the stack adds time and cost.
    pub fn live(text: String, finish: FinishReason, usage: Usage) -> Self {
        let (latency_ms, cost, origin) = (0, None, Origin::Live);
        let (reasoning, tool_calls, logprob, trace, endpoint) = (None, None, None, None, None);
        Self { text, reasoning, tool_calls, logprob, finish, usage, latency_ms, cost, origin, trace, endpoint }
    }

    /// The same answer with what was thought before it; empty text is none.
    #[must_use]
    pub fn thinking(self, reasoning: Option<String>) -> Self {
        Self { reasoning: reasoning.filter(|text| !text.trim().is_empty()), ..self }
    }
}

/// Why there is no completion. None of these is an answer, so none is ever stored or scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum CallError {
    /// No connection could be made: wrong address, nothing listening, no network.
    #[error("can't reach the provider: {0}")]
    Unreachable(String),
    /// The provider said that it failed, in a way that may pass: 408, 409, 429, 5xx, an error in place of an answer.
    #[error("the provider failed: {0}")]
    Transient(String),
    /// The request was sent and no whole answer came back: a timeout, a reset, a cut or invalid body. It may pass, and
    /// it may have been billed: the budget counts it as spent.
    #[error("the provider failed: {0}")]
    Unanswered(String),
    /// The program that stands in for a provider died of a signal. It may pass, as when memory is short for a moment, and
    /// may have cost something; where it doesn't, it is what it was asked that it can't stand.
    #[error("the program died: {0}")]
    Crashed(String),
    /// The provider has too much to do (429, 529), or failed likewise and said how long to wait. Only providers say
    /// this: the stack waits, and where asking again didn't help it reports `Transient`.
    #[error("the provider is busy: {message}")]
    Busy {
        /// What the provider said.
        message: String,
        /// The wait it asked for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The provider was out for longer than the run may wait.
    #[error("the provider is out: {0}")]
    Outage(String),
    /// The provider has not given one answer, and failed on this call for a passing reason to its last retry.
    #[error("the provider is out: it has answered nothing so far; {0}")]
    NeverAnswered(String),
    /// The provider will not take this request, now or later: 400, 404, 422.
    #[error("the provider refused the request: {0}")]
    Rejected(String),
    /// The program that stands in for a provider gave no answer to this request, and wouldn't on a second try.
    #[error("the program gave no answer: {0}")]
    Failed(String),
    /// Key missing or not accepted: no further call can succeed.
    #[error("no access to the provider: {0}")]
    Denied(String),
    /// The account has no credit or quota left: no further call can succeed.
    #[error("the account has no credit or quota left: {0}")]
    OutOfQuota(String),
    /// The budget has no room for the call; it was not sent.
    #[error("budget used up: {0}")]
    Budget(String),
    /// The time that the run was given is up; the call was not sent, or was cut.
    #[error("the time is up")]
    TimeUp,
    /// The run was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The response store could not be read or written.
    #[error("response store: {0}")]
    Store(String),
    /// Something that isn't a call failed on the way, for example a template on one row.
    #[error("{0}")]
    Local(String),
    /// The target's program can't be run, or dies whatever it is asked.
    #[error("the target's program can't answer: {0}")]
    Program(String),
}

impl CallError {
    /// Whether asking the same again may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            CallError::Unreachable(_)
                | CallError::Transient(_)
                | CallError::Unanswered(_)
                | CallError::Crashed(_)
                | CallError::Busy { .. }
        )
    }

    /// Whether this request alone is refused: the provider is there, and others may be answered.
    pub fn is_refusal(&self) -> bool {
        matches!(self, CallError::Rejected(_) | CallError::Failed(_))
    }

    /// Whether a page for people came in place of an answer: the address is another one's.
    pub fn is_web_page(&self) -> bool {
        matches!(self, CallError::Unanswered(why) if why.contains(WEB_PAGE))
    }

    /// Whether the provider gives no access, to this request or any.
    pub fn is_denial(&self) -> bool {
        matches!(self, CallError::Denied(_) | CallError::OutOfQuota(_))
    }

    /// Whether the provider is out.
    pub fn is_outage(&self) -> bool {
        matches!(self, CallError::Outage(_) | CallError::NeverAnswered(_))
    }

    /// Whether the provider can't be had, or not now: another one may well answer the same.
    pub fn is_providers(&self) -> bool {
        self.is_transient() || self.is_outage() || self.is_denial()
    }

    /// Whether a limit that the user set was reached: money, calls, tokens or time.
    pub fn is_limit(&self) -> bool {
        matches!(self, CallError::Budget(_) | CallError::TimeUp)
    }

    /// Whether no later call can succeed either, so that the work should stop at once. A provider that is out is one: its
    /// rows are not bad rows, and a run that halts can be resumed.
    pub fn is_systemic(&self) -> bool {
        matches!(
            self,
            CallError::Unreachable(_)
                | CallError::Outage(_)
                | CallError::NeverAnswered(_)
                | CallError::Denied(_)
                | CallError::OutOfQuota(_)
                | CallError::Budget(_)
                | CallError::TimeUp
                | CallError::Interrupted
                | CallError::Store(_)
                | CallError::Program(_)
        )
    }
}

/// How an error says that a page for people came in place of an answer.
pub(super) const WEB_PAGE: &str = "a web page";

/// The store's key for a call.
pub type CallKey = Digest;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    #[test]
    fn each_draw_has_a_seed_of_its_own_and_the_same_one_again() {
        let seeded = |draw: &str, seed| {
            let mut call = call(draw);
            call.request.seed = seed;
            call.seeded().seed
        };
        assert_eq!((seeded("0", Some(7)), seeded("1", None)), (Some(7), None));
        let seeds: Vec<u32> = ["0", "1", "0.1", "3/1/2/0"].map(|draw| seeded(draw, Some(7)).unwrap()).into();
        assert!(seeds.iter().all(|seed| *seed < 1 << 31), "{seeds:?}");
        assert!((1..4).all(|at| !seeds[..at].contains(&seeds[at])), "{seeds:?}");
        assert_eq!(seeds[1], seeded("1", Some(7)).unwrap());
        assert_ne!(seeds[1], seeded("1", Some(8)).unwrap());
    }

    #[test]
    fn a_seed_is_part_of_the_key_and_without_one_keys_are_as_they_were() {
        let provider = ProviderId { kind: "openai".into(), base_url: "http://localhost".into() };
        let plain = call("0");
        let mut seeded = plain.clone();
        seeded.request.seed = Some(1);
        assert_ne!(plain.key(&provider), seeded.key(&provider));
        let written = serde_json::to_string(&plain.request).unwrap();
        assert!(!["seed", "logprobs", "tools"].iter().any(|key| written.contains(key)), "{written}");
    }
}
