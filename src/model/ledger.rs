//! What a run has used so far: the numbers that the progress line, the report and `--json` show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Amount, CallKey, Completion, ModelRole, Origin, Outlook, Paid};
use crate::money::Money;

/// What was used, by role. But for `failed` it depends on which calls were completed alone: not on their order, on how
/// often the same one was made, or on whether the run was interrupted in between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spend {
    /// Roles that made a call.
    pub roles: BTreeMap<ModelRole, RoleSpend>,
}

/// What one role used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpend {
    /// Distinct calls that this run paid for.
    pub live: u64,
    /// Distinct calls that were paid for earlier.
    pub stored: u64,
    /// Attempts of the run that brought no answer, those asked again with success included.
    pub failed: u64,
    /// Tokens read by the live calls.
    pub tokens_in: u64,
    /// Tokens written by the live calls.
    pub tokens_out: u64,
    /// Cost of the live calls whose price is known.
    pub cost: Money,
    /// Live calls whose price isn't known.
    pub unpriced: u64,
}

impl Spend {
    /// All roles together.
    pub fn total(&self) -> RoleSpend {
        self.roles.values().fold(RoleSpend::default(), |sum, role| RoleSpend {
            live: sum.live + role.live,
            stored: sum.stored + role.stored,
            failed: sum.failed + role.failed,
            tokens_in: sum.tokens_in + role.tokens_in,
            tokens_out: sum.tokens_out + role.tokens_out,
            cost: sum.cost + role.cost,
            unpriced: sum.unpriced + role.unpriced,
        })
    }
}

/// The running account behind [`Spend`], shared by all stacks of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    spend: Spend,
    /// Calls counted already, by 64 bits of their keys: a million of them take some 12 MB, and the odds that two are taken
    /// for one, which would be told as one call less, are one in thirty million.
    seen: BTreeMap<ModelRole, BTreeSet<u64>>,
    outlook: [Outlook; ModelRole::ALL.len()],
}

impl Account {
    /// Counts a completed call; false where it was counted before.
    fn count(&mut self, role: ModelRole, key: CallKey, completion: &Completion, took: Amount) -> bool {
        if !self.seen.entry(role).or_default().insert(key.as_u64()) {
            return false;
        }
        self.outlook[role as usize].seen += took;
        let entry = self.spend.roles.entry(role).or_default();
        match completion.origin {
            Origin::Stored => entry.stored += 1,
            Origin::Live => {
                entry.live += 1;
                entry.tokens_in += completion.usage.input;
                entry.tokens_out += completion.usage.output;
                match completion.cost {
                    Some(cost) => entry.cost += cost,
                    None => entry.unpriced += 1,
                }
            }
        }
        true
    }
}

impl Ledger {
    /// What was used so far.
    pub fn spend(&self) -> Spend {
        self.lock().spend.clone()
    }

    /// What the calls of `role` have taken so far, whoever paid.
    pub fn outlook(&self, role: ModelRole) -> Outlook {
        self.lock().outlook[role as usize]
    }

    /// Counts a completed call, once. `took` is what such a call takes, whoever paid for it; `most` is what it has to be
    /// reserved at.
    pub(super) fn note(&self, role: ModelRole, key: CallKey, completion: &Completion, took: Amount, most: Amount) {
        let mut account = self.lock();
        if account.count(role, key, completion, took) {
            let outlook = &mut account.outlook[role as usize];
            outlook.units += 1;
            outlook.largest = outlook.largest.max(most);
        }
    }

    /// Counts a call that was made for the sake of another, once.
    pub(super) fn note_part(&self, role: ModelRole, key: CallKey, completion: &Completion, took: Amount) {
        self.lock().count(role, key, completion, took);
    }

    /// Counts what the run paid for and has not come across again: a limit ends a stage at another row where the calls
    /// before it take no time.
    pub fn settle(&self, paid: &BTreeMap<ModelRole, Paid>) {
        let mut account = self.lock();
        for (role, paid) in paid {
            let entry = account.spend.roles.entry(*role).or_default();
            if paid.calls > entry.live {
                (entry.live, entry.cost, entry.unpriced) = (paid.calls, paid.cost, paid.unpriced);
                (entry.tokens_in, entry.tokens_out) = (paid.usage.input, paid.usage.output);
            }
        }
    }

    /// Forgets what the calls of `role` take: another model is asked from now on.
    pub fn forget_outlook(&self, role: ModelRole) {
        self.lock().outlook[role as usize] = Outlook::default();
    }

    /// Counts the attempts of the same run that brought an earlier process no answer.
    pub fn carry_over_failed(&self, role: ModelRole, failed: u64) {
        if failed > 0 {
            self.lock().spend.roles.entry(role).or_default().failed += failed;
        }
    }

    /// Counts an attempt without an answer.
    pub(super) fn note_failure(&self, role: ModelRole) {
        self.lock().spend.roles.entry(role).or_default().failed += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        // Plain counters: a panic elsewhere can't leave them half changed.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::model::testing::answer;

    #[test]
    fn a_call_counts_once_however_often_it_is_made() {
        let ledger = Ledger::default();
        let paid = Completion { cost: Some(Money::from_dollars(0.5)), ..answer("a") };
        let most = Amount { calls: 1, tokens: 99, money: Money::from_dollars(2.0) };
        let took = Amount { calls: 1, tokens: 12, money: Money::from_dollars(0.5) };
        for _ in 0..3 {
            ledger.note(ModelRole::Task, Digest::of(b"1"), &paid, took, most);
        }
        ledger.note(
            ModelRole::Task,
            Digest::of(b"2"),
            &Completion { origin: Origin::Stored, ..paid.clone() },
            took,
            most,
        );
        ledger.note(ModelRole::Proposer, Digest::of(b"3"), &answer("b"), took, most);
        ledger.note_failure(ModelRole::Proposer);
        ledger.carry_over_failed(ModelRole::Proposer, 2);
        ledger.carry_over_failed(ModelRole::Judge, 0);
        let spend = ledger.spend();
        assert_eq!((spend.roles[&ModelRole::Task].stored, spend.roles.len()), (1, 2));
        let total = spend.total();
        assert_eq!((total.live, total.stored, total.failed, total.unpriced), (2, 1, 3, 1));
        assert_eq!((total.tokens_in, total.tokens_out, total.cost), (20, 4, Money::from_dollars(0.5)));
        let json = serde_json::to_value(&spend).unwrap();
        assert_eq!(json["task"]["live"], 1);
        let more = Paid { calls: 3, cost: Money::from_dollars(1.5), ..Paid::default() };
        ledger.settle(&[(ModelRole::Task, more), (ModelRole::Judge, Paid::default())].into());
        let task = ledger.spend().roles[&ModelRole::Task];
        assert_eq!((task.live, task.stored, task.cost), (3, 1, more.cost), "what was not come across counts");
        let outlook = ledger.outlook(ModelRole::Task);
        assert_eq!((outlook.seen, outlook.largest), (took + took, most), "stored calls are seen too");
        ledger.note_part(ModelRole::Task, Digest::of(b"4"), &paid, took);
        assert_eq!((ledger.outlook(ModelRole::Task).units, ledger.outlook(ModelRole::Task).seen.calls), (2, 3));
    }
}
