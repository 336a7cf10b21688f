//! The prompts of a target: one for a chat target, several for an agent.

use std::fmt;

use super::diff;
use super::edit::{self, Edit, EditError};
use super::file::{Prompt, PromptError};
use crate::digest::Digest;
use crate::text::approximate_tokens;

/// Prompts by name. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct PromptSet {
    /// Sorted by name; names are unique.
    prompts: Vec<Prompt>,
}

impl PromptSet {
    /// The single prompt of a chat target.
    ///
    /// # Errors
    /// The prompt does not use the row's input.
    pub fn one(prompt: Prompt) -> Result<PromptSet, PromptError> {
        Self::new([prompt])?.with_input()
    }

    /// A set of prompts; the name of each is its key. Those of a program need not use the row's input, which it is told beside
    /// them.
    ///
    /// # Errors
    /// No prompt at all, or two of one name.
    pub fn new(prompts: impl IntoIterator<Item = Prompt>) -> Result<PromptSet, PromptError> {
        let mut prompts: Vec<Prompt> = prompts.into_iter().collect();
        prompts.sort_by(|left, right| left.name().cmp(right.name()));
        let error = |file: &str, message: &str| {
            Err(PromptError { file: file.to_owned(), line: 1, column: 1, message: message.to_owned() })
        };
        if prompts.is_empty() {
            return error("prompts", "there is no prompt: name at least one file");
        }
        if let Some(pair) = prompts.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
            return error(pair[0].name(), "two prompts have this name: give each its own");
        }
        Ok(PromptSet { prompts })
    }

    /// The same, where a prompt of it uses the row's input.
    ///
    /// # Errors
    /// None does.
    fn with_input(self) -> Result<PromptSet, PromptError> {
        if self.iter().any(Prompt::uses_input) {
            return Ok(self);
        }
        let message =
            "the prompt loses its input variable: write `{{ input }}`, or `{{ input.field }}` where the input is a \
                       map, where the row's text belongs"
                .to_owned();
        Err(PromptError { file: self.first().name().to_owned(), line: 1, column: 1, message })
    }

    /// The same, made of the prompts of `before`.
    ///
    /// # Errors
    /// A prompt of `before` uses the row's input, and none does here.
    pub fn made_of(self, before: &PromptSet) -> Result<PromptSet, PromptError> {
        if before.iter().any(Prompt::uses_input) { self.with_input() } else { Ok(self) }
    }

    /// The prompt of that name.
    pub fn get(&self, name: &str) -> Option<&Prompt> {
        let index = self.prompts.binary_search_by(|prompt| prompt.name().cmp(name)).ok()?;
        self.prompts.get(index)
    }

    /// All prompts in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Prompt> {
        self.prompts.iter()
    }

    /// The first prompt by name: the only one of a chat target.
    pub fn first(&self) -> &Prompt {
        // A set is never empty: `new` refuses to make one.
        &self.prompts[0]
    }

    /// All names in order, for a heading.
    pub fn names(&self) -> String {
        self.iter().map(Prompt::name).collect::<Vec<_>>().join(", ")
    }

    /// How many prompts there are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Digest of names and texts.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(self.iter().flat_map(|prompt| [prompt.name().as_bytes(), prompt.text().as_bytes()]))
    }

    /// Bytes of all texts together.
    pub fn text_len(&self) -> usize {
        self.iter().map(|prompt| prompt.text().len()).sum()
    }

    /// Approximate tokens of all message bodies together; front matter is not sent and not counted.
    pub fn tokens(&self) -> usize {
        self.iter().flat_map(Prompt::bodies).map(|(_, body)| approximate_tokens(body)).sum()
    }

    /// The set with the prompt of the same name replaced by `newer`; unchanged where there is none.
    ///
    /// # Errors
    /// No prompt would use the row's input any more.
    pub fn with(&self, newer: Prompt) -> Result<PromptSet, PromptError> {
        let newer = |prompt: &Prompt| if prompt.name() == newer.name() { newer.clone() } else { prompt.clone() };
        Self::new(self.iter().map(newer))?.made_of(self)
    }

    /// The set with all `edits` made, each against the text as it is here.
    ///
    /// # Errors
    /// An edit that names no prompt, does not occur exactly once or overlaps another, or a result that is no valid
    /// prompt.
    pub fn apply(&self, edits: &[Edit]) -> Result<PromptSet, EditError> {
        edit::apply(self, edits)
    }

    /// What has to change to get from here to `newer`, as a unified diff with three lines of context and the names
    /// `a/..` and `b/..`. Empty where the texts are equal.
    pub fn unified_diff(&self, newer: &PromptSet) -> String {
        diff::unified(self, newer)
    }
}

impl fmt::Debug for PromptSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(name: &str, text: &str) -> Prompt {
        Prompt::parse(name, text).unwrap()
    }

    #[test]
    fn a_set_is_sorted_by_name_and_finds_by_name() {
        let set = PromptSet::new([prompt("b", "B {{ input }}"), prompt("a", "A")]).unwrap();
        assert_eq!(set.first().name(), "a");
        assert_eq!(set.get("b").unwrap().text(), "B {{ input }}");
        assert!(set.get("c").is_none());
    }

    #[test]
    fn a_chat_prompt_needs_input_and_others_keep_it_where_they_have_it() {
        let lost = |set: Result<PromptSet, PromptError>| set.unwrap_err().message.contains("loses its input variable");
        assert!(lost(PromptSet::one(prompt("p.prompty", "Answer yes."))));
        let of_program = PromptSet::new([prompt("a", "A"), prompt("b", "B")]).unwrap();
        assert_eq!(of_program.with(prompt("b", "C")).unwrap().get("b").unwrap().text(), "C");
        let with_input = PromptSet::new([prompt("a", "A"), prompt("b", "B {{ input }}")]).unwrap();
        assert!(lost(with_input.with(prompt("b", "B"))));
        let edit = |file: &str, search: &str| Edit { file: file.into(), search: search.into(), replace: "x".into() };
        assert!(with_input.apply(&[edit("b", "{{ input }}")]).is_err());
        assert!(of_program.apply(&[edit("b", "B")]).is_ok());
    }

    #[test]
    fn an_empty_set_and_a_name_twice_are_refused() {
        assert!(PromptSet::new([]).is_err());
        assert!(PromptSet::new([prompt("p", "{{ input }}"), prompt("p", "{{ input }}")]).is_err());
    }

    #[test]
    fn the_digest_tells_names_and_texts_apart() {
        let one = PromptSet::one(prompt("p", "{{ input }}")).unwrap();
        let renamed = PromptSet::one(prompt("q", "{{ input }}")).unwrap();
        let edited = one.with(prompt("p", "{{ input }}!")).unwrap();
        assert_ne!(one.digest(), renamed.digest());
        assert_ne!(one.digest(), edited.digest());
        assert_eq!(edited.get("p").unwrap().text(), "{{ input }}!");
    }

    #[test]
    fn front_matter_costs_no_tokens() {
        let bare = PromptSet::one(prompt("p", "user:\nSay {{ input }}\n")).unwrap();
        let described = PromptSet::one(prompt("p", "---\nname: x\n---\nuser:\nSay {{ input }}\n")).unwrap();
        assert_eq!(bare.tokens(), described.tokens());
        assert!(bare.text_len() < described.text_len());
    }
}
