//! The object that `optimize --json` and `report --json` print.

use serde_json::{Map, Value, json};

use super::RunView;
use crate::eval::Summary;
use crate::model::{Amount, ModelRole};
use crate::run::Spent;

/// What a script wants to know of a run. `baseline.test` and `winner.test` are null while test is sealed, `stopped` is
/// null while the run is unfinished, `cost_usd` is null where the price of a call isn't known. `calls` has an `embedder` where texts were embedded. `objective`
/// is there where scores are not the mean score, `warnings` (in words) where something deserves a look before the run is trusted,
/// `lost` where attempts without an answer may have been billed.
pub fn json(view: &RunView) -> Value {
    let test = view.test.as_ref();
    let total = view.spent.spend.total();
    let spent = &view.spent.spend.roles;
    // Few runs embed anything.
    let told = ModelRole::ALL.into_iter().filter(|role| *role != ModelRole::Embedder || spent.contains_key(role));
    let calls: Map<String, Value> = told
        .map(|role| {
            let live = spent.get(&role).map_or(0, |spend| spend.live);
            (role.name().to_owned(), json!(live))
        })
        .collect();
    let mut object = json!({
        "run": view.manifest.run,
        "generations": view.generations_had().0,
        "kept": view.kept().len(),
        "stopped": view.ended.as_ref().map(|ended| ended.stopped),
        "baseline": { "dev": summary(view.baseline_dev()), "test": summary(test.map(|test| &test.baseline)) },
        "winner": { "dev": summary(view.winner_dev()), "test": summary(test.map(|test| &test.winner)) },
        "shown": test.is_some_and(|test| test.shown),
        "calls": calls,
        "stored": total.stored,
        "tokens": total.tokens_in + total.tokens_out,
        "cost_usd": (total.unpriced == 0).then(|| total.cost.dollars()),
        "seconds": view.spent.seconds,
    });
    if !view.objective().is_mean_score() {
        object["objective"] = json!(view.objective());
    }
    if !view.warnings().is_empty() {
        object["warnings"] = json!(view.warnings());
    }
    if let Some(lost) = json_lost(&view.spent) {
        object["lost"] = lost;
    }
    object
}

/// What attempts without an answer count as, where there were any: `{attempts, tokens, cost_usd}`.
pub fn json_lost(spent: &Spent) -> Option<Value> {
    json_lost_amount(spent.lost_total(), spent.spend.total().unpriced == 0)
}

/// The same of `lost`; `is_priced` says whether all that was paid for has a price.
pub fn json_lost_amount(lost: Amount, is_priced: bool) -> Option<Value> {
    // Where a price isn't known, nothing could be reserved by it.
    let dollars = is_priced.then(|| lost.money.dollars());
    (lost.calls > 0).then(|| json!({ "attempts": lost.calls, "tokens": lost.tokens, "cost_usd": dollars }))
}

fn summary(summary: Option<&Summary>) -> Value {
    summary.filter(|summary| summary.examples > 0).map_or(Value::Null, |summary| {
        json!({
            "score": summary.score,
            "interval": [summary.interval.low, summary.interval.high],
            "examples": summary.examples,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn the_object_has_the_documented_keys_and_no_others() {
        let object = json(&testing::finished().view());
        let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
        let documented = [
            "baseline",
            "calls",
            "cost_usd",
            "generations",
            "kept",
            "run",
            "seconds",
            "shown",
            "stopped",
            "stored",
            "tokens",
            "winner",
        ];
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(sorted, documented);
        assert_eq!(object["winner"]["test"].as_object().unwrap().len(), 3);
        assert_eq!(object["calls"].as_object().unwrap().len(), 3);
        assert_eq!(
            (&object["kept"], &object["shown"], &object["stopped"]),
            (&json!(1), &json!(true), &json!("no_gain"))
        );
    }

    #[test]
    fn what_deserves_a_look_is_told_in_the_object_and_at_the_top_of_both_reports() {
        let fixture = testing::doubted();
        let view = fixture.view();
        assert_eq!(json(&view)["warnings"], json!(["the judge `tone` can't tell | revisions apart"]));
        let told = |text: &str, warning: &str| text[..text.find(warning).unwrap()].lines().count();
        let page = crate::report::terminal(&view, 80);
        assert!(told(&page, "\nwarning: the judge `tone` can't tell | revisions apart\n") <= 2, "{page}");
        let file = crate::report::markdown(&view);
        assert!(told(&file, "\n**Warning:** the judge ") <= 5, "{file}");
    }

    #[test]
    fn what_has_not_happened_is_null() {
        let object = json(&testing::unfinished().view());
        assert_eq!(object["stopped"], Value::Null);
        assert_eq!(object["winner"]["test"], Value::Null);
        assert_eq!(object["shown"], json!(false));
        assert_eq!(object["winner"]["dev"], object["baseline"]["dev"]);
        assert_eq!(object["cost_usd"], Value::Null);
    }
}
