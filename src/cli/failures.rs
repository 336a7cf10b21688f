//! `ratchet failures`: the failing rows, grouped by how they fail.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::dataset::Example;
use prompt_ratchet::diagnose::{FailureCluster, FailureKind, diagnose};
use prompt_ratchet::eval::{Outcome, Summary};
use prompt_ratchet::project::{Project, revision};
use prompt_ratchet::report::{RunView, percent, plural};
use prompt_ratchet::run::RunFolder;
use serde_json::{Value, json};

use super::Global;
use super::eval::shown_row;
use super::exit::{Exit, Failure};
use super::measure::{Bench, SplitChoice, split_names};
use super::plain::{WIDTH, line};
use super::report::{print, print_json};
use super::runs::runs_folder;

/// Show what fails, grouped by how it fails
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet failures                                   what the project's prompt gets wrong
  ratchet failures --cluster refunds-as-billing      the rows of one cluster
  ratchet failures --run last                        what was still failing in a run
  ratchet failures --json | jq '.clusters[].label'

Rows whose answer is stored cost nothing; --run makes no call at all.")]
pub struct Failures {
    /// The prompt file, or a folder of them where the project has several; by default the project's
    #[arg(conflicts_with = "run")]
    prompt: Option<PathBuf>,
    /// Which rows; by default train, as the proposer sees them
    #[arg(long, value_enum, conflicts_with = "run")]
    split: Option<SplitChoice>,
    /// Show the rows of this cluster: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// Show the last diagnosis of this run instead: its id, a unique prefix, its folder, or `last`
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Clusters, and the outcomes that they are of.
struct Diagnosis {
    /// What was diagnosed on what.
    title: String,
    /// Largest first.
    clusters: Vec<FailureCluster>,
    /// The outcomes of failing rows, by id; those of a run are missing where the store no longer has them.
    outcomes: BTreeMap<String, Outcome>,
    examples: BTreeMap<String, Arc<Example>>,
    /// Rows that ran and rows that could not; not known of a run.
    summary: Option<Summary>,
    pass_threshold: f64,
}

impl Failures {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let diagnosis = match &self.run {
            Some(run) => of_run(run, global).await?,
            None => self.of_evaluation(global).await?,
        };
        let cluster = self.cluster.as_deref().map(|id| diagnosis.find(id)).transpose()?;
        match (cluster, self.json) {
            (Some(cluster), true) => print_json(&diagnosis.cluster_object(cluster))?,
            (None, true) => print_json(&diagnosis.object())?,
            (Some(cluster), false) => print(&diagnosis.rows_page(cluster))?,
            (None, false) => print(&diagnosis.page(self.run.as_deref()))?,
        }
        Ok(Exit::Done)
    }

    async fn of_evaluation(&self, global: &Global) -> Result<Diagnosis, Failure> {
        let mut bench = Bench::load(global).await?;
        let splits = SplitChoice::splits(Some(self.split.unwrap_or(SplitChoice::Train)));
        let rows = bench.rows(&splits, &[], None)?;
        let prompts = match &self.prompt {
            Some(path) => bench.prompts(path)?,
            None => Arc::clone(&bench.project.prompts),
        };
        bench.leave_out_addresses().await?;
        let measured = bench.measure(&prompts, &rows, "failures").await?;
        bench.book(&splits, &format!("eval-{}", prompts.digest().short()), false, &rows)?;
        bench.note(&measured.used.words());
        let pass_threshold = bench.project.config.pass_threshold;
        let summary = measured.summary();
        let outcomes = measured.evaluation.outcomes;
        Ok(Diagnosis {
            title: format!("{} on {}", prompts.names(), split_names(&splits)),
            clusters: diagnose(&outcomes, pass_threshold, &[]),
            summary: Some(summary),
            pass_threshold,
            ..Diagnosis::new(rows.iter(), outcomes)
        })
    }
}

/// The last diagnosis of a run, with what its incumbent answered as far as that is stored.
async fn of_run(run: &str, global: &Global) -> Result<Diagnosis, Failure> {
    let folder = RunFolder::find(&runs_folder(global)?, run)?;
    let view = RunView::read(&folder)?;
    let Some(last) = view.generations.iter().rev().find(|generation| !generation.clusters.is_empty()) else {
        return Err(Failure::usage(anyhow::anyhow!("run {} has no diagnosis with a failing row", folder.manifest.run)));
    };
    let root = global.config.parent().unwrap_or(Path::new(""));
    let prompts = Arc::new(revision(&folder, &last.incumbent)?);
    let bench = Bench::of(Project::of_run(root, &folder).await?, global);
    let members: Vec<&String> = last.clusters.iter().flat_map(|cluster| &cluster.members).collect();
    let rows: Vec<Arc<Example>> =
        bench.project.dataset.rows.iter().filter(|row| members.contains(&&row.id)).map(Arc::new).collect();
    let (outcomes, _) = bench.stored(&prompts, rows.iter().cloned()).await?;
    Ok(Diagnosis {
        title: format!("run {}, generation {}", folder.manifest.run, last.number),
        clusters: last.clusters.clone(),
        summary: None,
        pass_threshold: bench.project.config.pass_threshold,
        ..Diagnosis::new(rows.into_iter(), outcomes.into_iter().flatten().collect())
    })
}

