//! All rows of an evaluation as CSV.

use std::collections::BTreeMap;

use prompt_ratchet::dataset::{Dataset, Split};
use prompt_ratchet::eval::Outcome;

const HEADER: [&str; 8] = ["id", "split", "expected", "answer", "value", "scores", "reason", "error"];

/// One line a row: `scores` is a JSON object by scorer, `reason` has one line a scorer that gave one. A row that could
/// not run has an `error` and neither answer nor value.
pub fn export(outcomes: &[Outcome], dataset: &Dataset) -> Result<String, csv::Error> {
    let splits: BTreeMap<&str, Split> =
        dataset.examples.iter().zip(&dataset.splits).map(|(example, split)| (example.id.as_str(), *split)).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for outcome in outcomes {
        let example = &outcome.example;
        let split = splits.get(example.id.as_str()).map_or("", |split| split.name());
        let expected = example.expected_text().unwrap_or_default();
        let mut record = vec![example.id.clone(), split.to_owned(), expected];
        match &outcome.result {
            Ok(answer) => {
                let scores: serde_json::Map<String, serde_json::Value> =
                    answer.scores.iter().map(|score| (score.scorer.clone(), score.value.into())).collect();
                let reasons: Vec<&str> = answer.scores.iter().filter_map(|score| score.reason.as_deref()).collect();
                record.extend([answer.completion.text.clone(), answer.value.to_string()]);
                record.extend([serde_json::Value::from(scores).to_string(), reasons.join("\n"), String::new()]);
            }
            Err(error) => {
                record.extend([String::new(), String::new(), String::new(), String::new(), error.to_string()])
            }
        }
        writer.write_record(&record)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
