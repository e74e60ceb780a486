//! A sieve: tells in which units the beginning of an expression may be, for many expressions in one
//! pass.
//!
//! Expressions without a literal that is worth having (obfuscated words, `v[i1!]agra` in hundreds of
//! spellings) cost PCRE2 or libhs one to four microseconds per KiB *each*. Here only this is asked:
//! which octets can stand at the first, second, ... eighth place of a match, or of an end of it? Sixty-four such
//! sequences run side by side as bits of eight words (shift-or, Baeza-Yates and Gonnet 1992), at about 1 ns
//! for each octet of text, whatever the expressions are; nothing in it can explode, as automata of libhs or
//! `regex-automata` did (measured: 40 automata of 2 MiB for 150 rules). PCRE2 then looks at the units in
//! which all places of a sequence were seen one after the other. No hit is lost: every match passes.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_and_si256, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8,
};

use regex_syntax::hir::{Class, Hir, HirKind};
use serde::{Deserialize, Serialize};

use super::rule::RuleIndex;
use super::tier::SAMPLE;

/// Places of one sequence: a lane of a word.
const PLACES: usize = 8;
/// Words of a sieve.
const WORDS: usize = 8;
/// Sequences in one sieve.
pub(super) const LANES: usize = WORDS * 8;
/// Fewer places tell nothing.
const PLACES_MIN: usize = 3;
/// Repetitions that are looked at: each but an empty one goes at least one place on.
const TIMES_MAX: u32 = 16;
/// Chance of octets that the sample lacks.
const RARE_OCTET: f64 = 1e-3;
/// Syntax trees deeper than this are not looked at.
const DEPTH_MAX: usize = 200;

/// The octets that can stand at each of the first places of a match; at most [`PLACES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places(Vec<Octets>);

/// A set of octets, as bits.
type Octets = [u64; 4];

fn add(octets: &mut Octets, octet: u8) {
    if let Some(word) = octets.get_mut(usize::from(octet >> 6)) {
        *word |= 1 << (octet & 63);
    }
}

fn has(octets: &Octets, octet: u8) -> bool {
    octets.get(usize::from(octet >> 6)).is_some_and(|word| word >> (octet & 63) & 1 == 1)
}

impl Places {
    /// Those of `hir`; `None`: its matches are too short.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let count = hir.properties().minimum_len()?.min(PLACES);
        if count < PLACES_MIN {
            return None;
        }
        let mut places = [Octets::default(); PLACES];
        walk(hir, 1, &mut places, 0)?;
        Some(Self(places.iter().take(count).copied().collect()))
    }
}

impl Places {
    /// Rough chance that they are there at some octet of the sample.
    pub(super) fn chance(&self) -> f64 {
        let of = |octets: &Octets| {
            let there = SAMPLE.bytes().filter(|octet| has(octets, *octet)).count();
            let share = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            (share(there) / share(SAMPLE.len().max(1))).max(RARE_OCTET)
        };
        self.0.iter().map(of).product()
    }
}

/// Notes which octets `hir` can have where it begins at one of the places in `starts` (bit n: place
/// n), and returns the places behind it. Those behind the last place are of no interest.
fn walk(hir: &Hir, starts: u32, places: &mut [Octets; PLACES], depth: usize) -> Option<u32> {
    const INSIDE: u32 = (1 << PLACES) - 1;
    let starts = starts & INSIDE;
    if depth > DEPTH_MAX {
        return None;
    }
    if starts == 0 {
        return Some(0);
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(starts),
        HirKind::Literal(literal) => {
            let mut at = starts;
            for octet in &literal.0 {
                note(at, places, |octets| add(octets, *octet));
                at = at << 1 & INSIDE;
            }
            Some(at)
        }
        HirKind::Class(Class::Bytes(class)) => {
            note(starts, places, |octets| {
                for range in class.ranges() {
                    (range.start()..=range.end()).for_each(|octet| add(octets, octet));
                }
            });
            Some(starts << 1)
        }
        HirKind::Class(Class::Unicode(_)) => None,
        HirKind::Capture(capture) => walk(&capture.sub, starts, places, depth + 1),
        HirKind::Repetition(repetition) => {
            let mut at = starts;
            let mut behind = if repetition.min == 0 { starts } else { 0 };
            let most = repetition.max.unwrap_or(u32::MAX);
            for times in 1..=most {
                let next = walk(&repetition.sub, at, places, depth + 1)? & INSIDE;
                if times >= repetition.min {
                    behind |= next;
                }
                // One that can be empty, or that reached nothing new, adds nothing any more.
                if next == 0 || (times >= repetition.min && next & !at == 0) {
                    break;
                }
                // One that can be empty has been everywhere by now, and ends wherever it has been.
                if times >= TIMES_MAX {
                    behind |= next;
                    break;
                }
                at = next;
            }
            Some(behind)
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(starts, |at, part| walk(part, at, places, depth + 1))
        }
        HirKind::Alternation(parts) => parts
            .iter()
            .try_fold(0, |behind, part| Some(behind | walk(part, starts, places, depth + 1)?)),
    }
}

fn note(at: u32, places: &mut [Octets; PLACES], change: impl Fn(&mut Octets)) {
    places
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| at >> place & 1 == 1)
        .for_each(|(_, o)| change(o));
}

