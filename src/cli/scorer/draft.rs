//! `ratchet scorer draft`: a scorer written by a model, shown with its verdicts, and saved only when accepted.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::dataset::{Example, Selection, Split};
use prompt_ratchet::durable;
use prompt_ratchet::eval::Outcome;
use prompt_ratchet::model::Limits;
use prompt_ratchet::project::{Draft as Drafted, DraftError, DraftKind, Models};
use prompt_ratchet::report::plural;
use serde_json::{Value, json};

use super::super::say;
use crate::cli::Global;
use crate::cli::eval::shown_row;
use crate::cli::exit::{Exit, Failure};
use crate::cli::measure::Bench;
use crate::cli::plain::{WIDTH, neutral, paragraph};
use crate::cli::report::{print, print_json};

/// Have a model write a rubric, or a Python scorer, from what you say good means
///
/// It is shown with its verdicts on some train rows, and saved only when you accept it: a rubric as a scorers table at the
/// end of the config file, a Python function in scorers/ beside it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ratchet scorer draft \"a reply that is kind and says when it will be done\"
  ratchet scorer draft --python \"names the order number, at most 80 words\"
  ratchet scorer draft \"...\" --yes        save it without asking

The model is [models.proposer]; the verdicts are those of [models.judge]. Python that
a model wrote runs on this machine: read it before you let it. Without a terminal
nothing is run or saved unless --yes says so; the same draft is then a stored one.")]
pub struct Draft {
    /// What good means, in your words
    good: String,
    /// Write a Python function instead of a rubric
    #[arg(long)]
    python: bool,
    /// What to call it; by default as the model does
    #[arg(long)]
    name: Option<String>,
    /// How many train rows to show the model and to score
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=50))]
    rows: u32,
    /// Save it, and run what has to be run, without asking
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Draft {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let bench = Bench::load(global).await?;
        let selection = Selection { splits: vec![Split::Train], filters: Vec::new(), limit: Some(self.rows as usize) };
        let rows: Vec<Arc<Example>> = selection.rows(&bench.project.dataset).iter().collect();
        let models = bench.models(Limits::default())?;
        let kind = if self.python { DraftKind::Python } else { DraftKind::Rubric };
        let drafted = bench.project.draft(&models, kind, &self.good, self.name.as_deref(), &rows).await;
        let drafted = drafted.map_err(|error| failure(error, &models))?;
        if !self.json {
            print(&format!("{}\n", neutral(&shown(&drafted))))?;
        }
        let runs = drafted.script.is_none() || self.may(&format!("Run it on {}?", plural(rows.len(), "row")))?;
        let outcomes = if runs { Some(verdicts(&bench, &models, &drafted, &rows).await?) } else { None };
        if let Some(outcomes) = outcomes.as_ref().filter(|_| !self.json) {
            print(&page(outcomes).map_err(Failure::usage)?)?;
        }
        let scores_none = outcomes.as_deref().and_then(scores_none);
        let saved = runs && scores_none.is_none() && self.may("Save it?")?;
        if saved {
            save(&bench, &drafted)?;
        }
        if self.json {
            print_json(&object(&drafted, outcomes.as_deref(), saved))?;
        }
        if let Some(error) = scores_none {
            return Err(Failure { exit: Exit::CouldNotRun, error });
        }
        if !self.json && !saved {
            let not = if runs { "not saved; --yes saves it" } else { "neither run nor saved; --yes does both" };
            bench.note(&format!("{not}, or paste the lines above into the config file"));
        }
        Ok(Exit::Done)
    }

    /// Whether the user agrees: by `--yes`, or at a terminal.
    fn may(&self, question: &str) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if self.json || !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Ok(false);
        }
        say::part(format_args!("{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(Failure::usage)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

fn failure(error: DraftError, models: &Models) -> Failure {
    match error {
        DraftError::Project(error) => error.into(),
        DraftError::Outcome(error) => Failure::of_models(models, &error),
        DraftError::Call(error) => Failure::of_models(models, &error.into()),
        error @ (DraftError::NoWriter | DraftError::Undescribed) => Failure::usage(error),
        error @ DraftError::Unusable(_) => Failure { exit: Exit::CouldNotRun, error: error.into() },
    }
}

/// The draft as it would be saved.
fn shown(drafted: &Drafted) -> String {
    let script = drafted.script.as_ref().map(|(path, text)| format!("# {path}\n{text}\n"));
    format!("{}{}", script.unwrap_or_default(), drafted.lines)
}

/// What it says of the answers of the project's prompt.
async fn verdicts(
    bench: &Bench,
    models: &Models,
    drafted: &Drafted,
    rows: &[Arc<Example>],
) -> Result<Vec<Outcome>, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::usage)?;
    let script = match &drafted.script {
        Some((_, text)) => {
            let path = folder.path().join("draft.py");
            std::fs::write(&path, text).map_err(Failure::usage)?;
            Some(path)
        }
        None => None,
    };
    let tried = bench.project.try_draft(models, drafted, script.as_deref(), rows).await;
    Ok(tried.map_err(|error| failure(error, models))?.outcomes)
}

