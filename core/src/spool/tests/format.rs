//! Octets of a segment: round trips, and every kind of damage.

use proptest::prelude::*;

use crate::envelope::MailId;
use crate::limits::BLOCK_BYTES;
use crate::spool::format::{
    Entry, Found, Note, Place, Step, Trailer, Walk, encode, encode_index, parse_index, walk,
};
use crate::spool::{CopyId, fuzz_segment};

fn id(number: u128) -> CopyId {
    CopyId::new(MailId(uuid::Uuid::from_u128(number)), 3)
}

/// A segment of three records: one block, two blocks, one block.
fn segment() -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in [(1u128, 100usize), (2, 5_000), (3, 10)] {
        let block = u32::try_from(out.len() / BLOCK_BYTES).unwrap();
        let place = Place {
            kind: 16,
            flags: 0,
            segment: 9,
            block,
            salt: 77,
            flushed: block,
            stamp: 5,
            id: id(number),
        };
        let body = vec![number as u8; bytes];
        encode(&mut out, place, b"{}", b"", std::iter::once(&*body));
    }
    out
}

fn ids(octets: &[u8]) -> (Vec<u128>, Vec<(u64, u64, String)>) {
    let (mut ids, mut gaps) = (Vec::new(), Vec::new());
    for found in walk(octets, 9) {
        match found {
            Found::Record(head, _) => ids.push(head.id.mail.0.as_u128()),
            Found::Gap { offset, bytes, what } => gaps.push((offset, bytes, what)),
        }
    }
    (ids, gaps)
}

#[test]
fn a_walk_gives_every_record_of_a_sound_segment() {
    assert_eq!(ids(&segment()), (vec![1, 2, 3], vec![]));
}

#[test]
fn damage_costs_only_its_own_record_and_is_named_with_offset_and_both_values() {
    let cases: [(&str, usize, u64, &str); 6] = [
        ("magic", 4096, 8192, "magic"),
        ("length", 4096 + 64, 8192, "head checksum"),
        ("metadata", 4096 + 96, 8192, "metadata checksum"),
        ("body", 4096 + 2000, 8192, "body checksum"),
        ("second block of the body", 8192 + 10, 8192, "body checksum"),
        ("end record", 4096 + 98 + 5000, 8192, "end record"),
    ];
    for (name, at, bytes, what) in cases {
        let mut octets = segment();
        octets[at] ^= 1;
        let (found, gaps) = ids(&octets);
        assert_eq!(found, vec![1, 3], "{name}");
        assert_eq!(gaps.len(), 1, "{name}: {gaps:?}");
        assert_eq!((gaps[0].0, gaps[0].1), (4096, bytes), "{name}");
        assert!(gaps[0].2.contains(what) && gaps[0].2.contains("expected"), "{name}: {gaps:?}");
    }
}

#[test]
fn a_truncated_segment_gives_what_is_whole() {
    let octets = segment();
    let (found, gaps) = ids(&octets[..9000]);
    assert_eq!(found, vec![1]);
    assert_eq!((gaps[0].0, gaps[0].1), (4096, 9000 - 4096));
    assert!(gaps[0].2.contains("the file ends after"), "{gaps:?}");
}

#[test]
fn a_record_within_a_mail_is_not_taken_for_one_even_if_the_mail_is_damaged() {
    // The sender knows everything but the salt.
    let mut forged = Vec::new();
    let place = Place {
        kind: 16,
        flags: 0,
        segment: 9,
        block: 2,
        salt: 1,
        flushed: 0,
        stamp: 5,
        id: id(66),
    };
    encode(&mut forged, place, b"{}", b"", std::iter::empty());
    let mut octets = segment();
    octets[8192..8192 + 4096].copy_from_slice(&forged);
    let (found, gaps) = ids(&octets);
    assert_eq!(found, vec![1, 3]);
    assert_eq!(gaps.len(), 1);
}

#[test]
fn an_index_and_a_trailer_round_trip() {
    let entries = [Entry { id: id(5), kind: 17, flags: 1, block: 8, blocks: 2, stamp: 99 }];
    assert_eq!(parse_index(&encode_index(&entries)), entries);
    let trailer = Trailer { segment: 3, index_block: 55, salt: 12 };
    let mut block = Vec::new();
    trailer.encode(&mut block);
    assert_eq!(block.len(), BLOCK_BYTES);
    assert_eq!(Trailer::parse(&block, 3), Some(trailer));
    assert_eq!(Trailer::parse(&block, 4), None, "of another segment");
    block[9] ^= 1;
    assert_eq!(Trailer::parse(&block, 3), None, "flipped bit");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn notes_round_trip(texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let notes: Vec<Note> = texts
            .into_iter()
            .enumerate()
            .map(|(n, text)| Note {
                id: id(n as u128),
                slot: n as u16,
                origin: n as u64,
                at: 7,
                tombstone: n.is_multiple_of(2).then_some(n as u32),
                text,
            })
            .collect();
        let mut out = Vec::new();
        notes.iter().for_each(|note| note.encode(&mut out));
        prop_assert_eq!(Note::parse_all(&out), notes);
    }

    #[test]
    fn a_walk_by_windows_finds_what_a_walk_of_the_whole_finds(
        cut in 0usize..=16_384,
        flips in prop::collection::vec(0usize..16_384, 0..6),
        window in 1usize..6_000,
    ) {
        let mut octets = segment();
        for at in flips {
            octets[at] ^= 1;
        }
        octets.truncate(cut);
        let whole: Vec<Found<'_>> = walk(&octets, 9).collect();
        let mut walk = Walk::new(9);
        let (mut from, mut end, mut last) = (0, 0, false);
        let mut count = 0;
        loop {
            match walk.step(&octets[from..end], from as u64, last) {
                Step::Found(found) => {
                    prop_assert_eq!(Some(&found), whole.get(count));
                    count += 1;
                }
                Step::More(wanted) => {
                    prop_assert!(!last);
                    from = octets.len().min(walk.offset() as usize);
                    end = from + window.max(wanted as usize);
                    last = end > octets.len();
                    end = end.min(octets.len());
                }
                Step::End => break,
            }
        }
        prop_assert_eq!(count, whole.len());
    }

    #[test]
    fn no_octets_make_the_reader_panic(at in 0usize..16_384, octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut segment = segment();
        for (offset, octet) in octets.into_iter().enumerate() {
            if let Some(place) = segment.get_mut(at + offset) {
                *place = octet;
            }
        }
        fuzz_segment(&segment);
        fuzz_segment(segment.get(at..).unwrap_or_default());
    }
}
