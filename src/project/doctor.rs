//! `ratchet doctor`: looks at everything that a run needs, goes on after what is wrong, and says how to mend it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::configured::{ConfiguredModel, has_own, read_config};
use super::provider::{addresses, chats};
use super::{Project, ProjectError, Use};
use crate::config::{Config, ModelConfig, Provider, ScorerKind};
use crate::dataset::{Selection, Split};
use crate::model::{Call, CallError, Chat, ChatRequest, Completion, Embedding, Limit, Limits, ModelRole, Upkeep};
use crate::money::Money;
use crate::prompt::{Message, Role};
use crate::text::plural;

/// Free room below which a disk deserves a word, in bytes.
const LITTLE_ROOM: u64 = 1 << 30;

/// Most tokens of the answer to a tiny call: no API refuses so few.
const TINY_ANSWER: u32 = 16;

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works; it deserves a look.
    Warning,
    /// Not looked at.
    Skipped,
    /// The project has to be changed: no run can begin like this.
    Wrong,
    /// Out of reach, or no access to it: no run can begin as things are.
    Unusable,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `config`, `project`, `task`, `python`, `disk`, …
    pub what: String,
    /// How it was found.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it, where that isn't said already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn new(what: impl Into<String>, health: Health, found: impl Into<String>) -> Self {
        Self { what: what.into(), health, found: found.into(), mend: None }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// Looks at the project of `config_file`; `offline` asks no model but the embedded one.
pub async fn examine(config_file: &Path, overrides: &[(String, String)], offline: bool) -> Vec<Finding> {
    let (config, root) = match read_config(config_file, overrides) {
        Ok(read) => read,
        Err(error) => {
            let advice = "mend the config; `ratchet init DATA` writes one to begin with";
            return vec![Finding::new("config", Health::Wrong, error.to_string()).mend(advice)];
        }
    };
    let mut findings = vec![Finding::new("config", Health::Good, config_file.display().to_string())];
    let (of_project, project) = project(config_file, overrides).await;
    findings.extend(of_project);
    for role in ModelRole::ALL {
        if has_own(&config, role) {
            for table in Table::all(&config, role) {
                findings.extend(model(&config, &root, &table, offline).await);
            }
        }
    }
    if let Some(project) = &project {
        let is_asked = |finding: &Finding| finding.what == "task call" && finding.health == Health::Good;
        findings.extend(program(project, offline, findings.iter().any(is_asked)).await);
    }
    findings.extend(python(&config).await);
    let mut places = vec![root.join(&config.runs)];
    places.extend(root.join(&config.store.path).parent().map(Path::to_path_buf));
    findings.extend(places.iter().map(|place| disk(place)));
    findings.push(store(&root.join(&config.store.path)));
    findings
}

/// Prompts, rows, strategies and scorers, and all that deserves a look about them. What is wrong with a model is told
/// where that is looked at.
async fn project(config_file: &Path, overrides: &[(String, String)]) -> (Vec<Finding>, Option<Project>) {
    let what = "project";
    match Project::load(config_file, overrides).await {
        Ok(project) => {
            let rows = |split| project.dataset.count(split);
            let [train, dev, test] = [Split::Train, Split::Dev, Split::Test].map(rows);
            let all = plural(project.dataset.rows.len(), "row");
            let found = format!("{all} ({train} train, {dev} dev, {test} test)");
            let warnings = project.warnings.iter().map(|warning| Finding::new(what, Health::Warning, warning));
            (std::iter::once(Finding::new(what, Health::Good, found)).chain(warnings).collect(), Some(project))
        }
        Err(error) if is_of_a_model(&error) => {
            (vec![Finding::new(what, Health::Skipped, "not read to its end: its models can't be set up")], None)
        }
        Err(error) => (vec![Finding::new(what, Health::Wrong, error.to_string())], None),
    }
}

/// One answer of the program of `[target]`, where there is one; what it asks of its model is neither stored nor counted.
async fn program(project: &Project, offline: bool, has_model: bool) -> Option<Finding> {
    project.config.target.as_ref()?;
    let what = "target";
    if offline || !has_model {
        let why = if offline { "--offline" } else { "its model gave no answer" };
        return Some(Finding::new(what, Health::Skipped, format!("not asked: {why}")));
    }
    let train = Selection { splits: vec![Split::Train], filters: Vec::new(), limit: Some(1) };
    let row = train.rows(&project.dataset).get(0)?;
    let use_ = Use { payer: "doctor".into(), limits: Limits::default(), interrupt: CancellationToken::new() };
    let models = match project.models_without_store(&use_) {
        Ok(models) => models,
        Err(error) => return Some(Finding::new(what, Health::Wrong, error.to_string())),
    };
    let began = Instant::now();
    let answer = project.target(&models).answer(&project.prompts, &row, 0).await;
    Some(match answer {
        Ok(completion) => {
            let (seconds, steps) = (began.elapsed().as_secs_f64(), completion.trace.unwrap_or_default().len());
            let found =
                format!("answered row `{}` in {seconds:.2} s, with {} of a trace", row.id, plural(steps, "step"));
            Finding::new(what, Health::Good, found)
        }
        Err(error) if error.is_providers() => Finding::new(what, Health::Unusable, error.to_string()),
        Err(error) => Finding::new(what, Health::Wrong, format!("row `{}`: {error}", row.id)).mend(
            "check target.command and what the program writes; docs/targets.md says what it is told and has to answer",
        ),
    })
}

