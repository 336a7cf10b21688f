//! Embeddings: a text as a vector of numbers, by which texts are compared. One file a dialect.
//!
//! An embedding goes through the same stack as any answer: it is the text of a completion, a JSON array of numbers of 32
//! bits. What is no embedding (none, not a number, no direction) is no answer, so it is asked for again and never stored.

use std::fmt;

use serde_json::{Map, Value};

use super::http::{Problem, Reply};
use super::{Call, ChatRequest, Completion, FinishReason, ModelRole, Usage};
use crate::prompt::{Message, Role};
pub(super) use azure::AzureEmbeddings;
pub(super) use gemini::GeminiEmbeddings;
pub(super) use ollama::OllamaEmbeddings;
pub(super) use openai::OpenAiEmbeddings;

mod azure;
mod gemini;
mod ollama;
mod openai;

/// The draw of every such call: the same text has one embedding, which is asked for once.
const DRAW: &str = "embedding";

/// A text's embedding: at least one number, all finite, not all zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// The call that asks `model` for the embedding of `text`, with further parameters.
    pub fn call(model: &str, text: String, extra: &Map<String, Value>) -> Call {
        let request = ChatRequest {
            model: model.to_owned(),
            messages: vec![Message { role: Role::User, content: text }],
            // Nothing is written, which is what such a call is reserved at.
            max_tokens: Some(0),
            extra: extra.clone(),
            ..ChatRequest::default()
        };
        Call { role: ModelRole::Embedder, request, draw: DRAW.to_owned(), row: String::new() }
    }

    /// The embedding of these numbers.
    ///
    /// # Errors
    /// What is wrong with them.
    fn new(numbers: Vec<f32>) -> Result<Self, &'static str> {
        match () {
            () if numbers.is_empty() => Err("an embedding without a number"),
            () if numbers.iter().any(|number| !number.is_finite()) => Err("an embedding with what is no number"),
            () if numbers.iter().all(|number| *number == 0.0) => {
                Err("an embedding of zeros alone, which can't be compared")
            }
            () => Ok(Self(numbers)),
        }
    }

    /// The embedding that `text`, an answer's, holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let numbers = serde_json::from_str(text).map_err(|error| format!("not a list of numbers: {error}"))?;
        Self::new(numbers).map_err(str::to_owned)
    }

    /// How many numbers it has.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle between two embeddings, in [-1, 1]; `None` where they differ in their dimensions.
    pub fn cosine(&self, other: &Self) -> Option<f64> {
        if self.dimensions() != other.dimensions() {
            return None;
        }
        let dot = |one: &Self, other: &Self| -> f64 {
            one.0.iter().zip(&other.0).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let lengths = dot(self, self).sqrt() * dot(other, other).sqrt();
        // Rounding may leave it a hair outside.
        Some((dot(self, other) / lengths).clamp(-1.0, 1.0))
    }
}

impl fmt::Display for Embedding {
    /// As it is stored, and read back to the bit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// What is asked for: the text of the only message.
fn text(request: &ChatRequest) -> &str {
    request.messages.first().map_or("", |message| &message.content)
}

/// The reply with the first of `vectors`, for which `tokens` were read.
fn answer(vectors: Option<Vec<Vec<f32>>>, tokens: Option<u64>) -> Reply {
    let Some(numbers) = vectors.and_then(|vectors| vectors.into_iter().next()) else {
        return Reply::Problem(Problem::saying("no embedding"));
    };
    let usage = Usage { input: tokens.unwrap_or_default(), ..Usage::default() };
    match Embedding::new(numbers) {
        Ok(embedding) => Reply::Answer(Completion::live(embedding.to_string(), FinishReason::Stop, usage)),
        Err(problem) => Reply::Problem(Problem::saying(problem)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[f32]) -> Embedding {
        Embedding::new(numbers.to_vec()).unwrap()
    }

    #[test]
    fn the_cosine_is_that_of_the_angle_between_two_vectors_of_one_space() {
        assert_eq!(of(&[3.0, 4.0]).cosine(&of(&[3.0, 4.0])), Some(1.0));
        assert_eq!(of(&[3.0, 4.0]).cosine(&of(&[-6.0, -8.0])), Some(-1.0));
        assert_eq!(of(&[1.0, 0.0]).cosine(&of(&[0.0, 2.0])), Some(0.0));
        let cosine = of(&[1.0, 2.0, 3.0]).cosine(&of(&[4.0, 5.0, 6.0])).unwrap();
        assert!((cosine - 32.0 / (14.0_f64 * 77.0).sqrt()).abs() < 1e-12, "{cosine}");
        assert_eq!(of(&[1.0]).cosine(&of(&[1.0, 0.0])), None);
        assert_eq!(of(&[1e-30, 0.0]).cosine(&of(&[1e30, 0.0])), Some(1.0), "no number is too small or too large");
    }

    #[test]
    fn what_can_not_be_compared_is_no_embedding() {
        for (text, told) in [
            ("[]", "without a number"),
            ("[0.0, 0]", "zeros alone"),
            ("[1e39]", "out of range"),
            ("[1.0, null]", "not a list of numbers"),
            ("[NaN]", "not a list of numbers"),
            ("", "not a list of numbers"),
        ] {
            let problem = Embedding::read(text).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn an_embedding_is_read_back_to_the_bit(numbers in prop::collection::vec(-1e30_f32..1e30, 1..50)) {
            let Ok(embedding) = Embedding::new(numbers) else { return Ok(()) };
            prop_assert_eq!(Embedding::read(&embedding.to_string()).unwrap(), embedding.clone());
            let cosine = embedding.cosine(&embedding).unwrap();
            prop_assert!((cosine - 1.0).abs() < 1e-9);
        }
    }
}
