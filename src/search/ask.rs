//! What the proposer is shown for a choice: rows of train only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::choose::Choice;
use super::generation::State;
use super::{Revision, Search, screen};
use crate::dataset::{Example, Labels, Split, label_sets};
use crate::diagnose::FailureCluster;
use crate::eval::Outcome;
use crate::model::TraceStep;
use crate::prompt::PromptSet;
use crate::propose::{Ask, Attempt, ShownRow};

/// Most failing rows shown.
const FAILING: usize = 12;
/// Most passing neighbours shown.
const PASSING: usize = 16;
/// Most pinned rows shown besides.
const PINNED: usize = 8;
/// Most train rows to choose examples from.
const EXAMPLES: usize = 24;
/// Most train rows to learn from what each label means.
const OF_LABELS: usize = 48;
/// Most characters shown of what a step of an agent gave back.
const LONGEST_STEP: usize = 120;
/// Most earlier attempts shown.
const TRIED: usize = 8;

/// What a proposal is an edit of, with what fails under it.
pub(super) struct Source<'a> {
    pub prompts: &'a Arc<PromptSet>,
    /// Train rows that it quotes.
    pub quoted: &'a BTreeSet<String>,
    pub outcomes: &'a [Outcome],
    /// In the order in which their rows are shown.
    pub clusters: &'a [FailureCluster],
}

impl Search<'_> {
    /// All labels of the task, or of its fields, with how many train rows have each; empty where the task is not one of
    /// labels. A label that no train row has is named too: the prompt must not rule it out.
    pub(super) fn labels(&self) -> Vec<Labels> {
        let train = self.dataset.rows(Split::Train);
        let mut sets = label_sets(self.dataset.examples.iter().map(Arc::as_ref));
        for set in &mut sets {
            let mut of_train: BTreeMap<String, usize> = BTreeMap::new();
            for label in train.iter().filter_map(|row| set.label_of(row)) {
                *of_train.entry(label).or_default() += 1;
            }
            for (label, rows) in &mut set.counts {
                *rows = of_train.get(label).copied().unwrap_or(0);
            }
        }
        sets
    }

    /// The asks for `choices`, in slot order.
    pub(super) fn asks(
        &self,
        state: &State,
        clusters: &[FailureCluster],
        choices: Vec<Choice>,
        generation: u32,
    ) -> Vec<Ask> {
        let labels = self.labels();
        let train_rows = self.dataset.rows(Split::Train);
        let seen = Arc::new(state.seen.clone());
        let mut asks = Vec::new();
        for (slot, choice) in choices.into_iter().enumerate() {
            let Revision { prompts, quoted, train, .. } = &state.incumbent;
            let of_incumbent = Source { prompts, quoted, outcomes: train, clusters };
            let Source { prompts, quoted, outcomes, clusters } =
                choice.parent.as_ref().map_or(of_incumbent, |parent| parent.source());
            let failing = match &choice.cluster {
                Some(cluster) => members(cluster, outcomes, FAILING),
                None => of_several(clusters, outcomes, FAILING),
            };
            let passing = self.passing(choice.cluster.as_ref(), clusters, outcomes);
            let train_rows = match (choice.strategy.quotes_rows, choice.strategy.of_labels) {
                (true, _) => example_rows(&choice, &failing, outcomes, quoted),
                (false, true) => {
                    // Also rows on which the incumbent was not measured: what a label means can be read off any.
                    let measured = outcomes.iter().map(|outcome| &outcome.example);
                    let is_measured = |row: &&Arc<Example>| outcomes.iter().any(|of| of.example.id == row.id);
                    let others = train_rows.iter().filter(|row| !is_measured(row));
                    of_each_label(measured.chain(others).map(Arc::as_ref), &failing, quoted, OF_LABELS)
                }
                (false, false) => Vec::new(),
            };
            asks.push(Ask {
                seed: self.settings.seed,
                generation,
                slot: slot as u32,
                prompts: Arc::clone(prompts),
                description: self.task.description.clone(),
                hints: self.task.hints.clone(),
                labels: labels.clone(),
                failing: failing.into_iter().map(shown).collect(),
                passing,
                train_rows,
                tried: tried(&state.tried, &choice),
                seen: Arc::clone(&seen),
                strategy: choice.strategy,
                cluster: choice.cluster,
            });
        }
        asks
    }

    /// Rows that must go on passing: pinned ones first, then the nearest neighbours of what fails.
    fn passing(
        &self,
        cluster: Option<&FailureCluster>,
        clusters: &[FailureCluster],
        outcomes: &[Outcome],
    ) -> Vec<ShownRow> {
        let Some(cluster) = cluster.or(clusters.first()) else { return Vec::new() };
        let threshold = self.settings.pass_threshold;
        let near: BTreeSet<String> = screen::passing_neighbours(cluster, outcomes, threshold, PASSING)
            .iter()
            .map(|example| example.id.clone())
            .collect();
        let is_pinned = |outcome: &&Outcome| self.settings.protected.pinned && outcome.example.pinned;
        let passes = |outcome: &&Outcome| outcome.value().is_some_and(|value| value >= threshold);
        let pinned = outcomes.iter().filter(is_pinned).filter(passes).take(PINNED);
        let others = outcomes.iter().filter(|outcome| !is_pinned(outcome) && near.contains(&outcome.example.id));
        pinned.chain(others).map(shown).collect()
    }
}

