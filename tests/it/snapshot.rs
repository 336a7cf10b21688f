//! What a run keeps of the files that its config names, and what becomes of it when they are edited before it is resumed.

use crate::project::{Files, Project, assert_same, identity};

const SCORERS: &str = r#"
[[scorers]]
type = "json_schema"
path = "schemas/object.json"
not = true

[[scorers]]
type = "command"
run = ["sh", "scorers/fine.sh"]
"#;

/// Says 1 of every row.
const SCORER: &str = r#"while read -r line; do id=${line#*:}; echo "{\"id\": ${id%%,*}, \"score\": 1}"; done"#;

/// A project with scorers of files, its run, and what that came to; the run is unfinished again.
fn unfinished() -> (Project, Files) {
    let project = Project::in_memory();
    project.write("ratchet.toml", project.read("ratchet.toml") + SCORERS);
    project.write("schemas/object.json", r#"{"type": "object"}"#);
    project.write("scorers/fine.sh", SCORER);
    let ran = project.ratchet(&["optimize", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let run = project.run();
    let whole = identity(&run);
    let journal = std::fs::read(run.join("journal.jsonl")).unwrap();
    std::fs::write(run.join("journal.jsonl"), &journal[..journal.len() / 2]).unwrap();
    std::fs::remove_file(run.join("report.md")).unwrap();
    (project, whole)
}

#[test]
fn a_run_reads_its_schemas_from_its_snapshot_and_refuses_to_go_on_with_another_program() {
    let (project, whole) = unfinished();
    project.write("schemas/object.json", "{");
    project.write("scorers/fine.sh", "exit 1\n");
    let refused = project.ratchet(&["resume"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{}", refused.err);
    for words in ["scorers/fine.sh is not as when the run began", "put it back", "ratchet optimize"] {
        assert!(refused.err.contains(words), "no {words:?} in: {}", refused.err);
    }
    let warned = project.ratchet(&["failures", "--run", "last"]);
    assert!(warned.err.contains("scorers/fine.sh has changed since the run began"), "{}", warned.err);

    project.write("scorers/fine.sh", SCORER);
    let resumed = project.ratchet(&["resume", "--quiet"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert_same(&whole, &identity(&project.run()));
}

#[test]
fn a_run_does_not_go_on_with_other_rows_or_settings_than_it_began_with() {
    let (project, whole) = unfinished();
    for (file, from, to) in [("dataset.jsonl", "fine", "well"), ("ratchet.toml", "seed = ", "seed = 1")] {
        let path = project.run().join("snapshot").join(file);
        let text = project.read(&path);
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let refused = project.ratchet(&["resume"]);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{}", refused.err);
        let named = format!("snapshot/{file} is not as when the run began");
        assert!(refused.err.contains(&named), "{}", refused.err);
        std::fs::write(&path, text).unwrap();
    }
    let resumed = project.ratchet(&["resume", "--quiet"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert_same(&whole, &identity(&project.run()));
}

#[test]
fn a_run_of_an_older_version_that_kept_none_of_them_reads_the_files_themselves() {
    let (project, mut whole) = unfinished();
    for kept in ["snapshot/files.json", "snapshot/digests.json"] {
        std::fs::remove_file(project.run().join(kept)).unwrap();
        whole.remove(std::path::Path::new(kept));
    }
    let resumed = project.ratchet(&["resume", "--quiet"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert_same(&whole, &identity(&project.run()));
}
