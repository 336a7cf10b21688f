//! What `eval` prints: scores, groups, confusions and worst rows, within 80 columns.

use std::fmt;

use prompt_ratchet::eval::{Objective, Outcome, Summary};
use prompt_ratchet::report::{Breakdown, Classified, Confusion, Group, LengthBias, interval, percent, plural, wrapped};

use crate::cli::measure::left_out;
use crate::cli::plain::{WIDTH, cell, line, paragraph};

/// Most labels for which the whole matrix fits.
const MATRIX: usize = 10;

/// Most characters that are shown of what a step gave.
const LONGEST_STEP: usize = 24;
/// Most confusions that are listed where the matrix doesn't fit.
const LISTED: usize = 12;

/// Most lines of why a row could not run: what to do comes last.
const ERROR_LINES: usize = 5;

/// Most further lines of a reason that are shown.
const MORE_REASONS: usize = 4;

/// Most tags that are listed.
const TAGS: usize = 20;

/// One evaluation as a page of text.
pub struct Page<'a> {
    /// What was measured on what.
    pub title: String,
    /// What came out.
    pub breakdown: &'a Breakdown,
    /// Rows that were left out since the prompt quotes them.
    pub quoted: usize,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (summary, failing) = (self.breakdown.summary(), self.breakdown.failing());
        writeln!(f, "{}", console::style(line(&self.title, WIDTH)).bold())?;
        writeln!(f, "{}", score_line(&summary, self.breakdown.objective()))?;
        write!(f, "{} of {} pass", summary.examples - failing, plural(summary.examples, "row"))?;
        match summary.errors {
            0 => writeln!(f)?,
            errors => writeln!(f, "; {} could not run and count nowhere", plural(errors, "row"))?,
        }
        if let cut @ 1.. = self.breakdown.cut() {
            let answers = plural(cut, "answer");
            let advice = "raise models.task.max_tokens, or ask for a shorter answer";
            writeln!(
                f,
                "{}",
                wrapped(&format!("{answers} cut at the token limit, so failing; {advice}"), WIDTH, "  ").join("\n")
            )?;
        }
        if let Some(words) = left_out(self.quoted, "the prompt") {
            writeln!(f, "{words}")?;
        }
        groups(f, "label", &self.breakdown.by_label(), usize::MAX)?;
        if let Some(classified) = self.breakdown.classified() {
            label_scores(f, &classified, self.breakdown.objective())?;
        }
        groups(f, "field", &self.breakdown.by_field(), usize::MAX)?;
        groups(f, "tag", &self.breakdown.by_tag(), TAGS)?;
        if let Some(confusion) = self.breakdown.confusion() {
            confusions(f, &confusion)?;
        }
        let length = self.breakdown.length();
        if !length.is_empty() {
            writeln!(f, "\nlength of answers and judge's scores")?;
        }
        for line in LengthBias::lines(&length) {
            writeln!(f, "{}", paragraph(&line, WIDTH, "    ", 2))?;
        }
        if let Some(certainty) = self.breakdown.certainty() {
            writeln!(f, "\n{}", wrapped(&certainty.words(), WIDTH, "  ").join("\n"))?;
        }
        worst_rows(f, &self.breakdown.worst(), failing)?;
        errors(f, &self.breakdown.errors(), summary.errors)?;
        writeln!(f)
    }
}

/// `score 61.4 %, 95 % interval [56.2, 66.3]`.
pub fn score_line(summary: &Summary, objective: &Objective) -> String {
    let (name, score) = (objective.kind().words(), percent(summary.score));
    if summary.examples == 0 {
        return format!("{name} -, no row ran");
    }
    format!("{name} {}, 95 % interval {}", console::style(score).bold(), interval(&summary.interval))
}

fn groups(f: &mut fmt::Formatter<'_>, kind: &str, groups: &[Group], most: usize) -> fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{} {:>8} {:>19} {:>6} {:>7}", cell(kind, 34), "score", "95 % interval", "rows", "errors")?;
    for Group { name, summary } in groups.iter().take(most) {
        let (score, interval) = match summary.examples {
            0 => ("-".to_owned(), String::new()),
            _ => (percent(summary.score), interval(&summary.interval)),
        };
        let errors = if summary.errors == 0 { String::new() } else { summary.errors.to_string() };
        let text = format!("{} {score:>8} {interval:>19} {:>6} {errors:>7}", cell(name, 34), summary.examples);
        writeln!(f, "{}", text.trim_end())?;
    }
    match groups.len().saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(f, "and {more} more; look at one with --filter {kind}=..."),
    }
}

