//! What a person sees of a run while it goes on: a line in the scrollback for each decision, and below them, on a
//! terminal, two lines that move. All of it goes to stderr.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use prompt_ratchet::model::Spend;
use prompt_ratchet::project::Watch;
use prompt_ratchet::report::{cost, count, one_line, percent, plural};
use prompt_ratchet::run::{Ablated, Decision, Event, Progress, UnderWay};

use super::holds::Holds;
use super::narration::Narration;
use super::paint::Paint;
use super::plain::for_stderr;
use super::say;

/// Columns of a line where stderr is no terminal.
const PLAIN_WIDTH: usize = 80;

/// Columns of a line on the widest terminal.
const WIDEST: usize = 100;

/// The moving lines of a stage that runs rows.
const ROWS: &str = "{spinner} {stage:.bold}  {bar:20.cyan/dim} {rows}  {elapsed}\n  {told}";

/// The moving lines of a stage that waits for proposals.
const WAIT: &str = "{spinner} {stage:.bold}  {elapsed}\n  {told}";

/// What the moving lines say. They are drawn from another thread at any time: all of it is set at once, so that no figure of
/// one stage stands beside the words of another.
#[derive(Debug, Clone, Default)]
struct Moving {
    stage: String,
    rows: String,
    told: String,
}

/// Shows a run's events.
pub struct Terminal {
    /// The moving lines; absent where stderr is no terminal.
    bar: Option<ProgressBar>,
    moving: Arc<Mutex<Moving>>,
    /// Absent where decisions aren't shown.
    state: Option<Mutex<State>>,
    /// Whether notes are shown.
    notes: bool,
}

struct State {
    narration: Narration,
    /// What is under way, since several candidates are tried at once.
    under_way: UnderWay,
    /// The best score on dev so far.
    dev: Option<f64>,
    holds: Holds,
}

impl Terminal {
    /// Shows nothing at all.
    pub fn silent() -> Self {
        Self { bar: None, moving: Arc::default(), state: None, notes: false }
    }

    /// Shows notes only.
    pub fn notes() -> Self {
        Self { bar: None, moving: Arc::default(), state: None, notes: true }
    }

    /// Shows decisions, as lines.
    pub fn lines() -> Self {
        let term = Term::stderr();
        let width = if term.is_term() { usize::from(term.size().1).clamp(40, WIDEST) } else { PLAIN_WIDTH };
        let narration = Narration::new(Paint::stderr(), width);
        let state = State { narration, under_way: UnderWay::default(), dev: None, holds: Holds::default() };
        Self { bar: None, moving: Arc::default(), state: Some(Mutex::new(state)), notes: true }
    }

    /// Shows decisions as lines and, where stderr is a terminal, what is under way below them.
    pub fn moving() -> Self {
        let mut terminal = Self::lines();
        terminal.bar = Term::stderr().is_term().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        terminal.show(Moving { stage: "starting".to_owned(), ..Moving::default() }, (0, 0));
        terminal
    }

    /// Shows `moving` and `done` of `of` rows; no bar where `of` is 0.
    fn show(&self, moving: Moving, (done, of): (usize, usize)) {
        let Some(bar) = &self.bar else { return };
        // A key reads what is there when it is drawn.
        let key = |pick: fn(&Moving) -> &String| {
            let moving = Arc::clone(&self.moving);
            move |_: &ProgressState, out: &mut dyn fmt::Write| {
                // A line that can't be drawn is drawn the next time.
                let _ = out.write_str(pick(&moving.lock().unwrap_or_else(PoisonError::into_inner)));
            }
        };
        if let Ok(style) = ProgressStyle::with_template(if of == 0 { WAIT } else { ROWS }) {
            let style =
                style.with_key("stage", key(|moving| &moving.stage)).with_key("rows", key(|moving| &moving.rows));
            bar.set_style(style.with_key("told", key(|moving| &moving.told)));
        }
        bar.update(|state| {
            *self.moving.lock().unwrap_or_else(PoisonError::into_inner) = moving;
            state.set_len(of as u64);
            state.set_pos(done as u64);
        });
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say::line(line)),
            None => say::line(line),
        }
    }

    fn progress(&self, state: &mut State, progress: &Progress, spend: &Spend) {
        if self.bar.is_none() {
            return;
        }
        state.under_way.take(progress);
        let (done, of, score) = state.under_way.sum();
        let mut parts = vec![one_line(&state.under_way.trying(progress), 32)];
        if done > 0 {
            parts.push(format!("score {}", percent(score)));
        }
        let total = spend.total();
        let calls = plural(total.live as usize, "call");
        parts.push(match total.stored {
            0 => calls,
            stored => format!("{calls} ({} stored)", count(stored)),
        });
        if total.unpriced < total.live {
            parts.push(cost(spend));
        }
        parts.extend(state.dev.map(|dev| format!("best dev {}", percent(dev))));
        let width = usize::from(Term::stderr().size().1).saturating_sub(2);
        let moving = Moving {
            stage: stage_title(progress.generation, progress.stage, state.narration.generations()),
            rows: format!("{done}/{of} rows"),
            told: truncate_str(&parts.join(", "), width, "…").into_owned(),
        };
        self.show(moving, (done, of));
    }

    /// Between two stages no rows are under way.
    fn rest(&self, state: &State, event: &Event) {
        let stage = match event {
            Event::GenerationStarted(started) => {
                format!("generation {}/{}", started.generation, state.narration.generations())
            }
            _ => self.moving.lock().unwrap_or_else(PoisonError::into_inner).stage.clone(),
        };
        self.show(Moving { stage, ..Moving::default() }, (0, 0));
    }
}

impl Watch for Terminal {
    fn note(&self, line: &str) {
        if self.notes {
            self.print(&for_stderr(&one_line(line, usize::MAX)));
        }
    }

    fn see(&self, event: &Event, spend: &Spend) {
        let Some(state) = &self.state else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Measured(_) => return,
            Event::Progress(progress) => return self.progress(&mut state, progress, spend),
            // What is under way goes on being so.
            Event::Provider(seen) if !state.holds.is_worth_a_line(&seen.notice) => return,
            Event::Provider(_) => {
                return state.narration.lines(event).iter().for_each(|line| self.print(line));
            }
            Event::BaselineMeasured(baseline) => state.dev = Some(baseline.dev.score),
            Event::IncumbentMeasured(measured) => state.dev = Some(measured.dev.score),
            Event::Judged(judged) if judged.verdict.decision == Decision::Kept => state.dev = Some(judged.dev.score),
            Event::Ablated(Ablated { shortened: Some(shortened), .. }) => state.dev = Some(shortened.dev.score),
            _ => {}
        }
        state.under_way = UnderWay::default();
        self.rest(&state, event);
        for line in state.narration.lines(event) {
            self.print(&line);
        }
        if let (Event::RunEnded(_), Some(bar)) = (event, &self.bar) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A stage of generation `generation` in few words, where there are `generations` at most.
pub(super) fn stage_title(generation: u32, stage: &str, generations: u32) -> String {
    match (generation, stage) {
        (0, stage) => stage.to_owned(),
        (_, "test") => "sealed test".to_owned(),
        (generation, stage) => format!("generation {generation}/{generations} {stage}"),
    }
}
