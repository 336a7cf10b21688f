//! One prompt file: its text, the parts that the text splits into, and what is known of it before any call.
//!
//! The file may open with YAML front matter between `---` lines. Lines that hold `system:`, `user:` or `assistant:` and
//! nothing else begin a message, in any case, as in Prompty; a file without such a line is one user message. The split
//! is made on the source, before anything is rendered, so that no row can open a message.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::render::Templates;
use super::tags::{TagKind, tags};
use crate::dataset::Example;
use crate::digest::Digest;

/// Who speaks a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role whose message `line` begins: `system:`, `user:` or `assistant:` in any case, alone on the line but for
    /// whitespace after it.
    pub(super) fn opened_by(line: &str) -> Option<Role> {
        let word = line.trim_end().strip_suffix(':')?;
        [("system", Role::System), ("user", Role::User), ("assistant", Role::Assistant)]
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map(|(_, role)| role)
    }
}

/// One rendered chat message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Plain text.
    pub content: String,
}

/// What is wrong with a prompt file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct PromptError {
    /// The prompt file's name as the user wrote it.
    pub file: String,
    /// 1-based line in the file.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What was found and what to do.
    pub message: String,
}

/// The parts of a prompt that no edit may change: two prompts with the same structure differ in their messages' text
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure<'a> {
    /// The front matter with its `---` lines; empty where there is none.
    pub front_matter: &'a str,
    /// The lines that begin a message, in order, without their line ends.
    pub role_lines: Vec<&'a str>,
}

/// The source of one message.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub role: Role,
    /// Byte range in the file, from the start of a line.
    pub range: Range<usize>,
    /// 1-based line of the file that the body begins on.
    pub line: usize,
}

/// Where the parts of a file are, as byte ranges.
#[derive(Debug)]
struct Layout {
    front_matter: Range<usize>,
    role_lines: Vec<Range<usize>>,
    bodies: Vec<Body>,
}

struct Parts {
    name: String,
    text: String,
    digest: Digest,
    layout: Layout,
    templates: Templates,
    protected: Vec<Range<usize>>,
}

/// A prompt file that has parsed. Cheap to clone; equal when name and text are equal.
#[derive(Clone)]
pub struct Prompt(Arc<Parts>);

impl Prompt {
    /// Parses the `text` of the file that the user calls `name`.
    ///
    /// # Errors
    /// Front matter that is not closed or not a YAML map, text before the first role line, a message without text, a
    /// template that does not compile or that reaches for files, a variable other than `input`, an unpaired
    /// `ratchet:protect` or `ratchet:end`.
    pub fn parse(name: &str, text: &str) -> Result<Prompt, PromptError> {
        let source = Source { name, text };
        let layout = source.layout()?;
        let templates = Templates::compile(&source, &layout.bodies)?;
        let protected = source.protected_regions(layout.front_matter.end)?;
        Ok(Prompt(Arc::new(Parts {
            name: name.to_owned(),
            text: text.to_owned(),
            digest: Digest::of(text.as_bytes()),
            layout,
            templates,
            protected,
        })))
    }

    /// The file's name as the user wrote it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file's text, byte for byte.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Digest of the text.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What the templates read: `input`, and dotted names such as `input.subject` where a field is read.
    pub fn variables(&self) -> &BTreeSet<String> {
        self.0.templates.variables()
    }

    /// Whether the row's input reaches any message.
    pub fn uses_input(&self) -> bool {
        !self.variables().is_empty()
    }

    /// The role and the template source of each message, in order, untrimmed.
    pub fn bodies(&self) -> impl Iterator<Item = (Role, &str)> {
        self.0.layout.bodies.iter().map(|body| (body.role, &self.text()[body.range.clone()]))
    }

    /// The front matter and the role lines.
    pub fn structure(&self) -> Structure<'_> {
        let layout = &self.0.layout;
        Structure {
            front_matter: &self.text()[layout.front_matter.clone()],
            role_lines: layout.role_lines.iter().map(|range| self.text()[range.clone()].trim_end()).collect(),
        }
    }

    /// What stands between each `{# ratchet:protect #}` and its `{# ratchet:end #}`, in order: text that no edit may
    /// change.
    pub fn protected_regions(&self) -> Vec<&str> {
        self.0.protected.iter().map(|range| &self.text()[range.clone()]).collect()
    }

    /// The messages for `example`, one a role line, each trimmed. Only `input` is visible; what the row says is text
    /// and never a template.
    ///
    /// # Errors
    /// A field that the row does not have, an operation that its value does not allow, or a template that runs for
    /// too long; the place is that in the prompt file, and the message names the row.
    pub fn render(&self, example: &Example) -> Result<Vec<Message>, PromptError> {
        let source = Source { name: self.name(), text: self.text() };
        self.0.templates.render(&source, &self.0.layout.bodies, example)
    }

    /// Whether `example` would render.
    ///
    /// # Errors
    /// Those of [`Prompt::render`].
    pub fn check(&self, example: &Example) -> Result<(), PromptError> {
        self.render(example).map(drop)
    }
}

