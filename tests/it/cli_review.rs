//! `ratchet review` and `ratchet apply` as a script uses them, on a run that kept two revisions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use prompt_ratchet::config::Objective;
use prompt_ratchet::eval::Summary;
use prompt_ratchet::prompt::{Edit, Prompt, PromptSet};
use prompt_ratchet::propose::Proposal;
use prompt_ratchet::run::{
    BaselineMeasured, Decision, Event, FORMAT, GenerationEnded, GenerationStarted, Judged, Proposed, RunEnded,
    RunStarted, Stopped, Verdict,
};
use prompt_ratchet::stats::Interval;
use serde_json::Value;

const BASE: &str = "intro\none\ntwo\nthree\n{{ input }}\n";
const FIRST: &str = "intro\nrule A\none\ntwo\nTHREE\n{{ input }}\n";
const SECOND: &str = "intro\nrule A, but B\none\nTWO\nTHREE\n{{ input }}\n";

const CONFIG: &str = r#"
name = "words"
prompt = "prompts/words.txt"
dataset = "words.jsonl"
[models.task]
provider = "embedded"
[[scorers]]
type = "exact_match"
"#;

struct Words {
    folder: tempfile::TempDir,
}

fn set(text: &str) -> PromptSet {
    PromptSet::one(Prompt::parse("words.txt", text).unwrap()).unwrap()
}

fn summary(score: f64) -> Summary {
    Summary { score, interval: Interval { low: score - 0.1, high: score + 0.1 }, examples: 4, errors: 0 }
}

/// The events of one generation that kept `new`.
fn kept(generation: u32, old: &str, new: &str) -> Vec<Event> {
    let (old, new) = (set(old), set(new));
    let (parent, candidate) = (old.digest().short(), new.digest().short());
    let text = new.first().text().to_owned();
    let edit = Edit { file: "words.txt".into(), search: old.first().text().into(), replace: text.clone() };
    let proposal = Proposal {
        edits: vec![edit],
        rationale: "It \u{1b}[31mhelps".into(),
        expected_effect: String::new(),
        quoted: vec!["w1".into()],
    };
    let verdict = Verdict {
        decision: Decision::Kept,
        reason: "better".into(),
        rows: 4,
        missing: 0,
        fixed: 1,
        broken: 0,
        improved: 0,
        worsened: 0,
        difference: 0.25,
        standard_error: 0.1,
        p_value: 0.1,
        samples: 0,
        e_value: None,
        alpha: None,
    };
    vec![
        Event::GenerationStarted(GenerationStarted { generation, incumbent: parent.clone() }),
        Event::Proposed(Proposed {
            generation,
            candidate: candidate.clone(),
            parent: parent.clone(),
            strategy: "add-rule".into(),
            cluster: None,
            proposal,
            prompts: [("words.txt".to_owned(), text)].into(),
            tokens: 9,
            diff: old.unified_diff(&new),
        }),
        Event::Judged(Judged {
            generation,
            candidate: candidate.clone(),
            incumbent: parent,
            verdict,
            dev: summary(0.5),
            fixed: vec![],
            broken: vec![],
            worsened: Vec::new(),
        }),
        Event::GenerationEnded(GenerationEnded {
            generation,
            incumbent: candidate,
            kept: true,
            train: summary(0.5),
            dev: summary(0.5),
        }),
    ]
}

