//! From a prompt and a row to chat messages: compiled templates, the variables that they read.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context, value::Serde};

use super::file::{Message, PromptError};
use super::layout::{Body, Source};
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
            refuse_unknown_filters(&environment, source, body)?;
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

/// The engine itself notices an unknown filter only where a row reaches it.
fn refuse_unknown_filters(environment: &Environment<'_>, source: &Source<'_>, body: &Body) -> Result<(), PromptError> {
    for tag in body_tags(source, body).iter().filter(|tag| tag.kind != TagKind::Comment) {
        for (offset, name) in tag.filters() {
            let known = environment.compile_expression("name is filter").and_then(|test| test.eval(context! { name }));
            if !known.is_ok_and(|known| known.is_true()) {
                let message = format!("there is no filter `{name}`; the built-in filters of minijinja are available");
                return Err(source.error_at(body.range.start + offset, message));
            }
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
        message = format!("row `{}`: {message}", example.id);
        if error.kind() == ErrorKind::UndefinedError {
            message = format!("{message}; {}", describe_input(&example.input));
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::prompt::escape::tests::hostile;
    use crate::prompt::{Prompt, Role};

    fn row(input: Value) -> Example {
        serde_json::from_value(json!({"id": "r1", "input": input, "expected": "secret"})).unwrap()
    }

    fn parse(text: &str) -> Prompt {
        Prompt::parse("p.prompty", text).unwrap()
    }

    fn rendered(text: &str, input: Value) -> Vec<(Role, String)> {
        let messages = parse(text).render(&row(input)).unwrap();
        messages.into_iter().map(|message| (message.role, message.content)).collect()
    }

    fn content(text: &str, input: Value) -> String {
        rendered(text, input).remove(0).1
    }

    fn place(error: &PromptError) -> (usize, usize) {
        (error.line, error.column)
    }

    #[test]
    fn each_role_line_gives_one_trimmed_message() {
        let text = "---\nname: x\n---\nsystem:\n\nBe brief.\n\nuser:\nTicket: {{ input }}\n";
        let expected = [(Role::System, "Be brief.".to_owned()), (Role::User, "Ticket: <b> & \"c\"".to_owned())];
        assert_eq!(rendered(text, json!("<b> & \"c\"")), expected);
    }

    #[test]
    fn line_ends_of_the_file_do_not_change_what_is_sent() {
        let text = "system:\nOne\nTwo\nuser:\n{{ input }}\n";
        assert_eq!(rendered(text, json!("x")), rendered(&text.replace('\n', "\r\n"), json!("x")));
    }

    #[test]
    fn fields_loops_and_filters_work() {
        let text = "{% for item in input.items %}{{ loop.index }}={{ item.name|upper }};{% endfor %}";
        assert_eq!(content(text, json!({"items": [{"name": "a"}, {"name": "b"}]})), "1=A;2=B;");
        assert_eq!(content("{{ input.note|default('none') }}", json!({"items": []})), "none");
    }

    #[test]
    fn variables_are_known_before_any_call() {
        let prompt =
            parse("system:\n{{ input.subject }} {% for x in range(2) %}{{ x }}{% endfor %}\nuser:\n{{ input }}");
        assert_eq!(prompt.variables().iter().map(String::as_str).collect::<Vec<_>>(), ["input", "input.subject"]);
        assert!(!parse("no variable").uses_input());
    }

    #[test]
    fn an_unknown_variable_is_refused_at_its_place_in_the_file() {
        let text = "---\nname: x\n---\nsystem:\nBe brief.\nuser:\nÄ {{ 'ticket' ~ input.ticket ~ ticket }}";
        let error = Prompt::parse("p.prompty", text).unwrap_err();
        assert_eq!(place(&error), (7, 32));
        assert!(error.message.starts_with("`ticket` is not defined. A prompt sees `input`"), "{error}");
    }

    #[test]
    fn the_expected_answer_tags_and_metadata_are_not_visible() {
        for name in ["expected", "tags", "metadata", "id"] {
            assert!(Prompt::parse("p", &format!("{{{{ input }}}} {{{{ {name} }}}}")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_syntax_error_points_at_line_and_column_of_the_file() {
        let error =
            Prompt::parse("p.prompty", "---\r\nname: x\r\n---\r\nuser:\r\nline\r\n  {{ input | }}\r\n").unwrap_err();
        assert_eq!(place(&error), (6, 14));
        let error = Prompt::parse("p.prompty", "user:\n{% if input %}never closed").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
        assert_eq!(place(&Prompt::parse("p", "a\n{{ input | upper | nosuch }}").unwrap_err()), (2, 20));
    }

    #[test]
    fn other_files_are_out_of_reach() {
        for tag in ["include '1'", "import '1' as x", "from '1' import x", "extends '1'", "block a"] {
            let text = format!("user:\n{{{{ input }}}}\n {{%- {tag} %}}{{% endblock %}}");
            let text = if tag == "block a" { text } else { text.replace("{% endblock %}", "") };
            let error = Prompt::parse("p", &text).unwrap_err();
            assert_eq!(place(&error), (3, 2), "{error}");
        }
    }

    #[test]
    fn a_field_that_a_row_lacks_is_an_error_for_that_row() {
        let prompt = parse("user:\nTicket:\n{{ input.subject }} {{ input.body }}");
        assert!(prompt.check(&row(json!({"subject": "s", "body": "b"}))).is_ok());
        let error = prompt.check(&row(json!({"subject": "s", "text": "b"}))).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.column >= 21, "{error}");
        assert!(error.message.contains("row `r1`") && error.message.contains("`subject`, `text`"), "{error}");
        let error = prompt.check(&row(json!("only text"))).unwrap_err();
        assert!(error.message.contains("without fields"), "{error}");
    }

    #[test]
    fn an_error_that_is_not_about_a_field_does_not_speak_of_fields() {
        let error =
            parse("{{ input }}{% for a in range(100000000) %}{% endfor %}").check(&row(json!("x"))).unwrap_err();
        assert!(error.message.contains("row `r1`") && !error.message.contains("fields"), "{error}");
    }

    #[test]
    fn a_template_that_never_seems_to_end_runs_out_of_fuel() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}{{ input }}{% endfor %}{% endfor %}";
        let error = parse(text).check(&row(json!("x"))).unwrap_err();
        assert!(error.message.contains("does too much"), "{error}");
        assert!(parse("{{ input * 1000000000 }}").check(&row(json!("x"))).is_err());
    }

    proptest! {
        #[test]
        fn no_row_can_open_a_message(input in hostile(), field in hostile()) {
            let messages = rendered("system:\nS {{ input.a }}\nuser:\n[{{ input.b }}]\n", json!({"a": field, "b": input}));
            prop_assert_eq!(messages.len(), 2);
            prop_assert_eq!(&messages[0].1, &format!("S {field}").trim().to_owned());
            prop_assert_eq!(&messages[1].1, &format!("[{input}]"));
        }

        #[test]
        fn parsing_never_panics(text in hostile()) {
            let _ = Prompt::parse("p", &text).map(|prompt| prompt.protected_regions().len());
        }
    }
}
