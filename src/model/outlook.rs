//! How many calls are left, from what the run's answers have cost so far.
//!
//! Decisions rest on this and not on the [`Budget`](super::Budget), which also knows what is on its way: the same
//! answers always give the same numbers, also when a resumed run reads them back.

use std::collections::BTreeMap;

use super::{Amount, Ceiling, Limits, ModelRole, RoleSpend, Spend};

/// What the calls of one role have taken so far, paid for by this run or earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// All distinct calls together.
    pub seen: Amount,
    /// Calls that were made for their own sake: a target's program, with all that it asks of models, is one.
    pub units: u64,
    /// The most that one of them had to be reserved at.
    pub largest: Amount,
}

impl Outlook {
    /// What so many further calls for their own sake will take, going by the mean; nothing but the calls where none was
    /// made yet.
    pub fn expected(&self, calls: u64) -> Amount {
        let of = |sum: u64| {
            let mean = u128::from(sum) * u128::from(calls) / u128::from(self.units.max(1));
            u64::try_from(mean).unwrap_or(u64::MAX)
        };
        Amount {
            calls: of(self.seen.calls).max(calls),
            tokens: of(self.seen.tokens),
            money: crate::money::Money::from_picos(of(self.seen.money.picos())),
        }
    }

    /// Calls for their own sake that `ceiling` leaves beyond `used`, when one of them must be reservable at the end.
    fn calls_within(&self, ceiling: &Ceiling, used: Amount) -> u64 {
        let most = |limit: Option<u64>, used: u64, largest: u64, seen: u64| match limit {
            None => u64::MAX,
            Some(limit) => {
                let left = u128::from(limit.saturating_sub(used).saturating_sub(largest));
                let calls = left * u128::from(self.units);
                // A role that has cost nothing so far is taken to go on like that.
                calls.checked_div(u128::from(seen)).map_or(u64::MAX, |calls| u64::try_from(calls).unwrap_or(u64::MAX))
            }
        };
        // Without an answer so far, a call is one call.
        let (seen, units) = if self.units == 0 { (1, 1) } else { (self.seen.calls, self.units) };
        let of_calls = |left: u64| (u128::from(left) * u128::from(units)).checked_div(u128::from(seen)).unwrap_or(0);
        let calls = ceiling
            .calls
            .map_or(u64::MAX, |limit| u64::try_from(of_calls(limit.saturating_sub(used.calls))).unwrap_or(u64::MAX));
        let tokens = most(ceiling.tokens, used.tokens, self.largest.tokens, self.seen.tokens);
        let money = ceiling.money.map(|money| money.picos());
        let money = most(money, used.money.picos(), self.largest.money.picos(), self.seen.money.picos());
        calls.min(tokens).min(money)
    }
}

impl Limits {
    /// Calls of `role` that are left after `spend` and `lost`, at the mean cost that `outlook` shows; `u64::MAX` where
    /// nothing limits them.
    pub fn calls_left(
        &self,
        role: ModelRole,
        spend: &Spend,
        lost: &BTreeMap<ModelRole, Amount>,
        outlook: &Outlook,
    ) -> u64 {
        self.narrowest(role, spend, lost, outlook).map_or(u64::MAX, |(calls, _)| calls)
    }

    /// The limit that leaves the fewest calls of `role`, by the same numbers: how many, and the limit as the config has
    /// it; `None` where nothing limits them.
    pub fn narrowest(
        &self,
        role: ModelRole,
        spend: &Spend,
        lost: &BTreeMap<ModelRole, Amount>,
        outlook: &Outlook,
    ) -> Option<(u64, String)> {
        let lost_of = |role: &ModelRole| lost.get(role).copied().unwrap_or_default();
        let used = |role: &ModelRole| paid(spend.roles.get(role)) + lost_of(role);
        let together = ModelRole::ALL.iter().fold(Amount::default(), |sum, role| sum + used(role));
        let own = self.by_role.get(&role).map(|ceiling| (Some(role), ceiling, used(&role)));
        let scopes = std::iter::once((None, &self.together, together)).chain(own);
        let limits = scopes.flat_map(|(scope, ceiling, used)| {
            ceiling.parts().into_iter().map(move |(part, limit)| (scope, part, limit, used))
        });
        let left = limits.map(|(scope, part, limit, used)| (outlook.calls_within(&part, used), scope, limit));
        let (calls, scope, limit) = left.min_by_key(|(calls, ..)| *calls)?;
        Some((calls, limit.named(scope)))
    }
}

