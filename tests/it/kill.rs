//! Runs that are killed at instants that are counted, not timed: when the provider has seen so many requests, and at the
//! n-th change of every kind of file that a run writes. Each goes on, ends as the run that nobody killed, and pays once
//! more for no more than what was under way.
//!
//! `tests/kill/killer.c` is loaded into the program and ends it; the C compiler that it takes is the one that SQLite's
//! source needs too.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use prompt_ratchet::model::{UNSTORED, Upkeep};
use prompt_ratchet::seed::generator;
use rand::RngExt;
use serde_json::Value;

use crate::project::{Files, Project, assert_same, ended, files, identity};
use crate::resume::{CONCURRENCY, Then, World, learned};

const SIGKILL: i32 = 9;

/// When a run is killed.
#[derive(Debug, Clone)]
enum Instant {
    /// When the provider has seen so many requests.
    Request(u64),
    /// At the `number`-th change of this kind; half way through, where it is torn.
    Change { kind: Kind, number: usize, torn: bool },
}

/// One kind of change: what is done, and to which files, as the killer takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    what: String,
    files: String,
}

/// The killer, built once.
struct Killer {
    library: PathBuf,
    _folder: tempfile::TempDir,
}

impl Killer {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("killer.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill/killer.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(compiler)
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success());
        Self { library, _folder: folder }
    }

    fn load<'c>(&self, command: &'c mut Command, project: &Project) -> &'c mut Command {
        command.env("LD_PRELOAD", &self.library).env("KILL_ROOT", project.path().canonicalize().unwrap())
    }

    /// Every kind of change that a run makes, with how often it does.
    fn kinds(&self, world: &World) -> BTreeMap<Kind, usize> {
        let project = Project::in_memory();
        let log = project.path().join("changes.log");
        let mut command = world.command(&project);
        let ran = ended(self.load(&mut command, &project).env("KILL_LOG", &log).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let mut kinds = BTreeMap::new();
        for line in std::fs::read_to_string(log).unwrap().lines() {
            let (what, path) = line.split_once(' ').unwrap();
            *kinds.entry(Kind { what: what.to_owned(), files: pattern(path) }).or_default() += 1;
        }
        kinds
    }
}