/// Lanes in two halves, each a register of AVX2.
type Row = [[u64; WORDS / 2]; 2];

/// The highest bit of every lane.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Up to [`LANES`] sequences, ready to run.
#[derive(Debug)]
pub(super) struct Sieve {
    /// By octet: a 0 for each place at which it can stand.
    rows: Box<[Row; 256]>,
    /// A 0 for each place before the first one of its sequence: it is always reached.
    start: Row,
}

impl Sieve {
    /// Of the first [`LANES`] of `sequences`.
    pub(super) fn new(sequences: &[(RuleIndex, Places)]) -> Self {
        let mut start = [[u64::MAX; WORDS / 2]; 2];
        let mut rows = Box::new([start; 256]);
        for (lane, (_, Places(places))) in sequences.iter().take(LANES).enumerate() {
            let (word, lane) = (lane / 8, lane % 8 * 8);
            // Short sequences lie at the end of their lane.
            let from = PLACES.saturating_sub(places.len());
            let before = !(((1 << from) - 1) << lane);
            start.as_flattened_mut().get_mut(word).into_iter().for_each(|start| *start &= before);
            for (octet, row) in (0..=u8::MAX).zip(rows.iter_mut()) {
                let Some(row) = row.as_flattened_mut().get_mut(word) else { continue };
                *row &= before;
                for (place, octets) in places.iter().take(PLACES).enumerate() {
                    *row &= !(u64::from(has(octets, octet)) << (lane + from + place));
                }
            }
        }
        Self { rows, start }
    }

    /// The sequences that are somewhere in `unit`, as bits.
    pub(super) fn scan(&self, unit: &[u8]) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "a function for a feature of the CPU")]
            // SAFETY: the CPU has the feature.
            return unsafe { scan_avx2(&self.rows, &self.start, unit) };
        }
        scan_anywhere(&self.rows, &self.start, unit)
    }
}

fn scan_anywhere(rows: &[Row; 256], start: &Row, unit: &[u8]) -> u64 {
    let mut at = *start;
    let mut seen = [[u64::MAX; WORDS / 2]; 2];
    for octet in unit {
        #[expect(clippy::indexing_slicing, reason = "256 rows for an octet: no check is made")]
        let row = &rows[usize::from(*octet)];
        let words = at.as_flattened_mut().iter_mut().zip(seen.as_flattened_mut());
        for ((at, seen), row) in words.zip(row.as_flattened()) {
            // What comes into a lane from below is a 0: its first place is always reached.
            *at = (*at & !TOPS) << 1 | row;
            *seen &= *at;
        }
    }
    let mut found = 0_u64;
    for (word, seen) in seen.as_flattened().iter().enumerate() {
        for lane in (0..8).filter(|lane| seen >> (8 * lane + PLACES - 1) & 1 == 0) {
            found |= 1 << (8 * word + lane);
        }
    }
    found
}

/// The same with all lanes in two registers: eight times as fast (the compiler keeps arrays that a loop
/// carries in memory). Adding a lane to itself shifts it, a 0 comes in from below.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scan_avx2(rows: &[Row; 256], [start0, start1]: &Row, unit: &[u8]) -> u64 {
    let (mut at0, mut at1) = (loaded(start0), loaded(start1));
    let (mut seen0, mut seen1) = (_mm256_set1_epi8(-1), _mm256_set1_epi8(-1));
    for octet in unit {
        #[expect(clippy::indexing_slicing, reason = "256 rows for an octet: no check is made")]
        let [row0, row1] = &rows[usize::from(*octet)];
        at0 = _mm256_or_si256(_mm256_add_epi8(at0, at0), loaded(row0));
        at1 = _mm256_or_si256(_mm256_add_epi8(at1, at1), loaded(row1));
        seen0 = _mm256_and_si256(seen0, at0);
        seen1 = _mm256_and_si256(seen1, at1);
    }
    let missed = |seen| u64::from(_mm256_movemask_epi8(seen).cast_unsigned());
    !(missed(seen1) << 32 | missed(seen0))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn loaded(words: &[u64; 4]) -> __m256i {
    #[expect(unsafe_code, reason = "registers are read through a pointer")]
    // SAFETY: four words are as large as a register, and this load needs no alignment.
    unsafe {
        _mm256_loadu_si256((&raw const *words).cast())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What the CPU of another machine runs says what this one's does.
        #[test]
        fn the_sieve_says_the_same_on_every_cpu(
            texts in proptest::collection::vec("[ab]{3,5}|[a-c]x[0-9]{2,9}", 1..64),
            unit in "[abcx0-9]{0,200}",
        ) {
            let places = |text: &String| Places::of(&Hir::literal(text.as_bytes())).unwrap();
            let sequences: Vec<_> = (0..).zip(texts.iter().map(places)).collect();
            let sieve = Sieve::new(&sequences);
            let found = scan_anywhere(&sieve.rows, &sieve.start, unit.as_bytes());
            prop_assert_eq!(sieve.scan(unit.as_bytes()), found);
            let contained = texts.iter().map(|text| unit.contains(&text[..text.len().min(PLACES)]));
            for (lane, contained) in contained.enumerate() {
                prop_assert_eq!(found >> lane & 1 == 1, contained, "{}", &texts[lane]);
            }
            prop_assert!(texts.len() == LANES || found >> texts.len() == 0);
        }
    }
}
