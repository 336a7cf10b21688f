//! One prompt file: its text, and what is known of it before any call.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layout::{Layout, Source};
use super::render::Templates;
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

    /// What the front matter names: it is not read beyond that.
    pub fn front_matter_keys(&self) -> &BTreeSet<String> {
        &self.0.layout.keys
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
