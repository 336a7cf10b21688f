//! Finds the labels that a prompt lets the model choose from: bullets, lists in a sentence, marked names, examples.

use super::lines::{Line, arrow, bullet, clean, definition, marked, quoted_whole};

/// A possible label list and how much it looks like one.
struct Candidate {
    items: Vec<String>,
    rating: f32,
}

/// Words before a list that say that it holds labels.
const LABEL_CUES: &[&str] = &[
    "one of",
    "categor",
    "label",
    "class",
    "option",
    "choose",
    "choice",
    "intent",
    "following",
    "pick",
    "allowed",
    "possible",
    "topic",
    "kind",
    "type",
    "group",
    "between",
    "values",
    "tags",
    "sort",
    "assign",
    "either",
];
/// Words before a list that say that it holds something else.
const OTHER_CUES: &[&str] = &[
    "rule",
    "guideline",
    "note",
    "example",
    "instruction",
    "steps",
    "tip",
    "important",
    "remember",
    "do not",
    "don't",
    "keep in mind",
    "hint",
];
/// Words inside a sentence after which a list may begin.
const LIST_STARTS: &[&str] = &[
    "one of these",
    "one of the following",
    "one of",
    "either",
    "between",
    "among",
    "into",
    " as ",
    " is ",
    " are ",
    "from",
    "choose",
    "pick",
    "labels",
    "categories",
    "classes",
    "options",
    "with",
];
/// Words that no label begins with and that give a plain sentence away.
const NOT_IN_LABELS: &[&str] = &[
    "the", "a", "an", "please", "you", "your", "it", "its", "this", "that", "these", "if", "when", "nothing", "then",
    "only", "just", "respond", "answer", "reply", "do", "don't", "never", "always", "i", "we", "is", "are", "exactly",
];
const MOST_LABEL_WORDS: usize = 5;

/// The labels of a prompt, in its order; empty when it names none. `targets` are the right-hand sides of its examples.
pub(super) fn find(lines: &[Line<'_>], targets: &[String]) -> Vec<String> {
    let mut candidates = bullet_runs(lines);
    candidates.extend(definition_runs(lines));
    candidates.extend(lines.iter().flat_map(|line| inline(line.text)));
    candidates.extend(marked_names(lines));
    candidates.extend(distinct_targets(targets));
    for candidate in &mut candidates {
        let known = |target: &&String| candidate.items.iter().any(|item| same(item, target));
        let hits = targets.iter().filter(known).count();
        if hits > 0 && hits * 2 >= targets.len() {
            candidate.rating += 3.0;
        }
        if candidate.items.iter().all(|item| !item.contains(' ')) {
            candidate.rating += 1.0;
        }
        candidate.rating += candidate.items.len().min(10) as f32 * 0.05;
    }
    prefer_whole_lists(&mut candidates);
    let mut best: Option<Candidate> = None;
    for candidate in candidates {
        if best.as_ref().is_none_or(|best| candidate.rating > best.rating) {
            best = Some(candidate);
        }
    }
    best.map(|best| best.items).unwrap_or_default()
}

/// A list that holds all items of a better rated one is the whole of which that is a part (definitions of some labels).
fn prefer_whole_lists(candidates: &mut [Candidate]) {
    for at in 0..candidates.len() {
        let is_part = |part: &Candidate| {
            let whole = &candidates[at].items;
            part.items.len() < whole.len() && part.items.iter().all(|item| whole.iter().any(|other| same(item, other)))
        };
        let parts = candidates.iter().filter(|part| is_part(part)).map(|part| part.rating + 0.1);
        candidates[at].rating = parts.fold(candidates[at].rating, f32::max);
    }
}

/// Whether two names are the same label, apart from case, spaces, underscores and hyphens.
pub(super) fn same(left: &str, right: &str) -> bool {
    let folded = |text: &str| -> Vec<char> {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    left == right || { folded(left) == folded(right) && !folded(left).is_empty() }
}

/// Whether a text could be a label: a few words and no sentence.
pub(super) fn label_like(text: &str) -> bool {
    let words = text.split_whitespace().count();
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    (1..=MOST_LABEL_WORDS).contains(&words)
        && text.len() <= 48
        && text.chars().any(char::is_alphanumeric)
        && !text.contains(['"', '\u{201c}', '{', '}', '?', '!', ';', ':', '>', '<', '='])
        && !text.ends_with(',')
        && !NOT_IN_LABELS.contains(&first.as_str())
}

fn cue_rating(lead: &str) -> f32 {
    let lead = lead.to_lowercase();
    let labels = LABEL_CUES.iter().any(|cue| lead.contains(cue));
    let other = OTHER_CUES.iter().any(|cue| lead.contains(cue));
    f32::from(u8::from(labels)) * 3.0 - f32::from(u8::from(other)) * 4.0
}

fn deduplicated(items: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.iter().any(|known| same(known, &item)) {
            kept.push(item);
        }
    }
    kept
}

fn candidate(items: Vec<String>, rating: f32) -> Option<Candidate> {
    let items = deduplicated(items);
    (items.len() >= 2).then_some(Candidate { items, rating })
}

/// Runs of list items, each a label or a label with its definition; also bare short lines under a lead with a cue.
fn bullet_runs(lines: &[Line<'_>]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let lead = if at == 0 { "" } else { lines[at - 1].text };
        let bare = lead.trim_end().ends_with(':') && cue_rating(lead) > 0.0;
        let item = |line: &Line<'_>| match bullet(line.text) {
            Some(content) => Some(item_label(content)),
            None if bare && label_like(line.text) && !line.text.ends_with('.') => {
                Some(Some(clean(line.text).to_owned()))
            }
            None => None,
        };
        let run: Vec<Option<String>> = lines[at..].iter().map_while(item).collect();
        if run.len() >= 2 {
            let labels: Vec<String> = run.iter().flatten().cloned().collect();
            if labels.len() * 10 >= run.len() * 7 {
                found.extend(candidate(labels, 2.0 + cue_rating(lead)));
            }
        }
        at += run.len().max(1);
    }
    found
}

