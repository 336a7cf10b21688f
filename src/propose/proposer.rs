//! The proposer that asks a model: [`ModelProposer`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::guards::Guards;
use super::{Ask, Dropped, Propose, Proposed, free, reply, request};
use crate::dataset::Example;
use crate::model::{BoxFuture, Call, Chat, ChatRequest, Completion, ModelRole};
use crate::prompt::{Message, PromptSet, Role};

/// How the model is called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProposerSettings {
    /// The model's name as its provider knows it.
    pub model: String,
    /// Sampling temperature; absent means the provider's default.
    pub temperature: Option<f64>,
    /// Most tokens of a reply; absent means the provider's default.
    pub max_tokens: Option<u32>,
    /// Further parameters, passed through as the user wrote them.
    pub extra: Map<String, Value>,
}

/// Asks a model for proposals and lets none through that a static guard refuses. A reply that can't be taken goes back
/// once with the reason.
pub struct ModelProposer {
    chat: Arc<dyn Chat>,
    settings: ProposerSettings,
    guards: Guards,
}

impl ModelProposer {
    /// A proposer that asks `chat`.
    pub fn new(chat: Arc<dyn Chat>, settings: ProposerSettings, guards: Guards) -> Self {
        Self { chat, settings, guards }
    }

    async fn ask(&self, ask: &Ask) -> Result<Proposed, Dropped> {
        let mut messages = request::render(ask, self.guards.room(&ask.prompts));
        let first = self.call(ask, &messages, 0).await?;
        let refused = match self.taken(ask, &first) {
            Ok(proposed) => return Ok(proposed),
            Err(refused) => refused,
        };
        // Providers refuse a turn without text.
        let said = if first.text.trim().is_empty() { "(no answer)".to_owned() } else { first.text };
        messages.push(Message { role: Role::Assistant, content: said });
        messages.push(Message { role: Role::User, content: returned(&refused) });
        let second = self.call(ask, &messages, 1).await?;
        self.taken(ask, &second)
    }

    async fn call(&self, ask: &Ask, messages: &[Message], round: u32) -> Result<Completion, Dropped> {
        let call = Call {
            role: ModelRole::Proposer,
            request: ChatRequest {
                model: self.settings.model.clone(),
                messages: messages.to_vec(),
                temperature: self.settings.temperature,
                max_tokens: self.settings.max_tokens,
                json: true,
                extra: self.settings.extra.clone(),
            },
            draw: format!("{}/{}/{}/{round}", ask.seed, ask.generation, ask.slot),
        };
        Ok(self.chat.complete(&call).await?)
    }

    /// The proposal in `completion`, if it can be read and passes the guards.
    fn taken(&self, ask: &Ask, completion: &Completion) -> Result<Proposed, Dropped> {
        let proposal = reply::parse(&completion.text, completion.finish, &ask.prompts)
            .map_err(|error| Dropped::Reply(error.to_string()))?;
        self.guards
            .check(&ask.prompts, proposal, ask.strategy.quotes_rows, &ask.seen)
            .map_err(|error| Dropped::Guard(error.to_string()))
    }
}

/// What is said to a model whose reply was refused.
fn returned(refused: &Dropped) -> String {
    let reason = match refused {
        Dropped::Reply(reason) | Dropped::Guard(reason) => reason.clone(),
        Dropped::Call(error) => error.to_string(),
    };
    format!(
        "This can't be used: {reason}.\n\nReply with the whole JSON object once more, mended. All edits are still against \
         the prompt as it was shown."
    )
}

impl Propose for ModelProposer {
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>> {
        Box::pin(self.ask(ask))
    }

    fn free(
        &self,
        prompts: &PromptSet,
        train: &[Arc<Example>],
        labels: &[(String, usize)],
        seed: u64,
    ) -> Vec<(String, Proposed)> {
        free::proposals(prompts, train, labels, seed, &self.guards)
    }

    fn fits(&self, prompts: &PromptSet) -> bool {
        self.guards.fits(prompts)
    }
}
