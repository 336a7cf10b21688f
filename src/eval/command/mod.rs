//! The target that is a program, an agent: it is given the prompts by name and the example as JSON, and answers with an
//! output and a trace. `docs/targets.md` is its protocol.
//!
//! One line a file:
//! - here: [`CommandTarget`], which turns prompts and example into the call that the store knows it by
//! - `program`: [`Program`], the workers behind that call
//! - `endpoint`: the loopback endpoint for the program's own model calls
//! - `desk`: which row a call is for, and the steps that calls and their tools become
//! - `request`, `response`: what that endpoint is asked, and how it answers
//! - `trace`: the steps that the program reports and those that were recorded, put together

mod desk;
mod endpoint;
mod program;
mod request;
mod response;
mod trace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use endpoint::ModelCalls;
pub use program::{Program, ProgramOptions};

use super::Target;
use crate::dataset::Example;
use crate::model::{BoxFuture, Call, CallError, Chat, ChatRequest, Completion, ModelRole};
use crate::prompt::PromptSet;

/// How a command target is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// What the program is called in the response store.
    pub name: String,
    /// What the program knows each prompt by, by the prompt's name.
    pub prompt_names: BTreeMap<String, String>,
    /// Whether the same row always gets the same answer.
    pub deterministic: bool,
    /// How many rows are answered at a time.
    pub workers: usize,
}

/// A program that is given prompts and an example.
pub struct CommandTarget {
    stack: Arc<dyn Chat>,
    settings: CommandSettings,
}

impl CommandTarget {
    /// A target that asks `stack`, the layers around a [`Program`].
    pub fn new(stack: Arc<dyn Chat>, settings: CommandSettings) -> Self {
        Self { stack, settings }
    }

    /// What the program is told: the prompts with their text as it stands in the file and their messages for this row,
    /// the example without what only scorers may see, and the number of the draw.
    fn row(&self, prompts: &PromptSet, example: &Example, sample: u32) -> Result<Map<String, Value>, CallError> {
        let mut by_name = Map::new();
        for prompt in prompts.iter() {
            let messages = prompt.render(example).map_err(|error| CallError::Local(error.to_string()))?;
            let names = &self.settings.prompt_names;
            // A draft in another file stands for the only prompt there is.
            let only = names.values().next().filter(|_| names.len() == 1);
            let name = names.get(prompt.name()).or(only).map_or(prompt.name(), String::as_str);
            by_name.insert(name.to_owned(), json!({ "text": prompt.text(), "messages": messages }));
        }
        Ok(Map::from_iter([
            ("prompts".to_owned(), Value::Object(by_name)),
            ("example".to_owned(), json!({ "id": example.id, "input": example.input })),
            ("sample".to_owned(), sample.into()),
        ]))
    }
}

impl Target for CommandTarget {
    fn answer<'a>(
        &'a self,
        prompts: &'a PromptSet,
        example: &'a Example,
        sample: u32,
    ) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let request = ChatRequest {
                model: self.settings.name.clone(),
                extra: self.row(prompts, example, sample)?,
                ..ChatRequest::default()
            };
            let call = Call { role: ModelRole::Task, request, draw: sample.to_string(), row: example.id.clone() };
            let mut completion = self.stack.complete(&call).await?;
            for step in completion.trace.iter_mut().flatten() {
                let named = self.settings.prompt_names.iter().find(|(_, name)| **name == step.name);
                step.prompt = named.map(|(file, _)| file.clone());
            }
            Ok(completion)
        })
    }

    fn is_deterministic(&self) -> bool {
        self.settings.deterministic
    }

    fn concurrency(&self) -> usize {
        self.settings.workers
    }
}
