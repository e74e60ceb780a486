//! A ZIP whose only member is the ZIP itself, to the octet: an unpacker that follows members goes on for
//! ever. After Russ Cox, "Zip Files All The Way Down" (2010): a deflate stream that writes itself of
//! two kinds of instructions, "copy the next n octets" (a stored block) and "repeat the last n octets"
//! (a block of matches).

use super::{kinds_of, mail_with};
use crate::message::{View, ViewLimits};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, expand};

/// Nine letters: then the instruction that repeats header and name takes 15 octets, which with a copy
/// instruction is as many as `repeat(20)` repeats.
const NAME: &[u8; 9] = b"quine.zip";

/// The next `count` octets as they are: 5 octets.
fn copy(count: usize) -> Vec<u8> {
    let length = u16::try_from(count).unwrap();
    [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat()
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    /// From the lowest bit, as all but codes is written.
    fn low(&mut self, value: usize, count: usize) {
        self.0.extend((0..count).map(|bit| value >> bit & 1 == 1));
    }

    /// A code, from its highest bit.
    fn code(&mut self, value: usize, count: usize) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn octets(&self) -> Vec<u8> {
        let octet =
            |bits: &[bool]| bits.iter().rev().fold(0_u8, |octet, bit| octet << 1 | u8::from(*bit));
        self.0.chunks(8).map(octet).collect()
    }
}

/// The last `count` octets again: a block with fixed codes (RFC 1951 section 3.2.6) of matches of `step`
/// octets and what is left. An empty stored block follows where it does not end with an octet.
fn repeat(count: usize, step: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.low(0b010, 3);
    let mut left = count;
    while left > 0 {
        // No match is shorter than 3.
        let length = if left < step + 3 && left > step { left - 3 } else { left.min(step) };
        match length {
            3..=10 => bits.code(length - 2, 7),
            11..=12 => {
                bits.code(9, 7);
                bits.low(length - 11, 1);
            }
            _ => panic!("a match of {length}"),
        }
        let distance = count - 1;
        let extra = distance.ilog2() as usize - 1;
        bits.code(2 * (extra + 1) + (distance >> extra & 1), 5);
        bits.low(distance & ((1 << extra) - 1), extra);
        left -= length;
    }
    bits.code(0, 7);
    if bits.0.len().is_multiple_of(8) {
        return bits.octets();
    }
    bits.low(0, 3);
    [bits.octets(), vec![0, 0, 0xFF, 0xFF]].concat()
}

/// The archive with these sizes and this check sum in its headers.
fn quine(deflated: usize, bytes: usize, check: u32) -> Vec<u8> {
    let sizes = [deflated, bytes].map(|n| u32::try_from(n).unwrap().to_le_bytes()).concat();
    let shared =
        [&[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0][..], &check.to_le_bytes(), &sizes, &[9, 0, 0, 0]]
            .concat();
    let front = [&b"PK\x03\x04"[..], &shared, NAME].concat();
    let entry = [&b"PK\x01\x02\x14\0"[..], &shared, &[0; 14], NAME].concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &u32::try_from(entry.len()).unwrap().to_le_bytes(),
        &u32::try_from(front.len() + deflated).unwrap().to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    let last_block = [1, 0, 0, 0xFF, 0xFF];
    let back = [&last_block[..], &entry, &end].concat();

    let copy_front = copy(front.len() + 5);
    let again_front = repeat(front.len() + 5, 11);
    let (copy_20, again_20) = (copy(20), repeat(20, 10));
    assert_eq!((again_front.len(), again_20.len()), (15, 5));
    // It repeats itself and what follows, and its length depends on how much that is.
    let again_back = (10..80).map(|own| repeat(own + back.len(), 10)).find(|code| {
        (10..80).contains(&code.len()) && *code == repeat(code.len() + back.len(), 10)
    });
    let again_back = again_back.unwrap();
    let copy_back = copy(again_back.len() + back.len());
    [
        // What is written is as long as what was read, less the copy and header just read ...
        &front[..],
        &copy_front,
        &front,
        &copy_front,
        // ... less this instruction ...
        &again_front,
        &copy_20,
        &again_front,
        &copy_20,
        // ... less this one ...
        &again_20,
        &copy_20,
        &again_20,
        &copy_20,
        &again_20,
        &copy_20,
        // ... and now one copy instruction ahead; so after the next four both are level.
        &again_20,
        &copy_20,
        &again_20,
        &copy(0),
        &copy(0),
        &copy_back,
        // `copy_back` is written ahead; two copies of nothing are passed.
        &again_20,
        &copy(0),
        &copy(0),
        &copy_back,
        &again_back,
        &back,
        &again_back,
        &back,
    ]
    .concat()
}

fn crc32(octets: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(octets);
    crc.sum()
}

/// The check sum that the archive has if it holds that check sum. Check sums are linear: each bit that
/// is changed in the headers changes the same bits of the sum, whatever the others are.
fn own_check(of: impl Fn(u32) -> u32) -> u32 {
    let constant = of(0);
    // Rows of (sum ^ identity) * check = constant: 32 bits, and bit 32 for the right side.
    let columns: Vec<u32> = (0..32).map(|bit| of(1 << bit) ^ constant ^ 1 << bit).collect();
    let mut rows: Vec<u64> = (0..32)
        .map(|row| {
            let left = (0..32)
                .fold(0_u64, |bits, column| bits | u64::from(columns[column] >> row & 1) << column);
            left | u64::from(constant >> row & 1) << 32
        })
        .collect();
    let mut solved = 0;
    for column in 0..32 {
        let Some(found) = (solved..32).find(|row| rows[*row] >> column & 1 == 1) else { continue };
        rows.swap(solved, found);
        let pivot = rows[solved];
        for (number, row) in rows.iter_mut().enumerate() {
            if number != solved && *row >> column & 1 == 1 {
                *row ^= pivot;
            }
        }
        solved += 1;
    }
    let lowest = |row: &u64| (row & 0xFFFF_FFFF).trailing_zeros();
    rows.iter().filter(|row| **row >> 32 & 1 == 1).fold(0, |check, row| check | 1 << lowest(row))
}

fn archive() -> Vec<u8> {
    let bytes = quine(0, 0, 0).len();
    let framing = 30 + NAME.len() + 46 + NAME.len() + 22;
    let made = |check| quine(bytes - framing, bytes, check);
    made(own_check(|check| crc32(&made(check))))
}

#[test]
fn a_zip_that_holds_itself_ends_at_the_depth_with_a_limit() {
    let octets = archive();
    // It is what it says, by another reader that checks sizes and sums.
    let mut other = ::zip::ZipArchive::new(std::io::Cursor::new(&octets)).unwrap();
    let mut member = Vec::new();
    std::io::Read::read_to_end(&mut other.by_index(0).unwrap(), &mut member).unwrap();
    assert_eq!(member, octets, "its only member is the archive");

    let begun = std::time::Instant::now();
    assert_eq!(kinds_of(&mail_with("quine.zip", &octets)), [FindingKind::LimitReached]);
    let raw = mail_with("quine.zip", &octets);
    let mut view = View::build(&raw, &ViewLimits::worker());
    let before = view.parts.len();
    let limits = ArchiveLimits::default();
    expand(&mut view, &limits);
    assert_eq!(view.parts.len() - before, limits.depth_max, "one member for each depth");
    assert!(view.exceptions[0].detail.contains("nested deeper than 5"), "{:?}", view.exceptions);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
