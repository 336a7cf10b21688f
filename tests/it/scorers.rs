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
