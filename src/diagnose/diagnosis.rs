//! From outcomes to clusters: [`diagnose`].

use std::collections::{BTreeMap, BTreeSet};

use super::blame::Blame;
use super::cluster::{FailureCluster, FailureKind};
use super::divide::divide;
use super::identity;
use super::kind::{Labels, classify, judged, lowest};
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
    let blame = Blame::of(outcomes, pass_threshold);

    let mut clusters = Vec::new();
    for ((kind, members), key) in groups.iter().zip(&keys) {
        let parts = parts(kind, members, &rows, &inputs, &terms);
        let sets: Vec<BTreeSet<&str>> =
            parts.iter().map(|part| part.rows.iter().map(|at| rows[*at].id()).collect()).collect();
        let ids = identity::part_ids(key, kind, &sets, previous, &keys);
        for (part, id) in parts.into_iter().zip(ids) {
            let mut in_order: Vec<&Row> = part.rows.iter().map(|at| &rows[*at]).collect();
            in_order.sort_by_key(|row| row.position);
            let failing = in_order.iter().filter_map(|row| Some((row.example, row.failing?.1)));
            let prompt = blame.most(kind, failing.collect::<Vec<_>>().into_iter());
            let telling: Vec<&str> = part.telling.iter().map(String::as_str).collect();
            clusters.push(FailureCluster {
                id,
                kind: kind.clone(),
                label: label(kind, prompt.as_deref(), &telling),
                prompt,
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

    /// The reason of the lowest score, values cut; empty without one. Of a judge's, what it says to the criterion that
    /// cost the most: the other lines are about others.
    fn reason(&self) -> String {
        let Some(score) = self.failing.and_then(|(_, answer)| lowest(answer)) else { return String::new() };
        let mut reason = score.reason.as_deref().unwrap_or_default();
        if let Some(criterion) = &score.criterion {
            reason = reason.lines().next().unwrap_or_default();
            let named = reason.strip_prefix(criterion.as_str()).and_then(|rest| rest.strip_prefix(": "));
            reason = named.unwrap_or(reason);
        }
        reason::without_values(reason)
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
        let said = lowest(answer).filter(|_| judged(answer).is_none()).and_then(|score| score.reason.as_deref());
        let what = said.and_then(reason::named);
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
    /// The terms that tell it, the most telling first.
    telling: Vec<String>,
}

/// Divides one group by its texts: where a scorer gave reasons, by those if they divide it, else by the inputs. The
/// terms of an undivided group tell it from all other rows, those of a part from the rest of its group.
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
                telling: telling(&terms, &part),
                rows: part.into_iter().map(|local| members[local]).collect(),
            };
            return parts.into_iter().map(part).collect();
        }
    }
    vec![Part { rows: members.to_vec(), telling: telling(terms, members) }]
}

