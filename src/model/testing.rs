//! Calls, answers and a scripted provider for this module's unit tests.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{BoxFuture, Call, CallError, Chat, ChatRequest, Completion, FinishReason, ModelRole, Usage};
use crate::prompt::{Message, Role};

/// A task call whose draw is `draw`.
pub(crate) fn call(draw: &str) -> Call {
    let request = ChatRequest {
        model: "tiny".into(),
        messages: vec![Message { role: Role::User, content: "Ticket: my card was charged twice".into() }],
        temperature: Some(0.0),
        ..ChatRequest::default()
    };
    Call { role: ModelRole::Task, request, draw: draw.into(), row: String::new() }
}

/// A live answer with `text`.
pub(crate) fn answer(text: &str) -> Completion {
    let usage = Usage { input: 10, output: 2, ..Usage::default() };
    Completion::live(text.into(), FinishReason::Stop, usage)
}

/// Replies with the given results in order.
pub(super) struct Script {
    replies: Mutex<VecDeque<Result<Completion, CallError>>>,
    asked: AtomicUsize,
}

impl Script {
    pub(super) fn new(replies: Vec<Result<Completion, CallError>>) -> Self {
        Self { replies: Mutex::new(replies.into()), asked: AtomicUsize::new(0) }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Chat for Script {
    fn complete<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let reply = self.replies.lock().unwrap().pop_front();
            reply.unwrap_or_else(|| Err(CallError::Local("the script is over".into())))
        })
    }
}
