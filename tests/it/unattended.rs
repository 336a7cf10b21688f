//! What people and machines learn of a run that is left alone, and what becomes of it when its surroundings fail.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use prompt_ratchet::model::embedded::Embedded;
use serde_json::Value;

use crate::fake::server::{Answers, Behaviour, Fault, Rates};
use crate::project::{Project, Provider, assert_same, ended, identity};
use crate::resume::{Then, World, interrupt};

#[test]
fn a_run_in_another_process_is_seen_while_it_goes_on_and_after_it_was_stopped() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(30, Then::Hold);
    let mut run = world.optimize(&project);
    alarm.recv().unwrap();
    let status = |project: &Project| project.ratchet(&["status", "--json"]).json();
    let seen = status(&project);
    assert_eq!(seen["state"], "running");
    assert!(seen["holder"].as_str().unwrap().starts_with(&format!("pid {} on ", run.id())), "{seen}");
    // Not even by force: the run would not know of it.
    let refused = project.ratchet(&["store", "forget", "--run", "last", "--force"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("is going on (pid "), "{}", refused.err);
    interrupt(&run);
    run.wait().unwrap();
    let seen = status(&project);
    assert_eq!((&seen["state"], &seen["holder"]), (&"halted".into(), &serde_json::Value::Null), "{seen}");
    let told = project.ratchet(&["status"]);
    assert!(told.out.contains("stopped before its end: interrupted") && told.out.contains("ratchet resume "));
    world.assert_resumes(&project, "last");
    assert_eq!(status(&project)["state"], "finished");
    assert!(!project.run().join("live.json").exists());
}

#[test]
fn answers_that_an_unfinished_run_rests_on_are_not_forgotten_by_accident() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Answer);
    let mut run = world.optimize(&project);
    alarm.recv().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    world.model.release();
    let store = project.ratchet(&["store", "--json"]).json();
    assert_eq!(store["runs"][0]["state"], "unfinished");
    let forget = ["store", "forget", "--run", "last"];
    let refused = project.ratchet(&forget);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("unfinished run ") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(project.ratchet(&["store", "--json"]).json()["answers"], store["answers"]);
    world.assert_resumes(&project, "last");

    // Now that the run is finished, its answers may go; another one pays again.
    let forgot = ended(project.command(&[&forget[..], &["--json"]].concat()).output().unwrap()).json();
    assert!(forgot["forgotten"].as_u64().unwrap() > 100, "{forgot}");
    assert_eq!(project.ratchet(&["store", "--json"]).json()["answers"], 0);
    assert_eq!(project.ratchet(&["store", "verify"]).out.lines().count(), 1);
}

/// A key that must never be seen.
const SECRET: &str = "sk-planted-5e3a91c0ffee";

/// One that an address changes on its way.
const TOO: &str = "t0k planted/\u{e9}\"x\"";

