//! From outcomes to clusters: [`diagnose`].

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{FailureCluster, FailureKind};
use super::divide::divide;
use super::identity;
use super::kind::{Labels, classify, lowest};
use super::label::{Terms, label};
use super::reason;
use crate::dataset::Example;
use crate::eval::{Answer, Outcome};

/// Fewest rows whose reasons name the same thing for it to be a failure of its own.
const SHARED: usize = 2;

/// A row that ran.
struct Row<'a> {
    example: &'a Example,
    /// Where it stands among the outcomes.
    position: usize,
    /// The answer of its first failing sample.
    failing: Option<(u32, &'a Answer)>,
}

/// Groups the failing rows of one evaluation: each lands in exactly one cluster.
///
/// - `outcomes`: of all rows, passing ones too, in dataset order; rows with errors neither fail nor count. A row with
///   several samples fails when any of them does, and the way its first failing sample does.
/// - `pass_threshold`: values below it fail.
/// - `previous`: clusters of earlier generations of the same run, oldest first; pass them all, so that no id is ever
///   given to other failures. A structural group keeps its id whatever its members; parts of a divided group keep
///   theirs by the members they share.
///
/// Sorted by number of members, most first, then by id.
pub fn diagnose(outcomes: &[Outcome], pass_threshold: f64, previous: &[FailureCluster]) -> Vec<FailureCluster> {
    let rows = rows(outcomes, pass_threshold);
    let labels = Labels::of(rows.iter().map(|row| row.example));
    let groups = groups(&rows, &labels);
    let kinds: Vec<FailureKind> = groups.keys().cloned().collect();
    let keys = identity::keys(&kinds, previous);
    let inputs: Vec<String> = rows.iter().map(|row| row.example.input_text()).collect();
    let terms = Terms::of(&inputs);

    let mut clusters = Vec::new();
    for ((kind, members), key) in groups.iter().zip(&keys) {
        let parts = parts(kind, members, &rows, &inputs, &terms);
        let sets: Vec<BTreeSet<&str>> =
            parts.iter().map(|part| part.rows.iter().map(|at| rows[*at].id()).collect()).collect();
        let ids = identity::part_ids(key, kind, &sets, previous, &keys);
        for (part, id) in parts.into_iter().zip(ids) {
            let mut in_order: Vec<&Row> = part.rows.iter().map(|at| &rows[*at]).collect();
            in_order.sort_by_key(|row| row.position);
            clusters.push(FailureCluster {
                id,
                kind: kind.clone(),
                label: part.label,
                members: in_order.iter().map(|row| row.id().to_string()).collect(),
                share: part.rows.len() as f64 / rows.len() as f64,
            });
        }
    }
    clusters.sort_by(|left, right| right.members.len().cmp(&left.members.len()).then_with(|| left.id.cmp(&right.id)));
    clusters
}

impl Row<'_> {
    fn id(&self) -> &str {
        &self.example.id
    }

    /// The reason of the lowest score, values cut; empty without one.
    fn reason(&self) -> String {
        let score = self.failing.and_then(|(_, answer)| lowest(answer));
        score.and_then(|score| score.reason.as_deref()).map(reason::without_values).unwrap_or_default()
    }
}

/// The rows that ran, by id.
fn rows(outcomes: &[Outcome], pass_threshold: f64) -> Vec<Row<'_>> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (position, outcome) in outcomes.iter().enumerate() {
        let Ok(answer) = &outcome.result else { continue };
        let example = outcome.example.as_ref();
        let row = rows.entry(&example.id).or_insert(Row { example, position, failing: None });
        row.position = row.position.min(position);
        if outcome.is_failing(pass_threshold) && row.failing.is_none_or(|(sample, _)| outcome.sample < sample) {
            row.failing = Some((outcome.sample, answer));
        }
    }
    rows.into_values().collect()
}

/// The failing rows, as indices, by the kind of their failure. What the reasons of a criterion name (a field) divides
/// it where at least [`SHARED`] rows share it.
fn groups(rows: &[Row], labels: &Labels) -> BTreeMap<FailureKind, Vec<usize>> {
    let mut groups: BTreeMap<FailureKind, Vec<usize>> = BTreeMap::new();
    let mut named: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let Some((_, answer)) = row.failing else { continue };
        let kind = classify(row.example, answer, labels);
        let what = lowest(answer).and_then(|score| score.reason.as_deref()).and_then(reason::named);
        match (kind, what) {
            (FailureKind::Criterion { name }, Some(what)) => named.entry((name, what)).or_default().push(at),
            (kind, _) => groups.entry(kind).or_default().push(at),
        }
    }
    for ((scorer, what), members) in named {
        let name = if members.len() < SHARED { scorer } else { format!("{scorer}: {what}") };
        groups.entry(FailureKind::Criterion { name }).or_default().extend(members);
    }
    for members in groups.values_mut() {
        members.sort_unstable();
    }
    groups
}

/// A whole group, or one part of a divided one.
struct Part {
    /// Indices of its rows.
    rows: Vec<usize>,
    label: String,
}

/// Divides one group by its texts: where a scorer gave reasons, by those if they divide it, else by the inputs. The
/// label of an undivided group tells it from all other rows, that of a part from the rest of its group.
fn parts(kind: &FailureKind, members: &[usize], rows: &[Row], inputs: &[String], terms: &Terms) -> Vec<Part> {
    let mut readings: Vec<Vec<String>> = Vec::new();
    if matches!(kind, FailureKind::Criterion { .. }) {
        let reasons: Vec<String> = members.iter().map(|at| rows[*at].reason()).collect();
        if reasons.iter().any(|reason| !reason.is_empty()) {
            readings.push(reasons);
        }
    }
    readings.push(members.iter().map(|at| inputs[*at].clone()).collect());

    let ids: Vec<&str> = members.iter().map(|at| rows[*at].id()).collect();
    for texts in readings {
        let parts = divide(&ids, &texts);
        if parts.len() > 1 {
            let terms = Terms::of(&texts);
            let part = |part: Vec<usize>| Part {
                label: label(kind, &terms.telling(&part)),
                rows: part.into_iter().map(|local| members[local]).collect(),
            };
            return parts.into_iter().map(part).collect();
        }
    }
    vec![Part { rows: members.to_vec(), label: label(kind, &terms.telling(members)) }]
}
