//! Stepping through the hunks on a terminal, one key each.

use std::path::Path;
use std::process::Command;

use console::{Key, Term};
use prompt_ratchet::report::wrapped;
use prompt_ratchet::review::{Choice, Choices, Hunk, HunkId, changed_rows};

use super::super::exit::{Exit, Failure};
use super::super::paint::Paint;
use super::super::plain::pages;
use super::super::report::{print, screen_width};
use super::{Session, screen};

const KEYS: &str = "  a accept   take the hunk as it is
  r reject   leave it out, with those that build on it
  e edit     change its text in $VISUAL or $EDITOR
  s show     the rows that the revision changed
  m more     the next page of a hunk that is longer than the screen
  u undo     take the last choice back
  q quit     leave; `ratchet review` goes on from here
";

/// What a key asks for.
enum Ask {
    Accept,
    Reject,
    Edit,
    Show,
    More,
    Undo,
    Quit,
    Interrupt,
    Finish,
    Help,
}

/// How stepping through ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// No hunk is open, and that was confirmed.
    Finished,
    /// The user left, to go on another time.
    Left(Exit),
}

/// Asks for every open hunk until none is open and that is confirmed, or until the user leaves. Each choice is on disk
/// before the next is asked for.
pub fn walk(session: &mut Session) -> Result<Ended, Failure> {
    let term = Term::stdout();
    let mut steps = Steps { term: &term, rows: None };
    loop {
        let open = session.open_hunks();
        let ended = match open.first() {
            Some(id) => steps.choose(session, *id)?,
            None => steps.confirm(session)?,
        };
        if let Some(ended) = ended {
            return Ok(ended);
        }
    }
}

struct Steps<'a> {
    term: &'a Term,
    /// Rows of the revision at hand: its generation, the pages of them, which is next.
    rows: Option<(u32, Vec<String>, usize)>,
}

