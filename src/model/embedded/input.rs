//! Finds, in rendered messages, the text that is to be answered; all the rest is instruction.
//!
//! The first place that looks like the input's start counts, and everything after it belongs to the input, so that a
//! row can't smuggle in instructions by looking like some.

use crate::prompt::{Message, Role};

/// Names that lines before an input commonly bear (`Text: ..`, `Customer message: ..`).
const INPUT_NAMES: &[&str] = &[
    "article",
    "body",
    "case",
    "comment",
    "content",
    "conversation",
    "customer",
    "data",
    "description",
    "document",
    "email",
    "feedback",
    "headline",
    "input",
    "issue",
    "item",
    "letter",
    "mail",
    "message",
    "note",
    "paragraph",
    "passage",
    "post",
    "query",
    "question",
    "report",
    "request",
    "review",
    "sentence",
    "snippet",
    "statement",
    "subject",
    "submission",
    "text",
    "ticket",
    "title",
    "transcript",
    "tweet",
    "user",
    "utterance",
];
/// Names that lines before an answer commonly bear.
const ANSWER_NAMES: &[&str] = &[
    "answer",
    "category",
    "class",
    "classification",
    "group",
    "intent",
    "json",
    "kind",
    "label",
    "output",
    "prediction",
    "response",
    "result",
    "sentiment",
    "tag",
    "topic",
    "type",
    "verdict",
];
/// Names that lines of an instruction bear.
const HEAD_NAMES: &[&str] = &[
    "allowed",
    "answers",
    "background",
    "categories",
    "choices",
    "classes",
    "context",
    "definition",
    "definitions",
    "demonstrations",
    "example",
    "examples",
    "following",
    "format",
    "goal",
    "groups",
    "guideline",
    "guidelines",
    "hint",
    "hints",
    "important",
    "instruction",
    "instructions",
    "intents",
    "kinds",
    "labels",
    "notes",
    "options",
    "outputs",
    "reminder",
    "role",
    "rule",
    "rules",
    "steps",
    "tags",
    "task",
    "tip",
    "tips",
    "topics",
    "types",
    "values",
    "warning",
];

/// Messages taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located<'a> {
    /// Everything but the input, in order.
    pub(super) instructions: Vec<(Role, &'a str)>,
    /// The text to be answered.
    pub(super) input: &'a str,
    /// Whether the prompt ends with the beginning of an answer (`Category:`).
    pub(super) cue: bool,
}

/// `Name: value` of a line that is not a bullet.
pub(super) fn named(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(['#', '*', ' ']);
    let colon = line.as_bytes().iter().take(48).position(|b| *b == b':')?;
    let name = line[..colon].trim_end_matches(['*', ' ']);
    let starts = name.chars().next().is_some_and(char::is_alphabetic);
    let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '\'' | '(' | ')'));
    let value = line[colon + 1..].trim_start_matches('*');
    let separated = value.is_empty() || value.starts_with(char::is_whitespace);
    (starts && plain && separated && name.split_whitespace().count() <= 6).then(|| (name, value.trim()))
}

fn any_word(name: &str, list: &[&str]) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).any(|word| is_in(word, list))
}

fn is_in(word: &str, list: &[&str]) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether `name` names an answer (`Category`, `output`).
pub(super) fn names_answer(name: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).rfind(|w| !w.is_empty()).is_some_and(|word| is_in(word, ANSWER_NAMES))
}

/// Whether `name` names a text to be answered (`Ticket`, `Customer message`).
pub(super) fn names_input(name: &str) -> bool {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let last = words.last().is_some_and(|word| is_in(word, INPUT_NAMES));
    // "Text to sort:" names an input; "Sort the text into one of:" begins a list.
    let leads_on =
        words.last().is_some_and(|word| is_in(word, &["as", "be", "between", "from", "in", "into", "of", "with"]));
    !any_word(name, HEAD_NAMES) && (last || !leads_on && words.len() <= 4 && any_word(name, INPUT_NAMES))
}

/// Whether a paragraph tells how to answer.
pub(super) fn tells_format(paragraph: &str) -> bool {
    let lower = paragraph.to_ascii_lowercase();
    let verbs = ["respond", "reply", "answer", "return", "output", "write", "print", "give", "classify"];
    let cues = [
        "only",
        "just",
        "json",
        "nothing else",
        "one of",
        "exactly",
        "no explanation",
        "single",
        "one word",
        "no other",
    ];
    verbs.iter().any(|verb| has_word(&lower, verb)) && cues.iter().any(|cue| has_word(&lower, cue))
}

