//! Rows that the provider never answers, though it answers all others: they are missing, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion};

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider, assert_same, ended, identity};
use crate::resume::{Counting, Then};

/// Inputs of the rows that the provider fails on, whatever the prompt.
const POISON: [&str; 5] = [
    "how do i renew my books",
    "is the quiet room free on friday",
    "lost my card, what now",
    "PIN letter never came",
    "my account is blocked and I don't know why",
];

/// Few, so that nobody waits for long.
const RETRIES: &str = "models.task.retries=1";

/// The embedded model, but for these rows.
#[derive(Default)]
struct Poisoned(Counting);

impl Chat for Poisoned {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let asked = call.request.messages.last().map_or("", |message| message.content.trim_end());
        if POISON.iter().any(|text| asked.ends_with(text)) {
            return Box::pin(async { Err(CallError::Transient("it chokes on this".to_owned())) });
        }
        self.0.complete(call)
    }
}

struct World {
    model: Arc<Poisoned>,
    provider: Provider,
}

impl World {
    fn new() -> Self {
        let model = Arc::<Poisoned>::default();
        let provider = Provider::start(Answers::Chat(model.clone()), Behaviour::default());
        Self { model, provider }
    }

    /// The setting of the task's model.
    fn setting(&self) -> String {
        format!(
            "models.task={{{}, deterministic=true, max_concurrency=8, max_outage_seconds=120}}",
            self.provider.table()
        )
    }
}

#[test]
fn rows_that_always_fail_are_missing_from_an_evaluation_and_from_the_next_one() {
    let (world, project) = (World::new(), Project::new());
    for paid in [55, 0] {
        let ran = project.ratchet(&["eval", "--split", "all", "--json", "--set", &world.setting(), "--set", RETRIES]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let told = ran.json();
        assert_eq!((&told["examples"], &told["errors"]), (&55.into(), &5.into()), "{told}");
        assert_eq!(told["calls"], paid, "{told}");
    }
}

#[test]
fn a_run_goes_on_without_rows_that_always_fail_and_so_does_one_that_was_killed() {
    let world = World::new();
    let (calm, killed) = (Project::new(), Project::new());
    let setting = world.setting();
    let optimize = ["optimize", "--json", "--set", &setting, "--set", RETRIES];
    let ran = calm.ratchet(&optimize);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let journal = calm.read(calm.run().join("journal.jsonl"));
    assert!(journal.contains("row_failed") && journal.contains("it chokes on this"), "{journal}");

    let alarm = world.model.0.alarm(70, Then::Answer);
    let mut run = killed.start(&optimize);
    alarm.recv().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    world.model.0.release();
    let ran = ended(killed.command(&["resume", "last", "--json"]).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_same(&identity(&calm.run()), &identity(&killed.run()));
}

#[cfg(unix)]
#[test]
fn a_program_that_dies_of_some_rows_is_asked_for_the_others() {
    let project = Project::new();
    let text = POISON.join("\\|");
    project.write(
        "model.sh",
        format!("read -r line\necho \"$line\" | grep -q \"{text}\" && kill -SEGV $$\necho lending\n"),
    );
    let model = "models.task={provider='command', run=['sh', 'model.sh'], retries=1}";
    let ran = project.ratchet(&["eval", "--split", "all", "--json", "--set", model]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["errors"], 5, "{}", ran.out);
}

/// The embedded model, which refuses long prompts, and all from some request on.
#[derive(Default)]
struct Limited {
    model: Counting,
    /// Longest prompt in bytes.
    longest: AtomicUsize,
    /// How many requests it still takes.
    left: AtomicUsize,
}

impl Limited {
    fn new(longest: usize, left: usize) -> Arc<Self> {
        Arc::new(Self { longest: longest.into(), left: left.into(), ..Self::default() })
    }
}

impl Chat for Limited {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let length: usize = call.request.messages.iter().map(|message| message.content.len()).sum();
        let is_over = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if is_over {
            return Box::pin(async { Err(CallError::Rejected("no budget at the gateway".to_owned())) });
        }
        // A proposer's request is long, and answered.
        if length > self.longest.load(Ordering::SeqCst) && !call.request.messages[0].content.contains("edits") {
            return Box::pin(async { Err(CallError::Rejected("beyond the context".to_owned())) });
        }
        self.model.complete(call)
    }
}

fn of_limited(provider: &Provider) -> String {
    format!("models.task={{{}, deterministic=true, max_concurrency=4}}", provider.table())
}

#[test]
fn a_candidate_that_the_model_can_not_answer_is_dropped_and_the_run_goes_on() {
    let model = Limited::new(500, usize::MAX);
    let provider = Provider::start(Answers::Chat(model), Behaviour::default());
    let project = Project::in_memory();
    let ran = project.ratchet(&["optimize", "--json", "--set", &of_limited(&provider)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let journal = project.read(project.run().join("journal.jsonl"));
    assert!(journal.contains("\"could_not_run\":\"the provider refused"));
    let report = project.read(project.run().join("report.md"));
    assert!(report.contains("the model could not answer it: the provider refused"), "{report}");
    assert!(ran.err.contains("the model could not answer it"), "{}", ran.err);
}

#[test]
fn a_provider_that_refuses_all_from_some_moment_on_halts_the_run_which_goes_on_to_the_same_files() {
    let model = Limited::new(usize::MAX, usize::MAX);
    let provider = Provider::start(Answers::Chat(model.clone()), Behaviour::default());
    let (setting, whole) = (of_limited(&provider), Project::in_memory());
    assert_eq!(whole.ratchet(&["optimize", "--set", &setting]).code, 0);
    for left in [70, 100] {
        model.left.store(left, Ordering::SeqCst);
        let project = Project::in_memory();
        let ran = project.ratchet(&["optimize", "--set", &setting]);
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert!(ran.err.contains("no budget at the gateway") && ran.err.contains("ratchet resume"), "{}", ran.err);
        model.left.store(usize::MAX, Ordering::SeqCst);
        let ran = project.ratchet(&["resume"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_same(&identity(&whole.run()), &identity(&project.run()));
    }
}
