//! What a run has under way: several candidates are tried at once, and each tells how far it is by itself.

use std::collections::BTreeMap;

use super::Progress;

/// Rows under way, by stage and candidate: two candidates may be of one strategy.
#[derive(Debug, Default)]
pub struct UnderWay {
    generation: u32,
    tasks: BTreeMap<(&'static str, String), Progress>,
}

impl UnderWay {
    /// Takes in how far one of them is.
    pub fn take(&mut self, progress: &Progress) {
        let together = |stage: &str| matches!(stage, "screen" | "race");
        let other_stage = self
            .tasks
            .keys()
            .any(|(stage, _)| *stage != progress.stage && !(together(stage) && together(progress.stage)));
        if other_stage || self.generation != progress.generation || progress.of == 0 {
            self.tasks.clear();
        }
        self.generation = progress.generation;
        self.tasks.retain(|_, task| task.done < task.of);
        if progress.of > 0 {
            self.tasks.insert((progress.stage, progress.candidate.clone()), progress.clone());
        }
    }

    /// Rows done, rows in all, and the mean score of those done.
    pub fn sum(&self) -> (usize, usize, f64) {
        let (mut done, mut of, mut score) = (0, 0, 0.0);
        for task in self.tasks.values() {
            done += task.done;
            of += task.of;
            score += task.score * task.done as f64;
        }
        (done, of, if done == 0 { 0.0 } else { score / done as f64 })
    }

    /// What is being tried, the latest first.
    pub fn trying(&self, latest: &Progress) -> String {
        let others = self.tasks.keys().filter(|(_, candidate)| *candidate != latest.candidate).count();
        if others == 0 { latest.trying.clone() } else { format!("{} and {others} more", latest.trying) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(stage: &'static str, trying: &str, done: usize, of: usize, score: f64) -> Progress {
        let (trying, candidate) = trying.split_once(' ').unwrap_or((trying, trying));
        Progress { generation: 1, stage, trying: trying.to_owned(), candidate: candidate.to_owned(), done, of, score }
    }

    #[test]
    fn candidates_that_are_tried_at_once_are_shown_together() {
        let mut under_way = UnderWay::default();
        under_way.take(&progress("race", "add-rule", 10, 20, 0.5));
        let latest = progress("screen", "define-boundary", 10, 10, 1.0);
        under_way.take(&latest);
        assert_eq!(under_way.sum(), (20, 30, 0.75));
        assert_eq!(under_way.trying(&latest), "define-boundary and 1 more");
        under_way.take(&progress("race", "add-rule", 11, 20, 0.5));
        assert_eq!(under_way.sum().1, 20, "what is done goes");
    }

    #[test]
    fn two_candidates_of_one_strategy_are_two() {
        let mut under_way = UnderWay::default();
        under_way.take(&progress("race", "prune a", 15, 16, 1.0));
        let latest = progress("race", "prune b", 1, 5, 0.0);
        under_way.take(&latest);
        assert_eq!(under_way.sum(), (16, 21, 15.0 / 16.0));
        assert_eq!(under_way.trying(&latest), "prune and 1 more");
    }

    #[test]
    fn another_stage_begins_anew() {
        let mut under_way = UnderWay::default();
        under_way.take(&progress("race", "add-rule", 10, 20, 0.5));
        under_way.take(&progress("gate", "add-rule", 1, 40, 1.0));
        assert_eq!(under_way.sum(), (1, 40, 1.0));
        under_way.take(&progress("propose", "6 proposals", 0, 0, 0.0));
        assert_eq!(under_way.sum(), (0, 0, 0.0));
    }
}
