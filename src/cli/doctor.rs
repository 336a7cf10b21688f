//! `ratchet doctor`: is everything there that a run needs?

use clap::Args;
use prompt_ratchet::project::{Finding, Health, examine};
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::plain::neutral;
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
            print(&screen(&findings, Paint::stdout()))?;
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

fn screen(findings: &[Finding], paint: Paint) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { what, health, found, mend } in findings {
        let mark = match health {
            Health::Good => paint.good("ok     "),
            Health::Warning => paint.open("look   "),
            Health::Skipped => paint.dim("skipped"),
            Health::Wrong | Health::Unusable => paint.bad("WRONG  "),
        };
        text += &format!("{mark}  {what:width$}  {}\n", neutral(found).replace('\n', "\n    "));
        if let Some(mend) = mend {
            text += &format!("{:9}{:width$}  -> {}\n", "", "", neutral(mend));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
