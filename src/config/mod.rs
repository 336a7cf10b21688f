//! `ratchet.toml` as the user wrote it: [`Config`] and what it holds, with every default filled in.
//!
//! The types here are the one source of truth for keys, defaults and ranges: their doc comments are the reference and
//! the JSON schema ([`Config::json_schema`]), and the checks on load read that same schema. Nothing here reads the
//! environment or another file, and nothing is built; paths are as written, relative to the folder of the file.

mod error;
mod load;
mod models;
mod notify;
mod schema;
mod scorers;
mod sections;
mod source;
mod target;
#[cfg(test)]
mod tests;

pub use error::{Cause, ConfigError, Place, Problem};
pub use models::{ModelConfig, Models, Price, Provider};
pub use notify::{Notify, NotifyFormat};
pub(crate) use schema::nearest;
pub use scorers::{CriterionConfig, ScorerConfig, ScorerKind, Votes};
pub use sections::{Budget, Calibration, Config, Gate, Guards, Objective, Repeats, RoleBudget, Search, Store};
pub use target::Target;
