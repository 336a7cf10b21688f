//! Scorers through the real binary: groups, opposites and thresholds as the config writes them.

use crate::project::Project;

/// The score of the library with `scorers` in place of the project's own.
fn score(project: &Project, scorers: &str) -> f64 {
    let ran = project.ratchet(&["eval", "--json", "--set", &format!("scorers=[{scorers}]")]);
    assert_eq!(ran.code, 0, "{scorers}: {}", ran.err);
    let json = ran.json();
    assert_eq!(json["errors"], 0, "{scorers}: {}", ran.out);
    json["score"].as_f64().unwrap()
}

#[test]
fn groups_opposites_and_thresholds_are_made_of_other_scorers() {
    let project = Project::new();
    project.write("desk.json", r#"{ "type": "object" }"#);
    let plain = score(&project, "{type='exact_match'}");
    assert!(plain > 0.0 && plain < 1.0, "{plain}");
    assert!((score(&project, "{type='exact_match', not=true}") - (1.0 - plain)).abs() < 1e-9);
    let all = "{type='all_of', scorers=[{type='exact_match'}, {type='contains', any=['sorry'], not=true}, \
               {type='length', max=20}, {type='word_count', min=1}, {type='latency', max_seconds=60}, \
               {type='cost', max_usd=0.01}]}";
    assert_eq!(score(&project, all), plain);
    let any = "{type='any_of', scorers=[{type='exact_match', weight=2}, {type='json_schema', path='desk.json'}, \
               {type='all_of', threshold=0.5, scorers=[{type='token_f1'}, {type='bleu', weight=0.5}]}]}";
    assert_eq!(score(&project, any), plain);
    let near = score(&project, "{type='levenshtein', threshold=1}, {type='chrf', threshold=1}");
    assert!((near - plain).abs() < 1e-9, "{near}");
    assert!(score(&project, "{type='chrf'}") > plain, "graded");
}

/// Three answers to each row, of a model that doesn't say that they are always the same.
const THREE: [&str; 4] = ["--set", "repeats.samples=3", "--set", "models.task.deterministic=false"];

#[test]
fn a_row_is_answered_as_often_as_asked() {
    let project = Project::new();
    let once = project.ratchet(&["eval", "--json"]).json();
    let thrice = project.ratchet(&[&["eval", "--json"], &THREE[..]].concat()).json();
    assert_eq!((&thrice["examples"], &thrice["score"]), (&once["examples"], &once["score"]));
    let answers = 3 * once["examples"].as_u64().unwrap();
    // The first of the three is in the store.
    assert_eq!(thrice["calls"].as_u64().unwrap() + once["calls"].as_u64().unwrap(), answers);
    let refused = project.ratchet(&["eval", "--set", "repeats.samples=3"]);
    assert!(refused.code == 2 && refused.err.contains("deterministic"), "{}", refused.err);
}

#[test]
fn a_run_with_several_answers_a_row_keeps_its_budget_and_still_opens_test() {
    let project = Project::new();
    let run = |calls: &str| {
        let limit = format!("budget.calls={calls}");
        project.ratchet(&[&["optimize", "--json", "--set", &limit], &THREE[..]].concat())
    };
    let short = run("100");
    assert!(short.code == 2 && short.err.contains("takes 1"), "3 answers to 48 rows: {}", short.err);
    let ended = run("700");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let told = ended.json();
    let calls: u64 = ["task", "proposer"].iter().map(|role| told["calls"][role].as_u64().unwrap()).sum();
    assert!(calls <= 700, "{told}");
    assert_eq!(told["kept"].as_u64().unwrap() > 0, told["winner"]["test"].is_object(), "{told}");
}
