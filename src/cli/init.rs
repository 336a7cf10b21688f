//! `ratchet init`: a project from a data file.

use std::path::{Path, PathBuf};

use clap::Args;
use prompt_ratchet::config::Provider;
use prompt_ratchet::project::{CONFIG_FILE, FirstModel, InitError, Scaffold};
use prompt_ratchet::report::plural;

use super::Global;
use super::exit::{Exit, Failure};
use super::plain::{WIDTH, for_stderr, line, neutral};
use super::report::print;
use super::say;

/// Most labels that are listed.
const LABELS: usize = 12;

/// Start a project from a CSV, TSV, JSON, JSONL or YAML file of examples
#[derive(Debug, Args)]
#[command(after_help = "Guesses which columns hold the input and the expected answer, writes ratchet.toml
and a first prompt, and says what it guessed. The project runs at once on the
embedded model, which needs no key.

Examples:
  ratchet init tickets.csv
  ratchet init ~/data/tickets.jsonl --dir tickets
  ratchet init tickets.csv --provider openai --model gpt-5-mini
  ratchet init tickets.csv --provider openai --model qwen3 --base-url http://127.0.0.1:8000/v1")]
pub struct Init {
    /// The file of examples
    data: PathBuf,
    /// The project's folder; made if there is none
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// What serves the model: openai for any server that speaks like it, anthropic, ollama, ... (docs/models.md)
    #[arg(long, value_name = "NAME", value_parser = provider, default_value = "embedded")]
    provider: Provider,
    /// The model's name as the provider knows it
    #[arg(long)]
    model: Option<String>,
    /// The endpoint, as in http://127.0.0.1:8000/v1; by default the provider's own
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The environment variable that holds the key; by default the provider's usual one; with openai and --base-url, none
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
}

/// A provider by its name; one that needs more than a model and an address is written into the config by hand.
fn provider(name: &str) -> Result<Provider, String> {
    let ready = |provider: &Provider| *provider != Provider::Command;
    Provider::named(name).filter(ready).ok_or_else(|| {
        let names: Vec<&str> = Provider::ALL.into_iter().filter(ready).map(Provider::name).collect();
        format!("one of {}", names.join(", "))
    })
}

impl Init {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        if let Some((key, _)) = global.overrides.first() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--set {key}: there is no config yet; leave it out, and change {CONFIG_FILE} when it is written"
            )));
        }
        let model = self.first_model()?;
        let scaffold = Scaffold::plan(&self.data, &self.dir, &model).map_err(failure)?;
        scaffold.write(self.force).map_err(failure)?;
        if !global.quiet {
            let warnings = scaffold.warnings.iter().map(ToString::to_string);
            for warning in scaffold.guess.doubts.iter().map(ToString::to_string).chain(warnings) {
                say::line(for_stderr(&format!("warning: {}", neutral(&warning))));
            }
        }
        print(&summary(&scaffold, &self.dir))?;
        Ok(Exit::Done)
    }

    fn first_model(&self) -> Result<FirstModel, Failure> {
        let provider = self.provider;
        let given = [("--model", &self.model), ("--base-url", &self.base_url), ("--api-key-env", &self.api_key_env)];
        if provider == Provider::Embedded
            && let Some((flag, _)) = given.into_iter().find(|(_, value)| value.is_some())
        {
            return Err(Failure::usage(anyhow::anyhow!(
                "{flag} needs another --provider, as openai: the embedded model has none"
            )));
        }
        if provider != Provider::Embedded && self.model.is_none() {
            return Err(Failure::usage(anyhow::anyhow!("--provider {} needs --model NAME", provider.name())));
        }
        let needs_key = provider == Provider::Openai && self.base_url.is_none();
        let api_key_env = self.api_key_env.clone().or_else(|| needs_key.then(|| "OPENAI_API_KEY".to_owned()));
        Ok(FirstModel { provider, model: self.model.clone(), base_url: self.base_url.clone(), api_key_env })
    }
}

fn failure(error: InitError) -> Failure {
    let exit = if matches!(error, InitError::Write(_)) { Exit::CouldNotRun } else { Exit::Usage };
    Failure { exit, error: error.into() }
}

fn summary(scaffold: &Scaffold, dir: &Path) -> String {
    let guess = &scaffold.guess;
    let mut text = format!("{} in {}\n\nguessed\n", plural(guess.rows, "row"), scaffold.dataset.display());
    let mut say = |what: &str, value: String| text += &format!("  {what:<9} {}\n", line(&value, WIDTH - 12));
    say("input", guess.input.join(" + "));
    say("expected", guess.expected.clone().unwrap_or_else(|| "none found".to_owned()));
    if let Some(labels) = &scaffold.labels {
        let shown: Vec<String> = labels.iter().take(LABELS).map(|(label, rows)| format!("{label} ({rows})")).collect();
        let more = labels.len().saturating_sub(LABELS);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        say("labels", format!("{} of them", labels.len()));
        for label in shown {
            say("", label);
        }
        if !more.is_empty() {
            say("", more.trim_start_matches(", ").to_owned());
        }
    }
    let fields = &guess.fields;
    for (what, column) in [("id", &fields.id), ("tags", &fields.tags), ("split", &fields.split)] {
        if let Some(column) = column {
            say(what, column.clone());
        }
    }
    let others = guess.others();
    if !others.is_empty() {
        say("metadata", format!("{}: no prompt sees them", others.join(", ")));
    }
    let (kind, reason) = scaffold.scorer;
    say("scorer", format!("{kind}: {reason}"));
    let within = |path: &Path| if dir == Path::new(".") { path.to_path_buf() } else { dir.join(path) };
    text += "\nwrote\n";
    for (path, _) in &scaffold.files {
        text += &format!("  {}\n", within(path).display());
    }
    if let Some((from, to)) = &scaffold.copy {
        text += &format!("  {} (a copy of {})\n", within(to).display(), from.display());
    }
    text += &format!("  {} (runs and stored answers hold copies of rows)\n", within(Path::new(".gitignore")).display());
    text += &format!("\nCheck the guesses in {CONFIG_FILE} and in the prompt, then\n");
    if dir != Path::new(".") {
        text += &format!("  cd {}\n", dir.display());
    }
    neutral(&(text + "  ratchet eval\n  ratchet optimize\n"))
}