/// Rows to choose examples from: those that fail here, then rows of the same labels and of those that they were taken
/// for, balanced: a boundary has two sides.
fn example_rows(
    choice: &Choice,
    failing: &[&Outcome],
    outcomes: &[Outcome],
    quoted: &BTreeSet<String>,
) -> Vec<ShownRow> {
    let wanted: BTreeSet<String> = match &choice.cluster {
        Some(_) => failing.iter().flat_map(|outcome| sides(outcome)).collect(),
        None => BTreeSet::new(),
    };
    let is_wanted = |row: &&Example| wanted.is_empty() || wanted.contains(&row.expected_label().unwrap_or_default());
    let mut rows: Vec<ShownRow> =
        failing.iter().filter(|outcome| !outcome.example.pinned).map(|outcome| example_row(&outcome.example)).collect();
    let others = outcomes.iter().map(|outcome| outcome.example.as_ref()).filter(is_wanted);
    rows.extend(of_each_label(others, failing, quoted, EXAMPLES));
    rows.truncate(EXAMPLES);
    rows
}

/// Up to `limit` of `rows`, one of each label in turn: none that is shown as failing, pinned, or quoted already.
fn of_each_label<'a>(
    rows: impl Iterator<Item = &'a Example>,
    failing: &[&Outcome],
    quoted: &BTreeSet<String>,
    limit: usize,
) -> Vec<ShownRow> {
    let shown: BTreeSet<&str> = failing.iter().map(|outcome| outcome.example.id.as_str()).collect();
    let is_open = |row: &Example| !row.pinned && !quoted.contains(&row.id) && !shown.contains(row.id.as_str());
    let mut by_label: BTreeMap<String, Vec<&Example>> = BTreeMap::new();
    for row in rows.filter(|row| is_open(row)) {
        by_label.entry(row.expected_label().unwrap_or_default()).or_default().push(row);
    }
    let deepest = by_label.values().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..deepest).flat_map(|depth| by_label.values().filter_map(move |rows| rows.get(depth)));
    in_turn.take(limit).map(|row| example_row(row)).collect()
}

/// What a row expects, and what it was answered.
fn sides(outcome: &Outcome) -> impl Iterator<Item = String> {
    let answered = outcome.result.as_ref().ok().map(|answer| answer.completion.text.trim().to_owned());
    outcome.example.expected_label().into_iter().chain(answered)
}

fn members<'a>(cluster: &FailureCluster, outcomes: &'a [Outcome], limit: usize) -> Vec<&'a Outcome> {
    let ids: BTreeSet<&str> = cluster.members.iter().map(String::as_str).collect();
    outcomes.iter().filter(|outcome| ids.contains(outcome.example.id.as_str())).take(limit).collect()
}

/// Failing rows of several clusters in turn.
fn of_several<'a>(clusters: &[FailureCluster], outcomes: &'a [Outcome], limit: usize) -> Vec<&'a Outcome> {
    let lists: Vec<Vec<&Outcome>> = clusters.iter().map(|cluster| members(cluster, outcomes, limit)).collect();
    let mut rows = Vec::new();
    for depth in 0..limit {
        rows.extend(lists.iter().filter_map(|list| list.get(depth)).copied());
    }
    rows.truncate(limit);
    rows
}

fn shown(outcome: &Outcome) -> ShownRow {
    let answer = outcome.result.as_ref().ok();
    ShownRow {
        answered: answer.map(|answer| answer.completion.text.clone()),
        reason: answer.and_then(|answer| answer.scores.iter().find_map(|score| score.reason.clone())),
        steps: answer.and_then(|answer| answer.completion.trace.as_deref()).map(steps),
        ..example_row(&outcome.example)
    }
}

/// What each step of an agent gave back, or how it failed.
fn steps(trace: &[TraceStep]) -> String {
    trace.iter().map(|step| step.in_short(LONGEST_STEP)).collect::<Vec<_>>().join("; ")
}

fn example_row(example: &Example) -> ShownRow {
    ShownRow {
        id: example.id.clone(),
        input: example.input_text(),
        expected: example.expected_text(),
        answered: None,
        reason: None,
        steps: None,
    }
}

/// The latest attempts at the same cluster, or by the same strategy where there is no cluster.
fn tried(attempts: &[Attempt], choice: &Choice) -> Vec<Attempt> {
    let label = choice.cluster.as_ref().map(|cluster| cluster.label.as_str());
    let mut latest: Vec<Attempt> = attempts
        .iter()
        .rev()
        .filter(|attempt| match label {
            Some(label) => attempt.cluster.as_deref() == Some(label),
            None => attempt.strategy == choice.strategy.name,
        })
        .take(TRIED)
        .cloned()
        .collect();
    latest.reverse();
    latest
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_steps_of_an_agent_are_told_in_short() {
        let step = |name: &str, output: Value, error: Option<&str>| TraceStep {
            name: name.into(),
            output,
            error: error.map(str::to_owned),
            ..TraceStep::default()
        };
        let trace = [
            step("route", json!("rent"), None),
            step("lookup", json!({"phone": 2}), None),
            step("wait", Value::Null, None),
            step("answer", json!("x".repeat(200)), None),
            step("send", Value::Null, Some("no network")),
        ];
        let told = format!(
            "route -> rent; lookup -> {{\"phone\":2}}; wait; answer -> {}…; send failed: no network",
            "x".repeat(LONGEST_STEP)
        );
        assert_eq!(steps(&trace), told);
    }
}
