//! The run's account as the search asks it: the limits, what the run's answers have cost, and what got lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Models;
use crate::model::{Amount, CallError, Ceiling, Limits, ModelRole, Outlook};
use crate::search::Account;

/// A quarter of what calls at the end are expected to take is kept back beyond that: the winner's prompt is longer than
/// the average prompt.
const MARGIN: u64 = 4;

/// The account of one run.
pub(super) struct Purse {
    models: Arc<Models>,
    /// What the search has said is lost.
    lost: Mutex<BTreeMap<ModelRole, Amount>>,
    /// Task calls that something is kept back for.
    kept_back: AtomicU64,
    /// Calls of the judge that one answer takes.
    judge_a_row: u64,
}

impl Purse {
    pub fn new(models: Arc<Models>, judge_a_row: u64) -> Self {
        Self { models, lost: Mutex::default(), kept_back: AtomicU64::new(0), judge_a_row }
    }

    /// Rows that may still be answered and judged: within the limits of both roles, and together at what a row takes of
    /// both.
    fn rows_left(&self, limits: &Limits, lost: &BTreeMap<ModelRole, Amount>) -> u64 {
        let spend = self.models.spend();
        let [task, judge] = [ModelRole::Task, ModelRole::Judge].map(|role| self.models.ledger().outlook(role));
        let apart = Limits { together: Ceiling::default(), by_role: limits.by_role.clone() };
        let together = Limits { together: limits.together, by_role: BTreeMap::new() };
        let row = Outlook { seen: task.seen + judge.seen, units: task.units, largest: task.largest + judge.largest };
        let judged = match apart.calls_left(ModelRole::Judge, &spend, lost, &judge) {
            u64::MAX => u64::MAX,
            calls => calls / self.judge_a_row.max(1),
        };
        let both = together.calls_left(ModelRole::Task, &spend, lost, &row);
        both.min(apart.calls_left(ModelRole::Task, &spend, lost, &task)).min(judged)
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
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let left = if role == ModelRole::Task && self.judge_a_row > 0 {
            self.rows_left(limits, &lost)
        } else {
            limits.calls_left(role, &self.models.spend(), &lost, &self.models.ledger().outlook(role))
        };
        let margin = if limits.has_estimates() { self.kept_back.load(Ordering::Relaxed) / MARGIN } else { 0 };
        left.saturating_sub(margin)
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

    fn keep_back(&self, task_calls: u64) {
        self.kept_back.store(task_calls, Ordering::Relaxed);
        let with_margin = |role, calls: u64| {
            let margin = self.models.ledger().outlook(role).expected(calls / MARGIN);
            (role, self.expected(role, calls) + Amount { calls: 0, ..margin })
        };
        let judged = task_calls.saturating_mul(self.judge_a_row);
        let needs = [with_margin(ModelRole::Task, task_calls), with_margin(ModelRole::Judge, judged)];
        self.models.budget().keep_back(&needs.into());
    }

    fn settle(&self) -> Result<(), CallError> {
        self.models.settle()
    }

    fn close(&self, reason: Option<CallError>) {
        self.models.budget().close(reason);
    }
}
