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
lock = "splits.json"
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
requests_per_minute = 500
tokens_per_minute = 200000
timeout_seconds = 30
retries = 2
max_outage_seconds = 600
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
[[scorers]]
type = "python"
path = "scorers/exact.py"
timeout_seconds = 5
[[scorers]]
type = "command"
run = ["./score.sh", "--fast"]
[[scorers]]
type = "any_of"
not = true
threshold = 0.5
scorers = [{ type = "starts_with", prefix = "Dear" }, { type = "json_path", path = "a.b", equals = { c = [2] }, weight = 2 }, { type = "all_of", threshold = 0.8, scorers = [{ type = "json_schema", schema = { type = "object", required = ["a"] }, weight = 0.5 }, { type = "token_f1", not = true, threshold = 0.3 }] }]
[[scorers]]
type = "json_schema"
path = "ticket.schema.json"
[[scorers]]
type = "list_contains"
allow_extra = true
[[scorers]]
type = "word_count"
min = 2
max = 30
[[scorers]]
type = "latency"
max_seconds = 2.5
[[scorers]]
type = "cost"
max_usd = 0.001

[repeats]
samples = 5
at_least = 3

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
    assert_eq!((config.gate.standard_errors, config.gate.alpha, config.gate.max_samples), (1.0, 0.05, 8));
    assert_eq!(config.store.path.to_str(), Some(".ratchet/responses.sqlite"));
    assert!(config.guards.pinned && config.models.task.is_deterministic());
    assert_eq!(config.scorers[0].name(), "exact_match");
    assert_eq!(config.scorers[0].kind, ScorerKind::ExactMatch { trim: true, ignore_case: false });
}

#[test]
fn a_config_that_uses_every_key_is_read_and_survives_being_written() {
    let config = read(FULL).unwrap();
    assert_eq!(config.guards.protected_tags["edge"], 0.02);
    assert_eq!(config.scorers.len(), 18);
    assert_eq!(config.scorers[12].name(), "not-any_of");
    assert_eq!(config.scorers[12].parts()[2].parts()[1].name(), "not-token_f1");
    let written = toml::to_string(&config).unwrap();
    assert_eq!(Config::parse_snapshot("ratchet.toml", &written).unwrap(), config, "{written}");
}

