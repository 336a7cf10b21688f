//! Which train rows stand as examples for each label, and how they are written.

use std::sync::Arc;

use rand::seq::SliceRandom;
use serde_json::Value;

use super::{FreeAsk, Sets};
use crate::dataset::{Example, Labels};
use crate::prompt::escape_literal;
use crate::seed;
use crate::text::{SparseVector, Tfidf};

/// Most rows of a label that are looked at for examples, and that the examples must stand for: a sample, since all
/// pairs are compared. Never more than two thirds of them, so that draws differ.
pub(super) const SAMPLE: usize = 40;
/// Longest input, in characters, of a row that makes a good example.
const LONGEST: usize = 280;
/// Of a label's rows at most one in so many is shown: shown rows are compared no more, and some must be left for it.
const SHOWN_OF: usize = 3;
/// Where so many rows of train would be left, twice as many are shown.
const LEFT: usize = 24;
/// How much being like other labels' rows counts against a row; less and less with each row chosen, as what a further
/// row adds gets less too.
const ASTRAY: f64 = 0.5;

/// One label of the answer, or of one of its fields.
#[derive(Clone, Copy)]
pub(super) struct Class<'a> {
    set: &'a Labels,
    /// The label.
    pub label: &'a str,
}

impl<'a> Class<'a> {
    /// All labels of `set`.
    pub fn all(set: &'a Labels) -> impl Iterator<Item = Self> {
        set.counts.iter().map(move |(label, _)| Self { set, label })
    }

    fn has(&self, row: &Example) -> bool {
        self.set.label_of(row).as_deref() == Some(self.label)
    }
}

/// Whether `quoted` rows are so few of `train` that enough are left to compare on. A row that is shown for one field's
/// value is lost to the others too.
pub(super) fn leaves_enough(train: usize, quoted: usize) -> bool {
    train < SHOWN_OF * LEFT || SHOWN_OF * quoted <= 2 * train
}

