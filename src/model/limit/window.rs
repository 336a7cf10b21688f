//! How many attempts may be under way at once: additive increase, multiplicative decrease (Chiu and Jain, 1989), with
//! the slow start of TCP after a pause (RFC 5681, 3.1), so that what has waited doesn't rush in together.

/// Places after a pause.
const FEW: f64 = 4.0;

/// The number of places, from 1 to the configured most.
#[derive(Debug)]
pub(super) struct Window {
    most: f64,
    size: f64,
    /// Below it the window grows by one an answer, above it by one for each round of answers.
    threshold: f64,
    /// Counts the decreases: several failures of attempts sent under one size are one sign.
    epoch: u64,
}

impl Window {
    /// As wide as it gets: nothing is known to be in the way.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { most, size: most, threshold: most, epoch: 0 }
    }

    /// Attempts that may be under way.
    pub(super) fn places(&self) -> usize {
        self.size as usize
    }

    /// What [`Self::overloaded`] is to be told of an attempt sent now.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// An attempt was answered.
    pub(super) fn answered(&mut self) {
        if self.size < self.most {
            let more = if self.size < self.threshold { 1.0 } else { 1.0 / self.size };
            self.size = (self.size + more).min(self.most);
        }
    }

    /// An attempt that was sent in `epoch` met an overloaded provider.
    pub(super) fn overloaded(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.size = (self.size / 2.0).max(1.0);
            self.threshold = self.size;
            self.epoch += 1;
        }
    }

    /// All calls are about to wait: begin with few afterwards, and grow fast up to the present size.
    pub(super) fn restart(&mut self) {
        if self.size > FEW {
            self.threshold = self.size;
            self.size = FEW;
        }
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failures_of_one_burst_halve_the_window_once_and_answers_widen_it_by_one_a_round() {
        let mut window = Window::new(64);
        let epoch = window.epoch();
        (0..64).for_each(|_| window.overloaded(epoch));
        assert_eq!(window.places(), 32);
        (0..33).for_each(|_| window.answered());
        assert_eq!(window.places(), 33);
        (0..10_000).for_each(|_| window.answered());
        assert_eq!(window.places(), 64, "never more than the most");
    }

    #[test]
    fn after_a_pause_it_begins_with_few_and_doubles_a_round_up_to_where_it_was() {
        let mut window = Window::new(64);
        window.overloaded(0);
        window.restart();
        assert_eq!(window.places(), 4);
        (0..4).for_each(|_| window.answered());
        assert_eq!(window.places(), 8);
        (0..24).for_each(|_| window.answered());
        assert_eq!(window.places(), 32);
        (0..32).for_each(|_| window.answered());
        assert_eq!(window.places(), 32, "from there on by one a round");
    }

    #[test]
    fn there_is_always_one_place() {
        let mut window = Window::new(0);
        window.overloaded(0);
        assert_eq!(window.places(), 1);
        let mut window = Window::new(2);
        window.restart();
        assert_eq!(window.places(), 2);
    }
}
