//! Targets: what is optimised. [`ChatTarget`] sends one rendered prompt to a chat model.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::dataset::Example;
use crate::model::{AnswerFormat, BoxFuture, Call, CallError, Chat, ChatRequest, Completion, ModelRole};
use crate::prompt::PromptSet;

/// Something that answers an example under given prompts.
pub trait Target: Send + Sync {
    /// Answers `example` with `prompts`; `sample` numbers the draws, 0 first.
    fn answer<'a>(
        &'a self,
        prompts: &'a PromptSet,
        example: &'a Example,
        sample: u32,
    ) -> BoxFuture<'a, Result<Completion, CallError>>;

    /// Whether the same question always gets the same answer.
    fn is_deterministic(&self) -> bool;

    /// How many questions may be under way at once.
    fn concurrency(&self) -> usize;
}

/// How a chat target asks its model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatSettings {
    /// The model's name as the provider knows it.
    pub model: String,
    /// Sampling temperature; `None` for the provider's default.
    pub temperature: Option<f64>,
    /// Most tokens to answer with; `None` for the provider's default.
    pub max_tokens: Option<u32>,
    /// What the seed of each draw is made of; `None` for the provider's own.
    pub seed: Option<u32>,
    /// Whether the log probability of each answer is asked for.
    pub logprobs: bool,
    /// Further parameters, passed through.
    pub extra: Map<String, Value>,
    /// Whether the provider declares itself deterministic.
    pub deterministic: bool,
    /// How many calls may be under way at once.
    pub max_concurrency: usize,
}

impl ChatSettings {
    /// The request that asks `messages` of this model.
    pub fn request(&self, messages: Vec<crate::prompt::Message>) -> ChatRequest {
        ChatRequest {
            model: self.model.clone(),
            messages,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            seed: self.seed,
            logprobs: self.logprobs,
            format: AnswerFormat::Text,
            tools: None,
            extra: self.extra.clone(),
        }
    }
}

/// A prompt sent to a chat model.
pub struct ChatTarget {
    chat: Arc<dyn Chat>,
    settings: ChatSettings,
}

impl ChatTarget {
    /// A target that asks `chat`.
    pub fn new(chat: Arc<dyn Chat>, settings: ChatSettings) -> Self {
        Self { chat, settings }
    }
}

impl Target for ChatTarget {
    fn answer<'a>(
        &'a self,
        prompts: &'a PromptSet,
        example: &'a Example,
        sample: u32,
    ) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let messages = prompts.first().render(example).map_err(|error| CallError::Local(error.to_string()))?;
            let call = Call {
                role: ModelRole::Task,
                request: self.settings.request(messages),
                draw: sample.to_string(),
                row: example.id.clone(),
            };
            self.chat.complete(&call).await
        })
    }

    fn is_deterministic(&self) -> bool {
        self.settings.deterministic
    }

    fn concurrency(&self) -> usize {
        self.settings.max_concurrency
    }
}
