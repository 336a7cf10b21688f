//! What a call costs: tokens times the price, from the config, from a price file, or from the table that comes with
//! Ratchet (`prices.toml`, which bears its date).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Usage;
use crate::money::Money;

/// A model's price in US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For tokens read.
    pub input: f64,
    /// For tokens written.
    pub output: f64,
    /// For tokens read from the provider's cache; absent means as for `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// For tokens written to the provider's cache; absent means as for `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
    /// Most tokens that the model writes in one answer, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
}

impl Price {
    /// The cost of a call. `usage.cached` and `usage.cache_write` are parts of `usage.input` (see [`Usage`]), so they
    /// are taken out before that is priced.
    pub fn cost(&self, usage: &Usage) -> Money {
        let cached = usage.cached.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        Money::of_tokens(usage.input - cached - written, self.input)
            + Money::of_tokens(cached, self.cached.unwrap_or(self.input))
            + Money::of_tokens(written, self.cache_write.unwrap_or(self.input))
            + Money::of_tokens(usage.output, self.output)
    }

    /// Whether nothing is charged at all.
    pub fn is_free(&self) -> bool {
        [self.input, self.output, self.cached.unwrap_or(0.0), self.cache_write.unwrap_or(0.0)]
            .iter()
            .all(|price| *price == 0.0)
    }

    /// The most that a call of so many tokens can cost, whatever the provider's cache does.
    pub fn most(&self, input: u64, output: u64) -> Money {
        if self.is_free() {
            return Money::ZERO;
        }
        let dearest = [self.cached, self.cache_write].into_iter().flatten().fold(self.input, f64::max);
        // Each part is rounded by itself when it is priced: three roundings up at most.
        Money::of_tokens(input, dearest) + Money::of_tokens(output, self.output) + Money::from_picos(3)
    }
}

/// Prices by model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    by_model: BTreeMap<String, Price>,
}

/// The table that comes with Ratchet.
#[derive(Deserialize)]
struct Table {
    date: String,
    models: BTreeMap<String, Price>,
}

/// A test sees to it that the table can be read.
static BUILT_IN: LazyLock<(String, Prices)> = LazyLock::new(|| {
    toml::from_str(include_str!("prices.toml"))
        .map(|Table { date, models }| (date, Prices { by_model: models }))
        .unwrap_or_default()
});

impl Prices {
    /// The table that comes with Ratchet.
    pub fn built_in() -> &'static Self {
        &BUILT_IN.1
    }

    /// The day that the table that comes with Ratchet is of, as `2026-01-31`.
    pub fn date() -> &'static str {
        &BUILT_IN.0
    }

    /// Reads a file in the shape of LiteLLM's `model_prices_and_context_window.json`: an object of models with prices
    /// for one token. Entries without both prices (pictures, hours) are passed over.
    ///
    /// # Errors
    /// What is wrong: no JSON, no object, not one model with a price.
    pub fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("isn't JSON: {error}"))?;
        let models = value.as_object().ok_or("isn't an object of models")?;
        let by_model: BTreeMap<String, Price> =
            models.iter().filter_map(|(name, entry)| Some((name.clone(), per_million(entry)?))).collect();
        if by_model.is_empty() {
            return Err("names no model with `input_cost_per_token` and `output_cost_per_token`".to_owned());
        }
        Ok(Self { by_model })
    }

    /// The price of `model`: by its name, else without the provider before it (`openai/`), else without the date or
    /// `-latest` after it. A file's keys may have a provider before them too.
    pub fn of(&self, model: &str) -> Option<Price> {
        let bare = model.rsplit('/').next().unwrap_or(model);
        let undated = without_date(bare);
        [model, bare, undated].into_iter().find_map(|name| {
            self.by_model.get(name).copied().or_else(|| {
                let suffix = format!("/{name}");
                self.by_model.iter().find(|(key, _)| key.ends_with(&suffix)).map(|(_, price)| *price)
            })
        })
    }
}

/// An entry of a price file, if it has both prices.
fn per_million(entry: &Value) -> Option<Price> {
    let number = |key: &str| entry.get(key).and_then(Value::as_f64).filter(|number| *number >= 0.0);
    // To a ten-thousandth of a cent, so that 2.5e-7 is 0.25 and no neighbour of it.
    let dollars = |key: &str| number(key).map(|token| (token * 1e12).round() / 1e6);
    let tokens = |key: &str| entry.get(key).and_then(Value::as_u64);
    Some(Price {
        input: dollars("input_cost_per_token")?,
        output: dollars("output_cost_per_token")?,
        cached: dollars("cache_read_input_token_cost"),
        cache_write: dollars("cache_creation_input_token_cost"),
        max_output: tokens("max_output_tokens").or_else(|| tokens("max_tokens")),
    })
}

