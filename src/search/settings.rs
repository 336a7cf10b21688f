//! What a search may do and when it stops: [`Settings`], resolved from the config.

use std::collections::BTreeMap;

use crate::eval::Objective;
use crate::score::ScoringCalls;

/// Settings of one search. One set of defaults serves every task.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The project's name.
    pub name: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Most generations, at least 1.
    pub generations: u32,
    /// Proposals a generation, at least 1.
    pub proposals: u32,
    /// Stop after this many generations in a row that kept nothing.
    pub patience: u32,
    /// Stop once the incumbent reaches this score on dev, in (0, 1].
    pub target_score: Option<f64>,
    /// Values below it are failing, in (0, 1].
    pub pass_threshold: f64,
    /// What the score of a prompt is: what the gate and the sealed test decide by.
    pub objective: Objective,
    /// The gate's.
    pub gate: GateSettings,
    /// What must not break.
    pub protected: Protected,
    /// Calls that the run may pay for.
    pub calls: CallLimits,
    /// What deserves a look before the run is trusted, in plain words, for its report.
    pub warnings: Vec<String>,
    /// Which of its parts take part.
    pub parts: Parts,
}

/// Parts of the search that can be left out, to measure what each is worth. For benches and tests: it is no key of the
/// config, and all take part by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The candidates that need no model, in the first generation.
    pub free: bool,
    /// The screen before the race.
    pub screen: bool,
    /// The merge of survivors as the question to the gate; without it the best single one is.
    pub merge: bool,
    /// Leaving out the hunks of a kept revision that do not earn their place.
    pub ablate: bool,
    /// Learning which strategies pay off; without it each is as likely as the others throughout.
    pub bandit: bool,
    /// Looking elsewhere on a plateau; without it patience just ends the run.
    pub widen: bool,
    /// The archive, for parents and merge donors on a plateau.
    pub archive: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { free: true, screen: true, merge: true, ablate: true, bandit: true, widen: true, archive: true }
    }
}

/// When the gate keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// The mean paired difference must be above this, in [0, 1).
    pub min_gain: f64,
    /// And above this many standard errors of it. 1 is the parameter-free Ladder (Blum and Hardt, ICML 2015).
    pub standard_errors: f64,
    /// Rate of keeping the model's noise over the whole run, in (0, 1).
    pub alpha: f64,
    /// Variance of a row's paired difference that judges make by themselves, as they were calibrated; 0 where none was.
    pub judge_noise: f64,
    /// Most fresh samples of a flipped row, in each arm.
    pub max_samples: u32,
    /// What is shorter may be worse by this, at the lower end of the 95 % interval on train and dev together; in [0, 1).
    pub prune_margin: f64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self { min_gain: 0.0, standard_errors: 1.0, alpha: 0.05, judge_noise: 0.0, max_samples: 8, prune_margin: 0.02 }
    }
}

/// What must not break.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Protected {
    /// Whether pinned rows veto.
    pub pinned: bool,
    /// Tags whose mean must not drop by more than a margin, in [0, 1].
    pub tags: BTreeMap<String, f64>,
}

/// Most calls that a run may pay for; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallLimits {
    /// All roles together.
    pub total: Option<u64>,
    /// The task model's.
    pub task: Option<u64>,
    /// The proposer's.
    pub proposer: Option<u64>,
    /// The judge's.
    pub judge: Option<u64>,
    /// The embedder's.
    pub embedder: Option<u64>,
    /// Calls that scoring one answer of the task model takes.
    pub scoring: ScoringCalls,
}

/// Calls that a run has paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallsSpent {
    /// All roles together.
    pub total: u64,
    /// The task model's.
    pub task: u64,
    /// The proposer's.
    pub proposer: u64,
    /// The judge's.
    pub judge: u64,
    /// The embedder's.
    pub embedder: u64,
}

impl CallLimits {
    /// Task calls that are left after `spent`, with those that score the answers; `u64::MAX` where there is no limit.
    pub fn task_left(&self, spent: CallsSpent) -> u64 {
        let answers = |left: u64, of_one: u64| match left {
            u64::MAX => u64::MAX,
            left => left.checked_div(of_one).unwrap_or(u64::MAX),
        };
        let together = answers(left(self.total, spent.total), self.scoring.total().saturating_add(1));
        let judged = answers(left(self.judge, spent.judge), self.scoring.judge);
        let embedded = answers(left(self.embedder, spent.embedder), self.scoring.embedder);
        together.min(left(self.task, spent.task)).min(judged).min(embedded)
    }

    /// Proposer calls that are left after `spent`; `u64::MAX` where there is no limit.
    pub fn proposer_left(&self, spent: CallsSpent) -> u64 {
        left(self.total, spent.total).min(left(self.proposer, spent.proposer))
    }
}

fn left(limit: Option<u64>, spent: u64) -> u64 {
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_call_takes_the_calls_that_score_its_answer_with_it() {
        let spent = CallsSpent { total: 40, task: 10, judge: 30, ..CallsSpent::default() };
        let scoring = ScoringCalls { judge: 3, embedder: 0 };
        let left = |limits: CallLimits| CallLimits { scoring, ..limits }.task_left(spent);
        assert_eq!(left(CallLimits::default()), u64::MAX);
        assert_eq!(left(CallLimits { total: Some(100), ..CallLimits::default() }), 15);
        assert_eq!(left(CallLimits { judge: Some(60), total: Some(100), ..CallLimits::default() }), 10);
        assert_eq!(left(CallLimits { task: Some(12), total: Some(100), ..CallLimits::default() }), 2);
        let unjudged = CallLimits { total: Some(100), judge: Some(1), ..CallLimits::default() };
        assert_eq!(unjudged.task_left(spent), 60);
        let scoring = ScoringCalls { judge: 1, embedder: 2 };
        let embedded = CallLimits { scoring, embedder: Some(9), total: Some(100), ..CallLimits::default() };
        assert_eq!(embedded.task_left(spent), 4);
    }
}
