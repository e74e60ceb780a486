//! A small seeded generator (SplitMix64), so that a run repeats from its seed.

/// SplitMix64 of Steele, Lea and Flood: one addition and three mixes for each number.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that repeats for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias of the modulus does not matter here.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.bits() % bound).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.below(100) < usize::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_chances_hold_their_percentage() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| one.bits() == two.bits()));
        let hits = (0..10_000).filter(|_| one.chance(30)).count();
        assert!((2800..3200).contains(&hits), "{hits} of 10000 at 30 percent");
        assert!(!(0..1000).any(|_| one.chance(0)), "nothing happens at 0 percent");
        assert!((0..1000).all(|_| one.chance(100)), "everything happens at 100 percent");
    }
}
