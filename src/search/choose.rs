//! Which strategy is tried on which cluster: largest clusters first, strategies by what has paid off.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::diagnose::FailureCluster;
use crate::propose::Strategy;
use crate::seed;

/// One thing to ask for.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub strategy: Arc<Strategy>,
    pub cluster: Option<FailureCluster>,
}

/// How strategies have done by kind of cluster. The prior is worth four tries, so that a few pulls can't move it far.
#[derive(Debug, Clone, Default)]
pub(super) struct Bandit {
    tally: BTreeMap<(String, &'static str), Tally>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    survived: u32,
    fell: u32,
}

/// Prior successes and failures: one try in three survives its race.
const PRIOR: (f64, f64) = (1.3, 2.7);

impl Bandit {
    /// Takes in how a candidate's race ended.
    pub fn observe(&mut self, strategy: &str, kind: &'static str, survived: bool) {
        let tally = self.tally.entry((strategy.to_owned(), kind)).or_default();
        if survived {
            tally.survived += 1;
        } else {
            tally.fell += 1;
        }
    }

    /// A draw from the posterior rate of success (Thompson 1933), at quantile `uniform` in (0, 1).
    fn draw(&self, strategy: &str, kind: &'static str, uniform: f64) -> f64 {
        let tally = self.tally.get(&(strategy.to_owned(), kind)).copied().unwrap_or_default();
        Beta::new(PRIOR.0 + f64::from(tally.survived), PRIOR.1 + f64::from(tally.fell))
            .map_or(0.5, |posterior| posterior.inverse_cdf(uniform))
    }
}

/// The kind under which the bandit counts a choice.
pub(super) fn kind(cluster: Option<&FailureCluster>) -> &'static str {
    cluster.map_or("whole", |cluster| cluster.kind.name())
}

/// Chooses `count` pairs of strategy and cluster. Clusters take turns, largest first, with a turn for the task as a
/// whole after every two; each turn goes to the strategy with the best draw among those that apply and have not yet
/// been chosen for that cluster in this generation.
pub(super) fn choose(
    clusters: &[FailureCluster],
    strategies: &[Arc<Strategy>],
    bandit: &Bandit,
    count: usize,
    seed: u64,
    generation: u32,
) -> Vec<Choice> {
    let mut random = seed::generator(seed, generation, "choose");
    let mut turns: Vec<Option<&FailureCluster>> = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        turns.push(Some(cluster));
        if index % 2 == 1 {
            turns.push(None);
        }
    }
    if clusters.len() % 2 == 1 {
        turns.push(None);
    }
    let mut chosen: Vec<Choice> = Vec::new();
    let mut dry = 0;
    for turn in turns.iter().cycle() {
        if chosen.len() >= count || dry >= turns.len() {
            break;
        }
        let mut best: Option<(f64, &Arc<Strategy>)> = None;
        for strategy in strategies.iter().filter(|strategy| strategy.applies_to(*turn)) {
            let draw = bandit.draw(&strategy.name, kind(*turn), random.random_range(0.001..0.999));
            let taken = chosen.iter().any(|choice| {
                choice.strategy.name == strategy.name
                    && choice.cluster.as_ref().map(|cluster| &cluster.id) == turn.map(|cluster| &cluster.id)
            });
            if !taken && best.is_none_or(|(best, _)| draw > best) {
                best = Some((draw, strategy));
            }
        }
        match best {
            Some((_, strategy)) => {
                chosen.push(Choice { strategy: Arc::clone(strategy), cluster: turn.cloned() });
                dry = 0;
            }
            None => dry += 1,
        }
    }
    chosen
}
