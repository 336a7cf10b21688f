//! A run whose first model can't be had, and a model at several addresses, through the real binary.

use std::sync::Arc;

use prompt_ratchet::model::embedded::Embedded;

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider, openai};

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

/// Answers in the store that were given at `address`.
pub fn answered_at(project: &Project, address: &str) -> u64 {
    let store = rusqlite::Connection::open(project.path().join(".ratchet/responses.sqlite")).unwrap();
    let count = "SELECT count(*) FROM responses WHERE endpoint = ?1";
    store.query_row(count, [address], |row| row.get::<_, i64>(0)).unwrap() as u64
}

#[test]
fn a_model_at_two_addresses_is_one_model_and_the_store_says_who_answered() {
    let (first, second) = (embedded(), embedded());
    let (project, plain, half) = (Project::new(), Project::new(), Project::new());
    let setting = |address: &str, also_at: &str| {
        let table = openai(address);
        format!("models.task={{{table}, deterministic=true, also_at=['{also_at}']}}")
    };
    let [one, other] = [&first, &second].map(|provider| provider.server.base_url());
    let alone = format!("models.task={{{}, deterministic=true}}", first.table());
    assert_eq!(plain.ratchet(&["optimize", "--quiet", "--set", &alone]).code, 0);
    let asked = first.server.stats().requests;
    let ran = project.ratchet(&["optimize", "--json", "--set", &setting(&one, &other)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(journal(&project), journal(&plain));
    let at = [answered_at(&project, &one), answered_at(&project, &other)];
    assert_eq!(at, [first.server.stats().requests - asked, second.server.stats().requests]);
    let calls = &ran.json()["calls"];
    let all: u64 = ["task", "proposer"].map(|role| calls[role].as_u64().unwrap()).iter().sum();
    assert!(at.iter().all(|here| *here > all / 4) && at.iter().sum::<u64>() == all, "{at:?} of {all}");

    // One that is out at the start is left out of the whole run.
    let ran = half.ratchet(&["optimize", "--json", "--set", &setting(&one, NOBODY)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("an address of the task model is out"), "{}", ran.err);
    assert!(!half.read(half.run().join("snapshot/ratchet.toml")).contains(NOBODY));
    assert_eq!(journal(&half), journal(&plain));
}

#[test]
fn prompts_that_are_scored_by_hand_are_asked_without_an_address_that_is_out() {
    let (first, project) = (embedded(), Project::new());
    let one = first.server.base_url();
    let setting = format!("models.task={{{}, also_at=['{NOBODY}']}}", openai(&one));
    let prompt = "prompts/library.prompty";
    for command in [vec!["eval"], vec!["compare", prompt, prompt]] {
        let ran = project.ratchet(&[&command[..], &["--json", "--set", &setting]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains(&format!("it is asked as tiny at {one}")), "{}", ran.err);
    }
    // All of them are out: it ends at once, and says whose address to look at.
    let nobody = format!("models.task={{{}, also_at=['{NOBODY}']}}", openai(NOBODY));
    let ran = project.ratchet(&["eval", "--set", &nobody]);
    assert!(ran.code == 4 && ran.err.contains("check models.task.base_url"), "{}", ran.err);
}
