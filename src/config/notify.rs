//! `[notify]`: who is told how a run goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is told when a run has ended, failed, was interrupted, or waits for its provider: numbers and names, no texts of
/// rows, prompts or answers. Not a part of a run: `resume` goes by the config as it is then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// The address that it is posted to. One that holds a secret, as Slack's do, belongs into the environment instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub webhook: Option<String>,
    /// The environment variable that holds the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub webhook_env: Option<String>,
    /// What is posted.
    pub format: NotifyFormat,
}

/// What is posted to a webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyFormat {
    /// An object for scripts; its keys are in `docs/unattended.md`.
    #[default]
    Json,
    /// `{"text": ".."}`, as Slack and those like it take it.
    Slack,
}

impl Notify {
    pub(super) fn is_off(&self) -> bool {
        *self == Self::default()
    }
}
