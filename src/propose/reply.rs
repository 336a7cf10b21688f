//! Reads a proposer's reply: one JSON object `{edits: [{file, search, replace}], rationale, expected_effect}`. Errors
//! are sent back to the model, so they say what to send instead.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Proposal;
use crate::model::{AnswerFormat, FinishReason};
use crate::prompt::{Edit, Prompt, PromptSet};

/// Most places of a reply that are tried as the start of an object: a reply has one, and a flood of braces must not
/// cost the square of its length.
const MOST_STARTS: usize = 200;

/// Why a reply could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    /// It was cut at the token limit.
    #[error(
        "the reply was cut off before its end: make fewer and shorter edits, and write a rationale of one sentence"
    )]
    Truncated,
    /// The model, or its provider's filter, declined.
    #[error("the reply holds no proposal because it was refused: reply with the JSON object that was asked for")]
    Refused,
    /// There is no JSON object in it.
    #[error(
        "the reply holds no JSON object: reply with one object that has `edits`, `rationale` and `expected_effect`"
    )]
    NoObject,
    /// What looks like an object is not valid JSON.
    #[error("the reply is not valid JSON: {0}; escape quotation marks and line breaks inside strings")]
    Syntax(String),
    /// There are several.
    #[error("the reply holds {0} JSON objects: put all edits into the `edits` list of one object")]
    Several(usize),
    /// The object is not of the shape asked for.
    #[error("the JSON object has another shape than asked for: {0}")]
    Shape(String),
    /// `edits` is empty.
    #[error("`edits` is empty: propose at least one edit")]
    NoEdits,
    /// `rationale` is blank.
    #[error("`rationale` is empty: say in one sentence why the edits should help")]
    NoRationale,
    /// An edit doesn't say which file it is for, and there are several.
    #[error("edit {edit} names no `file`: write one of {files}")]
    NoFile {
        /// From 1.
        edit: usize,
        /// The names there are.
        files: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    edits: Vec<ReplyEdit>,
    rationale: String,
    #[serde(default)]
    expected_effect: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyEdit {
    file: Option<String>,
    search: String,
    replace: String,
}

/// The form of a reply to an ask about `prompts`.
pub(super) fn format(prompts: &PromptSet) -> AnswerFormat {
    let files: Vec<&str> = prompts.iter().map(Prompt::name).collect();
    let text = || json!({ "type": "string" });
    let edit = json!({ "file": { "type": "string", "enum": files }, "search": text(), "replace": text() });
    let reply = json!({
        "edits": { "type": "array", "items": AnswerFormat::closed(edit) },
        "rationale": text(),
        "expected_effect": text(),
    });
    AnswerFormat::Schema { name: "proposal".to_owned(), schema: AnswerFormat::closed(reply) }
}

/// Reads the reply `text` to an ask about `prompts`. A fence and words around the object do no harm; an edit may leave
/// out its `file` where there is one prompt.
pub(super) fn parse(text: &str, finish: FinishReason, prompts: &PromptSet) -> Result<Proposal, ReplyError> {
    match finish {
        FinishReason::Length => return Err(ReplyError::Truncated),
        FinishReason::Refusal | FinishReason::Filter => return Err(ReplyError::Refused),
        FinishReason::Stop | FinishReason::Tool => {}
    }
    let reply: Reply =
        serde_path_to_error::deserialize(object(text)?).map_err(|error| ReplyError::Shape(shape(&error)))?;
    if reply.edits.is_empty() {
        return Err(ReplyError::NoEdits);
    }
    if reply.rationale.trim().is_empty() {
        return Err(ReplyError::NoRationale);
    }
    let edits = reply
        .edits
        .into_iter()
        .enumerate()
        .map(|(index, ReplyEdit { file, search, replace })| {
            Ok(Edit { file: file_of(file, index + 1, prompts)?, search, replace })
        })
        .collect::<Result<_, _>>()?;
    Ok(Proposal {
        edits,
        rationale: reply.rationale.trim().to_owned(),
        expected_effect: reply.expected_effect.trim().to_owned(),
        quoted: Vec::new(),
    })
}

fn file_of(named: Option<String>, edit: usize, prompts: &PromptSet) -> Result<String, ReplyError> {
    match named {
        Some(file) => Ok(file),
        None if prompts.len() == 1 => Ok(prompts.first().name().to_owned()),
        None => {
            let files: Vec<String> = prompts.iter().map(|prompt| format!("`{}`", prompt.name())).collect();
            Err(ReplyError::NoFile { edit, files: files.join(", ") })
        }
    }
}

fn shape(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    }
}

