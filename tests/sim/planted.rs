//! The worlds that both the tests and the bench run in.

use rand::{Rng, RngExt};

use super::{Effect, Shape, Turn};

/// Share of plain rows that pass under the baseline, wherever nothing else is said.
pub const ACCURACY: f64 = 0.55;

/// Plain rows and 5 % coins.
pub fn shape(seed: u64) -> Shape {
    Shape { seed, accuracy: ACCURACY, coins: 0.05, pinned: 0, deterministic: false, clash: None, second: None }
}

/// An edit that does nothing.
pub fn nothing(_: Turn, _: &mut dyn Rng) -> Effect {
    Effect::default()
}

/// 40 % of proposals do nothing, 15 % harm (net -3 to -8 points), 25 % help a little (+1 to +3), 20 % help (+4 to +10);
/// each both fixes and breaks, a fifth to half as many against as for. The points are those that an edit of the
/// baseline is worth; what helps is worth less in proportion once fewer rows fail.
pub fn planted(turn: Turn, random: &mut dyn Rng) -> Effect {
    let kind: f64 = random.random();
    let against = random.random_range(0.2..0.5);
    match kind {
        kind if kind < 0.4 => Effect::default(),
        kind if kind < 0.55 => {
            let harm = random.random_range(0.03..0.08) / (1.0 - against);
            turn.effect(against * harm, harm)
        }
        kind => {
            let net = if kind < 0.8 { random.random_range(0.01..0.03) } else { random.random_range(0.04..0.10) };
            let left = (1.0 - turn.accuracy) / (1.0 - ACCURACY);
            let help = left * net / (1.0 - against);
            turn.effect(help, against * help)
        }
    }
}

/// A truly good edit in the first slot, +10 points; the others do nothing.
pub fn good(turn: Turn, _: &mut dyn Rng) -> Effect {
    if turn.slot == 0 { turn.effect(0.12, 0.02) } else { Effect::default() }
}

/// The same, but it breaks two pinned rows.
pub fn breaks_two_pinned(turn: Turn, random: &mut dyn Rng) -> Effect {
    Effect { pins: if turn.slot == 0 { 2 } else { 0 }, ..good(turn, random) }
}

/// Numbers of two good hunks, the better one first: the first proposals of the first generation.
pub const GOOD_HUNKS: [u64; 2] = [100, 101];

/// A world in which the two good hunks together break three passing rows of ten.
pub fn clashing(seed: u64) -> Shape {
    let [better, other] = GOOD_HUNKS;
    Shape { clash: Some((better, other, 0.3)), ..shape(seed) }
}

/// Two good hunks, +10 and +4 points, among four that do nothing; in later generations nothing helps.
pub fn two_good_hunks(turn: Turn, _: &mut dyn Rng) -> Effect {
    match (turn.generation, turn.slot) {
        (1, 0) => turn.effect(0.125, 0.025),
        (1, 1) => turn.effect(0.05, 0.01),
        _ => Effect::default(),
    }
}

impl Turn {
    /// The effect that fixes and breaks these shares of all plain rows, as far as there are such rows.
    pub fn effect(&self, fixed: f64, broken: f64) -> Effect {
        let chance = |share: f64, of: f64| if of > 0.0 { (share / of).min(1.0) } else { 0.0 };
        Effect { fixes: chance(fixed, 1.0 - self.accuracy), breaks: chance(broken, self.accuracy), pins: 0 }
    }
}