/// The label that a list item is, or begins with.
fn item_label(content: &str) -> Option<String> {
    if arrow(content).is_some() || quoted_whole(content) {
        return None;
    }
    if let Some((name, _)) = definition(content) {
        return label_like(name).then(|| name.to_owned());
    }
    let name = clean(content);
    (label_like(name) && !content.trim_end().ends_with('.')).then(|| name.to_owned())
}

/// Runs of `label: text` or `label = text` lines without bullets.
fn definition_runs(lines: &[Line<'_>]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let name = |line: &Line<'_>| {
            let plain = bullet(line.text).is_none() && arrow(line.text).is_none();
            definition(line.text).filter(|(name, _)| plain && label_like(name)).map(|(name, _)| name.to_owned())
        };
        let run: Vec<String> = lines[at..].iter().map_while(name).collect();
        let length = run.len();
        if length >= 2 {
            let lead = if at == 0 { "" } else { lines[at - 1].text };
            let headed = run.iter().any(|name| cue_rating(name) != 0.0);
            found.extend(candidate(run, 1.0 + cue_rating(lead) - if headed { 2.0 } else { 0.0 }));
        }
        at += length.max(1);
    }
    found
}

/// Lists inside one line: `one of: a, b or c`, `a / b`, `a | b`, or a line that is nothing but a list.
fn inline(line: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    if arrow(line).is_some() {
        return found;
    }
    if bullet(line).is_none()
        && let Some(items) = list(line)
    {
        found.extend(candidate(items, 2.0));
    }
    for sentence in super::lines::sentences(bullet(line).unwrap_or(line)) {
        let lower = sentence.to_ascii_lowercase();
        if ["if ", "when ", "whenever ", "unless "].iter().any(|start| lower.starts_with(start)) {
            continue;
        }
        let mut starts: Vec<usize> = sentence.match_indices([':', '(']).map(|(at, _)| at + 1).collect();
        for start in LIST_STARTS {
            starts.extend(lower.match_indices(start).map(|(at, text)| at + text.len()));
        }
        starts.sort_unstable();
        for start in starts {
            let before = cue_rating(&sentence[..start]);
            if let Some(items) = list(&sentence[start..]) {
                // Fewer words an item: a list that starts later in the sentence is the cleaner one.
                let words = items.iter().map(|item| item.split_whitespace().count()).sum::<usize>();
                let wordy = words as f32 / items.len() as f32;
                found.extend(candidate(items, 1.5 + before - 0.3 * (wordy - 1.0)));
            }
        }
    }
    found
}

/// The items of a list in running text, up to the end of its sentence or bracket.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    let text = text.trim().trim_start_matches(':').trim_start().trim_start_matches(['(', '[']);
    let text = text.split([')', ']']).next().unwrap_or_default().trim().trim_end_matches(['.', ';', ':']);
    let separator = ['|', ',', ';', '/'].into_iter().find(|separator| text.contains(*separator));
    let parts: Vec<&str> = match separator {
        Some(separator) => text.split(separator).collect(),
        None => vec![text],
    };
    let last = parts.len() - 1;
    let mut items = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let part = part.trim();
        let part = part.strip_prefix("and ").or_else(|| part.strip_prefix("or ")).unwrap_or(part);
        let split = (at == last).then(|| part.split_once(" or ").or_else(|| part.split_once(" and "))).flatten();
        match split {
            Some((left, right)) => items.extend([clean(left).to_owned(), clean(right).to_owned()]),
            None => items.push(clean(part).to_owned()),
        }
    }
    // "a, not b" corrects a choice; "spam, not spam" offers one.
    let corrects = |item: &String| item.strip_prefix("not ").is_some_and(|rest| !items.iter().any(|i| same(i, rest)));
    (items.len() >= 2 && items.iter().all(|item| label_like(item)) && !items.iter().any(corrects)).then_some(items)
}

/// Names in backticks, bold or quotes all over the text.
fn marked_names(lines: &[Line<'_>]) -> Option<Candidate> {
    let mut ticked = Vec::new();
    let mut quoted = Vec::new();
    for line in lines.iter().filter(|line| arrow(line.text).is_none()) {
        for (mark, name) in marked(line.text) {
            if label_like(name) {
                if mark == '"' { quoted.push(name.to_owned()) } else { ticked.push(name.to_owned()) }
            }
        }
    }
    candidate(ticked, 1.8).or_else(|| candidate(quoted, 1.0))
}

fn distinct_targets(targets: &[String]) -> Option<Candidate> {
    let items: Vec<String> = targets.iter().filter(|target| label_like(target)).cloned().collect();
    candidate(items, 0.5)
}
