//! `ratchet doctor`: is everything there that a run needs?

use clap::Args;
use console::Term;
use prompt_ratchet::project::{Finding, Health, examine};
use prompt_ratchet::report::wrapped;
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::plain::{WIDTH, neutral};
use super::report::{print, print_json};

/// Check config, rows, keys, endpoints, models, prices, Python and disk, and say how to mend what is wrong
///
/// Makes one tiny call for each role that has a model of its own, and for its fallbacks, at each address, with the
/// parameters that a run would send. Exit code 0:
/// a run can begin; 2: the project has to be changed; 4: a provider or the disk can't be used as things are.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ratchet doctor\n  ratchet doctor --offline\n  ratchet doctor --json | jq '.findings[] | select(.mend)'"
)]
pub struct Doctor {
    /// Make no call but to the embedded model
    #[arg(long)]
    offline: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let findings = examine(&global.config, &global.overrides, self.offline).await;
        let exit = exit(&findings);
        if self.json {
            print_json(&json!({ "healthy": exit == Exit::Done, "findings": findings }))?;
        } else {
            // What a script searches stays on its line.
            let width = if Term::stdout().is_term() { WIDTH } else { usize::MAX };
            print(&screen(&findings, width, Paint::stdout()))?;
        }
        Ok(exit)
    }
}

fn exit(findings: &[Finding]) -> Exit {
    let any = |health| findings.iter().any(|finding| finding.health == health);
    match () {
        () if any(Health::Wrong) => Exit::Usage,
        () if any(Health::Unusable) => Exit::CouldNotRun,
        () => Exit::Done,
    }
}

/// Least columns for what is said.
const LEAST_ROOM: usize = 40;

fn screen(findings: &[Finding], columns: usize, paint: Paint) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let indent = " ".repeat(11 + width);
    // Long names of addresses leave little room; words are no longer readable in less.
    let room = columns.saturating_sub(indent.len()).max(LEAST_ROOM);
    let told = |text: &str, first: &str| {
        let lines = wrapped(&format!("{first}{}", neutral(text).replace('\n', " ")), room, &" ".repeat(first.len()));
        lines.join(&format!("\n{indent}"))
    };
    let mut text = String::new();
    for Finding { what, health, found, mend } in findings {
        let mark = match health {
            Health::Good => paint.good("ok     "),
            Health::Warning => paint.open("look   "),
            Health::Skipped => paint.dim("skipped"),
            Health::Wrong | Health::Unusable => paint.bad("WRONG  "),
        };
        text += &format!("{mark}  {what:width$}  {}\n", told(found, ""));
        if let Some(mend) = mend {
            text += &format!("{indent}{}\n", told(mend, "-> "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_and_what_to_do_fit_80_columns() {
        let finding = Finding {
            what: "task call".into(),
            health: Health::Wrong,
            found: "word ".repeat(40).trim().into(),
            mend: Some("advice ".repeat(30).trim().into()),
        };
        let screen = screen(&[finding], 80, Paint::none());
        assert!(screen.lines().count() > 5 && screen.lines().all(|line| line.len() <= 80), "{screen}");
        assert!(screen.lines().skip(1).all(|line| line.starts_with(&" ".repeat(20))), "{screen}");
        assert_eq!((screen.matches("word").count(), screen.matches("-> ").count()), (40, 1));
    }

    #[test]
    fn what_has_to_be_changed_counts_before_what_is_out_of_reach() {
        let finding = |health| Finding { what: "x".into(), health, found: String::new(), mend: None };
        for (healths, expected) in [
            (&[Health::Good, Health::Warning, Health::Skipped][..], Exit::Done),
            (&[Health::Good, Health::Unusable], Exit::CouldNotRun),
            (&[Health::Unusable, Health::Wrong], Exit::Usage),
        ] {
            assert_eq!(exit(&healths.iter().copied().map(finding).collect::<Vec<_>>()), expected);
        }
    }
}
