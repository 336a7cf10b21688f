//! The parts that a prompt file's text splits into: front matter, role lines, message bodies, protected regions.
//!
//! The file may open with YAML front matter between `---` lines. Lines that hold `system:`, `user:` or `assistant:` and
//! nothing else begin a message, in any case, as in Prompty; a file without such a line is one user message. The split
//! is made on the source, before anything is rendered, so that no row can open a message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::file::{PromptError, Role};
use super::tags::{TagKind, tags};

/// The source of one message.
#[derive(Debug, Clone)]
pub(super) struct Body {
    /// Who speaks it.
    pub role: Role,
    /// Byte range in the file, from the start of a line.
    pub range: Range<usize>,
    /// 1-based line of the file that the body begins on.
    pub line: usize,
}

/// Where the parts of a file are, as byte ranges.
#[derive(Debug)]
pub(super) struct Layout {
    /// With its `---` lines; empty where there is none.
    pub front_matter: Range<usize>,
    /// Of the front matter's map.
    pub keys: BTreeSet<String>,
    /// With their line ends.
    pub role_lines: Vec<Range<usize>>,
    /// In order; one a role line, or the whole file where there is none.
    pub bodies: Vec<Body>,
}

/// A file that is being read, for errors that name the place.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// An error at a byte offset of the file.
    pub fn error_at(&self, offset: usize, message: impl Into<String>) -> PromptError {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.error(before.matches('\n').count() + 1, before[line_start..].chars().count() + 1, message)
    }

    /// An error at a 1-based line and column of the file.
    pub fn error(&self, line: usize, column: usize, message: impl Into<String>) -> PromptError {
        PromptError { file: self.name.to_owned(), line, column, message: message.into() }
    }

    /// Splits the file.
    pub fn layout(&self) -> Result<Layout, PromptError> {
        let (front_matter, keys) = self.front_matter()?;
        let first_line = self.text[..front_matter.end].matches('\n').count() + 1;
        let mut at = front_matter.end;
        let mut role_lines = Vec::new();
        // What comes before the first role line; the one message of a file without role lines.
        let mut bodies = vec![Body { role: Role::User, range: at..at, line: first_line }];
        for (line, text) in (first_line..).zip(self.text[at..].split_inclusive('\n')) {
            let end = at + text.len();
            if let Some(role) = Role::opened_by(text) {
                role_lines.push(at..end);
                bodies.push(Body { role, range: end..end, line: line + 1 });
            } else if let Some(body) = bodies.last_mut() {
                body.range.end = end;
            }
            at = end;
        }
        if !role_lines.is_empty() {
            self.refuse_preamble(&bodies.remove(0))?;
        }
        for (index, body) in bodies.iter().enumerate() {
            if self.text[body.range.clone()].trim().is_empty() {
                let message = "this message has no text: write some below it, or remove the line";
                return Err(match role_lines.get(index) {
                    Some(line) => self.error_at(line.start, message),
                    None => self.error(body.line, 1, "the prompt is empty: write what the model is asked to do"),
                });
            }
        }
        Ok(Layout { front_matter, keys, role_lines, bodies })
    }

    fn refuse_preamble(&self, preamble: &Body) -> Result<(), PromptError> {
        let text = &self.text[preamble.range.clone()];
        let blank = text.len() - text.trim_start().len();
        if blank == text.len() {
            return Ok(());
        }
        let message = "text before the first role line belongs to no message: put a line `system:` above it";
        Err(self.error_at(preamble.range.start + blank, message))
    }

    /// The range of the front matter with its `---` lines, and of a byte order mark before it; empty where there is
    /// neither. Beside it the keys that stand in it.
    fn front_matter(&self) -> Result<(Range<usize>, BTreeSet<String>), PromptError> {
        let start = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut lines = self.text[start..].split_inclusive('\n');
        let Some(open) = lines.next().filter(|line| line.trim_end() == "---") else {
            return Ok((0..start, BTreeSet::new()));
        };
        let mut at = start + open.len();
        for line in lines {
            if line.trim_end() == "---" {
                let keys = self.keys(&self.text[start + open.len()..at])?;
                return Ok((0..at + line.len(), keys));
            }
            at += line.len();
        }
        Err(self.error(1, 1, "front matter opens here and is never closed: end it with a line `---`"))
    }

    /// Front matter is kept for people and other tools; here it only has to be a YAML map, or nothing.
    fn keys(&self, yaml: &str) -> Result<BTreeSet<String>, PromptError> {
        let error = match serde_saphyr::from_str::<Option<BTreeMap<String, serde_json::Value>>>(yaml) {
            Ok(map) => return Ok(map.unwrap_or_default().into_keys().collect()),
            Err(error) => error,
        };
        let (line, column) = error.location().map_or((1, 1), |at| (at.line() as usize, at.column() as usize));
        let error = error.without_snippet().to_string();
        let reason = error.lines().next().unwrap_or_default();
        // The YAML begins on line 2 of the file.
        Err(self.error(line + 1, column, format!("front matter is not a YAML map: {reason}")))
    }

    /// What stands between `ratchet:protect` and `ratchet:end` comments after the offset `from`.
    pub fn protected_regions(&self, from: usize) -> Result<Vec<Range<usize>>, PromptError> {
        let mut regions = Vec::new();
        let mut open = None;
        for tag in tags(&self.text[from..]).into_iter().filter(|tag| tag.kind == TagKind::Comment) {
            let (start, end) = (from + tag.start, from + tag.end);
            match (tag.inner.trim(), open) {
                ("ratchet:protect", None) => open = Some((start, end)),
                ("ratchet:protect", Some(_)) => {
                    return Err(self.error_at(start, "a protected region can't hold another: end the first one before"));
                }
                ("ratchet:end", Some((_, begin))) => {
                    regions.push(begin..start);
                    open = None;
                }
                ("ratchet:end", None) => {
                    return Err(self.error_at(start, "`ratchet:end` without a `ratchet:protect` before it"));
                }
                _ => {}
            }
        }
        match open {
            Some((start, _)) => {
                Err(self.error_at(start, "this protected region never ends: add a line `{# ratchet:end #}`"))
            }
            None => Ok(regions),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::prompt::{Prompt, Role};

    fn roles(text: &str) -> Vec<(Role, String)> {
        let prompt = Prompt::parse("p.prompty", text).unwrap();
        prompt.bodies().map(|(role, body)| (role, body.to_owned())).collect()
    }

    fn error(text: &str) -> (usize, usize, String) {
        let error = Prompt::parse("p.prompty", text).unwrap_err();
        assert_eq!(error.file, "p.prompty");
        (error.line, error.column, error.message)
    }

    #[test]
    fn plain_text_is_one_user_message() {
        assert_eq!(roles("Say {{ input }}\n"), [(Role::User, "Say {{ input }}\n".to_owned())]);
    }

    #[test]
    fn role_lines_open_messages_in_any_case_and_with_any_line_end() {
        let expected = [(Role::System, "Be brief.\r\n".to_owned()), (Role::User, "{{ input }}".to_owned())];
        assert_eq!(roles("---\r\nname: x\r\n---\r\nSystem:\r\nBe brief.\r\nUSER: \r\n{{ input }}"), expected);
    }

    #[test]
    fn a_role_word_that_shares_its_line_opens_nothing() {
        assert_eq!(roles("system: be brief\n  user:\nthe user:\n").len(), 1);
    }

    #[test]
    fn a_byte_order_mark_hides_neither_front_matter_nor_role_lines() {
        assert_eq!(roles("\u{feff}---\nname: x\n---\nuser:\na"), [(Role::User, "a".to_owned())]);
        assert_eq!(roles("\u{feff}system:\na"), [(Role::System, "a".to_owned())]);
    }

    #[test]
    fn text_above_the_first_role_line_is_refused_at_its_place() {
        let (line, column, message) = error("\n  Hello\nuser:\n{{ input }}");
        assert_eq!((line, column), (2, 3));
        assert!(message.contains("belongs to no message"), "{message}");
    }

    #[test]
    fn a_message_without_text_is_refused_at_its_role_line() {
        let (line, column, message) = error("---\nname: x\n---\nsystem:\n\nuser:\n{{ input }}");
        assert_eq!((line, column), (4, 1));
        assert!(message.contains("has no text"), "{message}");
        assert!(error("").2.contains("the prompt is empty"));
    }

    #[test]
    fn front_matter_that_never_ends_or_is_no_map_is_refused() {
        assert!(error("---\nname: x\nHello").2.contains("never closed"));
        let (line, _, message) = error("---\nname: x\n bad: [\n---\nHello");
        assert!((2..=4).contains(&line), "{line}: {message}");
        assert!(message.contains("not a YAML map"), "{message}");
        assert!(error("---\n- a\n---\nHello").2.contains("not a YAML map"));
    }

    #[test]
    fn empty_front_matter_is_fine() {
        assert_eq!(roles("---\n---\nHello"), [(Role::User, "Hello".to_owned())]);
    }

    #[test]
    fn the_structure_is_front_matter_and_role_lines() {
        let text = "---\nname: x\n---\nsystem:\nBe brief.\nUser: \n{{ input }}\n";
        let prompt = Prompt::parse("p", text).unwrap();
        assert_eq!(prompt.structure().front_matter, "---\nname: x\n---\n");
        assert_eq!(prompt.structure().role_lines, ["system:", "User:"]);
        assert!(prompt.front_matter_keys().iter().eq(["name"]));
        let edited = Prompt::parse("p", &text.replace("brief", "very brief")).unwrap();
        assert_eq!(edited.structure(), prompt.structure());
    }

    #[test]
    fn protected_regions_stand_between_their_comments() {
        let text = "a {{ input }}\n{# ratchet:protect #}\nkeep\n{#- ratchet:end -#}\nb\n{# ratchet:protect #}x{# ratchet:end #}";
        assert_eq!(Prompt::parse("p", text).unwrap().protected_regions(), ["\nkeep\n", "x"]);
    }

    #[test]
    fn unpaired_protection_is_refused_at_its_place() {
        assert_eq!(error("a\n{# ratchet:protect #}\nb").0, 2);
        assert_eq!(error("a\n {# ratchet:end #}\nb"), (2, 2, error("{# ratchet:end #} b").2));
        assert_eq!(error("{# ratchet:protect #}\n{# ratchet:protect #}\n{# ratchet:end #} b").0, 2);
    }
}
