//! How much two mails are alike, told by a few numbers of each: one-permutation MinHash.

/// Bins of a likeness.
pub(super) const BINS: usize = 64;
/// Groups of bins; mails that are alike have one group in common.
pub(super) const BANDS: usize = 16;
/// Bins that both mails must have before they are compared.
const BINS_MIN: u32 = 24;
const EMPTY: u16 = u16::MAX;

/// The smallest of the mixed features in each of 64 bins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness([u16; BINS]);

impl Likeness {
    /// Of a mail with these features.
    #[must_use]
    pub fn of(features: &[u32]) -> Self {
        let mut bins = [EMPTY; BINS];
        for feature in features {
            let mut mixed = u64::from(*feature).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed = (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let [high, low, a, b, ..] = mixed.to_be_bytes();
            let value = u16::from_be_bytes([a, b]).min(EMPTY - 1);
            // The bin and the value come of different octets: both are uniform.
            let bin = usize::from(high ^ low) % BINS;
            if let Some(bin) = bins.get_mut(bin) {
                *bin = (*bin).min(value);
            }
        }
        Self(bins)
    }

    /// How much of both is the same, per cent; 0 where too little is known of one.
    #[must_use]
    pub fn percent(&self, other: &Self) -> u32 {
        let pairs = self.0.iter().zip(&other.0).filter(|(a, b)| **a != EMPTY || **b != EMPTY);
        let (mut same, mut all) = (0_u32, 0_u32);
        for (a, b) in pairs {
            same += u32::from(a == b);
            all += 1;
        }
        if all < BINS_MIN { 0 } else { same * 100 / all }
    }

    /// A key for each group of bins that has no empty one.
    pub fn bands(&self) -> impl Iterator<Item = u32> + '_ {
        let (bands, _) = self.0.as_chunks::<{ BINS / BANDS }>();
        bands.iter().zip(1_u32..).filter(|(band, _)| !band.contains(&EMPTY)).map(
            |(band, number)| {
                band.iter().fold(number.wrapping_mul(0x9E37_79B9), |key, bin| {
                    (key.rotate_left(7) ^ u32::from(*bin)).wrapping_mul(0x85EB_CA6B)
                })
            },
        )
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|bin| bin.to_le_bytes()));
    }

    pub(super) fn read(octets: &[u8]) -> Self {
        let mut bins = [EMPTY; BINS];
        let (pairs, _) = octets.as_chunks::<2>();
        for (bin, pair) in bins.iter_mut().zip(pairs) {
            *bin = u16::from_le_bytes(*pair);
        }
        Self(bins)
    }
}