impl Steps<'_> {
    /// Shows one hunk and takes keys until it has a choice, or something else is to be shown.
    fn choose(&mut self, session: &mut Session, id: HunkId) -> Result<Option<Ended>, Failure> {
        let Some((_, hunk)) = session.revisions.hunk(id) else { return Ok(Some(Ended::Left(Exit::Done))) };
        let hunk = hunk.clone();
        if let Some((_, _, next)) = &mut self.rows {
            *next = 0;
        }
        let pages = pages(&screen::hunk(session, id), self.height(), 'm');
        let mut page = 0;
        print(&pages[page])?;
        let more = if pages.len() > 1 { "m more, " } else { "" };
        let question = format!("a accept, r reject, e edit, s show rows, {more}u undo, q quit, ? help: ");
        loop {
            let chosen = match self.ask(&question)? {
                Ask::Accept => self.accept(session, id)?,
                Ask::Reject => self.take(session, id, Choice::Reject)?,
                Ask::Edit => self.edit(session, &hunk)?,
                Ask::Show => {
                    self.show(session, id)?;
                    false
                }
                Ask::More => {
                    page = (page + 1) % pages.len();
                    print(&pages[page])?;
                    false
                }
                Ask::Undo => self.undo(session)?,
                Ask::Quit => return Ok(Some(Ended::Left(Exit::Done))),
                Ask::Interrupt => return Ok(Some(Ended::Left(Exit::Interrupted))),
                Ask::Help | Ask::Finish => {
                    print(KEYS)?;
                    false
                }
            };
            if chosen {
                return Ok(None);
            }
        }
    }

    /// All hunks have a choice: the last chance to take one back.
    fn confirm(&mut self, session: &mut Session) -> Result<Option<Ended>, Failure> {
        print(&format!("\n{}\n", screen::list(session)))?;
        loop {
            match self.ask("Enter finish, u undo, q quit: ")? {
                Ask::Finish => return Ok(Some(Ended::Finished)),
                Ask::Undo => {
                    self.undo(session)?;
                    return Ok(None);
                }
                Ask::Quit => return Ok(Some(Ended::Left(Exit::Done))),
                Ask::Interrupt => return Ok(Some(Ended::Left(Exit::Interrupted))),
                _ => {}
            }
        }
    }

    fn accept(&self, session: &mut Session, id: HunkId) -> Result<bool, Failure> {
        if let Some((blocked, in_the_way)) = session.revisions.hindered(&session.review.choices(), id) {
            self.say(&screen::hindered(&blocked, &in_the_way))?;
            return Ok(false);
        }
        session.choose(Choices::from([(id, Choice::Accept)]))?;
        Ok(true)
    }

    /// Makes a choice that may take other hunks with it; asks first where it does.
    fn take(&self, session: &mut Session, id: HunkId, choice: Choice) -> Result<bool, Failure> {
        let lost = session.revisions.lost_by(&session.review.choices(), id, &choice);
        if let Some(own) = lost.iter().find(|blocked| blocked.id == id && choice != Choice::Reject) {
            self.say(&format!("Not taken: {}", own.reason))?;
            return Ok(false);
        }
        let others: Vec<HunkId> = lost.iter().map(|blocked| blocked.id).filter(|other| *other != id).collect();
        if !others.is_empty() {
            self.say(&format!("This also rejects {}, which can't be made then.", screen::listed(&others)))?;
            if !self.is_sure("Reject all of these? y yes, n no: ")? {
                return Ok(false);
            }
        }
        let mut choices: Choices = others.into_iter().map(|other| (other, Choice::Reject)).collect();
        choices.insert(id, choice);
        session.choose(choices)?;
        Ok(true)
    }

    fn edit(&self, session: &mut Session, hunk: &Hunk) -> Result<bool, Failure> {
        let editor = ["VISUAL", "EDITOR"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
        let Some(editor) = editor else {
            self.say("Set VISUAL or EDITOR to edit; or accept, apply, and edit the prompt file.")?;
            return Ok(false);
        };
        match edited(&editor, hunk) {
            Err(problem) => self.say(&problem)?,
            Ok(text) if text == hunk.edit.replace => self.say("Nothing was changed: a accepts the hunk as it is.")?,
            Ok(replace) if replace == hunk.edit.search => {
                self.say("That is the text as it was before: r rejects the hunk.")?;
            }
            Ok(replace) => return self.take(session, hunk.id, Choice::Edit { replace }),
        }
        Ok(false)
    }

    fn show(&mut self, session: &Session, id: HunkId) -> Result<(), Failure> {
        let Some((revision, _)) = session.revisions.hunk(id) else { return Ok(()) };
        if self.rows.as_ref().is_none_or(|(generation, ..)| *generation != revision.generation) {
            let threshold = session.view.started.as_ref().map_or(1.0, |started| started.pass_threshold);
            let rows = changed_rows(&session.folder, &revision.judged, threshold)?;
            let pages = pages(&screen::rows(&rows, screen_width()), self.height(), 's');
            self.rows = Some((revision.generation, pages, 0));
        }
        if let Some((_, pages, next)) = &mut self.rows {
            print(&pages[*next])?;
            *next = (*next + 1) % pages.len();
        }
        Ok(())
    }

    /// Lines of the screen.
    fn height(&self) -> usize {
        usize::from(self.term.size().0)
    }

    fn undo(&self, session: &mut Session) -> Result<bool, Failure> {
        match session.review.undo() {
            None => {
                self.say("There is nothing to undo.")?;
                Ok(false)
            }
            Some(_) => {
                session.review.write(&session.folder)?;
                Ok(true)
            }
        }
    }

    fn say(&self, words: &str) -> Result<(), Failure> {
        print(&format!("{}\n", Paint::stdout().open(wrapped(words, screen_width(), "").join("\n"))))
    }

    /// One key that means something, echoed.
    fn ask(&self, question: &str) -> Result<Ask, Failure> {
        print(&Paint::stdout().bold(question).to_string())?;
        loop {
            let Ok(key) = self.term.read_key_raw() else {
                print("\n")?;
                return Ok(Ask::Quit);
            };
            let ask = match key {
                Key::Char('a' | 'A') => Ask::Accept,
                Key::Char('r' | 'R') => Ask::Reject,
                Key::Char('e' | 'E') => Ask::Edit,
                Key::Char('s' | 'S') => Ask::Show,
                Key::Char('m' | 'M') => Ask::More,
                Key::Char('u' | 'U') => Ask::Undo,
                Key::Char('q' | 'Q') => Ask::Quit,
                Key::Char('?' | 'h') => Ask::Help,
                Key::Enter => Ask::Finish,
                Key::CtrlC => Ask::Interrupt,
                _ => continue,
            };
            if let Key::Char(c) = key {
                print(&c.to_string())?;
            }
            print("\n")?;
            return Ok(ask);
        }
    }

    fn is_sure(&self, question: &str) -> Result<bool, Failure> {
        print(&Paint::stdout().bold(question).to_string())?;
        let sure = loop {
            match self.term.read_key_raw() {
                Ok(Key::Char('y' | 'Y')) => break true,
                Ok(Key::Char('n' | 'N') | Key::Escape) | Err(_) => break false,
                Ok(Key::CtrlC) => {
                    print("\n")?;
                    let error = anyhow::anyhow!("interrupted; what was chosen so far is kept");
                    return Err(Failure { exit: Exit::Interrupted, error });
                }
                Ok(_) => {}
            }
        };
        print(if sure { "y\n" } else { "n\n" })?;
        Ok(sure)
    }
}

