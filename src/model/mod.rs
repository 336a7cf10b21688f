//! Models: chat request and completion, providers, and the stack around every call.
//!
//! Layers of the stack, outermost first: store (single flight) -> retry -> budget -> limit -> provider. Each attempt
//! is reserved in the budget and limited; each answer is in the store before anybody sees it.

use std::future::Future;
use std::pin::Pin;

mod chat;
pub mod embedded;

pub use chat::{Call, CallError, CallKey, ChatRequest, Completion, FinishReason, ModelRole, Origin, TraceStep, Usage};

/// A boxed future, as the object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that answers a call: a provider, or a layer of the stack around one.
pub trait Chat: Send + Sync {
    /// Answers one call.
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>>;
}
