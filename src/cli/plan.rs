//! `ratchet optimize --dry-run`: what would run.

use prompt_ratchet::clock::{self, Clock, SystemClock};
use prompt_ratchet::model::Prices;
use prompt_ratchet::project::{Plan, PlannedModel, PlannedUse, Project};
use prompt_ratchet::report::{count, plural};

use super::exit::Failure;
use super::report::print_json;

/// Prints what a run of `project` would do; nothing is asked and nothing written.
pub fn show(project: &Project, as_json: bool) -> Result<(), Failure> {
    let plan = project.plan(SystemClock.now())?;
    if as_json {
        let value = serde_json::to_value(&plan).map_err(Failure::usage)?;
        return print_json(&value);
    }
    print!("{}", words(&plan));
    Ok(())
}

fn words(plan: &Plan) -> String {
    let rows = &plan.rows;
    let mut lines = vec![
        "Dry run: nothing is asked, nothing is written.".to_owned(),
        String::new(),
        format!("Dataset   {}: {} train, {} dev, {} test", plan.dataset, count(rows.train as u64), rows.dev, rows.test),
        format!("Task      {}", model(&plan.task)),
        format!("Proposer  {}", model(&plan.proposer)),
    ];
    lines.extend(plan.judge.as_ref().map(|judge| format!("Judge     {}", model(judge))));
    lines.extend(plan.embedder.as_ref().map(|embedder| format!("Embedder  {}", model(embedder))));
    lines.extend([
        format!(
            "Search    up to {} of {}",
            plural(plan.generations as usize, "generation"),
            plural(plan.proposals as usize, "proposal")
        ),
        String::new(),
        format!("Likely    {}", used(&plan.likely)),
        format!("At most   {}", used(&plan.most)),
    ]);
    if plan.generations_afforded < plan.generations {
        lines.push(format!(
            "Budget    is likely to end the run after {}",
            plural(plan.generations_afforded as usize, "generation")
        ));
    }
    if let Some(end) = plan.ends {
        let end = clock::timestamp(std::time::Duration::from_secs(end));
        lines.push(format!("Time      stops asking at {end}"));
    }
    lines.push(format!(
        "Gain      with {} dev rows, gains under {:.1} points can't be told from luck, and the model's noise comes on top; \
         {} rows would show {:.1}",
        count(rows.dev as u64),
        100.0 * plan.detectable_gain,
        count(plan.rows_for_half),
        50.0 * plan.detectable_gain
    ));
    lines.push(String::new());
    lines.push(format!(
        "Stored answers cost nothing and are not taken into account. Likely answers are as long as those expected: a \
         model that reasons writes more. Built-in prices are of {}.",
        Prices::date()
    ));
    lines.join("\n") + "\n"
}

fn model(model: &PlannedModel) -> String {
    let price = match (model.input_price, model.output_price) {
        (Some(input), Some(output)) => format!("${input} and ${output} for a million tokens read and written"),
        _ => "price unknown".to_owned(),
    };
    format!(
        "{}: {price}; a call about {} + {} tokens",
        model.model,
        count(model.input_tokens),
        count(model.output_tokens)
    )
}

fn used(used: &PlannedUse) -> String {
    let cost = used.cost_usd.map_or("price unknown".to_owned(), |cost| format!("${cost:.2}"));
    let calls = used.calls;
    let of = |role: &str, calls: u64| if calls > 0 { format!(", {} {role}", count(calls)) } else { String::new() };
    let (judge, embedder) = (of("judge", calls.judge), of("embedder", calls.embedder));
    format!(
        "{} task and {} proposer calls{judge}{embedder}, {} tokens, {cost}",
        count(calls.task),
        count(calls.proposer),
        count(used.tokens)
    )
}