/// `path` with all that is another one in each run left open.
fn pattern(path: &str) -> String {
    let mut before = "";
    let parts = path.split('/').map(|part| {
        let open = match before {
            "runs" if part.ends_with("-library") => "*-library*",
            "candidates" => "??????????",
            "test" => "*",
            _ if part.starts_with(".ratchet-") => ".ratchet-*.tmp",
            _ => part,
        };
        before = part;
        open
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Instants of every kind: its first change, its last, and a random one in between, some of them torn; and random
/// requests.
fn instants(kinds: BTreeMap<Kind, usize>, requests: u64) -> Vec<Instant> {
    let mut random = generator(1, 0, "kills");
    let mut instants = Vec::new();
    for (kind, count) in kinds {
        // How often the store's file is written depends on how many answers come at a time.
        let sure = if kind.files.contains("responses") { count.div_ceil(2) } else { count };
        let mut numbers = vec![1, random.random_range(1..=sure), sure];
        numbers.dedup();
        let is_write = kind.what == "write";
        let torn = numbers.iter().rev().take(if is_write { 2 } else { 0 });
        let torn = torn.map(|number| Instant::Change { kind: kind.clone(), number: *number, torn: true });
        instants.extend(torn.collect::<Vec<_>>());
        instants.extend(numbers.iter().map(|number| Instant::Change {
            kind: kind.clone(),
            number: *number,
            torn: false,
        }));
    }
    instants.extend((0..16).map(|_| Instant::Request(random.random_range(1..requests))));
    instants
}

/// Starts a run of `project` and kills it at `instant`; whether it came to that.
fn killed(world: &World, killer: &Killer, project: &Project, instant: &Instant) -> bool {
    let mut command = world.command(project);
    let output = match instant {
        Instant::Request(number) => {
            let alarm = world.model.alarm(*number, Then::Answer);
            let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            alarm.recv().unwrap();
            // It may have come to its end by itself: then there is nothing to kill.
            let _ = run.kill();
            let status = run.wait().unwrap();
            world.model.release();
            Output { status, stdout: Vec::new(), stderr: Vec::new() }
        }
        Instant::Change { kind: Kind { what, files }, number, torn } => {
            let command = killer.load(&mut command, project).env("KILL_AT", format!("{number} {what} {files}"));
            if *torn { command.env("KILL_TORN", "1") } else { command }.output().unwrap()
        }
    };
    let is_killed = output.status.signal() == Some(SIGKILL);
    assert!(is_killed || output.status.success(), "{instant:?}: {}", String::from_utf8_lossy(&output.stderr));
    is_killed
}

/// The run that can be resumed; none where it was killed before it had begun.
fn begun(project: &Project) -> Option<PathBuf> {
    let begun: Vec<PathBuf> = project.runs().into_iter().filter(|run| run.join("run.json").is_file()).collect();
    assert!(begun.len() < 2, "{begun:?}");
    begun.into_iter().next()
}

/// What a project keeps beside its runs, without the runs' names: uses of the splits.
fn uses(project: &Project) -> Vec<Value> {
    let ledger: Value = serde_json::from_str(&project.read("runs/split-uses.json")).unwrap();
    let datasets = ledger["datasets"].as_object().unwrap().values();
    datasets.flat_map(|dataset| dataset["uses"].as_object().unwrap().values().cloned()).collect()
}

/// What a killed process left half written among the runs, but for a run that it hadn't begun.
fn leftovers(project: &Project) -> Vec<PathBuf> {
    let runs = project.path().join("runs");
    let is_half = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tmp");
    let is_begun = |path: &PathBuf| {
        let run = path.components().next().unwrap();
        path.components().count() == 1 || runs.join(run).join("run.json").is_file()
    };
    files(&runs).into_keys().filter(is_half).filter(is_begun).collect()
}

/// What `run` decided. Its own count of calls is left out: a run that is begun anew because the one before was killed
/// before its beginning finds answers that the other has paid for.
fn decided(run: &Path) -> Files {
    let mut files = identity(run);
    files.retain(|path, _| path.components().count() > 1 || path.starts_with("best.prompt"));
    files
}

/// Answers that are durable, whoever paid. Read from a copy: the resumed run is to find the file as the killed one left it.
fn durable(project: &Project) -> u64 {
    let copy = tempfile::tempdir().unwrap();
    for (path, content) in files(project.path()) {
        if let Ok(path) = path.strip_prefix(".ratchet") {
            std::fs::write(copy.path().join(path), content).unwrap();
        }
    }
    let Some(store) = Upkeep::open(&copy.path().join("responses.sqlite")).unwrap() else { return 0 };
    assert_eq!(store.verify().unwrap().problems, Vec::<String>::new());
    store.usage().unwrap().runs.iter().map(|run| run.answers).sum()
}

/// Kills one run and goes on with it; how many calls were under way at the kill, where it came to that.
fn survives(world: &World, killer: &Killer, instant: &Instant) -> Option<u64> {
    let project = Project::in_memory();
    let before = world.model.asked();
    if !killed(world, killer, &project, instant) {
        return None;
    }
    let (durable, asked) = (durable(&project), world.model.asked());
    let (ran, same): (_, fn(&Path) -> Files) = match begun(&project) {
        Some(_) => (project.ratchet(&["resume", "--json"]), identity),
        None => (ended(world.command(&project).output().unwrap()), decided),
    };
    // Killed after its last file, it is finished.
    assert!(ran.code == 0 || ran.err.contains("is finished"), "{instant:?}: {}", ran.err);
    let run = begun(&project).unwrap();
    // What a failure below is about.
    println!("{instant:?}");
    assert_same(&same(&world.calm().run()), &same(&run));
    assert_eq!((learned(&project), uses(&project)), (learned(world.calm()), uses(world.calm())), "{instant:?}");
    assert_eq!(leftovers(&project), Vec::<PathBuf>::new(), "{instant:?}");
    // Nothing durable is asked for again. What the killed process had sent may be counted late.
    let (again, missing) = (world.model.asked() - asked, world.requests() - durable);
    assert!((missing..=missing + CONCURRENCY).contains(&again), "{instant:?}: {again} requests for {missing} answers");
    let under_way = world.model.asked() - before - world.requests();
    assert!(under_way <= CONCURRENCY + UNSTORED as u64, "{instant:?}: {under_way} calls were asked for twice");
    Some(under_way)
}

/// Kills at each of the instants that `choose` leaves, two at a time; how often it came to that.
fn kills(choose: impl Fn(Vec<Instant>) -> Vec<Instant>) -> usize {
    let worlds = [(), ()].map(|()| World::of(Project::in_memory(), "deterministic=true", 0));
    let killer = Killer::build();
    let instants = choose(instants(killer.kinds(&worlds[0]), worlds[0].requests()));
    let (next, under_way) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for world in &worlds {
            scope.spawn(|| {
                while let Some(instant) = instants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let survived = survives(world, &killer, instant);
                    under_way.lock().unwrap().extend(survived);
                }
            });
        }
    });
    let under_way = under_way.into_inner().unwrap();
    let (sum, most) = (under_way.iter().sum::<u64>(), under_way.iter().max().unwrap());
    println!("{} kills; asked for twice: {sum} calls, at most {most} a kill", under_way.len());
    under_way.len()
}

#[test]
fn a_run_that_is_killed_at_any_write_or_request_ends_like_one_that_was_not() {
    // Some of them; the next test takes all.
    let done = kills(|instants| {
        let step = instants.len() / 14;
        instants.into_iter().step_by(step).collect()
    });
    assert!(done >= 12, "{done} kills");
}

#[test]
#[ignore = "takes a minute; `.ci/run` does it"]
fn a_run_that_is_killed_at_every_kind_of_write_ends_like_one_that_was_not() {
    let done = kills(|instants| instants);
    assert!(done >= 50, "{done} kills");
}