/// Lines that show rows of each class, a row of every class in turn until each is shown `count` times; and the rows' ids.
/// A row that is shown for its value in one field counts for the others as well.
pub(super) fn lines(picked: &[(Class<'_>, Vec<&Example>)], count: usize) -> (String, Vec<String>) {
    let mut lines = Vec::new();
    let mut shown: Vec<&Example> = Vec::new();
    for turn in 1..=count {
        for (class, rows) in picked {
            let is_new = |row: &&&Example| shown.iter().all(|known| known.id != row.id);
            let Some(row) = rows.iter().find(is_new) else { continue };
            if shown.iter().filter(|row| class.has(row)).count() < turn {
                let text = Value::String(one_line(row)).to_string();
                let answer = row.expected_label().unwrap_or_default();
                lines.push(format!("- {} -> {}", escape_literal(&text), escape_literal(&answer)));
                shown.push(row);
            }
        }
    }
    (lines.join("\n"), shown.into_iter().map(|row| row.id.clone()).collect())
}

fn one_line(row: &Example) -> String {
    row.input_text().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows of one class.
struct Rows<'a> {
    class: Class<'a>,
    /// Those to choose from.
    open: Vec<&'a Example>,
    /// Those that the prompt shows already.
    shown: Vec<&'a Example>,
    /// Most that are chosen.
    most: usize,
}

/// Up to `most` further rows of each class: each next one is what helps those that are shown and chosen together most to
/// stand for a sample of the class's rows (greedy maximisation of the facility-location function: Nemhauser, Wolsey and
/// Fisher, Mathematical Programming 14, 1978), and rather unlike other labels' rows. Pinned rows are never chosen, since
/// a quoted row is compared no more.
pub(super) fn pick<'a>(
    ask: &FreeAsk<'a>,
    classes: &[Class<'a>],
    most: usize,
    draw: usize,
) -> Vec<(Class<'a>, Vec<&'a Example>)> {
    let mut random = seed::generator(ask.seed, ask.generation, &format!("balanced examples {draw}"));
    let usable: Vec<&Example> =
        ask.train.iter().map(Arc::as_ref).filter(|row| !row.pinned && !row.input_text().trim().is_empty()).collect();
    let times = if ask.train.len() >= SHOWN_OF * LEFT { 2 } else { 1 };
    let of_class = |class: &Class<'a>| {
        let rows: Vec<&Example> = usable.iter().copied().filter(|row| class.has(row)).collect();
        let may_show = if ask.sets == Sets::All { rows.len() } else { (times * rows.len()).div_ceil(SHOWN_OF) };
        let (shown, mut open): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| ask.quoted.contains(&row.id));
        open.shuffle(&mut random);
        // Long rows only where there are no others. The sort is stable, so that the draw decides among equals.
        open.sort_by_key(|row| one_line(row).chars().count() > LONGEST);
        let most = most.min(may_show.saturating_sub(shown.len()));
        open.truncate((open.len() * 2).div_ceil(3).clamp(most, SAMPLE.max(most)));
        Rows { class: *class, open, shown, most }
    };
    let rows: Vec<Rows<'a>> = classes.iter().map(of_class).collect();
    let texts: Vec<String> = rows.iter().flat_map(|rows| rows.open.iter().map(|row| one_line(row))).collect();
    let tfidf = Tfidf::fit(&texts);
    let vectors_of =
        |rows: &[&Example]| -> Vec<SparseVector> { rows.iter().map(|row| tfidf.vector(&one_line(row))).collect() };
    let vectors: Vec<Vec<SparseVector>> = rows.iter().map(|rows| vectors_of(&rows.open)).collect();
    let is_rival = |of: usize, at: usize| at != of && rows[at].class.set.field == rows[of].class.set.field;
    let all =
        |of: usize| vectors.iter().enumerate().filter(move |(at, _)| is_rival(of, *at)).flat_map(|(_, rows)| rows);
    let chosen = rows.iter().enumerate().map(|(at, Rows { class, open, shown, most })| {
        let step = all(at).count().div_ceil(SAMPLE).max(1);
        let others: Vec<&SparseVector> = all(at).step_by(step).collect();
        let chosen = covering(&vectors[at], &vectors_of(shown), &others, *most);
        (*class, chosen.into_iter().map(|row| open[row]).collect())
    });
    chosen.collect()
}

/// Which `most` of `own`, together with those `shown`, are most like all of `own` and least like `others`.
fn covering(own: &[SparseVector], shown: &[SparseVector], others: &[&SparseVector], most: usize) -> Vec<usize> {
    let likeness = |candidate: &SparseVector| -> Vec<f64> { own.iter().map(|row| row.cosine(candidate)).collect() };
    let alike: Vec<Vec<f64>> = own.iter().map(likeness).collect();
    let share = own.len() as f64 / others.len().max(1) as f64;
    let astray: Vec<f64> =
        own.iter().map(|row| share * others.iter().map(|other| other.cosine(row)).sum::<f64>()).collect();
    let nearest = |row: &SparseVector| shown.iter().map(|known| known.cosine(row)).fold(0.0, f64::max);
    let mut covered: Vec<f64> = own.iter().map(nearest).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < most.min(own.len()) {
        let gain = |candidate: usize| -> f64 {
            let more = alike[candidate].iter().zip(&covered).map(|(like, had)| (like - had).max(0.0)).sum::<f64>();
            // A row that is no less like the other labels' rows teaches little.
            more - ASTRAY * astray[candidate] / (1.0 + (shown.len() + chosen.len()) as f64)
        };
        let open = (0..own.len()).filter(|row| !chosen.contains(row));
        // Of equal gains the first one drawn.
        let best =
            open.map(|row| (gain(row), row)).max_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
        let Some((_, best)) = best else { break };
        for (had, like) in covered.iter_mut().zip(&alike[best]) {
            *had = had.max(*like);
        }
        chosen.push(best);
    }
    chosen
}
