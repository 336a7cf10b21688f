//! What is told by webhook of a run, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prompt_ratchet::config::{Config, Notify};
use prompt_ratchet::eval::OutcomeError;
use prompt_ratchet::model::{CallError, ModelRole, Notice, Spend};
use prompt_ratchet::project::{Message, Notifier, OptimizeError, Optimized, Watch};
use prompt_ratchet::report::{self, RunView, count, duration, headline, one_line, paid};
use prompt_ratchet::run::{Event, FellBack, ProviderNotice, RunFolder};
use prompt_ratchet::search::Halt;
use serde_json::json;
use tokio::task::JoinSet;

use super::Global;
use super::exit::Failure;

/// Tells of one run.
pub struct Teller {
    notifier: Option<Arc<Notifier>>,
    name: String,
    /// What is being told while the run goes on.
    under_way: UnderWay,
}

type UnderWay = Arc<Mutex<JoinSet<()>>>;

impl Teller {
    /// Tells of a run of the project `name` as `config` says.
    pub fn new(config: &Notify, name: &str) -> Result<Self, Failure> {
        let notifier = Notifier::new(config)?.map(Arc::new);
        Ok(Self { notifier, name: one_line(name, 60), under_way: Arc::default() })
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

    /// Shows a run's events by `show`, and tells when it waits for its provider and when it goes on.
    pub fn watching(&self, show: &Arc<dyn Watch>) -> Arc<dyn Watch> {
        match &self.notifier {
            None => Arc::clone(show),
            Some(notifier) => Arc::new(Telling {
                show: Arc::clone(show),
                notifier: Arc::clone(notifier),
                name: self.name.clone(),
                state: Mutex::default(),
                under_way: Arc::clone(&self.under_way),
            }),
        }
    }

    /// Tells how the run ended, after all that was to be told before. That it couldn't be told is said, and changes nothing.
    pub async fn ended(&self, result: &Result<Optimized, OptimizeError>, show: &dyn Watch) {
        let Some(notifier) = &self.notifier else { return };
        let mut under_way = std::mem::take(&mut *self.under_way.lock().unwrap_or_else(PoisonError::into_inner));
        while under_way.join_next().await.is_some() {}
        if let Some(message) = self.message(result)
            && let Err(problem) = notifier.send(&message).await
        {
            show.note(&format!("warning: the webhook was not told: {problem}"));
        }
    }

    fn message(&self, result: &Result<Optimized, OptimizeError>) -> Option<Message> {
        match result {
            Ok(done) => {
                let mut view = RunView::read(&done.folder).ok()?;
                let total = view.spent.spend.total();
                let text = format!(
                    "{} {}: {}. Stopped: {}. Spent {} calls, {}, {}.",
                    self.name,
                    view.short_id,
                    headline(&view),
                    done.ended.words(),
                    count(total.live),
                    paid(&view.spent),
                    duration(view.spent.seconds)
                );
                // Why no proposal could be used may be a provider's words.
                if let Some(ended) = &mut view.ended {
                    ended.unusable = None;
                }
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
            Err(OptimizeError::NotReady { error, .. }) => {
                let why = fault(error);
                let text = format!("{}: could not start, {why}", self.name);
                Some(Message { event: "failed", text, facts: json!({ "name": self.name, "reason": why }) })
            }
            // Wrong use: whoever typed it sees it.
            Err(_) => None,
        }
    }
}

/// Shows a run's events, and tells of its provider's outages.
struct Telling {
    show: Arc<dyn Watch>,
    notifier: Arc<Notifier>,
    name: String,
    state: Mutex<Told>,
    under_way: UnderWay,
}

#[derive(Default)]
struct Told {
    run: String,
    short_id: String,
    /// Roles whose provider is known to be out.
    out: Vec<ModelRole>,
    /// When that was told of each last.
    paused: BTreeMap<ModelRole, Instant>,
}

/// An outage is told of as soon as it is sure to last so long: by its age or by its next try.
const LASTING: Duration = Duration::from_secs(60);

/// Least time between two outages of a role that are told of.
const APART: Duration = Duration::from_secs(600);

impl Watch for Telling {
    fn begin(&self, folder: &RunFolder) {
        let mut told = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (told.run, told.short_id) = (folder.manifest.run.clone(), folder.short_id());
        self.show.begin(folder);
    }

    fn note(&self, line: &str) {
        self.show.note(line);
    }

    fn see(&self, event: &Event, spend: &Spend) {
        let message = match event {
            Event::Provider(seen) => self.message(seen, Instant::now()),
            Event::FellBack(change) => Some(self.changed(change)),
            _ => None,
        };
        if let Some(message) = message {
            let (notifier, show) = (Arc::clone(&self.notifier), Arc::downgrade(&self.show));
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            while under_way.try_join_next().is_some() {}
            under_way.spawn(async move {
                if let (Err(problem), Some(show)) = (notifier.send(&message).await, show.upgrade()) {
                    show.note(&format!("warning: the webhook was not told: {problem}"));
                }
            });
        }
        self.show.see(event, spend);
    }
}

impl Telling {
    /// Another model goes on in a role, whose provider nobody waits for any more.
    fn changed(&self, change: &FellBack) -> Message {
        let mut told = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let role = change.role;
        told.out.retain(|out| *out != role);
        let text = format!("{} {}: goes on with another {role} model", self.name, told.short_id);
        let facts = json!({ "run": told.run, "short_id": told.short_id, "name": self.name, "role": role });
        Message { event: "fell_back", text, facts }
    }

    /// Once for each lasting outage and once for its end. The provider's own words are left out.
    fn message(&self, seen: &ProviderNotice, now: Instant) -> Option<Message> {
        let mut told = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let role = seen.role;
        let (event, seconds, what) = told.news(seen, now)?;
        let text = format!("{} {}: {what}", self.name, told.short_id);
        let facts = json!({
            "run": told.run, "short_id": told.short_id, "name": self.name, "role": role, "seconds": seconds,
        });
        Some(Message { event, text, facts })
    }
}

impl Told {
    /// What is worth telling of `seen`: the event, for how long it was or will be out, and the same in words.
    fn news(&mut self, seen: &ProviderNotice, now: Instant) -> Option<(&'static str, u64, String)> {
        let role = seen.role;
        let known = self.out.contains(&role);
        match &seen.notice {
            Notice::Down { down_for, next_try, .. } if !known => {
                let was_told = self.paused.get(&role).is_some_and(|told| now.duration_since(*told) < APART);
                // Before the next try there is no answer.
                let lasts = *down_for + *next_try >= LASTING;
                if was_told || !lasts {
                    return None;
                }
                self.out.push(role);
                self.paused.insert(role, now);
                let is_asked_for = *down_for < LASTING && *next_try > LASTING;
                let (seconds, told) = match is_asked_for {
                    true => (next_try.as_secs(), "waits, as asked by"),
                    false => (down_for.as_secs(), "waits, no answer from"),
                };
                Some(("paused", seconds, format!("{told} the {role} model's provider for {seconds} s")))
            }
            Notice::Up { down_for } if known => {
                self.out.retain(|out| *out != role);
                let seconds = down_for.as_secs();
                Some(("resumed", seconds, format!("goes on, the {role} model's provider answers after {seconds} s")))
            }
            _ => None,
        }
    }
}

/// Why a run stopped, without a word of what a provider or a scorer said: it may repeat rows.
fn reason(halt: &Halt) -> &'static str {
    match halt {
        Halt::Interrupted => "interrupted",
        Halt::Fault(error) => fault(error),
        Halt::FewRan { error, .. } => fault(error),
        Halt::Run(_) => "its folder can't be written",
    }
}

fn fault(error: &OutcomeError) -> &'static str {
    match error {
        OutcomeError::Call(CallError::Unreachable(_)) => "the provider can't be reached",
        OutcomeError::Call(CallError::Denied(_)) => "the provider gives no access",
        OutcomeError::Call(CallError::OutOfQuota(_)) => "the account has no credit or quota left",
        OutcomeError::Call(CallError::Rejected(_)) => "the provider refuses the request",
        OutcomeError::Call(CallError::Failed(_)) => "the model's program gave no answer",
        OutcomeError::Call(CallError::Store(_)) => "the response store can't be used",
        OutcomeError::Call(CallError::Interrupted) => "interrupted",
        OutcomeError::Call(_) => "the provider failed",
        OutcomeError::Score(_) => "a scorer failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_once_it_lasts_and_not_every_other_minute() {
        let (mut told, began) = (Told::default(), Instant::now());
        let mut news = |at: u64, notice: Notice| {
            let seen = ProviderNotice { role: ModelRole::Task, notice };
            told.news(&seen, began + Duration::from_secs(at)).map(|(event, seconds, _)| (event, seconds))
        };
        let seconds = Duration::from_secs;
        let down = |down_for, next_try| Notice::Down {
            error: "status 500".to_owned(),
            down_for: seconds(down_for),
            next_try: seconds(next_try),
        };
        let up = |down_for| Notice::Up { down_for: seconds(down_for) };
        assert_eq!(news(0, down(0, 1)), None, "it may be over in a moment");
        assert_eq!(news(5, down(5, 54)), None, "and before it has lasted a minute");
        assert_eq!(news(59, up(59)), None, "nobody was told that it was out");
        assert_eq!(news(100, down(40, 54)), Some(("paused", 40)), "it will last: the next try is later");
        assert_eq!(news(160, down(101, 60)), None, "once");
        assert_eq!(news(181, up(121)), Some(("resumed", 121)));
        assert_eq!((news(300, down(70, 60)), news(320, up(90))), (None, None), "and again soon after");
        assert_eq!(news(900, down(0, 400)), Some(("paused", 400)), "it has asked for a long wait");
        assert_eq!(news(910, Notice::Held { next_call: seconds(58) }), None);
    }
}
