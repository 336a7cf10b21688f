//! Why and how a run ended: [`RunEnded`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// All generations are done.
    Generations,
    /// Several generations in a row kept nothing.
    NoGain,
    /// The target score was reached on dev.
    TargetScore,
    /// What is left of the budget does not suffice for another generation.
    Budget,
    /// The time that the run was given is up.
    Time,
    /// No train row fails: there is nothing to mend.
    NothingFails,
    /// The proposer gave nothing that could even be read.
    NothingProposed,
}

impl Stopped {
    /// In plain words.
    pub fn words(self) -> &'static str {
        match self {
            Stopped::Generations => "all generations are done",
            Stopped::NoGain => "several generations in a row kept nothing",
            Stopped::TargetScore => "the target score was reached",
            Stopped::Budget => "what is left of the budget does not suffice for another generation",
            Stopped::Time => "the time that it was given is up",
            Stopped::NothingFails => "no train row fails",
            Stopped::NothingProposed => "the proposer gave nothing that can be read",
        }
    }

    /// Why the sealed test was left out, in plain words.
    pub fn at_test(self) -> &'static str {
        match self {
            Stopped::Time => "the time was up",
            _ => "the budget was used up",
        }
    }
}

/// That not one of the proposer's replies could be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// How many proposals were asked for.
    pub proposals: u32,
    /// Why the last of them was dropped.
    pub reason: String,
    /// Whether the provider refused all of them, so that there was not one reply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Whether most of them made the prompt longer than the guards allow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_long: bool,
}

impl Unusable {
    /// The same in plain words, with what to do.
    pub fn words(&self) -> String {
        let all = match self.proposals {
            1 => "the only proposal was".to_owned(),
            proposals => format!("all {proposals} proposals were"),
        };
        let reason = self.reason.trim_end_matches('.');
        let advice = match (self.refused, self.too_long) {
            (true, _) => "Check the model and the parameters in [models.proposer]",
            (_, true) => "Raise that limit",
            (false, false) => "Give [models.proposer] a larger model",
        };
        format!("{all} unusable; the last: {reason}. {advice}, then run again")
    }
}

/// The run ended as planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Why.
    pub stopped: Stopped,
    /// More on why, in plain words; empty where there is no more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// That the proposer gave nothing to try, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Unusable>,
    /// Id of the winner: the last incumbent.
    pub winner: String,
    /// Calls that this run paid for, as each role.
    pub calls: BTreeMap<String, u64>,
}

impl RunEnded {
    /// Why the run ended, in plain words.
    pub fn words(&self) -> &str {
        if self.why.is_empty() { self.stopped.words() } else { &self.why }
    }
}
