//! Calls, tokens and money: amounts, limits on them, and the most that one call can take.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ChatRequest, Completion, ModelRole, Price, Usage};
use crate::money::Money;

/// So much of everything that is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Calls.
    pub calls: u64,
    /// Tokens read and written.
    pub tokens: u64,
    /// Money.
    pub money: Money,
}

impl Amount {
    /// `self - other`, never below zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            money: self.money.saturating_sub(other.money),
        }
    }

    /// As many calls that take `factor` times the tokens and the money.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let scaled = |sum: u64| (sum as f64 * factor).ceil() as u64;
        Self { tokens: scaled(self.tokens), money: Money::from_picos(scaled(self.money.picos())), ..self }
    }

    /// The larger of the two, part by part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            calls: self.calls.max(other.calls),
            tokens: self.tokens.max(other.tokens),
            money: self.money.max(other.money),
        }
    }
}

impl Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            money: self.money + other.money,
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        *self = *self + other;
    }
}

/// The most of everything; absent means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Calls.
    pub calls: Option<u64>,
    /// Tokens read and written.
    pub tokens: Option<u64>,
    /// Money.
    pub money: Option<Money>,
}

/// A limit, such as one that something is above.
pub(super) struct Named {
    /// Its key in the config.
    pub key: &'static str,
    /// The limit, in words.
    pub limit: String,
}

impl Named {
    /// The limit as it stands in the config, of one role or of all together.
    pub(super) fn named(&self, role: Option<ModelRole>) -> String {
        let table = role.map_or(String::new(), |role| format!("{role}."));
        format!("budget.{table}{} = {}", self.key, self.limit)
    }
}

impl Ceiling {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// Each of its limits by itself, and as it stands in the config.
    pub(super) fn parts(&self) -> Vec<(Self, Named)> {
        let none = Self::default();
        let calls = self.calls.map(|calls| (Self { calls: Some(calls), ..none }, ("calls", calls.to_string())));
        let tokens = self.tokens.map(|tokens| (Self { tokens: Some(tokens), ..none }, ("tokens", tokens.to_string())));
        let money = self.money.map(|money| (Self { money: Some(money), ..none }, ("usd", money.to_string())));
        let parts = [calls, tokens, money].into_iter().flatten();
        parts.map(|(part, (key, limit))| (part, Named { key, limit })).collect()
    }

    /// The first limit that `amount` is above.
    pub(super) fn exceeded_by(&self, amount: Amount) -> Option<Named> {
        fn above<T: PartialOrd + fmt::Display>(key: &'static str, limit: Option<T>, amount: T) -> Option<Named> {
            limit.filter(|limit| amount > *limit).map(|limit| Named { key, limit: limit.to_string() })
        }
        above("calls", self.calls, amount.calls)
            .or_else(|| above("tokens", self.tokens, amount.tokens))
            .or_else(|| above("usd", self.money, amount.money))
    }
}

/// Limits of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// All roles together.
    pub together: Ceiling,
    /// Each role by itself.
    pub by_role: BTreeMap<ModelRole, Ceiling>,
}

impl Limits {
    /// Limits that allow no call at all: only the store can answer.
    pub fn nothing() -> Self {
        Self { together: Ceiling { calls: Some(0), ..Ceiling::default() }, ..Self::default() }
    }

    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.together.is_unlimited() && self.by_role.values().all(Ceiling::is_unlimited)
    }

    /// Whether tokens or money are limited, for any role: what a call takes of them isn't known before it is made.
    pub fn has_estimates(&self) -> bool {
        self.has_money() || self.together.tokens.is_some() || self.by_role.values().any(|limit| limit.tokens.is_some())
    }

    /// Whether money is limited, for any role.
    pub fn has_money(&self) -> bool {
        self.together.money.is_some() || self.by_role.values().any(|ceiling| ceiling.money.is_some())
    }
}

/// Tokens that a message may take beside its text, and a request beside its messages: a chat template's marks.
const PER_MESSAGE: u64 = 16;
const PER_REQUEST: u64 = 64;

/// Most tokens of an answer where neither the request nor the price says: as documented in `docs/budget.md`.
pub const DEFAULT_MAX_OUTPUT: u64 = 16_384;