#[test]
fn a_snapshot_is_read_though_it_holds_defaults_that_its_provider_ignores() {
    let written = toml::to_string(&read(SMALL).unwrap()).unwrap();
    assert!(written.contains("retries") && read(&written).is_err(), "{written}");
    assert_eq!(Config::parse_snapshot("ratchet.toml", &written).unwrap(), read(SMALL).unwrap(), "{written}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    assert_snapshot!(errors_with("provider = ", "modle = \"x\"\nprovider = "), @"ratchet.toml:5:1: unknown key `modle` in [models.task]; did you mean `model`?");
    assert_snapshot!(errors("pass_threshold = 0.5\n"), @"ratchet.toml:9:1: unknown key `pass_threshold` in [scorers.0]; it belongs to the top level: write it before the first [table]");
    assert_snapshot!(errors("[serach]\n"), @"ratchet.toml:9:2: unknown key `serach` at the top level; did you mean `search`?");
    assert_snapshot!(errors("[store]\nzzz = 1\n"), @"ratchet.toml:10:1: unknown key `zzz` in [store]; allowed: path");
    assert_snapshot!(errors("[[scorers]]\ntype = \"numeric\"\n\ntolerence = 1\n"), @"ratchet.toml:12:1: unknown key `tolerence` in [scorers.1]; did you mean `tolerance`?");
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_valid\"\ntrim = true\n"), @"ratchet.toml:11:1: unknown key `trim` in [scorers.1]; allowed: name, not, threshold, weight, allow_fence, type");
    assert_snapshot!(errors_with("\"d.jsonl\"", "{ path = \"d\",\n  fields = { inptu = \"text\" } }"), @"ratchet.toml:3:14: unknown key `inptu` in [dataset.fields]; did you mean `input`?");
    assert_snapshot!(errors("[budget.task]\n\"x.y\" = 1\n"), @"ratchet.toml:10:1: unknown key `x.y` in [budget.task]; allowed: calls, tokens, usd");
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_what_the_key_takes() {
    assert_snapshot!(errors("[search]\ngenerations = \"ten\"\n"), @r#"ratchet.toml:10:15: `search.generations` is "ten", but must be a whole number of at least 1"#);
    assert_snapshot!(errors("[search]\nseed = 1.5\n"), @"ratchet.toml:10:8: `search.seed` is 1.5, but must be a whole number of at least 0");
    assert_snapshot!(errors("[guards]\npinned = \"yes\"\nprotected_tags = true\n"), @r#"
    ratchet.toml:10:10: `guards.pinned` is "yes", but must be true or false
    ratchet.toml:11:18: `guards.protected_tags` is true, but must be a list or a table
    "#);
    assert_snapshot!(errors_with("\"d.jsonl\"", "7"), @"ratchet.toml:2:11: `dataset` is 7, but must be a string or a table");
    assert_snapshot!(errors_with("prompt = \"p.prompty\"", "prompt = \"p\"\nhints = [\n  \"a\",\n  2,\n]"), @"ratchet.toml:4:3: `hints.1` is 2, but must be a string");
    assert_snapshot!(errors("[gate]\nalpha = nan\n"), @"ratchet.toml:10:9: `gate.alpha` is a number that is infinite, undefined or too large, but must be a number above 0 and below 1");
    assert_snapshot!(errors("[search]\nseed = 99999999999999999999\n"), @"ratchet.toml:10:8: `search.seed` is a number that is infinite, undefined or too large, but must be a whole number of at least 0");
    assert_snapshot!(errors("[models.proposer]\nprovider = \"embedded\"\nextra = { a = [inf] }\n"), @"ratchet.toml:11:16: `models.proposer.extra.a.0` is a number that is infinite, undefined or too large, but must be a finite number of at most 64 bits");
    assert_snapshot!(errors("[models.proposer]\nprovider = \"embedded\"\nmax_tokens = 4294967296\n"), @"ratchet.toml:11:14: `models.proposer.max_tokens` is 4294967296, but must be a whole number of at least 1 and at most 4294967295");
}

#[test]
fn a_value_out_of_range_is_shown_with_the_range() {
    assert_snapshot!(errors("[search]\ngenerations = 0\n"), @"ratchet.toml:10:15: `search.generations` is 0, but must be a whole number of at least 1");
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_valid\"\nweight = 0\n"), @"ratchet.toml:11:10: `scorers.1.weight` is 0, but must be a number above 0");
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_fields\"\nfields = []\n"), @"ratchet.toml:11:10: `scorers.1.fields` is an empty list, but must be a list that is not empty");
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_fields\"\nfields = { a = 1, b = -1 }\n"), @"ratchet.toml:11:23: `scorers.1.fields.b` is -1, but must be a number above 0");
    assert_snapshot!(errors_with("dataset", "pass_threshold = 1.5\ndataset"), @"ratchet.toml:2:18: `pass_threshold` is 1.5, but must be a number above 0 and at most 1");
    assert_snapshot!(errors_with("dataset", "pass_threshold = 0\ndataset"), @"ratchet.toml:2:18: `pass_threshold` is 0, but must be a number above 0 and at most 1");
    assert_snapshot!(errors("[guards]\nprotected_tags = { edge = 2 }\n"), @"ratchet.toml:10:27: `guards.protected_tags.edge` is 2, but must be a number of at least 0 and at most 1");
    assert_snapshot!(errors_with("\"p.prompty\"", "\"\""), @r#"ratchet.toml:1:10: `prompt` is "", but must be a string that is not empty"#);
}

