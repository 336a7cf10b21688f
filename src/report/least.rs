//! [`Least`]: the few least of many things, whatever order they come in.

/// The so many things with the least keys.
#[derive(Debug)]
pub(super) struct Least<K, T> {
    most: usize,
    /// Up to twice as many, in no order.
    found: Vec<(K, T)>,
    /// The largest key that was kept when last it was full: from there on nothing counts.
    bound: Option<K>,
}

impl<K: Ord + Copy, T> Least<K, T> {
    /// None yet, of `most` at most.
    pub fn new(most: usize) -> Self {
        Self { most, found: Vec::new(), bound: None }
    }

    /// Takes what `make` makes, unless enough of lesser keys are there.
    pub fn offer(&mut self, key: K, make: impl FnOnce() -> T) {
        if self.most == 0 || self.bound.is_some_and(|bound| key >= bound) {
            return;
        }
        self.found.push((key, make()));
        if self.found.len() >= self.most.saturating_mul(2) {
            self.found.sort_by_key(|(key, _)| *key);
            self.found.truncate(self.most);
            self.bound = self.found.last().map(|(key, _)| *key);
        }
    }

    /// What was kept, the least first.
    pub fn sorted(&self) -> Vec<&T> {
        let mut found: Vec<&(K, T)> = self.found.iter().collect();
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().take(self.most).map(|(_, thing)| thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_are_those_that_sorting_all_finds(keys in prop::collection::hash_set(0_u8..99, 0..40), most in 0_usize..9) {
            let mut least = Least::new(most);
            keys.iter().for_each(|key| least.offer(*key, || *key));
            let mut sorted: Vec<u8> = keys.into_iter().collect();
            sorted.sort_unstable();
            sorted.truncate(most);
            prop_assert_eq!(least.sorted().into_iter().copied().collect::<Vec<_>>(), sorted);
        }
    }
}