/// Precision, recall and F1 by label, and their macro mean where that isn't the score itself.
fn label_scores(f: &mut fmt::Formatter<'_>, classified: &Classified, objective: &Objective) -> fmt::Result {
    writeln!(f, "\n{} {:>9} {:>8} {:>8} {:>6}", cell("label", 34), "precision", "recall", "F1", "rows")?;
    for (label, score, rows) in &classified.labels {
        let [precision, recall, f1] = [score.precision, score.recall, score.f1].map(percent);
        writeln!(f, "{} {precision:>9} {recall:>8} {f1:>8} {rows:>6}", cell(label, 34))?;
    }
    if !objective.kind().is_mean_score() {
        return Ok(());
    }
    let found = &classified.macro_f1;
    writeln!(f, "macro F1 {}, 95 % interval {} (bootstrap)", percent(found.value), interval(&found.interval))
}

/// The matrix with letters for columns where it fits, else the most frequent confusions. Where no answer is a label there is
/// nothing to be told apart.
fn confusions(f: &mut fmt::Formatter<'_>, confusion: &Confusion) -> fmt::Result {
    let mistakes = confusion.mistakes();
    if mistakes.is_empty() || !confusion.has_answers() {
        return Ok(());
    }
    if confusion.labels.len() > MATRIX {
        writeln!(f, "\n{} {} {:>6}", cell("expected", 34), cell("answered", 34), "rows")?;
        for (expected, answered, count) in mistakes.iter().take(LISTED) {
            writeln!(f, "{} {} {count:>6}", cell(expected, 34), cell(answered.unwrap_or("(no label)"), 34))?;
        }
        return match mistakes.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more; `ratchet failures` has them all"),
        };
    }
    let letters: Vec<char> = ('A'..).take(confusion.labels.len()).collect();
    let others = mistakes.iter().any(|(_, answered, _)| answered.is_none());
    let columns = confusion.labels.len() + usize::from(others);
    let name = WIDTH - 2 - 5 * columns;
    let heads: String = letters
        .iter()
        .map(ToString::to_string)
        .chain(others.then(|| "else".to_owned()))
        .map(|h| format!("{h:>5}"))
        .collect();
    writeln!(f, "\n{}{heads}", cell("expected \\ answered", name.min(34) + 2))?;
    for (expected, (letter, label)) in letters.iter().zip(&confusion.labels).enumerate() {
        let cells: String = (0..columns)
            .map(|answered| match confusion.count(expected, answered) {
                0 => format!("{:>5}", "·"),
                count => format!("{count:>5}"),
            })
            .collect();
        writeln!(f, "{letter} {}{cells}", cell(label, name.min(34)))?;
    }
    Ok(())
}

/// The worst of so many failing rows.
fn worst_rows(f: &mut fmt::Formatter<'_>, worst: &[&Outcome], failing: usize) -> fmt::Result {
    if worst.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nfailing, worst first")?;
    for outcome in worst {
        shown_row(f, outcome)?;
    }
    match failing.saturating_sub(worst.len()) {
        0 => Ok(()),
        more => writeln!(f, "and {more} more; show them with --worst N, or by kind with `ratchet failures`"),
    }
}

/// Id, value and input on a line; expected, answered, an agent's steps and the reason below.
pub fn shown_row(f: &mut impl fmt::Write, outcome: &Outcome) -> fmt::Result {
    let example = &outcome.example;
    let value = outcome.value().map_or_else(String::new, |value| format!("{value:.2}"));
    writeln!(f, "{}", line(&format!("{} {value}  {}", example.id, example.input_text()), WIDTH))?;
    let Ok(answer) = &outcome.result else { return Ok(()) };
    let answered = if answer.completion.text.trim().is_empty() { "(nothing)" } else { &answer.completion.text };
    match example.expected_text() {
        // Two short texts side by side, else one below the other.
        Some(expected) if expected.chars().count() + answered.chars().count() <= 44 => {
            writeln!(f, "    expected {}, answered {}", line(&expected, 44), line(answered, 44))?;
        }
        Some(expected) => {
            writeln!(f, "    expected  {}", line(&expected, WIDTH - 14))?;
            writeln!(f, "    answered  {}", line(answered, WIDTH - 14))?;
        }
        None => writeln!(f, "    answered  {}", line(answered, WIDTH - 14))?,
    }
    if let Some(trace) = answer.completion.trace.as_ref().filter(|trace| !trace.is_empty()) {
        let steps: Vec<String> = trace.iter().map(|step| step.in_short(LONGEST_STEP)).collect();
        writeln!(f, "    steps     {}", line(&steps.join("; "), WIDTH - 14))?;
    }
    for score in &answer.scores {
        // The commonest reason only says again what stands above.
        if let Some(reason) = score.reason.as_ref().filter(|reason| !reason.starts_with("expected ")) {
            let mut lines = reason.lines();
            writeln!(f, "    {}", line(&format!("{}: {}", score.scorer, lines.next().unwrap_or_default()), WIDTH - 4))?;
            // Of a rubric, a line for each of its criteria.
            for more in lines.take(MORE_REASONS) {
                writeln!(f, "      {}", line(more, WIDTH - 6))?;
            }
        }
    }
    Ok(())
}

