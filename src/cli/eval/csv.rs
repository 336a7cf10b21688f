//! All rows of an evaluation as CSV.

use std::collections::BTreeMap;

use prompt_ratchet::dataset::{PackedDataset, Split};
use prompt_ratchet::eval::Outcome;

const HEADER: [&str; 11] =
    ["id", "split", "input", "tags", "expected", "answer", "value", "scores", "reason", "error", "logprob"];

/// One line a row: `scores` is a JSON object by scorer, `reason` has one line a scorer that gave one. A row that could
/// not run has an `error` and neither answer nor value. `tags` are between `; `. Text that a spreadsheet would take for a
/// formula gets a leading apostrophe. `logprob` is the mean log probability of the answer's tokens, where the model tells it.
pub fn export(outcomes: &[Outcome], dataset: &PackedDataset) -> Result<String, csv::Error> {
    let splits: BTreeMap<&str, Split> =
        (0..).zip(&dataset.splits).map(|(at, split)| (dataset.rows.id(at), *split)).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for outcome in outcomes {
        let example = &outcome.example;
        let split = splits.get(example.id.as_str()).map_or("", |split| split.name());
        let expected = example.expected_text().unwrap_or_default();
        let mut record = vec![
            inert(&example.id),
            split.to_owned(),
            inert(&example.input_text()),
            inert(&example.tags.join("; ")),
            inert(&expected),
        ];
        match &outcome.result {
            Ok(answer) => {
                let scores: serde_json::Map<String, serde_json::Value> =
                    answer.scores.iter().map(|score| (score.scorer.clone(), score.value.into())).collect();
                let reasons: Vec<&str> = answer.scores.iter().filter_map(|score| score.reason.as_deref()).collect();
                record.extend([inert(&answer.completion.text), answer.value.to_string()]);
                record.extend([serde_json::Value::from(scores).to_string(), inert(&reasons.join("\n")), String::new()]);
                record.push(answer.completion.logprob.map_or_else(String::new, |logprob| logprob.to_string()));
            }
            Err(error) => {
                record.extend([String::new(), String::new(), String::new(), String::new(), inert(&error.to_string())]);
                record.push(String::new());
            }
        }
        writer.write_record(&record)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `text` as a cell that no spreadsheet runs: rows and answers come from elsewhere. A number such as `-5` is none to run.
fn inert(text: &str) -> String {
    let is_number = || text.trim().parse::<f64>().is_ok_and(f64::is_finite);
    if text.starts_with(['=', '+', '-', '@']) && !is_number() { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_made_text_and_numbers_stay() {
        for text in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"] {
            assert_eq!(inert(text), format!("'{text}"));
        }
        for text in ["-5", "+0.5", "-1e3", "a=b", ""] {
            assert_eq!(inert(text), text);
        }
    }
}
