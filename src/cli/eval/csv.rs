//! All rows of an evaluation as CSV.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use prompt_ratchet::dataset::{PackedDataset, Rows, Split};
use prompt_ratchet::eval::Outcome;

const HEADER: [&str; 11] =
    ["id", "split", "input", "tags", "expected", "answer", "value", "scores", "reason", "error", "logprob"];

/// One line a row: `scores` is a JSON object by scorer, `reason` has one line a scorer that gave one. A row without a
/// value has an `error`, and an answer where only its scoring failed. `tags` are between `; `. Text that a spreadsheet would take for a
/// formula gets a leading apostrophe. `logprob` is the mean log probability of the answer's tokens, where the model tells it.
///
/// Lines are kept in a file that nobody sees as their outcomes come, and written out in the order of the rows.
pub struct Export {
    /// The split of each row.
    splits: Vec<Split>,
    /// None before the first line.
    kept: Option<BufWriter<File>>,
    /// Where the next line begins in it.
    end: u64,
    /// Where the line of each row begins, and how long it is; nothing for a row without an outcome.
    lines: Vec<(u64, u32)>,
    /// What went wrong first.
    problem: Option<io::Error>,
}

impl Export {
    /// Nothing yet, of `rows` of `dataset`.
    pub fn new(rows: &Rows, dataset: &PackedDataset) -> Self {
        let splits = (0..rows.len()).filter_map(|at| rows.place(at)).map(|place| dataset.splits[place]).collect();
        Self { splits, kept: None, end: 0, lines: vec![(0, 0); rows.len()], problem: None }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.splits.len()
    }

    /// Takes the outcome of the row at a place. What goes wrong is told when all is written.
    pub fn take(&mut self, at: usize, outcome: &Outcome) {
        if self.problem.is_none() {
            self.problem = self.keep(at, outcome).err();
        }
    }

    fn keep(&mut self, at: usize, outcome: &Outcome) -> io::Result<()> {
        let split = self.splits.get(at);
        let line = line(&record(outcome, split.map_or("", |split| split.name())))?;
        let kept = match &mut self.kept {
            Some(kept) => kept,
            kept => {
                let file = tempfile::tempfile().map_err(|error| {
                    let problem =
                        format!("no temporary file can be made in {}: {error}", std::env::temp_dir().display());
                    io::Error::new(error.kind(), problem)
                })?;
                kept.insert(BufWriter::new(file))
            }
        };
        kept.write_all(&line)?;
        if let Some(place) = self.lines.get_mut(at) {
            *place = (self.end, line.len() as u32);
        }
        self.end += line.len() as u64;
        Ok(())
    }

    /// Writes the header and all lines.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        out.write_all(&line(&HEADER)?)?;
        let Some(kept) = self.kept else { return Ok(()) };
        let mut kept = BufReader::new(kept.into_inner().map_err(io::IntoInnerError::into_error)?);
        kept.seek(SeekFrom::Start(0))?;
        let (mut at, mut bytes) = (0_i64, Vec::new());
        for (start, length) in self.lines {
            // Within what is read ahead where outcomes came about in order.
            kept.seek_relative(start as i64 - at)?;
            bytes.resize(length as usize, 0);
            kept.read_exact(&mut bytes)?;
            out.write_all(&bytes)?;
            at = start as i64 + i64::from(length);
        }
        Ok(())
    }
}

/// The cells as one line.
fn line<C: AsRef<[u8]>>(cells: &[C]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

fn record(outcome: &Outcome, split: &str) -> Vec<String> {
    let example = &outcome.example;
    let expected = example.expected_text().unwrap_or_default();
    let mut record = vec![
        inert(&example.id),
        split.to_owned(),
        inert(&example.input_text()),
        inert(&example.tags.join("; ")),
        inert(&expected),
        inert(outcome.answered().unwrap_or_default()),
    ];
    match &outcome.result {
        Ok(answer) => {
            let scores: serde_json::Map<String, serde_json::Value> =
                answer.scores.iter().map(|score| (score.scorer.clone(), score.value.into())).collect();
            let reasons: Vec<&str> = answer.scores.iter().filter_map(|score| score.reason.as_deref()).collect();
            record.extend([answer.value.to_string()]);
            record.extend([serde_json::Value::from(scores).to_string(), inert(&reasons.join("\n")), String::new()]);
            record.push(answer.completion.logprob.map_or_else(String::new, |logprob| logprob.to_string()));
        }
        Err(error) => {
            record.extend([String::new(), String::new(), String::new(), inert(&error.to_string())]);
            record.push(String::new());
        }
    }
    record
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