fn is_of_a_model(error: &ProjectError) -> bool {
    match error {
        ProjectError::At { error, .. } => is_of_a_model(error),
        ProjectError::Environment { key, .. } | ProjectError::Program { key, .. } => key.starts_with("models."),
        ProjectError::Model { .. } | ProjectError::Unpriced { .. } => true,
        _ => false,
    }
}

/// A model of a role: its own, or one of its fallbacks.
struct Table<'a> {
    role: ModelRole,
    model: &'a ModelConfig,
    /// Where it stands below `models`.
    path: String,
    /// What it is called in findings.
    what: String,
}

impl<'a> Table<'a> {
    /// All tables of `role`.
    fn all(config: &'a Config, role: ModelRole) -> Vec<Self> {
        let model = Project::model(config, role);
        let mut tables = vec![Self { role, model, path: role.to_string(), what: role.to_string() }];
        for (at, model) in model.fallback.iter().enumerate() {
            let path = format!("{role}.fallback.{at}");
            tables.push(Self { role, model, path, what: format!("{role} fallback {}", at + 1) });
        }
        tables
    }

    /// `finding` as it counts: a run can begin without one address of several, and without a fallback.
    fn weighed(&self, finding: Finding, is_only_address: bool) -> Finding {
        let is_needed = is_only_address && self.path == self.role.name();
        let health = if finding.health == Health::Unusable && !is_needed { Health::Warning } else { finding.health };
        Finding { health, ..finding }
    }
}

/// Key, addresses and price of `table`, and one tiny call at each address.
async fn model(config: &Config, root: &Path, table: &Table<'_>, offline: bool) -> Vec<Finding> {
    let Table { role, model, path, what } = table;
    let seen = ConfiguredModel::of_table(model, *role);
    let mut findings = Vec::new();
    let limits: Vec<Limit> = addresses(model).iter().map(|_| Limit::new(1)).collect();
    let chats = match chats(model, *role, path, root, &limits) {
        Ok(chats) => chats,
        Err(error) => return vec![Finding::new(what, Health::Wrong, error.to_string())],
    };
    let places: Vec<&str> = seen.address.iter().chain(&seen.also_at).map(String::as_str).collect();
    let reached = if places.is_empty() { String::new() } else { format!(" at {}", places.join(" and ")) };
    let key = seen.key.as_ref().map_or(String::new(), |key| format!(", key from {}", key.name));
    let configured = format!("{} {}{reached}{key}", seen.provider, seen.model);
    findings.push(match (seen.price, config.budget.usd.is_some()) {
        (Some(_), _) => Finding::new(what, Health::Good, configured),
        (None, in_dollars) => {
            let health = if in_dollars { Health::Wrong } else { Health::Warning };
            let price = format!(
                "give it as models.{path}.price = {{ input = .., output = .. }}, in dollars for a million tokens (zeros for \
                 a server of your own)"
            );
            Finding::new(what, health, format!("{configured}; its price is not known")).mend(price)
        }
    });
    if offline && model.provider != Provider::Embedded {
        findings.push(Finding::new(format!("{what} call"), Health::Skipped, "not made: --offline"));
        return findings;
    }
    let is_only_address = chats.len() == 1;
    for ((at, (_, chat)), address) in chats.into_iter().enumerate().zip(addresses(model)) {
        let finding = tiny_call(table, at, chat).await;
        // One of several says which it is.
        let what = if is_only_address { finding.what.clone() } else { format!("{} at {address}", finding.what) };
        findings.push(table.weighed(Finding { what, ..finding }, is_only_address));
    }
    findings
}

/// One call with the parameters of the role, so that a refused one shows; it is neither stored nor counted.
async fn tiny_call(table: &Table<'_>, address: usize, chat: Arc<dyn Chat>) -> Finding {
    let role = table.role;
    let call = tiny(table.model, role);
    let began = Instant::now();
    let answer = chat.complete(&call).await;
    let what = format!("{} call", table.what);
    match answer {
        Ok(completion) => {
            let mut found = answered(&completion, began.elapsed(), table.model);
            if let (ModelRole::Embedder, Ok(embedding)) = (role, Embedding::read(&completion.text)) {
                found += &format!("; {}", plural(embedding.dimensions(), "dimension"));
            }
            Finding::new(what, Health::Good, found)
        }
        Err(error) => {
            let (health, mend) = advice(&error, &table.path, address);
            Finding::new(what, health, error.to_string()).mend(mend)
        }
    }
}

