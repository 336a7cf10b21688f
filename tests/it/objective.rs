//! Macro F1 as the run's objective, through the real binary.

use prompt_ratchet::run::{Event, RunFolder};
use serde_json::Value;

use crate::project::Project;
use crate::resume::{Then, World};

/// The library, whose rows of one desk are rarer than the others, scored by macro F1.
fn library() -> Project {
    let project = Project::new();
    let config = project.read("ratchet.toml");
    project.write("ratchet.toml", format!("objective = \"macro_f1\"\n{config}"));
    project
}

fn events(project: &Project) -> Vec<Event> {
    RunFolder::open(&project.run()).unwrap().events().unwrap()
}

#[test]
fn the_objective_is_the_score_of_eval_compare_run_and_report() {
    let project = library();
    let eval = project.ratchet(&["eval", "--json"]).json();
    assert_eq!((&eval["objective"], &eval["score"]), (&Value::from("macro_f1"), &eval["macro_f1"]["value"]));
    assert_eq!(eval["interval"], eval["macro_f1"]["interval"]);
    let mean = project.ratchet(&["eval", "--json", "--set", "objective=mean_score"]).json();
    assert!(mean["score"] != eval["score"] && mean.get("objective").is_none(), "{mean}");
    let page = project.ratchet(&["eval"]).out;
    assert!(page.contains("\nmacro F1 "), "the first line of figures says what they are: {page}");
    assert_eq!(page.matches("macro F1").count(), 1, "{page}");

    let ran = project.ratchet(&["optimize", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = ran.json();
    assert_eq!(result["objective"], "macro_f1");
    let compared = project.ratchet(&["compare", "last:baseline", "last", "--split", "dev", "--json"]).json();
    assert_eq!(compared["objective"], "macro_f1");
    assert_eq!(compared["difference"], compared["macro_f1_difference"]["value"]);
    assert!(project.ratchet(&["report"]).out.contains("macro F1 baseline"));
    assert!(project.ratchet(&["report", "--markdown"]).out.contains("Scores are macro F1"));
    assert!(project.ratchet(&["status", "last"]).out.contains("macro F1"));

    for event in events(&project) {
        match event {
            Event::BaselineMeasured(baseline) => assert_eq!(result["baseline"]["dev"]["score"], baseline.dev.score),
            Event::Judged(judged) if judged.generation == 1 => {
                let rows = judged.verdict.rows as f64;
                let of_rows = (judged.verdict.fixed as f64 - judged.verdict.broken as f64) / rows;
                assert!(judged.verdict.difference != of_rows, "{:?}", judged.verdict);
            }
            Event::TestOpened(test) => {
                assert_eq!(test.shown, test.comparison.interval.low > 0.0);
                assert!(!test.shown || test.comparison.p_value <= 0.05, "{:?}", test.comparison.p_value);
            }
            _ => {}
        }
    }
}

#[test]
fn a_killed_run_on_a_noisy_model_resumes_to_the_same_figures() {
    let world = World::of(library(), "deterministic=false", 0);
    let judged = events(world.calm()).into_iter().filter(|event| matches!(event, Event::Judged(_))).count();
    assert!(judged > 0, "the gate was asked");
    let project = library();
    let alarm = world.model.alarm(150, Then::Answer);
    let mut child = world.optimize(&project);
    alarm.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    world.assert_resumes(&project, "last");
}

#[test]
fn what_has_no_labels_to_tell_is_refused_at_load() {
    let project = library();
    for (set, said) in [
        ("scorers=[{type='exact_match', ignore_case=true}]", "word for word"),
        ("scorers=[{type='exact_match'}, {type='length', max=20}]", "word for word"),
        ("repeats.samples=3", "one answer a row"),
        ("objective=macro_f2", "did you mean `macro_f1`"),
    ] {
        let ran = project.ratchet(&["eval", "--set", set, "--set", "models.task.deterministic=false"]);
        assert!(ran.code == 2 && ran.err.contains(said), "{set}: {}", ran.err);
    }
    let rows: String = (0..40)
        .map(|at| {
            format!("{{\"id\": \"r{at}\", \"input\": \"say {at}\", \"expected\": \"a word of its own, {at}\"}}\n")
        })
        .collect();
    project.write("library.jsonl", rows);
    std::fs::remove_file(project.path().join("library.jsonl.lock.json")).ok();
    let ran = project.ratchet(&["optimize", "--dry-run"]);
    assert!(ran.code == 2 && ran.err.contains("ratchet.toml:1") && ran.err.contains("are no labels"), "{}", ran.err);
}