impl Words {
    /// A project with one finished run that kept these texts one after another.
    fn new(texts: &[&str]) -> Self {
        let words = Self { folder: tempfile::tempdir().unwrap() };
        words.write("ratchet.toml", CONFIG);
        words.write("prompts/words.txt", texts[0]);
        let splits = ["train", "dev", "test"];
        let rows: String = (0..12)
            .map(|n| {
                let (word, split) = (["one", "two", "three"][n % 3], splits[n / 4]);
                format!(
                    "{{\"id\":\"w{n}\",\"input\":\"{word} of {n}\",\"expected\":\"{word}\",\"split\":\"{split}\"}}\n"
                )
            })
            .collect();
        words.write("words.jsonl", &rows);
        let run = "runs/20260101-000000-words";
        words.write(&format!("{run}/snapshot/ratchet.toml"), CONFIG);
        words.write(&format!("{run}/snapshot/dataset.jsonl"), &rows);
        words.write(&format!("{run}/snapshot/strategies.json"), "[]");
        words.write(&format!("{run}/snapshot/prompts/words.txt"), texts[0]);
        let manifest = serde_json::json!({
            "format": FORMAT, "run": "20260101-000000-words", "name": "words", "started": "2026-01-01T00:00:00Z",
            "version": "0.1.0", "config": "ratchet.toml",
        });
        words.write(&format!("{run}/run.json"), &manifest.to_string());
        let journal: String = words.events(texts).iter().map(|e| serde_json::to_string(e).unwrap() + "\n").collect();
        words.write(&format!("{run}/journal.jsonl"), &journal);
        words
    }

    fn events(&self, texts: &[&str]) -> Vec<Event> {
        let baseline = set(texts[0]).digest();
        let mut events = vec![
            Event::RunStarted(RunStarted {
                format: FORMAT,
                name: "words".into(),
                seed: 1,
                dataset: prompt_ratchet::digest::Digest::of(b"words"),
                baseline,
                rows: [4, 4, 4],
                generations: 2,
                proposals: 1,
                pass_threshold: 1.0,
                objective: Objective::MeanScore,
                deterministic: true,
                warnings: Vec::new(),
            }),
            Event::BaselineMeasured(BaselineMeasured { train: summary(0.25), dev: summary(0.25), tokens: 8 }),
        ];
        for (pair, generation) in texts.windows(2).zip(1..) {
            events.extend(kept(generation, pair[0], pair[1]));
        }
        let winner = set(texts.last().unwrap()).digest().short();
        events.push(Event::RunEnded(RunEnded {
            stopped: Stopped::Generations,
            why: String::new(),
            unusable: None,
            winner,
            calls: Default::default(),
        }));
        events
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn prompt(&self) -> String {
        std::fs::read_to_string(self.path("prompts/words.txt")).unwrap()
    }

    fn ratchet(&self, arguments: &[&str]) -> (i32, String, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_ratchet"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, stdout, stderr) = self.ratchet(arguments);
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }
}

#[test]
fn without_a_terminal_a_review_prints_the_commands_to_use_and_writes_nothing() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let (code, stdout, stderr) = words.ratchet(&["review"]);
    assert_eq!(code, 2);
    assert!(stdout.contains("g1h1") && stdout.contains("(g2h1 builds on it)"), "{stdout}");
    assert!(stderr.contains("--accept g1h1 g1h2 g2h1 g2h2"), "{stderr}");
    assert!(stdout.lines().chain(stderr.lines()).all(|line| line.chars().count() <= 80), "{stdout}{stderr}");
    assert!(!words.path("runs/20260101-000000-words/review.json").exists());
}

