//! Models: chat request and completion, providers, and the stack around every call.
//!
//! Layers of the stack, outermost first: store (single flight) -> retry -> limit -> budget -> provider. Each attempt
//! is limited and reserved in the budget; each answer is in the store before anybody sees it.

use std::future::Future;
use std::pin::Pin;

mod address;
mod allotment;
mod amount;
mod anthropic;
mod azure;
mod bedrock;
mod budget;
mod chat;
mod command;
mod dialect;
pub mod embedded;
mod embeddings;
mod format;
mod gemini;
mod http;
mod interrupt;
mod ledger;
mod limit;
mod log;
mod ollama;
mod openai;
mod outlook;
mod parameters;
mod places;
mod preset;
mod price;
mod responses;
mod retry;
mod stack;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod tools;

pub use amount::{Amount, Ceiling, DEFAULT_MAX_OUTPUT, Limits};
pub use budget::{Budget, Reservation};
pub use chat::{
    Call, CallError, CallKey, ChatRequest, Completion, FinishReason, ModelRole, Origin, ProviderId, TraceStep, Usage,
};
pub use command::{Program, TRY_AGAIN};
pub use dialect::Dialect;
pub use embeddings::Embedding;
pub use format::AnswerFormat;
pub use http::{Endpoint, EndpointConfig, EndpointError, Hidden, client_builder};
pub use interrupt::Interrupt;
pub use ledger::{Ledger, RoleSpend, Spend};
pub use limit::{Fault, Limit, LimitSettings, Notice};
pub use openai::{Accent, Formats, Logprobs};
pub use outlook::Outlook;
pub use preset::{PRESETS, Preset, Speaks};
pub use price::{Price, Prices};
pub use retry::RetryPolicy;
pub use stack::{Provider, Session, Stack};
pub use store::{Forget, Paid, RunUsage, Store, StoreUsage, UNSTORED, Upkeep, Verified};
pub use tools::Tools;

/// A boxed future, as the object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that answers a call: a provider, or a layer of the stack around one.
pub trait Chat: Send + Sync {
    /// Answers one call.
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>>;

    /// Finds out whether it can be reached at all; costs nothing. What isn't reached over a network always can.
    fn reach(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async { Ok(()) })
    }
}
