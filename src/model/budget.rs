//! The budget: how many calls, tokens and how much money a run may use, together and by role, and until when it may ask.
//!
//! Every attempt is reserved at the most that it can cost before it is sent, and settled at what it did cost afterwards,
//! so that the limits hold however many are on their way. An attempt that the provider may have billed without
//! answering (a timeout, a cut body, a call that was dropped) counts as spent, at its reservation. What can't be had
//! while others are on their way waits for them: most reservations come out far below their bound.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::allotment::Allotment;
use super::amount::{Amount, Limits, took, worst_case};
use super::{BoxFuture, Call, CallError, Chat, Completion, Ledger, ModelRole, Price, Usage};
use crate::clock::Clock;
use crate::money::Money;

/// How long calls under way may go on once the time is up.
const GRACE: Duration = Duration::from_secs(10);

/// What is left of a run's limits; shared by all its stacks.
pub struct Budget {
    limits: Limits,
    state: Mutex<State>,
    /// Told whenever a reservation comes to its end.
    freed: Notify,
}

/// An amount for each role, in the order of [`ModelRole::ALL`].
pub(super) type ByRole = [Amount; ModelRole::ALL.len()];

#[derive(Default)]
struct State {
    /// Settled, lost and reserved, by role.
    taken: ByRole,
    /// Of `taken`, what is on its way.
    reserved: ByRole,
    /// Of `taken`, what brought no answer.
    lost: ByRole,
    /// Not to be touched for now: what comes at the end needs it.
    kept_back: ByRole,
    /// Why nothing may be asked at all, where that is so.
    closed: Option<CallError>,
    time: Option<Time>,
    /// What may be taken before that is written down.
    allotment: Option<Allotment>,
}

/// The time that is left.
struct Time {
    clock: Arc<dyn Clock>,
    /// Since the Unix epoch.
    end: Duration,
    /// Kept back for what comes at the end.
    kept_back: Duration,
    /// When the first attempt of this process was made.
    began: Option<Duration>,
    /// Attempts of this process that were answered.
    answered: u64,
}

impl Time {
    fn left(&self) -> Duration {
        self.end.saturating_sub(self.kept_back).saturating_sub(self.clock.now())
    }

    /// How long `calls` take at this process's pace so far.
    fn of_calls(&self, calls: u64) -> Duration {
        let Some(began) = self.began.filter(|_| self.answered > 0) else { return Duration::ZERO };
        let so_far = self.clock.now().saturating_sub(began);
        so_far.mul_f64((calls as f64 / self.answered as f64).min(1e6))
    }
}

/// Whether an attempt can be had.
enum Room {
    Now,
    /// Not before others on their way have come out below their reservations.
    Later,
    Never(CallError),
}

impl Budget {
    /// A budget with `limits`, of which nothing is used yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), freed: Notify::new() })
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Nothing is asked from `end` on (since the Unix epoch, by `clock`); what is under way is cut 10 s later.
    pub fn end_at(&self, clock: Arc<dyn Clock>, end: Duration) {
        let time = Time { clock, end, kept_back: Duration::ZERO, began: None, answered: 0 };
        self.lock().time = Some(time);
    }

    /// Counts what this run paid for before it was interrupted (see `Store::paid`).
    pub fn carry_over(&self, role: ModelRole, paid: Amount) {
        self.lock().taken[role as usize] += paid;
    }

    /// Counts what this run lost before it was interrupted.
    pub fn carry_over_lost(&self, role: ModelRole, lost: Amount) {
        let mut state = self.lock();
        state.taken[role as usize] += lost;
        state.lost[role as usize] += lost;
    }

    /// From now on nothing is taken of the limits before `write` has made durable that it may be. `earlier` is what it was
    /// told last by a process that ended without a word: all of it counts as taken. After what this run paid for and lost
    /// was counted. Returns how much counts as taken for calls that were under way then, as far as that is limited.
    pub fn allot(
        &self,
        earlier: &BTreeMap<ModelRole, Amount>,
        write: impl Fn(&BTreeMap<ModelRole, Amount>) -> Result<(), String> + Send + 'static,
    ) -> Amount {
        if self.limits.is_unlimited() {
            return Amount::default();
        }
        let mut state = self.lock();
        let known = sum(&state.taken);
        state.taken = Allotment::carried_over(&self.limits, state.taken, earlier);
        state.allotment = Some(Allotment::new(&self.limits, state.taken, Box::new(write)));
        sum(&state.taken).saturating_sub(known)
    }

    /// Writes down what is taken, and no more: the process ends in order.
    pub fn settle_allotment(&self) {
        let mut state = self.lock();
        let taken = state.taken;
        if let Some(allotment) = &mut state.allotment {
            // What was written before is no less.
            let _ = allotment.settle(taken);
        }
    }

