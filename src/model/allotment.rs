//! What a run may take of its limits before that is written down: a process that is killed leaves behind how much it may
//! have taken at most, and the one that goes on counts all of that as spent.
//!
//! Answers that are stored and attempts that were lost are known exactly; the allotment stands for what is between: calls
//! that were with a provider, and answers that weren't committed yet. It is raised a hundredth of a limit at a time, so
//! that it is written seldom, and a kill costs little more than what was under way.

use std::collections::BTreeMap;

use super::budget::ByRole;
use super::{Amount, Limits, ModelRole};
use crate::money::Money;

/// Parts of a limit, of which one is allotted at a time.
const PARTS: u64 = 100;

/// Makes an allotment durable.
type Write = Box<dyn Fn(&BTreeMap<ModelRole, Amount>) -> Result<(), String> + Send>;

pub(super) struct Allotment {
    /// By how much it is raised; zero for what isn't limited.
    steps: ByRole,
    allotted: ByRole,
    write: Write,
}

impl Allotment {
    /// Of a run with these `limits` that has taken so much.
    pub(super) fn new(limits: &Limits, taken: ByRole, write: Write) -> Self {
        Self { steps: steps(limits), allotted: taken, write }
    }

    /// `taken`, or what was allotted before, where that is limited and was more.
    pub(super) fn carried_over(limits: &Limits, taken: ByRole, earlier: &BTreeMap<ModelRole, Amount>) -> ByRole {
        let (steps, mut taken) = (steps(limits), taken);
        for (role, allotted) in earlier {
            let (step, taken) = (steps[*role as usize], &mut taken[*role as usize]);
            *taken = taken.max(limited(step, *allotted));
        }
        taken
    }

    /// Raises it, and makes that durable, where `role` is to have `taken` more than is allotted.
    ///
    /// # Errors
    /// It can't be written; then nothing may be taken.
    pub(super) fn cover(&mut self, role: ModelRole, taken: Amount) -> Result<(), String> {
        let (step, allotted) = (self.steps[role as usize], self.allotted[role as usize]);
        if limited(step, taken).saturating_sub(allotted) == Amount::default() {
            return Ok(());
        }
        self.put(role, taken + step)
    }

    /// Brings it down to what is `taken`: the process ends in order.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn settle(&mut self, taken: ByRole) -> Result<(), String> {
        self.allotted = taken;
        (self.write)(&self.by_role())
    }

    fn put(&mut self, role: ModelRole, allotted: Amount) -> Result<(), String> {
        let before = std::mem::replace(&mut self.allotted[role as usize], allotted);
        (self.write)(&self.by_role()).inspect_err(|_| self.allotted[role as usize] = before)
    }

    fn by_role(&self) -> BTreeMap<ModelRole, Amount> {
        ModelRole::ALL.into_iter().map(|role| (role, self.allotted[role as usize])).collect()
    }
}

/// Of each role's limits and those of all together, the smallest, in parts; zero for what isn't limited.
fn steps(limits: &Limits) -> ByRole {
    ModelRole::ALL.map(|role| {
        let ceilings = || std::iter::once(&limits.together).chain(limits.by_role.get(&role));
        let step = |limit: Option<u64>| limit.map_or(0, |limit| (limit / PARTS).max(1));
        Amount {
            calls: step(ceilings().filter_map(|ceiling| ceiling.calls).min()),
            tokens: step(ceilings().filter_map(|ceiling| ceiling.tokens).min()),
            money: Money::from_picos(step(ceilings().filter_map(|ceiling| ceiling.money).min().map(Money::picos))),
        }
    })
}

/// Of `amount` what is limited, going by its `step`.
fn limited(step: Amount, amount: Amount) -> Amount {
    let none = Amount::default();
    Amount {
        calls: if step.calls == none.calls { 0 } else { amount.calls },
        tokens: if step.tokens == none.tokens { 0 } else { amount.tokens },
        money: if step.money == none.money { Money::ZERO } else { amount.money },
    }
}
