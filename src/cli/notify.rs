//! What is told by webhook of a run, and when.

use std::sync::Arc;

use prompt_ratchet::config::{Config, Notify};
use prompt_ratchet::eval::OutcomeError;
use prompt_ratchet::model::CallError;
use prompt_ratchet::project::{Message, Notifier, OptimizeError, Optimized};
use prompt_ratchet::report::{self, RunView, cost, count, duration, headline, one_line};
use prompt_ratchet::search::Halt;
use serde_json::json;

use super::Global;
use super::exit::Failure;
use super::progress::Show;

/// Tells of one run.
pub struct Teller {
    notifier: Option<Arc<Notifier>>,
    name: String,
}

impl Teller {
    /// Tells of a run of the project `name` as `config` says.
    pub fn new(config: &Notify, name: &str) -> Result<Self, Failure> {
        Ok(Self { notifier: Notifier::new(config)?.map(Arc::new), name: one_line(name, 60) })
    }

    /// The same for a run that is gone on with: its snapshot doesn't say whom to tell, the project's config does.
    pub fn of_project(global: &Global, name: &str) -> Result<Self, Failure> {
        let file = &global.config;
        let config = match std::fs::read_to_string(file) {
            Ok(text) => Config::parse(&file.to_string_lossy(), &text, &[]).map_err(Failure::usage)?.notify,
            Err(_) => Notify::default(),
        };
        Self::new(&config, name)
    }

    /// Tells how the run ended. That it couldn't be told is said, and changes nothing.
    pub async fn ended(&self, result: &Result<Optimized, OptimizeError>, show: &dyn Show) {
        let Some(notifier) = &self.notifier else { return };
        if let Some(message) = self.message(result)
            && let Err(problem) = notifier.send(&message).await
        {
            show.note(&format!("warning: the webhook was not told: {problem}"));
        }
    }

    fn message(&self, result: &Result<Optimized, OptimizeError>) -> Option<Message> {
        match result {
            Ok(done) => {
                let view = RunView::read(&done.folder).ok()?;
                let total = view.spent.spend.total();
                let text = format!(
                    "{} {}: {}. Stopped: {}. Spent {} calls, {}, {}.",
                    self.name,
                    view.short_id,
                    headline(&view),
                    done.ended.words(),
                    count(total.live),
                    cost(&view.spent.spend),
                    duration(view.spent.seconds)
                );
                let facts = json!({
                    "run": view.manifest.run, "short_id": view.short_id, "name": self.name, "exit": 0,
                    "result": report::json(&view),
                });
                Some(Message { event: "finished", text, facts })
            }
            Err(OptimizeError::Halted { halt, folder }) => {
                let (event, exit) = match halt {
                    Halt::Interrupted => ("interrupted", 130),
                    _ => ("failed", 4),
                };
                let id = folder.short_id();
                let why = reason(halt);
                let text =
                    format!("{} {id}: stopped before its end, {why}. Go on with: ratchet resume {id}", self.name);
                let facts = json!({
                    "run": folder.manifest.run, "short_id": id, "name": self.name, "exit": exit, "reason": why,
                    "resume": format!("ratchet resume {id}"),
                });
                Some(Message { event, text, facts })
            }
            Err(OptimizeError::NotReady(error)) => {
                let why = fault(error);
                let text = format!("{}: could not start, {why}", self.name);
                Some(Message { event: "failed", text, facts: json!({ "name": self.name, "reason": why }) })
            }
            // Wrong use: whoever typed it sees it.
            Err(_) => None,
        }
    }
}

/// Why a run stopped, without a word of what a provider or a scorer said: it may repeat rows.
fn reason(halt: &Halt) -> &'static str {
    match halt {
        Halt::Interrupted => "interrupted",
        Halt::Fault(error) | Halt::NothingRan(error) => fault(error),
        Halt::Run(_) => "its folder can't be written",
    }
}

fn fault(error: &OutcomeError) -> &'static str {
    match error {
        OutcomeError::Call(CallError::Unreachable(_)) => "the provider can't be reached",
        OutcomeError::Call(CallError::Denied(_)) => "the provider gives no access",
        OutcomeError::Call(CallError::Rejected(_)) => "the provider refuses the request",
        OutcomeError::Call(CallError::Store(_)) => "the response store can't be used",
        OutcomeError::Call(CallError::Interrupted) => "interrupted",
        OutcomeError::Call(_) => "the provider failed",
        OutcomeError::Score(_) => "a scorer failed",
    }
}
