//! `ratchet scorer calibrate`: a judge against people, and against itself.

use clap::Args;
use prompt_ratchet::model::Limits;
use prompt_ratchet::project::{Agreed, CalibrateError, Calibration, RatedFields};
use prompt_ratchet::report::{percent, plural, wrapped};

use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::measure::Bench;
use crate::cli::plain::{WIDTH, cell};
use crate::cli::report::{print, print_json};

/// Columns before what is said.
const INDENT: &str = "          ";

/// Compare a judge with people, on answers that they rated, and with itself, and say whether it can tell revisions apart
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet scorer calibrate                          the only judge, fields `answer` and `human`
  ratchet scorer calibrate tone --human rating
  ratchet scorer calibrate --json | jq .kappa

The rows' metadata holds an answer and what people gave it: a number from 0 to 1,
true or false, or one of the judge's choices; or a map of those by criterion.
[calibration] names the fields for good. Every answer is judged twice; verdicts that
are stored cost nothing. What comes of it is kept for the runs to come.")]
pub struct Calibrate {
    /// The judge; the only one where it isn't named
    scorer: Option<String>,
    /// The metadata field with what people gave the answer; by default that of `[calibration]`, else `human`
    #[arg(long, value_name = "FIELD")]
    human: Option<String>,
    /// The metadata field with the answer that they rated; by default that of `[calibration]`, else `answer`
    #[arg(long, value_name = "FIELD")]
    answer: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let bench = Bench::load(global).await?;
        let models = bench.models(Limits::default())?;
        let usual = bench.project.config.calibration.clone();
        let fields =
            RatedFields { answer: self.answer.unwrap_or(usual.answer), human: self.human.unwrap_or(usual.human) };
        let found = bench.project.calibrate(&models, self.scorer.as_deref(), &fields).await;
        let found = found.map_err(|error| match error {
            CalibrateError::Fault(fault) => Failure::of_models(&models, &fault),
            other => Failure::usage(other),
        })?;
        bench.project.keep_calibration(&found).map_err(Failure::usage)?;
        if self.json {
            print_json(&serde_json::to_value(&found).map_err(Failure::usage)?)?;
        } else {
            print(&page(&found))?;
        }
        Ok(Exit::Done)
    }
}

fn page(found: &Calibration) -> String {
    let errors = if found.errors == 0 { String::new() } else { format!("; {} without a verdict", found.errors) };
    let Agreed { agreement, kappa: of_all, kappa_interval, .. } = &found.agreed;
    let overall = kappa(*of_all, *kappa_interval);
    let mut lines = vec![
        format!("{} by {}, on {}{errors}", found.scorer, found.model, plural(found.agreed.rows, "rated answer")),
        format!("people    mean {}, the judge {}", percent(found.human_mean), percent(found.judge_mean)),
        format!("agreement {}, {overall}", percent(*agreement)),
    ];
    lines.push(match &found.length {
        Some(bias) => format!(
            "length    {} (rank correlation {:.2} [{:.2}, {:.2}])",
            length(bias.interval),
            bias.correlation,
            bias.interval[0],
            bias.interval[1]
        ),
        None => "length    nothing to tell: judge and people never differ, or all answers are as long".to_owned(),
    });
    lines.extend(found.position.map(|of| {
        let (pairs, second) = (plural(of.pairs, "pair"), of.by_place - of.first);
        format!("place     decided {} of {pairs}: the first won {}, the second {second}", of.by_place, of.first)
    }));
    lines.push(match found.retest.rows {
        0 => "twice     not asked: the judge's model is declared deterministic".to_owned(),
        rows => format!("twice     {} of {} got another value", found.retest.flips, plural(rows, "answer")),
    });
    lines.extend(found.criteria.iter().map(|of| {
        let kappa = kappa(of.agreed.kappa, of.agreed.kappa_interval);
        let rows = plural(of.agreed.rows, "rated answer");
        format!("criterion {}: agreement {}, {kappa}, on {rows}", of.criterion, percent(of.agreed.agreement))
    }));
    lines.push(String::new());
    lines.extend(confusion(found));
    lines.push(String::new());
    lines.push(format!("Can it tell revisions apart? {}", found.verdict));
    lines.iter().flat_map(|line| wrapped(line, WIDTH, INDENT)).collect::<Vec<_>>().join("\n") + "\n"
}

fn kappa(kappa: Option<f64>, interval: Option<[f64; 2]>) -> String {
    match (kappa, interval) {
        (Some(kappa), Some([low, high])) => format!("kappa {kappa:.2} [{low:.2}, {high:.2}]"),
        _ => "kappa can't be told: people gave all answers the same".to_owned(),
    }
}

fn length(interval: [f64; 2]) -> &'static str {
    match interval {
        [low, _] if low > 0.0 => "the judge favours longer answers more than people do",
        [_, high] if high < 0.0 => "the judge favours shorter answers more than people do",
        _ => "no sign of bias",
    }
}

fn confusion(found: &Calibration) -> Vec<String> {
    let found = &found.agreed;
    let head: String = found.categories.iter().map(|category| format!(" {category:>6}")).collect();
    let rows = found.categories.iter().zip(&found.confusion).map(|(category, counts)| {
        let counts: String = counts.iter().map(|count| format!(" {count:>6}")).collect();
        format!("{}{counts}", cell(category, 16))
    });
    std::iter::once(format!("{}{head}", cell("people \\ judge", 16))).chain(rows).collect()
}
