//! Proposals that need no model and only make a prompt shorter: each leaves out one line, of the instructions or of the
//! examples.

use super::Proposal;
use crate::prompt::{Prompt, PromptSet, hunks};

/// Name under which these proposals are tried, shown and switched off.
pub(super) const LEAVE_OUT: &str = "leave-out";

/// One proposal for each line of `prompts` that may be left out, the longest line first. Lines with template tags are
/// not offered; whatever else must stay is left to the guards.
pub(super) fn proposals(prompts: &PromptSet) -> Vec<Proposal> {
    let mut found: Vec<(usize, Proposal)> = Vec::new();
    for prompt in prompts.iter() {
        let lines: Vec<&str> = prompt.text().split_inclusive('\n').collect();
        for (at, line) in lines.iter().enumerate() {
            let shown = line.trim();
            // A line of few letters, a fence or a rule, costs next to nothing.
            let has_words = shown.chars().filter(|letter| letter.is_alphanumeric()).count() > 2;
            if !has_words || shown.contains("{{") || shown.contains("{%") || shown.contains("{#") {
                continue;
            }
            let text = [&lines[..at], &lines[at + 1..]].concat().concat();
            let Ok(edited) = Prompt::parse(prompt.name(), &text) else { continue };
            let proposal = Proposal {
                edits: hunks(prompt, &edited),
                rationale: format!("If the answers stay as they are without it, this line can go: {shown}"),
                expected_effect: "A shorter prompt that is not inferior.".to_owned(),
                quoted: Vec::new(),
            };
            found.push((shown.chars().count(), proposal));
        }
    }
    // The sort is stable: of equals the first line of the prompt.
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, proposal)| proposal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::testing::{PROMPT, prompts};

    #[test]
    fn every_line_of_text_is_left_out_once_and_the_longest_first() {
        let before = prompts(PROMPT);
        let texts: Vec<String> = proposals(&before)
            .into_iter()
            .map(|proposal| before.apply(&proposal.edits).unwrap().first().text().to_owned())
            .collect();
        assert_eq!(texts[0], PROMPT.replace("Sort support tickets into one of these categories:\n", ""));
        assert_eq!(texts[1], PROMPT.replace("Respond with only the category name, nothing else.\n", ""));
        assert!(texts.contains(&PROMPT.replace("- refunds\n", "")));
        assert!(texts.iter().all(|text| text.contains("{{ input }}")));
    }
}
