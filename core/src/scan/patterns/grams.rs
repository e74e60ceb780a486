//! Many long literals at once, over octets that are in memory.
//!
//! Signatures of malware are ten thousands of strings of some dozen octets. libhs looks at each octet of a text for
//! them, and the more there are the longer it takes (a fifth of a GB a second for 20,000). Here one word of eight octets
//! in eight is looked at: wherever a literal of at least [`LITERAL_BYTES_MIN`] octets lies, one of eight neighbouring
//! words of it is such a word. Those eight are chosen for each literal, and known by a filter of bits that fits into
//! the cache; what it lets through is looked up, and then compared octet by octet. So a hit is a hit.
//!
//! Bounds: a word stands for at most [`SHARED_MAX`] literals; a literal of which no eight words are free is left to
//! libhs. Memory: 64 octets of words a literal in a table of twice as many places, 8 to 16 bits of filter for each word.

/// A word, and the distance between two that are looked at.
const WORD_BYTES: usize = 8;
/// Eight neighbouring words.
pub(super) const LITERAL_BYTES_MIN: usize = 2 * WORD_BYTES - 1;
/// Fewer literals than this are no work for libhs.
pub(super) const LITERALS_MIN: usize = 256;
/// Literals that share a word, each of which is compared where the word stands.
const SHARED_MAX: u8 = 4;
/// Words with fewer different octets stand in many texts: runs of zeros, of blanks.
const DIFFERENT_MIN: usize = 4;

/// A literal that was taken.
#[derive(Clone, Debug)]
struct Literal {
    id: u32,
    octets: Box<[u8]>,
}

/// A word of a literal.
#[derive(Clone, Copy, Debug)]
struct Place {
    word: u64,
    /// Which literal.
    literal: u32,
    /// Where in it.
    offset: u32,
}

/// The literals, ready to be looked for.
#[derive(Debug, Default)]
pub(super) struct Grams {
    literals: Vec<Literal>,
    /// Sorted by word.
    places: Vec<Place>,
    /// For the upper bits of a word's hash: its places begin there or soon after. One more than there are.
    starts: Vec<u32>,
    /// A bit for each hash.
    filter: Vec<u64>,
    filter_shift: u32,
    starts_shift: u32,
}

fn word_at(octets: &[u8], at: usize) -> Option<u64> {
    let word = octets.get(at..)?.first_chunk::<WORD_BYTES>()?;
    Some(u64::from_le_bytes(*word))
}

