//! Reads a proposer's request from its text: the Markdown sections that any model is given.

use serde_json::Value;

use super::fields::{self, Field};
use crate::model::ChatRequest;
use crate::prompt::Role;

/// Headings that a proposer's request has and no task prompt is likely to have together.
const MARKERS: [&str; 4] = ["## Strategy", "## Prompt", "## Failing rows", "## Reply"];

/// A row as the request shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The input's text; a map's values one after the other.
    pub(super) text: String,
    /// The expected label; other values as JSON.
    pub(super) expected: String,
    /// What the model answered, where it is shown.
    pub(super) answered: String,
    /// The whole expected answer, where `expected` is one field of it.
    pub(super) whole: String,
    /// What is expected of the other fields then.
    pub(super) elsewhere: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ask {
    /// The strategy's name.
    pub(super) strategy: String,
    /// Tells several proposals of one generation apart.
    pub(super) variant: u64,
    /// Name and text of each prompt file.
    pub(super) files: Vec<(String, String)>,
    /// Rows to be fixed.
    pub(super) failing: Vec<Row>,
    /// Rows that must stay as they are.
    pub(super) passing: Vec<Row>,
    /// Rows that may be quoted.
    pub(super) train: Vec<Row>,
    /// The labels; where the request lists none, those that rows expect, in order of first sight.
    pub(super) labels: Vec<String>,
    /// The fields of the answers, where those are JSON.
    pub(super) fields: Vec<Field>,
    /// The field that the labels and rows are narrowed to.
    pub(super) field: Option<String>,
    /// Whether the failing rows are of no single cluster.
    pub(super) is_whole: bool,
    /// What was tried before, as it stands there.
    pub(super) tried: String,
    /// Most edits of a proposal, where the request says so.
    pub(super) most_edits: Option<usize>,
    /// Most characters that a proposal may add, where the request says so.
    pub(super) most_growth: Option<usize>,
}

/// Reads `request` as a proposer's; `None` when it isn't one.
pub(super) fn read(request: &ChatRequest) -> Option<Ask> {
    let mut users = request.messages.iter().filter(|message| message.role == Role::User);
    let sections = users.find_map(|message| {
        let sections = sections(&message.content);
        let has = |marker: &str| sections.iter().any(|(heading, _)| *heading == marker);
        MARKERS.iter().all(|marker| has(marker)).then_some(sections)
    })?;
    // Each message behind the request sends a reply back to be mended: answer with another variant.
    let mended = users.count() as u64;
    let mut ask = Ask::default();
    for (heading, lines) in &sections {
        match *heading {
            "## Strategy" => {
                ask.strategy = value_of(lines, "name:").unwrap_or_default().trim_matches(['`', '"']).to_owned();
            }
            "## Prompt" => ask.files = files(lines),
            "## Failing rows" => {
                ask.failing = rows(lines);
                ask.is_whole = value_of(lines, "cluster:").is_none();
            }
            "## Train rows" => ask.train = rows(lines),
            "## Labels" => ask.labels = labels(lines),
            "## Fields" => ask.fields = fields::read(lines),
            "## Tried before" => ask.tried = lines.join("\n"),
            "## Limits" => (ask.most_edits, ask.most_growth) = limits(lines),
            "## Reply" => ask.variant = value_of(lines, "variant:").and_then(|v| v.parse().ok()).unwrap_or_default(),
            heading if heading.starts_with("## Passing rows") => ask.passing = rows(lines),
            _ => {}
        }
    }
    ask.variant = ask.variant.wrapping_add(mended);
    let mut ask = ask.narrowed();
    for row in ask.failing.iter().chain(&ask.passing).chain(&ask.train) {
        if !row.expected.is_empty() && !ask.labels.contains(&row.expected) {
            ask.labels.push(row.expected.clone());
        }
    }
    Some(ask)
}

/// The `## ` sections of a text with their lines; headings within a block of four or more backticks are text.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        fence = match fence {
            Some(open) if line.trim_end() == open => None,
            Some(open) => Some(open),
            None => fence_of(line),
        };
        if fence.is_none() && line.starts_with("## ") {
            sections.push((line.trim_end(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections
}

/// The backticks that open a block of prompt text.
fn fence_of(line: &str) -> Option<&str> {
    let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
    (ticks >= 4).then(|| &line[..ticks])
}

fn value_of<'a>(lines: &[&'a str], key: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.trim().strip_prefix(key)).map(str::trim)
}

/// The files of `## Prompt`: `### file: <name>`, then the text between fences.
fn files(lines: &[&str]) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in lines {
        match &mut open {
            Some((fence, text)) if line.trim_end() == *fence => {
                if let Some((_, content)) = files.last_mut() {
                    *content = text.join("\n");
                }
                open = None;
            }
            Some((_, text)) => text.push(line),
            None => match (line.strip_prefix("### file:"), fence_of(line)) {
                (Some(name), _) => files.push((name.trim().trim_matches('`').to_owned(), String::new())),
                (None, Some(fence)) => open = Some((fence, Vec::new())),
                (None, None) => {}
            },
        }
    }
    files.retain(|(_, text)| !text.is_empty());
    files
}

/// Rows: `- id: ..`, then `input:`, `expected:`, `answered:` lines whose values are JSON.
fn rows(lines: &[&str]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in lines {
        if line.starts_with("- id:") {
            rows.push(Row::default());
            continue;
        }
        let Some(row) = rows.last_mut() else { continue };
        let line = line.trim_start();
        if let Some(value) = line.strip_prefix("input:") {
            row.text = plain(value);
        } else if let Some(value) = line.strip_prefix("expected:") {
            row.expected = plain(value);
        } else if let Some(value) = line.strip_prefix("answered:") {
            row.answered = plain(value);
        }
    }
    rows
}

/// The text of a JSON value: a string's text, a map's texts one after the other; anything else as it is written.
fn plain(value: &str) -> String {
    match serde_json::from_str::<Value>(value.trim()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(map)) => {
            map.values().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(" ")
        }
        _ => value.trim().to_owned(),
    }
}

/// Labels of `- <label>: <count> train rows` lines.
fn labels(lines: &[&str]) -> Vec<String> {
    let name = |line: &&str| {
        let item = line.trim().strip_prefix("- ")?;
        let name = item.rsplit_once(':').map_or(item, |(name, _)| name);
        Some(name.trim().trim_matches(['`', '"']).to_owned())
    };
    lines.iter().filter_map(name).filter(|label| !label.is_empty()).collect()
}

/// Numbers of the lines that speak of edits, and of characters or tokens (at four characters) to be added.
fn limits(lines: &[&str]) -> (Option<usize>, Option<usize>) {
    let (mut edits, mut growth) = (None, None);
    for line in lines {
        let lower = line.to_lowercase();
        let Some(number) = first_number(&lower) else { continue };
        if lower.contains("edit") || lower.contains("hunk") {
            edits = edits.or(Some(number));
        } else if lower.contains("character") {
            growth = growth.or(Some(number));
        } else if lower.contains("token") {
            growth = growth.or(Some(number.saturating_mul(4)));
        }
    }
    (edits, growth)
}

fn first_number(text: &str) -> Option<usize> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let digits: String = text[start..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '_')).collect();
    digits.replace([',', '_'], "").parse().ok()
}
