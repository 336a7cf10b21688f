//! Sequential tests: evidence that may be looked at after every observation, and an error rate that is spent over
//! the generations of a run.

use statrs::function::beta::{beta_reg, ln_beta};

/// Evidence that "up" is more likely than "down" among discordant rows, valid whenever one stops.
///
/// A test martingale: the likelihood ratio of p against 1/2, mixed over p uniform on (1/2, 1). This is Robbins'
/// mixture (Ann. Math. Stat. 41, 1970) with a half beta, and a bet in the sense of Waudby-Smith and Ramdas
/// (J. R. Stat. Soc. B 86, 2024). For every p <= 1/2 its expectation never grows, so that by Ville's inequality it
/// ever reaches 1 / alpha with probability at most alpha. It depends on the counts alone, not on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EProcess {
    up: u64,
    down: u64,
}

impl EProcess {
    /// Evidence before any observation: an e-value of 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one discordant row: `up` where the second arm did better.
    pub fn observe(&mut self, up: bool) {
        if up {
            self.up += 1;
        } else {
            self.down += 1;
        }
    }

    /// Rows observed.
    pub fn observations(&self) -> u64 {
        self.up + self.down
    }

    /// The e-value: how many times the stake has grown. Finite, at least 0.
    pub fn e_value(&self) -> f64 {
        let (up, down) = (self.up as f64 + 1.0, self.down as f64 + 1.0);
        // 2^(n+1) times the integral of p^up (1-p)^down over (1/2, 1).
        let upper_half = beta_reg(down, up, 0.5);
        let ln = (up + down - 1.0) * std::f64::consts::LN_2 + ln_beta(up, down) + upper_half.ln();
        ln.exp().min(f64::MAX)
    }

    /// Whether "no more ups than downs" is rejected at error rate `alpha`.
    pub fn rejects(&self, alpha: f64) -> bool {
        alpha > 0.0 && self.e_value() >= 1.0 / alpha
    }
}

/// The share of `alpha_total` that generation `generation` (from 1) may spend: alpha * 6 / (pi^2 k^2), which sums to
/// `alpha_total` over all generations (the series of Euler; a union bound over the gate's questions). 0 for
/// generation 0.
pub fn spend(alpha_total: f64, generation: u32) -> f64 {
    if generation == 0 {
        return 0.0;
    }
    let k = f64::from(generation);
    alpha_total * 6.0 / (std::f64::consts::PI * k).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;
    use proptest::prelude::*;
    use rand::RngExt;

    fn after(up: u64, down: u64) -> f64 {
        EProcess { up, down }.e_value()
    }

    #[test]
    fn the_e_value_matches_the_integral_in_closed_form() {
        assert!((after(0, 0) - 1.0).abs() < 1e-12);
        // Only ups: 2^(n+1) (1 - 2^-(n+1)) / (n + 1).
        for n in 1..20_u64 {
            let doubled = 2_f64.powi(n as i32 + 1);
            let expected = (doubled - 1.0) / (n as f64 + 1.0);
            assert!((after(n, 0) / expected - 1.0).abs() < 1e-9, "{n}");
        }
        // One down: 4 * integral of (1-p) over (1/2, 1) = 1/2.
        assert!((after(0, 1) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn clear_evidence_rejects_and_a_coin_does_not() {
        assert!(EProcess { up: 7, down: 0 }.rejects(0.05));
        assert!(!EProcess { up: 4, down: 0 }.rejects(0.05));
        assert!(!EProcess { up: 50, down: 50 }.rejects(0.05));
        assert!(after(5_000, 0).is_finite() && after(0, 5_000) >= 0.0);
    }

    #[test]
    fn under_the_null_it_ever_rejects_at_most_at_rate_alpha() {
        // The distribution over the number of ups is followed exactly for 400 observations, taking out what has
        // crossed: no luck of a simulation is involved.
        for (p, alpha) in [(0.5_f64, 0.05), (0.5, 0.2), (0.45, 0.05)] {
            let (mut alive, mut rejected) = (vec![1.0], 0.0);
            for n in 1..=400_usize {
                let mut next = vec![0.0; n + 1];
                for (up, mass) in alive.iter().enumerate() {
                    next[up + 1] += mass * p;
                    next[up] += mass * (1.0 - p);
                }
                for (up, mass) in next.iter_mut().enumerate().filter(|(_, mass)| **mass > 0.0) {
                    if (EProcess { up: up as u64, down: (n - up) as u64 }).rejects(alpha) {
                        rejected += std::mem::take(mass);
                    }
                }
                alive = next;
            }
            assert!(rejected <= alpha, "p {p}, alpha {alpha}: {rejected}");
        }
    }

    #[test]
    fn a_real_gain_is_found_in_most_runs() {
        let mut rng = generator(5, 0, "simulation");
        let found = (0..200)
            .filter(|_| {
                let mut process = EProcess::new();
                (0..60).any(|_| {
                    process.observe(rng.random_bool(0.8));
                    process.rejects(0.05)
                })
            })
            .count();
        assert!(found > 180, "{found} of 200");
    }

    #[test]
    fn spending_never_exceeds_the_total() {
        let spent: f64 = (0..100_000).map(|generation| spend(0.05, generation)).sum();
        assert!(spent <= 0.05 && spent > 0.0499, "{spent}");
    }

    proptest! {
        #[test]
        fn one_more_observation_is_a_fair_bet_at_most(up in 0..300_u64, down in 0..300_u64) {
            let next = f64::midpoint(after(up + 1, down), after(up, down + 1));
            prop_assert!((next / after(up, down) - 1.0).abs() < 1e-6);
        }
    }
}
