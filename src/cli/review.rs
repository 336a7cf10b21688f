//! `ratchet review`: choosing hunk by hunk among what a run kept, and measuring what was chosen. `steps.rs` asks on a
//! terminal, `screen.rs` writes what is shown, `outcome.rs` says what the choices amount to.

use std::io::IsTerminal;

use clap::Args;
use prompt_ratchet::report::{RunView, plural};
use prompt_ratchet::review::{Choice, Choices, HunkId, Review as Choosing, Revisions};
use prompt_ratchet::run::RunFolder;
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::plain::for_stderr;
use super::report::{print, print_json};
use super::runs::runs_folder;
use super::say;

mod outcome;
mod screen;
mod steps;

use outcome::Outcome;
pub(super) use outcome::{Standing, standing};
pub(super) use screen::changed_lines;
use steps::Ended;

/// Step through what a run kept, hunk by hunk: accept, reject or edit each
///
/// Choices are kept in the run's folder after every key, so that a review can be left and gone on with. What was
/// accepted is measured on train and dev unless the run measured just that; the sealed test is never opened. Prompt files
/// change on `ratchet apply` alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ratchet review\n  ratchet review 3f2a --list\n  ratchet review 3f2a --accept g1h1 g2h1 \
                  --reject g2h2\n  ratchet review --accept-all --json | jq .result.dev"
)]
pub struct Review {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Accept every hunk that is open, but for those named by --reject
    #[arg(long)]
    accept_all: bool,
    /// Accept these hunks, as in `--accept g1h1 g2h3`
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    accept: Vec<HunkId>,
    /// Reject these hunks and those that build on them
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    reject: Vec<HunkId>,
    /// List the hunks with what was chosen
    #[arg(long, conflicts_with_all = ["accept_all", "accept", "reject"])]
    list: bool,
    /// Print hunks, choices and result as JSON; asks nothing
    #[arg(long)]
    json: bool,
}

/// A run under review.
pub(super) struct Session {
    pub folder: RunFolder,
    pub view: RunView,
    pub revisions: Revisions,
    pub review: Choosing,
    /// Whether a review was begun before.
    pub begun: bool,
    /// How to name the run in commands.
    pub name: String,
}

impl Session {
    /// Opens the run that `id` names.
    pub fn open(global: &Global, id: &str) -> Result<Self, Failure> {
        let folder = RunFolder::find(&runs_folder(global)?, id)?;
        let view = RunView::read(&folder)?;
        let revisions = Revisions::read(&folder, &view)?;
        let earlier = Choosing::read(&folder, &revisions)?;
        let begun = earlier.is_some();
        let review = earlier.unwrap_or_else(|| Choosing::new(&revisions));
        Ok(Self { name: view.short_id.clone(), folder, view, revisions, review, begun })
    }

    /// How many hunks there are.
    pub fn hunks(&self) -> usize {
        self.revisions.hunks().count()
    }

    /// Hunks without a choice.
    pub fn open_hunks(&self) -> Vec<HunkId> {
        self.review.open(&self.revisions)
    }

    /// Makes choices and keeps them.
    pub fn choose(&mut self, choices: Choices) -> Result<(), Failure> {
        self.review.choose(choices);
        Ok(self.review.write(&self.folder)?)
    }
}

