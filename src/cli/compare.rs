//! `ratchet compare`: two prompts on the same rows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use prompt_ratchet::config;
use prompt_ratchet::dataset::{Filter, Split};
use prompt_ratchet::eval::{Change, Comparison, Outcome};
use prompt_ratchet::project::{Project, revision};
use prompt_ratchet::prompt::PromptSet;
use prompt_ratchet::report::{
    Finding, MacroF1, macro_f1_difference, p_value, percent, plural, points, signed_interval,
};
use prompt_ratchet::run::RunFolder;
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::measure::{Bench, Measured, SplitChoice, left_out, split_names, unquoted};
use super::plain::{WIDTH, line};
use super::report::{json_interval, json_macro_f1, print, print_json};
use super::runs::runs_folder;

/// The kinds of change in the order in which they are told, the bad news first.
const KINDS: [(Change, &str); 5] = [
    (Change::Broken, "broken"),
    (Change::Worsened, "worsened"),
    (Change::Fixed, "fixed"),
    (Change::Improved, "improved"),
    (Change::Unchanged, "unchanged"),
];

/// Said where a revision of a run is compared on rows that its run chose it by: without test rows, and with some.
const SELECTED_ON: [&str; 2] =
    [", and there are no test rows to say which is better", "; only the sealed test says which is better"];

/// Compare two prompts, runs or revisions, row by row
#[derive(Debug, Args)]
#[command(after_help = "Each of A and B is a prompt file or a revision of a run:
  RUN             its winner; RUN is an id, a unique prefix, a folder, or `last`
  RUN:baseline    what it started from
  RUN:gen3        the best after generation 3
  RUN:4f1c        a candidate, kept or not, by its id
Two revisions of one run are measured as the run was, on its rows, with its
model and scorers; with --set, or across runs, as the config is now.

Examples:
  ratchet compare prompts/support-tickets.prompty draft.prompty
  ratchet compare last:baseline last
  ratchet compare --require-better main.prompty new.prompty

Exit codes: 0 B is not shown to be worse, 1 B is worse (the whole interval is
below 0), 3 with --require-better: not shown to be better.")]
pub struct Compare {
    /// The prompt file or revision to compare with
    a: String,
    /// The prompt file or revision that may be better
    b: String,
    /// Which rows; by default train and dev
    #[arg(long, value_enum)]
    split: Option<SplitChoice>,
    /// At most so many rows: the same sample every time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only rows with `tag=..`, `id=..`, `expected=..` or `metadata.<field>=..`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// How many rows to list for each kind of change
    #[arg(long, value_name = "N", default_value_t = 10)]
    rows: usize,
    /// Exit with 3 unless B is shown to be better
    #[arg(long)]
    require_better: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is told of the rows, beside what became of them.
struct Rows {
    splits: String,
    /// How many were left out since A or B quotes them.
    quoted: usize,
    /// With which config, where A or B is a run's.
    measured_with: Option<String>,
    /// Which of A and B a run chose by them.
    selected_on: Vec<&'static str>,
    /// Whether there are others to ask, which it did not.
    has_test: bool,
    /// What the scores are.
    objective: config::Objective,
    /// The difference of macro F1, of a task of labels.
    macro_f1: Option<MacroF1>,
}

impl Compare {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let sides = [Side::find(global, &self.a)?, Side::find(global, &self.b)?];
        let run = common_run(&sides).filter(|_| global.overrides.is_empty());
        let mut bench = match run {
            Some(run) => {
                let root = global.config.parent().unwrap_or(Path::new(""));
                Bench::of(Project::of_run(root, run).await?, global)
            }
            None => Bench::load(global).await?,
        };
        let splits = SplitChoice::splits(self.split);
        let rows = bench.rows(&splits, &self.filter, self.limit.map(|limit| limit as usize))?;
        let [a, b] = [sides[0].prompts(&bench)?, sides[1].prompts(&bench)?];
        let is_open = splits.iter().any(|split| *split != Split::Test);
        let chosen = sides.iter().zip(["A", "B"]).filter(|(side, _)| is_open && side.is_chosen());
        let selected_on: Vec<&str> = chosen.map(|(_, name)| name).collect();
        // A prompt compared with itself asks nothing of the rows.
        let is_same = texts(&a) == texts(&b);
        if is_same {
            bench.note("note: A and B are the same text");
        }
        let (rows, quoted) = unquoted(&rows, &[&a, &b])?;
        bench.leave_out_addresses().await?;
        let before = bench.measure(&a, &rows, "A").await?;
        let after = bench.measure(&b, &rows, "B").await?;
        if !is_same {
            bench.book(&splits, &format!("compare-{}-{}", a.digest().short(), b.digest().short()), true, &rows)?;
        }
        let pass_threshold = bench.project.config.pass_threshold;
        let objective = bench.project.objective();
        let comparison = objective.compare(&before.evaluation.outcomes, &after.evaluation.outcomes, pass_threshold);
        let finding = Finding::of(&comparison);
        let macro_f1 = match objective.kind() {
            config::Objective::MeanScore => bench.labels().and_then(|labels| {
                macro_f1_difference(&before.evaluation.outcomes, &after.evaluation.outcomes, &labels)
            }),
            config::Objective::MacroF1 => Some(MacroF1 { value: comparison.difference, interval: comparison.interval }),
        };
        if self.json {
            let mut object = self.object(&comparison, finding, [&before, &after]);
            object["quoted"] = json!(quoted);
            object["macro_f1_difference"] = json_macro_f1(macro_f1);
            if !objective.kind().is_mean_score() {
                object["objective"] = json!(objective.kind());
            }
            object["measured_as"] = json!(run.map(|run| &run.manifest.run));
            object["selected_on"] = json!(!selected_on.is_empty());
            print_json(&object)?;
        } else {
            let measured_with = sides.iter().any(|side| side.run().is_some()).then(|| measured_with(&bench, run));
            let (splits, objective) = (split_names(&splits), objective.kind());
            let has_test = bench.project.dataset.splits.contains(&Split::Test);
            let rows = Rows { splits, quoted, measured_with, selected_on, has_test, objective, macro_f1 };
            print(&self.page(&comparison, finding, [&before, &after], &rows))?;
            if !bench.project.config.models.task.is_deterministic() {
                bench.note("note: this model may answer otherwise the next time; single rows may have changed by luck");
            }
        }
        Ok(exit(finding, self.require_better))
    }

