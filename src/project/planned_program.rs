//! What a run's plan knows of the model calls of the program of `[target]`: nothing, but what stored rows tell.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Project, ProjectError, Use};
use crate::model::{Limits, Usage};

/// Most rows that are looked for in the store.
const LOOKED_FOR: usize = 200;

/// A program that answers the rows, and what it is taken to ask models for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedProgram {
    /// Its command line.
    pub command: String,
    /// Model calls a row: the mean of the stored rows; without any, one a prompt.
    pub calls_a_row: f64,
    /// The most model calls of a row that "at most" reckons with: as many as a stored row took, or one a prompt. The
    /// program itself has no limit but `[budget]`.
    pub most_calls_a_row: u64,
    /// Stored rows that this was measured on; 0 where it isn't known and one a prompt is taken for it.
    pub measured_rows: usize,
    /// Tokens of the model calls of a row, the mean of the stored rows.
    #[serde(skip)]
    pub(super) usage: Option<Usage>,
}

impl Project {
    /// What is known of the program of `[target]`; `None` where the target is a model. Only the store is asked.
    pub(super) async fn planned_program(&self) -> Result<Option<PlannedProgram>, ProjectError> {
        let Some(target) = &self.config.target else { return Ok(None) };
        let (mut calls, mut most, mut usage, mut rows) = (0_u64, 0_u64, Usage::default(), 0_usize);
        // A budget of nothing: only the store can answer.
        let models = self.models(&Use {
            payer: "plan".to_owned(),
            limits: Limits::nothing(),
            interrupt: CancellationToken::new(),
        })?;
        let answers = self.target(&models);
        for example in self.dataset.rows.iter().take(LOOKED_FOR) {
            let Ok(completion) = answers.answer(&self.prompts, &example, 0).await else { continue };
            let steps: Vec<_> = completion.trace.iter().flatten().filter(|step| step.call.is_some()).collect();
            for tokens in steps.iter().filter_map(|step| step.tokens) {
                usage.input += tokens.input;
                usage.output += tokens.output;
            }
            calls += steps.len() as u64;
            most = most.max(steps.len() as u64);
            rows += 1;
        }
        let one_a_prompt = self.prompts.len() as u64;
        let count = rows.max(1) as u64;
        let of_row = Usage { input: usage.input.div_ceil(count), output: usage.output.div_ceil(count), ..usage };
        Ok(Some(PlannedProgram {
            command: target.command.join(" "),
            calls_a_row: if rows > 0 { calls as f64 / rows as f64 } else { one_a_prompt as f64 },
            most_calls_a_row: if rows > 0 { most } else { one_a_prompt },
            measured_rows: rows,
            usage: (rows > 0).then_some(of_row),
        }))
    }
}
