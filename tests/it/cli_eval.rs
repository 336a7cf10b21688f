//! `init`, `eval`, `failures` and `compare` through the real binary, on the embedded model.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;

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

fn ratchet(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::cargo_bin("ratchet").unwrap().current_dir(folder).args(arguments).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Forty short texts about cats and dogs, one of them with an escape sequence.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = "text,label\n".to_owned();
    for at in 0..20 {
        rows += &format!("the cat number {at} purrs \u{1b}[31mloudly,cat\nmy dog number {at} barks,dog\n");
    }
    std::fs::write(folder.path().join("pets.csv"), rows).unwrap();
    let made = ratchet(folder.path(), &["init", "pets.csv"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains("ratchet eval"), "{}", made.out);
    folder
}

#[test]
fn a_new_project_can_be_scored_at_once_and_the_second_time_costs_nothing() {
    let project = project();
    let first = ratchet(project.path(), &["eval", "--json"]).json();
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "calls", "cost_usd", "cut", "errors", "examples", "interval", "labels", "macro_f1", "quoted", "score",
        "seconds", "tokens",
    ];
    assert_eq!(keys, wanted);
    let labels = first["labels"].as_array().unwrap();
    assert_eq!(labels.iter().map(|label| label["rows"].as_u64().unwrap()).sum::<u64>(), 32);
    let mean = labels.iter().map(|label| label["f1"].as_f64().unwrap()).sum::<f64>() / labels.len() as f64;
    assert!((mean - first["macro_f1"]["value"].as_f64().unwrap()).abs() < 1e-9, "{first}");
    assert!(first["interval"][0].is_f64() && first["interval"][1].is_f64(), "{first}");
    assert_eq!((first["examples"].as_u64(), first["calls"].as_u64()), (Some(32), Some(32)));
    let again = ratchet(project.path(), &["eval"]);
    assert!(!again.err.contains("commit it"), "{}", again.err);
    assert!(again.out.contains("calls: 0 live, 32 stored"), "{}", again.out);
    assert!(!again.out.contains('\u{1b}'), "{:?}", again.out);
    assert!(!project.path().join("runs").exists(), "test was not looked at");
}

#[test]
fn looking_at_test_is_said_and_all_rows_can_be_exported() {
    let project = project();
    let all = ratchet(project.path(), &["eval", "--split", "all", "--csv", "-"]);
    assert_eq!((all.code, all.out.lines().count()), (0, 41), "{}", all.err);
    assert!(all.out.starts_with("id,split,input,tags,expected,answer,"), "{}", all.out);
    assert!(all.err.contains("test rows were used"), "{}", all.err);
    assert!(project.path().join("runs/split-uses.json").is_file());
}

#[test]
fn a_model_in_front_matter_is_said_not_to_be_read() {
    let project = project();
    let file = project.path().join("prompts/pets.prompty");
    let told = || ratchet(project.path(), &["eval"]).err.contains("`model` in its front matter is not read");
    assert!(!told());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("---\nmodel: gpt-x\n---\n{text}")).unwrap();
    assert!(told());
}

#[test]
fn rows_that_a_prompt_quotes_are_left_out_of_its_score_and_of_a_comparison() {
    let project = project();
    let plain = std::fs::read_to_string(project.path().join("prompts/pets.prompty")).unwrap();
    let quoting =
        plain.replace("- cat", "- \"my dog number 3 barks\" -> dog\n- \"my dog number 7 barks\" -> dog\n- cat");
    assert_ne!(plain, quoting);
    std::fs::write(project.path().join("quoting.prompty"), quoting).unwrap();
    let eval =
        |more: &[&str]| ratchet(project.path(), &[&["eval", "quoting.prompty", "--split", "all"], more].concat());
    let counts = |told: &Value| [told["examples"].as_u64(), told["quoted"].as_u64()];
    assert_eq!(counts(&eval(&["--json"]).json()), [Some(38), Some(2)]);
    assert_eq!(counts(&eval(&["--json", "--count-quoted"]).json()), [Some(40), Some(0)]);
    assert!(eval(&[]).out.contains("2 rows that the prompt quotes as examples left out"));
    let only = eval(&["--filter", "expected=dog", "--limit", "40", "--json"]).json();
    assert_eq!(counts(&only), [Some(18), Some(2)]);
    let compared =
        ratchet(project.path(), &["compare", "prompts/pets.prompty", "quoting.prompty", "--split", "all", "--json"])
            .json();
    assert_eq!([&compared["rows"], &compared["quoted"]], [38, 2]);
}

