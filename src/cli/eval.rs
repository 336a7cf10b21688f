//! `ratchet eval`: scores a prompt on the dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::dataset::{Example, Filter, label_sets};
use prompt_ratchet::durable;
use prompt_ratchet::eval::Objective;
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::report::{Certainty, Classified, LengthBias, plural};
use prompt_ratchet::stats::LabelScore;
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::measure::{Bench, Measured, SplitChoice, split_names, unquoted};
use super::report::{json_interval, json_macro_f1, print, print_json};

mod csv;
mod table;
mod watch;

pub use table::failing_row;

/// Score a prompt: overall, by label, field and tag, what is taken for what, and the worst rows
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet eval                                the project's prompt on train and dev
  ratchet eval prompts/draft.prompty          another prompt on the same rows
  ratchet eval --filter tag=edge --worst 30   the rows with a tag, more of the failing ones
  ratchet eval --watch                        score again whenever the prompt is saved
  ratchet eval --csv rows.csv                 all rows for a spreadsheet
  ratchet eval --json | jq .score

Rows whose answer is stored cost nothing. Rows that the prompt quotes as examples
are left out: copying one is not knowing. Exit code 4: no row could run.")]
pub struct Eval {
    /// The prompt file, or a folder of them where the project has several; by default the project's
    prompt: Option<PathBuf>,
    /// Which rows; by default train and dev
    #[arg(long, value_enum)]
    split: Option<SplitChoice>,
    /// At most so many rows: the same sample every time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only rows with `tag=..`, `id=..`, `expected=..` or `metadata.<field>=..`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Score rows that the prompt quotes as examples, too
    #[arg(long)]
    count_quoted: bool,
    /// Write all rows that are scored as CSV; `-` for stdout
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// How many failing rows to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    worst: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Score again whenever the prompt file is saved, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    watch: bool,
}

impl Eval {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        if self.watch {
            return watch::watch(&self, global).await;
        }
        self.check_csv()?;
        let mut bench = Bench::load(global).await?;
        let splits = SplitChoice::splits(self.split);
        let rows = self.rows(&bench)?;
        let prompts = match &self.prompt {
            Some(path) => bench.prompts(path)?,
            None => Arc::clone(&bench.project.prompts),
        };
        let (rows, quoted) = self.scored(&rows, &prompts)?;
        let measured = bench.measure(&prompts, &rows, "eval").await?;
        bench.book(&splits, &format!("eval-{}", prompts.digest().short()), false)?;
        self.print(&bench, format!("{} on {}", prompts.names(), split_names(&splits)), &measured, quoted)?;
        Ok(Exit::Done)
    }

    fn rows(&self, bench: &Bench) -> Result<Vec<Arc<Example>>, Failure> {
        let limit = self.limit.map(|limit| limit as usize);
        bench.rows(&SplitChoice::splits(self.split), &self.filter, limit)
    }

    /// Those of `rows` that count for a prompt, and how many it quotes and that don't.
    fn scored(&self, rows: &[Arc<Example>], prompts: &PromptSet) -> Result<(Vec<Arc<Example>>, usize), Failure> {
        if self.count_quoted { Ok((rows.to_vec(), 0)) } else { unquoted(rows, &[prompts]) }
    }

    /// What can be wrong with `--csv` shows before anything is paid for.
    fn check_csv(&self) -> Result<(), Failure> {
        let Some(path) = &self.csv else { return Ok(()) };
        if path == Path::new("-") {
            if self.json {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--json and --csv - both print to stdout; name a file for one of them"
                )));
            }
            return Ok(());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder.filter(|folder| !folder.is_dir()) {
            Some(folder) => {
                Err(Failure::usage(anyhow::anyhow!("--csv: there is no folder {}; make it first", folder.display())))
            }
            None if path.is_dir() => {
                Err(Failure::usage(anyhow::anyhow!("--csv: {} is a folder; name a file", path.display())))
            }
            None => Ok(()),
        }
    }

    fn print(&self, bench: &Bench, title: String, measured: &Measured, quoted: usize) -> Result<(), Failure> {
        let mut csv_on_stdout = false;
        if let Some(path) = &self.csv {
            let text = csv::export(&measured.evaluation.outcomes, &bench.project.dataset).map_err(Failure::usage)?;
            if path == Path::new("-") {
                csv_on_stdout = true;
                print(&text)?;
            } else {
                durable::write(path, text.as_bytes()).map_err(Failure::usage)?;
                bench.note(&format!(
                    "{} written to {}",
                    plural(measured.evaluation.outcomes.len(), "row"),
                    path.display()
                ));
            }
        }
        let (labels, objective) = (bench.labels(), bench.project.objective());
        let length = LengthBias::of_judges(&measured.evaluation.outcomes, &bench.project.scorers);
        if self.json {
            let classified = labels.and_then(|labels| Classified::of(&measured.evaluation.outcomes, &labels));
            let pass_threshold = bench.project.config.pass_threshold;
            let certainty = Certainty::of(&measured.evaluation.outcomes, pass_threshold);
            return print_json(&json(measured, &objective, quoted, classified.as_ref(), &length, certainty));
        }
        let fields = label_sets(bench.project.dataset.rows.iter());
        let page = table::Page {
            title,
            outcomes: &measured.evaluation.outcomes,
            objective: &objective,
            labels: labels.as_deref(),
            fields: &fields,
            pass_threshold: bench.project.config.pass_threshold,
            quoted,
            worst: self.worst,
            length: &length,
        };
        let text = format!("{page}{}\n", measured.used.words());
        if csv_on_stdout {
            // stdout is taken by the rows.
            bench.note(text.trim_end());
            return Ok(());
        }
        print(&text)
    }
}

/// The object of `--json`.
fn json(
    measured: &Measured,
    objective: &Objective,
    quoted: usize,
    classified: Option<&Classified>,
    length: &[LengthBias],
    certainty: Option<Certainty>,
) -> serde_json::Value {
    let summary = objective.summary(&measured.evaluation.outcomes);
    let used = &measured.used;
    let labels = classified.map(|classified| {
        let label = |(label, score, rows): &(String, LabelScore, usize)| {
            json!({
                "label": label, "precision": score.precision, "recall": score.recall, "f1": score.f1, "rows": rows,
            })
        };
        classified.labels.iter().map(label).collect::<Vec<_>>()
    });
    let mut object = json!({
        "examples": summary.examples,
        "score": summary.score,
        "interval": json_interval(&summary.interval),
        "errors": summary.errors,
        "quoted": quoted,
        "labels": labels,
        "macro_f1": json_macro_f1(classified.map(|classified| classified.macro_f1)),
        "calls": used.live,
        "tokens": used.tokens,
        "cost_usd": used.dollars,
        "seconds": used.seconds,
    });
    if !objective.kind().is_mean_score() {
        object["objective"] = json!(objective.kind());
    }
    if !length.is_empty() {
        let length: Vec<serde_json::Value> = length.iter().map(LengthBias::json).collect();
        object["judge"] = json!({ "calls": used.judged, "length": length });
    }
    if let Some(certainty) = certainty {
        object["certainty"] = certainty.json();
    }
    object
}
