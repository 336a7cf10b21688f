//! `latency`: the answer came in time.

use super::{Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Completion};

/// 1 if the answer took at most a given time, else 0, as promptfoo's `latency`. A stored answer took as long as it did
/// when it was live, so that a score stays what it was.
#[derive(Debug, Clone)]
pub struct Latency {
    name: String,
    max_seconds: f64,
}

impl Latency {
    /// A scorer called `name` in reports, with the most seconds that an answer may take.
    ///
    /// # Errors
    /// A time that isn't above zero and finite.
    pub fn new(name: impl Into<String>, max_seconds: f64) -> Result<Latency, ScorerSetupError> {
        let name = name.into();
        if !(max_seconds.is_finite() && max_seconds > 0.0) {
            return Err(ScorerSetupError::new(name, format!("`max_seconds` is {max_seconds}; it must be above 0")));
        }
        Ok(Latency { name, max_seconds })
    }
}

impl Scorer for Latency {
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
        let seconds = completion.latency_ms as f64 / 1000.0;
        let is_late = seconds > self.max_seconds;
        let score = Score {
            scorer: self.name.clone(),
            value: if is_late { 0.0 } else { 1.0 },
            reason: is_late.then(|| format!("took {seconds} s, of at most {} s", self.max_seconds)),
            criterion: None,
        };
        Box::pin(std::future::ready(Ok(score)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::samples::{row, says};
    use super::*;

    #[test]
    fn an_answer_in_time_is_one_and_a_late_one_nothing() {
        let scorer = Latency::new("latency", 1.5).unwrap();
        let score = |latency_ms| {
            let completion = Completion { latency_ms, ..says("x") };
            scorer.score(&row("x"), &completion, Scoring::default()).now_or_never().unwrap().unwrap()
        };
        assert_eq!((score(1500).value, score(1500).reason), (1.0, None));
        assert_eq!((score(1501).value, score(1501).reason.unwrap().as_str()), (0.0, "took 1.501 s, of at most 1.5 s"));
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Latency::new("latency", wrong).is_err());
        }
    }
}
