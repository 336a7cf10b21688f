//! What a call costs: tokens times the configured price. No price list is built in, since prices change.

use serde::{Deserialize, Serialize};

use super::Usage;
use crate::money::Money;

/// A model's price in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// For tokens read.
    pub input: f64,
    /// For tokens written.
    pub output: f64,
    /// For tokens read from the provider's cache; absent means as for `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
}

impl Price {
    /// The cost of a call. `usage.cached` is a part of `usage.input`, so it is taken out before that is priced.
    pub fn cost(&self, usage: &Usage) -> Money {
        let cached = usage.cached.min(usage.input);
        Money::of_tokens(usage.input - cached, self.input)
            + Money::of_tokens(cached, self.cached.unwrap_or(self.input))
            + Money::of_tokens(usage.output, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_a_part_of_the_input_at_their_own_price() {
        let usage = Usage { input: 1_000_000, output: 100_000, cached: 400_000 };
        let price = Price { input: 1.0, output: 10.0, cached: Some(0.1) };
        assert_eq!(price.cost(&usage), Money::from_dollars(0.6 + 0.04 + 1.0));
        let flat = Price { cached: None, ..price };
        assert_eq!(flat.cost(&usage), Money::from_dollars(2.0));
    }

    #[test]
    fn more_cached_than_read_is_no_underflow() {
        let usage = Usage { input: 10, output: 0, cached: 1000 };
        let price = Price { input: 1.0, output: 1.0, cached: Some(0.0) };
        assert_eq!(price.cost(&usage), Money::ZERO);
    }
}
