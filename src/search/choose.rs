//! Which strategy is tried on which cluster: largest clusters first, strategies by what has paid off.

use std::sync::Arc;

use rand::RngExt;
use statrs::distribution::{Beta, ContinuousCDF};

use super::widen::Parent;
use crate::diagnose::FailureCluster;
use crate::propose::Strategy;
use crate::run::{Pulls, Raced, Tally, WHOLE};
use crate::seed;

/// One thing to ask for.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub strategy: Arc<Strategy>,
    pub cluster: Option<FailureCluster>,
    /// The prompt of the archive that is edited; the incumbent where there is none.
    pub parent: Option<Arc<Parent>>,
}

/// How strategies have done by kind of cluster: in the project's latest runs, which count less, and in this one.
#[derive(Debug, Clone, Default)]
pub(super) struct Bandit {
    pulls: Pulls,
}

/// Prior reward and lack of it: worth three pulls, of which one survives, so that a few pulls move it.
const PRIOR: (f64, f64) = (1.0, 2.0);

impl Bandit {
    /// A bandit that starts from `past` pulls.
    pub fn new(past: Pulls) -> Self {
        Self { pulls: past }
    }

    /// Takes in how a candidate's trial was decided: its race, or nothing where it was dropped at the screen.
    pub fn observe(&mut self, strategy: &str, kind: &str, raced: Option<&Raced>) {
        self.pulls.observe(strategy, kind, raced);
    }

    /// A draw from the posterior of its mean reward (Thompson 1933), at quantile `uniform` in (0, 1). Rewards between 0
    /// and 1 count as that share of a success.
    fn draw(&self, strategy: &str, kind: &str, uniform: f64) -> f64 {
        let (gained, missed) = posterior(self.pulls.get(strategy, kind));
        Beta::new(gained, missed).map_or(0.5, |posterior| posterior.inverse_cdf(uniform))
    }
}

/// The Beta posterior's two parameters.
fn posterior(tally: Tally) -> (f64, f64) {
    (PRIOR.0 + tally.reward, PRIOR.1 + tally.pulls - tally.reward)
}

/// The mean reward in [0, 1] that the bandit expects after `tally`, its prior included.
pub fn expected_reward(tally: Tally) -> f64 {
    let (gained, missed) = posterior(tally);
    gained / (gained + missed)
}

/// The kind under which the bandit counts a choice.
pub(super) fn kind(cluster: Option<&FailureCluster>) -> &'static str {
    cluster.map_or(WHOLE, |cluster| cluster.kind.name())
}

/// Chooses `count` pairs of strategy and cluster. Clusters take turns, largest first, with a turn for the task as a
/// whole after every `clusters_a_whole`; each turn goes to the strategy that has been chosen least often for that cluster in this
/// generation, and among those to the one with the best draw; in the first generation that asks (`is_first`) to one
/// that defines all labels before others.
pub(super) fn choose(
    clusters: &[FailureCluster],
    strategies: &[Arc<Strategy>],
    bandit: &Bandit,
    clusters_a_whole: usize,
    count: usize,
    (seed, generation): (u64, u32),
    is_first: bool,
) -> Vec<Choice> {
    let mut random = seed::generator(seed, generation, "choose");
    let mut chosen: Vec<Choice> = Vec::new();
    let mut dry = 0;
    let turns = turns(clusters, clusters_a_whole);
    for turn in turns.iter().cycle() {
        if chosen.len() >= count || dry >= turns.len() {
            break;
        }
        let of_turn = |choice: &&Choice| choice.cluster.as_ref().map(|of| &of.id) == turn.map(|of| &of.id);
        let best = strategies
            .iter()
            .filter(|strategy| strategy.applies_to(*turn))
            .map(|strategy| {
                let times =
                    chosen.iter().filter(of_turn).filter(|choice| choice.strategy.name == strategy.name).count();
                let draw = bandit.draw(&strategy.name, kind(*turn), random.random_range(0.001..0.999));
                let defines_first = is_first && strategy.of_labels;
                (times, !defines_first, -draw, strategy)
            })
            .min_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)).then(one.2.total_cmp(&other.2)));
        match best {
            Some((_, _, _, strategy)) => {
                chosen.push(Choice { strategy: Arc::clone(strategy), cluster: turn.cloned(), parent: None });
                dry = 0;
            }
            None => dry += 1,
        }
    }
    chosen
}

