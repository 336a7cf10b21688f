//! A run whose first model can't be had, and a model at several addresses, through the real binary.

use std::sync::Arc;

use prompt_ratchet::model::embedded::Embedded;

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider, ended};
use crate::resume::{Counting, Then};

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:9/v1";

fn embedded() -> Provider {
    Provider::start(Answers::Chat(Arc::<Embedded>::default()), Behaviour::default())
}

fn journal(project: &Project) -> String {
    project.read(project.run().join("journal.jsonl"))
}

#[test]
fn a_run_whose_model_cannot_be_had_at_the_start_is_its_fallbacks_to_the_end() {
    let (there, project, plain) = (embedded(), Project::new(), Project::new());
    let models = format!(
        "models.task={{provider='openai', model='gone', base_url='{NOBODY}', retries=0, fallback=[{{{}}}, {{{}}}]}}",
        there.table().replace("tiny", "second"),
        there.table(),
    );
    let ran = project.ratchet(&["optimize", "--json", "--set", &models]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("the task model can't be had") && ran.err.contains("its fallback second at"),
        "{}",
        ran.err
    );
    // The snapshot holds the one that answered and no other: a resumed run asks no other either.
    let snapshot = project.read(project.run().join("snapshot/ratchet.toml"));
    assert!(snapshot.contains("second") && !snapshot.contains("gone"), "{snapshot}");
    let same = format!("models.task={{{}}}", there.table());
    assert_eq!(plain.ratchet(&["optimize", "--quiet", "--set", &same]).code, 0);
    assert_eq!(journal(&project), journal(&plain));

    // What is wrong with the request itself is no reason to take another model, nor is a fallback's fallback known.
    let within = models.replace("retries=0}]}", "retries=0, fallback=[{provider='embedded'}]}]}");
    let refused = project.ratchet(&["optimize", "--set", &within]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("a fallback has no fallback of its own"), "{}", refused.err);
}

#[test]
fn a_proposer_that_cannot_be_reached_is_told_at_the_start_or_has_a_fallback() {
    let project = Project::new();
    let gone = format!("provider='openai', model='gone', base_url='{NOBODY}'");
    let ran = project.ratchet(&["optimize", "--set", &format!("models.proposer={{{gone}}}")]);
    assert_eq!((ran.code, project.runs().len()), (4, 0), "{}", ran.err);
    assert!(ran.err.contains("models.proposer.base_url"), "{}", ran.err);
    let rescued = format!("models.proposer={{{gone}, fallback=[{{provider='embedded'}}]}}");
    let ran = project.ratchet(&["optimize", "--json", "--set", &rescued]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the proposer model can't be had"), "{}", ran.err);
}

#[test]
fn a_model_at_two_addresses_outlives_one_of_them_and_the_store_says_who_answered() {
    let model = Arc::<Counting>::default();
    let first = Provider::start(Answers::Chat(model.clone()), Behaviour::default());
    let (second, project, plain) = (embedded(), Project::new(), Project::new());
    let setting = |addresses: &str| format!("models.task={{{}, deterministic=true{addresses}}}", first.table());
    assert_eq!(plain.ratchet(&["optimize", "--quiet", "--set", &setting("")]).code, 0);
    let _alarm = model.alarm(40, Then::Fail);
    let both = setting(&format!(", also_at=['{}']", second.server.base_url()));
    let mut command = project.command(&["optimize", "--json", "--set", &both]);
    let ran = ended(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(journal(&project), journal(&plain));
    let store = rusqlite::Connection::open(project.path().join(".ratchet/responses.sqlite")).unwrap();
    let answered = |address: String| -> i64 {
        let count = "SELECT count(*) FROM responses WHERE endpoint = ?1";
        store.query_row(count, [address], |row| row.get(0)).unwrap()
    };
    let (one, other) = (answered(first.server.base_url()), answered(second.server.base_url()));
    assert!(one > 0 && other > 0 && one < 40, "{one} and {other}");
    let calls = &ran.json()["calls"];
    let asked = ["task", "proposer"].map(|role| calls[role].as_i64().unwrap());
    assert_eq!(one + other, asked.iter().sum::<i64>());
}
