//! The table: what is measured of the runs in a world, beside what is wanted.

use std::fmt::Write;

use prompt_ratchet::stats::{Interval, mean, wilson};

/// What is wanted of ours.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Nothing: for the eye.
    None,
    /// At most this share.
    AtMost(f64),
    /// At least this share.
    AtLeast(f64),
    /// A share within these bounds.
    Within(f64, f64),
}

/// One figure of one gate.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// Nothing to tell.
    Absent,
    /// So many of so many.
    Rate(usize, usize),
    /// A difference of shares, told in points.
    Points(f64),
    /// A share of another figure.
    Share(f64),
    /// A number of calls.
    Calls(f64),
}

/// One line of the table.
pub struct Line {
    pub measure: String,
    /// One a gate.
    pub figures: Vec<Figure>,
    pub goal: Goal,
}

impl Figure {
    /// How many of `all` are so.
    pub fn rate<T>(all: &[T], is_so: impl Fn(&T) -> bool) -> Self {
        Figure::Rate(all.iter().filter(|one| is_so(one)).count(), all.len())
    }

    /// Mean of a difference.
    pub fn points<T>(all: &[T], of: impl Fn(&T) -> f64) -> Self {
        mean(&all.iter().map(of).collect::<Vec<f64>>()).map_or(Figure::Absent, Figure::Points)
    }

    /// Mean number of calls.
    pub fn calls<T>(all: &[T], of: impl Fn(&T) -> u64) -> Self {
        mean(&all.iter().map(|one| of(one) as f64).collect::<Vec<f64>>()).map_or(Figure::Absent, Figure::Calls)
    }

    /// This figure as a share of another.
    pub fn over(self, other: Self) -> Self {
        match (self, other) {
            (Figure::Points(one) | Figure::Calls(one), Figure::Points(of) | Figure::Calls(of)) if of != 0.0 => {
                Figure::Share(one / of)
            }
            _ => Figure::Absent,
        }
    }

    fn value(self) -> Option<f64> {
        match self {
            Figure::Absent | Figure::Rate(_, 0) => None,
            Figure::Rate(some, all) => Some(some as f64 / all as f64),
            Figure::Points(value) | Figure::Share(value) | Figure::Calls(value) => Some(value),
        }
    }

    fn words(self) -> String {
        match self {
            Figure::Absent | Figure::Rate(_, 0) => "-".to_owned(),
            Figure::Rate(some, all) => {
                let Interval { low, high } = wilson(some as f64, all as f64, 0.95);
                let rate = some as f64 / all as f64;
                format!("{:.1} % ({:.1} to {:.1})", 100.0 * rate, 100.0 * low, 100.0 * high)
            }
            Figure::Points(value) => format!("{:+.1} points", 100.0 * value),
            Figure::Share(value) => format!("{:.0} %", 100.0 * value),
            Figure::Calls(value) => format!("{value:.0}"),
        }
    }
}

impl Goal {
    fn words(self) -> String {
        match self {
            Goal::None => String::new(),
            Goal::AtMost(share) => format!("at most {:.0} %", 100.0 * share),
            Goal::AtLeast(share) => format!("at least {:.0} %", 100.0 * share),
            Goal::Within(low, high) => format!("{:.0} to {:.0} %", 100.0 * low, 100.0 * high),
        }
    }

    /// Whether ours is where it should be, by the figure itself; the interval beside it says how sure that is.
    fn met(self, figure: Figure) -> &'static str {
        match self.is_met_by(figure) {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        }
    }

    fn is_met_by(self, figure: Figure) -> Option<bool> {
        let value = figure.value()?;
        match self {
            Goal::None => None,
            Goal::AtMost(share) => Some(value <= share),
            Goal::AtLeast(share) => Some(value >= share),
            Goal::Within(low, high) => Some(low <= value && value <= high),
        }
    }
}

/// The table in Markdown; each world with its lines.
pub fn markdown(worlds: &[(String, Vec<Line>)]) -> String {
    let mut text =
        "| world | measure | ours | keep-if-higher | minibatch | goal | |\n|---|---|---|---|---|---|---|\n".to_owned();
    for (world, lines) in worlds {
        for (at, line) in lines.iter().enumerate() {
            let world = if at == 0 { world.as_str() } else { "" };
            let figures: Vec<String> = line.figures.iter().map(|figure| figure.words()).collect();
            let ours = line.figures.first().copied().unwrap_or(Figure::Absent);
            let (figures, goal, met) = (figures.join(" | "), line.goal.words(), line.goal.met(ours));
            let _ = writeln!(text, "| {world} | {} | {figures} | {goal} | {met} |", line.measure);
        }
    }
    text
}