/// The clusters in turn, with a turn for the task as a whole (`None`) after every `clusters_a_whole`, and one at the end of a
/// round.
fn turns(clusters: &[FailureCluster], clusters_a_whole: usize) -> Vec<Option<&FailureCluster>> {
    let mut turns: Vec<Option<&FailureCluster>> = Vec::new();
    for pair in clusters.chunks(clusters_a_whole) {
        turns.extend(pair.iter().map(Some));
        turns.push(None);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::FailureKind;

    fn strategy(name: &str, kinds: &[&str]) -> Arc<Strategy> {
        Arc::new(Strategy {
            name: name.to_owned(),
            summary: String::new(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            quotes_rows: false,
            of_labels: false,
            origin: crate::propose::Origin::BuiltIn,
            instruction: String::new(),
        })
    }

    fn cluster(id: &str) -> FailureCluster {
        FailureCluster {
            id: id.to_owned(),
            kind: FailureKind::Format,
            prompt: None,
            label: id.to_owned(),
            members: vec!["row".to_owned()],
            share: 0.1,
        }
    }

    #[test]
    fn clusters_take_turns_and_no_strategy_is_repeated_before_the_others_had_theirs() {
        let strategies = [strategy("a", &["format"]), strategy("b", &["format"]), strategy("whole", &[])];
        let chosen = choose(&[cluster("x"), cluster("y")], &strategies, &Bandit::default(), 2, 6, (1, 1), true);
        let names: Vec<(Option<&str>, &str)> = chosen
            .iter()
            .map(|choice| (choice.cluster.as_ref().map(|of| of.id.as_str()), choice.strategy.name.as_str()))
            .collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[2], (None, "whole"));
        assert_ne!(names[0].1, names[3].1, "{names:?}");
        assert_ne!(names[1].1, names[4].1, "{names:?}");
    }

    #[test]
    fn all_labels_are_defined_first() {
        let of_labels = Strategy { of_labels: true, ..(*strategy("labels", &[])).clone() };
        let strategies = [strategy("a", &["format"]), strategy("whole", &[]), Arc::new(of_labels)];
        let whole = |generation, seed| {
            let chosen =
                choose(&[cluster("x")], &strategies, &Bandit::default(), 1, 2, (seed, generation), generation == 1);
            chosen[1].strategy.name.clone()
        };
        assert!((0..20).all(|seed| whole(1, seed) == "labels"));
        assert!((0..20).any(|seed| whole(2, seed) == "whole"));
    }

    #[test]
    fn what_survives_is_drawn_more_often() {
        let ahead = Raced {
            generation: 1,
            candidate: "c".to_owned(),
            rows: 64,
            of: 64,
            fixed: 5,
            broken: 1,
            improved: 0,
            worsened: 0,
            difference: 0.06,
            standard_error: 0.03,
            survived: true,
            breaks_pinned: Vec::new(),
        };
        let mut bandit = Bandit::default();
        for _ in 0..20 {
            bandit.observe("good", "format", Some(&ahead));
            bandit.observe("bad", "format", None);
        }
        let strategies = [strategy("good", &["format"]), strategy("bad", &["format"])];
        let first =
            |seed| choose(&[cluster("x")], &strategies, &bandit, 2, 1, (seed, 1), true)[0].strategy.name.clone();
        assert!((0..50).filter(|seed| first(*seed) == "good").count() > 45);
    }

    #[test]
    fn nothing_is_chosen_where_no_strategy_applies() {
        assert!(
            choose(&[cluster("x")], &[strategy("a", &["refusal"])], &Bandit::default(), 2, 3, (1, 1), true).is_empty()
        );
    }
}
