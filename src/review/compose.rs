//! What chosen hunks amount to. A hunk is tried on what the choices before it have made: as a three-way merge against
//! the text that it was written for, so that it goes where it belongs though lines around it are missing.

use serde::Serialize;

use super::{Choice, Choices, HunkId, Revisions};
use crate::prompt::{Edit, PromptSet, merge};

/// A chosen hunk that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// The hunk.
    pub id: HunkId,
    /// What stands in its way.
    pub reason: String,
}

/// The prompts that a review's choices make.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The baseline with every chosen hunk that can be made.
    pub prompts: PromptSet,
    /// Chosen hunks that can't be made, in order.
    pub blocked: Vec<Blocked>,
}

impl Revisions {
    /// The baseline with the hunks that `choices` accept or edit; hunks without a choice are left out.
    pub fn compose(&self, choices: &Choices) -> Composed {
        let mut prompts = self.baseline.clone();
        let mut blocked = Vec::new();
        // Edits against the same base are made together: `made` of them so far, on top of `ground`.
        let (mut ground, mut made): (PromptSet, Vec<Edit>) = (prompts.clone(), Vec::new());
        let mut base = self.baseline.digest();
        for (_, hunk) in self.hunks() {
            if hunk.base.digest() != base {
                base = hunk.base.digest();
                ground = prompts.clone();
                made.clear();
            }
            let Some(edit) = choices.get(&hunk.id).and_then(|choice| choice.edit(hunk)) else { continue };
            made.push(edit.clone());
            match onto(&ground, &hunk.base, &made) {
                Ok(with) => prompts = with,
                // Where lines repeat, such as empty ones, a diff may take another's place for that of a missing line.
                // Lines that stand beside the hunk and are there just once are sure.
                Err(reason) => match beside(&hunk.base, &edit).find_map(|edit| prompts.apply(&[edit]).ok()) {
                    Some(with) => {
                        prompts = with;
                        ground = prompts.clone();
                        made.clear();
                    }
                    None => {
                        made.pop();
                        blocked.push(Blocked { id: hunk.id, reason });
                    }
                },
            }
        }
        Composed { prompts, blocked }
    }

    /// Hunks that could still be had and no longer could if `id` got `choice`: those that build on it. Where `choice` is
    /// an edit that can't be made, `id` itself is among them.
    pub fn lost_by(&self, choices: &Choices, id: HunkId, choice: &Choice) -> Vec<Blocked> {
        let before = self.hopes(choices);
        let mut after = before.clone();
        after.insert(id, choice.clone());
        let blocked_before = self.compose(&before).blocked;
        let is_new = |blocked: &Blocked| !blocked_before.iter().any(|old| old.id == blocked.id);
        self.compose(&after).blocked.into_iter().filter(is_new).collect()
    }

    /// Hunks that build on `id`, whatever else is chosen: they can't be made once it is rejected.
    pub fn built_on(&self, id: HunkId) -> Vec<HunkId> {
        self.lost_by(&Choices::new(), id, &Choice::Reject).into_iter().map(|blocked| blocked.id).collect()
    }

    /// Why `id` can't be accepted under `choices`, if it can't; with the rejected or edited hunks of which each alone
    /// stands in its way.
    pub fn hindered(&self, choices: &Choices, id: HunkId) -> Option<(Blocked, Vec<HunkId>)> {
        let mut hopes = self.hopes(choices);
        hopes.insert(id, Choice::Accept);
        let find = |choices: &Choices| self.compose(choices).blocked.into_iter().find(|blocked| blocked.id == id);
        let blocked = find(&hopes)?;
        let others = choices.iter().filter(|(other, choice)| **other != id && **choice != Choice::Accept);
        let in_the_way = others
            .filter(|(other, _)| {
                let mut without = hopes.clone();
                without.insert(**other, Choice::Accept);
                find(&without).is_none()
            })
            .map(|(other, _)| *other)
            .collect();
        Some((blocked, in_the_way))
    }

    /// `choices` with every open hunk accepted.
    fn hopes(&self, choices: &Choices) -> Choices {
        let open = self.hunks().map(|(_, hunk)| (hunk.id, Choice::Accept));
        open.chain(choices.iter().map(|(id, choice)| (*id, choice.clone()))).collect()
    }
}

/// `ground` with `edits`, which were written for `base`.
fn onto(ground: &PromptSet, base: &PromptSet, edits: &[Edit]) -> Result<PromptSet, String> {
    let edited = base.apply(edits).map_err(|error| error.to_string())?;
    merge(base, &[ground, &edited]).map_err(|error| error.to_string())
}

