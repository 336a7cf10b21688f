//! `ratchet optimize --dry-run`: what would run.

use prompt_ratchet::clock::{self, Clock, SystemClock};
use prompt_ratchet::model::Prices;
use prompt_ratchet::project::{Plan, PlannedModel, PlannedProgram, PlannedUse, Project};
use prompt_ratchet::report::{count, plural, wrapped};

use super::exit::Failure;
use super::report::{print, print_json, screen_width};

/// What stands before a line's text, and before what didn't fit on it.
const INDENT: &str = "          ";

/// Prints what a run of `project` would do; nothing is asked and nothing written.
pub async fn show(project: &Project, as_json: bool) -> Result<(), Failure> {
    let plan = project.plan(SystemClock.now()).await?;
    if as_json {
        let value = serde_json::to_value(&plan).map_err(Failure::usage)?;
        return print_json(&value);
    }
    print(&words(&plan, screen_width()))
}

fn words(plan: &Plan, width: usize) -> String {
    let rows = &plan.rows;
    let mut lines = vec![
        "Dry run: nothing is asked, nothing is written.".to_owned(),
        String::new(),
        format!("Dataset   {}: {} train, {} dev, {} test", plan.dataset, count(rows.train as u64), rows.dev, rows.test),
    ];
    match &plan.program {
        None => lines.push(format!("Task      {}", model(&plan.task, "call"))),
        Some(planned) => {
            lines.push(format!("Task      {}", program(planned)));
            lines.push(format!("Its calls {}", model(&plan.task, "row")));
        }
    }
    lines.push(format!("Proposer  {}", model(&plan.proposer, "call")));
    lines.extend(plan.judge.as_ref().map(|judge| format!("Judge     {}", model(judge, "call"))));
    lines.extend(plan.embedder.as_ref().map(|embedder| format!("Embedder  {}", model(embedder, "call"))));
    lines.extend([
        format!(
            "Search    up to {} of {}",
            plural(plan.generations as usize, "generation"),
            plural(plan.proposals as usize, "proposal")
        ),
        String::new(),
        format!("Likely    {}", used(&plan.likely, plan.program.is_some())),
        format!(
            "At most   {}{}",
            used(&plan.unlimited, plan.program.is_some()),
            plan.program.as_ref().map_or(String::new(), most)
        ),
    ]);
    if plan.most != plan.unlimited {
        lines.push(format!(
            "Limits    leave {}, each at most: the first that is reached ends the run",
            used(&plan.most, plan.program.is_some())
        ));
    }
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
        "Gain      with {} dev rows, gains under {:.1} points can't be told from luck by dev alone{}; {} rows would show {:.1}",
        count(rows.dev as u64),
        100.0 * plan.detectable_gain,
        if plan.deterministic { "" } else { ", and the model's noise comes on top" },
        count(plan.rows_for_half),
        50.0 * plan.detectable_gain
    ));
    let mut text = String::new();
    for line in lines {
        text += &(wrapped(&line, width, INDENT).join("\n") + "\n");
    }
    let assumed = [(&plan.task, "task"), (&plan.proposer, "proposer")]
        .into_iter()
        .chain(plan.judge.iter().map(|of| (of, "judge")));
    let assumed: Vec<String> =
        assumed.filter_map(|(of, role)| Some(format!("{} of the {role}", count(of.assumed_output?)))).collect();
    if !assumed.is_empty() {
        let line = format!(
            "At most assumes so many tokens an answer: {}; `max_tokens` of the model's table lowers it",
            assumed.join(", ")
        );
        text += &(wrapped(&line, width, INDENT).join("\n") + "\n");
    }
    let notes = format!(
        "Stored answers cost nothing and are not taken into account. Likely answers are as long as those expected: a \
         model that reasons writes more. Built-in prices are of {}.",
        Prices::date()
    );
    text + "\n" + &wrapped(&notes, width, "").join("\n") + "\n"
}

/// A program, and what is known of its model calls.
fn program(program: &PlannedProgram) -> String {
    let (calls, rows) = (program.calls_a_row, program.measured_rows);
    let known = match rows {
        0 => format!("its model calls aren't known before it ran, {calls} a row are taken for them, one a prompt"),
        rows => format!("{calls:.1} model calls a row, measured on {}", plural(rows, "stored row")),
    };
    format!("{}: a program; {known}", program.command)
}

/// What "at most" rests on.
fn most(program: &PlannedProgram) -> String {
    format!(", if no row takes more than {}", plural(program.most_calls_a_row as usize, "model call"))
}

/// A model, and what one `unit` of its work is taken to need.
fn model(model: &PlannedModel, unit: &str) -> String {
    let price = match (model.input_price, model.output_price) {
        (Some(input), Some(output)) => format!("${input} and ${output} for a million tokens read and written"),
        _ => "price unknown".to_owned(),
    };
    format!(
        "{}: {price}; a {unit} about {} + {} tokens",
        model.model,
        count(model.input_tokens),
        count(model.output_tokens)
    )
}

fn used(used: &PlannedUse, by_program: bool) -> String {
    let cost = used.cost_usd.map_or("price unknown".to_owned(), |cost| format!("${cost:.2}"));
    let calls = used.calls;
    let of = |role: &str, calls: u64| if calls > 0 { format!(", {} {role}", count(calls)) } else { String::new() };
    let (judge, embedder) = (of("judge", calls.judge), of("embedder", calls.embedder));
    if by_program {
        let own = used.calls.task - used.rows;
        return format!(
            "{} of the program and {} of its own, {} proposer calls{judge}{embedder}, {} tokens, {cost}",
            plural(used.rows as usize, "row"),
            plural(own as usize, "model call"),
            count(used.calls.proposer),
            count(used.tokens)
        );
    }
    format!(
        "{} task and {} proposer calls{judge}{embedder}, {} tokens, {cost}",
        count(calls.task),
        count(calls.proposer),
        count(used.tokens)
    )
}