/// `gpt-5-2025-08-07`, `claude-sonnet-4-5-20250929` or `gpt-5-latest` without its end.
fn without_date(name: &str) -> &str {
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let is_date = |end: &str| {
        let digits = end.bytes().filter(u8::is_ascii_digit).count();
        digits == 8 && end.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    for length in [11, 9] {
        if let Some(start) = name.len().checked_sub(length)
            && let (Some(stem), Some(end)) = (name.get(..start), name.get(start..))
            && end.starts_with('-')
            && is_date(&end[1..])
            && end[1..].len() == if length == 9 { 8 } else { 10 }
        {
            return stem;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_a_part_of_the_input_at_their_own_price() {
        let usage = Usage { input: 1_000_000, output: 100_000, cached: 400_000, ..Usage::default() };
        let price = Price { input: 1.0, output: 10.0, cached: Some(0.1), ..Price::default() };
        assert_eq!(price.cost(&usage), Money::from_dollars(0.6 + 0.04 + 1.0));
        let flat = Price { cached: None, ..price };
        assert_eq!(flat.cost(&usage), Money::from_dollars(2.0));
        let writing = Usage { cache_write: 100_000, ..usage };
        let price = Price { cache_write: Some(2.0), ..price };
        assert_eq!(price.cost(&writing), Money::from_dollars(0.5 + 0.04 + 0.2 + 1.0));
    }

    #[test]
    fn more_cached_than_read_is_no_underflow() {
        let usage = Usage { input: 10, output: 0, cached: 1000, cache_write: 1000, ..Usage::default() };
        let price = Price { input: 1.0, output: 1.0, cached: Some(0.0), ..Price::default() };
        assert_eq!(price.cost(&usage), Money::ZERO);
    }

    #[test]
    fn the_table_is_dated_and_sane() {
        assert!(Prices::date().parse::<jiff::civil::Date>().is_ok(), "{:?}", Prices::date());
        let models = &Prices::built_in().by_model;
        assert!(models.len() > 30);
        for (name, price) in models {
            // What embeds writes nothing.
            let embeds = price.output == 0.0;
            assert!(price.input > 0.0 && (embeds || price.output >= price.input), "{name}");
            assert!(price.cached.is_none_or(|cached| cached < price.input), "{name}");
            assert_eq!(price.max_output.is_some_and(|tokens| tokens >= 4096), !embeds, "{name}");
        }
    }

    #[test]
    fn a_model_is_found_by_its_name_without_its_provider_or_its_date() {
        let table = Prices::built_in();
        let mini = table.of("gpt-5-mini").unwrap();
        assert_eq!((mini.input, mini.output, mini.cached), (0.25, 2.0, Some(0.025)));
        for name in ["openai/gpt-5-mini", "gpt-5-mini-2025-08-07", "openrouter/openai/gpt-5-mini-latest"] {
            assert_eq!(table.of(name), Some(mini), "{name}");
        }
        assert!(table.of("claude-sonnet-4-5-20250929").is_some());
        // A date of its own has a price of its own.
        assert_eq!(table.of("gpt-4o-2024-05-13").unwrap().input, 5.0);
        for name in ["tiny", "", "gpt-5-mini-turbo", "mini", "-2025-08-07"] {
            assert_eq!(table.of(name), None, "{name}");
        }
    }

    #[test]
    fn a_price_file_has_the_shape_of_litellms() {
        let text = r#"{
            "sample_spec": {"input_cost_per_token": "LEGACY", "max_tokens": "words"},
            "my-model": {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06,
                "cache_read_input_token_cost": 2.5e-08, "max_output_tokens": 4000, "mode": "chat"},
            "groq/other": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "max_tokens": 9},
            "picture": {"output_cost_per_image": 0.04}
        }"#;
        let prices = Prices::read(text).unwrap();
        assert_eq!(prices.by_model.len(), 2);
        let mine = Price { input: 0.25, output: 2.0, cached: Some(0.025), max_output: Some(4000), cache_write: None };
        assert_eq!(prices.of("my-model"), Some(mine));
        assert_eq!(prices.of("other").unwrap().max_output, Some(9));
        assert!(Prices::read("[1]").is_err() && Prices::read("{}").is_err() && Prices::read("x").is_err());
    }
}
