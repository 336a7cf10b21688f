//! What people read of a run: the report in its folder, the screen after it, and the numbers a script wants. All of it
//! is worked out from the run's events by [`RunView`]; nothing here measures or decides.
//!
//! | file | owns |
//! |---|---|
//! | `view.rs` | [`RunView`]: a run's events gathered by what they are about |
//! | `markdown.rs`, `tried.rs`, `spending.rs` | `report.md`, section by section |
//! | `html.rs`, `page.html` | `report.html`, made of it |
//! | `ablation.rs` | which hunks of what was kept went again |
//! | `unran.rs` | rows that could not run, and why |
//! | `terminal.rs` | the screen after a run |
//! | `json.rs` | the `--json` object |
//! | `breakdown.rs`, `least.rs`, `classify.rs`, `finding.rs` | one evaluation taken apart, by label with F1, and what a comparison of two amounts to |
//! | `certainty.rs`, `length.rs` | whether log probabilities, and lengths, go with the scores |
//! | `numbers.rs`, `escape.rs` | how numbers and untrusted text are written |

mod ablation;
mod breakdown;
mod certainty;
mod classify;
mod escape;
mod finding;
mod html;
mod json;
mod least;
mod length;
mod markdown;
mod numbers;
mod spending;
mod terminal;
mod tried;
mod unran;
mod view;

#[cfg(test)]
mod testing;

pub use ablation::ablation;
pub use breakdown::{Aspects, Breakdown, Confusion, Group};
pub use certainty::Certainty;
pub use classify::{Classified, MacroF1, macro_f1_difference};
pub use escape::one_line;
pub use finding::Finding;
pub use html::html;
pub use json::{json, json_lost, json_lost_amount};
pub use length::LengthBias;
pub use markdown::markdown;
pub use numbers::{
    cost, count, duration, interval, lost_in_words, p_value, paid, percent, plural, points, signed, signed_interval,
    tally,
};
pub use terminal::{headline, terminal, wrapped};
pub use unran::{Unran, undecidable};
pub use view::{CandidateView, Fate, GenerationView, Origin, RunView};

use crate::durable;
use crate::run::{RunError, RunFolder};

/// Name of the report in a run's folder.
pub const FILE: &str = "report.md";

/// Name of the same as a page for a browser.
pub const PAGE_FILE: &str = "report.html";

