//! `embedding_similarity`: how alike the answer and the expected text are to a model that embeds them.

use std::borrow::Cow;

use futures_util::future::join_all;
use serde_json::{Map, Value};

use super::answer::{quote, references};
use super::{Score, ScoreError, Scorer, ScorerSetupError, Scoring};
use crate::dataset::Example;
use crate::model::{BoxFuture, Call, CallError, Chat, Completion, Embedding};

/// The model that embeds, and what its similarity is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingOptions {
    /// The model's name as the provider knows it.
    pub model: String,
    /// Further parameters, passed through.
    pub extra: Map<String, Value>,
    /// What is put before both texts.
    pub prefix: String,
    /// The cosine similarity that counts as 0, in [0, 1).
    pub expected_min: f64,
}

/// Cosine similarity of the embeddings of the answer and the expected text, rescaled: `max(0, (cosine - min) / (1 - min))`.
/// As autoevals' `EmbeddingSimilarity` (0.7 is its `min` too); with a `min` of 0 and a threshold, as promptfoo's `similar`.
/// Of several expected texts the nearest counts, as there.
///
/// White space around the texts doesn't count. Equal texts are alike without being embedded, and an empty answer is like
/// nothing: most providers embed no empty text.
#[derive(Debug)]
pub struct EmbeddingSimilarity {
    name: String,
    options: EmbeddingOptions,
}

impl EmbeddingSimilarity {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// An `expected_min` outside [0, 1).
    pub fn new(name: impl Into<String>, options: EmbeddingOptions) -> Result<Self, ScorerSetupError> {
        let name = name.into();
        if !(0.0..1.0).contains(&options.expected_min) {
            let message = format!("expected_min is {}; it must be from 0 to below 1", options.expected_min);
            return Err(ScorerSetupError::new(name, message));
        }
        Ok(Self { name, options })
    }

    async fn graded(&self, example: &Example, answer: &str, scoring: Scoring<'_>) -> Result<Score, ScoreError> {
        let of_row = |message: String| ScoreError::of_row(&self.name, message);
        let expected = expected_texts(example).map_err(of_row)?;
        let score =
            |value: f64, reason: Option<String>| Score { scorer: self.name.clone(), value, reason, criterion: None };
        let answer = answer.trim();
        if expected.iter().any(|text| text.trim() == answer) {
            return Ok(score(1.0, None));
        }
        if answer.is_empty() {
            return Ok(score(0.0, Some("the answer is empty".to_owned())));
        }
        let Some(chat) = scoring.embedder else {
            return Err(ScoreError::of_scorer(&self.name, "there is no model to ask; this is a fault of Ratchet"));
        };
        let texts = std::iter::once(answer).chain(expected.iter().map(|text| text.trim()));
        // All are waited for: they are paid for, and which error is the row's must not depend on timing.
        let embeddings = join_all(texts.map(|text| self.embedding(chat, &example.id, text))).await;
        let embeddings: Vec<Embedding> = embeddings.into_iter().collect::<Result<_, _>>()?;
        let Some((of_answer, of_expected)) = embeddings.split_first() else { return Ok(score(0.0, None)) };
        let mut nearest = (f64::NEG_INFINITY, "");
        for (text, embedding) in expected.iter().zip(of_expected) {
            let cosine = of_answer.cosine(embedding).ok_or_else(|| {
                let dimensions = [of_answer, embedding].map(Embedding::dimensions);
                of_row(format!(
                    "{} gave embeddings of {} and {} dimensions, which can't be compared; has the model behind that name \
                     changed? then `ratchet store forget` its stored ones",
                    self.options.model, dimensions[0], dimensions[1]
                ))
            })?;
            if cosine > nearest.0 {
                nearest = (cosine, text.trim());
            }
        }
        let (cosine, text) = nearest;
        let least = self.options.expected_min;
        let value = ((cosine - least) / (1.0 - least)).clamp(0.0, 1.0);
        Ok(score(value, (value < 1.0).then(|| format!("cosine similarity {cosine:.2} to {}", quote(text)))))
    }

    async fn embedding(&self, chat: &dyn Chat, row: &str, text: &str) -> Result<Embedding, ScoreError> {
        let EmbeddingOptions { model, extra, prefix, .. } = &self.options;
        let call = Embedding::call(model, format!("{prefix}{text}"), extra);
        let call = Call { row: row.to_owned(), ..call };
        let said = chat.complete(&call).await.map_err(|error| self.failed(error))?;
        Embedding::read(&said.text).map_err(|problem| {
            ScoreError::of_row(&self.name, format!("what is stored as the embedding of {} is {problem}", quote(text)))
        })
    }

    /// What a failed call is: of this row alone, or the same for every row.
    fn failed(&self, error: CallError) -> ScoreError {
        let advice = match &error {
            CallError::Rejected(_) => "; where all are, check the model and the parameters in [models.embedder]",
            _ => "",
        };
        let message = format!("the embedder's call failed: {}{advice}", error.to_string().trim_end_matches('.'));
        let call = (error.is_systemic() || error.is_transient()).then(|| Box::new(error));
        ScoreError { call, ..ScoreError::of_row(&self.name, message) }
    }
}

/// The texts that an answer is compared with, at least one, none of them blank.
fn expected_texts(example: &Example) -> Result<Vec<Cow<'_, str>>, String> {
    let texts = references(example)?;
    match texts.iter().any(|text| text.trim().is_empty()) {
        true => {
            Err("the row expects an empty text, which has no embedding; give it a text, or take another scorer".into())
        }
        false => Ok(texts),
    }
}

