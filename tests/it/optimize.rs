//! `ratchet optimize` through the real binary, on the embedded model: what it writes, what it prints, and that it does
//! the same twice.

use std::path::Path;

use crate::project::{PROMPT, Project, assert_same, identity};

/// What strategies came to, for the next run.
const PULLS: &str = "runs/strategy-pulls.json";

#[test]
fn a_run_ends_with_a_whole_folder_and_leaves_the_prompt_alone() {
    let project = Project::new();
    let ran = project.ratchet(&["optimize", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = ran.json();
    let keys: Vec<&str> = result.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = "baseline calls cost_usd generations kept run seconds shown stopped stored tokens winner";
    assert_eq!(keys, documented.split(' ').collect::<Vec<_>>());
    assert!(result["kept"].as_u64().unwrap() >= 1, "{result}");
    let dev = |arm: &str| result[arm]["dev"]["score"].as_f64().unwrap();
    assert!(dev("winner") > dev("baseline"), "{result}");
    for split in ["dev", "test"] {
        let keys: Vec<&String> = result["winner"][split].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["examples", "interval", "score"]);
    }
    let calls: Vec<&String> = result["calls"].as_object().unwrap().keys().collect();
    assert_eq!(calls, ["judge", "proposer", "task"]);

    let run = project.run();
    assert_eq!(run.file_name().unwrap().to_str(), result["run"].as_str());
    let files = project.files();
    let in_run = |name: &str| run.strip_prefix(project.path()).unwrap().join(name);
    for name in ["run.json", "journal.jsonl", "best.prompt", "best.diff", "report.md", "report.html", "spend.json"] {
        assert!(files.get(&in_run(name)).is_some_and(|content| !content.is_empty()), "{name}");
    }
    assert!(files.contains_key(&in_run("generations/001/clusters.json")));
    let candidate = |file: &str| {
        let folder = in_run("generations/001/candidates");
        files.keys().any(|path| path.starts_with(&folder) && path.ends_with(file))
    };
    for file in ["proposal.json", "edit.diff", "prompt", "outcomes.jsonl", "verdict.json"] {
        assert!(candidate(file), "{file}");
    }
    assert!(files.keys().any(|path| path.starts_with(in_run("snapshot"))));
    assert_eq!(project.read("prompts/library.prompty"), PROMPT);
    assert!(files.contains_key(Path::new("library.jsonl.lock.json")), "{:?}", files.keys());
    let stray = files.keys().find(|path| path.to_string_lossy().ends_with(".tmp"));
    assert_eq!(stray, None);
}

#[test]
fn stdout_is_data_and_nothing_is_coloured_where_nobody_looks() {
    let project = Project::new();
    let ran = project.ratchet(&["optimize", "--set", "search.generations=1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{:?}{:?}", ran.out, ran.err);
    assert!(!ran.err.is_empty(), "progress goes to stderr");
    let quiet =
        project.command(&["optimize", "--quiet", "--json", "--seed", "2"]).env("NO_COLOR", "1").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
    let forced = project.command(&["report"]).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!forced.stdout.contains(&0x1b), "NO_COLOR wins");
}

#[test]
fn the_same_project_and_seed_give_the_same_run_byte_for_byte() {
    let (one, other) = (Project::new(), Project::new());
    for project in [&one, &other] {
        assert_eq!(project.ratchet(&["optimize", "--quiet"]).code, 0);
    }
    assert_same(&identity(&one.run()), &identity(&other.run()));
    assert_eq!(one.read("library.jsonl.lock.json"), other.read("library.jsonl.lock.json"));
}

#[test]
fn a_second_run_that_starts_from_the_same_pulls_decides_alike_and_pays_nothing() {
    let project = Project::new();
    let first = project.ratchet(&["optimize", "--json"]).json();
    let lock = project.read("library.jsonl.lock.json");
    std::fs::remove_file(project.path().join(PULLS)).unwrap();
    let second = project.ratchet(&["optimize", "--json"]).json();
    let [one, other] = &project.runs()[..] else { panic!("two runs") };
    // What each run paid for stands in the last event, and only there.
    let decisions = |run: &Path| {
        let mut files = identity(run);
        let journal = files.get_mut(Path::new("journal.jsonl")).unwrap();
        let text = String::from_utf8(std::mem::take(journal)).unwrap();
        let (decided, ended) = text.trim_end().rsplit_once('\n').unwrap();
        assert!(ended.contains("run_ended"), "{ended}");
        *journal = decided.as_bytes().to_vec();
        files
    };
    assert_same(&decisions(one), &decisions(other));
    assert_eq!(lock, project.read("library.jsonl.lock.json"));
    let paid = |result: &serde_json::Value| result["calls"]["task"].as_u64().unwrap();
    assert!(paid(&first) > 0 && paid(&second) == 0, "{second}");
    assert_eq!(second["stored"].as_u64(), Some(paid(&first) + first["calls"]["proposer"].as_u64().unwrap()));
    assert_eq!(first["winner"], second["winner"]);
}

#[test]
fn what_strategies_came_to_is_listed_and_the_next_run_starts_from_it() {
    let project = Project::new();
    let record = || -> Vec<serde_json::Value> {
        let listed = project.ratchet(&["strategies", "--json"]).json();
        listed.as_array().unwrap().iter().flat_map(|row| row["record"].as_array().unwrap().clone()).collect()
    };
    assert_eq!(record(), [] as [serde_json::Value; 0]);
    assert_eq!(project.ratchet(&["optimize", "--quiet"]).code, 0);
    let first = record();
    assert!(!first.is_empty());
    for row in &first {
        let (pulls, wins) = (row["pulls"].as_u64().unwrap(), row["wins"].as_u64().unwrap());
        let expected = row["expected"].as_f64().unwrap();
        assert!(pulls >= 1 && wins <= pulls && 0.0 < expected && expected < 1.0, "{row}");
    }
    let table = project.ratchet(&["strategies"]).out;
    assert!(table.contains(" pull") && table.contains("expected 0."), "{table}");
    // What needs no model has no file, and pulls all the same.
    let ledger = project.read(PULLS);
    assert!(ledger.contains("balanced-examples"), "{ledger}");
    assert!(table.contains("balanced-examples") && table.contains("Made without a model"), "{table}");

    assert_eq!(project.ratchet(&["optimize", "--quiet", "--set", "search.generations=1"]).code, 0);
    let snapshot = |run: &Path| std::fs::read_to_string(run.join("snapshot/strategy-pulls.json")).unwrap();
    let [one, other] = &project.runs()[..] else { panic!("two runs") };
    assert_eq!(snapshot(one).trim(), "{}");
    assert!(snapshot(other).contains("reward"));

    project.write(PULLS, "{");
    let refused = project.ratchet(&["optimize"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("strategy-pulls.json") && refused.err.contains("delete it"), "{}", refused.err);
    assert_eq!(project.runs().len(), 2, "nothing was written");
}

#[test]
fn rows_that_the_starting_prompt_quotes_are_measured_in_neither_arm() {
    let project = Project::new();
    let counts = |folder: &Project| {
        let plan = folder.ratchet(&["optimize", "--dry-run", "--json"]).json();
        ["train", "dev", "test"].map(|split| plan["rows"][split].as_u64().unwrap())
    };
    let [train, dev, test] = counts(&project);
    let rows = project.read("library.jsonl");
    let quotation = |id: &str| {
        let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let row = rows.into_iter().find(|row| row["id"] == id).unwrap();
        format!("- {} -> {}\n", row["input"], row["expected"].as_str().unwrap())
    };
    // Rows of train, dev and test.
    let pasted: String = ["m01", "m03", "m00"].map(quotation).concat();
    project.write("prompts/library.prompty", PROMPT.replace("Message:", &format!("Examples:\n{pasted}\nMessage:")));
    assert_eq!(counts(&project), [train - 1, dev - 1, test - 1]);
    let ran = project.ratchet(&["optimize"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let warning = "the prompt quotes 1 dev row (m03) and 1 test row (m00) as examples: no run measures";
    assert!(ran.err.contains(warning), "{}", ran.err);
    let run = project.run();
    assert!(std::fs::read_to_string(run.join("report.md")).unwrap().contains(warning));
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let baseline = events.iter().find(|event| event["event"] == "baseline_measured").unwrap();
    assert_eq!([&baseline["train"]["examples"], &baseline["dev"]["examples"]], [train - 1, dev - 1]);
    let opened = events.iter().find(|event| event["event"] == "test_opened");
    assert!(opened.is_none_or(|opened| opened["baseline"]["examples"] == test - 1), "{opened:?}");
    let raced = |event: &&serde_json::Value| event["event"] == "raced";
    assert!(events.iter().filter(raced).all(|raced| raced["of"].as_u64().unwrap() < train));
}