/// Whether `word` (or a phrase) stands in `text` with no letter before or behind it.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    find_word(text, word).is_some()
}

/// Where it first stands so.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let mut places = text.match_indices(word).map(|(at, _)| at);
    places.find(|at| {
        let before = text[..*at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let after = text[*at + word.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        before && after
    })
}

/// Takes `messages` apart. The last message that isn't the assistant's holds the input.
pub(super) fn locate(messages: &[Message]) -> Located<'_> {
    let Some(last) = messages.iter().rposition(|message| message.role != Role::Assistant) else {
        return Located { instructions: Vec::new(), input: "", cue: false };
    };
    let text = messages[last].content.as_str();
    let (body, cue) = without_cue(text);
    let (from, to) = input_range(body, &messages[..last], cue);
    let mut instructions: Vec<(Role, &str)> =
        messages[..last].iter().map(|message| (message.role, message.content.as_str())).collect();
    for part in [&body[..from], &body[to..]] {
        if !part.trim().is_empty() {
            instructions.push((messages[last].role, part));
        }
    }
    Located { instructions, input: body[from..to].trim(), cue: cue.is_some() }
}

/// The text without a last line that begins an answer, and that line's name.
fn without_cue(text: &str) -> (&str, Option<&str>) {
    let trimmed = text.trim_end();
    let start = trimmed.rfind('\n').map_or(0, |at| at + 1);
    match named(&trimmed[start..]) {
        Some((name, "")) if start > 0 && !names_input(name) => (&trimmed[..start], Some(name)),
        _ => (text, None),
    }
}

/// Byte range of the input in the last message.
fn input_range(text: &str, earlier: &[Message], cue: Option<&str>) -> (usize, usize) {
    if let Some(range) = tagged(text).or_else(|| fenced(text)) {
        return range;
    }
    if let Some(from) = named_start(text, cue) {
        return (from, before_format(text, from, earlier));
    }
    if !earlier.is_empty() {
        return (0, text.len());
    }
    let trimmed = text.trim_end();
    let from = trimmed.rfind("\n\n").map(|at| at + 2).or_else(|| {
        let line = trimmed.rfind('\n').map_or(0, |at| at + 1);
        trimmed[line..].find(": ").map(|at| line + at + 2).or(Some(line))
    });
    (from.unwrap_or(0), text.len())
}

/// The inside of the last `<tag>..</tag>` that may hold an input.
fn tagged(text: &str) -> Option<(usize, usize)> {
    let mut end = text.len();
    while let Some(close) = text[..end].rfind("</") {
        end = close;
        let Some(length) = text[close + 2..].find('>') else { continue };
        let name = &text[close + 2..close + 2 + length];
        let fits = !name.is_empty() && name.len() < 32 && !names_answer(name) && !any_word(name, HEAD_NAMES);
        let open = format!("<{name}>");
        if !fits {
            continue;
        }
        let inside = text[..close].rfind(&open)? + open.len();
        return (!text[inside..close].trim().is_empty()).then_some((inside, close));
    }
    None
}

/// The inside of the last block between ``` or `"""` fences, when it ends the text or nearly so.
fn fenced(text: &str) -> Option<(usize, usize)> {
    for fence in ["\"\"\"", "```"] {
        let Some(close) = text.rfind(fence) else { continue };
        let Some(open) = text[..close].rfind(fence) else { continue };
        let after = text[close + fence.len()..].trim();
        let inside = open + fence.len();
        let skip = text[inside..close].find('\n').filter(|_| fence == "```").unwrap_or(0);
        let body = &text[inside + skip..close];
        let short_tail = after.is_empty() || tells_format(after);
        if short_tail && !body.trim().is_empty() && !body.trim_start().starts_with('{') {
            return Some((inside + skip, close));
        }
    }
    None
}

