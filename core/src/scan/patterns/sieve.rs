//! A sieve: tells in which units the beginning of an expression may be, for many expressions in one
//! pass.
//!
//! Expressions without a literal that is worth having (obfuscated words, `v[i1!]agra` in hundreds of
//! spellings) cost PCRE2 or libhs one to four microseconds per KiB *each*. Here only this is asked:
//! which octets can stand at the first, second, ... eighth place of a match, or of an end of it? Sixty-four such
//! sequences run side by side as bits of eight words (shift-or, Baeza-Yates and Gonnet 1992), at about 1 ns
//! for each octet of text, whatever the expressions are; nothing in it can explode, as automata of libhs or
//! `regex-automata` did (measured: 40 automata of 2 MiB for 150 rules). Which sequences were there is asked once for
//! each block of octets; where one was is looked for in that block alone. PCRE2 then looks at the unit, or only where
//! a match can begin that has the sequence there. No hit is lost: every match passes.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_and_si256, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8,
};

use std::ops::Range;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind};
use serde::{Deserialize, Serialize};

use super::distance::Distance;
use super::rule::RuleIndex;
use super::tier::SAMPLE;

/// Places of one sequence: a lane of a word.
const PLACES: usize = 8;
/// Words of a sieve.
const WORDS: usize = 8;
/// Sequences in one sieve.
pub(super) const LANES: usize = WORDS * 8;
/// Octets after which it is asked what was there.
const BLOCK: usize = 32;
/// Fewer places tell nothing.
const PLACES_MIN: usize = 3;
/// Repetitions that are looked at: each but an empty one goes at least one place on.
const TIMES_MAX: u32 = 16;
/// Chance of octets that the sample lacks.
const RARE_OCTET: f64 = 1e-3;
/// Syntax trees deeper than this are not looked at.
const DEPTH_MAX: usize = 200;
/// Parts of an expression whose beginnings are tried.
const ENDS_MAX: usize = 64;

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

/// A rule in a sieve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sieved {
    pub(super) rule: RuleIndex,
    pub(super) places: Places,
    /// From the beginning of a match to its first place; `None`: PCRE2 looks at all of the unit.
    pub(super) near: Option<Distance>,
}

/// Sequences of which every match of `tree` has each, with their distances from its beginning: those with which an end
/// of it begins, the octet before that end among them where there must be one.
pub(super) fn sequences(tree: &Hir) -> Vec<(Places, Distance)> {
    let mut whole = tree;
    while let HirKind::Capture(capture) = whole.kind() {
        whole = &capture.sub;
    }
    let parts = match whole.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(whole),
    };
    let mut all = Vec::new();
    for at in 0..parts.len().min(ENDS_MAX) {
        let (before, end) = parts.split_at(at);
        let (before, end) = (Hir::concat(before.to_vec()), Hir::concat(end.to_vec()));
        let distance = Distance::of(&before);
        all.extend(Places::of(&end).map(|places| (places, distance)));
        if distance.least > 0
            && let Some(octet) = last_octet(&before, 0)
        {
            let places = Places::of(&Hir::concat(vec![octet, end]));
            all.extend(places.map(|places| (places, distance.less(1))));
        }
    }
    all
}

/// What the last octet of a match of `hir` can be, if it has one; `None`: not known.
fn last_octet(hir: &Hir, depth: usize) -> Option<Hir> {
    if depth > DEPTH_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Hir::fail()),
        HirKind::Literal(literal) => {
            let last = *literal.0.last()?;
            Some(Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(last, last)]))))
        }
        HirKind::Class(Class::Bytes(_)) => Some(hir.clone()),
        HirKind::Class(Class::Unicode(_)) => None,
        HirKind::Capture(capture) => last_octet(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) => last_octet(&repetition.sub, depth + 1),
        HirKind::Alternation(parts) => {
            let lasts = parts.iter().map(|part| last_octet(part, depth + 1));
            Some(Hir::alternation(lasts.collect::<Option<Vec<_>>>()?))
        }
        HirKind::Concat(parts) => {
            let mut lasts = Vec::new();
            for part in parts.iter().rev() {
                lasts.push(last_octet(part, depth + 1)?);
                if part.properties().minimum_len()? > 0 {
                    break;
                }
            }
            Some(Hir::alternation(lasts))
        }
    }
}

