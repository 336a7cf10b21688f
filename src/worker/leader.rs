//! A process that we start, and what it starts itself: [`Leader`].

#[cfg(unix)]
use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
#[cfg(unix)]
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// The groups that live, by number.
#[cfg(unix)]
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A process that leads a group of its own: Ctrl-C reaches us alone, and whatever it has started (the program behind a
/// shell, a pool, a browser) ends with it, rather than to hold its pipes open or to pile up over a night. What has left
/// the group is on its own. Dropping it kills all of it.
///
/// Where there are no process groups (Windows), the process alone is killed.
#[derive(Debug)]
pub struct Leader {
    child: Child,
    /// The group, while it is certain that the number is still its own.
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
}

impl Leader {
    /// Starts `command`.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn start(command: &mut Command) -> io::Result<Leader> {
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn()?;
        #[cfg(unix)]
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        #[cfg(unix)]
        if let Some(group) = group {
            GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(group.as_raw_nonzero().get());
        }
        Ok(Leader {
            child,
            #[cfg(unix)]
            group,
        })
    }

    /// Kills all that live, for who ends the process without dropping them.
    pub fn end_all() {
        #[cfg(unix)]
        for group in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(group) = rustix::process::Pid::from_raw(*group) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        }
    }

    /// Its pipes, where they were asked for and not yet taken.
    pub fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits for its end, and ends what it leaves behind. May be called again, and be given up at any time.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.end_group();
        status
    }

    fn end_group(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.group.take() {
            GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&group.as_raw_nonzero().get());
            // Mostly nothing is left of it.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.end_group();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Stdio;

    use tokio::io::AsyncReadExt;

    use super::*;

    fn shell(script: &str) -> (Leader, ChildStdout) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut leader = Leader::start(&mut command).unwrap();
        let (_, stdout, _) = leader.pipes();
        (leader, stdout.unwrap())
    }

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        let (mut leader, mut stdout) = shell("sleep 1000 & echo done; exit 3");
        assert_eq!(leader.wait().await.unwrap().code(), Some(3));
        let mut text = String::new();
        // Ends as soon as nobody holds the pipe any more.
        stdout.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "done\n");
        assert_eq!(leader.wait().await.unwrap().code(), Some(3), "may be asked again");
    }

    #[tokio::test]
    async fn dropping_it_ends_what_it_has_started_too() {
        let (leader, mut stdout) = shell("sh -c 'echo up; sleep 1000; true'; true");
        let mut byte = [0];
        stdout.read_exact(&mut byte).await.unwrap();
        drop(leader);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "p\n");
    }
}
