//! `doctor`, `models` and runs on other providers through the real binary, against fakes of them.

use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use serde_json::{Value, json};

use crate::fake::dialects::{Asked, Dialect, Said, failed, ok};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

const KEY: &str = "RATCHET_TEST_PROVIDER_KEY";

/// Runs the binary with a key in the environment, and no key of any provider.
fn ratchet(folder: &Path, arguments: &[&str]) -> Ran {
    tokio::task::block_in_place(|| {
        let mut command = Command::cargo_bin("ratchet").unwrap();
        command.current_dir(folder).args(arguments).env(KEY, "sk-secret");
        command.env_remove("ANTHROPIC_API_KEY").env_remove("GROQ_API_KEY").env_remove("AWS_REGION");
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    })
}

fn project(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let rows: String = (0..20).map(|at| format!("{{\"input\": \"row {at}\", \"expected\": \"billing\"}}\n")).collect();
    write("rows.jsonl", &rows);
    write("p.prompty", "system:\nSort the ticket.\n\nuser:\n{{ input }}\n");
    let config = format!(
        "prompt = \"p.prompty\"\ndataset = \"rows.jsonl\"\n\n[models.task]\n{model}\n\n[[scorers]]\ntype = \"exact_match\"\n"
    );
    write("ratchet.toml", &config);
    folder
}

fn anthropic(fake: &Dialect) -> String {
    format!(
        "provider = \"anthropic\"\nmodel = \"claude-haiku-4-5\"\nbase_url = \"{}\"\napi_key_env = \"{KEY}\"\nretries = 0",
        fake.url("/v1")
    )
}

fn keyed(asked: &Asked) -> Result<(), String> {
    match asked.header("x-api-key") {
        "sk-secret" => Ok(()),
        other => Err(format!("key {other:?}")),
    }
}

fn billing() -> Said {
    ok(json!({"type": "message", "content": [{"type": "text", "text": "billing"}], "stop_reason": "end_turn",
              "usage": {"input_tokens": 12, "output_tokens": 2}}))
}

