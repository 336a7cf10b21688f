//! What is wrong with the input is told at load: where, what was found, what to do; exit code 2 and nothing written.
//! Once a run goes, one bad row never ends it.

use std::sync::Arc;

use prompt_ratchet::model::embedded::Embedded;
use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion};
use serde_json::Value;

use crate::fake::server::{Answers, Behaviour, Fault, Rates};
use crate::project::{PROMPT, Project, Provider, openai};

/// Runs `arguments`: they end with `code`, say each of `told` on stderr alone, and change no file.
fn refused(project: &Project, arguments: &[&str], code: i32, told: &[&str]) {
    let before = project.files();
    let ran = project.ratchet(arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
    for words in told {
        assert!(ran.err.contains(words), "{arguments:?}: no {words:?} in: {}", ran.err);
    }
    assert_eq!(ran.out, "", "{arguments:?}");
    let (before, after) = (before.keys().collect::<Vec<_>>(), project.files());
    assert_eq!(before, after.keys().collect::<Vec<_>>(), "{arguments:?}");
    assert!(!project.path().join("runs").exists() && !project.path().join(".ratchet").exists(), "{arguments:?}");
}

/// A project in which `file` holds `text` is refused by `optimize` and `eval`, which tell `told`.
fn file_refused(file: &str, text: impl AsRef<[u8]>, told: &[&str]) {
    let project = Project::new();
    project.write(file, text);
    for command in ["optimize", "eval"] {
        refused(&project, &[command], 2, told);
    }
}

/// `ratchet.toml` with `old` replaced by `new`.
fn config_refused(old: &str, new: &str, told: &[&str]) {
    let config = Project::new().read("ratchet.toml");
    assert!(config.contains(old), "{old}");
    file_refused("ratchet.toml", config.replace(old, new), told);
}

/// `optimize` and `eval` with a `--set` that they refuse.
fn setting_refused(setting: &str, told: &[&str]) {
    for command in ["optimize", "eval"] {
        refused(&Project::new(), &[command, "--set", setting], 2, told);
    }
}

#[test]
fn guards_that_guard_nothing_or_allow_nothing_are_refused() {
    let project = Project::new();
    let rows = project.read("library.jsonl").replacen("\"id\"", "\"tags\":[\"edge\",\"fine\"],\"id\"", 4);
    project.write("library.jsonl", rows);
    let tagged = |tag: &str, told: &[&str]| {
        for command in ["optimize", "eval"] {
            let guards = format!("guards.protected_tags=['{tag}']");
            refused(&project, &[command, "--set", &guards], 2, told);
        }
    };
    tagged("edg", &["--set guards.protected_tags", "`edg`", "did you mean `edge`"]);
    tagged("channel:mail", &["no row has the tag `channel:mail`; there are: edge, fine"]);
    let short = ["optimize", "--set", "guards.max_prompt_tokens=5"];
    refused(&project, &short, 2, &["guards.max_prompt_tokens", "at most 5 are allowed"]);
}

/// The dataset with line `line` (1 for the first) replaced by `row`.
fn dataset(line: usize, row: &str) -> String {
    let text = Project::new().read("library.jsonl");
    let rows = text.lines().enumerate().map(|(index, old)| if index + 1 == line { row } else { old });
    rows.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn a_config_that_is_wrong_is_refused_at_its_line() {
    config_refused("generations = 2", "genrations = 2", &["ratchet.toml:12", "genrations", "`generations`"]);
    config_refused("generations = 2", "generations = 2\ndisable = ['ad-rule']", &["ratchet.toml:13", "ad-rule"]);
    config_refused("generations = 2", "generations = 0", &["ratchet.toml:12", "search.generations", "1"]);
    config_refused("generations = 2", "generations = 'two'", &["ratchet.toml:12", "two"]);
    config_refused("\"embedded\"", "\"embeded\"", &["ratchet.toml:6", "embeded", "embedded"]);
    config_refused("\"exact_match\"", "\"exact\"", &["ratchet.toml:9", "exact_match"]);
    config_refused("name = \"library\"", "name = \"library", &["ratchet.toml:1"]);
    file_refused("ratchet.toml", b"name = \"B\xfccherei\"\n", &["ratchet.toml", "line 1", "UTF-8"]);
}

#[test]
fn a_setting_that_is_wrong_is_refused() {
    setting_refused("search.generations", &["KEY=VALUE"]);
    setting_refused("search.genrations=3", &["--set", "genrations", "`generations`"]);
    setting_refused("search.generations=many", &["--set", "many"]);
    setting_refused("search.disable=['ad-rule']", &["ad-rule", "add-rule"]);
    setting_refused("scorers=[{type='python', path='none.py'}]", &["none.py"]);
    let key = "models.task={provider='openai', model='m', api_key_env='RATCHET_TEST_NO_SUCH_KEY'}";
    setting_refused(key, &["models.task.api_key_env", "RATCHET_TEST_NO_SUCH_KEY", "export"]);
    let own_key = "models.task.api_key_env='RATCHET_TEST_NO_SUCH_KEY'";
    let told = "error: --set models.task.api_key_env: the environment variable RATCHET_TEST_NO_SUCH_KEY";
    let project = Project::new();
    let openai = ["eval", "--set", "models.task.provider='openai'", "--set", "models.task.model='m'", "--set", own_key];
    refused(&project, &openai, 2, &[told]);
    setting_refused("models.task.provider=openai", &["model"]);
    setting_refused("dataset=${RATCHET_TEST_NO_SUCH}/a.jsonl", &["--set dataset: ", "RATCHET_TEST_NO_SUCH"]);
    setting_refused("scorers=[{type='regex', pattern='('}]", &["--set scorers: ", "regex"]);
    setting_refused("scorers=[{type='numeric'}]", &["library.jsonl:1: row `", "scorer numeric: ", "a number"]);
    let schema = "scorers=[{type='any_of', scorers=[{type='json_schema', schema={type='strng'}}]}]";
    setting_refused(schema, &["--set scorers: ", "any_of/json_schema: the schema at `/type` doesn't compile", "strng"]);
    setting_refused("scorers=[{type='json_schema', path='no.json'}]", &["--set scorers: ", "no.json", "no such file"]);
    setting_refused("scorers=[{type='json_path', path='$..a'}]", &["json_path", "no path to one place; write it like"]);
    setting_refused("scorers=[{type='length', min=9, max=3}]", &["`min` is 9, above `max`"]);
    setting_refused("scorers=[{type='json_fields'}]", &["library.jsonl:1: row `", "a JSON object"]);
    setting_refused("models.task.model=gpt", &["models.task.model", "gpt", "embedded"]);
    setting_refused("models.task.temperature=0", &["models.task.temperature", "does nothing", "leave it out"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let files =
        [("ratchet.toml", ""), ("prompts/library.prompty", "ratchet.toml:2:"), ("library.jsonl", "ratchet.toml:3:")];
    for (file, place) in files {
        let project = Project::new();
        std::fs::remove_file(project.path().join(file)).unwrap();
        for command in ["optimize", "eval"] {
            refused(&project, &[command], 2, &[file, place, "no such file"]);
        }
    }
}

#[test]
fn a_dataset_that_is_wrong_is_refused_at_its_line() {
    file_refused("library.jsonl", "", &["library.jsonl", "no rows"]);
    file_refused("library.jsonl", "\n\n", &["library.jsonl", "no rows"]);
    file_refused("library.jsonl", dataset(7, "{\"input\": \"cut off"), &["library.jsonl:7"]);
    file_refused("library.jsonl", dataset(3, "{\"expected\": \"lending\"}"), &["library.jsonl:3", "input"]);
    file_refused("library.jsonl", dataset(3, "{\"input\": \"hello\"}"), &["library.jsonl:3", "expected"]);
    let twice = dataset(5, "{\"id\": \"m00\", \"input\": \"hello\", \"expected\": \"spaces\"}");
    file_refused("library.jsonl", twice, &["library.jsonl:5", "m00"]);
    let mut latin = dataset(1, "{\"input\": \"hello\", \"expected\": \"spaces\"}").into_bytes();
    latin.extend(b"{\"input\": \"caf\xe9\", \"expected\": \"spaces\"}\n");
    file_refused("library.jsonl", latin, &["library.jsonl:61", "UTF-8"]);
}

#[test]
fn a_table_that_is_wrong_is_refused_at_its_line() {
    let of_table = |text: &[u8], told: &[&str]| {
        let project = Project::new();
        project.write("rows.csv", text);
        refused(&project, &["optimize", "--set", "dataset=rows.csv"], 2, told);
    };
    of_table(b"input,expected\nhello,spaces\na,b,c\n", &["rows.csv:3"]);
    of_table(b"input,expected\n\"never closed,spaces\n", &["rows.csv:2"]);
    of_table(b"text,label\nhello,spaces\n", &["rows.csv", "input", "text"]);
    of_table(b"input,expected\ncaf\xe9,spaces\n", &["rows.csv:2", "UTF-8"]);
}

#[test]
fn a_prompt_that_is_wrong_is_refused_at_its_line_and_column() {
    let of_prompt = |text: &str, told: &[&str]| file_refused("prompts/library.prompty", text, told);
    of_prompt(&PROMPT.replace("{{ input }}", "{{ input"), &["prompts/library.prompty:"]);
    of_prompt(&PROMPT.replace("{{ input }}", "{% if input %}"), &["prompts/library.prompty:"]);
    of_prompt(&PROMPT.replace("{{ input }}", "{{ inptu }}"), &["prompts/library.prompty:10:", "`inptu`", "input"]);
    of_prompt(&PROMPT.replace("{{ input }}", "{{ expected }}"), &["prompts/library.prompty:10:", "`expected`"]);
    of_prompt(&PROMPT.replace("{{ input }}", "{{ input.text }}"), &["prompts/library.prompty:10:"]);
    of_prompt(&PROMPT.replace("{{ input }}", "see above"), &["prompts/library.prompty", "{{ input }}"]);
    let blind = PROMPT.replace("{{ input }}", "{% if input %}x{% endif %}");
    of_prompt(&blind, &["prompts/library.prompty:1:1", "same for 20 rows", "{{ input }}"]);
    of_prompt("", &["prompts/library.prompty"]);
    file_refused(
        "prompts/library.prompty",
        b"user:\ncaf\xe9 {{ input }}\n",
        &["prompts/library.prompty", "line 2", "UTF-8"],
    );
}

#[test]
fn a_run_that_does_not_exist_is_refused() {
    let project = Project::new();
    for command in ["report", "diff", "resume", "review", "apply"] {
        refused(&project, &[command, "zzzz"], 2, &["runs", "zzzz"]);
        refused(&project, &[command], 2, &["runs", "ratchet optimize"]);
    }
    refused(&project, &["resume", "--set", "search.generations=9"], 2, &["its own settings"]);
    refused(&project, &["runs", "show", "zzzz"], 2, &["runs", "zzzz"]);
    refused(&project, &["compare", "zzzz", "prompts/library.prompty"], 2, &["zzzz"]);
    refused(&project, &["strategies", "show", "zzzz"], 2, &["zzzz"]);
    refused(&project, &["optimise"], 2, &["optimise", "optimize"]);
}

/// `optimize` and `eval` on a model that is given as `table` end with `code` and tell `told`.
fn model_refused(table: &str, code: i32, told: &[&str]) {
    let project = Project::new();
    let setting = format!("models.task={{{table}}}");
    for command in ["optimize", "eval"] {
        refused(&project, &[command, "--set", &setting], code, told);
    }
}

#[test]
fn a_model_that_cannot_answer_is_told_before_anything_is_written() {
    let answering = |status: u16, body: &str| {
        let rates = Rates(vec![(1.0, Fault::Raw(status, body.into()))]);
        Provider::start(Answers::Fixed("x".into()), Behaviour { rates, ..Behaviour::default() })
    };
    let unknown =
        answering(404, r#"{"error": {"message": "The model `tiny` does not exist", "code": "model_not_found"}}"#);
    model_refused(&unknown.table(), 2, &["`tiny` does not exist", "check the model"]);
    let denied = answering(401, r#"{"error": {"message": "Incorrect API key provided"}}"#);
    model_refused(&denied.table(), 4, &["Incorrect API key provided", "check the key"]);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    model_refused(&openai(&base_url), 4, &["can't reach the provider", &base_url["http://".len()..], "check"]);
}

/// The embedded model, which can't answer where a text stands in the last message.
struct Choosy(Embedded, &'static str);

impl Chat for Choosy {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let refuses = call.request.messages.last().is_some_and(|message| message.content.ends_with(self.1));
        if refuses {
            return Box::pin(async { Err(CallError::Rejected("content policy".into())) });
        }
        self.0.complete(call)
    }
}

/// After `optimize` with `settings`, and with the same `eval`: the rows `bad` are missing, not zero, and counted.
fn goes_on_without(project: &Project, settings: &[&str], bad: &[&str]) {
    let with = |command: &[&'static str]| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        project.ratchet(&command.iter().copied().chain(settings).collect::<Vec<_>>())
    };
    let ran = with(&["optimize", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["stopped"], "generations");
    let journal = std::fs::read_to_string(project.run().join("journal.jsonl")).unwrap();
    let events: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: std::collections::BTreeSet<&str> = events
        .iter()
        .filter(|event| event["event"] == "row_failed")
        .map(|event| event["example"].as_str().unwrap())
        .collect();
    assert!(!failed.is_empty() && failed.iter().all(|row| bad.contains(row)), "{failed:?}");
    let baseline = events.iter().find(|event| event["event"] == "baseline_measured").unwrap();
    let errors = ["train", "dev"].map(|split| baseline[split]["errors"].as_u64().unwrap());
    assert_eq!(errors.iter().sum::<u64>(), failed.len() as u64);
    let report = std::fs::read_to_string(project.run().join("report.md")).unwrap();
    assert!(report.contains("could not be had"), "{report}");
    assert_eq!(ran.err.matches("not run  m").count(), 1, "{}", ran.err);
    assert!(failed.iter().all(|row| report.contains(&format!("`{row}`")) && ran.err.contains(row)), "{report}");

    let scored = with(&["eval", "--split", "all", "--json"]).json();
    assert_eq!(scored["errors"].as_u64(), Some(bad.len() as u64), "{scored}");
    let told = with(&["eval", "--split", "all"]);
    assert!(told.out.contains("error") && told.code == 0, "{}", told.out);
}

#[test]
fn a_row_that_the_provider_refuses_is_missing_and_not_zero() {
    let model = Choosy(Embedded::new(), "when must the atlas be back");
    let provider = Provider::start(Answers::Chat(Arc::new(model)), Behaviour::default());
    let setting = format!("models.task={{{}, deterministic=true}}", provider.table());
    let project = Project::new();
    goes_on_without(&project, &[&setting, "search.generations=1"], &["m12"]);
}

#[test]
fn a_dataset_in_which_no_edit_could_prove_itself_is_refused_by_optimize_and_scored_by_eval() {
    let project = Project::new();
    let rows: String = (0..40)
        .map(|at| {
            format!(
                "{{\"input\": \"a message about room {at}\", \"expected\": \"{}\", \"split\": \"{}\"}}\n",
                ["spaces", "lending"][at % 2],
                ["train", "test"][at % 4 / 3]
            )
        })
        .collect();
    project.write("library.jsonl", rows);
    for arguments in [&["optimize"][..], &["optimize", "--dry-run"]] {
        refused(&project, arguments, 2, &["library.jsonl: there are no dev rows", "name `dev` as their split"]);
    }
    assert_eq!(project.ratchet(&["eval"]).code, 0);
}

#[test]
fn a_row_whose_scorer_throws_is_missing_and_not_zero() {
    let has_python = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !has_python && std::env::var("RATCHET_REQUIRE_PYTHON").is_err() {
        eprintln!("skipped: there is no python3");
        return;
    }
    let project = Project::new();
    let scorer = "def handler(output, expected, input):\n    if 'atlas' in input:\n        raise ValueError('no atlas')\n    \
                  return float(output == expected)\n";
    project.write("scorers/exact.py", scorer);
    let settings = ["scorers=[{type='python', path='scorers/exact.py'}]", "search.generations=1"];
    goes_on_without(&project, &settings, &["m03", "m12"]);
}

#[test]
fn a_budget_that_does_not_cover_the_baseline_is_refused_before_anything_is_spent() {
    let arguments = ["optimize", "--set", "budget.calls=10"];
    refused(&Project::new(), &arguments, 2, &["budget.calls = 10 can't cover the baseline, which takes", "raise it"]);
    let arguments = ["optimize", "--set", "budget.tokens=1000"];
    refused(&Project::new(), &arguments, 2, &["budget.tokens = 1000 can't cover the baseline", "at the very least"]);
    let model =
        "models.task={provider='openai', model='m', base_url='http://127.0.0.1:9/v1', price={input=1, output=2}}";
    let arguments = ["optimize", "--set", model, "--set", "budget.task.usd=0.0005"];
    refused(&Project::new(), &arguments, 2, &["budget.task.usd = 0.0005 can't cover the baseline", "raise it"]);
}
