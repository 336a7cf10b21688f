//! `cost`: the answer was cheap enough.

use super::{Assertion, ScorerSetupError};
use crate::model::Completion;

/// 1 if the answer cost at most a given sum, else 0, as promptfoo's `cost`. A stored answer costs what it did when it was
/// live. Where the price isn't known, that is an error of the row, and no zero.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    max_usd: f64,
}

impl Cost {
    /// The most US dollars that an answer may cost; the scorer is called `name`.
    ///
    /// # Errors
    /// A sum that is negative or not finite.
    pub fn new(name: impl Into<String>, max_usd: f64) -> Result<Cost, ScorerSetupError> {
        if !(max_usd.is_finite() && max_usd >= 0.0) {
            return Err(ScorerSetupError::new(name, format!("`max_usd` is {max_usd}; it must be 0 or more")));
        }
        Ok(Cost { max_usd })
    }
}

impl Assertion for Cost {
    fn objection(&self, completion: &Completion) -> Result<Option<String>, String> {
        let unknown = "what the answer cost is not known; give the model's price as `models.task.price = { input = 0.25, \
                       output = 2 }` (dollars for a million tokens)";
        let dollars = completion.cost.ok_or(unknown)?.dollars();
        Ok((dollars > self.max_usd).then(|| format!("cost ${dollars}, of at most ${}", self.max_usd)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::says;
    use super::*;
    use crate::money::Money;

    fn objection(cost: Option<f64>) -> Result<Option<String>, String> {
        let completion = Completion { cost: cost.map(Money::from_dollars), ..says("x") };
        Cost::new("cost", 0.002).unwrap().objection(&completion)
    }

    #[test]
    fn a_cheap_answer_is_fine_and_a_dear_one_not() {
        assert_eq!(objection(Some(0.002)).unwrap(), None);
        assert_eq!(objection(Some(0.0021)).unwrap().unwrap(), "cost $0.0021, of at most $0.002");
    }

    #[test]
    fn a_price_that_is_not_known_is_an_error_of_the_row_and_says_what_to_do() {
        assert!(objection(None).unwrap_err().contains("models.task.price"));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Cost::new("cost", wrong).is_err());
        }
    }
}
