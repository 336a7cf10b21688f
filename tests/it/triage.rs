//! The example of messages triaged into JSON, through the real binary.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;

const FILES: [&str; 4] =
    ["ratchet.toml", "prompts/triage.prompty", "datasets/triage.jsonl", "datasets/triage.jsonl.lock.json"];

/// A copy of the example in a folder of its own.
fn example() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/triage");
    for file in FILES {
        let target = copy.path().join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(source.join(file), target).unwrap();
    }
    copy
}

fn ratchet(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::cargo_bin("ratchet").unwrap().current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The first draft's answers come in a fence, so that every train row fails: a race must end without a passing row.
#[test]
fn a_generation_in_which_every_train_row_fails_ends_with_a_gain() {
    let project = example();
    let arguments = ["optimize", "--quiet", "--json", "--set", "search.generations=1", "--set", "search.proposals=3"];
    let result: Value = serde_json::from_str(&ratchet(project.path(), &arguments)).unwrap();
    assert_eq!(result["kept"], 1, "{result}");
    assert_eq!(result["shown"], true, "{result}");
    let run = project.path().join("runs").join(result["run"].as_str().unwrap());
    let best = fs::read_to_string(run.join("best.prompt")).unwrap();
    assert!(best.contains("nothing else"), "the form of the answer is pinned: {best}");
}

#[test]
fn eval_tells_how_often_each_field_is_right_within_80_columns() {
    let project = example();
    let page = ratchet(project.path(), &["eval"]);
    for field in ["category", "priority", "language"] {
        assert!(page.lines().any(|line| line.starts_with(field)), "{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
}
