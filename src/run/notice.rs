//! [`ProviderNotice`]: what a provider tells of itself while a run goes on.

use crate::model::{ModelRole, Notice};

/// A provider is out or back, or takes no call for some time: all of its calls wait meanwhile, and no row is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderNotice {
    /// Whose provider.
    pub role: ModelRole,
    /// What it is doing.
    pub notice: Notice,
}

impl ProviderNotice {
    /// In plain words, without a time of day.
    pub fn words(&self) -> String {
        let role = self.role;
        match &self.notice {
            Notice::Down { error, down_for, next_try } => format!(
                "the {role} model's provider has been out for {} s: {error}; the next try is in {} s",
                down_for.as_secs(),
                next_try.as_secs_f64().ceil()
            ),
            Notice::Held { next_call } => {
                format!("rate limit of the {role} model: the next call is in {} s", next_call.as_secs_f64().ceil())
            }
            Notice::Up { down_for } => {
                format!("the {role} model's provider answers again after {} s; nothing was lost", down_for.as_secs())
            }
        }
    }
}