/// The one top-level JSON object in `text`.
fn object(text: &str) -> Result<Value, ReplyError> {
    let mut found = Vec::new();
    let mut error = None;
    let mut from = 0;
    for _ in 0..MOST_STARTS {
        let Some(start) = text[from..].find('{').map(|offset| from + offset) else { break };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        from = match values.next() {
            Some(Ok(value)) => {
                found.push(value);
                start + values.byte_offset()
            }
            Some(Err(reason)) => {
                // A brace of prose or of a template is no attempt at an object.
                if text[start + 1..].trim_start().starts_with('"') && error.is_none() {
                    error = Some(reason.to_string());
                }
                start + 1
            }
            None => start + 1,
        };
    }
    // An object inside a broken one is not the reply.
    match (found.len(), error) {
        (_, Some(error)) => Err(ReplyError::Syntax(error)),
        (0, None) => Err(ReplyError::NoObject),
        (1, None) => found.pop().ok_or(ReplyError::NoObject),
        (count, None) => Err(ReplyError::Several(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::testing;
    use proptest::prelude::*;

    const GOOD: &str =
        r#"{"edits": [{"search": "- billing", "replace": "- billing: {{ invoices }}"}], "rationale": "Why."}"#;

    fn read(text: &str) -> Result<Proposal, ReplyError> {
        parse(text, FinishReason::Stop, &testing::prompts(testing::PROMPT))
    }

    #[test]
    fn a_fence_and_words_around_the_object_do_no_harm() {
        let proposal = read(GOOD).unwrap();
        assert_eq!(proposal.edits, [testing::edit("- billing", "- billing: {{ invoices }}")]);
        assert_eq!((proposal.rationale.as_str(), proposal.expected_effect.as_str()), ("Why.", ""));
        assert_eq!(
            read(&format!("Here it is, {{{{ input }}}} kept:\n```json\n{GOOD}\n```\nDone {{ok}}.")).unwrap(),
            proposal
        );
    }

    #[test]
    fn a_reply_that_was_cut_or_refused_is_told_so() {
        let prompts = testing::prompts(testing::PROMPT);
        assert_eq!(parse(GOOD, FinishReason::Length, &prompts), Err(ReplyError::Truncated));
        assert_eq!(parse("", FinishReason::Filter, &prompts), Err(ReplyError::Refused));
    }

    #[test]
    fn other_shapes_are_refused_with_what_is_wrong() {
        assert_eq!(read("No idea."), Err(ReplyError::NoObject));
        assert_eq!(read(&format!("{GOOD}\n{GOOD}")), Err(ReplyError::Several(2)));
        assert_eq!(read(r#"{"edits": [], "rationale": "x"}"#), Err(ReplyError::NoEdits));
        let error = |text: &str| read(text).unwrap_err().to_string();
        let shape = "the JSON object has another shape than asked for: ";
        assert_eq!(error(r#"{"rationale": "x"}"#), format!("{shape}missing field `edits`"));
        assert_eq!(
            error(r#"{"edits": [{"search": "a", "with": "b"}], "rationale": "x"}"#),
            format!("{shape}edits[0].with: unknown field `with`, expected one of `file`, `search`, `replace`")
        );
        assert!(error(&GOOD.replace("Why.", " ")).contains("`rationale` is empty"));
        assert!(error(&GOOD[..GOOD.len() - 3]).contains("not valid JSON"));
    }

    #[test]
    fn with_several_prompts_each_edit_names_its_own() {
        let prompt = |name: &str| crate::prompt::Prompt::parse(name, "{{ input }}").unwrap();
        let prompts = PromptSet::new([prompt("a"), prompt("b")]).unwrap();
        let error = parse(GOOD, FinishReason::Stop, &prompts).unwrap_err();
        assert_eq!(error.to_string(), "edit 1 names no `file`: write one of `a`, `b`");
    }

    #[test]
    fn the_form_takes_what_can_be_read_and_names_the_files() {
        let AnswerFormat::Schema { schema, .. } = format(&testing::prompts(testing::PROMPT)) else {
            panic!("no schema")
        };
        let schema = jsonschema::validator_for(&schema).unwrap();
        let reply = |file: &str| {
            let edit = json!({"file": file, "search": "- billing", "replace": "- bills"});
            json!({"edits": [edit], "rationale": "Why.", "expected_effect": "Fewer."})
        };
        let file = testing::prompts(testing::PROMPT).names();
        assert!(schema.is_valid(&reply(&file)) && read(&reply(&file).to_string()).is_ok());
        assert!(!schema.is_valid(&reply("another")));
        let mut more = reply(&file);
        more["confidence"] = json!(1);
        assert!(!schema.is_valid(&more));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[{}\"\\[\\],:\n`]){0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn a_cut_or_garbled_reply_is_read_or_refused_but_never_panics(at in 0..GOOD.len(), c in any::<char>()) {
            let mut text = GOOD.to_owned();
            text.insert(at, c);
            let _ = read(&text);
            let _ = read(&GOOD[..at]);
        }
    }
}