#[test]
fn failures_are_grouped_and_a_worse_prompt_fails_the_comparison() {
    let project = project();
    let prompt = |cat: &str, dog: &str| {
        format!(
            "user:\nClassify the text.\n\n- cat: {cat}\n- dog: {dog}\n\nRespond with only the category name.\n\nText: {{{{ input }}}}\n"
        )
    };
    let (good, bad) = (prompt("cat, purrs", "dog, barks"), prompt("dog, barks", "cat, purrs"));
    std::fs::write(project.path().join("bad.prompty"), bad).unwrap();
    let failures = ratchet(project.path(), &["failures", "bad.prompty", "--json"]).json();
    let cluster = failures["clusters"][0]["id"].as_str().unwrap().to_owned();
    let rows = ratchet(project.path(), &["failures", "bad.prompty", "--cluster", &cluster, "--json"]).json();
    assert_eq!(rows["cluster"]["kind"], "confusion", "{rows}");
    assert_eq!(rows["rows"][0]["expected"], rows["cluster"]["expected"]);
    assert_eq!(rows["rows"][0]["answer"], rows["cluster"]["answered"]);

    std::fs::write(project.path().join("good.prompty"), good).unwrap();
    let worse = ratchet(project.path(), &["compare", "good.prompty", "bad.prompty"]);
    assert_eq!(worse.code, 1, "{}{}", worse.out, worse.err);
    assert!(worse.out.contains("B is worse") && worse.out.contains("\nmacro F1 -"), "{}", worse.out);
    let better = ratchet(project.path(), &["compare", "bad.prompty", "good.prompty", "--require-better", "--json"]);
    assert_eq!((better.code, better.json()["finding"].as_str()), (0, Some("better")));
    let same = ratchet(project.path(), &["compare", "good.prompty", "good.prompty", "--require-better"]);
    assert_eq!(same.code, 3, "{}", same.out);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_scored() {
    let project = project();
    std::fs::write(project.path().join("broken.prompty"), "user:\n{{ inptu }}\n").unwrap();
    let unreachable = "models.task={provider='openai', model='x', base_url='http://127.0.0.1:9/v1', retries=0}";
    for (arguments, code, message) in [
        (&["eval", "broken.prompty"][..], 2, "broken.prompty:2:4"),
        (&["eval", "--filter", "tag=none"], 2, "no train + dev row passes"),
        (&["eval", "--set", unreachable], 4, "can't reach the provider"),
        (&["failures", "--cluster", "nothing"], 2, "no cluster `nothing`"),
        (&["compare", "nothing", "broken.prompty"], 2, "neither a prompt file nor a run"),
        (&["init", "pets.csv"], 2, "already there: "),
    ] {
        let ran = ratchet(project.path(), arguments);
        assert!(ran.code == code && ran.err.contains(message), "{arguments:?}: {} {}", ran.code, ran.err);
        assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
    }
}

#[cfg(unix)]
#[test]
fn watching_scores_each_save_waits_out_a_broken_prompt_and_ends_well_on_ctrl_c() {
    let project = project();
    let file = project.path().join("prompts/pets.prompty");
    let first = std::fs::read_to_string(&file).unwrap();
    let mut watching = Command::cargo_bin("ratchet")
        .unwrap()
        .current_dir(project.path())
        .args(["eval", "--watch", "--worst", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut err = BufReader::new(watching.stderr.take().unwrap()).lines().map(Result::unwrap);
    let scored = |out: &mut dyn Iterator<Item = String>| -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.starts_with("calls: ")) {
            lines.push(out.next().expect("the watch goes on"));
        }
        lines
    };
    scored(&mut out);
    std::fs::write(&file, "user:\n{{ inptu }}\n").unwrap();
    assert!(err.any(|line| line.contains("`inptu` is not defined")));
    std::fs::write(&file, first.replace("- cat", "- cat: purrs")).unwrap();
    let second = scored(&mut out).join("\n");
    assert!(second.contains("since the last save: ") && second.contains("since the start: "), "{second}");
    std::fs::write(&file, first).unwrap();
    let third = scored(&mut out).join("\n");
    assert!(third.contains("since the start: 0.0 points; 0 improved, 0 regressed, 32 stayed"), "{third}");
    assert!(third.contains("calls: 0 live, 32 stored"), "{third}");
    let interrupted = Command::new("kill").args(["-INT", &watching.id().to_string()]).status().unwrap();
    assert!(interrupted.success() && watching.wait().unwrap().success());
}
