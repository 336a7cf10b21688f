//! The run's account as the search asks it: the limits, what the run's answers have cost, and what got lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Models;
use crate::model::{Amount, CallError, Ceiling, Limits, ModelRole, Outlook};
use crate::score::ScoringCalls;
use crate::search::Account;

/// What scoring the answers at the end is taken to take of the mean: a quarter more.
const SCORING_TAKES: f64 = 1.25;

/// The account of one run.
pub(super) struct Purse {
    models: Arc<Models>,
    /// What the search has said is lost.
    lost: Mutex<BTreeMap<ModelRole, Amount>>,
    /// What is kept back for calls at the end.
    kept_back: Mutex<BTreeMap<ModelRole, Amount>>,
    /// Calls that scoring one answer takes.
    scoring: ScoringCalls,
}

impl Purse {
    pub fn new(models: Arc<Models>, scoring: ScoringCalls) -> Self {
        Self { models, lost: Mutex::default(), kept_back: Mutex::default(), scoring }
    }

    /// The roles that score answers, with their calls for one.
    fn scoring(&self) -> [(ModelRole, u64); 2] {
        [(ModelRole::Judge, self.scoring.judge), (ModelRole::Embedder, self.scoring.embedder)]
    }

    /// What can't be spent besides what the run's answers have cost: what the search has said is lost, and what is kept
    /// back.
    fn unavailable(&self) -> BTreeMap<ModelRole, Amount> {
        let mut unavailable = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (role, amount) in self.kept_back.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *unavailable.entry(*role).or_default() += *amount;
        }
        unavailable
    }

    /// Rows that may still be answered and scored: within the limits of all roles, and together at what a row takes of
    /// them.
    fn rows_left(&self, limits: &Limits, unavailable: &BTreeMap<ModelRole, Amount>) -> u64 {
        let spend = self.models.spend();
        let outlook = |role| self.models.ledger().outlook(role);
        let task = outlook(ModelRole::Task);
        let apart = Limits { together: Ceiling::default(), by_role: limits.by_role.clone() };
        let together = Limits { together: limits.together, by_role: BTreeMap::new() };
        let row = self.scoring().iter().map(|(role, _)| outlook(*role)).fold(task, |row, other| Outlook {
            seen: row.seen + other.seen,
            units: row.units,
            largest: row.largest + other.largest,
        });
        let scored =
            self.scoring().map(|(role, of_one)| match apart.calls_left(role, &spend, unavailable, &outlook(role)) {
                u64::MAX => u64::MAX,
                calls => calls / of_one.max(1),
            });
        let all = together.calls_left(ModelRole::Task, &spend, unavailable, &row);
        scored.into_iter().fold(all.min(apart.calls_left(ModelRole::Task, &spend, unavailable, &task)), u64::min)
    }

    /// What so many calls of `role` take, with room for the last of them to be reserved.
    fn expected(&self, role: ModelRole, calls: u64) -> Amount {
        let outlook = self.models.ledger().outlook(role);
        let largest = if calls > 0 { Amount { calls: 0, ..outlook.largest } } else { Amount::default() };
        outlook.expected(calls) + largest
    }
}

impl Account for Purse {
    fn left(&self, role: ModelRole) -> u64 {
        let limits = self.models.budget().limits();
        if limits.is_unlimited() {
            return u64::MAX;
        }
        let unavailable = self.unavailable();
        if role == ModelRole::Task && self.scoring.total() > 0 {
            self.rows_left(limits, &unavailable)
        } else {
            limits.calls_left(role, &self.models.spend(), &unavailable, &self.models.ledger().outlook(role))
        }
    }

    fn limit(&self, role: ModelRole) -> Option<String> {
        let unavailable = self.unavailable();
        let narrowest = |(role, of_one)| {
            let outlook = self.models.ledger().outlook(role);
            let (calls, limit) =
                self.models.budget().limits().narrowest(role, &self.models.spend(), &unavailable, &outlook)?;
            Some((calls / of_one, limit))
        };
        let is_scored = |(_, of_one): &(ModelRole, u64)| role == ModelRole::Task && *of_one > 0;
        let roles = std::iter::once((role, 1)).chain(self.scoring().into_iter().filter(is_scored));
        roles.filter_map(narrowest).min_by_key(|(calls, _)| *calls).map(|(_, limit)| limit)
    }

    fn shortage(&self, calls: &BTreeMap<ModelRole, u64>) -> Option<CallError> {
        let needs = calls.iter().map(|(role, calls)| (*role, self.expected(*role, *calls))).collect();
        self.models.budget().shortage(&needs)
    }

    fn lost(&self) -> BTreeMap<ModelRole, Amount> {
        let budget = self.models.budget();
        if budget.limits().is_unlimited() { BTreeMap::new() } else { budget.lost() }
    }

    fn count_lost(&self, lost: BTreeMap<ModelRole, Amount>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    fn has_estimates(&self) -> bool {
        self.models.budget().limits().has_estimates()
    }

    fn keep_back(&self, task_calls: u64, takes: f64) {
        let need = |role, calls: u64, takes: f64| {
            let outlook = self.models.ledger().outlook(role);
            let largest = if calls > 0 { Amount { calls: 0, ..outlook.largest } } else { Amount::default() };
            (role, outlook.expected(calls).times(takes) + largest)
        };
        let scored = self.scoring().map(|(role, of_one)| need(role, task_calls.saturating_mul(of_one), SCORING_TAKES));
        let needs = std::iter::once(need(ModelRole::Task, task_calls, takes)).chain(scored);
        let needs = needs.filter(|_| task_calls > 0).collect();
        self.models.budget().keep_back(&needs);
        *self.kept_back.lock().unwrap_or_else(PoisonError::into_inner) = needs;
    }

    fn settle(&self) -> Result<(), CallError> {
        self.models.settle()
    }

    fn close(&self, reason: Option<CallError>) {
        self.models.budget().close(reason);
    }
}
