//! A judge's reply: how it is asked for, and how it is read. Reason before verdict; a choice that isn't one of those
//! asked for is an error, never a score.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Criterion, Question};
use crate::model::AnswerFormat;
use crate::score::json::unfenced;

/// Longest reason that is kept, in characters.
const LONGEST_REASON: usize = 600;

/// What a judge says to one criterion.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// Which of the criterion's choices.
    pub choice: usize,
    /// Why, on one line.
    pub reason: String,
}

/// The end of a judge's prompt: the form of its reply.
pub(super) fn asked(question: &Question) -> String {
    let one =
        |criterion: &Criterion, why: &str| format!("{{\"reason\": \"{why}\", \"verdict\": {}}}", criterion.words());
    const WHY: &str = "one or two sentences: what in the answer decides it";
    if !question.is_keyed {
        let verdicts: Vec<String> = question.criteria.iter().map(|criterion| one(criterion, WHY)).collect();
        return format!(
            "Reply with one JSON object and nothing else: first the reason, then one of the choices.\n{}",
            verdicts.join("\n")
        );
    }
    let verdicts: Vec<String> = question
        .criteria
        .iter()
        .map(|criterion| format!("  {}: {}", Value::from(criterion.name.as_str()), one(criterion, WHY)))
        .collect();
    format!(
        "Reply with one JSON object and nothing else. For each criterion, first the reason, then one of its choices.\n\
         {{\n{}\n}}",
        verdicts.join(",\n")
    )
}

/// The schema of the reply, for providers that hold a model to one. Properties come in the order of their names, and
/// `reason` comes before `verdict`.
pub(super) fn schema(question: &Question) -> Value {
    let verdict = |criterion: &Criterion| {
        let words: Vec<&str> = criterion.choices.iter().map(|choice| choice.word.as_str()).collect();
        let verdict = json!({ "type": "string", "enum": words });
        AnswerFormat::closed(json!({ "reason": { "type": "string" }, "verdict": verdict }))
    };
    match question.criteria.as_slice() {
        [criterion] if !question.is_keyed => verdict(criterion),
        criteria => {
            let verdicts = criteria.iter().map(|criterion| (criterion.name.clone(), verdict(criterion)));
            AnswerFormat::closed(Value::Object(verdicts.collect()))
        }
    }
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    reason: String,
    verdict: String,
}

/// Reads the reply `text`: one verdict a criterion, in order. Words around the object do no harm.
///
/// # Errors
/// What was found, and what was asked for.
pub(super) fn read(question: &Question, text: &str) -> Result<Vec<Verdict>, String> {
    let object = object(text)?;
    question
        .criteria
        .iter()
        .map(|criterion| {
            let said = if question.is_keyed {
                let found = object.get(&criterion.name);
                found.cloned().ok_or_else(|| format!("it says nothing to the criterion `{}`", criterion.name))?
            } else {
                object.clone()
            };
            verdict(criterion, said)
        })
        .collect()
}

fn verdict(criterion: &Criterion, said: Value) -> Result<Verdict, String> {
    let said: Said = serde_json::from_value(said)
        .map_err(|error| format!("its verdict on `{}` has another form than asked for: {error}", criterion.name))?;
    let choice = criterion.choice(&said.verdict).ok_or_else(|| {
        format!("it chose {:?} for `{}`, which is none of {}", said.verdict, criterion.name, criterion.words())
    })?;
    Ok(Verdict { choice, reason: one_line(&said.reason) })
}

/// The JSON object of a reply.
fn object(text: &str) -> Result<Value, String> {
    let text = unfenced(text);
    let inside = match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => &text[start..=end],
        _ => return Err(format!("it holds no JSON object: {:?}", clipped(text, 80))),
    };
    serde_json::from_str::<Value>(inside).map_err(|error| format!("its JSON is not valid: {error}"))
}

fn one_line(text: &str) -> String {
    clipped(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_REASON)
}

/// At most so many characters of `text`.
fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rubric() -> Question {
        let criterion = |name: &str| {
            let choices = [("yes", 1.0), ("partly", 0.5), ("no", 0.0)].map(|(word, value)| (word.to_owned(), value));
            Criterion::new(name, "Is it?", 1.0, choices).unwrap()
        };
        Question::rubric(vec![criterion("complete"), criterion("tone")]).unwrap()
    }

    #[test]
    fn a_single_verdict_is_read_with_a_fence_and_words_around_it() {
        let question = Question::factuality();
        for text in [
            r#"{"reason": "It says\n the same.", "verdict": "same"}"#,
            "```json\n{\"reason\": \"It says the same.\", \"verdict\": \" SAME \"}\n```",
            "My verdict: {\"reason\": \"It says the same.\", \"verdict\": \"same\", \"score\": 3} I hope that helps.",
        ] {
            let expected = Verdict { choice: 0, reason: "It says the same.".into() };
            assert_eq!(read(&question, text).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn a_rubric_is_read_by_criterion_in_its_own_order() {
        let text = r#"{"tone": {"reason": "rude", "verdict": "no"}, "complete": {"reason": "all", "verdict": "yes"}}"#;
        let choices: Vec<usize> = read(&rubric(), text).unwrap().iter().map(|verdict| verdict.choice).collect();
        assert_eq!(choices, [0, 2]);
    }

    #[test]
    fn what_is_no_verdict_is_an_error_that_says_what_was_found() {
        for (text, message) in [
            ("I would say that it is fine.", "no JSON object"),
            ("", "no JSON object"),
            ("} {", "no JSON object"),
            (r#"{"reason": "cut", "verdict"#, "no JSON object"),
            (r#"{"reason": "a" "verdict": "same"}"#, "not valid"),
            (r#"{"reason": "a"}"#, "another form"),
            (r#"{"reason": "a", "verdict": 3}"#, "another form"),
            (r#"{"reason": "a", "verdict": "C"}"#, "it chose \"C\" for `facts`, which is none of \"same\""),
        ] {
            let error = read(&Question::factuality(), text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        let error = read(&rubric(), r#"{"tone": {"reason": "", "verdict": "yes"}}"#).unwrap_err();
        assert!(error.contains("nothing to the criterion `complete`"), "{error}");
    }

    #[test]
    fn what_is_asked_for_can_be_read_once_it_is_filled_in() {
        let filled = asked(&rubric()).replace("\"yes\" | \"partly\" | \"no\"", "\"partly\"");
        let (_, object) = filled.split_once('\n').unwrap();
        assert!(read(&rubric(), object).unwrap().iter().all(|verdict| verdict.choice == 1));
    }

    #[test]
    fn the_schema_has_the_reason_before_the_verdict_and_takes_the_choices_alone() {
        let text = schema(&Question::relevance()).to_string();
        assert!(text.find("\"reason\":{").unwrap() < text.find("\"verdict\":{").unwrap(), "{text}");
        let schema = jsonschema::validator_for(&schema(&rubric())).unwrap();
        let verdict = |word: &str| json!({"reason": "r", "verdict": word});
        assert!(schema.is_valid(&json!({"complete": verdict("yes"), "tone": verdict("no")})));
        assert!(!schema.is_valid(&json!({"complete": verdict("perhaps"), "tone": verdict("no")})));
        assert!(!schema.is_valid(&json!({"complete": verdict("yes")})));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in any::<String>(), braces in "[{}\":a-z ]{0,40}") {
            let _ = read(&rubric(), &text);
            let _ = read(&Question::relevance(), &format!("{braces}{text}"));
        }
    }
}
