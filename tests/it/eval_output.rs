//! All that `eval` prints and writes of rows of every kind: with labels, tags, weights and groups, of which some can't
//! run. Outcomes are taken as they come, so a server that answers in another order must change nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;
use prompt_ratchet::digest::Digest;
use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion, FinishReason, Usage};
use serde_json::{Value, json};

use crate::fake::server::{Answers, Behaviour, Server};

const LABELS: [&str; 3] = ["billing", "bug", "other"];
const ROWS: usize = 90;

/// Answers with a label or something else, or refuses to, and takes longer or not, as the row's text decides.
struct Drawn;

impl Chat for Drawn {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let drawn = Digest::of(call.request.messages[0].content.as_bytes()).as_u64();
            tokio::time::sleep(Duration::from_millis(drawn % 20)).await;
            if (drawn / 20).is_multiple_of(10) {
                return Err(CallError::Rejected("too odd".to_owned()));
            }
            let text = LABELS.get((drawn % 4) as usize).map_or("no idea, \"sorry\"\nreally", |label| label);
            Ok(Completion::live(
                text.to_owned(),
                FinishReason::Stop,
                Usage { input: 10, output: 2, ..Usage::default() },
            ))
        })
    }
}

fn project(server: &Server) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row = |at: usize| {
        let mut row =
            json!({"input": format!("message number {at}, which says something"), "expected": LABELS[at * at % 3]});
        if !at.is_multiple_of(4) {
            row["id"] = json!(format!("row-{}", at * 7 % ROWS));
        }
        if at.is_multiple_of(3) {
            row["tags"] = json!((["edge", "=sum"][at % 2]));
        }
        if at.is_multiple_of(5) {
            row["weight"] = json!(0.5 + at as f64 / 8.0);
        }
        if at.is_multiple_of(11) {
            row["group"] = json!("eleven");
        }
        format!("{row}\n")
    };
    std::fs::write(folder.path().join("rows.jsonl"), (0..ROWS).map(row).collect::<String>()).unwrap();
    let config = format!(
        "prompt = \"prompt.prompty\"\ndataset = \"rows.jsonl\"\n[models.task]\nprovider = \"openai\"\nmodel = \"drawn\"\n\
         base_url = \"{}\"\ntemperature = 0\n[[scorers]]\ntype = \"exact_match\"\n[[scorers]]\ntype = \"levenshtein\"\n",
        server.base_url()
    );
    std::fs::write(folder.path().join("ratchet.toml"), config).unwrap();
    let prompt = "user:\nWhich is it? For example \"message number 7, which says something\" is a bug.\n{{ input }}\n";
    std::fs::write(folder.path().join("prompt.prompty"), prompt).unwrap();
    folder
}

fn eval(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("ratchet").unwrap();
    let output = command.current_dir(folder).arg("eval").args(["--split", "all"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_an_evaluation_says_is_what_it_was_whatever_order_answers_come_in() {
    let answers = Answers::Chat(std::sync::Arc::new(Drawn));
    let server = Server::start(0, answers, Behaviour::default()).await.unwrap();
    let folder = project(&server);
    // Of five digits, as those that are free mostly are: lines break at the same places.
    let port = server.base_url().trim_end_matches("/v1").rsplit(':').next().unwrap_or_default().to_owned();
    let told = tokio::task::spawn_blocking(move || {
        let masked = |text: String| text.replace(&port, "54321");
        let page = masked(eval(folder.path(), &["--worst", "3", "--csv", "rows.csv"]));
        let rows = masked(std::fs::read_to_string(folder.path().join("rows.csv")).unwrap());
        assert!(masked(eval(folder.path(), &["--csv", "-"])) == rows, "the same on stdout");
        let mut object: Value = serde_json::from_str(&eval(folder.path(), &["--json"])).unwrap();
        object["seconds"] = json!(0);
        // All but the line of calls, tokens and time.
        let (page, calls) = page.trim_end().rsplit_once('\n').unwrap();
        assert!(calls.starts_with("calls: "), "{calls}");
        let head: String = rows.split_inclusive('\n').take(9).collect();
        format!("{page}\n---\n{object:#}\n---\n{head}---\nall rows: {}\n", Digest::of(rows.as_bytes()).short())
    });
    insta::assert_snapshot!(told.await.unwrap());
}
