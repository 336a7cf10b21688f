//! Signals where programs are at work: with Ctrl-C and SIGTERM a command ends and takes them along, a terminal that is closed
//! (SIGHUP) ends nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::project::Project;

/// A project with a program that never answers. It holds a pipe open for as long as it or its child lives.
fn project() -> Project {
    let project = Project::new();
    project.write("hang.sh", "exec 9>up\nread -r line\necho up >&9\nsleep 1000\n");
    let made = Command::new("mkfifo").arg(project.path().join("up")).status().unwrap();
    assert!(made.success());
    project
}

/// Reads up to where the program has got its row.
fn at_work(project: &Project) -> BufReader<File> {
    let mut pipe = BufReader::new(File::open(project.path().join("up")).unwrap());
    pipe.read_line(&mut String::new()).unwrap();
    pipe
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether the program and its child are gone: returns as soon as they are.
fn has_ended(mut pipe: impl Read) -> bool {
    pipe.read_to_end(&mut Vec::new()).is_ok()
}

#[test]
fn an_interrupt_does_not_wait_for_a_scorer() {
    for command in ["eval", "optimize"] {
        let project = project();
        let mut child = project.start(&[command, "--set", "scorers=[{type='command', run=['sh', 'hang.sh']}]"]);
        let pipe = at_work(&project);
        signal(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command}");
        assert!(has_ended(pipe));
    }
}

#[test]
fn a_second_interrupt_ends_programs_too() {
    let project = project();
    let target = ["target.command=['sh', 'hang.sh']", "target.workers=1"];
    let mut child = project.start(&["eval", "--set", target[0], "--set", target[1]]);
    let pipe = at_work(&project);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    signal(&child, Signal::INT);
    assert!(said.any(|line| line.unwrap().starts_with("stopping")));
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(has_ended(pipe));
}

#[test]
fn a_closed_terminal_ends_no_run() {
    let project = Project::new();
    project.write(
        "wait.sh",
        "echo up > up\nread -r go < go\nwhile read -r line; do id=${line#*:}; \
         printf '{\"id\": %s, \"output\": \"lending\"}\\n' \"${id%%,*}\"; done\n",
    );
    let made = Command::new("mkfifo").args(["up", "go"]).current_dir(project.path()).status().unwrap();
    assert!(made.success());
    let target = ["target.command=['sh', 'wait.sh']", "target.workers=1"];
    let mut child = project.start(&["eval", "--set", target[0], "--set", target[1]]);
    at_work(&project);
    signal(&child, Signal::HUP);
    std::fs::write(project.path().join("go"), "go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
