//! A first project from a data file: columns, labels and a prompt guessed, checked by loading what would be written.
//!
//! [`Scaffold::plan`] reads and decides and writes nothing; [`Scaffold::write`] writes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::config::{Config, ConfigError, Provider};
use crate::dataset::{Columns, DatasetError, Fields, Guess, PackedDataset, Source, Warning, guess, labels, load};
use crate::durable::{self, DurableError};
use crate::prompt::{Prompt, PromptError, PromptSet};
use serde_json::Value;

use super::CONFIG_FILE;
use super::first_prompt::{first_prompt, prompt_file};

/// Longest expected answer, in characters, that is worth comparing as a whole.
const SHORT_ANSWER: usize = 80;

/// What `.gitignore` must hold: runs and the store have copies of rows.
const IGNORED: [&str; 2] = ["/runs/", "/.ratchet/"];

/// The model that a new project asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstModel {
    /// What serves it.
    pub provider: Provider,
    /// Its name as the provider knows it; not for the embedded model.
    pub model: Option<String>,
    /// The endpoint, where it isn't the provider's own.
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
}

/// Why a project can't be scaffolded. Nothing was written, but for the files before one that failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The data can't be used.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// There is no data file.
    #[error("{}: no such file; name the file of examples", .0.display())]
    NoFile(PathBuf),
    /// The data file holds no rows.
    #[error("{}: there are no rows in it; put some examples in, each with an input and, best, the expected answer", .0.display())]
    NoRows(PathBuf),
    /// No column looks like an input.
    #[error(
        "{}: no column looks like the input; there are: {columns}. Name one `input`, or write {CONFIG_FILE} by hand",
        file.display()
    )]
    NoInput {
        /// The data file.
        file: PathBuf,
        /// Its columns.
        columns: String,
    },
    /// The folder's place relative to the data can't be told.
    #[error("{}: {error}", path.display())]
    Place {
        /// What was looked for.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// Files are there already.
    #[error("already there: {}; --force overwrites, --dir starts elsewhere", list(.0))]
    Exists(Vec<PathBuf>),
    /// The guessed prompt is no prompt for this data.
    #[error("no prompt could be guessed: {0}")]
    Prompt(#[from] PromptError),
    /// The guessed config is none.
    #[error("no config could be guessed: {0}")]
    Config(#[from] ConfigError),
    /// A file can't be written.
    #[error(transparent)]
    Write(#[from] DurableError),
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What would be written, and what it was guessed from.
#[derive(Debug, Clone)]
pub struct Scaffold {
    /// The project's folder.
    pub folder: PathBuf,
    /// The project's name.
    pub name: String,
    /// What the data seems to hold.
    pub guess: Guess,
    /// The labels and their rows, most frequent first, for a task of labels.
    pub labels: Option<Vec<(String, usize)>>,
    /// Type of the scorer and why it was chosen.
    pub scorer: (&'static str, &'static str),
    /// What deserves a look in the data.
    pub warnings: Vec<Warning>,
    /// The data file and the place in the project that it is copied to, where it lies outside.
    pub copy: Option<(PathBuf, PathBuf)>,
    /// The dataset as the config names it.
    pub dataset: PathBuf,
    /// Paths within the folder, and what they will hold.
    pub files: Vec<(PathBuf, String)>,
}

impl Scaffold {
    /// Guesses a project in `folder` for the rows in `data`.
    ///
    /// # Errors
    /// Data that can't be read, or in which no column looks like an input.
    pub fn plan(data: &Path, folder: &Path, model: &FirstModel) -> Result<Self, InitError> {
        if !data.exists() {
            // The loader would point at a config, and there is none yet.
            return Err(InitError::NoFile(data.to_path_buf()));
        }
        let guess = guess(&Source::new(data))?;
        if guess.rows == 0 {
            return Err(InitError::NoRows(data.to_path_buf()));
        }
        if guess.input.is_empty() {
            let columns = guess.columns.join(", ");
            return Err(InitError::NoInput { file: data.to_path_buf(), columns });
        }
        let (dataset, copy) = place(data, folder)?;
        let source = Source { fields: guess.fields.clone(), ..Source::new(data) };
        let found = load(&source, guess.expected.is_some())?;
        let name = slug(&data.file_stem().unwrap_or_default().to_string_lossy());
        let labels = labels(found.dataset.rows.iter());
        let scorer = scorer(&found.dataset);
        let prompt = first_prompt(&found.dataset, labels.as_deref(), &guess.input);
        let prompt_path = prompt_file(&name);
        let set = PromptSet::one(Prompt::parse(&prompt_path.to_string_lossy(), &prompt)?)?;
        for example in found.dataset.rows.iter() {
            set.first().check(&example)?;
        }
        let config = config(&name, &dataset, &guess.fields, &prompt_path, &scorer, model);
        Config::parse(CONFIG_FILE, &config, &[])?;
        Ok(Self {
            folder: folder.to_path_buf(),
            name,
            guess,
            labels,
            scorer: (scorer.kind, scorer.reason),
            warnings: found.warnings,
            copy,
            dataset,
            files: vec![(CONFIG_FILE.into(), config), (prompt_path, prompt)],
        })
    }

    /// Writes the project; without `force` only where none of its files is there yet. `.gitignore` is added to.
    ///
    /// # Errors
    /// A file that is there already or can't be written.
    pub fn write(&self, force: bool) -> Result<(), InitError> {
        let copied = self.copy.iter().map(|(_, to)| to);
        let there: Vec<PathBuf> = self
            .files
            .iter()
            .map(|(path, _)| path)
            .chain(copied)
            .map(|path| self.folder.join(path))
            .filter(|path| path.exists())
            .collect();
        if !force && !there.is_empty() {
            return Err(InitError::Exists(there));
        }
        if let Some((from, to)) = &self.copy {
            let bytes = std::fs::read(from).map_err(|error| InitError::Place { path: from.clone(), error })?;
            durable::write(&self.folder.join(to), &bytes)?;
        }
        for (path, text) in &self.files {
            durable::write(&self.folder.join(path), text.as_bytes())?;
        }
        let path = self.folder.join(".gitignore");
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(InitError::Place { path, error }),
        };
        if let Some(after) = ignoring(&before) {
            durable::write(&path, after.as_bytes())?;
        }
        Ok(())
    }
}

/// The dataset's path as the config has it, and the copy that it takes where the data is outside the folder.
fn place(data: &Path, folder: &Path) -> Result<(PathBuf, Option<(PathBuf, PathBuf)>), InitError> {
    let unplaced = |error| InitError::Place { path: data.to_path_buf(), error };
    let file = data.canonicalize().map_err(unplaced)?;
    // A folder that isn't there yet holds nothing.
    let within = folder.canonicalize().ok().and_then(|root| file.strip_prefix(root).ok().map(Path::to_path_buf));
    if let Some(within) = within {
        // With `/` on every system, so that the config can be shared.
        let parts: Vec<String> = within
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        return Ok((parts.join("/").into(), None));
    }
    let to = PathBuf::from(format!("datasets/{}", data.file_name().unwrap_or_default().to_string_lossy()));
    Ok((to.clone(), Some((data.to_path_buf(), to))))
}

/// A scorer for the config.
struct FirstScorer {
    kind: &'static str,
    /// Further lines of its table.
    options: &'static str,
    pass_threshold: Option<f64>,
    /// Why it was chosen.
    reason: &'static str,
}

/// The scorer that fits the expected answers.
fn scorer(dataset: &PackedDataset) -> FirstScorer {
    let expected: Vec<Option<Value>> = dataset.rows.iter().map(|example| example.expected).collect();
    let of = |kind, options, pass_threshold, reason| FirstScorer { kind, options, pass_threshold, reason };
    if expected.iter().any(Option::is_none) {
        let reason = "no expected answers: any text passes until you write a scorer";
        return of("regex", "pattern = '\\S'\n", None, reason);
    }
    let all = |test: fn(&Value) -> bool| expected.iter().flatten().all(test);
    if labels(dataset.rows.iter()).is_some() {
        of("exact_match", "", None, "the expected answers are labels")
    } else if all(is_number) {
        of("numeric", "", None, "the expected answers are numbers")
    } else if all(Value::is_object) {
        of("json_fields", "", Some(1.0), "the expected answers are JSON objects")
    } else if all(Value::is_array) {
        of("set_match", "", Some(1.0), "the expected answers are lists")
    } else if all(|value| value.as_str().is_some_and(|text| text.chars().count() <= SHORT_ANSWER)) {
        of("exact_match", "ignore_case = true\n", None, "the expected answers are short")
    } else {
        of("levenshtein", "", Some(0.8), "the expected answers are long; similar ones score in part")
    }
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok_and(f64::is_finite))
}

fn config(
    name: &str,
    dataset: &Path,
    fields: &Fields,
    prompt: &Path,
    scorer: &FirstScorer,
    model: &FirstModel,
) -> String {
    let mut text = format!(
        "# Every key is explained in docs/config.md.\nname    = {}\n# What the task is, in a sentence or two; the proposer \
         is told.\n# description = \"\"\nprompt  = {}\n",
        quoted(name),
        quoted(&prompt.to_string_lossy())
    );
    let dataset = quoted(&dataset.to_string_lossy());
    if let Some(threshold) = scorer.pass_threshold {
        text += &format!("pass_threshold = {threshold:?}   # score from which a row passes\n");
    }
    if fields.is_default() {
        text += &format!("dataset = {dataset}\n");
    } else {
        text += &format!("\n[dataset]\npath   = {dataset}\nfields = {{ {} }}\n", mapping(fields));
    }
    text += "\n[models.task]\n";
    match model.provider {
        Provider::Embedded => text += "provider = \"embedded\"   # needs no key and no network\n",
        provider => {
            text += &match provider {
                Provider::Openai => "provider = \"openai\"     # any OpenAI-compatible endpoint\n".to_owned(),
                _ => format!("provider = \"{}\"\n", provider.name()),
            };
            let keys = [("model", &model.model), ("base_url", &model.base_url), ("api_key_env", &model.api_key_env)];
            for (key, value) in keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
                text += &format!("{key} = {}\n", quoted(value));
            }
            text += "temperature = 0\n";
        }
    }
    text += &format!("\n[[scorers]]   # {}\ntype = \"{}\"\n{}", scorer.reason, scorer.kind, scorer.options);
    text
}

fn mapping(fields: &Fields) -> String {
    let input = fields.input.as_ref().map(|input| match input {
        Columns::One(column) => quoted(column),
        Columns::Several(columns) => {
            format!("[{}]", columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "))
        }
    });
    let plain = [("expected", &fields.expected), ("id", &fields.id), ("tags", &fields.tags), ("split", &fields.split)];
    let others = plain.into_iter().filter_map(|(field, column)| Some((field, quoted(column.as_deref()?))));
    let pairs = input.into_iter().map(|input| ("input", input)).chain(others);
    pairs.map(|(field, column)| format!("{field} = {column}")).collect::<Vec<_>>().join(", ")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A `.gitignore` with what is missing added; none where nothing is.
fn ignoring(text: &str) -> Option<String> {
    let known: BTreeSet<&str> = text.lines().map(|line| line.trim().trim_matches('/')).collect();
    let missing: Vec<&str> = IGNORED.into_iter().filter(|line| !known.contains(line.trim_matches('/'))).collect();
    if missing.is_empty() {
        return None;
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{gap}{}\n", missing.join("\n")))
}

/// A name for files: letters, digits and hyphens.
fn slug(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "project".to_owned() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> FirstModel {
        FirstModel { provider: Provider::Embedded, model: None, base_url: None, api_key_env: None }
    }

    /// A scaffold for a file of this name and text, in its own folder.
    fn planned(name: &str, text: &str) -> Result<Scaffold, InitError> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join(name);
        std::fs::write(&data, text).unwrap();
        Scaffold::plan(&data, folder.path(), &embedded())
    }

    fn file<'a>(scaffold: &'a Scaffold, path: &str) -> &'a str {
        &scaffold.files.iter().find(|(found, _)| found == Path::new(path)).unwrap().1
    }

    #[test]
    fn labels_become_the_categories_of_the_prompt() {
        let rows: String = (0..8).map(|at| format!("row {at} text,{}\n", ["good", "{{bad}}"][at % 2])).collect();
        let scaffold = planned("My Reviews.csv", &format!("Review Text,verdict\n{rows}")).unwrap();
        assert_eq!((scaffold.name.as_str(), scaffold.scorer.0), ("my-reviews", "exact_match"));
        let prompt = file(&scaffold, "prompts/my-reviews.prompty");
        assert!(prompt.contains("\n- good\n") && prompt.contains("{{ input }}"), "{prompt}");
        let config = file(&scaffold, CONFIG_FILE);
        assert!(config.contains("fields = { input = \"Review Text\", expected = \"verdict\" }"), "{config}");
    }

    #[test]
    fn an_input_that_is_no_text_is_named_with_its_line() {
        let rows = "{\"input\": \"a\", \"expected\": \"x\"}\n{\"input\": 7, \"expected\": \"y\"}\n";
        let error = planned("a.jsonl", rows).unwrap_err().to_string();
        assert!(error.contains("a.jsonl:2: `input` must be a text (in quotes)"), "{error}");
    }

    #[test]
    fn columns_of_any_name_reach_the_prompt() {
        let rows = "Help me,I \"can't\" log in,reset\nHello there,where is it,find\nOdd one,third text here,look\n";
        let scaffold = planned("a.csv", &format!("Subject,Body,answer\n{rows}")).unwrap();
        let prompt = file(&scaffold, "prompts/a.prompty");
        assert!(prompt.contains("Subject: {{ input.Subject }}\nBody: {{ input.Body }}"), "{prompt}");
        let rows = r#"{"input": {"a b": "x", "it's \"q\" {{": "y"}, "expected": "z"}"#;
        let scaffold = planned("b.jsonl", rows).unwrap();
        assert!(file(&scaffold, "prompts/b.prompty").contains(r#"{{ input["a b"] }}"#));
    }

    #[test]
    fn the_scorer_fits_the_expected_answers() {
        let of = |expected: &str| {
            let row = |at: usize| format!("{{\"input\": \"text {at}\"{}}}\n", expected.replace('#', &at.to_string()));
            planned("a.jsonl", &(0..3).map(row).collect::<String>()).unwrap().scorer.0
        };
        assert_eq!(of(r#", "expected": "answer #""#), "exact_match");
        assert_eq!(of(r#", "expected": "1#.5""#), "numeric");
        assert_eq!(of(r#", "expected": {"a": #}"#), "json_fields");
        assert_eq!(of(r#", "expected": ["a", "b#"]"#), "set_match");
        assert_eq!(of(&format!(", \"expected\": \"# {}\"", "long ".repeat(30))), "levenshtein");
        assert_eq!(of(""), "regex");
    }

    #[test]
    fn data_outside_is_copied_and_nothing_is_overwritten_unless_forced() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("rows.jsonl");
        std::fs::write(&data, "{\"input\": \"a\", \"expected\": \"b\"}\n").unwrap();
        let folder = root.path().join("project");
        let scaffold = Scaffold::plan(&data, &folder, &embedded()).unwrap();
        assert_eq!(scaffold.dataset, Path::new("datasets/rows.jsonl"));
        scaffold.write(false).unwrap();
        assert!(folder.join("datasets/rows.jsonl").is_file());
        assert!(matches!(scaffold.write(false), Err(InitError::Exists(files)) if files.len() == 3));
        scaffold.write(true).unwrap();
        let inside = Scaffold::plan(&folder.join("datasets/rows.jsonl"), &folder, &embedded()).unwrap();
        assert!(inside.copy.is_none());
        assert_eq!(std::fs::read_to_string(folder.join(".gitignore")).unwrap(), "/runs/\n/.ratchet/\n");
    }

    #[test]
    fn a_gitignore_is_added_to_once() {
        assert_eq!(ignoring("target\nruns/").unwrap(), "target\nruns/\n/.ratchet/\n");
        assert_eq!(ignoring("/runs\n.ratchet/\n"), None);
    }

    #[test]
    fn what_cannot_be_guessed_is_said() {
        assert!(matches!(planned("a.csv", "x\n1\n2\n"), Err(InitError::NoInput { .. })));
        assert!(matches!(planned("a.txt", "x\n"), Err(InitError::Data(_))));
        for (file, text) in [("a.jsonl", ""), ("a.json", "[]"), ("a.csv", "text,label\n"), ("a.csv", "")] {
            let error = planned(file, text).unwrap_err();
            assert!(matches!(error, InitError::NoRows(_)), "{file} {text:?}: {error}");
        }
        let error = Scaffold::plan(Path::new("nope.csv"), Path::new("."), &embedded()).unwrap_err().to_string();
        assert!(error.starts_with("nope.csv: no such file") && !error.contains(CONFIG_FILE), "{error}");
    }
}