fn telling(terms: &Terms, members: &[usize]) -> Vec<String> {
    terms.telling(members).into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::samples::{answer, example, labelled, outcome, scored};
    use super::*;
    use crate::eval::OutcomeError;
    use crate::model::{CallError, FinishReason};

    /// Sixty rows of two labels: `wrong` of the refunds are answered billing.
    fn tickets(wrong: std::ops::Range<usize>) -> Vec<Outcome> {
        let refund = |at: usize| {
            let (input, answer) =
                if wrong.contains(&at) { ("was charged twice", "billing") } else { ("give the money back", "refunds") };
            labelled(&format!("r{at:02}"), input, "refunds", answer)
        };
        let bill = |at: usize| labelled(&format!("b{at:02}"), "question about the invoice", "billing", "billing");
        (0..30).map(refund).chain((0..30).map(bill)).collect()
    }

    fn ids(clusters: &[FailureCluster]) -> Vec<&str> {
        clusters.iter().map(|cluster| cluster.id.as_str()).collect()
    }

    #[test]
    fn a_confusion_is_one_cluster_with_label_members_and_share() {
        let clusters = diagnose(&tickets(0..6), 1.0, &[]);
        assert_eq!(clusters.len(), 1);
        let cluster = &clusters[0];
        assert_eq!(cluster.id, "refunds-as-billing");
        assert_eq!(cluster.label, "expected refunds, answered billing (charged, twice, was)");
        assert_eq!(cluster.members, ["r00", "r01", "r02", "r03", "r04", "r05"]);
        assert!((cluster.share - 0.1).abs() < 1e-12);
    }

    #[test]
    fn rows_that_could_not_run_neither_fail_nor_count() {
        let mut outcomes = tickets(0..6);
        outcomes[0].result = Err(OutcomeError::Call(CallError::Transient("reset".to_string())));
        let clusters = diagnose(&outcomes, 1.0, &[]);
        assert_eq!(clusters[0].members.len(), 5);
        assert!((clusters[0].share - 5.0 / 59.0).abs() < 1e-12);
        assert_eq!(diagnose(&[], 1.0, &[]), []);
    }

    #[test]
    fn a_row_with_several_samples_counts_once_by_its_first_failing_sample() {
        let mut outcomes = tickets(0..0);
        for (sample, text) in [(2, ""), (1, "billing")] {
            let mut again = labelled("r00", "give the money back please", "refunds", text);
            again.sample = sample;
            outcomes.push(again);
        }
        let clusters = diagnose(&outcomes, 1.0, &[]);
        assert_eq!(ids(&clusters), ["refunds-as-billing"]);
        assert!((clusters[0].share - 1.0 / 60.0).abs() < 1e-12);
    }

    #[test]
    fn ids_stay_when_rows_join_or_leave() {
        let first = diagnose(&tickets(0..6), 1.0, &[]);
        let second = diagnose(&tickets(4..9), 1.0, &first);
        assert_eq!(ids(&first), ids(&second));
    }

    #[test]
    fn clusters_come_by_size_then_id() {
        let mut outcomes = tickets(0..2);
        for (at, text) in [(40, ""), (41, "Billing!"), (42, ""), (43, "")] {
            outcomes[at] = labelled(&format!("b{at:02}"), "question about the invoice", "billing", text);
        }
        assert_eq!(ids(&diagnose(&outcomes, 1.0, &[])), ["empty", "refunds-as-billing", "format"]);
    }

    /// Rows that one scorer fails, with these reasons.
    fn judged(reasons: &[String]) -> Vec<Outcome> {
        let row = |(at, reason): (usize, &String)| {
            let scores = [("judge", 0.2, Some(reason.as_str()))];
            outcome(example(&format!("j{at:03}"), "a question", Value::Null), scored("an answer", &scores))
        };
        reasons.iter().enumerate().map(row).collect()
    }

    #[test]
    fn fields_that_reasons_name_are_failures_of_their_own() {
        let reasons = ["category", "tone", "category", "tone", "once"]
            .map(|field| format!("{field}: expected \"a\", answered \"b\""));
        let clusters = diagnose(&judged(&reasons), 1.0, &[]);
        assert_eq!(ids(&clusters), ["judge-category", "judge-tone", "judge"]);
        assert!(clusters[0].label.starts_with("failed judge: category"), "{}", clusters[0].label);
    }

    #[test]
    fn judged_failures_are_grouped_by_criterion_and_then_by_what_is_said_to_it() {
        let prose = prose(20);
        let row = |(at, said): (usize, &String)| {
            let criterion = if at < 36 { "tone" } else { "facts" };
            let reason = format!("{criterion}: {said} (no)\nlength: Line {at} is about something else. (partly)");
            let mut answer = scored("The reference is in here.", &[("reply", 0.2, Some(&reason))]);
            answer.scores[0].criterion = Some(criterion.to_owned());
            outcome(example(&format!("j{at:03}"), "a question", json!("The reference")), answer)
        };
        let outcomes: Vec<Outcome> = prose.iter().enumerate().map(row).collect();
        let clusters = diagnose(&outcomes, 1.0, &[]);
        assert_eq!(ids(&clusters), ["reply-tone-a", "reply-tone-b", "reply-facts"]);
        assert_eq!(clusters[2].members.len(), 4);
        assert!(clusters[0].label.starts_with("failed reply: tone ("), "{}", clusters[0].label);
        assert!(clusters.iter().all(|cluster| !cluster.label.contains("length")), "other criteria don't count");
    }

    #[test]
    fn the_criterion_of_a_judge_within_a_group_is_a_failure_of_its_own() {
        let row = |at: usize| {
            let criterion = if at < 3 { "reply: tone" } else { "reply: facts" };
            let reason = format!("{criterion}: it is curt (no)\nlength: 9 words");
            let mut answer = scored("an answer", &[("both", 0.2, Some(&reason))]);
            answer.scores[0].criterion = Some(criterion.to_owned());
            outcome(example(&format!("j{at:03}"), "a question", Value::Null), answer)
        };
        let clusters = diagnose(&(0..5).map(row).collect::<Vec<_>>(), 1.0, &[]);
        assert_eq!(ids(&clusters), ["both-reply-tone", "both-reply-facts"]);
        assert!(clusters[0].label.starts_with("failed both: reply: tone"), "{}", clusters[0].label);
        assert!(!clusters[0].label.contains("words"), "{}", clusters[0].label);
    }

    const COMPLAINTS: [[&str; 6]; 2] = [
        ["never", "mentions", "deadline", "customer", "asked", "about"],
        ["rude", "tone", "insults", "reader", "twice", "badly"],
    ];

    /// `count` reasons on each of two complaints, in turn.
    fn prose(count: usize) -> Vec<String> {
        let reason = |at: usize| {
            let words = COMPLAINTS[at % 2];
            (0..6).filter(|word| *word != at / 2 % 6).map(|word| words[word]).collect::<Vec<_>>().join(" ")
        };
        (0..2 * count).map(reason).collect()
    }

    #[test]
    fn a_large_group_is_divided_by_the_reasons_and_each_part_says_what_tells_it() {
        let clusters = diagnose(&judged(&prose(20)), 1.0, &[]);
        assert_eq!(ids(&clusters), ["judge-a", "judge-b"]);
        for (cluster, complaint) in clusters.iter().zip(COMPLAINTS) {
            assert!(complaint.iter().any(|word| cluster.label.contains(word)), "{}", cluster.label);
        }
    }

    #[test]
    fn parts_keep_their_ids_when_their_sizes_change_and_the_rest_merges_into_the_key() {
        let all = judged(&prose(20));
        let first = diagnose(&all, 1.0, &[]);
        // The first complaint loses eight rows: the other part is now the larger one.
        let later: Vec<Outcome> =
            all.iter().enumerate().filter(|(at, _)| at % 2 == 1 || *at >= 16).map(|(_, o)| o.clone()).collect();
        let second = diagnose(&later, 1.0, &first);
        assert_eq!(ids(&second), ["judge-b", "judge-a"]);
        let seen: Vec<FailureCluster> = first.into_iter().chain(second).collect();
        assert_eq!(ids(&diagnose(&all[..10], 1.0, &seen)), ["judge"]);
    }

    /// One of the outcomes of a small task.
    fn outcome_of(id: usize, (expected, text, finish): (usize, usize, usize)) -> Outcome {
        let labels = ["refunds", "billing", "technical support", "other"];
        let texts = ["refunds", "billing", "Other.", "", "refunds or other", "I don't know"];
        let mut answer = answer(texts[text], if labels[expected] == texts[text] { 1.0 } else { 0.0 });
        answer.completion.finish = [FinishReason::Stop, FinishReason::Length, FinishReason::Refusal][finish];
        outcome(example(&format!("row{id}"), texts[(text + id) % 6], json!(labels[expected])), answer)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_failing_row_is_in_one_cluster_and_order_changes_nothing(
            rows in prop::collection::btree_map(0..60_usize, (0..4_usize, 0..6_usize, 0..3_usize), 0..60),
            rotation in 0..60_usize,
        ) {
            let mut outcomes: Vec<Outcome> =
                rows.iter().map(|(id, row)| outcome_of(*id, *row)).collect();
            let clusters = diagnose(&outcomes, 1.0, &[]);
            let members: Vec<&str> = clusters.iter().flat_map(|cluster| &cluster.members).map(String::as_str).collect();
            let failing: BTreeSet<&str> = outcomes
                .iter()
                .filter(|outcome| outcome.is_failing(1.0))
                .map(|outcome| outcome.example.id.as_str())
                .collect();
            prop_assert_eq!(members.len(), failing.len());
            prop_assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), failing);
            prop_assert_eq!(ids(&clusters).into_iter().collect::<BTreeSet<_>>().len(), clusters.len());

            if !outcomes.is_empty() {
                let by = rotation % outcomes.len();
                outcomes.rotate_left(by);
            }
            let mut again = diagnose(&outcomes, 1.0, &[]);
            let mut clusters = clusters;
            for cluster in clusters.iter_mut().chain(&mut again) {
                cluster.members.sort();
            }
            prop_assert_eq!(clusters, again);
        }
    }
}