/// The first of so many rows that could not run.
fn errors(f: &mut fmt::Formatter<'_>, first: &[&(String, String)], count: usize) -> fmt::Result {
    if first.is_empty() {
        return Ok(());
    }
    writeln!(f, "\ncould not run")?;
    for (id, error) in first {
        writeln!(f, "{}", paragraph(&format!("{id}  {error}"), WIDTH, "    ", ERROR_LINES))?;
    }
    match count.saturating_sub(first.len()) {
        0 => Ok(()),
        more => writeln!(f, "and {more} more; --csv has them all"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prompt_ratchet::dataset::Labels;
    use prompt_ratchet::eval::{Answer, OutcomeError};
    use prompt_ratchet::model::{CallError, Completion, FinishReason, Usage};
    use prompt_ratchet::report::Aspects;
    use prompt_ratchet::score::Score;
    use serde_json::json;

    use super::*;

    fn outcome(at: usize, expected: &str, answer: &str) -> Outcome {
        let row = json!({"id": format!("row-{at}"), "expected": expected, "tags": [format!("tag:{}", "t".repeat(60))],
                         "input": format!("a long \u{1b}[31mticket about {}", "many things ".repeat(30))});
        let value = if expected == answer { 1.0 } else { 0.0 };
        let reason = (value == 0.0).then(|| format!("misses {}", "the point ".repeat(20)));
        let completion = Completion::live(answer.to_owned(), FinishReason::Stop, Usage::default());
        let scores = vec![Score { scorer: "judge".to_owned(), value, reason, criterion: None }];
        let result = Ok(Answer { completion, scores, value });
        Outcome { example: Arc::new(serde_json::from_value(row).unwrap()), sample: 0, result }
    }

    fn page(labels: usize) -> String {
        let labels: Vec<String> =
            (0..labels).map(|at| format!("label {at} {}", "with a long name".repeat(4))).collect();
        let mut outcomes: Vec<Outcome> = labels
            .iter()
            .enumerate()
            .flat_map(|(at, label)| [outcome(2 * at, label, label), outcome(2 * at + 1, label, &labels[0])])
            .chain([outcome(1000, &labels[0], "\u{1b}[2J neither")])
            .collect();
        outcomes[0].result = Err(OutcomeError::Call(CallError::Transient("a reset ".repeat(20))));
        if let Some(Ok(cut)) = outcomes.last_mut().map(|outcome| &mut outcome.result) {
            cut.completion.finish = FinishReason::Length;
        }
        let aspects = Aspects {
            labels: Some(labels),
            fields: vec![Labels { field: Some("a long field".repeat(9)), counts: Vec::new() }],
            pass_threshold: 1.0,
            worst: 3,
            ..Aspects::default()
        };
        let breakdown = &Breakdown::of(aspects, &outcomes);
        Page { title: "t".repeat(200), breakdown, quoted: 1 }.to_string()
    }

    #[test]
    fn a_page_fits_80_columns_and_holds_no_control_characters() {
        for labels in [2, 10, 11, 40] {
            let page = page(labels);
            for line in page.lines() {
                assert!(console::measure_text_width(line) <= WIDTH, "{labels} labels: {line:?}");
            }
            assert!(!page.contains("\u{1b}[31m") && !page.contains("\u{1b}[2J"), "{page}");
        }
    }

    #[test]
    fn rows_that_could_not_run_are_no_failures_and_cut_answers_are() {
        let page = page(2);
        assert!(page.contains("\n1 answer cut at the token limit, so failing; raise models.task.max_tokens"), "{page}");
        assert!(page.contains("2 of 4 rows pass; 1 row could not run and count nowhere"), "{page}");
        assert!(page.contains("could not run\nrow-0"), "{page}");
    }
}