/// That the draft can score none of the rows, where that is so.
fn scores_none(outcomes: &[Outcome]) -> Option<anyhow::Error> {
    let first = outcomes.first()?.result.as_ref().err()?;
    let rows = plural(outcomes.len(), "row");
    let error = || anyhow::anyhow!("it can score none of the {rows}, and is not saved; the first: {first}");
    outcomes.iter().all(|outcome| outcome.result.is_err()).then(error)
}

/// Each row as `eval` shows one.
fn page(outcomes: &[Outcome]) -> Result<String, std::fmt::Error> {
    let mut page = format!("Its verdicts on {} of train:\n", plural(outcomes.len(), "row"));
    for outcome in outcomes {
        shown_row(&mut page, outcome)?;
        if let Err(error) = &outcome.result {
            writeln!(page, "    {}", paragraph(&format!("could not be scored: {error}"), WIDTH - 4, "    ", 5))?;
        }
    }
    Ok(page)
}

/// Writes the script, then the config that names it.
fn save(bench: &Bench, drafted: &Drafted) -> Result<(), Failure> {
    let project = &bench.project;
    let config = project.with_draft(drafted).map_err(|error| {
        Failure::usage(anyhow::anyhow!(
            "it can't be appended to {}: {error}; paste the lines above",
            project.config_file.display()
        ))
    })?;
    if let Some((path, text)) = &drafted.script {
        let file = project.root.join(path);
        if file.exists() {
            let path = Path::new(path).display();
            return Err(Failure::usage(anyhow::anyhow!("{path} is there already; choose another name with --name")));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(Failure::usage)?;
        durable::write(&file, text.as_bytes()).map_err(Failure::usage)?;
        bench.note(&format!("wrote {}", file.display()));
    }
    durable::write(&project.config_file, config.as_bytes()).map_err(Failure::usage)?;
    bench.note(&format!("added {} to {}", drafted.name, project.config_file.display()));
    Ok(())
}

fn object(drafted: &Drafted, outcomes: Option<&[Outcome]>, saved: bool) -> Value {
    let verdict = |outcome: &Outcome| {
        let answer = outcome.result.as_ref().ok();
        json!({
            "row": outcome.example.id,
            "answer": answer.map(|answer| &answer.completion.text),
            "score": answer.map(|answer| answer.value),
            "reason": answer.and_then(|answer| answer.scores.first()?.reason.as_ref()),
            "error": outcome.result.as_ref().err().map(ToString::to_string),
        })
    };
    json!({
        "name": drafted.name,
        "config": drafted.lines,
        "script": drafted.script.as_ref().map(|(path, text)| json!({ "path": path, "text": text })),
        "verdicts": outcomes.map(|outcomes| outcomes.iter().map(verdict).collect::<Vec<_>>()),
        "saved": saved,
    })
}