/// The most that one attempt can take. No tokenizer in use makes more tokens than there are bytes; an answer has at
/// most as many tokens as the request allows, or else as the model can write.
pub(super) fn worst_case(request: &ChatRequest, price: Option<&Price>) -> Amount {
    let (input, output) = (most_input(request), most_output(request, price));
    let money = price.map(|price| price.most(input, output)).unwrap_or_default();
    Amount { calls: 1, tokens: input.saturating_add(output), money }
}

/// What a call took: at most `most`, where the provider counted nothing.
pub(super) fn took(completion: &Completion, price: Option<&Price>, most: Amount) -> Amount {
    let usage = &completion.usage;
    let counted = *usage != Usage::default();
    let priced = || price.filter(|_| counted).map(|price| price.cost(usage));
    Amount {
        calls: 1,
        tokens: if counted { usage.input.saturating_add(usage.output) } else { most.tokens },
        money: completion.cost.or_else(priced).unwrap_or(most.money),
    }
}

/// An upper bound on the tokens that the provider reads.
pub(super) fn most_input(request: &ChatRequest) -> u64 {
    let messages: u64 = request.messages.iter().map(|message| message.content.len() as u64 + PER_MESSAGE).sum();
    // What stands there may be read too, as tools are.
    let extra =
        if request.extra.is_empty() { 0 } else { Value::Object(request.extra.clone()).to_string().len() as u64 };
    let tools = request.tools.iter().map(|tools| json!(tools).to_string().len() as u64).sum::<u64>();
    messages + tools + extra + PER_REQUEST
}

/// Where Gemini, Bedrock and Ollama have the most tokens of an answer.
const NESTED: [[&str; 2]; 3] =
    [["generationConfig", "maxOutputTokens"], ["inferenceConfig", "maxTokens"], ["options", "num_predict"]];

/// An upper bound on the tokens that the provider writes.
fn most_output(request: &ChatRequest, price: Option<&Price>) -> u64 {
    let extra = |key: &str| request.extra.get(key).and_then(Value::as_u64);
    let within = |[table, key]: [&str; 2]| request.extra.get(table)?.get(key)?.as_u64();
    let answers = extra("n").unwrap_or(1).max(1);
    let of_one = extra("max_completion_tokens")
        .or_else(|| extra("max_tokens"))
        .or_else(|| extra("max_output_tokens"))
        .or_else(|| NESTED.into_iter().find_map(within))
        .or(request.max_tokens.map(u64::from))
        .or(price.and_then(|price| price.max_output))
        .unwrap_or(DEFAULT_MAX_OUTPUT);
    of_one.saturating_mul(answers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::testing::call;

    #[test]
    fn the_most_of_a_call_is_its_bytes_and_the_tokens_it_may_write() {
        let mut request = call("0").request;
        let text: u64 = request.messages.iter().map(|message| message.content.len() as u64).sum();
        let price = Price { input: 1.0, output: 2.0, max_output: Some(500), ..Price::default() };
        let most = worst_case(&request, Some(&price));
        assert_eq!(most.tokens, text + 80 + 500);
        assert!(most.money >= Money::of_tokens(text + 80, 1.0) + Money::of_tokens(500, 2.0));
        request.max_tokens = Some(10);
        assert_eq!(worst_case(&request, Some(&price)).tokens, text + 80 + 10);
        request.extra = json!({"max_completion_tokens": 7, "n": 3}).as_object().unwrap().clone();
        assert_eq!(most_output(&request, Some(&price)), 21);
        request.extra = json!({"generationConfig": {"maxOutputTokens": 8}}).as_object().unwrap().clone();
        assert_eq!(most_output(&request, Some(&price)), 8);
        assert_eq!(worst_case(&call("0").request, None).tokens, text + 80 + DEFAULT_MAX_OUTPUT);
    }

    #[test]
    fn a_limit_is_above_only_when_it_is_passed_and_is_named() {
        let ceiling = Ceiling { calls: Some(2), tokens: None, money: Some(Money::from_dollars(1.0)) };
        let amount = Amount { calls: 2, tokens: 1 << 40, money: Money::from_dollars(1.0) };
        assert!(ceiling.exceeded_by(amount).is_none());
        let above = ceiling.exceeded_by(amount + Amount { money: Money::from_picos(1), ..Amount::default() }).unwrap();
        assert_eq!((above.key, above.limit.as_str()), ("usd", "$1.0000"));
    }
}
