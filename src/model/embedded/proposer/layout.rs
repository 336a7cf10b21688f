//! Where things stand in a prompt file's text, and edits made from changes at places in it.

use std::ops::Range;

use super::super::input::{has_word, tells_format};
use super::super::labels::same;
use super::super::lines::{arrow, bullet, clean, definition};
use crate::prompt::{Edit, Prompt};

/// One line of the text, without its line break.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// Whether it may be changed: not in the front matter, no role line, no template tag, not protected.
    pub(super) free: bool,
}

/// A change at a place of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The bytes that go; empty for an insertion.
    pub(super) range: Range<usize>,
    /// What comes in their place.
    pub(super) text: String,
}

/// A prompt file taken apart by lines.
pub(super) struct Layout {
    /// The file's name.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
    /// Its lines.
    pub(super) places: Vec<Place>,
    /// The line before which instructions end: the one with the template expression, or the heading that leads to it.
    pub(super) input: usize,
}

impl Layout {
    /// Takes `text` apart; `None` where it isn't a prompt or has no line with a template expression.
    pub(super) fn of(file: &str, text: &str) -> Option<Self> {
        let prompt = Prompt::parse(file, text).ok()?;
        let text = prompt.text();
        let within = |part: &str| {
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            start..start + part.len()
        };
        let protected: Vec<Range<usize>> = prompt.protected_regions().into_iter().map(within).collect();
        let bodies: Vec<Range<usize>> = prompt.bodies().map(|(_, body)| within(body)).collect();
        let mut places = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let range = at..at + line.trim_end_matches(['\n', '\r']).len();
            at += line.len();
            let in_body = bodies.iter().any(|body| body.start <= range.start && range.end <= body.end);
            let is_protected = protected.iter().any(|region| region.start < range.end && range.start < region.end);
            let tags = ["{{", "{%", "{#"].iter().any(|tag| text[range.clone()].contains(tag));
            places.push(Place { range, free: in_body && !is_protected && !tags });
        }
        let mut layout = Layout { file: file.to_owned(), text: text.to_owned(), places, input: 0 };
        layout.input = layout.input_line()?;
        Some(layout)
    }

    /// The text of a line.
    pub(super) fn line(&self, at: usize) -> &str {
        self.places.get(at).map_or("", |place| self.text.get(place.range.clone()).unwrap_or_default())
    }

    fn input_line(&self) -> Option<usize> {
        let is_input = |at: &usize| {
            let line = self.line(*at);
            line.contains("{{")
                && line.split("{{").skip(1).any(|tag| tag.trim_start_matches(['-', ' ']).starts_with("input"))
        };
        let mut at = (0..self.places.len()).find(is_input)?;
        // `Text:`, `<text>` or a fence on the line before belongs to the input.
        while at > 0 && self.places[at - 1].free {
            let before = self.line(at - 1).trim();
            let leads =
                before.ends_with(':') || before.ends_with('>') || before.starts_with("```") || before == "\"\"\"";
            if !leads || before.split_whitespace().count() > 5 {
                break;
            }
            at -= 1;
        }
        Some(at)
    }

    /// Lines that may be changed, with their text.
    pub(super) fn free_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.places.iter().enumerate().filter(|(_, place)| place.free).map(|(at, _)| (at, self.line(at)))
    }

    /// The line that lists or defines `label`, and its definition.
    pub(super) fn label_line(&self, label: &str) -> Option<(usize, Option<&str>)> {
        let lines = || self.free_lines().filter(|(_, line)| arrow(line).is_none());
        let defined = lines().find_map(|(at, line)| {
            let (name, text) = definition(bullet(line.trim()).unwrap_or(line.trim()))?;
            same(name, label).then_some((at, Some(text)))
        });
        let bare = || {
            let is_bare = |line: &str| bullet(line.trim()).is_some_and(|name| same(clean(name), label));
            lines().find(|(_, line)| is_bare(line)).map(|(at, _)| (at, None))
        };
        defined.or_else(bare)
    }

    /// The line that names at least two of `labels` in running text (the one that names most).
    pub(super) fn list_line(&self, labels: &[String]) -> Option<usize> {
        let named = |line: &str| labels.iter().filter(|label| has_word(line, label)).count();
        let lines = self.free_lines().filter(|(_, line)| arrow(line).is_none() && bullet(line.trim()).is_none());
        let best = lines.map(|(at, line)| (named(line), std::cmp::Reverse(at))).max()?;
        (best.0 >= 2).then_some(best.1.0)
    }

    /// The line that says how to answer.
    pub(super) fn format_line(&self) -> Option<usize> {
        self.free_lines().find(|(_, line)| tells_format(line) && !line.trim_end().ends_with(':')).map(|(at, _)| at)
    }

    /// The last line of the examples.
    pub(super) fn last_example(&self) -> Option<usize> {
        let is_example = |line: &str| arrow(line.trim()).is_some_and(|(text, _)| text.contains('"'));
        let places = 0..self.input;
        places.rev().find(|at| is_example(self.line(*at)))
    }

    /// A change that puts whole `lines` before the input, as a paragraph of their own.
    pub(super) fn before_input(&self, lines: &str) -> Change {
        let start = self.places.get(self.input).map_or(self.text.len(), |place| place.range.start);
        let open = self.input > 0 && self.places[self.input - 1].free && !self.line(self.input - 1).trim().is_empty();
        Change { range: start..start, text: format!("{}{lines}\n\n", if open { "\n" } else { "" }) }
    }

    /// A change that puts whole `lines` behind line `at`.
    pub(super) fn behind(&self, at: usize, lines: &str) -> Change {
        let end = self.places.get(at).map_or(self.text.len(), |place| place.range.end);
        Change { range: end..end, text: format!("\n{lines}") }
    }

    /// A change of a whole line.
    pub(super) fn instead(&self, at: usize, text: String) -> Change {
        Change { range: self.places.get(at).map_or(0..0, |place| place.range.clone()), text }
    }

    /// A change that takes line `at` away with its line break.
    pub(super) fn without(&self, at: usize) -> Change {
        let start = self.places.get(at).map_or(0, |place| place.range.start);
        let end = self.places.get(at + 1).map_or(self.text.len(), |place| place.range.start);
        Change { range: start..end, text: String::new() }
    }

    /// The edits that make `changes`: each is widened to whole lines, and by the lines around it until what it
    /// searches for occurs once; edits that meet become one.
    pub(super) fn edits(&self, mut changes: Vec<Change>) -> Vec<Edit> {
        changes.sort_by_key(|change| (change.range.start, change.range.end));
        let mut groups: Vec<(Range<usize>, Vec<Change>)> = Vec::new();
        for change in changes {
            let wide = self.unique(change.range.clone());
            match groups.last_mut() {
                Some((range, members)) if wide.start < range.end => {
                    range.end = range.end.max(wide.end);
                    range.start = range.start.min(wide.start);
                    members.push(change);
                }
                _ => groups.push((wide, vec![change])),
            }
        }
        groups
            .into_iter()
            .map(|(range, members)| {
                let mut replace = String::new();
                let mut at = range.start;
                for change in members {
                    // A change inside one that was already made has nothing left to change.
                    if change.range.start < at {
                        continue;
                    }
                    replace.push_str(&self.text[at..change.range.start]);
                    replace.push_str(&change.text);
                    at = change.range.end;
                }
                replace.push_str(&self.text[at..range.end]);
                Edit { file: self.file.clone(), search: self.text[range].to_owned(), replace }
            })
            .collect()
    }

    /// The lines that `range` touches, and as many around them as it takes to occur once in the text.
    fn unique(&self, range: Range<usize>) -> Range<usize> {
        let last = self.places.len().saturating_sub(1);
        let touches =
            |at: &usize| self.places[*at].range.start <= range.start && range.start <= self.places[*at].range.end;
        let mut from = (0..=last).find(touches).unwrap_or(0);
        let mut to = from;
        while to < last && self.places[to].range.end < range.end {
            to += 1;
        }
        loop {
            let start = self.places.get(from).map_or(0, |place| place.range.start).min(range.start);
            let end = self.places.get(to).map_or(self.text.len(), |place| place.range.end).max(range.end);
            let search = &self.text[start..end];
            if !search.trim().is_empty() && self.text.match_indices(search).nth(1).is_none() {
                return start..end;
            }
            // Backwards first: what stands before is instruction, what follows may be a template tag.
            if from > 0 && self.places[from - 1].free {
                from -= 1;
            } else if to < last {
                to += 1;
            } else if from > 0 {
                from -= 1;
            } else {
                return start..end;
            }
        }
    }
}