/// `edit` as it could be written with other lines of `base` around its change: up to three above it, or below it.
fn beside(base: &PromptSet, edit: &Edit) -> impl Iterator<Item = Edit> {
    const MOST: usize = 3;
    let edited = base.apply(std::slice::from_ref(edit)).ok();
    let text = |set: &PromptSet| set.get(&edit.file).map_or_else(String::new, |prompt| prompt.text().to_owned());
    let (old, new) = (text(base), edited.as_ref().map_or_else(String::new, text));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(one, other)| one == other).count();
    let above = same(&mut old.iter().zip(&new));
    let below = same(&mut old[above..].iter().rev().zip(new[above..].iter().rev()));
    let part = |lines: &[&str], up: usize, down: usize| lines[above - up..lines.len() - below + down].concat();
    let around = (1..=MOST.min(above)).map(|up| (up, 0)).chain((1..=MOST.min(below)).map(|down| (0, down)));
    // Empty lines alone say nothing of the place.
    let tells = |up: usize, down: usize| {
        let lines = old[above - up..above].iter().chain(&old[old.len() - below..old.len() - below + down]);
        lines.into_iter().any(|line| !line.trim().is_empty())
    };
    let edits: Vec<Edit> = around
        .filter(|(up, down)| tells(*up, *down))
        .map(|(up, down)| Edit { file: edit.file.clone(), search: part(&old, up, down), replace: part(&new, up, down) })
        .collect();
    edits.into_iter()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eval::Summary;
    use crate::prompt::{Prompt, hunks};
    use crate::review::{Hunk, Purpose, Revision};
    use crate::run::{Decision, Judged, Verdict};
    use crate::stats::Interval;

    fn set(text: &str) -> PromptSet {
        PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap()
    }

    fn judged(generation: u32) -> Judged {
        let verdict = Verdict {
            decision: Decision::Kept,
            reason: "better".to_owned(),
            rows: 10,
            missing: 0,
            fixed: 1,
            broken: 0,
            improved: 0,
            worsened: 0,
            difference: 0.1,
            standard_error: 0.05,
            p_value: 0.1,
            samples: 0,
            e_value: None,
            alpha: None,
        };
        let dev = Summary { score: 0.5, interval: Interval { low: 0.4, high: 0.6 }, examples: 10, errors: 0 };
        Judged {
            generation,
            candidate: format!("c{generation}"),
            incumbent: "before".to_owned(),
            verdict,
            dev,
            fixed: Vec::new(),
            broken: Vec::new(),
            worsened: Vec::new(),
        }
    }

    /// A run that began with the first text and kept each of the others in turn.
    pub(in crate::review) fn revisions(texts: &[&str]) -> Revisions {
        let purpose = Purpose {
            strategy: "add-rule".to_owned(),
            cluster: None,
            rationale: String::new(),
            expected_effect: String::new(),
            quoted: Vec::new(),
        };
        let revisions = texts.windows(2).zip(1..).map(|(pair, generation)| {
            let (parent, prompts) = (set(pair[0]), set(pair[1]));
            let hunks = hunks(parent.first(), prompts.first())
                .into_iter()
                .zip(1..)
                .map(|(edit, number)| Hunk {
                    id: HunkId { generation, number },
                    base: parent.clone(),
                    edit,
                    purpose: Some(0),
                })
                .collect();
            Revision { generation, judged: judged(generation), prompts, purposes: vec![purpose.clone()], hunks }
        });
        Revisions { baseline: set(texts[0]), revisions: revisions.collect() }
    }

    pub(in crate::review) fn id(text: &str) -> HunkId {
        text.parse().unwrap()
    }

    fn choices(chosen: &[(&str, Choice)]) -> Choices {
        chosen.iter().map(|(name, choice)| (id(name), choice.clone())).collect()
    }

    const BASE: &str = "intro\none\ntwo\nthree\n{{ input }}\n";
    const FIRST: &str = "intro\nrule A\none\ntwo\nTHREE\n{{ input }}\n";
    const SECOND: &str = "intro\nrule A, but B\none\nTWO\nTHREE\n{{ input }}\n";

    #[test]
    fn a_hunk_alone_goes_where_it_belongs_though_lines_around_it_are_missing() {
        let all = revisions(&[BASE, FIRST, SECOND]);
        let composed = all.compose(&choices(&[("g2h2", Choice::Accept)]));
        assert_eq!(composed.prompts.first().text(), BASE.replace("two", "TWO"));
        assert!(composed.blocked.is_empty());
    }

    #[test]
    fn hunks_that_build_on_a_rejected_one_are_found_by_trying() {
        let all = revisions(&[BASE, FIRST, SECOND]);
        assert_eq!(all.built_on(id("g1h1")), [id("g2h1")]);
        assert!(all.built_on(id("g1h2")).is_empty());
        assert!(all.built_on(id("g2h1")).is_empty());
        let composed = all.compose(&choices(&[("g1h1", Choice::Reject), ("g2h1", Choice::Accept)]));
        assert_eq!(composed.blocked.iter().map(|blocked| blocked.id).collect::<Vec<_>>(), [id("g2h1")]);
        assert_eq!(composed.prompts.first().text(), BASE);
    }

    #[test]
    fn empty_lines_around_a_rejected_hunk_block_nothing() {
        let texts = [
            "top\nend\n\n{{ input }}\n",
            "TOP\nend\n\n{{ input }}\n",
            "TOP\nend\n\nrule X\n\n{{ input }}\n",
            "TOP\nend\n\nrule Y\n\nrule X\n\n{{ input }}\n",
            "TOP\nend\n\nrule Y\n\nrule X\n\nrule Z\n\n{{ input }}\n",
        ];
        let all = revisions(&texts);
        for edited in ["Top!\n", "TOP\n", "TOP\nmore\n"] {
            let rejected = choices(&[
                ("g1h1", Choice::Edit { replace: edited.to_owned() }),
                ("g2h1", Choice::Reject),
                ("g3h1", Choice::Accept),
                ("g4h1", Choice::Accept),
            ]);
            let composed = all.compose(&rejected);
            assert_eq!(composed.blocked, []);
            let text = composed.prompts.first().text().to_owned();
            assert_eq!(text, format!("{edited}end\n\nrule Y\n\nrule Z\n\n{{{{ input }}}}\n"));
        }
    }

    #[test]
    fn what_hinders_a_hunk_is_named() {
        let all = revisions(&[BASE, FIRST, SECOND]);
        let rejected = choices(&[("g1h1", Choice::Reject), ("g1h2", Choice::Reject)]);
        let (blocked, in_the_way) = all.hindered(&rejected, id("g2h1")).unwrap();
        assert_eq!((blocked.id, in_the_way), (id("g2h1"), vec![id("g1h1")]));
        assert!(all.hindered(&rejected, id("g2h2")).is_none());
    }

    #[test]
    fn an_edited_hunk_replaces_the_proposed_text_and_blocks_what_was_built_on_it() {
        let all = revisions(&[BASE, FIRST, SECOND]);
        let edited = Choice::Edit { replace: "intro\nrule C\n".to_owned() };
        let composed = all.compose(&choices(&[("g1h1", edited.clone())]));
        assert_eq!(composed.prompts.first().text(), BASE.replace("intro\n", "intro\nrule C\n"));
        let lost = all.lost_by(&Choices::new(), id("g1h1"), &edited);
        assert_eq!(lost.iter().map(|blocked| blocked.id).collect::<Vec<_>>(), [id("g2h1")]);
    }

    #[test]
    fn an_edit_that_leaves_no_valid_prompt_is_refused_itself() {
        let all = revisions(&["a\n{{ input }}\n", "A\n{{ input }}\n"]);
        let edited = Choice::Edit { replace: "{% if %}\n".to_owned() };
        let lost = all.lost_by(&Choices::new(), id("g1h1"), &edited);
        assert_eq!(lost[0].id, id("g1h1"));
        assert!(lost[0].reason.contains("p:1"), "{}", lost[0].reason);
    }

    fn text() -> impl Strategy<Value = String> {
        let lines = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c", "", "d d"]), 0..10);
        (lines, any::<prop::sample::Index>()).prop_map(|(mut lines, at)| {
            lines.insert(at.index(lines.len() + 1), "{{ input }}");
            lines.join("\n")
        })
    }

    proptest! {
        #[test]
        fn all_hunks_accepted_make_the_last_revision(texts in prop::collection::vec(text(), 2..5)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = revisions(&texts);
            let composed = all.compose(&all.hopes(&Choices::new()));
            prop_assert!(composed.blocked.is_empty());
            prop_assert_eq!(composed.prompts.first().text(), *texts.last().unwrap());
        }

        #[test]
        fn any_choice_makes_a_valid_prompt_and_rejecting_all_makes_the_baseline(
            texts in prop::collection::vec(text(), 2..4), bits in any::<u32>()
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = revisions(&texts);
            let chosen: Choices = all.hunks().enumerate()
                .map(|(index, (_, hunk))| {
                    (hunk.id, if bits >> (index % 32) & 1 == 1 { Choice::Accept } else { Choice::Reject })
                })
                .collect();
            let composed = all.compose(&chosen);
            prop_assert!(composed.prompts.first().uses_input());
            let rejected: Choices = all.hunks().map(|(_, hunk)| (hunk.id, Choice::Reject)).collect();
            let nothing = all.compose(&rejected).prompts;
            prop_assert_eq!(nothing.first().text(), texts[0]);
        }
    }
}
