//! Faults that meet every row: one message that says where and what to do, early, with the right exit code.

use std::sync::Arc;

use prompt_ratchet::model::embedded::Embedded;

use crate::fake::server::{Answers, Behaviour, Fault, Rates};
use crate::project::{Project, Provider};

/// `eval` and `optimize` of `project` end with exit code 2 and one line that says each of `told`.
fn told_once(project: &Project, settings: &[&str], told: &[&str]) {
    for command in ["eval", "optimize"] {
        let mut arguments = vec![command];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let ran = project.ratchet(&arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{command}: {}", ran.err);
        assert_eq!(ran.err.matches("error").count(), 1, "{command}: {}", ran.err);
        for words in told {
            assert!(ran.err.contains(words), "{command}: no {words:?} in: {}", ran.err);
        }
        assert!(project.runs().is_empty(), "{command}");
    }
}

#[test]
fn a_scorer_that_fails_on_every_row_stops_an_evaluation_before_all_answers_are_paid_for() {
    let provider = Provider::start(Answers::Chat(Arc::new(Embedded::new())), Behaviour::default());
    let project = Project::in_memory();
    let script = r#"while read -r line; do id=${line#*:}; echo "{\"id\": ${id%%,*}, \"error\": \"no list\"}"; done"#;
    project.write("score.sh", script);
    let model = format!("models.task={{{}}}", provider.table());
    let scorer = "scorers=[{type='command', run=['sh', 'score.sh']}]";
    let ran = project.ratchet(&["eval", "--set", &model, "--set", scorer]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("none of the first 20 rows could be scored; row `"), "{}", ran.err);
    assert_eq!(ran.err.matches("no list").count(), 1, "{}", ran.err);
    assert_eq!(provider.server.stats().requests, 20);
    told_once(&project, &[&model, scorer], &["scorer command", "no list"]);
}

#[cfg(unix)]
#[test]
fn a_script_that_may_not_be_run_is_told_with_what_to_do() {
    let project = Project::in_memory();
    project.write("score.sh", "#!/bin/sh\n");
    let scorer = "scorers=[{type='command', run=['./score.sh']}]";
    told_once(&project, &[scorer], &["--set", "scorer command", "make it executable: chmod +x"]);
}

#[test]
fn a_target_that_answers_no_row_is_named() {
    let project = Project::in_memory();
    let target = "target.command=['sh', '-c', 'while read -r line; do echo {}; done']";
    told_once(&project, &[target], &["the target's program: wrote \"{}\"", "it has no `id`"]);
    project.write("agent.sh", "while read -r line; do printf 'caf\\351\\n'; done");
    told_once(&project, &["target.command=['sh', 'agent.sh']"], &["the target's program", "isn't UTF-8"]);
}

#[test]
fn a_judges_prompt_that_reads_what_there_is_not_says_where_to_look() {
    let project = Project::in_memory();
    project.write("judge.prompty", "user:\n{{ answer }}\n");
    let judge = "models.judge={provider='openai', model='m', base_url='http://127.0.0.1:9/v1'}";
    let scorer = "scorers=[{type='closed_question', question='Good?', prompt='judge.prompty'}]";
    told_once(&project, &[judge, scorer], &["judge.prompty:2", "`answer` is not defined", "see docs/judges.md"]);
}

#[test]
fn the_model_whose_key_is_not_accepted_is_named_also_where_it_judges() {
    let refusal = Fault::Raw(401, r#"{"error": {"message": "Incorrect API key"}}"#.to_owned());
    let behaviour = Behaviour { rates: Rates(vec![(1.0, refusal)]), ..Behaviour::default() };
    let provider = Provider::start(Answers::Chat(Arc::new(Embedded::new())), behaviour);
    let project = Project::in_memory();
    let judge = format!("models.judge={{{}}}", provider.table());
    let scorer = "scorers=[{type='closed_question', question='Good?'}]";
    for command in ["eval", "optimize"] {
        let ran = project.ratchet(&[command, "--set", &judge, "--set", scorer]);
        assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{command}: {}", ran.err);
        assert!(ran.err.contains("check the key that models.judge.api_key_env names"), "{command}: {}", ran.err);
    }
}

#[test]
fn a_run_of_whose_baseline_most_rows_can_not_be_scored_stops_there() {
    let project = Project::in_memory();
    let script = r#"
n=0
while read -r line; do
  id=${line#*:}; n=$((n + 1))
  if [ $n -le 4 ]; then echo "{\"id\": ${id%%,*}, \"score\": 0}"; else echo "{\"id\": ${id%%,*}, \"error\": \"worn out\"}"; fi
done"#;
    project.write("score.sh", script);
    let ran = project.ratchet(&["optimize", "--set", "scorers=[{type='command', run=['sh', 'score.sh']}]"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("rows of the baseline could run; the first of the others failed with"), "{}", ran.err);
    assert_eq!(ran.err.matches("worn out").count(), 1, "{}", ran.err);
}

#[test]
fn a_proposer_that_gives_nothing_usable_ends_the_run_early_and_is_told_first() {
    let provider = Provider::start(Answers::Fixed("I would rather not.".to_owned()), Behaviour::default());
    let project = Project::in_memory();
    let proposer = format!("models.proposer={{{}}}", provider.table());
    let settings = ["--set", &proposer, "--set", "search.generations=9", "--set", "search.patience=9"];
    let ran = project.ratchet(&[&["optimize", "--json"][..], &settings].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    // Four proposals a generation, each sent back once: a dozen calls end within the second.
    assert_eq!((&told["stopped"], &told["generations"]), (&"nothing_proposed".into(), &2.into()), "{told}");
    assert_eq!(provider.server.stats().requests, 1 + 16, "one tiny call before the run");
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("all 8 proposals were unusable; the last: unreadable reply: "), "{warning}");
    assert!(warning.ends_with("Give [models.proposer] a larger model, then run again"), "{warning}");
    for arguments in [&["report"][..], &["report", "--markdown"]] {
        let screen = project.ratchet(arguments).out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(screen.contains("all 8 proposals were unusable"), "{arguments:?}: {screen}");
    }
}

#[test]
fn a_proposer_that_takes_no_request_or_gives_no_access_is_told_before_anything_is_written() {
    for (status, code, said, told) in [
        (404, 2, "The model `tiny` does not exist", "check the model and the parameters in [models.proposer]"),
        (401, 4, "Incorrect API key provided", "check the key that models.proposer.api_key_env names"),
    ] {
        let fault = Fault::Raw(status, format!(r#"{{"error": {{"message": "{said}"}}}}"#));
        let behaviour = Behaviour { rates: Rates(vec![(1.0, fault)]), ..Behaviour::default() };
        let provider = Provider::start(Answers::Fixed("x".into()), behaviour);
        let project = Project::in_memory();
        let ran = project.ratchet(&["optimize", "--set", &format!("models.proposer={{{}}}", provider.table())]);
        assert_eq!((ran.code, ran.out.as_str(), project.runs().len()), (code, "", 0), "{}", ran.err);
        assert!(ran.err.contains(said) && ran.err.contains(told), "{}", ran.err);
        assert_eq!(ran.err.matches("error").count(), 1, "{}", ran.err);
        assert_eq!(provider.server.stats().requests, 1);
    }
}

#[test]
fn an_account_without_credit_and_a_program_that_fails_are_told_as_what_they_are() {
    let poor = Fault::Raw(
        429,
        r#"{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}"#.to_owned(),
    );
    let behaviour = Behaviour { rates: Rates(vec![(1.0, poor)]), ..Behaviour::default() };
    let provider = Provider::start(Answers::Chat(Arc::new(Embedded::new())), behaviour);
    let project = Project::in_memory();
    let ran = project.ratchet(&["eval", "--set", &format!("models.task={{{}}}", provider.table())]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("no credit or quota left") && !ran.err.contains("check the key"), "{}", ran.err);
    project.write("model.sh", "echo broken >&2; exit 3");
    let program = "models.task={provider='command', run=['sh', 'model.sh']}";
    told_once(
        &project,
        &[program],
        &[
            "none of the first 20 rows could be answered",
            "the program gave no answer: sh: exit code 3: broken",
            "models.task.run",
        ],
    );
    let ran = project.ratchet(&["doctor", "--set", program]);
    assert!(ran.code == 2 && ran.out.contains("models.task.run"), "{}", ran.out);
}