/// The editor's program and its arguments. As with git, the variable may hold arguments, `code --wait`, and a path with
/// spaces stands in quotation marks; nothing else that a shell would do is done.
fn command(editor: &str) -> Result<(String, Vec<String>), String> {
    let mut words = shlex::split(editor)
        .ok_or_else(|| format!("`{editor}` has a quotation mark that isn't closed; check VISUAL or EDITOR"))?;
    if words.is_empty() {
        return Err(format!("`{editor}` names no editor; check VISUAL or EDITOR"));
    }
    let program = words.remove(0);
    Ok((program, words))
}

/// The hunk's new text as the user's editor leaves it.
fn edited(editor: &str, hunk: &Hunk) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("The text could not be edited: {error}");
    let suffix =
        Path::new(&hunk.edit.file).extension().map_or(String::new(), |end| format!(".{}", end.to_string_lossy()));
    let file = tempfile::Builder::new().prefix("ratchet-hunk-").suffix(&suffix).tempfile().map_err(failed)?;
    std::fs::write(file.path(), &hunk.edit.replace).map_err(failed)?;
    let (program, arguments) = command(editor)?;
    let status = Command::new(program)
        .args(arguments)
        .arg(file.path())
        .status()
        .map_err(|error| format!("`{editor}` could not be started: {error}; check VISUAL or EDITOR"))?;
    if !status.success() {
        return Err(format!("`{editor}` ended with {status}: the hunk is as it was"));
    }
    let mut text = std::fs::read_to_string(file.path()).map_err(failed)?;
    // Editors end a file with a line feed; a hunk within a line has none.
    if !hunk.edit.replace.ends_with('\n') && text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_may_have_arguments_and_quoted_spaces() {
        let words = |editor: &str| command(editor).map(|(program, arguments)| [vec![program], arguments].concat());
        assert_eq!(words("vi").unwrap(), ["vi"]);
        assert_eq!(words("code --wait").unwrap(), ["code", "--wait"]);
        assert_eq!(words("'/opt/my editor/ed' -n \"a b\" c\\ d").unwrap(), ["/opt/my editor/ed", "-n", "a b", "c d"]);
        assert!(words("'/opt/my editor/ed").unwrap_err().contains("isn't closed"));
        assert!(words("# all of it a comment").unwrap_err().contains("no editor"));
    }

    #[cfg(unix)]
    #[test]
    fn a_hunk_is_edited_by_a_program_in_a_folder_with_a_space() {
        use std::os::unix::fs::PermissionsExt;

        use prompt_ratchet::prompt::{Edit, Prompt, PromptSet};

        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("my editor");
        std::fs::write(&script, "#!/bin/sh\nprintf '%s' \"$1\" > \"$2\"\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let base = PromptSet::one(Prompt::parse("p", "old\n{{ input }}\n").unwrap()).unwrap();
        let edit = Edit { file: "p".into(), search: "old".into(), replace: "new".into() };
        let hunk = Hunk { id: "g1h1".parse().unwrap(), base, edit, purpose: None };
        assert_eq!(edited(&format!("'{}' \"better words\"", script.display()), &hunk).unwrap(), "better words");
    }
}
