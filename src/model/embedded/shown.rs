//! Finds the examples in a prompt: earlier turns, `text -> label` lines, `Input: / Output:` pairs, tagged pairs.

use crate::prompt::Role;

use super::input::{named, names_answer, names_input, tells_format};
use super::lines::{Line, arrow, bullet, clean};
use super::reading::without_name;

/// An example as the prompt shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    /// The text.
    pub(super) text: String,
    /// Its answer as written: a label, or a JSON object.
    pub(super) target: String,
}

impl Example {
    fn new(text: &str, target: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let text = text.replace("\\\"", "\"").replace("\\n", " ");
        Example { text, target: target.trim().to_owned() }
    }

    /// The answer to one field: the field's value where the target is a JSON object, else the target itself.
    pub(super) fn target_of(&self, key: &str) -> String {
        if self.target.starts_with('{') {
            let value = self.object();
            let value = value.as_ref().and_then(|value| value.get(key));
            return value.map_or_else(String::new, |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        }
        clean(&self.target).to_owned()
    }

    /// The fields of the answer where it is a JSON object.
    pub(super) fn keys(&self) -> Vec<String> {
        self.object().map(|fields| fields.into_iter().map(|(key, _)| key).collect()).unwrap_or_default()
    }

    fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(&self.target).ok()
    }
}

/// Splits turns into instruction texts and examples: an assistant's turn answers the user's turn before it.
pub(super) fn from_turns<'a>(parts: &[(Role, &'a str)]) -> (Vec<&'a str>, Vec<Example>) {
    let mut texts = Vec::new();
    let mut examples = Vec::new();
    for (at, (role, text)) in parts.iter().enumerate() {
        let answer = parts.get(at + 1).filter(|(next, _)| *next == Role::Assistant);
        match (role, answer) {
            (Role::User, Some((_, target))) => examples.push(Example::new(without_name(text), target)),
            (Role::Assistant, _) => {}
            _ => texts.push(*text),
        }
    }
    (texts, examples)
}

/// Takes the examples out of the lines and returns the other lines.
pub(super) fn from_lines<'a>(lines: &[Line<'a>], examples: &mut Vec<Example>) -> Vec<Line<'a>> {
    let mut rest = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let content = bullet(line.text).unwrap_or(line.text);
        if let Some((text, target)) = arrow(content).filter(|(text, target)| is_example(text, target)) {
            examples.push(Example::new(text, target));
            at += 1;
        } else if let Some((example, used)) = pair(&lines[at..]) {
            examples.push(example);
            at += used;
        } else {
            rest.push(line);
            at += 1;
        }
    }
    rest
}

/// Whether `text -> target` is an example and not a rule written with an arrow.
fn is_example(text: &str, target: &str) -> bool {
    let lower = text.to_lowercase();
    let rule =
        ["if ", "when ", "mention", "about "].iter().any(|cue| lower.starts_with(cue) || lower.contains("mentions"));
    (super::lines::quoted_whole(text) || !rule) && (target.starts_with('{') || super::labels::label_like(clean(target)))
}

/// An `Input: ..` line, further lines of its text, and the `Output: ..` line that answers it. Where the first line's name
/// is none of an input, it may as well begin a definition: then no other name and no instruction stands between the two.
fn pair(lines: &[Line<'_>]) -> Option<(Example, usize)> {
    let content = bullet(lines.first()?.text).unwrap_or(lines[0].text);
    let (name, value) = named(content)?;
    if names_answer(name) {
        return None;
    }
    let is_input = names_input(name);
    let mut text = value.to_owned();
    for (at, line) in lines.iter().enumerate().skip(1).take(12) {
        match named(bullet(line.text).unwrap_or(line.text)) {
            Some((next, target)) if names_answer(next) => {
                let answers = target.starts_with('{') || super::labels::label_like(clean(target));
                let answers = answers && !text.is_empty() && super::labels::list(target).is_none();
                return answers.then(|| (Example::new(&text, target), at + 1));
            }
            Some((next, _)) if next == name || !is_input => return None,
            _ if bullet(line.text).is_some() || !is_input && tells_format(line.text) => return None,
            _ => {
                text.push(' ');
                text.push_str(line.text);
            }
        }
    }
    None
}

/// Takes in examples written as two tagged texts in a row: `<text>..</text><label>..</label>`.
pub(super) fn from_tags(text: &str, examples: &mut Vec<Example>) {
    let mut before: Option<(&str, &str)> = None;
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let Some(end) = rest.find('>') else { break };
        let name = &rest[..end];
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let close = format!("</{name}>");
        let Some(length) = rest[end + 1..].find(&close).filter(|_| plain) else { continue };
        let inside = rest[end + 1..end + 1 + length].trim();
        if inside.contains('<') {
            continue;
        }
        if let Some((_, shown)) = before.filter(|(last, _)| names_answer(name) && *last != name) {
            examples.push(Example::new(shown, inside));
            before = None;
        } else {
            before = Some((name, inside));
        }
        rest = &rest[end + 1 + length + close.len()..];
    }
}
