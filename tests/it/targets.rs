//! Command targets: the example agent measured, optimised, killed and resumed, reviewed and applied; and what can go
//! wrong with a program.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::project::{Files, Project, Ran, assert_same, files, identity};

/// Whether `program` is there. Without it a test says that it is skipped, past the test runner's capture; it fails where
/// RATCHET_REQUIRE_PYTHON=1.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|end| end.success());
    if !found {
        let required = std::env::var("RATCHET_REQUIRE_PYTHON").is_ok_and(|value| value == "1");
        assert!(!required, "there is no {program}, and RATCHET_REQUIRE_PYTHON=1 asks for it");
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // eprintln! would be captured.
        std::io::stderr().write_all(format!("skipped, there is no {program}: {test}\n").as_bytes()).unwrap();
    }
    found
}

/// `examples/agent` in a folder of its own.
fn agent() -> Project {
    let project = Project::in_memory();
    for file in ["ratchet.toml", "library.jsonl", "prompts/library.prompty"] {
        std::fs::remove_file(project.path().join(file)).unwrap();
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/agent");
    for (file, content) in files(&example) {
        let of_run = file.starts_with("runs") || file.starts_with(".ratchet");
        if !of_run {
            project.write(file.to_str().unwrap(), content);
        }
    }
    let permissions = std::fs::metadata(example.join("agent.sh")).unwrap().permissions();
    std::fs::set_permissions(project.path().join("agent.sh"), permissions).unwrap();
    project
}

/// A short run: enough for what needs no model to be kept.
fn optimize(project: &Project) -> Ran {
    project.ratchet(&["optimize", "--json", "--set", "search.generations=1", "--set", "search.proposals=1"])
}

/// Has the agent kill Ratchet when one of its workers begins its twentieth row, once.
fn deadly(project: &Project) {
    let line = "        row = json.loads(line)\n";
    let kill = "        if os.path.exists('deadly'):\n            COUNT.append(1)\n            if len(COUNT) == 20:\n                \
                os.remove('deadly')\n                os.kill(os.getppid(), 9)\n";
    let agent = project.read("agent.py");
    assert!(agent.contains(line));
    project
        .write("agent.py", agent.replace(line, &format!("{kill}{line}")).replace("DESKS = {", "COUNT = []\nDESKS = {"));
}

/// All of a project but its runs and its store.
fn sources(project: &Project) -> Files {
    let mut files = project.files();
    files.retain(|path, _| !path.starts_with("runs") && !path.starts_with(".ratchet"));
    files
}

#[test]
fn an_agents_prompts_are_optimised_together_and_a_killed_run_ends_the_same() {
    if !has("python3") {
        return;
    }
    let (whole, killed) = (agent(), agent());
    deadly(&whole);
    deadly(&killed);
    let ran = optimize(&whole);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    assert!(told["kept"] == 1 && told["calls"]["task"].as_u64().unwrap() > 500, "{told}");
    let run = whole.run();
    let best = |name: &str| std::fs::read_to_string(run.join("best.prompt").join(name)).unwrap();
    assert_eq!(best("answer.prompty"), whole.read("prompts/answer.prompty"));
    assert_ne!(best("route.prompty"), whole.read("prompts/route.prompty"));

    killed.write("deadly", "");
    let ran = optimize(&killed);
    assert_ne!(ran.code, 0, "{}", ran.out);
    assert!(!killed.path().join("deadly").exists(), "{}", ran.err);
    let resumed = killed.ratchet(&["resume", "--json"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert_same(&identity(&run), &identity(&killed.run()));
    let resumed = resumed.json();
    for key in ["kept", "shown", "winner", "calls"] {
        assert_eq!(resumed[key], told[key], "{key}");
    }
}

#[test]
fn every_command_copes_with_several_prompts() {
    if !has("python3") {
        return;
    }
    let project = agent();
    assert_eq!(optimize(&project).code, 0);
    let before = sources(&project);
    let ok = |arguments: &[&str]| {
        let ran = project.ratchet(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        ran.out
    };
    assert!(ok(&["diff"]).starts_with("--- a/route.prompty\n+++ b/route.prompty\n"));
    assert!(ok(&["report"]).contains("balanced-examples"));
    let failures = ok(&["failures"]);
    assert!(failures.starts_with("answer.prompty, route.prompty on train"));
    assert!(failures.contains(" in route.prompty"), "{failures}");
    let pace = ok(&["failures", "--cluster", "pace"]);
    assert!(pace.contains("failed pace in answer.prompty") && pace.contains("steps     route -> "), "{pace}");
    let best = project.run().join("best.prompt");
    let best = best.to_str().unwrap();
    let route = format!("{best}/route.prompty");
    let score = |prompt: &str| project.ratchet(&["eval", "--json", prompt]).json()["score"].as_f64().unwrap();
    assert_eq!(score(best), score(&route));
    assert!(ok(&["compare", "last:baseline", best]).contains("B is better"));
    let unknown = project.ratchet(&["eval", "agent.py"]);
    assert!(unknown.err.contains("none of this name: answer.prompty, route.prompty"), "{}", unknown.err);
    assert_eq!(
        sources(&project).get(Path::new("prompts/route.prompty")),
        before.get(Path::new("prompts/route.prompty"))
    );

    ok(&["review", "--accept-all"]);
    ok(&["apply"]);
    let after = sources(&project);
    for (path, content) in &before {
        let changed = after[path] != *content;
        assert_eq!(changed, path.ends_with("route.prompty"), "{}", path.display());
    }
    assert_eq!(project.read("prompts/route.prompty"), std::fs::read_to_string(route).unwrap());
}

#[test]
fn prompts_that_are_called_alike_are_told_apart_from_load_to_apply() {
    if !has("python3") {
        return;
    }
    let project = agent();
    let mut config = project.read("ratchet.toml");
    for name in ["route", "answer"] {
        let (old, new) = (format!("prompts/{name}.prompty"), format!("prompts/{name}/system.prompty"));
        project.write(&new, project.read(&old));
        std::fs::remove_file(project.path().join(&old)).unwrap();
        config = config.replace(&old, &new);
    }
    project.write("ratchet.toml", config);
    let before = sources(&project);
    let ok = |arguments: &[&str]| {
        let ran = project.ratchet(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        ran.out
    };
    assert_eq!(optimize(&project).code, 0);
    assert!(ok(&["diff"]).starts_with("--- a/route-system.prompty\n+++ b/route-system.prompty\n"));
    assert!(ok(&["failures", "--cluster", "pace"]).contains("failed pace in answer-system.prompty"));
    let best = project.run().join("best.prompt");
    let score = |prompt: &str| project.ratchet(&["eval", "--json", prompt]).json()["score"].as_f64().unwrap();
    assert!(score(best.to_str().unwrap()) > score("prompts/route/system.prompty"));
    ok(&["review", "--accept-all"]);
    ok(&["apply"]);
    let after = sources(&project);
    for (path, content) in &before {
        assert_eq!(after[path] != *content, path.ends_with("route/system.prompty"), "{}", path.display());
    }
}

#[test]
fn an_agent_is_told_the_row_beside_prompts_that_do_not_hold_it() {
    let project = Project::new();
    project.write("prompts/rules.txt", "Be kind.");
    let agent = r#"while read -r line; do id=${line#*:}; printf '{"id": %s, "output": "spaces"}\n' "${id%%,*}"; done"#;
    project.write("agent.sh", agent);
    let settings = ["--set", "prompt='prompts/rules.txt'", "--set", "target={command=['sh', 'agent.sh']}"];
    let ran = project.ratchet(&[&["eval", "--json"][..], &settings].concat());
    assert_eq!((ran.code, ran.json()["errors"].as_u64()), (0, Some(0)), "{}", ran.err);
    let of_model = project.ratchet(&["eval", "--set", "prompt='prompts/rules.txt'"]);
    assert!(of_model.code == 2 && of_model.err.contains("loses its input variable"), "{}", of_model.err);
}

#[test]
fn a_dry_run_says_what_is_known_of_a_programs_model_calls() {
    if !has("python3") {
        return;
    }
    let project = agent();
    let dry = |json: bool| project.ratchet(&["optimize", "--dry-run", "--json"][..2 + usize::from(json)]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = words(&dry(false).out);
    assert!(told.contains("aren't known before it ran, 2 a row are taken"), "{told}");
    assert_eq!(project.ratchet(&["eval", "--limit", "8", "--split", "train"]).code, 0);
    let lines = dry(false).out;
    let told = words(&lines);
    assert!(told.contains("2.0 model calls a row, measured on 8 stored rows"), "{told}");
    assert!(
        told.contains("rows of the program and") && told.contains("if no row takes more than 2 model calls"),
        "{told}"
    );
    assert!(lines.lines().all(|line| line.chars().count() <= 80), "{lines}");
    let plan = dry(true).json();
    let (rows, calls) = (plan["likely"]["rows"].as_u64().unwrap(), plan["likely"]["calls"]["task"].as_u64().unwrap());
    assert_eq!((calls, &plan["program"]["measured_rows"]), (3 * rows, &8.into()), "{plan}");
}

#[test]
fn the_agent_in_shell_answers_as_the_one_in_python() {
    if !(has("python3") && has("jq") && has("curl")) {
        return;
    }
    let project = agent();
    let score = |command: &str| {
        let set = format!("target.command={command}");
        let ran = project.ratchet(&["eval", "--limit", "8", "--json", "--set", &set]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let told = ran.json();
        (told["score"].clone(), told["errors"].clone())
    };
    assert_eq!(score("[\"./agent.sh\"]"), score("[\"python3\", \"agent.py\"]"));
}

#[test]
fn what_is_wrong_with_a_target_is_told_at_load() {
    let refused = |old: &str, new: &str, told: &[&str]| {
        let project = agent();
        let config = project.read("ratchet.toml");
        assert!(config.contains(old), "{old}");
        project.write("ratchet.toml", config.replace(old, new));
        let ran = project.ratchet(&["optimize"]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        for words in told {
            assert!(ran.err.contains(words), "no {words:?} in: {}", ran.err);
        }
    };
    let command = r#"command       = ["python3", "agent.py"]"#;
    refused(
        command,
        r#"command = ["no-such-agent"]"#,
        &["ratchet.toml:12:", "no program \"no-such-agent\" on the PATH"],
    );
    refused(command, r#"command = ["./agent.rb"]"#, &["no program \"./agent.rb\" in the folder of the config"]);
    refused(command, "command = []", &["target.command"]);
    refused(command, &format!("{command}\nfiles = [\"tools.py\"]"), &["target.files", "tools.py: can't be read"]);
    refused("prompts/route.prompty", "prompts/rout.prompty", &["rout.prompty: can't be read", "check the path"]);
    refused("[target]", "[guards]\n[prompt_targets]", &["prompt_targets"]);
}

#[test]
fn a_program_that_dies_at_once_ends_a_run_with_one_message() {
    let project = agent();
    let config = project.read("ratchet.toml").replace("type = \"python\"", "type = \"trace_no_error\"\nname = \"x\"");
    let config = config.replace("name = \"pace\"\n", "").replace("path = \"scorers/pace.py\"\n", "");
    project.write("ratchet.toml", config);
    let script = "target.command=[\"sh\", \"-c\", \"echo no license >&2; exit 3\"]";
    let ran = project.ratchet(&["optimize", "--set", script]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{}", ran.err);
    assert_eq!(ran.err.matches("no license").count(), 1, "{}", ran.err);
    assert!(ran.err.contains("exit status: 3") && project.runs().is_empty(), "{}", ran.err);
    let ran = project.ratchet(&["eval", "--set", script]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("5 times in a row without a reply"), "{}", ran.err);
    assert_eq!(ran.err.matches("no license").count(), 1, "{}", ran.err);
}