    /// What attempts without an answer count as, by role.
    pub fn lost(&self) -> BTreeMap<ModelRole, Amount> {
        let lost = self.lock().lost;
        ModelRole::ALL.into_iter().map(|role| (role, lost[role as usize])).filter(|(_, lost)| lost.calls > 0).collect()
    }

    /// Keeps `needs`, by role, back from now on, and nothing else, with the time that their calls take.
    pub fn keep_back(&self, needs: &BTreeMap<ModelRole, Amount>) {
        let mut state = self.lock();
        state.kept_back = ByRole::default();
        needs.iter().for_each(|(role, need)| state.kept_back[*role as usize] = *need);
        let calls = sum(&state.kept_back).calls;
        if let Some(time) = &mut state.time {
            time.kept_back = time.of_calls(calls);
        }
        drop(state);
        self.freed.notify_one();
    }

    /// From now on every attempt is refused with `reason`; with none they are made again.
    pub fn close(&self, reason: Option<CallError>) {
        self.lock().closed = reason;
        self.freed.notify_one();
    }

    /// Why `needs`, by role, can't be had any more beside what is used, on its way and kept back.
    pub fn shortage(&self, needs: &BTreeMap<ModelRole, Amount>) -> Option<CallError> {
        let state = self.lock();
        let mut after = state.taken;
        needs.iter().for_each(|(role, need)| after[*role as usize] += *need);
        let calls = needs.values().map(|need| need.calls).sum();
        if state.time.as_ref().is_some_and(|time| time.left() <= time.of_calls(calls)) {
            return Some(CallError::TimeUp);
        }
        let scopes = std::iter::once((None, &self.limits.together, sum(&after)))
            .chain(self.limits.by_role.iter().map(|(role, ceiling)| (Some(*role), ceiling, after[*role as usize])));
        scopes.into_iter().find_map(|(role, ceiling, used)| {
            let above = ceiling.exceeded_by(used + kept_back(&state, role))?;
            Some(CallError::Budget(format!("what is left of {} does not cover another generation", above.named(role))))
        })
    }

    /// How long a call may take at most: until some seconds after the time is up.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.lock().time.as_ref().map(|time| time.left() + GRACE)
    }

    /// Sets `most` aside for one attempt of `role`; waits as long as others on their way may leave room for it.
    ///
    /// # Errors
    /// [`CallError::Budget`], naming the limit that has no room, or [`CallError::TimeUp`].
    pub async fn reserve(self: &Arc<Self>, role: ModelRole, most: Amount) -> Result<Reservation, CallError> {
        loop {
            // A notice between this look and the wait is kept for the next who waits.
            let room = self.take(role, most);
            match room {
                Room::Later => self.freed.notified().await,
                Room::Now => {
                    if !self.limits.is_unlimited() {
                        // One notice may have been for several: pass it on.
                        self.freed.notify_one();
                    }
                    return Ok(Reservation { budget: Arc::clone(self), role, most, open: true, reserved: true });
                }
                Room::Never(error) => {
                    self.freed.notify_one();
                    return Err(error);
                }
            }
        }
    }

    fn take(&self, role: ModelRole, most: Amount) -> Room {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(reason) = &state.closed {
            return Room::Never(reason.clone());
        }
        if state.time.as_ref().is_some_and(|time| time.left().is_zero()) {
            return Room::Never(CallError::TimeUp);
        }
        let room = self.room(state, role, most);
        if matches!(room, Room::Now) {
            let taken = state.taken[role as usize] + most;
            if let Some(Err(error)) = state.allotment.as_mut().map(|allotment| allotment.cover(role, taken)) {
                return Room::Never(CallError::Store(error));
            }
            state.taken[role as usize] = taken;
            state.reserved[role as usize] += most;
            if let Some(time) = &mut state.time {
                time.began = time.began.or_else(|| Some(time.clock.now()));
            }
        }
        room
    }

    fn room(&self, state: &State, role: ModelRole, most: Amount) -> Room {
        let index = role as usize;
        let scopes = [
            (None, Some(&self.limits.together), sum(&state.taken), sum(&state.reserved)),
            (Some(role), self.limits.by_role.get(&role), state.taken[index], state.reserved[index]),
        ];
        let mut room = Room::Now;
        for (scope, ceiling, taken, reserved) in scopes {
            let Some(ceiling) = ceiling.filter(|ceiling| !ceiling.is_unlimited()) else { continue };
            let wanted = taken + most + kept_back(state, scope);
            if ceiling.exceeded_by(wanted).is_none() {
                continue;
            }
            if let Some(above) = ceiling.exceeded_by(wanted.saturating_sub(reserved)) {
                let limit = above.named(scope);
                return Room::Never(CallError::Budget(format!("what is left of {limit} does not cover another call")));
            }
            room = Room::Later;
        }
        room
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain counters: a panic elsewhere can't leave them half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn sum(amounts: &ByRole) -> Amount {
    amounts.iter().fold(Amount::default(), |sum, amount| sum + *amount)
}

