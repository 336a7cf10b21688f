//! Money as an integer, so that sums don't drift: one unit is 10⁻¹² US dollars (a token can cost 10⁻⁸ dollars).

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount of money in pico-dollars (10⁻¹² USD); sums saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(u64);

const PICOS_PER_DOLLAR: f64 = 1e12;

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// `dollars` rounded to the unit; negative amounts and NaN become zero.
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * PICOS_PER_DOLLAR).round() as u64)
    }

    /// The amount in US dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICOS_PER_DOLLAR
    }

    /// An amount in pico-dollars.
    pub fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// The amount in pico-dollars.
    pub fn picos(self) -> u64 {
        self.0
    }

    /// The price of `tokens` at `dollars_per_million` tokens.
    pub fn of_tokens(tokens: u64, dollars_per_million: f64) -> Self {
        Self::from_dollars(tokens as f64 * dollars_per_million / 1e6)
    }

    /// `self - other`, never below zero.
    pub fn saturating_sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Money::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.4}", self.dollars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_one_token_calls_cost_exactly_a_million_tokens() {
        let one = Money::of_tokens(1, 0.25);
        let sum: Money = std::iter::repeat_n(one, 1_000_000).sum();
        assert_eq!(sum, Money::from_dollars(0.25));
    }
}