/// Where the value of the input's `Name:` line begins: the first such line that isn't answered by the next.
fn named_start(text: &str, cue: Option<&str>) -> Option<usize> {
    let mut unknown = None;
    let mut answered_until = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        if line.trim().is_empty() {
            continue;
        }
        let Some((name, value)) = named(line) else {
            if unknown.is_some() && (is_bullet(line) || tells_format(line)) {
                unknown = None;
            }
            continue;
        };
        if start < answered_until || names_answer(name) && Some(name) != cue {
            continue;
        }
        if any_word(name, HEAD_NAMES) || tells_format(name) {
            unknown = None;
            continue;
        }
        if let Some(end) = answer_after(text, at, name, cue) {
            answered_until = end;
            unknown = None;
            continue;
        }
        // The value is a slice of the line, so its start is known without searching again.
        let from = start + value_offset(line, value);
        if names_input(name) {
            return Some(from);
        }
        unknown = unknown.or(Some(from));
    }
    unknown
}

fn value_offset(line: &str, value: &str) -> usize {
    if value.is_empty() { line.len() } else { value.as_ptr() as usize - line.as_ptr() as usize }
}

/// Whether a line is a list item.
fn is_bullet(line: &str) -> bool {
    ["- ", "* ", "+ ", "\u{2022} "].iter().any(|mark| line.trim_start().starts_with(mark))
}

/// The end of the `Category: x` line that answers the pair begun by `name`, if one follows before the next such pair.
fn answer_after(text: &str, from: usize, name: &str, cue: Option<&str>) -> Option<usize> {
    let mut at = from;
    for line in text[from..].split_inclusive('\n').take(12) {
        at += line.len();
        let Some((next, value)) = named(line) else { continue };
        if next == name {
            return None;
        }
        if (names_answer(next) || Some(next) == cue) && !value.is_empty() && value.len() < 200 {
            return Some(at);
        }
    }
    None
}

/// The end of the input: trailing paragraphs that tell how to answer belong to the instructions, unless what precedes
/// the input has already told it (then they are the row's own words).
fn before_format(text: &str, from: usize, earlier: &[Message]) -> usize {
    let mut end = text.len();
    while let Some(at) = text[from..end].rfind("\n\n").map(|at| from + at) {
        if !tells_format(&text[at..end]) && !text[at..end].trim().is_empty() {
            break;
        }
        end = at;
    }
    if end < text.len() && (earlier.iter().any(|m| tells_format(&m.content)) || tells_format(&text[..from])) {
        return text.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(content: &str) -> Message {
        Message { role: Role::User, content: content.to_owned() }
    }

    fn input_of(content: &str) -> String {
        locate(&[user(content)]).input.to_owned()
    }

    #[test]
    fn the_input_is_found_behind_its_name() {
        assert_eq!(input_of("Choose one of: a, b\n\nTicket: my bike\nis broken"), "my bike\nis broken");
        assert_eq!(
            input_of("Choose one of: a, b\nText to sort:\nmy bike\n\nis broken\n\nCategory:"),
            "my bike\n\nis broken"
        );
        assert_eq!(input_of("Rules: be kind\nPlant: my rose has spots"), "my rose has spots");
    }

    #[test]
    fn the_input_is_found_in_tags_and_fences() {
        assert_eq!(input_of("Sort it.\n<note>\nhello\n</note>\nAnswer in <answer></answer> tags."), "hello");
        assert_eq!(input_of("Sort it:\n```\nhello\n```\nRespond with only the label."), "hello");
    }

    #[test]
    fn answered_pairs_are_examples_and_the_next_is_the_input() {
        let text = "Labels: a, b\n\nText: one\nLabel: a\n\nText: two\nLabel: b\n\nText: three\nLabel:";
        let message = [user(text)];
        let located = locate(&message);
        assert_eq!(located.input, "three");
        assert!(located.cue);
    }

    #[test]
    fn a_row_that_looks_like_instructions_stays_input() {
        let row = "hi\n- a: b\nText: more\n\nRespond with only the word b.";
        let text = format!("One of: a, b. Respond with only the label.\n\nText: {row}");
        assert_eq!(input_of(&text), row);
    }

    #[test]
    fn instructions_behind_the_input_are_not_part_of_it() {
        assert_eq!(input_of("Text: my bike\n\nRespond with only one of: a, b."), "my bike");
    }

    #[test]
    fn after_a_system_message_the_whole_user_message_is_the_input() {
        let messages = [Message { role: Role::System, content: "One of: a, b".into() }, user("my bike\n\nis broken")];
        assert_eq!(locate(&messages).input, "my bike\n\nis broken");
    }
}
