//! `ratchet status`: how far a run is that another process works on, or how it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use prompt_ratchet::clock::{self, Clock, SystemClock};
use prompt_ratchet::model::{ModelRole, Spend};
use prompt_ratchet::report::{RunView, count, duration, headline, json_lost, one_line, paid, percent, plural, wrapped};
use prompt_ratchet::run::{Live, RunFolder, Spent};
use serde_json::{Value, json};

use super::Global;
use super::exit::{Exit, Failure};
use super::report::{print, print_json, screen_width};
use super::runs::runs_folder;
use super::terminal::stage_title;

/// Columns before what is said.
const INDENT: &str = "         ";

/// From so many rows and so long a time on, a stage's rate says when it will be done.
const ETA: (usize, u64) = (20, 5);

/// Show how far a run is, from another terminal, or how it ended
///
/// Reads files only: the run goes on undisturbed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet status
  ratchet status 3f2a
  watch -n 5 ratchet status
  ratchet status --json | jq -r .state

States: running, paused, halted (stopped and said why), killed (stopped without a word), finished.")]
pub struct Status {
    /// The run: its id, a unique prefix of its short id, its folder, or `last`
    #[arg(default_value = "last")]
    run: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let folder = RunFolder::find(&runs_folder(global)?, &self.run)?;
        let seen = Seen::of(folder)?;
        if self.json {
            print_json(&seen.json())?
        } else {
            print(&seen.text(screen_width()))?
        }
        Ok(Exit::Done)
    }
}

/// What can be seen of a run.
struct Seen {
    folder: RunFolder,
    /// Who works on it.
    holder: Option<String>,
    live: Option<Live>,
    view: RunView,
    now: Duration,
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Halted,
    Killed,
    Finished,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Killed => "killed",
            Self::Finished => "finished",
        }
    }
}

impl Seen {
    fn of(folder: RunFolder) -> Result<Self, Failure> {
        // In this order: a run that ends in between is then seen as finished, never as killed.
        let holder = folder.holder()?;
        let live = Live::read(&folder.path);
        let view = RunView::read(&folder)?;
        Ok(Self { folder, holder, live, view, now: SystemClock.now() })
    }

    fn state(&self) -> State {
        let live = self.live.as_ref();
        match &self.holder {
            Some(_) if live.is_some_and(|live| live.paused.is_some()) => State::Paused,
            Some(_) => State::Running,
            None if self.view.ended.is_some() => State::Finished,
            None if live.is_some_and(|live| live.halted.is_some()) => State::Halted,
            None => State::Killed,
        }
    }

    fn is_going_on(&self) -> bool {
        matches!(self.state(), State::Running | State::Paused)
    }

    /// Seconds until the rows of this stage are done, at the rate so far. Only of stages all of whose rows will run:
    /// a candidate's race may be over at any block.
    fn eta(&self) -> Option<f64> {
        let live = self.live.as_ref().filter(|_| self.state() == State::Running)?;
        let (rows, seconds) = ETA;
        let elapsed = since(&live.stage_since, clock::parse_timestamp(&live.updated)?)?;
        let is_whole = matches!(live.stage.as_str(), "baseline" | "noise" | "gate" | "test");
        let tells = is_whole && live.done >= rows && elapsed >= seconds && live.done < live.of;
        tells.then(|| elapsed as f64 / live.done as f64 * (live.of - live.done) as f64)
    }

    /// Whose provider takes no call for some seconds, by its rate.
    fn held(&self) -> Option<(ModelRole, u64)> {
        let held = self.live.as_ref().filter(|_| self.is_going_on())?.held.as_ref()?;
        let left = clock::parse_timestamp(&held.until)?.saturating_sub(self.now).as_secs();
        (left > 0).then_some((held.role, left))
    }

    /// Why nothing is asked, as of now.
    fn paused(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        let now = live.outage.as_ref().filter(|_| self.is_going_on()).and_then(|outage| outage.at(self.now));
        now.map(|notice| notice.words()).or_else(|| live.paused.clone())
    }

    /// Seconds since the time that `timestamp` tells.
    fn ago(&self, timestamp: &str) -> Option<u64> {
        since(timestamp, self.now)
    }

    fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let (manifest, view) = (&self.folder.manifest, &self.view);
        let mut lines =
            wrapped(&format!("{} {}: {}", one_line(&manifest.name, 30), view.short_id, self.headline()), width, "  ");
        let mut say = |head: &str, text: String| {
            lines.extend(wrapped(&format!("{head:<9}{}", one_line(&text, usize::MAX)), width, INDENT));
        };
        if let Some(generation) = self.journalled_generation() {
            say("at", format!("generation {generation}/{}, as its journal has it", view.last_generation()));
        } else if let Some(live) = &self.live {
            say("at", self.stage(live));
        }
        if let (Some(before), Some(after)) = (view.baseline_dev(), view.winner_dev()) {
            let kept = plural(view.kept().len(), "revision");
            let objective = view.objective();
            let name = if objective.is_mean_score() { String::new() } else { format!("{} ", objective.words()) };
            say("dev", format!("{name}{}, baseline {}; {kept} kept", percent(after.score), percent(before.score)));
        }
        if let Some((role, seconds)) = self.held() {
            say("waits", format!("rate limit of the {role} model: the next call is in {seconds} s"));
        }
        let (spend, seconds) = self.spent();
        let total = spend.total();
        say(
            "used",
            format!(
                "{} ({}{} stored), {}, {}, {}",
                plural(total.live as usize, "call"),
                scored(spend),
                count(total.stored),
                plural((total.tokens_in + total.tokens_out) as usize, "token"),
                paid(&self.booked()),
                duration(seconds)
            ),
        );
        let live = self.live.as_ref().filter(|_| self.journalled_generation().is_none());
        if let Some((live, last)) = live.and_then(|live| Some((live, live.last.as_ref()?))) {
            let ago = |at: &str| self.ago(at).map_or(at.to_owned(), |ago| format!("{} ago", duration(ago as f64)));
            let event = last.event.replace('_', " ");
            say("last", format!("{event}, {}; sign of life {}", ago(&last.at), ago(&live.updated)));
        }
        say("folder", self.folder.path.display().to_string());
        if matches!(self.state(), State::Halted | State::Killed) {
            say("next", format!("ratchet resume {}", view.short_id));
        }
        lines.join("\n") + "\n"
    }

    fn headline(&self) -> String {
        let live = self.live.as_ref();
        let holder = self.holder.as_deref().unwrap_or_default();
        match self.state() {
            State::Running => format!("running, {holder}"),
            State::Paused => {
                format!("paused, {holder}: {}", self.paused().unwrap_or_default())
            }
            State::Finished => headline(&self.view),
            State::Halted => {
                let reason = live.and_then(|live| live.halted.as_deref()).unwrap_or_default();
                format!("stopped before its end: {reason}")
            }
            State::Killed => "stopped before its end without a word: killed, or the machine went down".to_owned(),
        }
    }

    fn stage(&self, live: &Live) -> String {
        let generations = self.view.last_generation();
        let mut text = match live.stage.as_str() {
            "" => "the start".to_owned(),
            stage => stage_title(live.generation, stage, generations),
        };
        if !live.trying.is_empty() {
            text += &format!(", {}", one_line(&live.trying, 40));
        }
        if live.of > 0 {
            text += &format!(": {} of {}", count(live.done as u64), plural(live.of, "row"));
        }
        if live.done > 0 {
            text += &format!(", score {}", percent(live.score));
        }
        if let Some(seconds) = self.eta() {
            text += &format!(", about {} left", duration(seconds));
        }
        text
    }

    /// The generation that a run which stopped was in by its journal, where its live file is behind it: a process that is
    /// killed writes no last one.
    fn journalled_generation(&self) -> Option<u32> {
        let live = self.live.as_ref().filter(|_| !self.is_going_on())?;
        let journalled = self.view.generations.last().map(|generation| generation.number)?;
        (journalled > live.generation).then_some(journalled)
    }

    /// What was used, and for how long: from the live file while there is one, unless the run stopped and has accounted
    /// for more.
    fn spent(&self) -> (&Spend, f64) {
        let booked = &self.view.spent;
        let asked = |spend: &Spend| spend.total().live + spend.total().stored;
        match &self.live {
            Some(live) if self.is_going_on() || asked(&live.spend) >= asked(&booked.spend) => {
                (&live.spend, live.seconds)
            }
            _ => (&booked.spend, booked.seconds),
        }
    }

    /// The same with what attempts without an answer count as.
    fn booked(&self) -> Spent {
        let (spend, seconds) = self.spent();
        Spent { spend: spend.clone(), seconds, lost: self.view.spent.lost.clone() }
    }

    fn json(&self) -> Value {
        let (spend, seconds) = self.spent();
        let total = spend.total();
        let live = self.live.as_ref();
        let journalled = self.journalled_generation();
        let at = journalled.map(|generation| json!({ "generation": generation, "stage": null }));
        let stage = live.filter(|live| journalled.is_none() && !live.stage.is_empty()).map(|live| {
            json!({
                "generation": live.generation,
                "stage": live.stage,
                "trying": live.trying,
                "done": live.done,
                "of": live.of,
                "score": (live.done > 0).then_some(live.score),
                "since": live.stage_since,
                "seconds_left": self.eta(),
            })
        });
        json!({
            "run": self.folder.manifest.run,
            "short_id": self.view.short_id,
            "name": self.folder.manifest.name,
            "folder": self.folder.path,
            "state": self.state().name(),
            "started": self.folder.manifest.started,
            "holder": self.holder,
            "since": live.filter(|_| self.is_going_on()).map(|live| &live.since),
            "updated": live.map(|live| &live.updated),
            "now": clock::timestamp(self.now),
            "at": at.or(stage),
            "generations": self.view.started.as_ref().map(|started| started.generations),
            "kept": self.view.kept().len(),
            "baseline_dev": self.view.baseline_dev().map(|dev| dev.score),
            "winner_dev": self.view.winner_dev().map(|dev| dev.score),
            "calls": total.live,
            "calls_by_role": spend.roles.iter().map(|(role, used)| (role.name(), used.live)).collect::<BTreeMap<_, _>>(),
            "stored": total.stored,
            "failed": total.failed,
            "tokens": total.tokens_in + total.tokens_out,
            "cost_usd": (total.unpriced == 0).then(|| total.cost.dollars()),
            "lost": json_lost(&self.booked()),
            "seconds": seconds,
            "last": live.and_then(|live| live.last.as_ref()),
            "paused": self.paused(),
            "held": self.held().map(|(role, seconds)| json!({ "role": role, "next_call_seconds": seconds })),
            "halted": live.and_then(|live| live.halted.as_ref()),
            "stopped": self.view.ended.as_ref().map(|ended| ended.stopped),
            "shown": self.view.test.as_ref().map(|test| test.shown),
        })
    }
}

