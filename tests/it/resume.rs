//! Runs that are killed, interrupted or started twice, through the real binary against the fake provider over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use prompt_ratchet::model::embedded::Embedded;
use prompt_ratchet::model::{BoxFuture, Call, CallError, Chat, Completion, Store};

use crate::fake::server::{Answers, Behaviour};
use crate::project::{Project, Provider, assert_same, ended, identity};
use crate::unattended::Hook;

/// Requests under way at once.
pub const CONCURRENCY: u64 = 4;

/// The embedded model, which says when it has been asked so often.
#[derive(Default)]
pub struct Counting {
    embedded: Embedded,
    asked: AtomicU64,
    alarm: Mutex<Option<Alarm>>,
}

struct Alarm {
    at: u64,
    ring: Sender<()>,
    /// What becomes of requests from then on.
    then: Then,
}

#[derive(Clone, Copy)]
pub enum Then {
    Answer,
    /// No answer, ever.
    Hold,
    /// Status 503.
    Fail,
}

impl Counting {
    /// Rings at the `after`-th request from now.
    pub fn alarm(&self, after: u64, then: Then) -> Receiver<()> {
        let (ring, rings) = channel();
        *self.alarm.lock().unwrap() = Some(Alarm { at: self.asked() + after, ring, then });
        rings
    }

    pub fn release(&self) {
        *self.alarm.lock().unwrap() = None;
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Counts a request; what is to become of it.
    fn count(&self) -> Then {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let alarm = self.alarm.lock().unwrap();
        let Some(alarm) = alarm.as_ref().filter(|alarm| asked >= alarm.at) else { return Then::Answer };
        let _ = alarm.ring.send(());
        alarm.then
    }
}

impl Chat for Counting {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        let then = self.count();
        Box::pin(async move {
            match then {
                Then::Answer => self.embedded.complete(call).await,
                Then::Hold => std::future::pending().await,
                Then::Fail => Err(CallError::Transient("overloaded".into())),
            }
        })
    }
}

/// A project whose model is a fake provider, and the run of it that nobody interrupted.
pub struct World {
    pub model: Arc<Counting>,
    pub provider: Provider,
    /// Seconds that calls under way are given at an interrupt.
    grace: u32,
    settings: String,
    calm: Project,
    /// Requests that it took.
    requests: u64,
}

impl World {
    pub fn new(settings: &str) -> Self {
        Self::with_grace(settings, 0)
    }

    pub fn with_grace(settings: &str, grace: u32) -> Self {
        Self::of(Project::new(), settings, grace)
    }

