//! Exit codes, and which error has which. The same numbers are in `docs/exit-codes.md`.

use std::process::ExitCode;

use prompt_ratchet::eval::OutcomeError;
use prompt_ratchet::model::{CallError, ModelRole};
use prompt_ratchet::project::{Models, OptimizeError, ProjectError};
use prompt_ratchet::run::RunError;
use prompt_ratchet::search::Halt;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done or passed; also when nothing was kept, or a limit was reached as planned.
    Done = 0,
    /// Regressed, or a gate not met.
    Regressed = 1,
    /// Wrong usage, configuration or data at load; nothing was written.
    Usage = 2,
    /// The evidence does not suffice.
    Inconclusive = 3,
    /// Could not run: provider unreachable, no access, run folder or store not usable. What was kept stays.
    CouldNotRun = 4,
    /// Interrupted; can be resumed.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error with the code that it ends the process with.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What to print.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure that is for the user to mend.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// The same, said to be so in this `context`, if there is any.
    pub fn with(self, context: Option<String>) -> Self {
        match context {
            Some(context) => Self { error: self.error.context(context), ..self },
            None => self,
        }
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let exit = match error {
            ProjectError::Store(_) => Exit::CouldNotRun,
            ProjectError::Dataset(ref problem) if problem.is_unwritable() => Exit::CouldNotRun,
            _ => Exit::Usage,
        };
        Self { exit, error: error.into() }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match error {
            RunError::Unreadable { .. } => Exit::Usage,
            RunError::File(_) | RunError::Diverged { .. } => Exit::CouldNotRun,
        };
        Self { exit, error: error.into() }
    }
}

impl Failure {
    /// What one of `models` met; which one is looked up.
    pub fn of_models(models: &Models, error: &OutcomeError) -> Self {
        let role = match error {
            OutcomeError::Call(call) => models.whose(call),
            OutcomeError::Score(_) => ModelRole::Task,
        };
        Self::of_model(role, error)
    }

    /// What the model in `role` met.
    pub fn of_model(role: ModelRole, error: &OutcomeError) -> Self {
        let exit = match error {
            OutcomeError::Call(CallError::Interrupted) => Exit::Interrupted,
            // A model that doesn't exist, a parameter that it doesn't take: the config is wrong.
            OutcomeError::Call(CallError::Local(_)) | OutcomeError::Score(_) => Exit::Usage,
            OutcomeError::Call(error) if error.is_refusal() => Exit::Usage,
            // Limits in which not one call fits.
            OutcomeError::Call(error) if error.is_limit() => Exit::Usage,
            OutcomeError::Call(_) => Exit::CouldNotRun,
        };
        let advice = match error {
            OutcomeError::Call(CallError::Unreachable(_)) => {
                format!("; check models.{role}.base_url and that the server runs")
            }
            OutcomeError::Call(CallError::Rejected(_)) => {
                format!("; check the model and the parameters in [models.{role}]")
            }
            OutcomeError::Call(CallError::Denied(_)) => {
                format!("; check the key that models.{role}.api_key_env names")
            }
            OutcomeError::Call(CallError::OutOfQuota(_)) => {
                "; add credit or raise the account's limit, then try again".to_owned()
            }
            OutcomeError::Call(CallError::Failed(_) | CallError::Crashed(_)) => {
                format!("; check the program that models.{role}.run names")
            }
            OutcomeError::Call(CallError::NeverAnswered(_)) => {
                format!("; check what [models.{role}] names, or try again later")
            }
            OutcomeError::Call(CallError::Outage(_)) => "; what was answered is stored: try again later".to_owned(),
            _ => String::new(),
        };
        // A provider's sentence may end with a full stop of its own.
        let error = error.to_string();
        let error = if advice.is_empty() { error.as_str() } else { error.trim_end_matches('.') };
        Self { exit, error: anyhow::anyhow!("{error}{advice}") }
    }
}

impl From<OptimizeError> for Failure {
    fn from(error: OptimizeError) -> Self {
        match error {
            OptimizeError::Project(error) => error.into(),
            OptimizeError::Run(error) => error.into(),
            OptimizeError::NotReady { role, error, context } => Self::of_model(role, &error).with(context),
            OptimizeError::Finished(_) => Self::usage(error),
            OptimizeError::Halted { halt: Halt::Interrupted, .. } => {
                Self { exit: Exit::Interrupted, error: error.into() }
            }
            OptimizeError::Halted { .. } => Self { exit: Exit::CouldNotRun, error: error.into() },
        }
    }
}
