//! Rows, prompts and an ask for this module's unit tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Ask, Attempt, Origin, ShownRow, Strategy};
use crate::dataset::{Dataset, Example, Labels, Split};
use crate::diagnose::{FailureCluster, FailureKind};
use crate::digest::Digest;
use crate::prompt::{Edit, Prompt, PromptSet};

/// The prompt that most tests edit.
pub(super) const PROMPT: &str = "\
system:
Sort support tickets into one of these categories:
- billing
- refunds

Respond with only the category name, nothing else.
user:
Ticket: {{ input }}
";

pub(super) fn prompts(text: &str) -> PromptSet {
    PromptSet::one(Prompt::parse("p.prompty", text).unwrap()).unwrap()
}

pub(super) fn edit(search: &str, replace: &str) -> Edit {
    Edit { file: "p.prompty".to_owned(), search: search.to_owned(), replace: replace.to_owned() }
}

pub(super) fn example(id: &str, input: impl Into<serde_json::Value>, expected: &str) -> Arc<Example> {
    Arc::new(Example {
        id: id.to_owned(),
        input: input.into(),
        expected: Some(expected.into()),
        tags: Vec::new(),
        metadata: Default::default(),
        pinned: false,
        weight: 1.0,
        group: None,
        split: None,
    })
}

/// A dataset of train rows.
pub(super) fn dataset(examples: Vec<Arc<Example>>) -> Dataset {
    Dataset { splits: vec![Split::Train; examples.len()], examples, fingerprint: Digest::of(b"") }
}

fn row(id: &str, input: &str, expected: &str, answered: Option<&str>) -> ShownRow {
    ShownRow {
        id: id.to_owned(),
        input: input.to_owned(),
        expected: Some(expected.to_owned()),
        answered: answered.map(str::to_owned),
        reason: None,
        steps: None,
    }
}

/// An ask with something in every section.
pub(super) fn ask() -> Ask {
    let strategy = Arc::new(Strategy {
        name: "define-boundary".to_owned(),
        summary: "Say where the line runs".to_owned(),
        kinds: vec!["confusion".to_owned()],
        quotes_rows: false,
        of_labels: false,
        instruction: "Say where the line runs between the two labels.".to_owned(),
        origin: Origin::BuiltIn,
    });
    let failing = ShownRow {
        reason: Some("expected \"refunds\"".to_owned()),
        ..row("t-2", "I was billed twice,\nplease send one payment back", "refunds", Some("billing"))
    };
    Ask {
        seed: 1,
        generation: 2,
        slot: 3,
        strategy,
        cluster: Some(FailureCluster {
            id: "c1".to_owned(),
            kind: FailureKind::Confusion { expected: "refunds".to_owned(), answered: "billing".to_owned() },
            prompt: None,
            label: "refunds answered as billing: twice, payment".to_owned(),
            members: vec!["t-2".to_owned(), "t-4".to_owned()],
            share: 0.05,
        }),
        prompts: Arc::new(prompts(PROMPT)),
        description: Some("Route tickets to the team that answers them.".to_owned()),
        hints: vec!["What the customer wants counts, not the topic.".to_owned()],
        labels: vec![Labels { field: None, counts: vec![("billing".to_owned(), 20), ("refunds".to_owned(), 12)] }],
        failing: vec![failing, row("t-4", "charged although I cancelled, want it back", "refunds", Some("billing"))],
        passing: vec![row("t-5", "which card do you have on file", "billing", Some("billing"))],
        train_rows: vec![row("t-7", "refund please, the order never came", "refunds", None)],
        tried: vec![Attempt {
            strategy: "add-rule".to_owned(),
            cluster: None,
            rationale: "Say that money back\nis refunds.".to_owned(),
            ended: "rejected at the gate: fixed 3, broke 5".to_owned(),
        }],
        seen: Arc::new(BTreeSet::new()),
    }
}