impl Scorer for EmbeddingSimilarity {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_expected(&self) -> bool {
        true
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        expected_texts(example).map(drop)
    }

    fn embeds(&self) -> u64 {
        1
    }

    fn score<'a>(
        &'a self,
        example: &'a Example,
        completion: &'a Completion,
        scoring: Scoring<'a>,
    ) -> BoxFuture<'a, Result<Score, ScoreError>> {
        Box::pin(self.graded(example, &completion.text, scoring))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use serde_json::json;

    use super::super::samples::{row, says};
    use super::*;
    use crate::model::testing::answer;

    /// Embeds by a table, and keeps what it was asked.
    struct Table(Vec<(&'static str, &'static str)>, Mutex<Vec<String>>);

    impl Chat for Table {
        fn complete<'a>(&'a self, call: &'a crate::model::Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            let text = &call.request.messages[0].content;
            self.1.lock().unwrap().push(text.clone());
            let found = self.0.iter().find(|(known, _)| known == text).map(|(_, embedding)| answer(embedding));
            Box::pin(std::future::ready(found.ok_or_else(|| CallError::Rejected(format!("too long: {text}")))))
        }
    }

    fn table() -> Table {
        let known = vec![
            ("east", "[1.0,0.0]"),
            ("north", "[0.0,2.0]"),
            ("north-east", "[3.0,3.0]"),
            ("west", "[-1.0,0.0]"),
            ("up", "[0.0,0.0,1.0]"),
            ("broken", "[]"),
            ("query: east", "[0.0,1.0]"),
            ("query: north", "[0.0,1.0]"),
        ];
        Table(known, Mutex::default())
    }

    fn scorer(expected_min: f64) -> EmbeddingSimilarity {
        let options = EmbeddingOptions { model: "m".into(), extra: Map::new(), prefix: String::new(), expected_min };
        EmbeddingSimilarity::new("embedding_similarity", options).unwrap()
    }

    fn scored(scorer: &EmbeddingSimilarity, table: &Table, expected: Value, text: &str) -> Result<Score, ScoreError> {
        let scoring = Scoring { embedder: Some(table), ..Scoring::default() };
        scorer.score(&row(expected), &says(text), scoring).now_or_never().unwrap()
    }

    fn value(expected_min: f64, expected: impl Into<Value>, text: &str) -> f64 {
        scored(&scorer(expected_min), &table(), expected.into(), text).unwrap().value
    }

    /// What autoevals' `scale_score(cosine_similarity(a, b), expected_min)` gives for these vectors.
    #[test]
    fn the_cosine_is_rescaled_from_the_least_that_is_expected() {
        assert!((value(0.7, "east", "north-east") - 0.023_689_270_621_825).abs() < 1e-7);
        assert!(
            (value(0.0, "east", "north-east") - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-7,
            "promptfoo's similar"
        );
        assert_eq!((value(0.7, "east", "north"), value(0.0, "east", "west")), (0.0, 0.0));
        assert_eq!(value(0.7, json!(["west", "north-east"]), "north-east "), 1.0);
        assert!((value(0.0, json!(["west", "north-east"]), "north") - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-7);
    }

    #[test]
    fn the_reason_names_the_nearest_expected_text() {
        let score = scored(&scorer(0.0), &table(), json!(["west", "north-east"]), "north").unwrap();
        assert_eq!(score.reason.as_deref(), Some("cosine similarity 0.71 to \"north-east\""));
    }

    #[test]
    fn nothing_is_asked_where_the_texts_tell() {
        let table = table();
        assert_eq!(scored(&scorer(0.7), &table, "no such".into(), " no such\n").unwrap().value, 1.0);
        let empty = scored(&scorer(0.0), &table, "east".into(), " \n").unwrap();
        assert_eq!((empty.value, empty.reason.as_deref()), (0.0, Some("the answer is empty")));
        assert!(table.1.lock().unwrap().is_empty());
        assert!(scorer(0.0).check(&row(" ")).unwrap_err().contains("empty text"));
        assert!(scorer(0.0).check(&row(json!(["east", ""]))).is_err() && scorer(0.0).check(&row("east")).is_ok());
    }

    #[test]
    fn a_prefix_stands_before_both_texts() {
        let mut scorer = scorer(0.0);
        scorer.options.prefix = "query: ".into();
        let table = table();
        assert_eq!(scored(&scorer, &table, "east".into(), "north").unwrap().value, 1.0);
        assert_eq!(*table.1.lock().unwrap(), ["query: north", "query: east"]);
    }

    #[test]
    fn what_can_not_be_compared_makes_the_row_missing() {
        let failed = |text: &str| scored(&scorer(0.0), &table(), "east".into(), text).unwrap_err();
        assert!(failed("up").message.contains("3 and 2 dimensions"), "{}", failed("up"));
        assert!(failed("broken").message.contains("without a number"), "{}", failed("broken"));
        let refused = failed("an answer beyond all bounds");
        assert!(refused.message.contains("too long") && !refused.systemic && refused.call.is_none(), "{refused}");
        assert!(refused.message.ends_with("check the model and the parameters in [models.embedder]"), "{refused}");
        for wrong in [1.0, -0.1, f64::NAN] {
            let options = EmbeddingOptions { expected_min: wrong, ..scorer(0.0).options };
            assert!(EmbeddingSimilarity::new("x", options).is_err());
        }
    }
}
