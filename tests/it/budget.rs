//! Limits on money and time, prices, and `--dry-run`, through the real binary.

use std::sync::Arc;
use std::time::Duration;

use prompt_ratchet::model::embedded::Embedded;

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider, assert_same, identity, openai};
use crate::resume::{Counting, Then};

/// Dollars for a million tokens: a row costs about half a cent.
const PRICE: &str = "price={input=100, output=100, max_output=400}";

fn provider(latency: u64) -> Provider {
    let behaviour = Behaviour { latency: Duration::from_millis(latency), ..Behaviour::default() };
    Provider::start(Answers::Chat(Arc::new(Embedded::new())), behaviour)
}

fn task(provider: &Provider, more: &str) -> String {
    format!("models.task={{{}, deterministic=true, max_concurrency=4, {more}}}", provider.table())
}

/// Takes the last lines of the journal away, as if the process had been killed before it wrote them.
fn forget(project: &Project, lines: usize) {
    let journal = project.run().join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let kept: Vec<&str> = text.lines().collect();
    std::fs::write(&journal, kept[..kept.len() - lines].join("\n") + "\n").unwrap();
    let _ = std::fs::remove_file(project.run().join("report.md"));
}

/// Lines after the one that says that a limit was reached. Before that is journalled, the order of the answers decides
/// which call the limit hits.
fn after_limit(project: &Project) -> usize {
    let journal = project.read(project.run().join("journal.jsonl"));
    journal.lines().rev().position(|line| line.contains("limit_reached")).unwrap_or(usize::MAX)
}