fn paid(spend: Option<&RoleSpend>) -> Amount {
    spend.map_or_else(Amount::default, |spend| Amount {
        calls: spend.live,
        tokens: spend.tokens_in.saturating_add(spend.tokens_out),
        money: spend.cost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;

    fn amount(calls: u64, tokens: u64, dollars: f64) -> Amount {
        Amount { calls, tokens, money: Money::from_dollars(dollars) }
    }

    #[test]
    fn what_is_left_is_counted_in_calls_by_their_mean_cost() {
        let outlook = Outlook { seen: amount(10, 1000, 1.0), units: 10, largest: amount(1, 200, 0.5) };
        let spent = RoleSpend {
            live: 4,
            tokens_in: 300,
            tokens_out: 100,
            cost: Money::from_dollars(0.4),
            ..Default::default()
        };
        let spend = Spend { roles: [(ModelRole::Task, spent)].into() };
        let none = BTreeMap::new();
        let left = |ceiling: Ceiling| {
            Limits { together: ceiling, ..Limits::default() }.calls_left(ModelRole::Task, &spend, &none, &outlook)
        };
        assert_eq!(left(Ceiling::default()), u64::MAX);
        assert_eq!(left(Ceiling { calls: Some(20), ..Ceiling::default() }), 16);
        assert_eq!(
            left(Ceiling { tokens: Some(1000), ..Ceiling::default() }),
            4,
            "600 are left, 200 of them for the last"
        );
        assert_eq!(left(Ceiling { money: Some(Money::from_dollars(2.0)), ..Ceiling::default() }), 11);
        let lost = BTreeMap::from([(ModelRole::Task, amount(3, 0, 1.0))]);
        let limits = Limits {
            together: Ceiling { money: Some(Money::from_dollars(2.0)), ..Ceiling::default() },
            ..Limits::default()
        };
        assert_eq!(limits.calls_left(ModelRole::Task, &spend, &lost, &outlook), 1);
        assert_eq!(outlook.expected(5), amount(5, 500, 0.5));
        assert_eq!(Outlook::default().expected(5), amount(5, 0, 0.0));
        // Two calls of a model in each answer of a program.
        let program = Outlook { seen: amount(30, 1000, 1.0), ..outlook };
        assert_eq!(program.expected(5), amount(15, 500, 0.5));
        let limits = Limits { together: Ceiling { calls: Some(20), ..Ceiling::default() }, ..Limits::default() };
        assert_eq!(limits.calls_left(ModelRole::Task, &spend, &none, &program), 5, "of 16 calls");
    }

    #[test]
    fn the_limit_that_leaves_the_fewest_calls_is_named_as_the_config_has_it() {
        let outlook = Outlook { seen: amount(10, 1000, 1.0), units: 10, largest: amount(1, 200, 0.5) };
        let together = Ceiling { calls: Some(20), tokens: Some(1000), ..Ceiling::default() };
        let own = Ceiling { money: Some(Money::from_dollars(0.7)), ..Ceiling::default() };
        let limits = Limits { together, by_role: [(ModelRole::Proposer, own)].into() };
        let narrowest = |role| limits.narrowest(role, &Spend::default(), &BTreeMap::new(), &outlook);
        assert_eq!(narrowest(ModelRole::Task), Some((8, "budget.tokens = 1000".to_owned())));
        assert_eq!(narrowest(ModelRole::Proposer), Some((2, "budget.proposer.usd = $0.7000".to_owned())));
        let (spend, lost) = (Spend::default(), BTreeMap::new());
        assert_eq!(Limits::default().narrowest(ModelRole::Task, &spend, &lost, &outlook), None);
    }
}