/// What is kept back of one role, or of all together.
fn kept_back(state: &State, scope: Option<ModelRole>) -> Amount {
    scope.map_or_else(|| sum(&state.kept_back), |role| state.kept_back[role as usize])
}

/// What is set aside for one attempt. Dropping it counts all of it as spent.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    budget: Arc<Budget>,
    role: ModelRole,
    most: Amount,
    open: bool,
    /// Whether others may still hope that it comes out lower.
    reserved: bool,
}

impl Reservation {
    /// It will not come out lower: nobody waits for it any more. For an attempt that itself makes others.
    pub fn commit(&mut self) {
        if std::mem::take(&mut self.reserved) {
            let mut state = self.budget.lock();
            let reserved = &mut state.reserved[self.role as usize];
            *reserved = reserved.saturating_sub(self.most);
        }
    }

    /// The attempt was answered: what it used counts in place of what was set aside.
    pub fn settle(mut self, used: Amount) {
        self.close(used, true);
    }

    /// The attempt was answered, and the answer is not kept: what it used counts as lost.
    pub fn lose(mut self, used: Amount) {
        self.close(used, true);
        self.budget.lock().lost[self.role as usize] += used;
    }

    /// The attempt was not billed: it counts as nothing.
    pub fn release(mut self) {
        self.close(Amount::default(), false);
    }

    fn close(&mut self, used: Amount, answered: bool) {
        self.open = false;
        let index = self.role as usize;
        let mut state = self.budget.lock();
        if self.reserved {
            state.reserved[index] = state.reserved[index].saturating_sub(self.most);
        }
        state.taken[index] = state.taken[index].saturating_sub(self.most) + used;
        if let Some(time) = state.time.as_mut().filter(|_| answered) {
            time.answered += 1;
        }
        drop(state);
        if !self.budget.limits.is_unlimited() {
            self.budget.freed.notify_one();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.open {
            self.close(self.most, false);
            self.budget.lock().lost[self.role as usize] += self.most;
        }
    }
}

/// The layer that reserves each attempt, and prices its answer when it settles. Innermost but for the provider, so that
/// what is reserved is sent.
pub(super) struct Budgeted {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) budget: Arc<Budget>,
    pub(super) price: Option<Price>,
    pub(super) ledger: Arc<Ledger>,
    /// Whether the answers are anybody's: others are paid for and lost.
    pub(super) is_kept: bool,
}

impl Budgeted {
    async fn attempt(&self, call: &Call) -> Result<Completion, CallError> {
        let most = worst_case(&call.request, self.price.as_ref());
        let reservation = self.budget.reserve(call.role, most).await?;
        let mut completion = match self.inner.complete(call).await {
            Ok(completion) => completion,
            Err(error) => {
                self.ledger.note_failure(call.role);
                if !may_be_billed(&error) {
                    reservation.release();
                }
                return Err(error);
            }
        };
        let usage = completion.usage;
        // A provider that counts nothing leaves open what the call cost: then the most counts.
        let known = self.price.filter(|price| usage != Usage::default() || price.is_free());
        completion.cost = completion.cost.or_else(|| known.map(|price| price.cost(&usage)));
        let used = took(&completion, self.price.as_ref(), most);
        if self.is_kept {
            reservation.settle(used);
        } else {
            self.ledger.note_failure(call.role);
            reservation.lose(used);
        }
        Ok(completion)
    }
}

/// The layer around a target's program: an answer is one call, and whatever tokens the program says that it spent
/// elsewhere. What it asks of models through Ratchet is reserved and settled by itself.
pub(super) struct Charged {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) budget: Arc<Budget>,
    pub(super) ledger: Arc<Ledger>,
}

/// What an answer of a target's program is reserved at.
pub(super) const ANSWER: Amount = Amount { calls: 1, tokens: 0, money: Money::ZERO };

impl Chat for Charged {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let mut reservation = self.budget.reserve(call.role, ANSWER).await?;
            // Its own calls must not wait for it, since it waits for them.
            reservation.commit();
            match self.inner.complete(call).await {
                Ok(completion) => {
                    reservation.settle(took(&completion, None, ANSWER));
                    Ok(completion)
                }
                Err(error) => {
                    self.ledger.note_failure(call.role);
                    reservation.release();
                    Err(error)
                }
            }
        })
    }
}

/// Whether a provider that failed like this may have done the work all the same.
fn may_be_billed(error: &CallError) -> bool {
    !matches!(
        error,
        CallError::Unreachable(_)
            | CallError::Transient(_)
            | CallError::Busy { .. }
            | CallError::Rejected(_)
            | CallError::Failed(_)
            | CallError::Denied(_)
            | CallError::OutOfQuota(_)
            | CallError::Local(_)
    )
}

impl Chat for Budgeted {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.attempt(call))
    }
}

#[cfg(test)]
mod tests;