#[test]
fn a_partly_accepted_result_is_measured_and_applied() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let (code, _, stderr) = words.ratchet(&["review", "--reject", "g1h1"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("g2h1 is rejected too: it builds on g1h1"), "{stderr}");
    let (code, _, stderr) = words.ratchet(&["apply"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("2 of 4 hunks are open") && stderr.contains("--all"), "{stderr}");
    let result = &words.json(&["review", "--accept-all", "--json"])["result"];
    assert_eq!(result["same_as"], Value::Null);
    assert_eq!(result["dev"]["rows"], 4);
    assert_eq!(result["train"]["rows"], 3, "the row that the prompt quotes is left out");
    let uses = std::fs::read_to_string(words.path("runs/split-uses.json")).unwrap();
    assert!(uses.contains("20260101-000000-words-review"), "{uses}");
    let (code, stdout, _) = words.ratchet(&["review"]);
    assert!(code == 0 && stdout.contains("2 accepted, 0 edited, 2 rejected"), "{stdout}");
    assert!(stdout.contains("To choose otherwise: ratchet review") && stdout.contains("--reject ID"), "{stdout}");
    let (code, _, stderr) = words.ratchet(&["apply"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("what its review accepted"), "{stderr}");
    assert_eq!(words.prompt(), "intro\none\nTWO\nTHREE\n{{ input }}\n");
}

#[test]
fn rows_that_the_result_quotes_are_left_out_and_told_with_a_warning_where_they_are_held_out() {
    let pasted =
        "intro\n\"two of 4\" -> two\n\"three of 8\" -> three\n\"three of 2\" -> three\none\ntwo\nTHREE\n{{ input }}\n";
    let words = Words::new(&[BASE, pasted, SECOND]);
    words.ratchet(&["review", "--reject", "g1h2", "g2h1"]);
    let (code, stdout, stderr) = words.ratchet(&["review", "--accept-all"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let told = "Warning: the result quotes 1 train row (w2), 1 dev row (w4), 1 test row (w8) as examples, which were left \
                out.";
    assert!(stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{stdout}");
    let result = &words.json(&["review", "--json"])["result"];
    assert_eq!((&result["dev"]["rows"], &result["train"]["rows"]), (&Value::from(3), &Value::from(2)), "{result}");
    assert_eq!(result["quoted"][1], serde_json::json!({ "row": "w4", "split": "dev" }));
}

#[test]
fn what_is_accepted_whole_is_the_winner_and_not_measured_again() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let result = &words.json(&["review", "--accept-all", "--json"])["result"];
    assert_eq!((&result["same_as"], &result["calls"]), (&Value::from("g2"), &Value::from(0)));
    assert_eq!(result["prompts"]["words.txt"], SECOND);
}

#[test]
fn a_hunk_cannot_be_accepted_without_what_it_builds_on() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let (code, _, stderr) = words.ratchet(&["review", "--reject", "g1h1", "--accept", "g2h1"]);
    assert!(code == 2 && stderr.contains("g2h1 builds on g1h1"), "{stderr}");
    words.ratchet(&["review", "--reject", "g1h1"]);
    let (code, _, stderr) = words.ratchet(&["review", "--accept", "g2h1"]);
    assert!(code == 2 && stderr.contains("g2h1 builds on g1h1"), "{stderr}");
    let (code, _, stderr) = words.ratchet(&["review", "--accept", "g9h9"]);
    assert!(code == 2 && stderr.contains("no hunk g9h9"), "{stderr}");
}

#[test]
fn an_unreviewed_run_applies_its_winner_once_and_says_so() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let (code, stdout, stderr) = words.ratchet(&["apply", "--dry-run"]);
    assert!(code == 0 && stdout.contains("+rule A, but B") && stderr.contains("Nothing was written"), "{stderr}");
    assert_eq!(words.prompt(), BASE);
    let (code, _, stderr) = words.ratchet(&["apply"]);
    assert!(code == 0 && stderr.contains("it has not been reviewed") && stderr.contains("git diff"), "{stderr}");
    assert_eq!(words.prompt(), SECOND);
    let again = words.json(&["apply", "--json"]);
    assert_eq!((&again["source"], &again["written"]), (&Value::from("winner"), &Value::from(false)));
}

#[test]
fn changes_made_since_the_run_are_merged() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    words.write("prompts/words.txt", &BASE.replace("{{ input }}", "Text: {{ input }}"));
    let (code, _, stderr) = words.ratchet(&["apply"]);
    assert!(code == 0 && stderr.contains("merged with changes"), "{stderr}");
    assert_eq!(words.prompt(), SECOND.replace("{{ input }}", "Text: {{ input }}"));
}

#[test]
fn a_conflict_names_the_place_and_both_texts_and_writes_nothing() {
    let words = Words::new(&[BASE, FIRST, SECOND]);
    let mine = BASE.replace("three", "drei");
    words.write("prompts/words.txt", &mine);
    let (code, _, stderr) = words.ratchet(&["apply"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("prompts/words.txt, lines 3-4"), "{stderr}");
    for text in ["began:\n  | two\n  | three", "now:\n  | two\n  | drei", "result:\n  | TWO\n  | THREE"] {
        assert!(stderr.contains(text), "{stderr}");
    }
    assert_eq!(words.prompt(), mine);
}

#[test]
fn a_run_that_kept_nothing_has_nothing_to_review_or_apply() {
    let words = Words::new(&[BASE]);
    for command in ["review", "apply"] {
        let (code, stdout, stderr) = words.ratchet(&[command]);
        assert!(code == 0 && stdout.is_empty() && stderr.contains("kept nothing"), "{stderr}");
    }
    assert_eq!(words.prompt(), BASE);
}

#[test]
fn a_comparison_on_the_rows_that_chose_the_winner_says_so() {
    let words = Words::new(&[BASE, FIRST]);
    let selected_on = |arguments: &[&str]| {
        let (_, stdout, stderr) = words.ratchet(&[&["compare", "--json"], arguments].concat());
        serde_json::from_str::<Value>(&stdout).unwrap_or_else(|_| panic!("{stderr}"))["selected_on"].clone()
    };
    assert_eq!(selected_on(&["last:baseline", "last"]), true);
    assert_eq!(selected_on(&["last", "prompts/words.txt"]), true);
    assert_eq!(selected_on(&["last:baseline", "prompts/words.txt"]), false);
    assert_eq!(selected_on(&["last:baseline", "last", "--split", "test"]), false);
    let (_, stdout, _) = words.ratchet(&["compare", "last:baseline", "last"]);
    assert!(stdout.contains("only the sealed test says"), "{stdout}");
}

#[test]
fn two_revisions_of_a_run_are_measured_as_the_run_was_and_what_else_is_as_the_config_is_now() {
    let words = Words::new(&[BASE, FIRST]);
    words.write("ratchet.toml", &CONFIG.replace("exact_match", "levenshtein"));
    let run = "20260101-000000-words";
    let compare = |arguments: &[&str]| {
        let (_, page, error) = words.ratchet(&[&["compare"], arguments].concat());
        let told = page.lines().find(|line| line.starts_with("measured")).unwrap_or(&error).to_owned();
        let (_, json, _) = words.ratchet(&[&["compare", "--json"], arguments].concat());
        (told, serde_json::from_str::<Value>(&json).unwrap()["measured_as"].clone())
    };
    let as_it_was = "measured as the run was: the embedded model, exact_match".to_owned();
    assert_eq!(compare(&["last:baseline", "last"]), (as_it_was, run.into()));
    let as_it_is = "measured as the config is now: the embedded model, levenshtein".to_owned();
    assert_eq!(compare(&["last", "prompts/words.txt"]), (as_it_is.clone(), Value::Null));
    assert_eq!(compare(&["last:baseline", "last", "--set", "search.seed=2"]), (as_it_is, Value::Null));
}

#[test]
fn an_unfinished_run_that_kept_nothing_tells_how_to_go_on_with_it() {
    let words = Words::new(&[BASE]);
    let journal = words.path("runs/20260101-000000-words/journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    for (text, unfinished) in [(whole.clone(), false), (whole.lines().next().unwrap().to_owned() + "\n", true)] {
        std::fs::write(&journal, text).unwrap();
        for command in ["review", "apply", "diff", "report"] {
            let (code, stdout, stderr) = words.ratchet(&[command]);
            let told = stdout + &stderr;
            assert_eq!((code, told.contains("ratchet resume ")), (0, unfinished), "{command}: {told}");
            assert!(!unfinished || !told.contains("kept nothing"), "{command}: {told}");
        }
    }
}
