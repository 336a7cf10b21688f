//! The embedded model: a small in-context text classifier that needs no key and no network. It is not a language
//! model. Whatever it knows about a task stands in the messages of the request; the same request always gets the same
//! answer.
//!
//! One line a file:
//! - `words`: words, stems, stop words
//! - `lines`: the shapes of lines (bullets, definitions, arrows, sentences)
//! - `input`: which part of the messages is the text to be answered
//! - `labels`, `shown`, `statements`: labels, examples, definitions and rules in the other part
//! - `shape`: the fields of a JSON object that is asked for, and their values
//! - `reading`: all of that put together, with the form of the answer
//! - `credit`: which field of an answer a word tells about
//! - `question`: one classification
//! - `proposer`: edits for a prompt, when the request is a proposer's

mod credit;
mod input;
mod labels;
mod lines;
mod proposer;
mod question;
mod reading;
mod shape;
mod shown;
mod statements;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::{BoxFuture, Call, CallError, Chat, ChatRequest, Completion, FinishReason, Usage};
use crate::digest::Digest;
use crate::money::Money;
use crate::prompt::Role;
use reading::{Form, Instructions};
use words::Words;

/// The provider's name, and the name of its only model.
pub const NAME: &str = "embedded";

/// Part of the key of its stored answers: another version may answer otherwise.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How many prompts are kept in their parsed form: a search holds some candidates in flight, not hundreds.
const MOST_KEPT: usize = 64;

/// Instructions that were read already, oldest first out.
#[derive(Default)]
struct Kept {
    read: BTreeMap<Digest, Arc<Instructions>>,
    order: VecDeque<Digest>,
}

/// The embedded model. Keeps the parsed form of the prompts it saw last; nothing else is remembered from call to call.
#[derive(Default)]
pub struct Embedded {
    kept: Mutex<Kept>,
}

impl Embedded {
    /// A model that has seen no prompt yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer's text: a pure function of the request.
    fn answer(&self, request: &ChatRequest) -> String {
        if let Some(reply) = proposer::reply(request) {
            return reply;
        }
        let located = input::locate(&request.messages);
        let instructions = self.instructions(&located, !request.format.is_text());
        let words = Words::of(located.input);
        let label_of = |field: &reading::Field| match &field.classifier {
            Some(classifier) => classifier.ask(&words).to_owned(),
            None => gist(located.input),
        };
        match instructions.form {
            Form::Json => object(&instructions.fields, label_of),
            Form::FencedJson => format!("```json\n{}\n```", object(&instructions.fields, label_of)),
            form => match instructions.fields.first() {
                Some(field) if field.classifier.is_some() && form == Form::Sentence => {
                    format!("This looks like **{}** to me, going by its wording.", label_of(field))
                }
                Some(field) => label_of(field),
                None => gist(located.input),
            },
        }
    }

    fn instructions(&self, located: &input::Located<'_>, json: bool) -> Arc<Instructions> {
        let flags = [u8::from(located.cue), u8::from(json)];
        let parts = located.instructions.iter().flat_map(|(role, text)| [role_tag(*role), text.as_bytes()]);
        let key = Digest::of_parts(std::iter::once(flags.as_slice()).chain(parts));
        let lock = || self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().read.get(&key) {
            return Arc::clone(known);
        }
        // Read outside the lock: two threads may read the same prompt once each, which is harmless.
        let read = Arc::new(reading::read(&located.instructions, located.cue, json));
        let mut kept = lock();
        if kept.read.insert(key, Arc::clone(&read)).is_none() {
            kept.order.push_back(key);
        }
        while kept.order.len() > MOST_KEPT {
            if let Some(oldest) = kept.order.pop_front() {
                kept.read.remove(&oldest);
            }
        }
        read
    }
}

/// A JSON object with the fields in the order in which the prompt asks for them.
fn object(fields: &[reading::Field], label_of: impl Fn(&reading::Field) -> String) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let pair = |field: &reading::Field| format!("{}:{}", quoted(&field.key), quoted(&label_of(field)));
    format!("{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(","))
}

fn role_tag(role: Role) -> &'static [u8] {
    match role {
        Role::System => b"system",
        Role::User => b"user",
        Role::Assistant => b"assistant",
    }
}

/// What is said about an input where there is nothing to choose from: its first sentence.
fn gist(input: &str) -> String {
    let line = input.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    lines::sentences(line).first().copied().unwrap_or_default().to_owned()
}

/// Tokens of a text, at the usual four bytes a token.
fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

impl Chat for Embedded {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let text = self.answer(&call.request);
            let input = call.request.messages.iter().map(|message| tokens(&message.content)).sum();
            let usage = Usage { input, output: tokens(&text), ..Usage::default() };
            Ok(Completion { cost: Some(Money::ZERO), ..Completion::live(text, FinishReason::Stop, usage) })
        })
    }
}
