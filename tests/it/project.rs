//! A small project in a folder of its own, the binary run in it, and the fake provider beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::CommandCargoExt;
use serde_json::{Value, json};

use crate::fake::server::{Answers, Behaviour, Server};

/// Messages to a town library, with the desk that answers them.
const ROWS: &str = "\
lending: how do i renew my books
lending: Can I borrow a novel and a dvd at once?
lending: my loan is due tomorrow and I'm not done reading
lending: returned the atlas late, is there a fine
lending: please reserve the new detective novel for me
lending: I lost a borrowed book on the train
lending: how many books may one take home
lending: the return box was full, I left two books beside it
lending: is the sequel out on loan or on the shelf?
lending: renewal failed, somebody else reserved the book
lending: i got a fine for a dvd i returned on monday!!
lending: Could my neighbour return the novels for me?
lending: when must the atlas be back
lending: the dvd is scratched, can i swap it
lending: extend my loan by a week please
lending: audiobook due today, no time to come in
lending: do you lend board games too
lending: fine of 3 euros, why? I renewed in time
lending: want to read the reserved comic here, not borrow it
lending: kindly hold the gardening book for my aunt
spaces: is the quiet room free on friday
spaces: We are six people and need a room with a projector
spaces: how long may our group keep the study room
spaces: the heating in room 4 does not work
spaces: book a room for our chess club please
spaces: Can I cancel the room for tuesday?
spaces: my booking shows the wrong hour
spaces: is there a whiteboard in the small room
spaces: we stood before a locked door at ten, room was ours
spaces: are snacks allowed in the study room
spaces: projector lamp broken again
spaces: i would like the big hall for a reading in may
spaces: do rooms cost anything on sundays
spaces: somebody sat in our booked room and would not leave
spaces: need a desk by the window for the afternoon
spaces: can the room be darkened for slides
spaces: Please move our booking from three to four
spaces: where is the key for the music room
spaces: too loud next door, could we change rooms
spaces: book club wants the same room every month
members: lost my card, what now
members: I moved house, here is my new address
members: how much is a card for a student
members: my pin is not accepted at the gate
members: Can my daughter get her own card? She is six
members: card expired last week
members: please delete my account and data
members: i forgot the password of my account
members: does the card work in the other town too
members: want to sign up, what do I need to bring
members: name on the card is misspelt
members: is membership free for pensioners
members: the gate does not read my card
members: two cards arrived, I only need one
members: how do i become a member
members: PIN letter never came
members: change my e-mail address please
members: can I pay the yearly fee in cash
members: signed up online but got no card
members: my account is blocked and I don't know why
";

pub const PROMPT: &str = "user:
Which desk answers this message?

- lending
- spaces
- members

Respond with only the name of the desk, nothing else.

Message: {{ input }}
";

const CONFIG: &str = r#"name = "library"
prompt = "prompts/library.prompty"
dataset = "library.jsonl"

[models.task]
provider = "embedded"

[[scorers]]
type = "exact_match"

[search]
generations = 2
proposals = 4
"#;

/// Files by path, with what is in them.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What the binary said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// A project in a temporary folder.
pub struct Project {
    pub folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        Self::inside(tempfile::tempdir().unwrap())
    }

    /// In memory where the system has a place for that: for tests that would wait for the disk most of the time.
    pub fn in_memory() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::inside(folder.unwrap())
    }

    fn inside(folder: tempfile::TempDir) -> Self {
        let project = Self { folder };
        project.write("ratchet.toml", CONFIG);
        project.write("prompts/library.prompty", PROMPT);
        project.write("library.jsonl", rows());
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, file: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("ratchet").unwrap();
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn ratchet(&self, arguments: &[&str]) -> Ran {
        ended(self.command(arguments).output().unwrap())
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// All files of the project.
    pub fn files(&self) -> Files {
        files(self.path())
    }

    /// The folders of its runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join("runs")).into_iter().flatten();
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
        runs.sort();
        runs
    }

    /// The folder of its only run.
    pub fn run(&self) -> PathBuf {
        let [run] = &self.runs()[..] else { panic!("{:?}", self.runs()) };
        run.clone()
    }
}

fn rows() -> String {
    let rows = ROWS.lines().enumerate().map(|(index, line)| {
        let (label, text) = line.split_once(": ").unwrap();
        json!({"id": format!("m{index:02}"), "input": text, "expected": label}).to_string() + "\n"
    });
    rows.collect()
}

pub fn ended(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files in `folder` and below, by path within it.
pub fn files(folder: &Path) -> Files {
    fn walk(root: &Path, folder: &Path, found: &mut Files) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = Files::new();
    walk(folder, folder, &mut found);
    found
}

/// What two runs of the same decisions share: all files of the run folder but what tells of its id, time and spending.
pub fn identity(run: &Path) -> Files {
    let mut files = files(run);
    for name in ["run.json", "spend.json", "lock"] {
        files.remove(Path::new(name));
    }
    let id = run.file_name().unwrap().to_string_lossy();
    let reports = [
        ("report.md", "## Spent", format!("Run `{id}` (")),
        ("report.html", "<h2>Spent</h2>", format!("<p>Run <code>{id}</code> (")),
    ];
    for (name, spent, own) in reports {
        let Some(report) = files.get_mut(Path::new(name)) else { continue };
        let text = String::from_utf8(std::mem::take(report)).unwrap();
        let (told, _) = text.split_once(spent).expect("the report ends with what was spent");
        *report = told.split_inclusive('\n').filter(|line| !line.starts_with(&own)).collect::<String>().into_bytes();
    }
    files
}

/// Says which files differ, instead of printing them.
pub fn assert_same(one: &Files, other: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    for (name, content) in one {
        let (left, right) = (String::from_utf8_lossy(content), String::from_utf8_lossy(&other[name]));
        if let Some((left, right)) = left.lines().zip(right.lines()).find(|(left, right)| left != right) {
            panic!("{}:\n  {left}\n  {right}", name.display());
        }
        assert_eq!(left.len(), right.len(), "{}", name.display());
    }
}

/// The fake provider, served by threads of its own.
pub struct Provider {
    pub server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Provider {
    pub fn start(answers: Answers, behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Server::start(0, answers, behaviour)).unwrap();
        Self { server, _runtime: runtime }
    }

    /// What belongs into `[models.task]` to use it.
    pub fn table(&self) -> String {
        openai(&self.server.base_url())
    }
}

/// What belongs into `[models.task]` to ask the model at `base_url`, once.
pub fn openai(base_url: &str) -> String {
    format!("provider='openai', model='tiny', base_url='{base_url}', retries=0")
}