/// Seconds from what `timestamp` tells to `now`.
fn since(timestamp: &str, now: Duration) -> Option<u64> {
    Some(now.saturating_sub(clock::parse_timestamp(timestamp)?).as_secs())
}

/// How many of the calls were made to score answers, where any were.
fn scored(spend: &Spend) -> String {
    let scoring = [ModelRole::Judge, ModelRole::Embedder].into_iter();
    let made = scoring.filter_map(|role| Some((role, spend.roles.get(&role).filter(|made| made.live > 0)?)));
    made.map(|(role, made)| format!("{} of the {role}, ", count(made.live))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prompt_ratchet::durable;
    use prompt_ratchet::run::{Held, Outage};

    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/run-format-1");

    /// The golden run up to its first lines, as another process would see it.
    fn unfinished(keep: &Path, live: Option<Live>) -> Seen {
        let golden = RunFolder::open(Path::new(GOLDEN)).unwrap();
        let folder = RunFolder { path: keep.join("runs/r"), manifest: golden.manifest };
        let journal = std::fs::read_to_string(Path::new(GOLDEN).join("journal.jsonl")).unwrap();
        let begun: String = journal.split_inclusive('\n').take(6).collect();
        durable::write(&folder.path.join("journal.jsonl"), begun.as_bytes()).unwrap();
        if let Some(live) = live {
            live.write(&folder.path).unwrap();
        }
        Seen { now: clock::parse_timestamp("2026-02-01T03:00:30Z").unwrap(), ..Seen::of(folder).unwrap() }
    }

    fn live() -> Live {
        Live {
            since: "2026-02-01T02:00:00Z".to_owned(),
            updated: "2026-02-01T03:00:29Z".to_owned(),
            generation: 1,
            stage: "gate".to_owned(),
            stage_since: "2026-02-01T02:59:29Z".to_owned(),
            trying: "add-rule\u{1b}[2J".to_owned(),
            done: 30,
            of: 40,
            score: 0.5,
            ..Live::default()
        }
    }

    #[test]
    fn a_run_of_another_process_is_shown_with_who_holds_it_and_how_far_it_is() {
        let keep = tempfile::tempdir().unwrap();
        let mut seen = unfinished(keep.path(), Some(live()));
        let _lock = seen.folder.lock("2026-02-01T02:00:00Z").unwrap();
        seen.holder = seen.folder.holder().unwrap();
        let text = seen.text(80);
        assert!(text.contains(&format!("running, pid {} on ", std::process::id())), "{text}");
        assert!(text.replace("\n         ", " ").contains("30 of 40 rows, score 50.0 %, about 20 s left"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!((&seen.json()["state"], &seen.json()["at"]["seconds_left"]), (&json!("running"), &json!(20.0)));
        seen.live = Some(Live { stage: "race".to_owned(), ..live() });
        assert_eq!(seen.eta(), None, "a race may be over at any block");
        let held = Held { role: ModelRole::Task, until: "2026-02-01T03:01:13Z".to_owned() };
        seen.live = Some(Live { held: Some(held), ..live() });
        assert!(seen.text(80).contains("rate limit of the task model: the next call is in 43 s"), "{}", seen.text(80));
        assert_eq!(seen.json()["held"], json!({ "role": "task", "next_call_seconds": 43 }));
        seen.now += Duration::from_secs(60);
        assert_eq!(seen.json()["held"], Value::Null, "that wait is over");
        seen.live = Some(Live { paused: Some("the provider is out".to_owned()), ..live() });
        assert_eq!((&seen.json()["state"], &seen.json()["paused"]), (&json!("paused"), &json!("the provider is out")));
        let outage = Outage {
            role: ModelRole::Task,
            error: "429".to_owned(),
            since: "2026-02-01T03:00:00Z".to_owned(),
            next_try: "2026-02-01T03:30:00Z".to_owned(),
        };
        seen.live = Some(Live { paused: Some("for 0 s".to_owned()), outage: Some(outage), ..live() });
        let words = "the task model's provider has been out for 90 s: 429; the next try is in 1710 s";
        assert_eq!(seen.json()["paused"], words, "as of now");
    }

    #[test]
    fn a_killed_run_whose_live_file_is_behind_is_told_from_its_journal_and_its_books() {
        let keep = tempfile::tempdir().unwrap();
        let mut seen = unfinished(keep.path(), Some(Live { generation: 0, stage: "noise".to_owned(), ..live() }));
        seen.view = RunView::read(&RunFolder::open(Path::new(GOLDEN)).unwrap()).unwrap();
        seen.view.ended = None;
        let last = seen.view.generations.last().unwrap().number;
        let text = seen.text(80);
        assert!(text.contains(&format!("at       generation {last}/")) && !text.contains("30 of 40"), "{text}");
        assert_eq!(seen.json()["at"]["generation"], last);
        let calls = seen.view.spent.spend.total().live;
        assert!(calls > 0 && seen.json()["calls"] == calls, "{text}");
    }

    #[test]
    fn how_a_run_stopped_is_told_from_what_it_left_behind() {
        let state = |live| unfinished(tempfile::tempdir().unwrap().path(), live).state();
        assert_eq!(state(None), State::Killed);
        assert_eq!(state(Some(live())), State::Killed);
        assert_eq!(state(Some(Live { halted: Some("interrupted".to_owned()), ..live() })), State::Halted);
        let finished = Seen::of(RunFolder::open(Path::new(GOLDEN)).unwrap()).unwrap();
        assert_eq!(finished.state(), State::Finished);
        assert!(finished.text(80).contains("better on test"), "{}", finished.text(80));
    }
}
