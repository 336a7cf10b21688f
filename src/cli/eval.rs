//! `ratchet eval`: scores a prompt on the dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::dataset::{Filter, Rows, label_sets};
use prompt_ratchet::durable;
use prompt_ratchet::eval::Outcome;
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::report::{Aspects, Breakdown, LengthBias, json_lost_amount, plural};
use prompt_ratchet::stats::LabelScore;
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::measure::{Bench, SplitChoice, Used, note, split_names, unquoted};
use super::report::{json_interval, json_macro_f1, print, print_json, print_with};

mod csv;
mod table;
mod watch;

pub use table::shown_row;

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
are left out: copying one is not knowing. Where no row could run the exit code is 2,
or 4 where the provider is to blame.")]
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

/// What an evaluation came to.
struct Evaluated {
    /// What was measured on what.
    title: String,
    breakdown: Breakdown,
    used: Used,
    /// Rows that were left out since the prompt quotes them.
    quoted: usize,
    /// The rows for `--csv`.
    export: Option<csv::Export>,
}

impl Eval {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        if self.watch {
            return watch::watch(&self, global).await;
        }
        self.check_csv()?;
        let Evaluated { title, breakdown, used, quoted, export } = self.evaluated(global).await?;
        let on_stdout = export.map(|export| self.export(global, export)).transpose()?.unwrap_or(false);
        if self.json {
            print_json(&json(&breakdown, &used, quoted))?;
            return Ok(Exit::Done);
        }
        let text = format!("{}{}\n", table::Page { title, breakdown: &breakdown, quoted }, used.words());
        if on_stdout {
            // stdout is taken by the rows.
            note(global.quiet, text.trim_end());
        } else {
            print(&text)?;
        }
        Ok(Exit::Done)
    }

    /// Scores the rows. They are gone when it returns: what is made of their scores needs room, too.
    async fn evaluated(&self, global: &Global) -> Result<Evaluated, Failure> {
        let mut bench = Bench::load(global).await?;
        let splits = SplitChoice::splits(self.split);
        let rows = self.rows(&bench)?;
        let prompts = match &self.prompt {
            Some(path) => bench.prompts(path)?,
            None => Arc::clone(&bench.project.prompts),
        };
        let (rows, quoted) = self.scored(rows, &prompts)?;
        bench.leave_out_addresses().await?;
        let mut breakdown = Breakdown::new(self.aspects(&bench), rows.len());
        let mut export = self.csv.as_ref().map(|_| csv::Export::new(&rows, &bench.project.dataset));
        let mut take = |at: usize, outcome: Outcome| {
            breakdown.take(at, &outcome);
            if let Some(export) = &mut export {
                export.take(at, &outcome);
            }
        };
        let used = bench.stream(&prompts, &rows, "eval", &mut take).await?;
        bench.book(&splits, &format!("eval-{}", prompts.digest().short()), false, &rows)?;
        let title = format!("{} on {}", prompts.names(), split_names(&splits));
        Ok(Evaluated { title, breakdown, used, quoted, export })
    }

    fn rows(&self, bench: &Bench) -> Result<Rows, Failure> {
        let limit = self.limit.map(|limit| limit as usize);
        bench.rows(&SplitChoice::splits(self.split), &self.filter, limit)
    }

    /// Those of `rows` that count for a prompt, and how many it quotes and that don't.
    fn scored(&self, rows: Rows, prompts: &PromptSet) -> Result<(Rows, usize), Failure> {
        if self.count_quoted { Ok((rows, 0)) } else { unquoted(&rows, &[prompts]) }
    }

    /// What an evaluation is taken apart by.
    fn aspects(&self, bench: &Bench) -> Aspects {
        Aspects {
            objective: bench.project.objective(),
            labels: bench.labels(),
            fields: label_sets(bench.project.dataset.rows.iter()),
            judges: bench.project.scorers.judges().map(|judge| judge.label().to_owned()).collect(),
            pass_threshold: bench.project.config.pass_threshold,
            worst: self.worst,
        }
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

    /// Writes the rows; true where to stdout.
    fn export(&self, global: &Global, export: csv::Export) -> Result<bool, Failure> {
        let Some(path) = self.csv.as_ref().filter(|path| *path != Path::new("-")) else {
            print_with(|stdout| export.write(stdout))?;
            return Ok(true);
        };
        let rows = plural(export.rows(), "row");
        durable::write_with(path, |file| export.write(file)).map_err(Failure::usage)?;
        note(global.quiet, &format!("{rows} written to {}", path.display()));
        Ok(false)
    }
}

/// The object of `--json`.
fn json(breakdown: &Breakdown, used: &Used, quoted: usize) -> serde_json::Value {
    let (summary, classified, length) = (breakdown.summary(), breakdown.classified(), breakdown.length());
    let classified = classified.as_ref();
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
        "cut": breakdown.cut(),
        "quoted": quoted,
        "labels": labels,
        "macro_f1": json_macro_f1(classified.map(|classified| classified.macro_f1)),
        "calls": used.live,
        "tokens": used.tokens,
        "cost_usd": used.dollars,
        "seconds": used.seconds,
    });
    if let Some(lost) = json_lost_amount(used.lost, used.dollars.is_some()) {
        object["lost"] = lost;
    }
    let objective = breakdown.objective().kind();
    if !objective.is_mean_score() {
        object["objective"] = json!(objective);
    }
    if !length.is_empty() {
        let length: Vec<serde_json::Value> = length.iter().map(LengthBias::json).collect();
        object["judge"] = json!({ "calls": used.judged, "length": length });
    }
    if let Some(certainty) = breakdown.certainty() {
        object["certainty"] = certainty.json();
    }
    object
}
