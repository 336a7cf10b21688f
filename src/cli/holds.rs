//! How often people are told that calls wait for a provider's rate: each wait by itself would be a line every few seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prompt_ratchet::model::Notice;

/// Least time between two lines about it.
const APART: Duration = Duration::from_secs(60);

/// When people were told last.
#[derive(Debug, Default)]
pub struct Holds {
    told: Mutex<Option<Instant>>,
}

impl Holds {
    /// Whether `notice`, which comes now, is worth a line.
    pub fn is_worth_a_line(&self, notice: &Notice) -> bool {
        if !matches!(notice, Notice::Held { .. }) {
            return true;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < APART) {
            return false;
        }
        *told = Some(Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_waits_for_the_rate_one_is_told_and_every_outage() {
        let holds = Holds::default();
        let held = Notice::Held { next_call: Duration::from_secs(6) };
        let up = Notice::Up { down_for: Duration::from_secs(6) };
        let told = [&held, &held, &up, &up, &held].map(|notice| holds.is_worth_a_line(notice));
        assert_eq!(told, [true, false, true, true, false]);
    }
}
