//! Streams of PDF behind their filters.

use std::io::Write;

use super::{eicar, kinds_of, mail_with, zip_of};
use crate::message::{Part, PartOrigin, View, ViewLimits};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, expand};

pub(super) fn zlib(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn hex(octets: &[u8]) -> Vec<u8> {
    (octets.iter().map(|o| format!("{o:02x}")).collect::<String>() + ">").into_bytes()
}

fn base85(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in octets.chunks(4) {
        let mut filled = [0_u8; 4];
        filled[..group.len()].copy_from_slice(group);
        let value = u32::from_be_bytes(filled);
        let digits: Vec<u8> =
            (0..5).rev().map(|at| (value / 85_u32.pow(at) % 85) as u8 + b'!').collect();
        out.extend(&digits[..=group.len()]);
    }
    out.extend(b"~>");
    out
}

fn lzw(octets: &[u8], early_change: bool) -> Vec<u8> {
    let mut encoder = match early_change {
        true => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8),
        false => weezl::encode::Encoder::new(weezl::BitOrder::Msb, 8),
    };
    encoder.encode(octets).unwrap()
}

/// Literal runs of up to 128 octets, and one of repeated octets in front of each.
fn run_length(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in octets.chunks(128) {
        let alike = run.iter().take_while(|octet| **octet == run[0]).count();
        let (front, rest) = run.split_at(if alike > 1 { alike } else { 0 });
        if alike > 1 {
            out.extend([(257 - front.len()) as u8, front[0]]);
        }
        if !rest.is_empty() {
            out.push(rest.len() as u8 - 1);
            out.extend(rest);
        }
    }
    out.push(128);
    out
}

pub(super) fn pdf(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("%PDF-1.4\n1 0 obj\n<< {dictionary} >>\nstream\r\n");
    [head.as_bytes(), data, b"\nendstream\nendobj\n"].concat()
}

#[test]
fn streams_are_opened_behind_their_filters() {
    let eicar = eicar();
    let zip = zip_of(&[("e.com", &eicar)]);
    // Long enough for codes of ten bits and more, where the two ways of growing differ.
    let noise: Vec<u8> =
        (0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let long = zip_of(&[("noise", &noise), ("e.com", &eicar)]);
    for (story, dictionary, data) in [
        ("inflated", "", zlib(&eicar)),
        ("a zip", "", zlib(&zip)),
        ("a zip as it is", "", zip.clone()),
        ("hex", "", hex(&eicar)),
        ("hex and inflated", "", hex(&zlib(&eicar))),
        ("base 85 and inflated", "", base85(&zlib(&eicar))),
        ("inflated twice", "", zlib(&zlib(&eicar))),
        ("only called encrypted", "/Encrypt", zlib(&eicar)),
        ("junk in front", "stream stream", zlib(&eicar)),
        ("LZW", "/Filter /LZWDecode", lzw(&eicar, true)),
        ("LZW that says nothing", "", lzw(&eicar, true)),
        ("LZW without its first code", "/Filter /LZWDecode", lzw_without_clear_code(&eicar)),
        ("long LZW", "/Filter /LZWDecode", lzw(&long, true)),
        ("long LZW, late change", "/EarlyChange 0 /Filter /LZWDecode", lzw(&long, false)),
        ("base 85 and LZW", "/Filter [/ASCII85Decode /LZWDecode]", base85(&lzw(&zip, true))),
        ("inflated and LZW", "/Filter [/FlateDecode /LZWDecode]", zlib(&lzw(&zip, true))),
        ("run lengths", "/Filter /RunLengthDecode", run_length(&eicar)),
        ("run lengths and inflated", "/Filter [/RL /Fl]", run_length(&zlib(&zip))),
        ("an escaped name", "/Filter /R#75nL#65ngthDecode", run_length(&eicar)),
        ("a short name", "/F /RL", run_length(&eicar)),
        ("a name elsewhere", "/Filter [ 7 0 R ]", run_length(&eicar)),
        ("hex and run lengths", "/Filter [/AHx /RL]", hex(&run_length(&eicar))),
    ] {
        let kinds = kinds_of(&mail_with("a.pdf", &pdf(dictionary, &data)));
        assert!(kinds.contains(&FindingKind::Malware), "{story}: {kinds:?}");
        for kind in [FindingKind::NotScanned, FindingKind::LimitReached] {
            assert!(!kinds.contains(&kind), "{story}: {kinds:?}");
        }
    }
}

/// Readers begin with an empty table all the same.
fn lzw_without_clear_code(octets: &[u8]) -> Vec<u8> {
    let codes = octets.iter().map(|octet| u32::from(*octet)).chain([257]);
    let bits: Vec<u8> =
        codes.flat_map(|code| (0..9).rev().map(move |bit| (code >> bit & 1) as u8)).collect();
    let octet =
        |bits: &[u8]| bits.iter().fold(0, |octet, bit| octet << 1 | bit) << (8 - bits.len());
    bits.chunks(8).map(octet).collect()
}

#[test]
fn broken_and_exploding_filters_end_at_their_bounds() {
    let limits = ArchiveLimits { bytes_max: 1024 * 1024, ..ArchiveLimits::default() };
    for (story, data) in [
        ("LZW", lzw(&vec![0; 4 << 20], true)),
        ("run lengths", [0x81, 0].repeat(64 * 1024)),
        ("LZW of run lengths", lzw(&[0x81, 0].repeat(64 * 1024), true)),
    ] {
        let octets = pdf("/Filter [/LZWDecode /RunLengthDecode]", &data);
        let mut view = View::build(b"A: b\r\n\r\n", &ViewLimits::worker());
        let part = Part::of_octets("9".into(), PartOrigin::Mime, "a.pdf", octets.into());
        view.parts.push(part);
        expand(&mut view, &limits);
        let limit = view.exceptions.iter().find(|e| e.detail.contains("unfolds to more than"));
        assert!(limit.is_some(), "{story}: {:?}", view.exceptions);
    }
    // A drawing in run lengths, a cut run, codes that are not in the table: no member, no complaint.
    for data in [&b"\x05q 1 0 \x80"[..], b"\x7fabc", b"\x80\x7f\xff\xff\xff", b"\x80", b""] {
        let octets = pdf("/Filter [/LZWDecode /RunLengthDecode]", data);
        assert_eq!(kinds_of(&mail_with("a.pdf", &octets)), [], "{data:x?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn any_octets_behind_any_filter_stay_within_the_bounds(
        data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
    ) {
        crate::scan::fuzz_archive(&pdf("/Filter [/LZWDecode /RL] /EarlyChange 0", &data));
        crate::scan::fuzz_archive(&pdf("/Filter 7 0 R", &lzw(&data, true)));
    }
}

#[test]
fn filters_behind_each_other_are_undone_as_long_as_they_are_told() {
    let zip = zip_of(&[("eicar.com", &eicar())]);
    for (story, data) in [
        ("three times the same", zlib(&zlib(&zlib(&zip)))),
        ("text between", zlib(&hex(&zlib(&base85(&zip))))),
    ] {
        let kinds = kinds_of(&mail_with("a.pdf", &pdf("", &data)));
        assert!(kinds.contains(&FindingKind::Malware), "{story} {kinds:?}");
    }
    let deep = (0..12).fold(zip, |data, _| zlib(&data));
    assert!(kinds_of(&mail_with("a.pdf", &pdf("", &deep))).contains(&FindingKind::NotScanned));
}
