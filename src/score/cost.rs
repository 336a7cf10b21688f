//! `cost`: the answer was cheap enough.

use super::{Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// 1 if the answer cost at most a given sum, else 0, as promptfoo's `cost`. A stored answer costs what it did when it was
/// live. Where the price isn't known, that is an error of the row, and no zero.
#[derive(Debug, Clone)]
pub struct Cost {
    name: String,
    max_usd: f64,
}

impl Cost {
    /// A scorer called `name` in reports, with the most US dollars that an answer may cost.
    ///
    /// # Errors
    /// A sum that is negative or not finite.
    pub fn new(name: impl Into<String>, max_usd: f64) -> Result<Cost, ScorerSetupError> {
        let name = name.into();
        if !(max_usd.is_finite() && max_usd >= 0.0) {
            return Err(ScorerSetupError::new(name, format!("`max_usd` is {max_usd}; it must be 0 or more")));
        }
        Ok(Cost { name, max_usd })
    }
}

impl Scorer for Cost {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        false
    }

    fn score<'a>(
        &'a self,
        _: &'a Example,
        completion: &'a Completion,
        _: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        let score = match completion.cost {
            Some(cost) => {
                let dollars = cost.dollars();
                let is_dear = dollars > self.max_usd;
                Ok(Score {
                    scorer: self.name.clone(),
                    value: if is_dear { 0.0 } else { 1.0 },
                    reason: is_dear.then(|| format!("cost ${dollars}, of at most ${}", self.max_usd)),
                    criterion: None,
                })
            }
            None => Err(ScoreError::of_row(
                &self.name,
                "what the answer cost is not known; give the model's price as `models.task.price = { input = 0.25, \
                 output = 2 }` (dollars for a million tokens)",
            )),
        };
        Box::pin(std::future::ready(score))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::samples::{row, says};
    use super::*;
    use crate::money::Money;

    fn score(cost: Option<f64>) -> Result<Score, ScoreError> {
        let completion = Completion { cost: cost.map(Money::from_dollars), ..says("x") };
        Cost::new("cost", 0.002).unwrap().score(&row("x"), &completion, Scoring::default()).now_or_never().unwrap()
    }

    #[test]
    fn a_cheap_answer_is_one_and_a_dear_one_nothing() {
        assert_eq!(score(Some(0.002)).unwrap().value, 1.0);
        let dear = score(Some(0.0021)).unwrap();
        assert_eq!((dear.value, dear.reason.unwrap().as_str()), (0.0, "cost $0.0021, of at most $0.002"));
    }

    #[test]
    fn a_price_that_is_not_known_is_an_error_of_the_row_and_says_what_to_do() {
        let error = score(None).unwrap_err();
        assert!(!error.systemic && error.message.contains("models.task.price"), "{error}");
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Cost::new("cost", wrong).is_err());
        }
    }
}
