//! Judged tasks through the real binary: replies to customers, written, judged and improved by scripted models.

use std::sync::Arc;

use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion, FinishReason, Usage};
use serde_json::json;

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider};

const PROMPT: &str = "system:\nAnswer the customer.\nuser:\n{{ input }}\n";

/// Writes replies, judges them, and proposes an edit, by what it is asked.
pub struct Models;

impl Chat for Models {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let messages = &call.request.messages;
        let (system, user) = (&messages[0].content, &messages[messages.len() - 1].content);
        let text = if let Some((_, shown)) = user.split_once("The answer to judge:\n<<<") {
            verdicts(shown, &call.draw)
        } else if user.starts_with("What good means") {
            drafted(system)
        } else if user.contains("## Reply") {
            proposal(user)
        } else {
            reply(system, user)
        };
        let usage = Usage { input: 20, output: 10, ..Usage::default() };
        let answer = Completion::live(text, FinishReason::Stop, usage);
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// Kind where the prompt says so.
fn reply(system: &str, question: &str) -> String {
    let kind = if system.contains("Say please.") { "Please come in" } else { "Come in" };
    let when = if question.ends_with('3') { "" } else { " within a week" };
    format!("{kind}{when}, about {question}.")
}

/// The judge's reply by what the answer says. It changes its mind about rows that end in 5.
fn verdicts(shown: &str, draw: &str) -> String {
    let (answer, _) = shown.split_once(">>>").unwrap();
    let kind = if answer.contains("Please") { "yes" } else { "no" };
    let complete = if answer.contains("within") && (!answer.contains("5.") || draw == "0") { "yes" } else { "partly" };
    if answer.contains("question 7.") {
        return json!({"kind": {"reason": "Hm.", "verdict": "perhaps"}}).to_string();
    }
    json!({
        "kind": {"reason": "It orders the customer about.", "verdict": kind},
        "complete": {"reason": "It doesn't say by when.", "verdict": complete},
    })
    .to_string()
}

fn drafted(system: &str) -> String {
    if system.contains("Python") {
        let code = "def handler(output, expected=None):\n    return (1, None) if 'Please' in output else (0, 'orders about')\n";
        return json!({"name": "Kind words", "code": code}).to_string();
    }
    json!({"name": "reply", "criteria": [
        {"name": "kind", "question": "Is it kind?", "choices": {"yes": 1, "no": 0}},
        {"name": "complete", "question": "Does it say when?", "choices": [
            {"choice": "yes", "value": 1}, {"choice": "partly", "value": 0.5}, {"choice": "no", "value": 0},
        ]},
    ]})
    .to_string()
}

fn proposal(request: &str) -> String {
    let variant = request.rsplit("variant: ").next().unwrap();
    let more = if variant == "0" { "Say please.".to_owned() } else { format!("Think of idea {variant}.") };
    json!({
        "edits": [{"search": "Answer the customer.", "replace": format!("Answer the customer. {more}")}],
        "rationale": "The replies are rude.",
        "expected_effect": "Kinder ones.",
    })
    .to_string()
}

pub const RUBRIC: &str = r#"
[[scorers]]
type = "rubric"
name = "reply"
[[scorers.criteria]]
name     = "kind"
question = "Is the reply kind?"
choices  = { yes = 1, no = 0 }
[[scorers.criteria]]
name     = "complete"
question = "Does it say by when?"
choices  = { yes = 1, partly = 0.5, no = 0 }
"#;

/// A project whose replies are judged; rows are questions by number.
pub fn project(provider: &Provider, rows: impl IntoIterator<Item = usize>, scorers: &str) -> Project {
    let project = Project::new();
    let rows = rows.into_iter().map(|at| json!({"id": format!("r{at:02}"), "input": format!("question {at}")}));
    project.write("library.jsonl", rows.map(|row| row.to_string() + "\n").collect::<String>());
    project.write("prompts/library.prompty", PROMPT);
    let (task, judge) = (provider.table(), provider.table().replace("tiny", "strict"));
    let config = format!(
        "name = 'replies'\nprompt = 'prompts/library.prompty'\ndataset = 'library.jsonl'\npass_threshold = 0.9\n\
         [models]\ntask = {{{task}, deterministic = true}}\njudge = {{{judge}}}\n\
         [search]\ngenerations = 1\nproposals = 2\n{scorers}"
    );
    project.write("ratchet.toml", config);
    project
}

pub fn provider() -> Provider {
    Provider::start(Answers::Chat(Arc::new(Models)), Behaviour::default())
}

#[test]
fn a_judged_run_keeps_what_the_judge_finds_better_and_counts_its_calls_apart() {
    let provider = provider();
    let project = project(&provider, 10..70, RUBRIC);
    let ran = project.ratchet(&["optimize", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    assert_eq!(told["kept"], 1, "{told}{}", ran.err);
    assert!(project.read(project.run().join("best.prompt")).contains("Say please."));
    let (task, judge) = (told["calls"]["task"].as_u64().unwrap(), told["calls"]["judge"].as_u64().unwrap());
    assert!(judge >= task / 2 && judge > 60, "{told}");
    // The task model is deterministic; what the judge says of it isn't.
    let journal = project.read(project.run().join("journal.jsonl"));
    let noise = journal.lines().find(|line| line.contains("noise_measured")).unwrap();
    assert!(noise.contains("rows changed when asked twice") && noise.contains("\"r35\""), "{noise}");
    let clusters = project.read(project.run().join("generations/001/clusters.json"));
    assert!(clusters.contains("reply: kind"), "{clusters}");
    assert!(project.read(project.run().join("report.md")).contains("| judge |"));
    assert!(project.ratchet(&["status"]).out.contains("of the judge"));
}

#[test]
fn a_verdict_that_cannot_be_read_costs_its_row_and_no_other() {
    let provider = provider();
    let project = project(&provider, 0..30, RUBRIC);
    let told = project.ratchet(&["eval", "--json", "--split", "all"]).json();
    assert_eq!((&told["examples"], &told["errors"]), (&json!(29), &json!(1)), "{told}");
    assert_eq!((&told["calls"], &told["judge"]["calls"]), (&json!(61), &json!(31)), "one was asked for again");
    assert_eq!(told["judge"]["length"][0]["rows"], 29);
    let page = project.ratchet(&["eval", "--split", "all"]);
    assert!(page.out.contains("\nreply: longer answers score higher (rank correlation"), "{}", page.out);
    assert!(page.out.contains("it chose \"perhaps\" for `kind"), "{}", page.out);
}

#[test]
fn a_limit_on_the_judges_calls_ends_a_run_as_planned() {
    let provider = provider();
    let project = project(&provider, 10..70, RUBRIC);
    let ran = project.ratchet(&["optimize", "--json", "--set", "budget.judge.calls=60"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    assert_eq!(told["stopped"], "budget", "{told}");
    assert!(told["calls"]["judge"].as_u64().unwrap() <= 60, "{told}");
    let ran = project.ratchet(&["optimize", "--set", "budget.judge.calls=20"]);
    assert!(ran.code == 2 && ran.err.contains("can't cover the baseline"), "{}", ran.err);
}

#[test]
fn a_dry_run_tells_of_the_judge() {
    let provider = provider();
    let project = project(&provider, 10..70, &RUBRIC.replace("name = \"reply\"", "name = \"reply\"\nvotes = 3"));
    let ran = project.ratchet(&["optimize", "--dry-run", "--json"]);
    let plan = ran.json();
    let (task, judge) = (&plan["likely"]["calls"]["task"], &plan["likely"]["calls"]["judge"]);
    assert_eq!(judge.as_u64().unwrap(), 3 * task.as_u64().unwrap(), "{plan}");
    assert_eq!(plan["judge"]["model"], "strict");
    assert!(project.ratchet(&["optimize", "--dry-run"]).out.contains("Judge     strict"));
}

#[test]
fn a_judge_that_cannot_judge_is_refused_at_load() {
    let provider = provider();
    let good = project(&provider, 10..30, RUBRIC);
    for (scorers, message) in [
        (RUBRIC.replace("{ yes = 1, no = 0 }", "{ yes = 1 }"), "ratchet.toml:12:1: scorer reply: criterion `kind`"),
        (RUBRIC.replace("{ yes = 1, no = 0 }", "{ yes = 2, no = 0 }"), "`scorers.0.criteria.0.choices.yes` is 2"),
        (RUBRIC.replace("name     = \"kind\"\n", ""), "`scorers.0.criteria.0.name` is missing"),
        ("[[scorers]]\ntype = 'factuality'\nprompt = 'judges/none.prompty'\n".to_owned(), "judges/none.prompty"),
        ("[[scorers]]\ntype = 'closed_question'\n".to_owned(), "`scorers.0.question` is missing"),
        ("[[scorers]]\ntype = 'faithfulness'\ncontext = 'source'\n".to_owned(), "has the field `source`"),
    ] {
        let project = project(&provider, 10..30, &scorers);
        let ran = project.ratchet(&["eval"]);
        assert!(ran.code == 2 && ran.err.contains(message), "{message}: {}", ran.err);
    }
    let embedded = good.ratchet(&["eval", "--set", "models.judge={provider='embedded'}"]);
    assert!(embedded.code == 2 && embedded.err.contains("can't judge"), "{}", embedded.err);
    let own = good.ratchet(&["eval", "--set", "models.judge.model=tiny"]);
    assert!(own.err.contains("the judge is tiny, which also answers the rows and proposes"), "{}", own.err);
    assert!(!good.ratchet(&["eval"]).err.contains("the judge is"));
}

#[test]
fn a_judge_that_is_the_proposer_is_told_wherever_a_run_is_looked_at() {
    let provider = provider();
    // Few rows deserve a look, too: one warning must not hide the other.
    let project = project(&provider, 10..40, RUBRIC);
    for command in [&["eval"][..], &["optimize", "--dry-run"], &["optimize"], &["doctor"]] {
        let ran = project.ratchet(&[command, &["--set", "models.judge.model=tiny"]].concat());
        let said = format!("{}{}", ran.out, ran.err);
        // A run tells it when it starts, and whoever comes in the morning in its report.
        let times = if command == ["optimize"] { 2 } else { 1 };
        assert_eq!(said.matches("the judge is tiny, which also").count(), times, "{command:?}: {said}");
        if command == ["optimize"] {
            let report = std::fs::read_to_string(project.run().join("report.md")).unwrap();
            let top = report.split("\n## ").next().unwrap();
            assert!(top.contains("**Warning:** the judge is tiny, which also"), "{report}");
            let told = project.ratchet(&["report", "--json"]).json();
            assert!(told["warnings"][0].as_str().unwrap().contains("name another one as"), "{told}");
        }
        let other =
            project.ratchet(&[command, &["--set", "models.proposer={provider='openai', model='wise'}"]].concat());
        assert!(!other.err.contains("the judge is") && !other.out.contains("the judge is"), "{command:?}");
    }
}

/// Sixty answers that people rated; the judge agrees but for one in ten.
fn rated() -> String {
    let row = |at: usize| {
        let kind = at.is_multiple_of(2);
        let answer = format!("{} in within a week, about question {at}.", if kind { "Please come" } else { "Come" });
        let human = if kind != at.is_multiple_of(10) { "yes" } else { "no" };
        json!({"id": format!("h{at}"), "input": format!("question {at}"),
               "metadata": {"answer": answer, "human": human, "stars": if human == "yes" { 1.0 } else { 0.25 }, "coin": at % 4 < 2}})
    };
    (10..70).map(|at| row(at).to_string() + "\n").collect()
}

const TONE: &str = "
[[scorers]]
type = 'rubric'
name = 'tone'
[[scorers.criteria]]
name     = 'kind'
question = 'Is the reply kind?'
choices  = { yes = 1, no = 0 }
";

#[test]
fn a_judge_is_measured_against_people_and_against_itself() {
    let provider = provider();
    let project = project(&provider, 10..70, TONE);
    let none = project.ratchet(&["scorer", "calibrate"]);
    assert!(none.code == 2 && none.err.contains("no row has both metadata fields"), "{}", none.err);
    project.write("library.jsonl", rated());
    let ran = project.ratchet(&["scorer", "calibrate", "tone", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    assert_eq!(
        (&told["rows"], &told["errors"], &told["retest"]["flips"]),
        (&json!(60), &json!(0), &json!(0)),
        "{told}"
    );
    assert_eq!(told["confusion"], json!([[30, 6], [0, 24]]), "{told}");
    assert!((told["kappa"].as_f64().unwrap() - 0.8).abs() < 1e-9, "{told}");
    assert_eq!(told["tells_apart"], true, "{told}");
    let page = project.ratchet(&["scorer", "calibrate"]);
    assert!(page.out.contains("Can it tell revisions apart? Yes: with 24 dev rows"), "{}", page.out);
    assert!(page.out.contains("agreement 90.0 %, kappa 0.80 ["), "{}", page.out);
    project.write("library.jsonl", rated().replace("\"id\":", "\"split\":\"train\",\"id\":"));
    let without_dev = project.ratchet(&["scorer", "calibrate"]).out;
    assert!(without_dev.contains("revisions apart? It can't be told: with 0 dev rows"), "{without_dev}");
    project.write("library.jsonl", rated());
    let stars = project.ratchet(&["scorer", "calibrate", "--human", "stars", "--json"]).json();
    assert_eq!(stars["categories"], json!(["0", "0.25", "1"]));
    let of_coin = project.ratchet(&["scorer", "calibrate", "--human", "coin", "--json"]).json();
    assert_eq!(of_coin["tells_apart"], false, "{of_coin}");
    let warned = project.ratchet(&["optimize", "--dry-run"]).err;
    assert_eq!(warned.matches("`tone` can't tell revisions apart, as it was calibrated. No:").count(), 1, "{warned}");
    let wrong = project.ratchet(&["scorer", "calibrate", "--human", "answer"]);
    assert!(wrong.code == 2 && wrong.err.contains("\"yes\" | \"no\""), "{}", wrong.err);
    let unknown = project.ratchet(&["scorer", "calibrate", "manners"]);
    assert!(unknown.code == 2 && unknown.err.contains("there is `tone`"), "{}", unknown.err);
}

/// Sixty answers that people rated by criterion, which the judge sees as they do but for `complete` in one of ten.
pub fn rated_by_criterion() -> String {
    let row = |at: usize| {
        let (kind, when) = (at.is_multiple_of(2), !at.is_multiple_of(3));
        let words =
            [if kind { "Please come in" } else { "Come in" }, if when { " within a week" } else { "" }].concat();
        let complete = if when != at.is_multiple_of(10) { "yes" } else { "partly" };
        let rating = json!({"kind": if kind { "yes" } else { "no" }, "complete": complete});
        json!({"id": format!("h{at}"), "input": format!("question {at}"),
               "metadata": {"reply_sent": format!("{words}, about question {at}."), "rating": rating}})
    };
    (10..70).map(|at| row(at).to_string() + "\n").collect()
}

#[test]
fn a_calibration_by_criterion_is_kept_and_raises_the_noise_floor_of_runs() {
    let provider = provider();
    let project = project(&provider, 10..70, RUBRIC);
    project.write("library.jsonl", rated_by_criterion());
    let fields = "[calibration]\nanswer = 'reply_sent'\nhuman = 'rating'\n";
    project.write("ratchet.toml", project.read("ratchet.toml") + fields);
    let detectable = |set: &str| {
        let plan = project.ratchet(&["optimize", "--dry-run", "--json", "--set", set]);
        plan.json()["detectable_gain"].as_f64().unwrap()
    };
    let before = detectable("search.seed=1");
    let ran = project.ratchet(&["scorer", "calibrate", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    let criteria = told["criteria"].as_array().unwrap();
    assert_eq!((&criteria[0]["criterion"], &criteria[0]["kappa"]), (&json!("kind"), &json!(1.0)), "{told}");
    assert_eq!((&criteria[1]["criterion"], &criteria[1]["agreement"]), (&json!("complete"), &json!(0.9)), "{told}");
    assert!(told["retest"]["flips"].as_u64().unwrap() > 0 && told["tells_apart"] == true, "{told}");
    let page = project.ratchet(&["scorer", "calibrate"]);
    assert!(page.out.contains("criterion kind: agreement 100.0 %, kappa 1.00 ["), "{}", page.out);
    assert!(detectable("search.seed=1") > before, "the judge's noise is known before a call is made");
    assert_eq!(detectable("scorers.0.votes=3"), before, "another judge, which was not calibrated");
    assert_eq!(project.ratchet(&["optimize", "-q"]).code, 0);
    assert!(project.run().join("snapshot/judge-calibrations.json").is_file());
    let wrong = project.read("library.jsonl").replace("\"kind\":\"no\"", "\"manner\":\"no\"");
    project.write("library.jsonl", wrong);
    let refused = project.ratchet(&["scorer", "calibrate"]);
    assert!(refused.code == 2 && refused.err.contains("\"kind\" | \"complete\""), "{}", refused.err);
}

#[test]
fn a_rubric_is_drafted_shown_with_its_verdicts_and_saved_only_when_accepted() {
    let provider = provider();
    let project = project(&provider, 10..40, TONE);
    let before = project.read("ratchet.toml");
    let shown = project.ratchet(&["scorer", "draft", "a kind reply that says when"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(
        shown.out.contains("[[scorers.criteria]]") && shown.out.contains("Its verdicts on 6 rows"),
        "{}",
        shown.out
    );
    let row = "\n    answered  Come in within a week, about question 11.\n    reply: kind: It orders the customer about. (no)\n";
    assert!(shown.out.contains(&format!("\nr11 0.50 question 11{row}")), "{}", shown.out);
    assert!(shown.out.contains("(no)\n      complete: It doesn't say by when. (partly)\n"), "{}", shown.out);
    assert!(shown.err.contains("not saved") && project.read("ratchet.toml") == before, "{}", shown.err);
    let saved = project.ratchet(&["scorer", "draft", "a kind reply that says when", "--yes", "--json"]);
    assert_eq!(saved.json()["saved"], true, "{}", saved.out);
    assert!(project.read("ratchet.toml").starts_with(before.trim_end()));
    assert_eq!(project.ratchet(&["eval", "--json"]).json()["judge"]["length"][1]["scorer"], "reply");
}

#[test]
fn a_draft_that_can_score_no_row_is_shown_and_not_saved() {
    let provider = provider();
    let mute = Provider::start(Answers::Fixed("I would rather not.".to_owned()), Behaviour::default());
    let project = project(&provider, 10..40, TONE);
    let before = project.read("ratchet.toml");
    let judge = format!("models.judge={{{}}}", mute.table());
    for more in [&["--yes"][..], &["--yes", "--json"], &[]] {
        let command = [&["scorer", "draft", "a kind reply that says when", "--set", &judge][..], more].concat();
        let ran = project.ratchet(&command);
        assert_eq!(ran.code, 4, "{}", ran.err);
        let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("can score none of the 6 rows") && told.contains("unusable replies"), "{told}");
        assert!(ran.out.contains("reply") && project.read("ratchet.toml") == before, "{}", ran.out);
    }
}

#[test]
fn drafted_python_does_not_run_before_it_is_accepted() {
    let provider = provider();
    let project = project(&provider, 10..40, TONE);
    let shown = project.ratchet(&["scorer", "draft", "--python", "a kind reply"]);
    assert!(shown.out.contains("def handler") && !shown.out.contains("verdicts"), "{}{}", shown.out, shown.err);
    assert!(shown.err.contains("neither run nor saved"), "{}", shown.err);
    assert!(!project.path().join("scorers").exists());
    let saved = project.ratchet(&["scorer", "draft", "--python", "a kind reply", "--yes"]);
    assert!(saved.code == 0 && saved.out.contains("orders about"), "{}{}", saved.out, saved.err);
    assert!(project.read("scorers/kind_words.py").contains("def handler"));
    assert_eq!(project.ratchet(&["eval", "--json"]).code, 0);
    let again = project.ratchet(&["scorer", "draft", "--python", "a kind reply", "--yes", "--name", "kind words"]);
    assert!(again.code == 2 && again.err.contains("is there already"), "{}", again.err);
}

#[test]
fn what_can_not_write_a_scorer_or_is_not_told_what_for_is_refused_at_once() {
    let provider = provider();
    let project = project(&provider, 10..40, TONE);
    let before = provider.server.stats().requests;
    let none = project.ratchet(&["scorer", "draft", " "]);
    assert!(none.code == 2 && none.err.contains("say what a good answer is"), "{}", none.err);
    let embedded = ["--set", "models.proposer={provider='embedded'}"];
    let refused = project.ratchet(&[&["scorer", "draft", "a kind reply"][..], &embedded].concat());
    assert!(refused.code == 2 && refused.err.contains("name a model that can as [models.proposer]"), "{}", refused.err);
    assert_eq!(provider.server.stats().requests, before);
    let gone = ["--set", "models.proposer={provider='openai', model='m', base_url='http://127.0.0.1:9/v1', retries=0}"];
    let down = project.ratchet(&[&["scorer", "draft", "a kind reply"][..], &gone].concat());
    assert!(down.code == 4 && down.err.contains("check models.proposer.base_url"), "{}", down.err);
}

#[test]
fn drafted_python_that_is_none_goes_back_once_with_the_reason() {
    let broken = r#"{"name": "kind", "code": "def handler(output, expected=None)\n    return 1, None"}"#;
    let writer = Provider::start(Answers::Fixed(broken.to_owned()), Behaviour::default());
    let provider = provider();
    let project = project(&provider, 10..40, TONE);
    let proposer = format!("models.proposer={{{}}}", writer.table());
    let ran = project.ratchet(&["scorer", "draft", "--python", "a kind reply", "--set", &proposer]);
    assert_eq!((ran.code, writer.server.stats().requests), (4, 2), "{}", ran.err);
    assert!(ran.err.contains("`code` is no Python: ") && ran.err.contains("line 1"), "{}", ran.err);
}

#[test]
fn people_who_never_differ_can_not_be_agreed_with_and_several_criteria_are_rated_by_name() {
    let provider = provider();
    let project = project(&provider, 10..40, RUBRIC);
    let rate = |rating: serde_json::Value| {
        let row = |at: usize| {
            json!({"id": format!("h{at}"), "input": format!("question {at}"),
                   "metadata": {"answer": format!("Please come in, about question {at}."), "human": rating}})
        };
        (10..40).map(|at| row(at).to_string() + "\n").collect::<String>()
    };
    project.write("library.jsonl", rate(json!(1)));
    let page = project.ratchet(&["scorer", "calibrate"]);
    assert_eq!(page.code, 0, "{}", page.err);
    let told = page.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("kappa can't be told") && told.contains("people's ratings don't differ"), "{}", page.out);
    assert!(!told.contains("Sharpen"), "{}", page.out);
    project.write("library.jsonl", rate(json!("yes")));
    let refused = project.ratchet(&["scorer", "calibrate"]);
    assert!(refused.code == 2 && refused.err.contains("{\"kind\": \"yes\", \"complete\": "), "{}", refused.err);
}
