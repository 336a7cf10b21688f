//! Models that go out in the midst of a run and whose fallbacks go on, through the real binary.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prompt_ratchet::model::embedded::Embedded;
use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion};
use serde_json::Value;

use crate::fake::server::{Answers, Behaviour};
use crate::fallback::answered_at;
use crate::judges;
use crate::project::{Project, Provider, Ran, assert_same, ended, identity};
use crate::resume::{Counting, Then};

/// A first model that stops answering after a while, and its fallback.
struct Pair {
    model: Arc<Counting>,
    first: Provider,
    second: Provider,
}

impl Pair {
    fn new() -> Self {
        let model = Arc::<Counting>::default();
        Self {
            first: Provider::start(Answers::Chat(model.clone()), Behaviour::default()),
            second: Provider::start(Answers::Chat(Arc::<Embedded>::default()), Behaviour::default()),
            model,
        }
    }

    /// The table of the first, with the second as its fallback; between them one that nobody listens at.
    fn table(&self) -> String {
        format!(
            "{}, retries=2, max_outage_seconds=0.2, deterministic=true, fallback=[{{provider='openai', model='gone', \
             base_url='http://127.0.0.1:9/v1'}}, {{{}, deterministic=true}}]",
            self.first.table().replace(", retries=0", ""),
            self.second.table().replace("tiny", "second"),
        )
    }

