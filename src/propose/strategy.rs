//! Strategies: files that say how to ask for one kind of edit, and when it applies.

use serde::{Deserialize, Serialize};

use crate::diagnose::FailureCluster;

/// A way to ask for one kind of edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its name: the file's stem.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// The kinds of failure it is for (`confusion`, `format`, `refusal`, `empty`, `truncated`, `criterion`); empty for
    /// strategies that look at the task as a whole.
    pub kinds: Vec<String>,
    /// Whether its job is to quote train rows as examples.
    pub quotes_rows: bool,
    /// The instruction to the proposer.
    pub instruction: String,
}

impl Strategy {
    /// Whether it can be asked to mend `cluster`; `None` stands for the task as a whole.
    pub fn applies_to(&self, cluster: Option<&FailureCluster>) -> bool {
        match cluster {
            None => self.kinds.is_empty(),
            Some(cluster) => self.kinds.iter().any(|kind| kind == cluster.kind.name()),
        }
    }
}
