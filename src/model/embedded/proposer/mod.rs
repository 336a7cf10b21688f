//! The embedded model as a proposer: reads the request that any model gets and answers in the same structure, with
//! words counted in the rows that the request shows.
//!
//! One line a file:
//! - `request`: the sections of a proposer's request
//! - `fields`: one field of answers in JSON taken by itself
//! - `terms`: words that tell one label's rows from the others'
//! - `layout`: where things stand in a prompt file, and edits from changes
//! - `strategies`: what each strategy changes

mod fields;
mod layout;
mod request;
mod strategies;
mod terms;

#[cfg(test)]
mod tests;

use serde_json::json;

use crate::model::ChatRequest;
use crate::prompt::{Edit, Prompt, PromptSet};
use layout::Layout;
use request::Ask;
use strategies::{Bench, Plan};

/// How many variants are tried to find one that was not tried before and keeps the limits.
const ATTEMPTS: u64 = 12;

/// The reply to a proposer's request; `None` when `request` isn't one.
pub(super) fn reply(request: &ChatRequest) -> Option<String> {
    let ask = request::read(request)?;
    let (plan, edits) = propose(&ask);
    Some(json!({"edits": edits, "rationale": plan.rationale, "expected_effect": plan.effect}).to_string())
}

/// The first variant that is new, within the limits and sound; without any, an empty proposal.
fn propose(ask: &Ask) -> (Plan, Vec<Edit>) {
    let layouts: Vec<Layout> = ask.files.iter().filter_map(|(name, text)| Layout::of(name, text)).collect();
    // The file that names the labels is the one to change.
    let named = |layout: &&Layout| ask.labels.iter().filter(|label| layout.text.contains(label.as_str())).count();
    let Some(layout) = layouts.iter().rev().max_by_key(named) else { return Default::default() };
    for attempt in 0..ATTEMPTS {
        let plan = Bench::new(ask, layout, ask.variant.wrapping_add(attempt)).plan();
        let edits = layout.edits(plan.changes.clone());
        let growth = edits.iter().map(|edit| edit.replace.len().saturating_sub(edit.search.len())).sum::<usize>();
        let within =
            ask.most_edits.is_none_or(|most| edits.len() <= most) && ask.most_growth.is_none_or(|most| growth <= most);
        let new = plan.rationale.is_empty() || !ask.tried.contains(&plan.rationale);
        if !edits.is_empty() && within && new && is_sound(layout, &edits) {
            return (plan, edits);
        }
    }
    Default::default()
}

/// Whether the edits apply and leave a prompt that parses.
fn is_sound(layout: &Layout, edits: &[Edit]) -> bool {
    let prompt = Prompt::parse(&layout.file, &layout.text).ok();
    prompt.and_then(|prompt| PromptSet::one(prompt).ok()).is_some_and(|set| set.apply(edits).is_ok())
}
