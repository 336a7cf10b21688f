//! Whole configs, good and bad.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const SMALL: &str = r#"prompt = "p.prompty"
dataset = "d.jsonl"

[models.task]
provider = "embedded"

[[scorers]]
type = "exact_match"
"#;

const FULL: &str = r#"
name = "support-tickets"
description = "Route a customer's ticket to the team that handles it."
hints = ["A refund that has been asked for is `refunds`, a charge that is disputed is `billing`."]
prompt = "prompts/support-tickets.prompty"
pass_threshold = 0.8
runs = "out/runs"

[dataset]
path = "datasets/support-tickets.csv"
split = { train = 0.5, dev = 0.3, test = 0.2 }
[dataset.fields]
input = ["subject", "body"]
expected = "label"
id = "ticket"
tags = "labels"
metadata = "meta"
pinned = "keep"
weight = "importance"
group = "customer"
split = "part"

[models.task]
provider = "openai"
model = "gpt-5-mini"
base_url = "http://127.0.0.1:8000/v1"
api_key_env = "OPENAI_API_KEY"
temperature = 0
max_tokens = 200
max_concurrency = 64
timeout_seconds = 30
retries = 2
deterministic = false
price = { input = 0.25, output = 2, cached = 0.025 }
extra = { reasoning_effort = "low", nested = { deep = [1, { deeper = true }] } }

[models.proposer]
provider = "embedded"

[[scorers]]
type = "exact_match"
ignore_case = true
weight = 3
[[scorers]]
type = "contains"
any = ["a", "b"]
[[scorers]]
type = "regex"
pattern = "^[a-z_]+$"
name = "one word"
[[scorers]]
type = "numeric"
tolerance = 0.5
relative = 0.01
[[scorers]]
type = "levenshtein"
[[scorers]]
type = "json_valid"
[[scorers]]
type = "json_fields"
fields = ["name", "price"]
[[scorers]]
type = "json_fields"
name = "weighted fields"
fields = { name = 2, price = 0.5 }
[[scorers]]
type = "set_match"
separator = ";"
[[scorers]]
type = "list_match"
ordered = false
[[scorers]]
type = "python"
path = "scorers/exact.py"
function = "score"
timeout_seconds = 5
[[scorers]]
type = "command"
run = ["./score.sh", "--fast"]

[search]
generations = 4
proposals = 8
seed = 7
patience = 2
target_score = 0.95
strategies = "ideas"
disable = ["prune"]

[gate]
min_gain = 0.01
standard_errors = 2
alpha = 0.1
max_samples = 3

[guards]
pinned = false
protected_tags = { edge = 0.02, "channel:email" = 0 }
max_prompt_tokens = 2000
max_growth = 0
copied_words = 12

[budget]
calls = 5000
task = { calls = 4000 }
[budget.proposer]
calls = 100

[store]
path = "cache.sqlite"
"#;

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse("ratchet.toml", text, &[])
}

fn set(text: &str, overrides: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let overrides: Vec<(String, String)> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::parse("ratchet.toml", text, &overrides)
}

/// The errors of `SMALL` with `more` after it.
fn errors(more: &str) -> String {
    read(&format!("{SMALL}{more}")).unwrap_err().to_string()
}

/// The errors of `SMALL` with one text replaced by another.
fn errors_with(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old));
    read(&SMALL.replacen(old, new, 1)).unwrap_err().to_string()
}

#[test]
fn a_small_config_has_the_documented_defaults() {
    let config = read(SMALL).unwrap();
    assert_eq!(config.dataset.path.to_str(), Some("d.jsonl"));
    assert_eq!((config.search.generations, config.search.proposals, config.search.seed), (10, 6, 1));
    assert_eq!((config.gate.standard_errors, config.gate.alpha, config.gate.max_samples), (1.0, 0.05, 5));
    assert_eq!(config.store.path.to_str(), Some(".ratchet/responses.sqlite"));
    assert!(config.guards.pinned && config.models.task.is_deterministic());
    assert_eq!(config.scorers[0].name(), "exact_match");
    assert_eq!(config.scorers[0].kind, ScorerKind::ExactMatch { trim: true, ignore_case: false });
}

#[test]
fn a_config_that_uses_every_key_is_read_and_survives_being_written() {
    let config = read(FULL).unwrap();
    assert_eq!(config.guards.protected_tags["edge"], 0.02);
    assert_eq!(config.scorers.len(), 12);
    let written = toml::to_string(&config).unwrap();
    assert_eq!(read(&written).unwrap(), config, "{written}");
    let written = toml::to_string(&read(SMALL).unwrap()).unwrap();
    assert_eq!(read(&written).unwrap(), read(SMALL).unwrap(), "{written}");
}
