//! What people and machines learn of a run that is left alone, and what becomes of it when its surroundings fail.

use crate::project::{Project, ended};
use crate::resume::{Then, World, interrupt};

#[test]
fn a_run_in_another_process_is_seen_while_it_goes_on_and_after_it_was_stopped() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(30, Then::Hold);
    let mut run = world.optimize(&project);
    alarm.recv().unwrap();
    let status = |project: &Project| project.ratchet(&["status", "--json"]).json();
    let seen = status(&project);
    assert_eq!(seen["state"], "running");
    assert!(seen["holder"].as_str().unwrap().starts_with(&format!("pid {} on ", run.id())), "{seen}");
    // Not even by force: the run would not know of it.
    let refused = project.ratchet(&["store", "forget", "--run", "last", "--force"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("is going on (pid "), "{}", refused.err);
    interrupt(&run);
    run.wait().unwrap();
    let seen = status(&project);
    assert_eq!((&seen["state"], &seen["holder"]), (&"halted".into(), &serde_json::Value::Null), "{seen}");
    let told = project.ratchet(&["status"]);
    assert!(told.out.contains("stopped before its end: interrupted") && told.out.contains("ratchet resume "));
    world.assert_resumes(&project, "last");
    assert_eq!(status(&project)["state"], "finished");
    assert!(!project.run().join("live.json").exists());
}

#[test]
fn answers_that_an_unfinished_run_rests_on_are_not_forgotten_by_accident() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Answer);
    let mut run = world.optimize(&project);
    alarm.recv().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    world.model.release();
    let store = project.ratchet(&["store", "--json"]).json();
    assert_eq!(store["runs"][0]["state"], "unfinished");
    let forget = ["store", "forget", "--run", "last"];
    let refused = project.ratchet(&forget);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("unfinished run ") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(project.ratchet(&["store", "--json"]).json()["answers"], store["answers"]);
    world.assert_resumes(&project, "last");

    // Now that the run is finished, its answers may go; another one pays again.
    let forgot = ended(project.command(&[&forget[..], &["--json"]].concat()).output().unwrap()).json();
    assert!(forgot["forgotten"].as_u64().unwrap() > 100, "{forgot}");
    assert_eq!(project.ratchet(&["store", "--json"]).json()["answers"], 0);
    assert_eq!(project.ratchet(&["store", "verify"]).out.lines().count(), 1);
}