#[test]
fn a_limit_in_dollars_holds_and_the_run_ends_as_planned_and_resumes_alike() {
    let provider = provider(0);
    let project = Project::new();
    let task = task(&provider, PRICE);
    let ran = project.ratchet(&[
        "optimize",
        "--json",
        "--set",
        &task,
        "--set",
        "budget.usd=2",
        "--set",
        "search.generations=20",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = ran.json();
    assert_eq!(result["stopped"], "budget", "{result}");
    let cost = result["cost_usd"].as_f64().unwrap();
    assert!(cost > 0.5 && cost <= 2.0, "{result}");
    if result["kept"].as_u64().unwrap() > 0 {
        assert!(result["winner"]["test"]["score"].is_number(), "the sealed test's share was kept back: {result}");
    }
    let (whole, asked) = (identity(&project.run()), provider.server.stats().requests);
    for lines in [1, 2, 4] {
        forget(&project, lines.min(after_limit(&project)));
        let ran = project.ratchet(&["resume", "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_same(&whole, &identity(&project.run()));
    }
    assert_eq!(provider.server.stats().requests, asked, "nothing is asked twice");
}

#[test]
fn the_sealed_tests_share_is_kept_back_in_dollars_and_leaves_the_proposer_its_calls() {
    let provider = provider(0);
    let project = Project::new();
    // Far more test rows than proposer calls that any budget has room for.
    let rows = project.read("library.jsonl");
    let tests =
        (0..400).map(|row| format!("{{\"input\": \"book {row}\", \"expected\": \"lending\", \"split\": \"test\"}}\n"));
    project.write("library.jsonl", rows + &tests.collect::<String>());
    let set = ["--set", &task(&provider, PRICE), "--set", "budget.usd=9"];
    let ran = project.ratchet(&[&["optimize", "--json"][..], &set].concat());
    let result = ran.json();
    assert!(result["calls"]["proposer"].as_u64().unwrap() >= 4, "{result} {}", ran.err);
    assert!(result["cost_usd"].as_f64().unwrap() <= 9.0, "{result}");
    assert!(result["kept"] == 0 || result["winner"]["test"]["score"].is_number(), "{result}");
}

#[test]
fn a_run_whose_budget_has_no_room_for_proposals_ends_there_and_says_so() {
    let provider = provider(0);
    let task = task(&provider, PRICE);
    for (limit, named) in [("usd=0.001", "usd = $0.0010"), ("calls=1", "calls = 1")] {
        let project = Project::new();
        let limit = format!("budget.proposer.{limit}");
        let set = ["--set", &task, "--set", &limit, "--set", "search.generations=9", "--set", "search.patience=9"];
        let ran = project.ratchet(&[&["optimize", "--json"][..], &set].concat());
        let result = ran.json();
        assert_eq!((ran.code, &result["stopped"]), (0, &"budget".into()), "{}", ran.err);
        assert!(result["generations"].as_u64().unwrap() <= 4, "{result}");
        let why = format!(
            "no proposal could be paid for: what is left of budget.proposer.{named} does not cover another call"
        );
        assert!(ran.err.contains("no proposal could be paid for"), "{}", ran.err);
        let report = project.read(project.run().join("report.md")).replace('\\', "");
        assert!(report.contains(&why) && !report.contains("really better"), "{report}");
        let (whole, asked) = (identity(&project.run()), provider.server.stats().requests);
        for lines in [1, 3] {
            forget(&project, lines);
            assert_eq!(project.ratchet(&["resume", "--quiet"]).code, 0);
            assert_same(&whole, &identity(&project.run()));
        }
        assert_eq!(provider.server.stats().requests, asked);
    }
}

#[test]
fn a_limit_in_dollars_on_a_model_without_a_price_is_refused_with_advice() {
    let project = Project::new();
    let before = project.files();
    let setting = format!("models.task={{{}}}", openai("http://127.0.0.1:9/v1"));
    let refused = project.ratchet(&["optimize", "--set", &setting, "--set", "budget.usd=1"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{}", refused.err);
    assert!(refused.err.contains("models.task.price") && refused.err.contains("tiny"), "{}", refused.err);
    assert!(project.files() == before, "nothing is written");
    // A price file knows it.
    project.write("prices.json", r#"{"x/tiny": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}"#);
    let set = ["--set", &setting, "--set", "budget.usd=1", "--set", "budget.prices=prices.json"];
    let plan = project.ratchet(&[&["optimize", "--dry-run", "--json"][..], &set].concat());
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert_eq!((&plan.json()["task"]["input_price"], &plan.json()["task"]["output_price"]), (&1.0.into(), &2.0.into()));
}

#[test]
fn a_dry_run_tells_what_would_run_and_asks_and_writes_nothing() {
    let provider = provider(0);
    let project = Project::new();
    let before = project.files();
    let task = task(&provider, "price={input=1, output=2}, max_tokens=10");
    let set = ["--set", &task, "--set", "budget.calls=300", "--for", "8h"];
    let ran = project.ratchet(&[&["optimize", "--dry-run"][..], &set].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [
        "24 train, 24 dev, 12 test",
        "Likely",
        "At most",
        "Limits    leave 300 task",
        "can't be told from luck",
        "$1 and $2",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let plan = project.ratchet(&[&["optimize", "--dry-run", "--json"][..], &set].concat()).json();
    let (likely, most) = (&plan["likely"], &plan["most"]);
    for part in ["tokens", "cost_usd"] {
        assert!(likely[part].as_f64().unwrap() > 0.0 && likely[part].as_f64() <= most[part].as_f64(), "{plan}");
    }
    assert_eq!(most["calls"]["task"], 300);
    assert!(plan["unlimited"]["calls"]["task"].as_u64().unwrap() > 300, "{plan}");
    let past = project.ratchet(&["optimize", "--dry-run", "--until", "2020-01-01T00:00"]);
    assert!(past.code == 2 && past.err.contains("that is past"), "{}", past.err);
    assert!(plan["detectable_gain"].as_f64().unwrap() > 0.05 && plan["ends"].is_number(), "{plan}");
    assert_eq!(provider.server.stats().requests, 0);
    assert!(project.files() == before);
    let unknown = format!("models.task={{{}}}", openai("http://127.0.0.1:9/v1"));
    let plan = project.ratchet(&["optimize", "--dry-run", "--json", "--set", &unknown]).json();
    assert!(plan["likely"]["cost_usd"].is_null() && plan["ends"].is_null(), "{plan}");
}

#[test]
fn a_run_whose_time_is_up_ends_as_planned_and_a_resumed_one_stops_at_the_same_place() {
    let provider = provider(25);
    let project = Project::new();
    let task = task(&provider, PRICE);
    let ran = project.ratchet(&["optimize", "--json", "--set", &task, "--for", "1500ms"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = ran.json();
    assert_eq!(result["stopped"], "time", "{result}");
    assert!(result["seconds"].as_f64().unwrap() < 12.0, "{result}");
    let (whole, asked) = (identity(&project.run()), provider.server.stats().requests);
    // Killed right after the limit was journalled: its time is up, and it still ends like that.
    forget(&project, after_limit(&project).min(1));
    let ran = project.ratchet(&["resume", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_same(&whole, &identity(&project.run()));
    assert_eq!(provider.server.stats().requests, asked);
    // Killed before it: there is no time left, unless it is given more.
    forget(&project, after_limit(&project) + 1);
    std::fs::write(project.run().join("spend.json"), r#"{"seconds": 1.6, "spend": {}}"#).unwrap();
    let refused = project.ratchet(&["resume"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("resume --for"), "{}", refused.err);
    let ran = project.ratchet(&["resume", "--json", "--for", "1h"]);
    assert_eq!((ran.code, &ran.json()["stopped"]), (0, &"generations".into()), "{}", ran.err);
}

#[test]
fn a_time_that_cannot_be_understood_is_refused() {
    let project = Project::new();
    for (option, text, advice) in [("--for", "soon", "8h"), ("--for", "8", "\"8\": "), ("--until", "25:00", "07:00")] {
        let refused = project.ratchet(&["optimize", option, text]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains(text) && refused.err.contains(advice), "{}", refused.err);
    }
}

#[test]
fn a_limit_holds_over_kills_since_what_was_under_way_counts_as_spent() {
    let model = Arc::<Counting>::default();
    let provider = Provider::start(Answers::Chat(model.clone()), Behaviour::default());
    let project = Project::in_memory();
    let most = 160;
    let settings = [
        task(&provider, "timeout_seconds=60"),
        format!("budget.calls={most}"),
        "search.generations=20".to_owned(),
        "search.patience=20".to_owned(),
    ];
    let mut optimize = vec!["optimize"];
    settings.iter().for_each(|setting| optimize.extend(["--set", setting]));
    for (kill, after) in [70, 9, 9, 9].into_iter().enumerate() {
        // Those that are under way at the kill are never answered.
        let alarm = model.alarm(after, Then::Hold);
        let mut run = if kill == 0 { project.start(&optimize) } else { project.start(&["resume"]) };
        alarm.recv().unwrap();
        run.kill().unwrap();
        run.wait().unwrap();
        model.release();
        assert!(project.run().join("allotted.json").is_file());
    }
    let ran = project.ratchet(&["resume", "--json"]);
    assert_eq!((ran.code, &ran.json()["stopped"]), (0, &"budget".into()), "{}", ran.err);
    assert!(model.asked() <= most, "{} calls with a limit of {most}", model.asked());
    assert!(!project.run().join("allotted.json").exists());
}

#[test]
fn a_budget_that_covers_no_generation_is_warned_of_and_the_share_of_the_sealed_test_is_named() {
    let project = Project::new();
    let ran = project.ratchet(&["optimize", "--set", "budget.calls=80"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("likely to end before the first generation"), "{}", ran.err);
    let screen = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "does not cover another generation: 24 calls are kept back for the sealed test";
    assert!(screen.contains(told), "{screen}");
}

#[test]
fn a_run_with_few_calls_opens_with_examples_and_resumes_alike() {
    for (calls, goes_on) in [("80", false), ("180", true)] {
        let project = Project::new();
        let limit = format!("budget.task.calls={calls}");
        let ran = project.ratchet(&["optimize", "--json", "--set", &limit]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let result = ran.json();
        assert!(result["winner"]["dev"]["score"].as_f64() > result["baseline"]["dev"]["score"].as_f64(), "{result}");
        assert!(result["calls"]["task"].as_u64().unwrap() <= calls.parse().unwrap(), "{result}");
        let journal = project.read(project.run().join("journal.jsonl"));
        let place = |event: &str| journal.lines().position(|line| line.contains(event));
        let (judged, raced) = (place("\"judged\"").unwrap(), place("\"raced\""));
        assert_eq!(raced.is_some(), goes_on, "{journal}");
        assert!(raced.is_none_or(|raced| judged < raced), "no race goes before the first question");
        let whole = identity(&project.run());
        // A generation that is begun again would find its calls spent by what came after it, as in no run that was killed.
        let lines: Vec<&str> = journal.lines().collect();
        let begun = lines.iter().rposition(|line| line.contains("\"generation_started\"")).unwrap();
        for left in [lines.len() - 1, judged.max(begun) + 1, begun + 1] {
            forget(&project, lines.len() - left);
            let ran = project.ratchet(&["resume", "--quiet"]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert_same(&whole, &identity(&project.run()));
        }
    }
}