    fn object(&self, comparison: &Comparison, finding: Finding, [before, after]: [&Measured; 2]) -> serde_json::Value {
        let ids = |change| comparison.ids(change).collect::<Vec<_>>();
        json!({
            "a": { "name": self.a, "score": comparison.before },
            "b": { "name": self.b, "score": comparison.after },
            "rows": comparison.rows.len(),
            "missing": comparison.missing,
            "difference": comparison.difference,
            "interval": json_interval(&comparison.interval),
            "p_value": comparison.p_value,
            "finding": finding.name(),
            "rows_to_show": if let Finding::Unclear { rows } = finding { rows } else { None },
            "fixed": ids(Change::Fixed),
            "broken": ids(Change::Broken),
            "improved": ids(Change::Improved),
            "worsened": ids(Change::Worsened),
            "unchanged": comparison.count(Change::Unchanged),
            "calls": before.used.live + after.used.live,
        })
    }

    fn page(&self, comparison: &Comparison, finding: Finding, arms: [&Measured; 2], rows: &Rows) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_page(&mut text, comparison, finding, arms, rows);
        text
    }

    fn write_page(
        &self,
        f: &mut String,
        comparison: &Comparison,
        finding: Finding,
        [before, after]: [&Measured; 2],
        rows: &Rows,
    ) -> std::fmt::Result {
        writeln!(f, "A {:>8}  {}", percent(comparison.before), line(&self.a, WIDTH - 12))?;
        writeln!(f, "B {:>8}  {}", percent(comparison.after), line(&self.b, WIDTH - 12))?;
        write!(f, "on {} of {}", plural(comparison.rows.len(), "row"), rows.splits)?;
        match comparison.missing {
            0 => writeln!(f)?,
            missing => writeln!(f, "; {} could not run with both and count nowhere", plural(missing, "row"))?,
        }
        for words in left_out(rows.quoted, "A or B").iter().chain(&rows.measured_with) {
            writeln!(f, "{}", line(words, WIDTH))?;
        }
        let counts: Vec<String> =
            KINDS.iter().map(|(change, name)| format!("{} {name}", comparison.count(*change))).collect();
        writeln!(f, "\n{}", counts.join(", "))?;
        let [before_by_id, after_by_id] = [before, after].map(|arm| by_id(&arm.evaluation.outcomes));
        for (change, name) in KINDS.iter().filter(|(change, _)| *change != Change::Unchanged) {
            let ids: Vec<&str> = comparison.ids(*change).collect();
            if ids.is_empty() || self.rows == 0 {
                continue;
            }
            writeln!(f, "\n{name}")?;
            for id in ids.iter().take(self.rows) {
                row(f, id, before_by_id.get(id).copied(), after_by_id.get(id).copied())?;
            }
            let more = ids.len().saturating_sub(self.rows);
            if more > 0 {
                writeln!(f, "and {more} more; show them with --rows N")?;
            }
        }
        let (difference, interval) = (points(comparison.difference), signed_interval(&comparison.interval));
        let name = if rows.objective.is_mean_score() { "difference" } else { rows.objective.words() };
        writeln!(f, "\n{name} {difference}, 95 % interval {interval}, {}", p_value(comparison.p_value))?;
        if let Some(MacroF1 { value, interval }) = rows.macro_f1.as_ref().filter(|_| rows.objective.is_mean_score()) {
            let (difference, interval) = (points(*value), signed_interval(interval));
            writeln!(f, "macro F1 {difference}, 95 % interval {interval}; not what decides")?;
        }
        let verdict = match finding {
            Finding::Better | Finding::Worse => format!("B is {finding}"),
            other => other.to_string(),
        };
        writeln!(f, "{}", console::style(verdict).bold())?;
        if !rows.selected_on.is_empty() {
            let honest = SELECTED_ON[usize::from(rows.has_test)];
            writeln!(f, "these rows chose {}{honest}", rows.selected_on.join(" and "))?;
        }
        writeln!(f, "\nA {}\nB {}", before.used.words(), after.used.words())
    }
}