impl Places {
    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

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
    pub(super) fn new<'p>(sequences: impl IntoIterator<Item = &'p Places>) -> Self {
        let mut start = [[u64::MAX; WORDS / 2]; 2];
        let mut rows = Box::new([start; 256]);
        for (lane, Places(places)) in sequences.into_iter().take(LANES).enumerate() {
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

    /// Tells the sequences that end in a block of `unit`, as bits, block by block where there are any.
    pub(super) fn scan(&self, unit: &[u8], on: &mut impl FnMut(u64, Range<usize>)) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "a function for a feature of the CPU")]
            // SAFETY: the CPU has the feature.
            unsafe {
                scan_avx2(&self.rows, &self.start, unit, on);
            };
            return;
        }
        scan_anywhere(&self.rows, &self.start, unit, on);
    }

    /// Where in `block` the sequence of a lane ends: behind its last place.
    pub(super) fn ends(
        &self,
        unit: &[u8],
        lane: usize,
        block: Range<usize>,
        add: &mut impl FnMut(usize),
    ) {
        let (word, shift) = (lane / 8, lane % 8 * 8);
        let of = |row: &Row| {
            let word = row.as_flattened().get(word).copied().unwrap_or(u64::MAX);
            u8::try_from(word >> shift & 0xFF).unwrap_or(u8::MAX)
        };
        let from = block.start.saturating_sub(PLACES - 1);
        let mut at = of(&self.start);
        for (end, octet) in (from + 1..).zip(unit.get(from..block.end).unwrap_or_default()) {
            #[expect(clippy::indexing_slicing, reason = "256 rows for an octet: no check is made")]
            let row = of(&self.rows[usize::from(*octet)]);
            at = at << 1 | row;
            if at & 0x80 == 0 && end > block.start {
                add(end);
            }
        }
    }
}

fn scan_anywhere(
    rows: &[Row; 256],
    start: &Row,
    unit: &[u8],
    on: &mut impl FnMut(u64, Range<usize>),
) {
    let mut at = *start;
    for (number, block) in unit.chunks(BLOCK).enumerate() {
        let mut seen = [[u64::MAX; WORDS / 2]; 2];
        for octet in block {
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
        if found != 0 {
            on(found, number * BLOCK..number * BLOCK + block.len());
        }
    }
}

/// The same with all lanes in two registers: eight times as fast (the compiler keeps arrays that a loop
/// carries in memory). Adding a lane to itself shifts it, a 0 comes in from below.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scan_avx2(
    rows: &[Row; 256],
    [start0, start1]: &Row,
    unit: &[u8],
    on: &mut impl FnMut(u64, Range<usize>),
) {
    let (mut at0, mut at1) = (loaded(start0), loaded(start1));
    for (number, block) in unit.chunks(BLOCK).enumerate() {
        let (mut seen0, mut seen1) = (_mm256_set1_epi8(-1), _mm256_set1_epi8(-1));
        for octet in block {
            #[expect(clippy::indexing_slicing, reason = "256 rows for an octet: no check is made")]
            let [row0, row1] = &rows[usize::from(*octet)];
            at0 = _mm256_or_si256(_mm256_add_epi8(at0, at0), loaded(row0));
            at1 = _mm256_or_si256(_mm256_add_epi8(at1, at1), loaded(row1));
            seen0 = _mm256_and_si256(seen0, at0);
            seen1 = _mm256_and_si256(seen1, at1);
        }
        let missed = |seen| u64::from(_mm256_movemask_epi8(seen).cast_unsigned());
        let found = !(missed(seen1) << 32 | missed(seen0));
        if found != 0 {
            on(found, number * BLOCK..number * BLOCK + block.len());
        }
    }
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
            let places: Vec<Places> =
                texts.iter().map(|text| Places::of(&Hir::literal(text.as_bytes())).unwrap()).collect();
            let sieve = Sieve::new(&places);
            let (mut here, mut anywhere) = (Vec::new(), Vec::new());
            let unit = unit.as_bytes();
            sieve.scan(unit, &mut |lanes, block| here.push((lanes, block)));
            scan_anywhere(&sieve.rows, &sieve.start, unit, &mut |lanes, block| anywhere.push((lanes, block)));
            prop_assert_eq!(&here, &anywhere);
            for (lane, text) in texts.iter().enumerate() {
                let text = &text.as_bytes()[..text.len().min(PLACES)];
                let mut ends = Vec::new();
                for (_, block) in here.iter().filter(|(lanes, _)| lanes >> lane & 1 == 1) {
                    let before = ends.len();
                    sieve.ends(unit, lane, block.clone(), &mut |end| ends.push(end));
                    prop_assert!(ends.len() > before, "a block that has it has its place");
                }
                let all = (text.len()..=unit.len()).filter(|end| unit[..*end].ends_with(text));
                prop_assert_eq!(ends, all.collect::<Vec<_>>());
            }
            prop_assert!(here.iter().all(|(lanes, _)| texts.len() == LANES || lanes >> texts.len() == 0));
        }
    }
}