/// What a finding of `doctor --json` says.
fn finding<'a>(told: &'a Value, what: &str) -> &'a Value {
    let found = told["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {told}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_on_another_provider_is_healthy_and_can_be_scored() {
    let fake = Dialect::start(keyed, vec![billing()]).await;
    let project = project(&anthropic(&fake));
    let told = ratchet(project.path(), &["doctor", "--json"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let told = told.json();
    assert_eq!((&told["healthy"], &finding(&told, "task call")["health"]), (&json!(true), &json!("good")));
    assert!(finding(&told, "task call")["found"].as_str().unwrap().contains("12 tokens in, 2 out, $0.0000"), "{told}");
    assert!(finding(&told, "project")["found"].as_str().unwrap().starts_with("20 rows"), "{told}");
    let screen = ratchet(project.path(), &["doctor", "--offline"]);
    assert!(screen.code == 0 && screen.out.contains("skipped  task call"), "{}", screen.out);
    assert!(!project.path().join("runs").exists() && !project.path().join(".ratchet").exists());
    assert_eq!(fake.asked().len(), 1);

    let scored = ratchet(project.path(), &["eval", "--json"]).json();
    assert_eq!((&scored["score"], &scored["errors"]), (&json!(1.0), &json!(0)), "{scored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_provider_is_told_with_what_to_do_and_has_its_exit_code() {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "words of sk-secret"}});
    for (status, kind, code, mend) in [
        (401, "authentication_error", 4, "models.task.api_key_env"),
        (404, "not_found_error", 2, "the model's name"),
        (500, "api_error", 4, "try again"),
        (529, "overloaded_error", 0, "busy"),
    ] {
        let fake = Dialect::start(keyed, vec![failed(status, error(kind))]).await;
        let project = project(&anthropic(&fake));
        let told = ratchet(project.path(), &["doctor", "--json"]);
        assert_eq!(told.code, code, "{kind}: {}", told.out);
        assert!(!told.out.contains("sk-secret"), "{}", told.out);
        let told = told.json();
        let told = finding(&told, "task call");
        assert!(told["mend"].as_str().unwrap().contains(mend), "{kind}: {told}");
        // The first rows are asked, and not the whole dataset, to find out the same.
        if status == 404 {
            let scored = ratchet(project.path(), &["eval"]);
            assert!(scored.code == 2 && scored.err.contains("[models.task]"), "{}", scored.err);
            assert!(fake.asked().len() <= 21, "{}", fake.asked().len());
        }
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (model, code, told) in [
        (format!("provider = \"vllm\"\nmodel = \"m\"\nbase_url = \"http://{port}/v1\""), 4, "models.task.base_url"),
        ("provider = \"groq\"\nmodel = \"m\"".to_owned(), 2, "GROQ_API_KEY is not set"),
        (format!("provider = \"bedrock\"\nmodel = \"m\"\napi_key_env = \"{KEY}\""), 2, "AWS_REGION"),
        ("provider = \"command\"\nrun = [\"./model.sh\"]".to_owned(), 2, "there is no file"),
        ("provider = \"ollama\"\nmodel = \"m\"\napi_version = \"1\"".to_owned(), 2, "does nothing with the provider"),
    ] {
        let ran = ratchet(project(&model).path(), &["doctor"]);
        assert!(ran.code == code && ran.out.contains(told), "{model}: {} {}", ran.code, ran.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_models_are_listed_and_no_key_is_shown() {
    let folder = project(&format!(
        "provider = \"mistral\"\nmodel = \"gpt-5-mini\"\napi_key_env = \"{KEY}\"\nrequests_per_minute = 60\n\n\
         [models.proposer]\nprovider = \"groq\"\nmodel = \"some-model\""
    ));
    let told = ratchet(folder.path(), &["models", "--json"]);
    let told = told.json();
    let [task, proposer] = told["models"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (&task["address"], &task["key"]),
        (&json!("https://api.mistral.ai/v1"), &json!({"name": KEY, "is_set": true}))
    );
    assert_eq!((&task["price"]["input"], &task["requests_per_minute"]), (&json!(0.25), &json!(60)));
    assert_eq!((&proposer["key"]["is_set"], &proposer["price"]), (&json!(false), &Value::Null));
    let screen = ratchet(folder.path(), &["models"]);
    assert!(screen.out.contains("GROQ_API_KEY (NOT SET)") && !screen.out.contains("sk-secret"), "{}", screen.out);
    let one = ratchet(project("provider = \"embedded\"").path(), &["models"]);
    assert!(one.out.contains("proposer  as the task model") && one.out.contains("free"), "{}", one.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallbacks_and_further_addresses_are_listed_and_asked_as_well() {
    let [first, fallback] =
        [Dialect::start(keyed, vec![billing()]).await, Dialect::start(keyed, vec![billing()]).await];
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = project(&format!(
        "{}\nalso_at = [\"http://{port}/v1\"]\n\n[[models.task.fallback]]\n{}\n\n[[models.task.fallback]]\n{}",
        anthropic(&first),
        anthropic(&fallback),
        anthropic(&fallback).replace("claude-haiku-4-5", "unheard-of")
    ));
    let listed = ratchet(folder.path(), &["models"]).out;
    assert!(listed.contains("task, fallback 2") && listed.contains(&format!("http://{port}/v1")), "{listed}");
    let told = ratchet(folder.path(), &["models", "--json"]).json();
    assert_eq!(told["models"][0]["fallback"][1]["model"], "unheard-of");
    let told = ratchet(folder.path(), &["doctor", "--json"]);
    // A run can begin: without that address, and without a price.
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let told = told.json();
    let out = finding(&told, &format!("task call at http://{port}/v1"));
    assert_eq!(out["health"], "warning", "{out}");
    assert!(out["mend"].as_str().unwrap().contains("models.task.also_at.0"), "{out}");
    assert_eq!(finding(&told, &format!("task call at {}", first.url("/v1")))["health"], "good");
    assert_eq!(finding(&told, "task fallback 1 call")["health"], "good");
    let mend = finding(&told, "task fallback 2")["mend"].as_str().unwrap();
    assert!(mend.contains("models.task.fallback.1.price"), "{mend}");
    assert_eq!((first.asked().len(), fallback.asked().len()), (1, 2));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_serves_as_the_model_and_its_failures_are_told() {
    let answering = "provider = \"command\"\nrun = [\"sh\", \"model.sh\"]";
    let folder = project(answering);
    std::fs::write(
        folder.path().join("model.sh"),
        "grep -q 'row 7' && { echo 'no row 7' >&2; exit 3; }; echo billing\n",
    )
    .unwrap();
    let scored = ratchet(folder.path(), &["eval", "--split", "all", "--json"]).json();
    assert_eq!((&scored["errors"], &scored["score"]), (&json!(1), &json!(1.0)), "{scored}");
    std::fs::write(folder.path().join("model.sh"), "printf '\\377'\n").unwrap();
    let told = ratchet(folder.path(), &["eval"]);
    assert!(told.code == 2 && told.err.contains("isn't UTF-8"), "{} {}", told.code, told.err);
}
