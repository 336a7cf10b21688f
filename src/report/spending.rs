//! What a run took: in one line at the top of what is shown of it, and as the report's last section, with how worn the
//! dataset is. But for the line that names the run, that section is the one place in `report.md` that may differ between a
//! run that was resumed and one that was not.

use super::escape::inline;
use super::markdown::table;
use super::{RunView, count, duration, paid, plural};
use crate::model::RoleSpend;

/// `512 calls (480 task, 32 proposer; 0 stored), 188,787 tokens, $0.1913, 1.3 s`.
pub(super) fn in_one_line(view: &RunView) -> String {
    let spend = &view.spent.spend;
    let total = spend.total();
    let live = spend.roles.iter().filter(|(_, used)| used.live > 0);
    let roles: Vec<String> = live.map(|(role, used)| format!("{} {}", count(used.live), role.name())).collect();
    format!(
        "{} ({}{} stored), {}, {}, {}",
        plural(total.live as usize, "call"),
        if roles.len() < 2 { String::new() } else { roles.join(", ") + "; " },
        count(total.stored),
        plural((total.tokens_in + total.tokens_out) as usize, "token"),
        paid(&view.spent),
        duration(view.spent.seconds)
    )
}

/// The section.
pub(super) fn section(view: &RunView) -> String {
    let spend = &view.spent.spend;
    let mut rows: Vec<Vec<String>> = spend.roles.iter().map(|(role, used)| row(role.name(), used)).collect();
    if rows.len() != 1 {
        rows.push(row("together", &spend.total()));
    }
    let head = ["calls", "live", "stored", "failed", "tokens read", "tokens written"];
    let mut text = format!("## Spent\n\n{}", table(&head, rows));
    text += &format!("\nMoney: {}. Time: {}.\n", paid(&view.spent), duration(view.spent.seconds));
    text += &match &view.uses {
        Ok(uses) => format!(
            "\nOver all runs here, dev of this dataset has answered {} and test was opened {}. Each use wears them out a \
             little: what looks good on rows that were asked often may be fitted to them.\n",
            plural(uses.dev as usize, "question"),
            match uses.test {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            }
        ),
        Err(error) => format!("\nHow often dev and test of this dataset were used can't be told: {}.\n", inline(error)),
    };
    text
}

fn row(name: &str, used: &RoleSpend) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend([used.live, used.stored, used.failed, used.tokens_in, used.tokens_out].map(count));
    cells
}
