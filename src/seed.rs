//! Seeded randomness: every random choice comes from a portable ChaCha8 generator keyed by the run's seed, the
//! generation and a purpose, so that adding one choice never shifts another.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::digest::Digest;

/// The generator for one purpose in one generation of a run (generation 0 is before the first).
pub fn generator(seed: u64, generation: u32, purpose: &str) -> ChaCha8Rng {
    let digest =
        Digest::of_parts([seed.to_le_bytes().as_slice(), generation.to_le_bytes().as_slice(), purpose.as_bytes()]);
    ChaCha8Rng::from_seed(*digest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_stream_depends_on_seed_generation_and_purpose() {
        let first = generator(1, 0, "race").next_u64();
        assert_eq!(first, generator(1, 0, "race").next_u64());
        assert_ne!(first, generator(2, 0, "race").next_u64());
        assert_ne!(first, generator(1, 1, "race").next_u64());
        assert_ne!(first, generator(1, 0, "screen").next_u64());
    }
}
