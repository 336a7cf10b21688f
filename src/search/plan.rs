//! How many calls a search makes, told before it makes any: at most, and likely.

use serde::Serialize;

use super::{Settings, ablate, gate, inferior, noise, race};
use crate::score::ScoringCalls;

/// Calls by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// The task model's.
    pub task: u64,
    /// The proposer's.
    pub proposer: u64,
    /// The judge's.
    pub judge: u64,
    /// The embedder's.
    pub embedder: u64,
}

impl Calls {
    /// All together.
    pub fn total(self) -> u64 {
        [self.proposer, self.judge, self.embedder].into_iter().fold(self.task, u64::saturating_add)
    }

    /// So many calls of task model and proposer, with those that score the answers at `scoring` each.
    pub fn scored(task: u64, proposer: u64, scoring: ScoringCalls) -> Self {
        let [judge, embedder] = [scoring.judge, scoring.embedder].map(|calls| task.saturating_mul(calls));
        Self { task, proposer, judge, embedder }
    }
}

/// What a search without limits asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// The baseline on train and dev, and the noise.
    pub beginning: u64,
    /// One generation, as it usually goes: most candidates drop out of their race early.
    pub likely: Calls,
    /// One generation, if every candidate runs the whole distance and everything is asked again as often as it may be.
    pub most: Calls,
    /// The sealed test.
    pub test: u64,
}

/// Share of train that a candidate is taken to run before its race is decided, in per cent. With it, the calls of five
/// generations on `datasets/support-tickets.jsonl` come out as they did there with three seeds (860 to 1,050 a generation).
const RACED: u64 = 60;

/// Candidates that need no model, in the first generation.
const FREE: u64 = 3;

impl Outline {
    /// The outline of a search over so many rows of train, dev and test, `guarded` of which are guarded.
    pub fn of(settings: &Settings, rows: [usize; 3], guarded: usize, deterministic: bool) -> Self {
        let [train, dev, test] = rows.map(|rows| rows as u64);
        let proposals = u64::from(settings.proposals);
        let again = u64::from(!deterministic);
        let samples = u64::from(settings.gate.max_samples);
        let scoring = settings.calls.scoring;
        let guards = u64::from(gate::guard_samples(guarded)) * guarded as u64;
        let block = (race::BLOCK as u64).min(train);
        let tried = again * train + (proposals + FREE) * train + 3 * train + dev;
        // A shorter candidate is compared on train, too.
        let shorter = u64::from(inferior::FRESH) * (train + dev);
        let confirmed = 2 * again * (samples * dev + guards + shorter);
        Self {
            beginning: train + dev + again * dev.min(noise::MOST_ROWS as u64),
            likely: Calls::scored(
                again * train + proposals * (train * RACED / 100).max(block) + train + dev + again * dev,
                proposals + proposals / 3,
                scoring,
            ),
            // Leaving out hunks of what was kept may take a share of all that, and dev once more.
            most: Calls::scored(tried + confirmed + (tried + confirmed) / ablate::SHARE + dev, 2 * proposals, scoring),
            test: 2 * test,
        }
    }

    /// The same where every outcome takes so many answers.
    pub fn with_answers(self, answers_a_row: u64) -> Self {
        let times = |calls: Calls| Calls {
            task: calls.task.saturating_mul(answers_a_row),
            judge: calls.judge.saturating_mul(answers_a_row),
            embedder: calls.embedder.saturating_mul(answers_a_row),
            ..calls
        };
        Self {
            beginning: self.beginning.saturating_mul(answers_a_row),
            likely: times(self.likely),
            most: times(self.most),
            test: self.test.saturating_mul(answers_a_row),
        }
    }
}