#[test]
fn an_unknown_provider_or_scorer_is_shown_with_those_that_there_are() {
    assert_snapshot!(errors_with("embedded", "opnai"), @r#"ratchet.toml:5:12: `models.task.provider` is "opnai", but must be "embedded", "openai", "responses", "azure", "anthropic", "gemini", "bedrock", "openrouter", "ollama", "vllm", "llamacpp", "lmstudio", "groq", "mistral", "deepseek", "together", "fireworks" or "command"; did you mean `openai`?"#);
    assert_snapshot!(errors_with("exact_match", "exactmatch"), @r#"ratchet.toml:8:8: `scorers.0.type` is "exactmatch", but must be "exact_match", "contains", "starts_with", "regex", "numeric", "numeric_diff", "levenshtein", "embedding_similarity", "json_valid", "json_fields", "json_diff", "json_schema", "json_path", "set_match", "list_match", "list_contains", "token_f1", "rouge_l", "bleu", "chrf", "word_count", "length", "latency", "cost", "all_of", "any_of", "trace_called", "trace_order", "trace_at_most", "trace_no_error", "trace_path", "trace_steps", "python", "command", "rubric", "closed_question", "factuality", "relevance", "faithfulness", "summary" or "battle"; did you mean `exact_match`?"#);
    assert_snapshot!(errors_with("type = \"exact_match\"", "weight = 2"), @r#"ratchet.toml:7:1: `scorers.0.type` is missing: "exact_match", "contains", "starts_with", "regex", "numeric", "numeric_diff", "levenshtein", "embedding_similarity", "json_valid", "json_fields", "json_diff", "json_schema", "json_path", "set_match", "list_match", "list_contains", "token_f1", "rouge_l", "bleu", "chrf", "word_count", "length", "latency", "cost", "all_of", "any_of", "trace_called", "trace_order", "trace_at_most", "trace_no_error", "trace_path", "trace_steps", "python", "command", "rubric", "closed_question", "factuality", "relevance", "faithfulness", "summary" or "battle""#);
}

#[test]
fn what_must_be_there_is_asked_for() {
    assert_snapshot!(read("").unwrap_err(), @r#"
    ratchet.toml:1:1: `dataset` is missing: The dataset: a path, or a table that also says which columns hold what.
    ratchet.toml:1:1: `models.task` is missing: The model that answers the rows.
    ratchet.toml:1:1: `scorers` is missing: How answers are scored; the score of a row is the weighted mean of all scorers.
    ratchet.toml:1:1: `prompt` is missing: The prompt file to optimise; or [prompts].
    "#);
    assert_snapshot!(errors_with("provider = \"embedded\"", ""), @r#"ratchet.toml:4:9: `models.task.provider` is missing: "embedded", "openai", "responses", "azure", "anthropic", "gemini", "bedrock", "openrouter", "ollama", "vllm", "llamacpp", "lmstudio", "groq", "mistral", "deepseek", "together", "fireworks" or "command""#);
    assert_snapshot!(errors("[[scorers]]\ntype = \"python\"\n"), @"ratchet.toml:9:1: `scorers.1.path` is missing: The Python file.");
    assert_snapshot!(errors_with("\"embedded\"", "\"openai\""), @"ratchet.toml:4:9: `models.task.model` is missing: Its name as the provider knows it; required by `openai`.");
    assert_snapshot!(errors("[[scorers]]\ntype = \"exact_match\"\n"), @"ratchet.toml:9:1: two scorers are called `exact_match`; give one of them another `name`");
    assert_snapshot!(errors("[prompts]\na = \"a.prompty\"\n"), @"ratchet.toml:9:2: both `prompt` and [prompts] are given; keep one of them");
    assert_snapshot!(set(SMALL, &[("scorers", "[]")]).unwrap_err(), @"--set scorers: `scorers` is an empty list, but must be a list that is not empty");
}

#[test]
fn repeats_that_come_to_nothing_are_refused() {
    let told = |repeats: &str| {
        errors_with("\"embedded\"", &format!("\"embedded\"\ndeterministic = false\n[repeats]\n{repeats}\n"))
    };
    assert_snapshot!(errors("[repeats]\nsamples = 3\n"), @"ratchet.toml:10:1: `repeats.samples` is 3, but what answers the rows is deterministic and gives the same answer each time; leave it out, or say `deterministic = false`");
    assert_snapshot!(told("samples = 3\nat_least = 2\npass_at = 1"), @"ratchet.toml:10:1: `repeats` has both `at_least` and `pass_at`; keep one");
    assert_snapshot!(told("samples = 3\npass_at = 4"), @"ratchet.toml:9:1: `repeats.pass_at` is 4, more than the 3 of `repeats.samples`; lower it, or raise those");
    assert_snapshot!(told("samples = 0"), @"ratchet.toml:8:11: `repeats.samples` is 0, but must be a whole number of at least 1 and at most 100");
    assert_snapshot!(told("sample = 2"), @"ratchet.toml:8:1: unknown key `sample` in [repeats]; did you mean `samples`?");
}

#[test]
fn what_does_not_go_together_in_a_scorer_is_refused_at_its_place() {
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_schema\"\n"), @"ratchet.toml:9:1: `json_schema` has no schema; write it as `schema = { .. }`, or name its file as `path`");
    assert_snapshot!(errors("[[scorers]]\ntype = \"json_schema\"\nschema = {}\npath = \"x.json\"\n"), @"ratchet.toml:9:1: `json_schema` has both `schema` and `path`; keep one of them");
    assert_snapshot!(errors("[[scorers]]\ntype = \"all_of\"\nscorers = [\n  { type = \"bleu\", weight = 2 },\n  { type = \"bleu\" },\n]\n"), @"
    ratchet.toml:12:3: the weight of `bleu` does nothing: `all_of` is the least of its scores; leave it out, or give `all_of` a `threshold` for the weighted mean
    ratchet.toml:13:3: two scorers are called `bleu`; give one of them another `name`
    ");
    assert_snapshot!(errors("[[scorers]]\ntype = \"any_of\"\nscorers = [\n  { type = \"bleu\", ignorecase = true },\n]\n"), @"ratchet.toml:12:20: unknown key `ignorecase` in [scorers.1.scorers.0]; did you mean `ignore_case`?");
    assert_snapshot!(errors("[[scorers]]\ntype = \"any_of\"\nscorers = []\n"), @"ratchet.toml:11:11: `scorers.1.scorers` is an empty list, but must be a list that is not empty");
    assert_snapshot!(errors("[[scorers]]\ntype = \"latency\"\nmax_seconds = 0\nthreshold = 1.5\nnot = 1\n"), @"
    ratchet.toml:11:15: `scorers.1.max_seconds` is 0, but must be a number above 0
    ratchet.toml:12:13: `scorers.1.threshold` is 1.5, but must be a number above 0 and at most 1
    ratchet.toml:13:7: `scorers.1.not` is 1, but must be true or false
    ");
    assert_snapshot!(errors("[[scorers]]\ntype = \"cost\"\nmin = 1\n"), @"
    ratchet.toml:9:1: `scorers.1.max_usd` is missing: The most US dollars that it may cost.
    ratchet.toml:11:1: unknown key `min` in [scorers.1]; allowed: name, not, threshold, weight, max_usd, type
    ");
}

#[test]
fn a_key_that_the_embedded_model_ignores_is_refused_and_one_that_it_reads_is_not() {
    assert_snapshot!(errors_with("\"embedded\"", "\"embedded\"\ntemperature = 0"), @r#"ratchet.toml:6:1: `models.task.temperature` does nothing with the provider "embedded"; leave it out, or set models.task.provider to "openai""#);
    for ignored in [
        "base_url='http://x/v1'",
        "api_key_env='KEY'",
        "retries=5",
        "max_tokens=9",
        "timeout_seconds=1",
        "max_outage_seconds=1",
        "extra={a=1}",
        "stream=true",
    ] {
        let (key, value) = ignored.split_once('=').unwrap();
        let error = set(SMALL, &[(&format!("models.task.{key}"), value)]).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(
            error.to_string().contains(&format!("--set models.task.{key}: `models.task.{key}` does nothing")),
            "{error}"
        );
    }
    let read = [
        ("models.task.max_concurrency", "2"),
        ("models.task.deterministic", "false"),
        ("models.task.model", "embedded"),
    ];
    set(SMALL, &read).unwrap();
}

#[test]
fn a_key_that_is_of_another_provider_is_refused_and_one_that_is_needed_is_asked_for() {
    for (table, told) in [
        ("provider='groq', model='m', context_length=4096", "set models.task.provider to \"ollama\""),
        ("provider='openai', model='m', run=['sh']", "set models.task.provider to \"command\""),
        ("provider='openai', model='m', api_version='2024-10-21'", "set models.task.provider to \"azure\""),
        ("provider='command', run=['sh'], base_url='http://x'", "`models.task.base_url` does nothing"),
        ("provider='command'", "`models.task.run` is missing"),
        (
            "provider='anthropic'",
            "`models.task.model` is missing: Its name as the provider knows it; required by `anthropic`",
        ),
        ("provider='azure', model='m'", "`models.task.base_url` is missing"),
        ("provider='anthropic', model='m', seed=1", "`models.task.seed` does nothing with the provider \"anthropic\""),
        ("provider='deepseek', model='m', seed=1", "`models.task.seed` does nothing"),
        ("provider='groq', model='m', logprobs=true", "`models.task.logprobs` does nothing with the provider \"groq\""),
        ("provider='bedrock', model='m', stream=true", "whose binary stream of events is not read here; leave it out"),
        (
            "provider='command', run=['sh'], stream=true",
            "`models.task.stream` does nothing with the provider \"command\"",
        ),
        ("provider='groq', model='m', seed=2147483648", "`models.task.seed` is 2147483648"),
        ("provider='anthropc', model='m'", "did you mean `anthropic`?"),
    ] {
        let error = set(SMALL, &[("models.task", &format!("{{{table}}}"))]).unwrap_err().to_string();
        assert!(error.contains(told), "{table}: {error}");
    }
    let other = set(SMALL, &[("models.judge", "{provider='openai', model='m', logprobs=true}")]).unwrap_err();
    assert!(other.to_string().contains("only answers to rows are told with it"), "{other}");
    let embedder = set(SMALL, &[("models.embedder", "{provider='openai', model='m', stream=true}")]).unwrap_err();
    assert!(embedder.to_string().contains("an embedding comes at once"), "{embedder}");
    for table in [
        "provider='ollama', model='m', context_length=4096",
        "provider='command', run=['sh'], model='m', seed=1",
        "provider='mistral', model='m', seed=2147483647",
        "provider='deepseek', model='m', logprobs=true",
        "provider='anthropic', model='m', stream=true",
        "provider='command', run=['sh'], logprobs=true",
    ] {
        set(SMALL, &[("models.task", &format!("{{{table}}}"))]).unwrap();
    }
}

#[test]
fn text_that_is_not_toml_is_pointed_at() {
    assert_snapshot!(errors("[search\n"), @"ratchet.toml:9:8: not valid TOML: unclosed table, expected `]`");
    assert_snapshot!(errors("[search]\nseed = 1\nseed = 2\n"), @"ratchet.toml:11:1: not valid TOML: duplicate key");
    assert_snapshot!(errors("[search]\nseed = \n"), @"ratchet.toml:10:8: not valid TOML: string values must be quoted, expected literal string");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    assert_snapshot!(errors("[search]\nproposals = 0\nsede = 1\n[gate]\nalpha = 2\n[budget]\ncalls = -1\n"), @r#"
    ratchet.toml:10:13: `search.proposals` is 0, but must be a whole number of at least 1
    ratchet.toml:11:1: unknown key `sede` in [search]; did you mean `seed`?
    ratchet.toml:13:9: `gate.alpha` is 2, but must be a number above 0 and below 1
    ratchet.toml:15:9: `budget.calls` is -1, but must be a whole number of at least 1
    "#);
}

#[test]
fn an_override_takes_the_place_of_any_key_or_adds_it() {
    let config = set(
        FULL,
        &[
            ("search.generations", "3"),
            ("models.task.model", "foo"),
            ("scorers.0", "{ type = \"contains\", name = \"has\" }"),
            ("scorers.18.type", "levenshtein"),
            ("scorers.18.name", "near"),
            ("guards.protected_tags.\"channel:chat\"", "0.1"),
            ("search.seed", "5"),
            ("search.seed", "6"),
            ("models.task.extra.nested", "[1, 2]"),
        ],
    )
    .unwrap();
    assert_eq!((config.search.generations, config.search.seed), (3, 6));
    assert_eq!(config.models.task.model.as_deref(), Some("foo"));
    assert_eq!(config.scorers[0].kind, ScorerKind::Contains { any: None, all: None, ignore_case: false });
    assert_eq!(config.scorers[18].kind, ScorerKind::Levenshtein { max_distance: None });
    assert_eq!(config.guards.protected_tags["channel:chat"], 0.1);
    assert_eq!(config.models.task.extra["nested"], serde_json::json!([1, 2]));
    let without_scorers = SMALL.split("[[").next().unwrap();
    assert_eq!(set(without_scorers, &[("scorers.0.type", "json_valid")]).unwrap().scorers.len(), 1);
}

#[test]
fn an_error_in_an_override_names_the_override() {
    assert_snapshot!(set(SMALL, &[("search.generatoins", "3")]).unwrap_err(), @"--set search.generatoins: unknown key `generatoins` in [search]; did you mean `generations`?");
    assert_snapshot!(set(SMALL, &[("serch.generations", "3")]).unwrap_err(), @"--set serch.generations: unknown key `serch` at the top level; did you mean `search`?");
    assert_snapshot!(set(SMALL, &[("search.generations", "many")]).unwrap_err(), @r#"--set search.generations: `search.generations` is "many", but must be a whole number of at least 1"#);
    assert_snapshot!(set(SMALL, &[("scorers.0.type", "\"contain\"")]).unwrap_err(), @r#"--set scorers.0.type: `scorers.0.type` is "contain", but must be "exact_match", "contains", "starts_with", "regex", "numeric", "numeric_diff", "levenshtein", "embedding_similarity", "json_valid", "json_fields", "json_diff", "json_schema", "json_path", "set_match", "list_match", "list_contains", "token_f1", "rouge_l", "bleu", "chrf", "word_count", "length", "latency", "cost", "all_of", "any_of", "trace_called", "trace_order", "trace_at_most", "trace_no_error", "trace_path", "trace_steps", "python", "command", "rubric", "closed_question", "factuality", "relevance", "faithfulness", "summary" or "battle"; did you mean `contains`?"#);
    assert_snapshot!(set(SMALL, &[("scorers.5.type", "contains")]).unwrap_err(), @"--set scorers.5.type: `scorers` is a list of 1; `5` is no place in it");
    assert_snapshot!(set(SMALL, &[("prompt.x", "1")]).unwrap_err(), @r#"--set prompt.x: `prompt` is "p.prompty", which has no key `x`"#);
    assert_snapshot!(set(SMALL, &[("search..seed", "1")]).unwrap_err(), @"--set search..seed: `search..seed` is not a dotted key; write it like `search.generations` or `scorers.0.weight`");
    assert_snapshot!(set(SMALL, &[("models.proposer.model", "m")]).unwrap_err(), @r#"--set models.proposer.model: `models.proposer.provider` is missing: "embedded", "openai", "responses", "azure", "anthropic", "gemini", "bedrock", "openrouter", "ollama", "vllm", "llamacpp", "lmstudio", "groq", "mistral", "deepseek", "together", "fireworks" or "command""#);
}

#[test]
fn a_project_is_named_after_its_file_or_its_folder() {
    let config = read(SMALL).unwrap();
    assert_eq!(config.name(std::path::Path::new("/home/me/tickets/ratchet.toml")), "tickets");
    assert_eq!(config.name(std::path::Path::new("banking.toml")), "banking");
    assert_eq!(config.name(std::path::Path::new("ratchet.toml")), "ratchet");
    assert_eq!(read(FULL).unwrap().name(std::path::Path::new("x.toml")), "support-tickets");
}

#[test]
fn a_prompt_is_called_prompt_or_has_its_name_and_several_are_refused() {
    assert_eq!(read(SMALL).unwrap().prompt_files().keys().copied().collect::<Vec<_>>(), ["prompt"]);
    let named = SMALL.replace("prompt = \"p.prompty\"", "prompts = { a = \"1\" }");
    assert_eq!(read(&named).unwrap().prompt_files().keys().copied().collect::<Vec<_>>(), ["a"]);
    let several = SMALL.replace("prompt = \"p.prompty\"", "prompts = { b = \"2\", a = \"1\" }");
    assert!(read(&several).unwrap_err().to_string().contains("sent one prompt, and there are 2"));
}

#[test]
fn prompts_are_called_as_their_files_and_by_their_keys_where_files_are_called_alike() {
    let target = "\n[target]\ncommand = [\"sh\"]\n";
    let config = |prompts: &str| read(&(SMALL.replace("prompt = \"p.prompty\"", prompts) + target));
    let names = |prompts: &str| -> Vec<String> {
        config(prompts).unwrap().prompt_names().into_iter().map(|(name, ..)| name).collect()
    };
    let alike = r#"prompts = { route = "route/system.txt", reply = "reply/system.txt", ask = "ask.txt" }"#;
    assert_eq!(names(alike), ["ask.txt", "reply-system.txt", "route-system.txt"]);
    let twice = config(r#"prompts = { route = "a.txt", reply = "a.txt" }"#).unwrap_err().to_string();
    assert!(twice.contains("`prompts.reply` and `prompts.route` are the same file"), "{twice}");
}

#[test]
fn an_answer_as_long_as_the_context_of_ollama_is_refused() {
    let with =
        |keys: &str| SMALL.replace("provider = \"embedded\"", &format!("provider = \"ollama\"\nmodel = \"m\"\n{keys}"));
    assert!(read(&with("context_length = 1000\nmax_tokens = 999")).is_ok());
    let error = read(&with("context_length = 1000\nmax_tokens = 1000")).unwrap_err().to_string();
    assert!(error.contains(":8:1: `models.task.max_tokens` is 1000"), "{error}");
    assert!(read(&with("max_tokens = 20000")).unwrap_err().to_string().contains("the context of 16384"));
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn undescribed(schema: &serde_json::Value, found: &mut Vec<String>) {
        for (key, value) in schema.as_object().into_iter().flatten() {
            if key == "properties" {
                let lacking = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, property)| *name != "type" && property.get("description").is_none());
                found.extend(lacking.map(|(name, _)| name.clone()));
            }
            undescribed(value, found);
        }
        for item in schema.as_array().into_iter().flatten() {
            undescribed(item, found);
        }
    }
    let mut found = Vec::new();
    undescribed(&Config::json_schema(), &mut found);
    assert!(found.is_empty(), "no doc comment on {found:?}");
}

#[test]
fn a_scorer_type_is_named_as_it_is_written() {
    for scorer in read(FULL).unwrap().scorers {
        assert_eq!(serde_json::to_value(&scorer.kind).unwrap()["type"], scorer.kind.type_name());
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*") {
        let _ = read(&text);
    }

    #[test]
    fn no_cut_or_patched_config_makes_reading_panic(from in 0..FULL.len(), to in 0..FULL.len(), patch in "[\\PC\n]{0,8}") {
        let (from, to) = (from.min(to), from.max(to));
        let _ = read(&format!("{}{patch}{}", &FULL[..from], &FULL[to..]));
    }

    #[test]
    fn no_override_makes_reading_panic(key in "[a-z0-9.\"]{0,20}|\\PC*", value in "\\PC*") {
        let _ = set(FULL, &[(&key, &value)]);
    }

    #[test]
    fn a_wrong_number_anywhere_is_reported_on_its_own_line(line in 0..FULL.lines().count()) {
        let lines: Vec<&str> = FULL.lines().collect();
        let Some((key, _)) = lines[line].split_once(" = ") else { return Ok(()) };
        let mut broken: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        broken[line] = format!("{key} = -99");
        let problems = read(&broken.join("\n")).err().map(|error| error.problems).unwrap_or_default();
        let at = |problem: &Problem| matches!(&problem.place, Place::File { line: found, .. } if *found == line + 1);
        // No key of the example takes such a number.
        prop_assert!(problems.iter().any(at), "{}: {problems:?}", broken[line]);
    }
}
