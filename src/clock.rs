//! Time as an injected dependency: the library asks a [`Clock`], never the system, so that tests can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the library reads the time from.
pub trait Clock: Send + Sync {
    /// Time since the Unix epoch, in UTC.
    fn now(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default, Clone)]
pub struct ManualClock {
    millis: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at `since_epoch`.
    pub fn at(since_epoch: Duration) -> Self {
        let clock = Self::default();
        clock.advance(since_epoch);
        clock
    }

    /// Moves the clock forward, in whole milliseconds.
    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// `2026-01-31T22:05:09Z` for a time since the Unix epoch.
pub fn timestamp(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Time since the Unix epoch for what [`timestamp`] wrote; `None` for what it didn't.
pub fn parse_timestamp(text: &str) -> Option<Duration> {
    let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(Duration::from_secs(10));
        assert_eq!(clock.now(), Duration::from_secs(10));
        clock.advance(Duration::from_millis(1500));
        assert_eq!(timestamp(clock.now()), "1970-01-01T00:00:11Z");
        assert_eq!(parse_timestamp("1970-01-01T00:00:11Z"), Some(Duration::from_secs(11)));
        assert_eq!(parse_timestamp("long ago"), None);
    }
}