/// Writes [`FILE`] and [`PAGE_FILE`] into the run's folder: of each the old one or the new one, never a part.
///
/// # Errors
/// The run can't be read, or the report can't be written.
pub fn write(folder: &RunFolder) -> Result<(), RunError> {
    let view = RunView::read(folder)?;
    durable::write(&folder.path.join(PAGE_FILE), html(&view).as_bytes())?;
    // Last, since a run that has it is taken to be through.
    durable::write(&folder.path.join(FILE), markdown(&view).as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;
    use crate::run::{Event, Stopped, Unusable, Widened};

    #[test]
    fn a_run_of_format_1_always_opens() {
        let view = RunView::read(&testing::golden()).unwrap();
        assert_eq!((view.generations.len(), view.kept().len(), view.candidates().count()), (3, 1, 8));
        assert_eq!(view.uses.clone().map(|uses| (uses.dev, uses.test)), Ok((3, 1)));
        insta::assert_snapshot!(markdown(&view));
    }

    #[test]
    fn the_report_is_written_into_the_folder_and_again_the_same() {
        let fixture = testing::finished();
        write(&fixture.folder).unwrap();
        let read = || [FILE, PAGE_FILE].map(|file| std::fs::read(fixture.folder.path.join(file)).unwrap());
        let first = read();
        write(&fixture.folder).unwrap();
        assert_eq!(read(), first);
    }

    #[test]
    fn a_test_that_earlier_runs_opened_is_told_on_the_screen_too() {
        let fixture = testing::finished();
        let mut view = fixture.view();
        let mut told = |test| {
            view.uses = Ok(crate::run::UseCount { dev: 9, test });
            terminal(&view, 80).contains("opened 3 times over all runs here")
        };
        assert!(told(3) && !told(1));
    }

    #[test]
    fn all_that_time_and_money_change_is_in_the_last_section_and_on_the_line_of_the_run() {
        let fixture = testing::finished();
        let mut view = fixture.view();
        let before = markdown(&view);
        view.spent = crate::run::Spent::default();
        view.uses = Err("damaged".to_owned());
        let after = markdown(&view);
        let head = |text: &str| -> Vec<String> {
            let head = text.split("## Spent").next().unwrap().lines();
            head.filter(|line| !line.starts_with("Run `")).map(str::to_owned).collect()
        };
        assert_ne!(before, after);
        assert_eq!(head(&before), head(&after));
        assert_eq!(before.matches("\n## ").last(), Some("\n## "));
    }

    #[test]
    fn a_run_that_was_stopped_before_it_began_can_be_shown() {
        let fixture = testing::changed(|_| Vec::new());
        let view = fixture.view();
        assert!(markdown(&view).contains("unfinished") && terminal(&view, 80).contains("ratchet resume"));
        std::fs::remove_file(fixture.folder.path.join("journal.jsonl")).unwrap();
        assert!(fixture.view().started.is_none());
    }

    #[test]
    fn the_screen_fits_80_columns() {
        for fixture in [testing::finished(), testing::unfinished(), testing::nothing_kept()] {
            let screen = terminal(&fixture.view(), 80);
            assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
        }
    }

    #[test]
    fn screen_of_a_finished_run() {
        insta::assert_snapshot!(terminal(&testing::finished().view(), 80));
    }

    #[test]
    fn screen_when_nothing_was_kept() {
        insta::assert_snapshot!(terminal(&testing::nothing_kept().view(), 80));
    }

    #[test]
    fn report_of_an_unfinished_run() {
        insta::assert_snapshot!(markdown(&testing::unfinished().view()));
    }

    #[test]
    fn report_when_nothing_was_kept() {
        insta::assert_snapshot!(markdown(&testing::nothing_kept().view()));
    }

    #[test]
    fn rows_that_could_not_run_are_named_with_the_reason() {
        let fixture = testing::changed(|mut events| {
            let error: crate::eval::OutcomeError = crate::model::CallError::Rejected("too | long".to_owned()).into();
            let prompts = crate::digest::Digest::of(b"p");
            let failed = |example: &str| crate::run::RowFailed {
                prompts,
                example: example.to_owned(),
                sample: 0,
                error: error.clone(),
            };
            events.splice(1..1, ["t-1", "t-2"].map(|row| Event::RowFailed(failed(row))));
            events
        });
        let report = markdown(&fixture.view());
        assert!(
            report.contains("3 answers could not be had or scored") && report.contains("- `t-1`, `t-2`: "),
            "{report}"
        );
        assert!(report.contains("too \\| long"), "{report}");
    }

    #[test]
    fn no_rows_are_no_score() {
        let fixture = testing::changed(|mut events| {
            for event in &mut events {
                if let Event::BaselineMeasured(baseline) = event {
                    (baseline.dev.examples, baseline.dev.score) = (0, 0.0);
                }
            }
            events
        });
        let view = fixture.view();
        assert_eq!(json(&view)["baseline"]["dev"], serde_json::Value::Null);
        assert!(!markdown(&view).contains("0.0 % ["), "{}", markdown(&view));
        assert!(!terminal(&view, 80).contains(" 0.0 %"), "{}", terminal(&view, 80));
    }

    #[test]
    fn a_plateau_and_why_it_ended_the_run_are_told() {
        let words = "no gain for 1 generation: 2 clusters that nothing was asked for come first";
        let why = "3 generations in a row kept nothing, also with 2 other clusters";
        let fixture = testing::changed(|mut events| {
            for event in &mut events {
                if let Event::RunEnded(ended) = event {
                    (ended.stopped, ended.why) = (Stopped::NoGain, why.to_owned());
                }
            }
            let widened = Widened {
                generation: 1,
                without_gain: 1,
                clusters: vec!["a".to_owned(), "b".to_owned()],
                bolder: false,
                parents: Vec::new(),
                donor: None,
                words: words.to_owned(),
            };
            let at = events.iter().position(|event| matches!(event, Event::Proposed(_))).unwrap();
            events.insert(at, Event::Widened(widened));
            events
        });
        let report = markdown(&fixture.view());
        assert!(report.contains(&format!("## Widened on a plateau\n\n- Generation 1: {words}.\n")), "{report}");
        assert!(report.contains(&format!(": {why}.\n")), "{report}");
        assert!(!report.contains("of the archive"), "{report}");
        assert!(terminal(&fixture.view(), 80).contains("Stopped  3 generations in a row kept nothing"));
    }

    #[test]
    fn where_no_question_could_be_decided_that_and_why_is_told() {
        let fixture = testing::changed(|events| {
            let undecided = |event| match event {
                Event::TestOpened(_) | Event::Ablated(_) => None,
                Event::Judged(mut judged) => {
                    judged.verdict.decision = crate::run::Decision::Undecided;
                    judged.verdict.reason = "3 of 14 rows could not run".to_owned();
                    Some(Event::Judged(judged))
                }
                Event::BaselineMeasured(mut baseline) => {
                    (baseline.dev.examples, baseline.dev.errors) = (11, 3);
                    Some(Event::BaselineMeasured(baseline))
                }
                event => Some(event),
            };
            events.into_iter().filter_map(undecided).collect()
        });
        let view = fixture.view();
        let headline = headline(&view);
        assert!(headline.contains("could") && headline.ends_with("3 of 14 rows could not run"), "{headline}");
        assert!(view.warnings()[0].starts_with("3 of 14 dev rows could not run"), "{:?}", view.warnings());
    }

    #[test]
    fn pinned_rows_that_a_race_finds_broken_may_be_of_any_split() {
        let fixture = testing::changed(|mut events| {
            events.retain(|event| !matches!(event, Event::Merged(_) | Event::Judged(_)));
            for event in &mut events {
                if let Event::Raced(raced) = event {
                    (raced.survived, raced.breaks_pinned) = (false, vec!["d-1".to_owned()]);
                }
            }
            events
        });
        let report = markdown(&fixture.view());
        assert!(report.contains("but breaks pinned d-1 |"), "{report}");
        assert!(report.contains("Pinned rows refused ") && report.contains(": `d-1`"), "{report}");
    }

    #[test]
    fn that_not_one_proposal_could_be_used_is_told_first_with_the_last_reason_and_what_to_do() {
        let fixture = testing::changed(|events| {
            let is_candidate =
                |event: &Event| matches!(event, Event::Proposed(_) | Event::Merged(_) | Event::Judged(_));
            let tried = |event: &Event| matches!(event, Event::Screened(_) | Event::Raced(_) | Event::TestOpened(_));
            let mut events: Vec<Event> = events.into_iter().filter(|of| !is_candidate(of) && !tried(of)).collect();
            for event in &mut events {
                if let Event::RunEnded(ended) = event {
                    ended.stopped = Stopped::NothingProposed;
                    ended.unusable = Some(Unusable {
                        proposals: 6,
                        reason: "the reply holds no JSON".to_owned(),
                        refused: false,
                        too_long: false,
                    });
                }
            }
            events
        });
        let view = fixture.view();
        let told =
            "all 6 proposals were unusable; the last: the reply holds no JSON. Give [models.proposer] a larger model";
        assert_eq!(headline(&view), "nothing kept, not one proposal could be used");
        assert_eq!(
            (&json(&view)["stopped"], json(&view)["warnings"][0].as_str().unwrap().starts_with(told)),
            (&"nothing_proposed".into(), true)
        );
        assert!(terminal(&view, 400).contains(told) && markdown(&view).contains("all 6 proposals were unusable"));
    }

    #[test]
    fn scores_of_unequally_many_test_rows_are_told_with_what_ran() {
        let fixture = testing::changed(|mut events| {
            for event in &mut events {
                if let Event::TestOpened(test) = event {
                    (test.baseline.examples, test.winner.examples) = (14, 7);
                }
            }
            events
        });
        let screen = terminal(&fixture.view(), 80);
        assert!(screen.contains("which ran with both; 14 rows ran with the baseline, 7 with the winner"), "{screen}");
    }

    #[test]
    fn a_gain_that_test_does_not_show_is_called_not_shown() {
        let fixture = testing::changed(|mut events| {
            for event in &mut events {
                if let Event::TestOpened(test) = event {
                    (test.shown, test.rows_to_show, test.comparison.interval.low) = (false, 1240, -0.01);
                }
            }
            events
        });
        let headline = headline(&fixture.view());
        assert!(headline.starts_with("not shown to be better on test, +"), "{headline}");
        assert!(headline.ends_with("about 1,240 test rows would show it"), "{headline}");
        assert!(!terminal(&fixture.view(), 80).contains(": better"));
    }
}
