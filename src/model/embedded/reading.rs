//! Reads the instruction part of a prompt into [`Instructions`]: the questions asked and the form of the answer.

use crate::prompt::Role;

use super::input::named;
use super::labels;
use super::lines::{Line, lines, sentences};
use super::question::{Classifier, Question};
use super::shape::{self, Shape, Slot};
use super::shown::{self, Example};
use super::statements;

/// The form in which an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The label and nothing else.
    Label,
    /// Nothing is said about it: a sentence around the label.
    Sentence,
    /// A JSON object and nothing else.
    Json,
    /// A JSON object, of which nothing says that it has to stand alone: in a code fence.
    FencedJson,
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
    let shape = shape::find(&rest, &examples);
    let wants_json = json || (shape.is_some() && rest.iter().any(|line| line.text.contains("JSON")));
    let bare = cue || chat_examples || rest.iter().any(|line| wants_label_only(line.text));
    let form = match (wants_json, bare) {
        (true, true) => Form::Json,
        (true, false) if json => Form::Json,
        (true, false) => Form::FencedJson,
        (false, true) => Form::Label,
        (false, false) => Form::Sentence,
    };
    let fields = shape.filter(|_| wants_json).map_or_else(Vec::new, |shape| of_shape(&shape, &rest, &examples));
    let fields = if fields.iter().any(|field| field.classifier.is_some()) {
        fields
    } else {
        with_main_question(fields, &rest, &examples)
    };
    Instructions { fields, form }
}

/// One question for each field of a JSON shape.
fn of_shape(shape: &Shape, rest: &[Line<'_>], examples: &[Example]) -> Vec<Field> {
    let of_slot = |(at, slot): (usize, &Slot)| {
        let lines = shape.lines_about(at, rest);
        let others: Vec<&Slot> = shape.slots.iter().filter(|other| other.key != slot.key).collect();
        Field {
            key: slot.key.clone(),
            classifier: classifier(slot.values.clone(), &slot.key, &others, &lines, examples),
        }
    };
    shape.slots.iter().enumerate().map(of_slot).collect()
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
        first.classifier = classifier(found, &key, &[], rest, examples);
    }
    fields
}

/// The question which of `labels` the field `key` has; `others` are the fields beside it.
fn classifier(
    labels: Vec<String>,
    key: &str,
    others: &[&Slot],
    rest: &[Line<'_>],
    examples: &[Example],
) -> Option<Classifier> {
    if labels.is_empty() {
        return None;
    }
    let mut question = Question { labels, ..Question::default() };
    for example in examples {
        let place = |values: &[String], key: &str| {
            let target = example.target_of(key);
            values.iter().position(|value| labels::same(value, &target))
        };
        if let Some(label) = place(&question.labels, key) {
            // What is none of the values counts as one more.
            let elsewhere =
                others.iter().map(|slot| place(&slot.values, &slot.key).unwrap_or(slot.values.len())).collect();
            question.examples.push(super::question::Shown { text: example.text.clone(), label, elsewhere });
        }
    }
    statements::read(rest, &mut question);
    Some(question.compile())
}

/// Whether a line asks for the bare label, or the bare object.
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
