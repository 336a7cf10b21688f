//! From a prompt and a row to chat messages: compiled templates, the variables that they read, and the escaping of row
//! text that is pasted into a template.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context, value::Serde};

use super::file::{Body, Message, PromptError, Role, Source};
use super::tags::{Tag, TagKind, tags};
use crate::dataset::Example;

/// The engine's steps and 64-byte pieces of output that one message may cost: far above any real prompt, and a
/// fraction of a second at most.
const FUEL: u64 = 1_000_000;

/// The one variable that a prompt sees.
const INPUT: &str = "input";

/// Statements that reach for other templates. A prompt is one file.
const FILE_STATEMENTS: [&str; 5] = ["include", "import", "from", "extends", "block"];

/// One compiled template a message, and what they read.
pub(super) struct Templates {
    environment: Environment<'static>,
    /// The templates' names in `environment`, in the order of the messages.
    names: Vec<String>,
    variables: BTreeSet<String>,
}

impl Templates {
    /// Compiles the message bodies of `source`.
    ///
    /// # Errors
    /// A template that does not compile, reaches for another file, or reads a variable other than `input`.
    pub fn compile(source: &Source<'_>, bodies: &[Body]) -> Result<Templates, PromptError> {
        let mut environment = environment();
        let mut names = Vec::with_capacity(bodies.len());
        let mut variables = BTreeSet::new();
        for (index, body) in bodies.iter().enumerate() {
            let name = index.to_string();
            // A checkout that turns line ends around must not change what a model is sent.
            let template = source.text[body.range.clone()].replace("\r\n", "\n");
            let compiled = environment.add_template_owned(name.clone(), template.clone());
            compiled.map_err(|error| located(source, body, &template, &error, None))?;
            refuse_file_statements(source, body)?;
            let read = environment
                .get_template(&name)
                .map_err(|error| located(source, body, &template, &error, None))?
                .undeclared_variables(true);
            let globals: BTreeSet<&str> = environment.globals().map(|(global, _)| global).collect();
            // Sorted, so that the same file always gives the same error.
            for variable in BTreeSet::from_iter(read) {
                let root = variable.split('.').next().unwrap_or_default();
                if root == INPUT {
                    variables.insert(variable);
                } else if !globals.contains(root) {
                    return Err(unknown_variable(source, body, root));
                }
            }
            names.push(name);
        }
        Ok(Templates { environment, names, variables })
    }

    /// The dotted names that the templates read.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Renders every message for `example`.
    ///
    /// # Errors
    /// Those of [`Prompt::render`](super::Prompt::render).
    pub fn render(&self, source: &Source<'_>, bodies: &[Body], example: &Example) -> Result<Vec<Message>, PromptError> {
        let input = match &example.input {
            serde_json::Value::String(text) => Value::from(text.as_str()),
            other => Value::from(Serde(other)),
        };
        let context = context! { input };
        self.names
            .iter()
            .zip(bodies)
            .map(|(name, body)| {
                let content =
                    self.environment.get_template(name).and_then(|template| template.render(context.clone())).map_err(
                        |error| {
                            let template = source.text[body.range.clone()].replace("\r\n", "\n");
                            located(source, body, &template, &error, Some(example))
                        },
                    )?;
                Ok(Message { role: body.role, content: trimmed(content) })
            })
            .collect()
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    // Errors carry the place and the name of what was undefined only in debug mode.
    environment.set_debug(true);
    environment.remove_global("debug");
    environment
}

/// `text` without whitespace around it; the common case copies nothing.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    let blank = text.len() - text.trim_start().len();
    text.drain(..blank);
    text
}

fn body_tags<'a>(source: &Source<'a>, body: &Body) -> Vec<Tag<'a>> {
    tags(&source.text[body.range.clone()])
}

fn refuse_file_statements(source: &Source<'_>, body: &Body) -> Result<(), PromptError> {
    for tag in body_tags(source, body).iter().filter(|tag| tag.kind == TagKind::Statement) {
        if let Some((_, word)) = tag.names().next().filter(|(_, word)| FILE_STATEMENTS.contains(word)) {
            let message = format!("`{word}` is not available: a prompt is one file, so write the text here");
            return Err(source.error_at(body.range.start + tag.start, message));
        }
    }
    Ok(())
}

fn unknown_variable(source: &Source<'_>, body: &Body, name: &str) -> PromptError {
    let offset = body_tags(source, body)
        .iter()
        .filter(|tag| tag.kind != TagKind::Comment)
        .flat_map(Tag::names)
        .find(|(_, word)| *word == name)
        .map_or(0, |(offset, _)| offset);
    let message = format!(
        "`{name}` is not defined. A prompt sees `input`, the row's input, and `input.field` where that is a map; \
         not the expected answer, tags or metadata"
    );
    source.error_at(body.range.start + offset, message)
}

/// The engine's error at its place in the file. `template` is the source that was compiled.
fn located(
    source: &Source<'_>,
    body: &Body,
    template: &str,
    error: &minijinja::Error,
    example: Option<&Example>,
) -> PromptError {
    let before = error.range().and_then(|range| template.get(..range.start)).unwrap_or_default();
    let (line, column) = match error.range() {
        Some(_) => {
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (before.matches('\n').count(), before[line_start..].chars().count() + 1)
        }
        None => (error.line().unwrap_or(1).saturating_sub(1), 1),
    };
    let mut message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::OutOfFuel {
        message.push_str(" (the template does too much for one message)");
    }
    if let Some(example) = example {
        message = format!("row `{}`: {message}; {}", example.id, describe_input(&example.input));
    }
    source.error(body.line + line, column, message)
}

fn describe_input(input: &serde_json::Value) -> String {
    match input {
        serde_json::Value::Object(fields) => {
            let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
            format!("its input has the fields {}", names.join(", "))
        }
        serde_json::Value::String(_) => "its input is a text, without fields".to_owned(),
        _ => "its input is no map and has no fields".to_owned(),
    }
}

/// `text` as template source that renders back to it, for row text that is pasted into a prompt as an example.
///
/// Line breaks become single spaces and a role line is written so that it opens no message: pasted anywhere in a
/// message, on a line of its own too, the text stays inside that message.
pub fn escape_literal(text: &str) -> String {
    let folded = fold_lines(text);
    let mut escaped = String::with_capacity(folded.len());
    let mut characters = folded.char_indices().peekable();
    while let Some((offset, c)) = characters.next() {
        // At either end the brace could meet one of the template around it.
        let at_edge = offset == 0 || characters.peek().is_none();
        let opens = matches!(characters.peek(), Some((_, '{' | '%' | '#')));
        if c == '{' && (opens || at_edge) {
            escaped.push_str(r#"{{ "{" }}"#);
        } else {
            escaped.push(c);
        }
    }
    match Role::opened_by(&folded) {
        Some(_) => escaped.replacen(':', r#"{{ ":" }}"#, 1),
        None => escaped,
    }
}

/// `text` with each run of line breaks as one space.
fn fold_lines(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut in_break = false;
    for c in text.chars() {
        let breaks = matches!(c, '\n' | '\r');
        if !breaks {
            folded.push(c);
        } else if !in_break {
            folded.push(' ');
        }
        in_break = breaks;
    }
    folded
}