    /// `calm` is the project that nobody interrupts.
    pub fn of(calm: Project, settings: &str, grace: u32) -> Self {
        let model = Arc::<Counting>::default();
        let provider = Provider::start(Answers::Chat(model.clone()), Behaviour::default());
        let mut world = Self { model, provider, grace, settings: settings.to_owned(), calm, requests: 0 };
        let ran = ended(world.optimize(&world.calm).wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        world.requests = world.model.asked();
        world
    }

    /// What starts a run of `project`.
    pub fn command(&self, project: &Project) -> Command {
        let model =
            format!("models.task={{{}, {}, max_concurrency={CONCURRENCY}}}", self.provider.table(), self.settings);
        let grace = format!("grace_seconds={}", self.grace);
        let mut command = project.command(&["optimize", "--json", "--set", &model, "--set", &grace]);
        command.args(["--set", "models.task.retries=2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn optimize(&self, project: &Project) -> Child {
        self.command(project).spawn().unwrap()
    }

    /// The project whose run nobody interrupted.
    pub fn calm(&self) -> &Project {
        &self.calm
    }

    /// Answers that `project`'s run has paid for and that are durable.
    pub fn durable(&self, project: &Project) -> u64 {
        let store = Store::open(&project.path().join(".ratchet/responses.sqlite")).unwrap();
        let run = project.run();
        let paid = store.paid(run.file_name().unwrap().to_str().unwrap()).unwrap();
        paid.values().map(|paid| paid.calls).sum()
    }

    /// Requests that the run took that nobody interrupted.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Resumes `project`: it ends as the calm run did, and nothing that is durable is asked for again.
    pub fn assert_resumes(&self, project: &Project, id: &str) {
        self.model.release();
        let (durable, before) = (self.durable(project), self.model.asked());
        let ran = project.ratchet(&["resume", id, "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.json()["stopped"], "generations");
        assert_same(&identity(&self.calm.run()), &identity(&project.run()));
        assert_eq!(learned(project), learned(&self.calm));
        let (asked, missing) = (self.model.asked() - before, self.requests - durable);
        // What the killed process had sent may be counted late.
        assert!((missing..=missing + CONCURRENCY).contains(&asked), "{asked} requests for {missing} answers");
    }
}

/// What `project` has learned of strategies: once from each run, however often that was killed.
pub fn learned(project: &Project) -> serde_json::Value {
    let listed = project.ratchet(&["strategies", "--json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    listed.json()
}

pub fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Kills a run after each of `instants` requests, resuming it in between, then sees it to its end.
fn killed(world: &World, instants: &[u64]) {
    let project = Project::new();
    for (index, after) in instants.iter().enumerate() {
        let alarm = world.model.alarm(*after, Then::Answer);
        let mut child = if index == 0 { world.optimize(&project) } else { project.start(&["resume"]) };
        alarm.recv().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        world.model.release();
    }
    world.assert_resumes(&project, "last");
}

#[test]
fn a_killed_run_resumes_to_the_same_files_and_asks_again_only_what_was_under_way() {
    let world = World::new("deterministic=true");
    let last = world.requests - 1;
    for instants in [&[12][..], &[60], &[150, 100], &[last]] {
        killed(&world, instants);
    }
}

#[test]
fn a_killed_run_on_a_noisy_model_draws_no_sample_twice() {
    let world = World::new("deterministic=false");
    killed(&world, &[70, 200]);
}

#[test]
fn a_run_belongs_to_one_process_and_ctrl_c_says_how_to_go_on() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Hold);
    let first = world.optimize(&project);
    alarm.recv().unwrap();
    let second = project.ratchet(&["resume", "--json"]);
    assert_eq!(second.code, 4, "{}", second.err);
    let holder = format!("is held by pid {} on ", first.id());
    assert!(second.err.contains(&holder), "{}", second.err);

    interrupt(&first);
    let first = ended(first.wait_with_output().unwrap());
    assert_eq!((first.code, first.out.as_str()), (130, ""), "{}", first.err);
    let command = first.err.split("ratchet resume ").nth(1).expect("the command to go on with");
    let id = command.split_whitespace().next().unwrap();
    world.assert_resumes(&project, id);

    let files = project.files();
    let again = project.ratchet(&["resume", "--json"]);
    assert_eq!((again.code, again.out.as_str()), (2, ""));
    assert!(again.err.contains("is finished; there is nothing to resume"), "{}", again.err);
    assert!(project.files() == files, "a refused resume writes nothing");
}

#[test]
fn what_a_kill_left_half_written_is_cleared_and_what_it_kept_back_is_written() {
    let project = Project::new();
    assert_eq!(project.ratchet(&["optimize", "--quiet"]).code, 0);
    let run = project.run();
    let whole = identity(&run);
    let before = learned(&project);
    // Killed after its last decision, before the report was there.
    std::fs::remove_file(run.join("report.md")).unwrap();
    std::fs::remove_file(run.join("best.prompt")).unwrap();
    std::fs::write(run.join("generations/001/.ratchet-x1y2z3.tmp"), "half a fi").unwrap();
    let journal = run.join("journal.jsonl");
    let ran = project.ratchet(&["resume", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_same(&whole, &identity(&run));

    // Killed while a line was being written.
    let text = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &text[..text.len() * 2 / 3]).unwrap();
    std::fs::remove_file(run.join("report.md")).unwrap();
    let ran = project.ratchet(&["resume"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("was not written to its end and was cut off"), "{}", ran.err);
    assert_same(&whole, &identity(&run));
    assert_eq!(learned(&project), before);
}

#[test]
fn an_outage_that_lasts_too_long_stops_the_run_and_costs_nothing() {
    let world = World::new("deterministic=true, max_outage_seconds=0.2");
    let project = Project::new();
    let _alarm = world.model.alarm(20, Then::Fail);
    let halted = ended(world.optimize(&project).wait_with_output().unwrap());
    assert_eq!((halted.code, halted.out.as_str()), (4, ""), "{}", halted.err);
    assert!(halted.err.contains("overloaded") && halted.err.contains("ratchet resume"), "{}", halted.err);
    // The run goes by its snapshot: what became of the project's files in the meantime doesn't matter.
    project.write("prompts/library.prompty", "user:\nSomething else: {{ input }}\n");
    project.write("library.jsonl", "");
    world.assert_resumes(&project, "last");
    assert!(project.read("prompts/library.prompty").contains("Something else"));
}

#[test]
fn an_outage_that_ends_is_waited_out_and_changes_nothing() {
    let world = World::new("deterministic=true");
    let (project, hook) = (Project::new(), Hook::start());
    let _alarm = world.model.alarm(20, Then::Fail);
    let mut command = world.command(&project);
    command.args(["--set", &format!("notify.webhook='{}'", hook.address)]);
    let mut run = command.spawn().unwrap();
    // The provider comes back when the run has said that it waits, however long it took to notice.
    let mut told = String::new();
    for line in BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if line.contains("the task model's provider has been out for") {
            world.model.release();
        }
        told += &(line + "\n");
    }
    assert_eq!(run.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.contains("answers again after"), "{told}");
    assert_eq!(hook.events(), ["finished"], "one that is over in some seconds wakes nobody");
    assert_same(&identity(&world.calm.run()), &identity(&project.run()));
}