impl Diagnosis {
    fn new(rows: impl Iterator<Item = Arc<Example>>, outcomes: Vec<Outcome>) -> Self {
        Self {
            title: String::new(),
            clusters: Vec::new(),
            outcomes: outcomes.into_iter().map(|outcome| (outcome.example.id.clone(), outcome)).collect(),
            examples: rows.map(|example| (example.id.clone(), example)).collect(),
            summary: None,
            pass_threshold: 1.0,
        }
    }

    /// The cluster of that id, or the only one whose id begins like it.
    fn find(&self, id: &str) -> Result<&FailureCluster, Failure> {
        if let Some(exact) = self.clusters.iter().find(|cluster| cluster.id == id) {
            return Ok(exact);
        }
        let matching: Vec<&FailureCluster> =
            self.clusters.iter().filter(|cluster| cluster.id.starts_with(id)).collect();
        if let [one] = matching[..] {
            return Ok(one);
        }
        let names =
            |clusters: &[&FailureCluster]| clusters.iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(", ");
        let id = line(id, 40);
        Err(Failure::usage(if matching.is_empty() {
            anyhow::anyhow!("no cluster `{id}`; there are: {}", names(&self.clusters.iter().collect::<Vec<_>>()))
        } else {
            anyhow::anyhow!("several clusters begin with `{id}`: {}", names(&matching))
        }))
    }

    fn page(&self, run: Option<&str>) -> String {
        let mut text = format!("{}\n", console::style(line(&self.title, WIDTH)).bold());
        let failing: usize = self.clusters.iter().map(|cluster| cluster.members.len()).sum();
        if let Some(summary) = &self.summary {
            text += &format!("{failing} of {} fail", plural(summary.examples, "row"));
            if summary.errors > 0 {
                text += &format!("; {} could not run and count nowhere", plural(summary.errors, "row"));
            }
        } else {
            text += &format!("{} failing", plural(failing, "row"));
        }
        text += &format!(", {}\n", plural(self.clusters.len(), "cluster"));
        for cluster in &self.clusters {
            let size = format!("{:>4} {:>7}", cluster.members.len(), percent(cluster.share));
            text += &format!("\n{size}  {}\n", console::style(line(&cluster.id, WIDTH - 14)).bold());
            text += &format!("    {}\n", line(&cluster.label, WIDTH - 4));
        }
        if let Some(first) = self.clusters.first() {
            let run = run.map(|run| format!(" --run {run}")).unwrap_or_default();
            text += &format!("\nrows of a cluster: ratchet failures{run} --cluster {}\n", first.id);
        }
        text
    }

    fn rows_page(&self, cluster: &FailureCluster) -> String {
        let mut text = format!("{}\n", console::style(line(&cluster.id, WIDTH)).bold());
        text += &format!("{}\n", line(&cluster.label, WIDTH));
        text += &format!("{}, {} of those that ran\n\n", plural(cluster.members.len(), "row"), percent(cluster.share));
        for id in &cluster.members {
            // Writing to a string does not fail.
            let _ = match (self.outcomes.get(id), self.examples.get(id)) {
                (Some(outcome), _) => shown_row(&mut text, outcome),
                (None, Some(example)) => {
                    let input = format!("{id}  {}", example.input_text());
                    writeln!(text, "{}\n    (its answer is no longer stored)", line(&input, WIDTH))
                }
                (None, None) => writeln!(text, "{}", line(id, WIDTH)),
            };
        }
        text += &format!("\nnext: {}\n", next_step(cluster));
        text
    }

    fn object(&self) -> Value {
        json!({
            "of": self.title,
            "examples": self.summary.as_ref().map(|summary| summary.examples),
            "errors": self.summary.as_ref().map(|summary| summary.errors),
            "failing": self.clusters.iter().map(|cluster| cluster.members.len()).sum::<usize>(),
            "pass_threshold": self.pass_threshold,
            "clusters": self.clusters,
        })
    }

    fn cluster_object(&self, cluster: &FailureCluster) -> Value {
        let rows: Vec<Value> = cluster
            .members
            .iter()
            .map(|id| {
                let example = self.examples.get(id);
                let answer = self.outcomes.get(id).and_then(|outcome| outcome.result.as_ref().ok());
                json!({
                    "id": id,
                    "input": example.map(|example| &example.input),
                    "expected": example.and_then(|example| example.expected.as_ref()),
                    "tags": example.map(|example| &example.tags),
                    "answer": answer.map(|answer| &answer.completion.text),
                    "value": answer.map(|answer| answer.value),
                    "scores": answer.map(|answer| &answer.scores),
                })
            })
            .collect();
        json!({ "of": self.title, "cluster": cluster, "rows": rows })
    }
}

/// What usually mends a failure of this kind, within a line or two.
fn next_step(cluster: &FailureCluster) -> String {
    let prompt = cluster.prompt.as_deref().map_or("the prompt".to_owned(), |prompt| line(prompt, 24));
    match &cluster.kind {
        FailureKind::Confusion { expected, answered } => {
            let (expected, answered) = (line(expected, 24), line(answered, 24));
            format!("say in {prompt} what tells {expected}\nfrom {answered}, or check these rows' labels")
        }
        FailureKind::Format => format!("ask for the exact form of the answer at the end of {prompt}"),
        FailureKind::Refusal => format!("say in {prompt} why answering is all right"),
        FailureKind::Empty => format!("say in {prompt} what to answer where nothing fits"),
        FailureKind::Truncated => "raise models.task.max_tokens, or ask for a shorter answer".to_owned(),
        FailureKind::Criterion { name } => format!("say in {prompt} what `{}` wants", line(name, 40)),
    }
}
