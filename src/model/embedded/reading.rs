//! Reads the instruction part of a prompt into [`Instructions`]: the questions asked and the form of the answer.

use crate::prompt::Role;

use super::input::named;
use super::labels;
use super::lines::{Line, lines, sentences};
use super::question::{Classifier, Question};
use super::shown::{self, Example};
use super::statements;

/// The form in which an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The label and nothing else.
    Label,
    /// Nothing is said about it: a sentence around the label.
    Sentence,
    /// A JSON object.
    Json,
}

/// One thing to be answered.
pub(super) struct Field {
    /// Its key where JSON is wanted.
    pub(super) key: String,
    /// How it is decided; `None` where the prompt gives it no labels.
    pub(super) classifier: Option<Classifier>,
}

/// The instruction part of a prompt, ready to be followed.
pub(super) struct Instructions {
    /// What is asked, in the order of the answer; never empty.
    pub(super) fields: Vec<Field>,
    /// How to answer.
    pub(super) form: Form,
}

/// The key of an answer in JSON for which no shape is given.
const PLAIN_KEY: &str = "label";

/// Reads `parts`; `cue` says that the prompt ends with the beginning of an answer, `json` that the request wants JSON.
pub(super) fn read(parts: &[(Role, &str)], cue: bool, json: bool) -> Instructions {
    let (texts, mut examples) = shown::from_turns(parts);
    let chat_examples = !examples.is_empty();
    let mut rest: Vec<Line<'_>> = Vec::new();
    for text in &texts {
        shown::from_tags(text, &mut examples);
        let all: Vec<Line<'_>> = lines(text).collect();
        rest.extend(shown::from_lines(&all, &mut examples));
    }
    let shape = texts.iter().find_map(|text| json_shape(text));
    let wants_json = json || (shape.is_some() && rest.iter().any(|line| line.text.contains("JSON")));
    let form = if wants_json {
        Form::Json
    } else if cue || chat_examples || rest.iter().any(|line| wants_label_only(line.text)) {
        Form::Label
    } else {
        Form::Sentence
    };
    let fields = match shape.filter(|_| wants_json) {
        Some(shape) => shape.into_iter().map(|(key, value)| field(key, &value, &rest, &examples)).collect(),
        None => Vec::new(),
    };
    let fields = if fields.iter().any(|field| field.classifier.is_some()) {
        fields
    } else {
        with_main_question(fields, &rest, &examples)
    };
    Instructions { fields, form }
}

/// Gives the labels that stand outside any JSON shape to its first field, or to the only question there is.
fn with_main_question(mut fields: Vec<Field>, rest: &[Line<'_>], examples: &[Example]) -> Vec<Field> {
    if fields.is_empty() {
        fields.push(Field { key: PLAIN_KEY.to_owned(), classifier: None });
    }
    if let Some(first) = fields.first_mut() {
        let key = first.key.clone();
        let targets: Vec<String> = examples.iter().map(|example| example.target_of(&key)).collect();
        let found = labels::find(rest, &targets);
        first.classifier = classifier(found, &key, rest, examples);
    }
    fields
}

/// One field of a JSON shape: its labels come from its value (`"a|b"`) or from a line about it (`key: one of a, b`).
fn field(key: String, value: &str, rest: &[Line<'_>], examples: &[Example]) -> Field {
    let own = labels::list(value).or_else(|| one_of(value)).or_else(|| {
        let about = |line: &&Line<'_>| {
            super::lines::definition(super::lines::bullet(line.text).unwrap_or(line.text))
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case(&key))
        };
        rest.iter().filter(about).find_map(|line| {
            let text = line.text.split_once([':', '=']).map_or(line.text, |(_, text)| text);
            labels::list(text).or_else(|| one_of(text))
        })
    });
    let classifier = own.and_then(|labels| classifier(labels, &key, rest, examples));
    Field { key, classifier }
}

fn one_of(text: &str) -> Option<Vec<String>> {
    let at = text.to_ascii_lowercase().find("one of")?;
    labels::list(&text[at + "one of".len()..])
}

fn classifier(labels: Vec<String>, key: &str, rest: &[Line<'_>], examples: &[Example]) -> Option<Classifier> {
    if labels.is_empty() {
        return None;
    }
    let mut question = Question { labels, ..Question::default() };
    for example in examples {
        let target = example.target_of(key);
        if let Some(label) = question.labels.iter().position(|label| labels::same(label, &target)) {
            question.examples.push(super::question::Shown { text: example.text.clone(), label });
        }
    }
    statements::read(rest, &mut question);
    Some(question.compile())
}

/// Whether a line asks for the bare label.
fn wants_label_only(line: &str) -> bool {
    const VERBS: &[&str] =
        &["respond", "reply", "answer", "return", "output", "write", "print", "give", "say", "provide"];
    const ONLY: &[&str] = &[
        "only",
        "just",
        "nothing else",
        "no other",
        "exactly",
        "no explanation",
        "without",
        "single word",
        "one word",
        "alone",
        "verbatim",
        "nothing but",
        "nothing more",
        "no extra",
    ];
    sentences(line).iter().any(|sentence| {
        let lower = sentence.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| super::input::has_word(&lower, word));
        has(VERBS) && has(ONLY)
    })
}

/// The keys and raw values of the first JSON object in `text`, as loosely as prompts write them.
fn json_shape(text: &str) -> Option<Vec<(String, String)>> {
    let open = text.find('{')?;
    let close = open + text[open..].find('}')?;
    let inside = &text[open + 1..close];
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = inside;
    while let Some(start) = rest.find('"') {
        let after = &rest[start + 1..];
        let Some(end) = after.find('"') else { break };
        let (key, behind) = (&after[..end], &after[end + 1..]);
        if !behind.trim_start().starts_with(':') {
            rest = behind;
            continue;
        }
        let value_start = behind.find(':').map_or(0, |at| at + 1);
        let value = &behind[value_start..];
        let next = next_key(value);
        let raw = value[..next].trim().trim_end_matches(',').replace('"', "");
        fields.push((key.to_owned(), raw.trim_matches(['<', '>', ' ']).to_owned()));
        rest = &value[next..];
    }
    (!fields.is_empty()).then_some(fields)
}

/// Where the next `"key":` begins in the rest of an object.
fn next_key(text: &str) -> usize {
    let mut from = 0;
    while let Some(start) = text[from..].find('"').map(|at| from + at) {
        let Some(end) = text[start + 1..].find('"').map(|at| start + 1 + at) else { break };
        if text[end + 1..].trim_start().starts_with(':') {
            return start;
        }
        from = end + 1;
    }
    text.len()
}

/// The text behind an input's name, where a line has one.
pub(super) fn without_name(text: &str) -> &str {
    match named(text.trim()) {
        Some((name, value)) if !value.is_empty() && name.split_whitespace().count() <= 2 => {
            let at = value.as_ptr() as usize - text.as_ptr() as usize;
            text[at..].trim()
        }
        _ => text.trim(),
    }
}
