//! The report's last section: calls, tokens, money and time, and how worn the dataset is. The one place in `report.md`
//! that may differ between a run that was resumed and one that was not.

use super::markdown::table;
use super::{RunView, count, duration, paid};
use crate::model::RoleSpend;

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
    let uses = view.uses;
    text += &format!(
        "\nOver all runs here, dev of this dataset has answered {} and test was opened {}. Each use wears them out a \
         little: what looks good on rows that were asked often may be fitted to them.\n",
        times(uses.dev, "question"),
        match uses.test {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        }
    );
    text
}

fn times(number: u32, thing: &str) -> String {
    super::plural(number as usize, thing)
}

fn row(name: &str, used: &RoleSpend) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend([used.live, used.stored, used.failed, used.tokens_in, used.tokens_out].map(count));
    cells
}