impl PartialEq for Prompt {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.text() == other.text()
    }
}

impl Eq for Prompt {}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").field("name", &self.name()).field("text", &self.text()).finish()
    }
}

/// A file that is being read, for errors that name the place.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// An error at a byte offset of the file.
    pub fn error_at(&self, offset: usize, message: impl Into<String>) -> PromptError {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.error(before.matches('\n').count() + 1, before[line_start..].chars().count() + 1, message)
    }

    /// An error at a 1-based line and column of the file.
    pub fn error(&self, line: usize, column: usize, message: impl Into<String>) -> PromptError {
        PromptError { file: self.name.to_owned(), line, column, message: message.into() }
    }

    fn layout(&self) -> Result<Layout, PromptError> {
        let front_matter = self.front_matter()?;
        let first_line = self.text[..front_matter.end].matches('\n').count() + 1;
        let mut at = front_matter.end;
        let mut role_lines = Vec::new();
        // What comes before the first role line; the one message of a file without role lines.
        let mut bodies = vec![Body { role: Role::User, range: at..at, line: first_line }];
        for (line, text) in (first_line..).zip(self.text[at..].split_inclusive('\n')) {
            let end = at + text.len();
            if let Some(role) = Role::opened_by(text) {
                role_lines.push(at..end);
                bodies.push(Body { role, range: end..end, line: line + 1 });
            } else if let Some(body) = bodies.last_mut() {
                body.range.end = end;
            }
            at = end;
        }
        if !role_lines.is_empty() {
            self.refuse_preamble(&bodies.remove(0))?;
        }
        for (index, body) in bodies.iter().enumerate() {
            if self.text[body.range.clone()].trim().is_empty() {
                let message = "this message has no text: write some below it, or remove the line";
                return Err(match role_lines.get(index) {
                    Some(line) => self.error_at(line.start, message),
                    None => self.error(body.line, 1, "the prompt is empty: write what the model is asked to do"),
                });
            }
        }
        Ok(Layout { front_matter, role_lines, bodies })
    }

    fn refuse_preamble(&self, preamble: &Body) -> Result<(), PromptError> {
        let text = &self.text[preamble.range.clone()];
        let blank = text.len() - text.trim_start().len();
        if blank == text.len() {
            return Ok(());
        }
        let message = "text before the first role line belongs to no message: put a line `system:` above it";
        Err(self.error_at(preamble.range.start + blank, message))
    }

    /// The range of the front matter with its `---` lines, and of a byte order mark before it; empty where there is
    /// neither.
    fn front_matter(&self) -> Result<Range<usize>, PromptError> {
        let start = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut lines = self.text[start..].split_inclusive('\n');
        let Some(open) = lines.next().filter(|line| line.trim_end() == "---") else {
            return Ok(0..start);
        };
        let mut at = start + open.len();
        for line in lines {
            if line.trim_end() == "---" {
                self.check_yaml(&self.text[start + open.len()..at])?;
                return Ok(0..at + line.len());
            }
            at += line.len();
        }
        Err(self.error(1, 1, "front matter opens here and is never closed: end it with a line `---`"))
    }

    /// Front matter is kept for people and other tools; here it only has to be a YAML map, or nothing.
    fn check_yaml(&self, yaml: &str) -> Result<(), PromptError> {
        let Err(error) = serde_saphyr::from_str::<Option<BTreeMap<String, serde_json::Value>>>(yaml) else {
            return Ok(());
        };
        let (line, column) = error.location().map_or((1, 1), |at| (at.line() as usize, at.column() as usize));
        let error = error.without_snippet().to_string();
        let reason = error.lines().next().unwrap_or_default();
        // The YAML begins on line 2 of the file.
        Err(self.error(line + 1, column, format!("front matter is not a YAML map: {reason}")))
    }

    fn protected_regions(&self, from: usize) -> Result<Vec<Range<usize>>, PromptError> {
        let mut regions = Vec::new();
        let mut open = None;
        for tag in tags(&self.text[from..]).into_iter().filter(|tag| tag.kind == TagKind::Comment) {
            let (start, end) = (from + tag.start, from + tag.end);
            match (tag.inner.trim(), open) {
                ("ratchet:protect", None) => open = Some((start, end)),
                ("ratchet:protect", Some(_)) => {
                    return Err(self.error_at(start, "a protected region can't hold another: end the first one before"));
                }
                ("ratchet:end", Some((_, begin))) => {
                    regions.push(begin..start);
                    open = None;
                }
                ("ratchet:end", None) => {
                    return Err(self.error_at(start, "`ratchet:end` without a `ratchet:protect` before it"));
                }
                _ => {}
            }
        }
        match open {
            Some((start, _)) => {
                Err(self.error_at(start, "this protected region never ends: add a line `{# ratchet:end #}`"))
            }
            None => Ok(regions),
        }
    }
}
