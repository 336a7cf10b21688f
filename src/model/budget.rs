//! The budget: how many calls a run may make, together and by role. Every attempt is reserved before it is sent and
//! settled afterwards, so that the limits hold however many calls are on their way.
//!
//! What is counted are answers. An attempt that fails gives its place back: which attempts fail is chance, and a run
//! that was resumed, which has forgotten them, must have the same budget left as one that was not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BoxFuture, Call, CallError, Chat, Completion, Ledger, ModelRole, Price};

/// Limits on the number of calls of one run; absent means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// All calls together.
    pub calls: Option<u64>,
    /// Calls by role.
    pub by_role: BTreeMap<ModelRole, u64>,
}

/// What is left of a run's limits; shared by all its stacks.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// Calls reserved or settled so far.
    taken: Mutex<BTreeMap<ModelRole, u64>>,
}

impl Budget {
    /// A budget with `limits`, of which nothing is used yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Counts calls that this run paid for before it was interrupted (see `Store::paid`).
    pub fn carry_over(&self, role: ModelRole, calls: u64) {
        *self.lock().entry(role).or_default() += calls;
    }

    /// Calls that may still be made in `role`; `None` means without limit.
    pub fn left(&self, role: ModelRole) -> Option<u64> {
        let taken = self.lock();
        let together = self.limits.calls.map(|limit| limit.saturating_sub(taken.values().sum()));
        let own = self.limits.by_role.get(&role).map(|limit| limit.saturating_sub(count(&taken, role)));
        together.into_iter().chain(own).min()
    }

    /// Sets one call of `role` aside. It counts until the reservation is dropped; a settled one counts for good.
    ///
    /// # Errors
    /// [`CallError::Budget`], naming the limit, when it has no room.
    pub fn reserve(self: &Arc<Self>, role: ModelRole) -> Result<Reservation, CallError> {
        let mut taken = self.lock();
        if let Some(limit) = self.limits.calls.filter(|limit| taken.values().sum::<u64>() >= *limit) {
            return Err(CallError::Budget(format!("all {limit} calls of this run are made")));
        }
        if let Some(limit) = self.limits.by_role.get(&role).filter(|limit| count(&taken, role) >= **limit) {
            return Err(CallError::Budget(format!("all {limit} {role} calls of this run are made")));
        }
        *taken.entry(role).or_default() += 1;
        Ok(Reservation { budget: Arc::clone(self), role, settled: false })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ModelRole, u64>> {
        // Plain counters: a panic elsewhere can't leave them half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(taken: &BTreeMap<ModelRole, u64>, role: ModelRole) -> u64 {
    taken.get(&role).copied().unwrap_or_default()
}

/// One call set aside. Dropping it unsettled gives its place back.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    budget: Arc<Budget>,
    role: ModelRole,
    settled: bool,
}

impl Reservation {
    /// The call was answered: it counts for good.
    pub fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled
            && let Some(taken) = self.budget.lock().get_mut(&self.role)
        {
            *taken = taken.saturating_sub(1);
        }
    }
}

/// The layer that reserves each attempt, and prices its answer when it settles.
pub(super) struct Budgeted {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) budget: Arc<Budget>,
    pub(super) price: Option<Price>,
    pub(super) ledger: Arc<Ledger>,
}

impl Chat for Budgeted {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let reservation = self.budget.reserve(call.role)?;
            let mut completion =
                self.inner.complete(call).await.inspect_err(|_| self.ledger.note_failure(call.role))?;
            completion.cost = completion.cost.or_else(|| Some(self.price?.cost(&completion.usage)));
            reservation.settle();
            Ok(completion)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::model::testing::{answer, call};

    /// Takes a few turns of the scheduler to answer; every `fails`-th attempt fails.
    struct Slow {
        attempts: AtomicU64,
        answered: AtomicU64,
        fails: u64,
    }

    impl Chat for Slow {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
                for _ in 0..attempt % 5 {
                    tokio::task::yield_now().await;
                }
                if attempt.is_multiple_of(self.fails) {
                    return Err(CallError::Transient("fault".into()));
                }
                self.answered.fetch_add(1, Ordering::Relaxed);
                Ok(answer(&call.draw))
            })
        }
    }

    async fn answered(limits: Limits, fails: u64, calls: usize) -> (u64, Arc<Budget>) {
        let provider = Arc::new(Slow { attempts: 0.into(), answered: 0.into(), fails });
        let budget = Budget::new(limits);
        let layer = Arc::new(Budgeted {
            inner: provider.clone(),
            budget: Arc::clone(&budget),
            price: None,
            ledger: Arc::default(),
        });
        let tasks: Vec<_> = (0..calls)
            .map(|n| {
                let (layer, role) = (Arc::clone(&layer), ModelRole::ALL[n % 3]);
                tokio::spawn(async move { layer.complete(&Call { role, ..call(&n.to_string()) }).await })
            })
            .collect();
        for task in tasks {
            let _ = task.await.unwrap();
        }
        (provider.answered.load(Ordering::Relaxed), budget)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_budget_is_never_exceeded_and_no_place_is_lost(
            together in proptest::option::of(0_u64..40),
            task in proptest::option::of(0_u64..20),
            fails in 2_u64..7,
            calls in 0_usize..60,
        ) {
            let by_role: BTreeMap<_, _> = task.into_iter().map(|limit| (ModelRole::Task, limit)).collect();
            let limits = Limits { calls: together, by_role };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            let (answered, budget) = runtime.block_on(answered(limits, fails, calls));
            let taken = budget.lock().clone();
            prop_assert_eq!(taken.values().sum::<u64>(), answered, "what counts is what was answered");
            prop_assert!(together.is_none_or(|limit| answered <= limit));
            prop_assert!(task.is_none_or(|limit| count(&taken, ModelRole::Task) <= limit));
        }
    }

    #[test]
    fn a_dropped_reservation_gives_its_place_back_and_a_settled_one_does_not() {
        let budget = Budget::new(Limits { calls: Some(1), ..Limits::default() });
        drop(budget.reserve(ModelRole::Task).unwrap());
        assert_eq!(budget.left(ModelRole::Task), Some(1));
        budget.reserve(ModelRole::Task).unwrap().settle();
        assert_eq!(budget.left(ModelRole::Proposer), Some(0));
        let error = budget.reserve(ModelRole::Task).unwrap_err();
        assert_eq!(error.to_string(), "budget used up: all 1 calls of this run are made");
    }

    #[test]
    fn calls_paid_for_before_the_interruption_count() {
        let budget = Budget::new(Limits { by_role: [(ModelRole::Judge, 3)].into(), ..Limits::default() });
        budget.carry_over(ModelRole::Judge, 2);
        assert_eq!(budget.left(ModelRole::Judge), Some(1));
        assert_eq!(budget.left(ModelRole::Task), None);
    }
}