/// Repeats what it was sent in an error, now and then: as some gateways do.
fn parrot() -> Provider {
    let echo =
        format!(r#"{{"error": {{"message": "bad key {SECRET}, Authorization: Bearer {SECRET}", "type": "x"}}}}"#);
    let rates = Rates(vec![(0.03, Fault::Raw(400, echo.clone())), (0.05, Fault::Raw(500, echo))]);
    Provider::start(Answers::Chat(Arc::<Embedded>::default()), Behaviour { rates, ..Behaviour::default() })
}

#[test]
fn a_secret_is_in_nothing_that_is_written_or_said() {
    let provider = parrot();
    let project = Project::new();
    // The key is a header, and the path would hold another: it is not found, nor shown.
    let setting = format!("models.task={{{}, api_key_env='PLANTED'}}", provider.table());
    let beside = "models.task.base_url='http://127.0.0.1:9/${PLANTED_TOO}/v1'";
    let nowhere = setting.replace("/v1'", "/${PLANTED_TOO}/v1'");
    assert_ne!(nowhere, setting);
    let mut said = String::new();
    for (command, code) in [
        (&["optimize", "--progress", "json", "--set", "search.generations=1", "--set", &setting][..], 0),
        (&["report", "--markdown"], 0),
        (&["report", "--json"], 0),
        (&["status", "--json"], 0),
        (&["store", "--json"], 0),
        (&["runs", "--json"], 0),
        (&["eval", "--worst", "99", "--set", &setting], 0),
        (&["optimize", "--set", &setting, "--set", "models.task.base_url=http://127.0.0.1:9/v1"], 4),
        (&["optimize", "--set", &setting, "--set", beside], 4),
        (&["eval", "--set", &nowhere], 2),
        (&["doctor", "--set", &nowhere], 2),
    ] {
        let mut command = project.command(command);
        let ran =
            ended(command.env("PLANTED", SECRET).env("PLANTED_TOO", TOO).env("RUST_LOG", "trace").output().unwrap());
        assert_eq!(ran.code, code, "{}", ran.err);
        said += &ran.out;
        said += &ran.err;
    }
    assert_eq!(provider.server.last().unwrap().authorization.unwrap(), format!("Bearer {SECRET}"));
    assert!(said.contains("[key]") || project.read(project.run().join("journal.jsonl")).contains("[key]"), "no echo");
    assert!(said.contains("latency_ms") && said.contains("role") && said.contains("\"http\""), "no log");
    assert!(!said.contains(SECRET) && said.contains("127.0.0.1:9/${PLANTED_TOO}/v1"), "{said}");
    assert!(!said.contains("t0k") && !said.contains("%C3%A9"), "{said}");
    assert!(said.lines().filter(|line| line.contains("latency_ms")).all(|line| !line.contains("renew")), "no bodies");
    for (path, content) in project.files() {
        let found = content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn stderr_is_json_lines_for_machines_to_the_last_one() {
    let project = Project::new();
    let lines = |arguments: &[&str]| -> (i32, Vec<Value>) {
        let mut command = project.command(arguments);
        let ran = ended(command.env("RUST_LOG", "info").output().unwrap());
        (ran.code, ran.err.lines().map(|line| serde_json::from_str(line).expect(line)).collect())
    };
    let (code, told) = lines(&["optimize", "--progress", "json"]);
    assert_eq!(code, 0);
    let of = |kind: &str| told.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((of("begin"), of("run_started"), of("baseline_measured"), of("run_ended")), (1, 1, 1, 1));
    assert!(of("progress") > 2 && told.iter().all(|line| line["v"] == 1 || line["level"] == "INFO"));
    let run = project.run().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(told.iter().find(|line| line["type"] == "begin").unwrap()["run"], run);
    let (code, told) = lines(&["optimize", "--progress", "json", "--set", "search.generations=0"]);
    assert_eq!((code, &told[0]["type"], &told[0]["exit"]), (2, &"error".into(), &2.into()));
    // Silence but for what went wrong.
    let ran = project.ratchet(&["optimize", "--progress", "none", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

/// A server that takes what it is posted.
pub struct Hook {
    pub address: String,
    posted: Arc<Mutex<Vec<Value>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Hook {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let posted = Arc::<Mutex<Vec<Value>>>::default();
        let take = |State(posted): State<Arc<Mutex<Vec<Value>>>>, body: Bytes| async move {
            posted.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        };
        let app = axum::Router::new().route("/hook-5e3a", post(take)).with_state(Arc::clone(&posted));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}/hook-5e3a", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, posted, _runtime: runtime }
    }

    /// What was told, in order.
    pub fn events(&self) -> Vec<String> {
        self.posted.lock().unwrap().iter().map(|told| told["event"].as_str().unwrap().to_owned()).collect()
    }

    fn last(&self) -> Value {
        self.posted.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

#[test]
fn a_webhook_is_told_how_a_run_ended_and_never_ends_one() {
    let hook = Hook::start();
    let project = Project::new();
    let config = project.read("ratchet.toml") + "\n[notify]\nwebhook_env = 'HOOK'\n";
    project.write("ratchet.toml", config);
    let unset = project.ratchet(&["optimize"]);
    assert_eq!(unset.code, 2);
    assert!(unset.err.contains("notify.webhook_env") && unset.err.contains("HOOK"), "{}", unset.err);

    let run = |hook: &str, arguments: &[&str]| ended(project.command(arguments).env("HOOK", hook).output().unwrap());
    let down = "models.task={provider='openai', model='m', base_url='http://127.0.0.1:9/v1'}";
    assert_eq!(run(&hook.address, &["optimize", "--set", down]).code, 4);
    let told = hook.last();
    assert_eq!(
        (&told["event"], &told["reason"]),
        (&"failed".into(), &"the provider can't be reached".into()),
        "{told}"
    );

    assert_eq!(run(&hook.address, &["optimize", "--json"]).code, 0);
    let told = hook.last();
    let id = project.run().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!((&told["event"], &told["run"], &told["v"]), (&"finished".into(), &Value::from(id), &1.into()));
    assert_eq!(told["result"]["stopped"], "generations");
    for (path, content) in project.files() {
        assert!(!String::from_utf8_lossy(&content).contains("hook-5e3a"), "{}", path.display());
    }

    let ran = run("http://127.0.0.1:9/hook-5e3a", &["optimize", "--json", "--set", "search.generations=1"]);
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("the webhook was not told: can't be reached") && !ran.err.contains("hook-5e3a"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_ends_the_same_where_nobody_takes_what_it_says() {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(std::fs::File::create("/dev/full").unwrap());
    let run = |stdout: Stdio, stderr: Stdio, code: i32| {
        let project = Project::new();
        let mut command = project.command(&["optimize", "--set", "search.generations=1"]);
        let status = command.env("RUST_LOG", "debug").stdout(stdout).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(code), "{status}");
        identity(&project.run())
    };
    let calm = run(Stdio::null(), Stdio::null(), 0);
    assert_same(&calm, &run(Stdio::null(), full(), 0));
    assert_same(&calm, &run(gone(), gone(), 0));
    assert_same(&calm, &run(full(), full(), 4));
}

/// Reads stderr until the run says that it is stopping.
fn is_stopping(run: &mut Child) {
    let lines = BufReader::new(run.stderr.take().unwrap()).lines();
    let mut stopping =
        lines.map_while(Result::ok).filter(|line| line.contains("once more stops at once; ratchet resume "));
    assert!(stopping.next().is_some());
}

#[test]
fn a_second_signal_ends_a_run_at_once_and_it_can_be_resumed() {
    let world = World::with_grace("deterministic=true", 600);
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Hold);
    let mut run = world.optimize(&project);
    alarm.recv().unwrap();
    interrupt(&run);
    is_stopping(&mut run);
    assert_eq!(run.try_wait().unwrap(), None, "what is under way is waited for");
    // Those calls are given ten minutes.
    interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    world.assert_resumes(&project, "last");
}

#[test]
fn a_run_whose_folder_is_gone_is_not_said_to_go_on() {
    let world = World::new("deterministic=true");
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Hold);
    let run = world.optimize(&project);
    alarm.recv().unwrap();
    std::fs::remove_dir_all(project.run()).unwrap();
    interrupt(&run);
    let ran = ended(run.wait_with_output().unwrap());
    assert!(ran.err.contains(" is gone, so it can't go on"), "{}", ran.err);
    assert!(!ran.err.contains("can go on from here"), "{}", ran.err);
}

#[test]
fn what_is_under_way_at_a_signal_is_kept_where_it_ends_in_time() {
    let world = World::with_grace("deterministic=true", 600);
    let project = Project::new();
    let alarm = world.model.alarm(60, Then::Answer);
    let run = world.optimize(&project);
    alarm.recv().unwrap();
    assert!(std::process::Command::new("kill").arg(run.id().to_string()).status().unwrap().success());
    let ran = ended(run.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.err);
    // A request that nobody waits for any more is one that is paid for twice.
    let (asked, kept) = (world.model.asked() - world.requests(), world.durable(&project));
    assert_eq!(asked, kept);
    world.assert_resumes(&project, "last");
}

/// Runs `arguments` where no file can grow beyond so many blocks of 512 bytes: a disk that is full.
fn on_a_full_disk(project: &Project, blocks: u32, arguments: &str) -> crate::project::Ran {
    let binary = project.command(&[]).get_program().to_owned();
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {arguments}");
    let mut shell = std::process::Command::new("sh");
    ended(shell.current_dir(project.path()).arg("-c").arg(script).arg(binary).output().unwrap())
}

#[test]
fn a_full_disk_stops_a_run_that_goes_on_to_the_same_end_once_there_is_room() {
    let (calm, project) = (Project::new(), Project::new());
    assert_eq!(calm.ratchet(&["optimize", "--quiet"]).code, 0);
    // Enough to begin, and too little for the store.
    let stopped = on_a_full_disk(&project, 300, "optimize");
    assert_eq!(stopped.code, 4, "{}", stopped.err);
    assert!(stopped.err.contains("ratchet resume ") && stopped.err.contains("responses.sqlite"), "{}", stopped.err);
    assert_eq!(project.ratchet(&["status", "--json"]).json()["state"], "halted");
    assert_eq!(project.ratchet(&["resume", "--quiet"]).code, 0);
    assert_same(&identity(&calm.run()), &identity(&project.run()));
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    let project = Project::new();
    let junk = "no database at all\n".repeat(100);
    project.write(".ratchet/responses.sqlite", &junk);
    for arguments in [&["optimize"][..], &["eval"], &["store"], &["store", "verify"]] {
        let ran = project.ratchet(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("responses.sqlite") && ran.err.contains("move it away"), "{}", ran.err);
    }
    assert_eq!(project.read(".ratchet/responses.sqlite"), junk);
    assert!(project.runs().is_empty());
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named_before_anything_is_paid_for_twice() {
    let project = Project::new();
    // A file where the folder should be: refused also to those whom permissions don't bind.
    project.write("runs", "in the way");
    let ran = project.ratchet(&["optimize"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{}", ran.err);
    assert!(ran.err.contains("runs") && ran.err.contains("move it away"), "{}", ran.err);
    std::fs::remove_file(project.path().join("runs")).unwrap();
    assert_eq!(project.ratchet(&["optimize", "--quiet"]).code, 0);
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_to_write_is_named_and_a_run_begins_once_it_is_given() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let project = Project::new();
    let permit = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Permissions don't bind root, who becomes somebody else for this; the program must be where that one can get at it.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let program = project.path().join("ratchet");
    std::fs::copy(project.command(&[]).get_program(), &program).unwrap();
    permit(&program, 0o755);
    permit(project.path(), 0o555);
    let optimize = || {
        let mut command = std::process::Command::new(&program);
        command.current_dir(project.path()).arg("optimize");
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        ended(command.output().unwrap())
    };
    let ran = optimize();
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{}", ran.err);
    assert!(ran.err.contains("runs") && ran.err.contains("permission"), "{}", ran.err);
    // The store may be written, the runs may not: nothing is paid for.
    for folder in [".ratchet", "runs"] {
        permit(project.path(), 0o755);
        std::fs::create_dir(project.path().join(folder)).unwrap();
    }
    permit(&project.path().join(".ratchet"), 0o777);
    permit(&project.path().join("runs"), 0o555);
    let ran = optimize();
    assert_eq!((ran.code, project.runs().len()), (4, 0), "{}", ran.err);
    assert!(ran.err.contains("permission") || ran.err.contains("Permission"), "{}", ran.err);
    permit(&project.path().join("runs"), 0o777);
    permit(project.path(), 0o777);
    let ran = optimize();
    assert_eq!((ran.code, project.runs().len()), (0, 1), "{}", ran.err);
}