impl Review {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut session = Session::open(global, &self.run)?;
        if session.revisions.revisions.is_empty() {
            return self.nothing_kept(&session, global);
        }
        if !global.quiet && session.view.ended.is_none() {
            say::line(format_args!("run {} is unfinished: this is what it has kept so far", session.name));
        }
        if self.list {
            return self.show(&session, None);
        }
        if self.accept_all || !self.accept.is_empty() || !self.reject.is_empty() {
            for note in self.choose(&mut session)? {
                say::line(for_stderr(&note));
            }
        } else if !self.json && !session.open_hunks().is_empty() {
            if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
                print(&screen::list(&session))?;
                say::part(screen::commands(&session));
                return Ok(Exit::Usage);
            }
            if let Ended::Left(exit) = steps::walk(&mut session)? {
                left(&session);
                return Ok(exit);
            }
        }
        if !session.open_hunks().is_empty() {
            if self.json {
                return self.show(&session, None);
            }
            if !global.quiet {
                left(&session);
            }
            return Ok(Exit::Done);
        }
        let outcome = outcome::reach(&mut session, global).await?;
        self.show(&session, Some(outcome))
    }

    fn nothing_kept(&self, session: &Session, global: &Global) -> Result<Exit, Failure> {
        if self.json {
            print_json(&json_of(session, None))?;
        } else if !global.quiet {
            say::line(for_stderr(&nothing_to("review", &session.view)));
        }
        Ok(Exit::Done)
    }

    fn show(&self, session: &Session, outcome: Option<Outcome>) -> Result<Exit, Failure> {
        if self.json {
            print_json(&json_of(session, outcome.as_ref()))?;
        } else if let Some(outcome) = outcome {
            print(&outcome.text(session))?;
        } else {
            print(&screen::list(session))?;
        }
        Ok(Exit::Done)
    }

    /// Takes in the choices that the flags make, as one step; returns what else follows from them, in words.
    fn choose(&self, session: &mut Session) -> Result<Vec<String>, Failure> {
        let refuse = |message: String| Err(Failure::usage(anyhow::anyhow!(message)));
        for id in self.accept.iter().chain(&self.reject) {
            if session.revisions.hunk(*id).is_none() {
                return refuse(format!("run {} has no hunk {id}; `ratchet review {0} --list` has them", session.name));
            }
        }
        let mut choices = session.review.choices();
        let mut step = Choices::new();
        let mut notes = Vec::new();
        for id in &self.reject {
            for lost in session.revisions.lost_by(&choices, *id, &Choice::Reject) {
                if self.accept.contains(&lost.id) {
                    return refuse(format!("{} builds on {id}: it can't be accepted while that is rejected", lost.id));
                }
                if !self.reject.contains(&lost.id) {
                    notes.push(format!("{} is rejected too: it builds on {id}", lost.id));
                }
                choices.insert(lost.id, Choice::Reject);
                step.insert(lost.id, Choice::Reject);
            }
            choices.insert(*id, Choice::Reject);
            step.insert(*id, Choice::Reject);
        }
        for id in &self.accept {
            if self.reject.contains(id) {
                return refuse(format!("{id} is both to be accepted and to be rejected; name it once"));
            }
            choices.insert(*id, Choice::Accept);
            step.insert(*id, Choice::Accept);
        }
        for id in &self.accept {
            if let Some((blocked, in_the_way)) = session.revisions.hindered(&choices, *id) {
                return refuse(screen::hindered(&blocked, &in_the_way));
            }
        }
        if self.accept_all {
            let open: Vec<HunkId> = session.open_hunks().into_iter().filter(|id| !choices.contains_key(id)).collect();
            for id in open {
                let choice = match session.revisions.hindered(&choices, id) {
                    None => Choice::Accept,
                    Some((blocked, in_the_way)) => {
                        notes.push(format!("{}; it is rejected", screen::hindered(&blocked, &in_the_way)));
                        Choice::Reject
                    }
                };
                choices.insert(id, choice.clone());
                step.insert(id, choice);
            }
        }
        session.choose(step)?;
        Ok(notes)
    }
}

/// Says how to go on with a review that is left.
fn left(session: &Session) {
    let chosen = session.hunks() - session.open_hunks().len();
    let hunks = plural(session.hunks(), "hunk");
    say::line(format_args!("{chosen} of {hunks} chosen; `ratchet review {}` goes on from there", session.name));
}

/// That a run has nothing to review, apply or show (`what`), or how to go on with it where it is unfinished.
pub(super) fn nothing_to(what: &str, view: &RunView) -> String {
    let run = &view.short_id;
    match view.ended {
        Some(_) => format!("run {run} kept nothing: there is nothing to {what}"),
        None => format!("run {run} is unfinished: ratchet resume {run}"),
    }
}

fn json_of(session: &Session, outcome: Option<&Outcome>) -> Value {
    let choices = session.review.choices();
    let revisions = session.revisions.revisions.iter().map(|revision| {
        let hunks = revision.hunks.iter().map(|hunk| {
            let choice = choices.get(&hunk.id);
            let mut value = json!({
                "id": hunk.id,
                "file": hunk.edit.file,
                "line": hunk.line(),
                "purpose": hunk.purpose,
                "search": hunk.edit.search,
                "replace": hunk.edit.replace,
                "diff": hunk.diff(),
                "needed_by": session.revisions.built_on(hunk.id),
                "choice": match choice {
                    None => Value::Null,
                    Some(Choice::Accept) => json!("accept"),
                    Some(Choice::Reject) => json!("reject"),
                    Some(Choice::Edit { .. }) => json!("edit"),
                },
            });
            if let Some(Choice::Edit { replace }) = choice {
                value["edited"] = json!(replace);
            }
            value
        });
        let purposes = revision.purposes.iter().map(|purpose| {
            json!({
                "strategy": purpose.strategy,
                "cluster": purpose.cluster,
                "rationale": purpose.rationale,
                "expected_effect": purpose.expected_effect,
                "quoted": purpose.quoted,
            })
        });
        json!({
            "generation": revision.generation,
            "candidate": revision.judged.candidate,
            "dev": revision.judged.dev,
            "difference": revision.judged.verdict.difference,
            "verdict": revision.judged.verdict,
            "fixed": revision.judged.fixed,
            "broken": revision.judged.broken,
            "worsened": revision.judged.worsened,
            "purposes": purposes.collect::<Vec<_>>(),
            "hunks": hunks.collect::<Vec<_>>(),
        })
    });
    json!({
        "run": session.view.manifest.run,
        "run_finished": session.view.ended.is_some(),
        "revisions": revisions.collect::<Vec<_>>(),
        "open": session.open_hunks(),
        "result": outcome.map(|outcome| outcome.json(session)),
    })
}
