//! What is said on stderr. Nobody may be there to hear it: a terminal that was closed, a pipe whose reader has ended, a
//! full disk behind a redirection. That ends no run, which is why nothing here uses `eprintln!`: it panics then.

use std::fmt::Display;
use std::io::Write;

/// Says one line, or several.
pub fn line(text: impl Display) {
    part(format_args!("{text}\n"));
}

/// Says `text` as it is.
pub fn part(text: impl Display) {
    // One write: lines of several threads don't run into each other.
    let _ = std::io::stderr().lock().write_all(text.to_string().as_bytes());
}