    /// Runs until the first model's `after`-th request and on without it.
    fn optimize(&self, project: &Project, role: &str, after: u64, more: &[&str]) -> Ran {
        let _alarm = self.model.alarm(after, Then::Fail);
        let setting = format!("models.{role}={{{}}}", self.table());
        let mut command = project.command(&["optimize", "--json", "--set", &setting]);
        let ran = ended(command.args(["--set", "search.generations=3"]).args(more).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran
    }

    fn asked(&self) -> u64 {
        self.first.server.stats().requests + self.second.server.stats().requests
    }
}

fn events(run: &Path) -> Vec<Value> {
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(run: &Path) -> Vec<String> {
    events(run).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// Cuts the journal after so many lines, of which the change is one, as a kill would, and goes on: to the same end, and
/// nothing is asked twice.
fn resumes_alike(pair: &Pair, project: &Project, lines: impl IntoIterator<Item = usize>) {
    let (run, asked) = (project.run(), pair.asked());
    let whole = identity(&run);
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    for count in lines {
        let kept: Vec<&str> = journal.lines().take(count).collect();
        std::fs::write(run.join("journal.jsonl"), kept.join("\n") + "\n").unwrap();
        std::fs::remove_file(run.join("report.md")).unwrap();
        let ran = project.ratchet(&["resume", "--quiet"]);
        assert_eq!(ran.code, 0, "{count} lines: {}", ran.err);
        assert_same(&whole, &identity(&run));
    }
    assert_eq!(pair.asked(), asked, "nothing is asked twice");
}

#[test]
fn a_run_whose_model_goes_out_goes_on_with_its_fallback_and_measures_anew() {
    let (pair, project) = (Pair::new(), Project::in_memory());
    let ran = pair.optimize(&project, "task", 110, &["--set", "search.generations=1"]);
    assert!(ran.err.contains("the task model can't be had") && ran.err.contains("second at"), "{}", ran.err);
    let (run, names) = (project.run(), names(&project.run()));
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    let change = &events(&run)[at];
    assert_eq!((&change["role"], &change["to"]["fallback"]), (&"task".into(), &1.into()), "{change}");
    assert!(change["generation"].as_u64().unwrap() > 0, "{change}");
    // The generation ends there; the next begins after the incumbent and the noise were measured.
    let after: Vec<&str> = names[at + 1..].iter().map(String::as_str).take(3).collect();
    assert!(matches!(after[0], "baseline_measured" | "incumbent_measured"), "{after:?}");
    assert_eq!(after[1..], ["noise_measured", "generation_started"]);
    // It doesn't count: the one generation that was asked for comes after it.
    let told = |name: &str| names.iter().filter(|event| *event == name).count();
    assert_eq!((told("generation_started"), told("generation_ended")), (2, 1), "{names:?}");
    assert_eq!(ran.json()["generations"], 1);
    assert!(ran.err.contains("generation 2/2"), "{}", ran.err);
    assert!(project.read(run.join("report.md")).contains("after 1 generation of at most 1, and 1 that"));
    let store = rusqlite::Connection::open(project.path().join(".ratchet/responses.sqlite")).unwrap();
    let count = |model: &str| -> i64 {
        store.query_row("SELECT count(*) FROM responses WHERE model = ?1", [model], |row| row.get(0)).unwrap()
    };
    assert!(count("tiny") > 0 && count("second") > 0);
    let report = project.read(run.join("report.md"));
    assert!(report.contains("## Models that took over") && report.contains("second at"), "{report}");
    assert!(project.ratchet(&["report"]).out.contains("answers as task since generation"));
    resumes_alike(&pair, &project, [at + 1, at + 3, names.len() - 1]);
}

#[test]
fn a_sealed_test_that_meets_an_outage_is_the_fallbacks_for_both_prompts() {
    let (pair, calm, project) = (Pair::new(), Project::in_memory(), Project::in_memory());
    let before = pair.model.asked();
    let setting = format!("models.task={{{}}}", pair.table());
    let ran = calm.ratchet(&["optimize", "--json", "--set", &setting, "--set", "search.generations=3"]);
    assert_eq!((ran.code, ran.json()["kept"].as_u64().unwrap() > 0), (0, true), "{}", ran.out);
    // The last requests of all are the winner's on test.
    let asked = pair.model.asked() - before;
    let ran = pair.optimize(&project, "task", asked - 2, &[]);
    let names = names(&project.run());
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    assert_eq!(names[at..], ["fell_back", "test_opened", "run_ended"]);
    assert!(ran.json()["winner"]["test"]["score"].is_number());
    let dev = |ran: &Ran| ran.json()["winner"]["dev"].clone();
    assert_eq!(dev(&ran), calm.ratchet(&["report", "--json"]).json()["winner"]["dev"]);
    resumes_alike(&pair, &project, [at + 1, at + 2]);

    // Just before it, in the last generation but one or later: what was kept is measured anew, beside the baseline.
    let project = Project::in_memory();
    let ran = pair.optimize(&project, "task", asked - 40, &["--set", "search.generations=5"]);
    let (run, names) = (project.run(), self::names(&project.run()));
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    assert_eq!(names[at + 1], "incumbent_measured", "{names:?}");
    let measured = &events(&run)[at + 1];
    assert_eq!(ran.json()["baseline"]["dev"]["score"], measured["baseline_dev"]["score"]);
    resumes_alike(&pair, &project, [at + 1, at + 2, names.len() - 2]);
}

#[test]
fn a_proposer_that_goes_out_is_replaced_and_nothing_is_measured_anew() {
    let (pair, project) = (Pair::new(), Project::in_memory());
    pair.optimize(&project, "proposer", 2, &[]);
    let (run, names) = (project.run(), names(&project.run()));
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    assert_eq!(events(&run)[at]["role"], "proposer");
    assert_eq!(names.iter().filter(|name| name.ends_with("_measured")).count(), 2, "{names:?}");
    assert_eq!(names.iter().filter(|name| *name == "generation_started").count(), 3, "{names:?}");
    assert!(pair.second.server.stats().answered > 0);
    resumes_alike(&pair, &project, [at + 1, names.len() - 1]);
}

#[test]
fn an_address_that_goes_out_is_left_out_and_only_its_rows_are_asked_anew() {
    let (pair, project) = (Pair::new(), Project::in_memory());
    let [first, second] = [&pair.first, &pair.second].map(|provider| provider.server.base_url());
    let setting = format!(
        "models.task={{{}, retries=2, max_outage_seconds=0.2, deterministic=true, also_at=['{second}']}}",
        pair.first.table().replace(", retries=0", "")
    );
    let _alarm = pair.model.alarm(70, Then::Fail);
    let ran = project.ratchet(&["optimize", "--json", "--set", &setting]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("an address of the task model is out"), "{}", ran.err);
    let names = names(&project.run());
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    assert_eq!(events(&project.run())[at]["to"], serde_json::json!({"at": [1]}));
    assert!(names[at..].contains(&"noise_measured".to_owned()), "{names:?}");
    // The other one's rows were not asked again.
    assert_eq!(answered_at(&project, &first), 69);
    let alone = project.ratchet(&["report", "--json"]).json()["calls"].clone();
    let all: u64 = ["task", "proposer"].map(|role| alone[role].as_u64().unwrap()).iter().sum();
    assert_eq!(pair.second.server.stats().requests, all - 69);
    resumes_alike(&pair, &project, [at + 1, names.len() - 1]);
}

/// Judges until it has done so often enough.
struct Tired {
    judged: AtomicU64,
    until: u64,
}

impl Chat for Tired {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        if self.judged.fetch_add(1, Ordering::SeqCst) < self.until {
            judges::Models.complete(call)
        } else {
            Box::pin(std::future::ready(Err(CallError::Transient("overloaded".into()))))
        }
    }
}

/// A judged run whose judge has had enough after so many verdicts; the answers' provider, and the fallback's. `prepare` is
/// called before it with the judge's table while it can still be had.
fn judged(until: u64, prepare: impl Fn(&Project, &str)) -> (Project, Provider, Provider, Ran) {
    let tired = Tired { judged: AtomicU64::new(0), until };
    let [task, fallback] = [(), ()].map(|()| judges::provider());
    let judge = Provider::start(Answers::Chat(Arc::new(tired)), Behaviour::default());
    let project = judges::project(&task, 10..50, judges::RUBRIC);
    let strict = |provider: &Provider| provider.table().replace("tiny", "strict");
    prepare(&project, &format!("models.judge={{{}}}", strict(&task)));
    let setting = format!(
        "models.judge={{{}, max_outage_seconds=0, fallback=[{{{}}}]}}",
        strict(&judge),
        strict(&fallback).replace("strict", "stricter")
    );
    let ran = project.ratchet(&["optimize", "--json", "--set", &setting, "--set", "search.generations=2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    (project, task, fallback, ran)
}

#[test]
fn a_judge_that_cannot_be_had_at_the_start_is_its_fallback_to_the_end() {
    let (project, _, fallback, ran) = judged(0, |_, _| ());
    assert!(ran.err.contains("the judge model can't be had"), "{}", ran.err);
    assert!(project.read(project.run().join("snapshot/ratchet.toml")).contains("stricter"));
    assert!(!names(&project.run()).contains(&"fell_back".to_owned()));
    assert_eq!(fallback.server.stats().requests, ran.json()["calls"]["judge"].as_u64().unwrap());
}

#[test]
fn a_judge_that_goes_out_is_replaced_and_judges_all_that_is_compared() {
    let (project, task, fallback, ran) = judged(45, |_, _| ());
    let names = names(&project.run());
    let at = names.iter().position(|name| name == "fell_back").unwrap();
    assert_eq!(events(&project.run())[at]["role"], "judge");
    assert!(matches!(names[at + 1].as_str(), "baseline_measured" | "incumbent_measured"), "{names:?}");
    assert_eq!(ran.json()["kept"], 1, "{}", ran.err);
    // What was answered is judged anew, and not answered anew.
    let (calls, asked) = (&ran.json()["calls"], task.server.stats().requests);
    assert_eq!(asked, calls["task"].as_u64().unwrap() + calls["proposer"].as_u64().unwrap());
    assert!(fallback.server.stats().requests > 40);
}

#[test]
fn the_noise_of_a_judge_that_was_calibrated_is_not_its_fallbacks() {
    let calibrate = |project: &Project, judge: &str| {
        project.write("library.jsonl", judges::rated_by_criterion());
        let fields = "[calibration]\nanswer = 'reply_sent'\nhuman = 'rating'\n";
        project.write("ratchet.toml", project.read("ratchet.toml") + fields);
        assert_eq!(project.ratchet(&["scorer", "calibrate", "--set", judge]).code, 0);
    };
    let (project, ..) = judged(80, calibrate);
    let measured: Vec<Value> =
        events(&project.run()).into_iter().filter(|event| event["event"] == "noise_measured").collect();
    let words = |event: &Value| event["words"].as_str().unwrap().to_owned();
    assert!(words(measured.last().unwrap()).contains("took over was not calibrated"), "{measured:?}");
}