fn hash(word: u64) -> u64 {
    // Fibonacci hashing of a word whose upper half reaches the lower one.
    (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn different(word: u64) -> usize {
    let mut octets = word.to_le_bytes();
    octets.sort_unstable();
    1 + octets.windows(2).filter(|pair| pair.first() != pair.last()).count()
}

impl Grams {
    /// Takes literals with their ids; gives back those that it cannot take.
    pub(super) fn new(literals: Vec<(u32, Vec<u8>)>) -> (Self, Vec<(u32, Vec<u8>)>) {
        let mut grams = Self::default();
        let mut left = Vec::new();
        let mut shared: std::collections::HashMap<u64, u8, ahash::RandomState> =
            std::collections::HashMap::default();
        for (id, octets) in literals {
            let Some(start) = best_start(&octets, &shared) else {
                left.push((id, octets));
                continue;
            };
            let literal = u32::try_from(grams.literals.len()).unwrap_or(u32::MAX);
            for at in start..start + WORD_BYTES {
                let Some(word) = word_at(&octets, at) else { continue };
                *shared.entry(word).or_default() += 1;
                let offset = u32::try_from(at).unwrap_or(u32::MAX);
                grams.places.push(Place { word, literal, offset });
            }
            grams.literals.push(Literal { id, octets: octets.into() });
        }
        grams.index();
        (grams, left)
    }

    /// As octets: of each literal id and length, four octets each, and the literal.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for literal in &self.literals {
            out.extend_from_slice(&literal.id.to_le_bytes());
            let bytes = u32::try_from(literal.octets.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&bytes.to_le_bytes());
            out.extend_from_slice(&literal.octets);
        }
        out
    }

    /// What [`Self::write`] wrote; `None` if it is damaged.
    pub(super) fn read(mut octets: &[u8]) -> Option<Self> {
        let mut literals = Vec::new();
        while !octets.is_empty() {
            let (id, rest) = octets.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_first_chunk::<4>()?;
            let bytes = usize::try_from(u32::from_le_bytes(*bytes)).ok()?;
            let (literal, rest) = rest.split_at_checked(bytes)?;
            literals.push((u32::from_le_bytes(*id), literal.to_vec()));
            octets = rest;
        }
        // They were taken in this order once, so they are again.
        let (grams, left) = Self::new(literals);
        left.is_empty().then_some(grams)
    }

    fn index(&mut self) {
        let bits = |count: usize| count.next_power_of_two().trailing_zeros();
        let words = self.places.len().max(64);
        self.starts_shift = 64 - bits(words);
        self.filter_shift = 64 - bits(words * 8);
        self.places.sort_unstable_by_key(|place| (hash(place.word), place.literal, place.offset));
        self.filter = vec![0; (1_usize << (64 - self.filter_shift)) / 64];
        self.starts = vec![0; (1_usize << (64 - self.starts_shift)) + 1];
        for place in &self.places {
            let bit = usize::try_from(hash(place.word) >> self.filter_shift).unwrap_or(0);
            if let Some(bits) = self.filter.get_mut(bit / 64) {
                *bits |= 1 << (bit % 64);
            }
            let slot = usize::try_from(hash(place.word) >> self.starts_shift).unwrap_or(0);
            if let Some(next) = self.starts.get_mut(slot + 1) {
                *next += 1;
            }
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
    }

    /// Calls `found` with the id of each literal that stands in `octets` and whose word there begins in `within`.
    /// Whoever cuts a text into ranges at multiples of eight hears of each occurrence once.
    pub(super) fn scan(
        &self,
        octets: &[u8],
        within: std::ops::Range<usize>,
        found: &mut impl FnMut(u32),
    ) {
        if self.literals.is_empty() {
            return;
        }
        let start = within.start.next_multiple_of(WORD_BYTES);
        let end = within.end.min(octets.len());
        let words = octets.get(start..).unwrap_or_default().chunks_exact(WORD_BYTES);
        for (at, word) in (start..end).step_by(WORD_BYTES).zip(words) {
            let Some(word) = word_at(word, 0) else { continue };
            let hash = hash(word);
            let bit = usize::try_from(hash >> self.filter_shift).unwrap_or(0);
            let bits = self.filter.get(bit / 64).copied().unwrap_or(0);
            if bits >> (bit % 64) & 1 != 0 {
                self.look_up(octets, at, (word, hash), found);
            }
        }
    }

    #[cold]
    fn look_up(
        &self,
        octets: &[u8],
        at: usize,
        (word, hash): (u64, u64),
        found: &mut impl FnMut(u32),
    ) {
        let slot = usize::try_from(hash >> self.starts_shift).unwrap_or(0);
        let bound = |slot: usize| self.starts.get(slot).map_or(0, |start| *start as usize);
        let places = self.places.get(bound(slot)..bound(slot + 1)).unwrap_or_default();
        for place in places.iter().filter(|place| place.word == word) {
            let literal = self.literals.get(place.literal as usize);
            let start = at.checked_sub(place.offset as usize);
            if let (Some(literal), Some(start)) = (literal, start)
                && octets.get(start..).is_some_and(|rest| rest.starts_with(&literal.octets))
            {
                found(literal.id);
            }
        }
    }
}

/// Where in a literal the eight words begin that are looked for.
fn best_start(
    octets: &[u8],
    shared: &std::collections::HashMap<u64, u8, ahash::RandomState>,
) -> Option<usize> {
    let last = octets.len().checked_sub(LITERAL_BYTES_MIN)?;
    (0..=last.min(4096)).find(|start| {
        (*start..start + WORD_BYTES).all(|at| {
            word_at(octets, at).is_some_and(|word| {
                different(word) >= DIFFERENT_MIN
                    && shared.get(&word).is_none_or(|count| *count < SHARED_MAX)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(grams: &Grams, text: &[u8], cut: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = start + cut.next_multiple_of(WORD_BYTES).max(WORD_BYTES);
            grams.scan(text, start..end, &mut |id| ids.push(id));
            start = end;
        }
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_literal_is_found_wherever_it_begins_and_ends() {
        let literal = b"0123456789abcde".to_vec();
        let (grams, left) = Grams::new(vec![(7, literal.clone())]);
        assert_eq!(left, []);
        for before in 0..40 {
            for after in 0..20 {
                let text = [vec![b'x'; before], literal.clone(), vec![b'y'; after]].concat();
                assert_eq!(found(&grams, &text, 64), [7], "{before} {after}");
            }
        }
        assert_eq!(found(&grams, b"0123456789abcd", 64), Vec::<u32>::new());
        assert_eq!(found(&grams, b"xx0123456789abcdEyyyyyyyyyyy", 64), Vec::<u32>::new());
    }

    #[test]
    fn what_stands_in_every_text_is_left_to_libhs() {
        let runs = vec![(0, vec![0; 40]), (1, b"ababababababababab".to_vec()), (2, vec![1; 14])];
        let (grams, left) = Grams::new(runs.clone());
        assert_eq!(left, runs);
        assert_eq!(found(&grams, &[0; 100], 64), Vec::<u32>::new());
        // Ten that begin alike: the words behind the beginning are taken.
        let alike = (0..10).map(|id| (id, format!("the same beginning {id:0>20}").into_bytes()));
        let (grams, left) = Grams::new(alike.clone().collect());
        assert_eq!(left.len() + grams.literals.len(), 10);
        for (id, text) in alike.filter(|(id, _)| left.iter().all(|(other, _)| other != id)) {
            assert_eq!(found(&grams, &text, 64), [id]);
        }
    }

    proptest! {
        #[test]
        fn every_occurrence_is_found_and_nothing_else(
            seeds in prop::collection::vec(prop::collection::vec(0_u8..6, 15..30), 1..40),
            text in prop::collection::vec((0_usize..80, prop::collection::vec(0_u8..6, 0..12)), 0..30),
            cut in 1_usize..200,
        ) {
            // A small alphabet: literals overlap, contain one another, and share words.
            let all: Vec<(u32, Vec<u8>)> = (0_u32..).zip(seeds).collect();
            let (grams, left) = Grams::new(all.clone());
            let mut octets = Vec::new();
            for (which, filler) in text {
                octets.extend(all.get(which).map(|(_, literal)| literal.clone()).unwrap_or_default());
                octets.extend(filler);
            }
            let mut expected = Vec::new();
            for (id, literal) in all.iter().filter(|(id, _)| left.iter().all(|(other, _)| other != id)) {
                let count = octets.windows(literal.len()).filter(|window| window == literal).count();
                expected.extend(std::iter::repeat_n(*id, count));
            }
            prop_assert_eq!(found(&grams, &octets, cut), expected);
        }
    }
}
