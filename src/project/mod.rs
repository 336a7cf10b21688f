//! From config to things that run: the one place that builds models, scorers, targets, proposers and runs.
//!
//! [`Project::load`] reads and checks everything before any call is made, and writes nothing. Environment variables are
//! read here and nowhere else in the library: keys, and `${NAME}` in the dataset's path and in base URLs.

mod account;
mod calibrate;
mod calibration;
mod configured;
mod doctor;
mod draft;
mod error;
mod first_prompt;
mod init;
mod judges;
mod limits;
mod lineup;
mod live;
mod load;
mod models;
mod named;
mod notify;
mod optimize;
mod plan;
mod planned_program;
mod probe;
mod provider;
mod ready;
mod revision;
mod scorers;
mod snapshot;
mod target;

pub use calibrate::{CalibrateError, RatedFields};
pub use calibration::{Agreed, Bias, Calibration, CriterionAgreed, Position, Retest};
pub use configured::{ConfiguredModel, KeyVariable};
pub use doctor::{Finding, Health, examine};
pub use draft::{Draft, DraftError, DraftKind};
pub use error::ProjectError;
pub use init::{FirstModel, InitError, Scaffold};
pub use load::{CONFIG_FILE, Project, read};
pub use models::{Models, Use};
pub use notify::{Message, Notifier};
pub use optimize::{GivenTime, OptimizeError, Optimized, Watch, optimize, resume};
pub use plan::{Plan, PlannedModel, PlannedUse, Rows};
pub use planned_program::PlannedProgram;
pub use probe::{Unready, probe};
pub use ready::told_if_slow;
pub use revision::revision;