/// A tiny call of `model` with the parameters of `role`.
pub(super) fn tiny(model: &ModelConfig, role: ModelRole) -> Call {
    let settings = super::models::chat_settings(model);
    if role == ModelRole::Embedder {
        return Embedding::call(&settings.model, "ok".to_owned(), &settings.extra);
    }
    let message = Message { role: Role::User, content: "Reply with the word ok.".to_owned() };
    let request = ChatRequest { max_tokens: Some(TINY_ANSWER), ..settings.request(vec![message]) };
    Call { role, request, draw: "doctor".to_owned(), row: String::new() }
}

fn answered(completion: &Completion, took: Duration, model: &ModelConfig) -> String {
    let usage = &completion.usage;
    let price = super::limits::price(model);
    let cost = completion.cost.or_else(|| price.map(|price| price.cost(usage))).filter(|cost| *cost > Money::ZERO);
    let cost = cost.map_or(String::new(), |cost| format!(", ${:.6}", cost.picos() as f64 / 1e12));
    format!("answered in {:.2} s, {} tokens in, {} out{cost}", took.as_secs_f64(), usage.input, usage.output)
}

/// What a call that failed at this address of the model at `models.{path}` says of the project, and what to do.
fn advice(error: &CallError, path: &str, address: usize) -> (Health, String) {
    let address = || if address == 0 { "base_url".to_owned() } else { format!("also_at.{}", address - 1) };
    match error {
        CallError::Denied(_) => {
            (Health::Unusable, format!("check the key (models.{path}.api_key_env), what it may use, and the account"))
        }
        CallError::OutOfQuota(_) => (Health::Unusable, "add credit to the account, or raise its limit".to_owned()),
        CallError::Failed(_) | CallError::Crashed(_) => {
            (Health::Wrong, format!("check the program that models.{path}.run names"))
        }
        error if error.is_web_page() => {
            (Health::Wrong, format!("models.{path}.{} leads to a page for people: most end with /v1", address()))
        }
        CallError::Unreachable(_) => {
            (Health::Unusable, format!("check models.{path}.{}, the network, and that the server runs", address()))
        }
        CallError::Rejected(_) => {
            (Health::Wrong, format!("check the model's name and the parameters in [models.{path}]"))
        }
        CallError::Busy { .. } => (Health::Warning, "the provider is there, and busy: try again later".to_owned()),
        _ => (Health::Unusable, "try again; a run waits such things out, up to max_outage_seconds".to_owned()),
    }
}

/// The interpreter, where a scorer needs it.
async fn python(config: &Config) -> Option<Finding> {
    let is_needed = config.scorers.iter().any(|scorer| matches!(scorer.kind, ScorerKind::Python { .. }));
    let version = Command::new("python3").arg("--version").stdin(Stdio::null()).output().await;
    let said = version.ok().filter(|output| output.status.success());
    match said {
        Some(output) => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Some(Finding::new("python", Health::Good, version))
        }
        None if is_needed => Some(
            Finding::new("python", Health::Wrong, "there is no python3, and a scorer needs it")
                .mend("install Python 3, so that `python3 --version` works"),
        ),
        None => None,
    }
}

/// Whether files can be written at `place`, and how much room there is.
fn disk(place: &Path) -> Finding {
    let what = "disk";
    let shown = place.display();
    let existing = place.ancestors().find(|folder| folder.is_dir()).map_or(PathBuf::from("."), Path::to_path_buf);
    if let Err(error) = tempfile::tempfile_in(&existing) {
        let found = format!("{shown}: can't be written: {error}");
        return Finding::new(what, Health::Unusable, found).mend("check the permissions of the folder, and the disk");
    }
    match free_room(&existing) {
        Some(free) if free < LITTLE_ROOM => {
            let found = format!("{shown}: {} MB free", free / 1_000_000);
            Finding::new(what, Health::Warning, found).mend("make room; `ratchet store forget` gives some back")
        }
        Some(free) => Finding::new(what, Health::Good, format!("{shown}: {:.1} GB free", free as f64 / 1e9)),
        None => Finding::new(what, Health::Good, format!("{shown}: can be written")),
    }
}

/// Bytes that may still be written at `folder`, where the system says.
#[cfg(unix)]
fn free_room(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free_room(_: &Path) -> Option<u64> {
    None
}

fn store(path: &Path) -> Finding {
    let what = "store";
    let usage = match Upkeep::open(path) {
        Ok(None) => return Finding::new(what, Health::Good, format!("{}: none yet", path.display())),
        Ok(Some(upkeep)) => upkeep.usage(),
        Err(error) => Err(error),
    };
    match usage {
        Ok(usage) => {
            let answers: u64 = usage.runs.iter().map(|run| run.answers).sum();
            let size = usage.bytes as f64 / 1e6;
            Finding::new(what, Health::Good, format!("{}: {answers} answers, {size:.1} MB", path.display()))
        }
        Err(error) => Finding::new(what, Health::Unusable, error.to_string()).mend("`ratchet store verify` says more"),
    }
}
