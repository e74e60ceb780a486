//! Containers that hide something from whoever reads them in one way only: doubled names, trees beside trees, archives behind
//! something, programs under the names of documents. Issue 4, "The content".

use super::active::{rules, seen};
use super::{corpus, eicar, kinds_of, mail_with};
use crate::message::{Limit, View, ViewLimits};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, Examination, expand};

fn half(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

fn word(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

/// Writes into `image` at `at`.
fn put(image: &mut [u8], at: usize, octets: &[u8]) {
    image[at..at + octets.len()].copy_from_slice(octets);
}

/// A cabinet of stored files: name, where it begins in the only folder, its octets there.
fn cabinet(files: &[(&str, u32, &[u8])], folder: u16) -> Vec<u8> {
    let mut data = Vec::new();
    for (_, offset, octets) in files {
        data.resize(data.len().max(*offset as usize + octets.len()), 0);
        put(&mut data, *offset as usize, octets);
    }
    let mut table = Vec::new();
    for (name, offset, octets) in files {
        word(&mut table, &[octets.len() as u32, *offset]);
        half(&mut table, &[folder, 0x5A21, 0, 0x20]);
        table.extend([name.as_bytes(), b"\0"].concat());
    }
    let start = 44 + table.len() as u32;
    let mut out = b"MSCF".to_vec();
    word(&mut out, &[0, start + 8 + data.len() as u32, 0, 44, 0]);
    out.extend([3, 1]);
    half(&mut out, &[1, files.len() as u16, 0, 0, 0]);
    word(&mut out, &[start]);
    half(&mut out, &[1, 0]);
    out.extend(table);
    word(&mut out, &[0]);
    half(&mut out, &[data.len() as u16; 2]);
    [out, data].concat()
}

#[test]
fn members_of_a_cabinet_with_one_name_are_all_read() {
    let (eicar, clean) = (eicar(), &b"harmless text"[..]);
    for (story, files) in [
        ("the only one", vec![("a.txt", 0, &eicar[..])]),
        ("the first", vec![("a.txt", 0, &eicar[..]), ("a.txt", 68, clean)]),
        ("the second", vec![("a.txt", 0, clean), ("a.txt", 13, &eicar)]),
        ("one behind the other in the table", vec![("a.txt", 68, clean), ("a.txt", 0, &eicar)]),
        ("without a name", vec![("", 0, clean), ("", 13, &eicar)]),
    ] {
        let kinds = kinds_of(&mail_with("a.cab", &cabinet(&files, 0)));
        assert_eq!(kinds, [FindingKind::Malware], "{story}");
    }
    // The same octets are several files at once.
    let both = cabinet(&[("a.txt", 0, &eicar), ("b.txt", 0, &eicar)], 0);
    assert_eq!(seen(&mail_with("a.cab", &both)).facts.attachments.len(), 3);
    for (folder, kind) in [(5, FindingKind::Malformed), (0xFFFE, FindingKind::NotScanned)] {
        let kinds = kinds_of(&mail_with("a.cab", &cabinet(&[("a.exe", 0, &eicar)], folder)));
        assert!(kinds.contains(&kind), "{folder}: {kinds:?}");
        assert!(kinds.contains(&FindingKind::Attachment), "its name is looked at: {kinds:?}");
    }
    let mut behind = cabinet(&[("a.txt", 0, &eicar), ("b.txt", 68, clean)], 0);
    let at = behind.windows(4).position(|four| four == 68_u32.to_le_bytes()).unwrap();
    let next =
        at + 4 + behind[at + 4..].windows(4).position(|f| f == 68_u32.to_le_bytes()).unwrap();
    put(&mut behind, next, &7_000_u32.to_le_bytes());
    let kinds = kinds_of(&mail_with("a.cab", &behind));
    assert!(kinds.contains(&FindingKind::Malformed), "behind the folder's end: {kinds:?}");
    assert!(kinds.contains(&FindingKind::Malware), "the others are read: {kinds:?}");
}

/// Points that make spam of a mail where the domain says nothing else.
const SPAM: i32 = 5_000;
/// What a program with two extensions has by the rules.
const DISGUISED: i32 = 6_500;

fn points(seen: &Examination) -> i32 {
    let own = seen.findings.iter().filter(|found| found.rule.starts_with("ATTACH_"));
    own.map(|found| found.points).sum()
}

fn program() -> Vec<u8> {
    crate::message::pe::tests::program()
}

/// "True type against name and declared type": a program under the name of a document is held by itself.
#[test]
fn a_program_that_is_called_a_document_is_held_by_itself() {
    let shortcut = [&b"\x4C\0\0\0\x01\x14\x02\0"[..], &[0; 60]].concat();
    for (name, octets) in [
        ("invoice.pdf", program()),
        ("a.docx", program()),
        ("a.jpg", shortcut),
        ("a.txt", program()),
    ] {
        let seen = seen(&mail_with(name, &octets));
        assert!(rules(&seen).contains(&"ATTACH_DISGUISED_PROGRAM"), "{name}: {:?}", rules(&seen));
        assert_eq!(points(&seen), DISGUISED, "{name}");
    }
    // By its declared type alone, and in an archive.
    let declared = String::from_utf8(mail_with("invoice", &program())).unwrap();
    let declared = declared.replace("application/octet-stream", "application/pdf");
    assert_eq!(points(&seen(declared.as_bytes())), DISGUISED);
    let packed = super::zip_of(&[("invoice.pdf", &program())]);
    assert_eq!(points(&seen(&mail_with("a.zip", &packed))), DISGUISED);
    // A program that is called one has the points of its name, and no more from here.
    let plain = seen(&mail_with("setup.exe", &program()));
    assert_eq!(points(&plain), 0, "{:?}", plain.findings);
    let unnamed = seen(&mail_with("setup.bin", &program()));
    assert!(rules(&unnamed).contains(&"ATTACH_PROGRAM_UNNAMED"));
    assert!(points(&unnamed) < SPAM);
}

#[test]
fn honest_files_have_no_points_for_their_types() {
    for (name, octets) in [
        ("patch.txt", &b"#!/bin/sh\necho hello\n"[..]),
        ("notes.txt", b"MZ is how a program begins"),
        ("tool.py", b"#!/usr/bin/env python3\n"),
        ("a.pdf", b"%PDF-1.4\n"),
        ("scan.jpg", b"\xFF\xD8\xFF\xE0\0\x10JFIF\0"),
    ] {
        let seen = seen(&mail_with(name, octets));
        assert_eq!(points(&seen), 0, "{name}: {:?}", seen.findings);
    }
}

/// An image with one file in UDF, and a clean one in ISO 9660. `map`: kind of the partition.
fn image(name: &str, content: &[u8], map: u8) -> Vec<u8> {
    let mut image = vec![0_u8; 2048 * 300];
    let block = |number: usize| number * 2048;
    // ISO 9660: a descriptor with an empty root directory.
    put(&mut image, block(16), b"\x01CD001\x01");
    let mut root = vec![34, 0];
    word(&mut root, &[30, 0, 2048, 0]);
    root.resize(25, 0);
    root.extend([2, 0, 0, 0, 0, 0, 0, 1, 0]);
    put(&mut image, block(16) + 156, &root);
    put(&mut image, block(30), &[&root[..], &root[..]].concat());
    put(&mut image, block(17), b"\xFFCD001\x01");
    for (number, mark) in [(18, b"\0BEA01\x01"), (19, b"\0NSR02\x01"), (20, b"\0TEA01\x01")] {
        put(&mut image, block(number), mark);
    }
    let mut tag = |at: usize, tag: u16, fields: &[(usize, &[u8])]| {
        put(&mut image, at, &tag.to_le_bytes());
        fields.iter().for_each(|(offset, octets)| put(&mut image, at + offset, octets));
    };
    let number = |value: u32| value.to_le_bytes();
    // The anchor leads to the volume; its only partition begins at block 40.
    tag(block(256), 2, &[(16, &number(16 * 2048)), (20, &number(32))]);
    tag(block(32), 5, &[(188, &number(40))]);
    tag(block(33), 6, &[(252, &number(0)), (268, &number(1)), (440, &[map, 6])]);
    tag(block(34), 8, &[]);
    // Set of files, root directory with one entry, file.
    tag(block(40), 256, &[(404, &number(1))]);
    let short = |bytes: usize, block: u32| [number(bytes as u32), number(block)].concat();
    let names: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let entry = 38 + 1 + names.len();
    let directory =
        [(27, &[4][..]), (56, &number(entry as u32)), (172, &number(8)), (176, &short(entry, 3))];
    tag(block(41), 261, &directory);
    tag(
        block(43),
        257,
        &[(19, &[names.len() as u8 + 1]), (24, &number(2)), (38, &[16]), (39, &names)],
    );
    let size = number(content.len() as u32);
    tag(
        block(42),
        261,
        &[(27, &[5]), (56, &size), (172, &number(8)), (176, &short(content.len(), 5))],
    );
    put(&mut image, block(45), content);
    image
}

#[test]
fn the_tree_of_udf_is_read_beside_that_of_iso_9660() {
    let eicar = eicar();
    let whole = image("日本.com", &eicar, 1);
    let seen = seen(&mail_with("a.iso", &whole));
    let names: Vec<&str> = seen.facts.attachments.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["a.iso", "日本.com"]);
    let kinds = kinds_of(&mail_with("a.iso", &whole));
    assert!(kinds.contains(&FindingKind::Malware), "{kinds:?}");
    for kind in [FindingKind::Malformed, FindingKind::NotScanned, FindingKind::LimitReached] {
        assert!(!kinds.contains(&kind), "{kinds:?}");
    }
    let other = kinds_of(&mail_with("a.iso", &image("a.com", &eicar, 2)));
    assert!(other.contains(&FindingKind::NotScanned), "a partition of metadata: {other:?}");
    let mut lost = whole.clone();
    put(&mut lost, 256 * 2048, &[0; 2]);
    let lost = kinds_of(&mail_with("a.iso", &lost));
    assert!(lost.contains(&FindingKind::Malformed), "only said to be there: {lost:?}");
}

#[test]
fn udf_that_is_cut_or_lies_about_itself_ends_at_its_bounds() {
    let whole = image("a.com", &eicar(), 1);
    for at in [16, 20, 24, 56, 168, 172, 176, 180, 188, 252, 268, 404, 440] {
        for block in [32, 33, 40, 41, 42, 43, 256] {
            for value in [0xFF, 0x7F, 1] {
                let mut changed = whole.clone();
                put(&mut changed, block * 2048 + at, &[value; 4]);
                kinds_of(&mail_with("a.iso", &changed));
            }
        }
    }
    for blocks in [33, 41, 43, 44, 257] {
        kinds_of(&mail_with("a.iso", &whole[..blocks * 2048 + 100]));
    }
}

/// An attribute of TNEF.
fn attribute(level: u8, id: u32, value: &[u8]) -> Vec<u8> {
    let mut out = vec![level];
    word(&mut out, &[id, value.len() as u32]);
    let sum = value.iter().fold(0_u16, |sum, octet| sum.wrapping_add(u16::from(*octet)));
    [&out[..], value, &sum.to_le_bytes()].concat()
}

/// Properties of variable length: type, number, value.
fn properties(list: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    // One of fixed length and one with a name stand in front.
    word(&mut out, &[list.len() as u32 + 2, 0x0E07_0003, 1, 0x8001_000B]);
    out.extend([7; 16]);
    word(&mut out, &[1, 6]);
    out.extend(b"a\0b\0\0\0\0\0");
    word(&mut out, &[1]);
    for (kind, id, value) in list {
        half(&mut out, &[*kind, *id]);
        word(&mut out, &[1, value.len() as u32]);
        out.extend(*value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn tnef(attributes: &[Vec<u8>]) -> Vec<u8> {
    [b"\x78\x9F\x3E\x22\x01\0".to_vec(), attributes.concat()].concat()
}

const MESSAGE: u32 = 0x0006_9003;
const ATTACHED: u32 = 0x0006_9005;

#[test]
fn texts_of_tnef_are_read_behind_their_packing() {
    // The example of MS-OXRTFCP section 4.1.1: {\rtf1\ansi\ansicpg1252\pard hello world}
    let packed =
        b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125B\x32\x0a\xf3\x20hel\x09\0\
        \x20bw\x05\xb0ld}\x0a\x80\x0f\xa0";
    let raw = mail_with(
        "winmail.dat",
        &tnef(&[attribute(1, MESSAGE, &properties(&[(0x0102, 0x1009, packed)]))]),
    );
    let mut view = View::build(&raw, &ViewLimits::worker());
    expand(&mut view, &ArchiveLimits::default());
    let texts: Vec<String> =
        view.parts.iter().map(|part| String::from_utf8_lossy(&part.decoded).into_owned()).collect();
    assert!(
        texts.iter().any(|text| text.starts_with("{\\rtf1\\ansi\\ansicpg1252\\pard hello world}"))
    );
    assert!(texts.iter().any(|text| text.trim() == "hello world"), "{texts:?}");
    let eicar = eicar();
    let html = [b"<p>", &eicar[..], b"</p>"].concat();
    let stored = [&b"\x60\0\0\0\x44\0\0\0MELA\0\0\0\0"[..], &eicar].concat();
    let shorter = [&b"\x60\0\0\0\x05\0\0\0MELA\0\0\0\0"[..], &eicar].concat();
    for (story, kind, id, value) in [
        ("text", 0x001E, 0x1000, eicar.clone()),
        ("text in UTF-16", 0x001F, 0x1000, wide(&String::from_utf8(eicar.clone()).unwrap())),
        ("HTML", 0x0102, 0x1013, html),
        ("RTF that is not packed", 0x0102, 0x1009, stored),
        ("RTF that says that it is shorter", 0x0102, 0x1009, shorter),
    ] {
        let octets = tnef(&[attribute(1, MESSAGE, &properties(&[(kind, id, &value)]))]);
        let kinds = kinds_of(&mail_with("winmail.dat", &octets));
        assert_eq!(kinds, [FindingKind::Malware], "{story}");
    }
}

#[test]
fn attachments_of_tnef_have_their_long_names_and_objects() {
    let begin = || attribute(2, 0x0006_9002, &[0; 14]);
    let title = |name: &str| attribute(2, 0x0001_8010, format!("{name}\0").as_bytes());
    let data = |octets: &[u8]| attribute(2, 0x0006_800F, octets);
    let named = |list: &[(u16, u16, &[u8])]| attribute(2, ATTACHED, &properties(list));
    let long = tnef(&[
        begin(),
        title("INVOIC~1.TXT"),
        data(b"plain"),
        named(&[(0x001F, 0x3707, &wide("invoice of today.exe"))]),
        begin(),
        title("b.txt"),
        data(b"second"),
    ]);
    let seen = seen(&mail_with("winmail.dat", &long));
    let names: Vec<&str> = seen.facts.attachments.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["winmail.dat", "invoice of today.exe", "INVOIC~1.TXT", "b.txt"]);
    assert!(rules(&seen).contains(&"ATTACH_DANGEROUS_IN_ARCHIVE"));
    // A message in a message: behind the number of its interface.
    let inner = tnef(&[begin(), title("e.com"), data(&eicar())]);
    let object = [&[7; 16][..], &inner].concat();
    let octets = tnef(&[begin(), named(&[(0x000D, 0x3701, &object)])]);
    assert!(kinds_of(&mail_with("winmail.dat", &octets)).contains(&FindingKind::Malware));
    for end in 20..long.len() {
        kinds_of(&mail_with("winmail.dat", &long[..end]));
    }
    let cut = kinds_of(&mail_with("winmail.dat", &long[..long.len() - 40]));
    assert!(cut.contains(&FindingKind::Malformed), "{cut:?}");
}

/// RAR 4 with these members: name, octets, whether they are stored, size that is said.
fn rar(members: &[(&str, &[u8], bool, u32, u16)]) -> Vec<u8> {
    let mut out = b"Rar!\x1A\x07\0".to_vec();
    out.extend([0, 0, 0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    for (name, octets, stored, bytes, flags) in members {
        out.extend([0, 0, 0x74]);
        half(&mut out, &[0x8000 | flags, 32 + name.len() as u16]);
        word(&mut out, &[octets.len() as u32, *bytes]);
        out.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 29, if *stored { 0x30 } else { 0x33 }]);
        half(&mut out, &[name.len() as u16]);
        word(&mut out, &[0]);
        out.extend(name.as_bytes());
        out.extend(*octets);
    }
    out.extend([0, 0, 0x7B, 0, 0, 7, 0]);
    out
}

#[test]
fn a_piece_of_a_member_is_not_taken_for_the_whole() {
    let eicar = eicar();
    for (flags, bytes, octets) in
        [(1, 34, &eicar[..34]), (2, 34, &eicar[34..]), (3, 34, &eicar[..34]), (0, 68, &eicar[..34])]
    {
        let kinds =
            kinds_of(&mail_with("a.part1.rar", &rar(&[("e.txt", octets, true, bytes, flags)])));
        assert_eq!(kinds, [FindingKind::NotScanned], "{flags} {bytes}");
    }
    // A size that is a lie does not keep anybody from looking.
    let kinds = kinds_of(&mail_with("a.rar", &rar(&[("e.txt", &eicar, true, 5, 0)])));
    assert!(kinds.contains(&FindingKind::Malware), "{kinds:?}");
}

#[test]
fn archives_behind_something_are_found_and_read() {
    let eicar = eicar();
    let rar = rar(&[("e.txt", &eicar, true, 68, 0)]);
    let cab = cabinet(&[("e.txt", 0, &eicar)], 0);
    assert_eq!(kinds_of(&mail_with("a.rar", &rar)), [FindingKind::Malware], "by itself");
    for (story, name, front) in [
        ("behind nothing", "a.dat", vec![0; 5_000]),
        ("behind text, and called so", "a.rar", b"text in front\r\n".repeat(9)),
        ("behind a program", "setup.exe", program()),
        ("behind a program for DOS", "setup.bin", [&b"MZ\x90\0"[..], &[0; 90]].concat()),
    ] {
        for archive in [&rar, &cab] {
            let name = if archive == &cab { name.replace("rar", "cab") } else { name.to_owned() };
            let kinds = kinds_of(&mail_with(&name, &[&front[..], archive].concat()));
            assert!(kinds.contains(&FindingKind::Malware), "{story} {name}: {kinds:?}");
        }
    }
    // A mark behind a program, and nothing that can be read behind it.
    for mark in [&b"7z\xBC\xAF\x27\x1C\0\x04"[..], b"Rar!\x1A\x07\x01\0"] {
        let kinds = kinds_of(&mail_with("setup.bin", &[&program()[..], mark, &[1; 90]].concat()));
        assert!(kinds.contains(&FindingKind::Malformed), "{mark:x?}: {kinds:?}");
    }
    // As constants of a program they say nothing, nor in a text about them.
    let mut packer = program();
    put(&mut packer, 0x220, b"Rar!\x1A\x07\0 and 7z\xBC\xAF\x27\x1C");
    assert!(!kinds_of(&mail_with("packer.exe", &packer)).contains(&FindingKind::Malformed));
    let text = [&b"an archive begins with "[..], b"Rar!\x1A\x07", b" and goes on"].concat();
    assert_eq!(kinds_of(&mail_with("a.txt", &text)), []);
}

#[test]
fn a_7z_behind_a_program_is_read() {
    let Some(folder) = corpus("archives") else { return };
    let octets = std::fs::read(folder.join("test_read_format_7zip_bcj_lzma1.7z")).unwrap();
    let parts = |octets: &[u8]| seen(&mail_with("setup.bin", octets)).facts.parts;
    let (plain, behind) = (parts(&octets), parts(&[&program()[..], &octets].concat()));
    assert!(plain > 2 && behind == plain, "{plain} {behind}");
}

#[test]
fn volumes_of_disks_are_not_scanned_and_never_clean() {
    let sector = |head: &[u8], entry: &[u8]| {
        let mut sector = vec![0_u8; 4096];
        put(&mut sector, 0, head);
        put(&mut sector, 446, entry);
        put(&mut sector, 510, b"\x55\xAA");
        sector
    };
    for (story, octets) in [
        ("FAT", sector(b"\xEB\x3C\x90MSDOS5.0", &[])),
        ("FAT by its sizes", sector(b"\xEB\x3C\x90whatever\0\x02\x04", &[])),
        ("NTFS", sector(b"\xEB\x52\x90NTFS    ", &[])),
        ("exFAT", sector(b"\xEB\x76\x90EXFAT   ", &[])),
        ("partitions", sector(&[0x33], &[0x80, 1, 1, 0, 6, 1, 1, 1, 63, 0, 0, 0, 9, 9, 0, 0])),
    ] {
        let seen = seen(&mail_with("a.img", &octets));
        assert!(rules(&seen).contains(&"SCAN_NOT_READ"), "{story}: {:?}", rules(&seen));
        assert!(rules(&seen).contains(&"ATTACH_DISK_IMAGE"), "{story}");
    }
    assert_eq!(kinds_of(&mail_with("a.dat", &sector(b"anything", &[]))), []);
}

/// IIJ and TM-09 ask for the size of attachments: what is not unpacked has the size that its archive says.
#[test]
fn tm_09_members_that_are_not_unpacked_keep_name_size_and_lock() {
    let octets = rar(&[("big.bin", b"packed", false, 7_000_000, 0), ("s.bin", b"x", false, 9, 4)]);
    let seen = seen(&mail_with("a.rar", &octets));
    let told: Vec<_> =
        seen.facts.attachments.iter().map(|one| (&*one.name, one.bytes, one.encrypted)).collect();
    let own = octets.len() as u64;
    assert_eq!(told, [("a.rar", own, true), ("big.bin", 7_000_000, false), ("s.bin", 9, true)]);
}

/// "Limits on depth, entries, ratio, bytes, time, each with its own reason".
#[test]
fn each_limit_has_a_rule_of_its_own() {
    let limits = ArchiveLimits {
        depth_max: 2,
        members_max: 20,
        bytes_max: 20_000_000,
        ratio_max: 200,
        ..ArchiveLimits::default()
    };
    let zip = |members: &[(&str, &[u8])]| super::zip_of(members);
    let deep = zip(&[("b.zip", &zip(&[("c.zip", &zip(&[("d", b"d")]))]))]);
    let many: Vec<(&str, &[u8])> = (0..30).map(|_| ("a", &b"a"[..])).collect();
    let large = vec![0_u8; 8_000_000];
    let full: Vec<(&str, &[u8])> = (0..4).map(|_| ("a", &large[..])).collect();
    let bomb = vec![0_u8; 9_000_000];
    for (limit, octets) in [
        (Limit::Depth, deep),
        (Limit::Entries, named(&many)),
        (Limit::Bytes, named(&full)),
        (Limit::Ratio, zip(&[("a", &bomb)])),
    ] {
        let raw = mail_with("a.zip", &octets);
        let mut view = View::build(&raw, &ViewLimits::worker());
        expand(&mut view, &limits);
        let seen = super::look(&view, &super::no_tables());
        let rule = format!("SCAN_LIMIT_{}", format!("{limit:?}").to_uppercase());
        let met: Vec<&str> =
            rules(&seen).into_iter().filter(|rule| rule.starts_with("SCAN_LIMIT")).collect();
        assert_eq!(met, [rule.as_str()]);
    }
}

/// A ZIP of members whose names are made different.
fn named(members: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<String> = (0..members.len()).map(|number| format!("{number}.bin")).collect();
    let members: Vec<(&str, &[u8])> =
        names.iter().zip(members).map(|(name, (_, octets))| (name.as_str(), *octets)).collect();
    super::zip_of(&members)
}