/// What A or B names.
enum Side {
    File(PathBuf),
    /// A revision of a run; `chosen` unless it is the text that the run began with.
    Revision {
        run: RunFolder,
        prompts: Arc<PromptSet>,
        chosen: bool,
    },
}

impl Side {
    /// A prompt file or a folder of them, or `RUN` or `RUN:REVISION`.
    fn find(global: &Global, name: &str) -> Result<Self, Failure> {
        let path = Path::new(name);
        let holds_prompts = path.is_dir() && !path.join("run.json").is_file();
        if path.is_file() || holds_prompts {
            return Ok(Self::File(path.to_path_buf()));
        }
        let (run, wanted) = match name.rsplit_once(':') {
            Some((run, wanted)) if !path.exists() => (run, wanted),
            _ => (name, "winner"),
        };
        let run = RunFolder::find(&runs_folder(global)?, run).map_err(|error| {
            Failure::usage(anyhow::Error::new(error).context(format!("`{name}` is neither a prompt file nor a run")))
        })?;
        let prompts = Arc::new(revision(&run, wanted)?);
        let chosen = prompts.digest() != revision(&run, "baseline")?.digest();
        Ok(Self::Revision { run, prompts, chosen })
    }

    fn run(&self) -> Option<&RunFolder> {
        match self {
            Self::File(_) => None,
            Self::Revision { run, .. } => Some(run),
        }
    }

    fn is_chosen(&self) -> bool {
        matches!(self, Self::Revision { chosen: true, .. })
    }

    fn prompts(&self, bench: &Bench) -> Result<Arc<PromptSet>, Failure> {
        match self {
            Self::File(path) => bench.prompts(path),
            Self::Revision { prompts, .. } => Ok(Arc::clone(prompts)),
        }
    }
}

/// The run that both are revisions of.
fn common_run(sides: &[Side; 2]) -> Option<&RunFolder> {
    let [a, b] = [sides[0].run()?, sides[1].run()?];
    (a.path == b.path).then_some(a)
}

/// Whose model and scorers answer and score: those of `run`, or else the config's as it is now.
fn measured_with(bench: &Bench, run: Option<&RunFolder>) -> String {
    let config = &bench.project.config;
    let model = config.models.task.model.as_deref().unwrap_or("the embedded model");
    let scorers: Vec<_> = config.scorers.iter().map(|scorer| scorer.name()).collect();
    let whose = match run {
        Some(_) => "measured as the run was",
        None => "measured as the config is now",
    };
    format!("{whose}: {model}, {}", scorers.join(" + "))
}

fn texts(prompts: &PromptSet) -> Vec<&str> {
    prompts.iter().map(|prompt| prompt.text()).collect()
}

fn by_id(outcomes: &[Outcome]) -> BTreeMap<&str, &Outcome> {
    outcomes.iter().map(|outcome| (outcome.example.id.as_str(), outcome)).collect()
}

/// The id and the input on a line, the two answers below.
fn row(f: &mut String, id: &str, before: Option<&Outcome>, after: Option<&Outcome>) -> std::fmt::Result {
    let input = before.map(|outcome| outcome.example.input_text()).unwrap_or_default();
    writeln!(f, "{}", line(&format!("{id}  {input}"), WIDTH))?;
    let answer = |outcome: Option<&Outcome>| {
        let text = outcome.and_then(|outcome| outcome.result.as_ref().ok()).map(|answer| answer.completion.text.trim());
        line(text.filter(|text| !text.is_empty()).unwrap_or("(nothing)"), (WIDTH - 8) / 2)
    };
    writeln!(f, "    {} → {}", answer(before), answer(after))
}

fn exit(finding: Finding, require_better: bool) -> Exit {
    match finding {
        Finding::Worse => Exit::Regressed,
        Finding::Better => Exit::Done,
        Finding::Same | Finding::Unclear { .. } | Finding::Nothing if require_better => Exit::Inconclusive,
        // Without a row that ran in both there is nothing that could have passed.
        Finding::Nothing => Exit::CouldNotRun,
        Finding::Same | Finding::Unclear { .. } => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shown_loss_fails_unless_a_gain_is_required() {
        let unclear = Finding::Unclear { rows: Some(900) };
        let codes = |require| [Finding::Better, unclear, Finding::Same, Finding::Worse].map(|f| exit(f, require) as u8);
        assert_eq!(codes(false), [0, 0, 0, 1]);
        assert_eq!(codes(true), [0, 3, 3, 1]);
    }
}
