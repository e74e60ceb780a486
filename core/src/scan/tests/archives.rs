//! Archives on which two clients disagree, or that are two things at once.

use std::io::Write;

use super::{base64, eicar, kinds_of, mail_with, zip_of};
use crate::scan::finding::FindingKind;

/// One member as a local header and a directory entry tell it; they may differ.
struct Entry<'e> {
    names: [&'e [u8]; 2],
    methods: [u16; 2],
    flags: [u16; 2],
    octets: Vec<u8>,
}

impl<'e> Entry<'e> {
    fn new(name: &'e [u8], octets: &[u8]) -> Self {
        Self { names: [name; 2], methods: [8; 2], flags: [0; 2], octets: octets.to_vec() }
    }
}

fn deflate(octets: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn half(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

fn word(out: &mut Vec<u8>, values: &[usize]) {
    values.iter().for_each(|value| out.extend((*value as u32).to_le_bytes()));
}

/// A local header with data, and the size of the data.
fn local(entry: &Entry<'_>) -> (Vec<u8>, usize) {
    // The data are in the way of the method that is read (the other header lies).
    let stored = !entry.methods.contains(&8);
    let data = if stored { entry.octets.clone() } else { deflate(&entry.octets) };
    let mut out = b"PK\x03\x04".to_vec();
    half(&mut out, &[20, entry.flags[0], entry.methods[0], 0, 0x21]);
    word(&mut out, &[0x1234_5678, data.len(), entry.octets.len()]);
    half(&mut out, &[entry.names[0].len() as u16, 0]);
    out.extend(entry.names[0]);
    out.extend(&data);
    (out, data.len())
}

/// A directory of entries that begin at these offsets and have these sizes, and its end record.
fn directory(entries: &[(&Entry<'_>, usize, usize)], at: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (entry, offset, bytes) in entries {
        out.extend(b"PK\x01\x02");
        half(&mut out, &[20, 20, entry.flags[1], entry.methods[1], 0, 0x21]);
        word(&mut out, &[0x1234_5678, *bytes, entry.octets.len()]);
        half(&mut out, &[entry.names[1].len() as u16, 0, 0, 0, 0]);
        word(&mut out, &[0, *offset]);
        out.extend(entry.names[1]);
    }
    let bytes = out.len();
    out.extend(b"PK\x05\x06");
    half(&mut out, &[0, 0, entries.len() as u16, entries.len() as u16]);
    word(&mut out, &[bytes, at]);
    half(&mut out, &[0]);
    out
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut out, mut known) = (Vec::new(), Vec::new());
    for entry in entries {
        let (octets, bytes) = local(entry);
        known.push((entry, out.len(), bytes));
        out.extend(octets);
    }
    let at = out.len();
    out.extend(directory(&known, at));
    out
}

fn kinds(name: &str, octets: &[u8]) -> Vec<FindingKind> {
    kinds_of(&mail_with(name, octets))
}

#[track_caller]
fn virus(story: &str, octets: &[u8]) {
    let found = kinds("a.zip", octets);
    assert!(found.contains(&FindingKind::Malware), "{story}: {found:?}");
}

#[test]
fn a_zip_whose_two_headers_differ_is_read_by_both_and_said_to_be_malformed() {
    let eicar = eicar();
    let base = || Entry::new(b"e.com", &eicar);
    for (story, entry) in [
        ("names", Entry { names: [b"a.txt", b"e.com"], ..base() }),
        ("encrypted says the local header", Entry { flags: [1, 0], ..base() }),
        ("encrypted says the directory", Entry { flags: [0, 1], ..base() }),
        ("the directory says stored", Entry { methods: [8, 0], ..base() }),
        ("the local header says stored", Entry { methods: [0, 8], ..base() }),
        ("the directory says bzip2", Entry { methods: [8, 12], ..base() }),
    ] {
        let octets = archive(&[entry]);
        virus(story, &octets);
        assert!(kinds("a.zip", &octets).contains(&FindingKind::Malformed), "{story}");
    }
}

#[test]
fn odd_names_directories_and_doubled_names_hide_nothing() {
    let eicar = eicar();
    for name in [&b"../../etc/x"[..], b"a.txt\0.exe", b"", b"/", b"dir/", &[0xFF; 300]] {
        virus(&format!("{name:?}"), &archive(&[Entry::new(name, &eicar)]));
    }
    let (bad, good) = (|| Entry::new(b"a", &eicar), || Entry::new(b"a", b"clean"));
    virus("the first of two", &archive(&[bad(), good()]));
    virus("the last of two", &archive(&[good(), bad()]));
    let only_directory = archive(&[Entry { methods: [0; 2], ..Entry::new(b"dir/", b"") }]);
    assert_eq!(kinds("a.zip", &only_directory), []);
}

#[test]
fn two_directories_are_both_followed() {
    let (bad, good) =
        (archive(&[Entry::new(b"e.com", &eicar())]), archive(&[Entry::new(b"a.txt", b"clean")]));
    virus("bad, good", &[&bad[..], &good].concat());
    virus("good, bad", &[&good[..], &bad].concat());
    // As the comment of the other.
    for (front, back) in [(&bad, &good), (&good, &bad)] {
        let mut octets = front[..front.len() - 2].to_vec();
        half(&mut octets, &[back.len() as u16]);
        octets.extend(back);
        virus("in the comment", &octets);
    }
    virus("no directory", &local(&Entry::new(b"e.com", &eicar())).0);
}

#[test]
fn a_size_that_lies_covers_no_other_member() {
    let (hidden, _) = local(&Entry::new(b"e.com", &eicar()));
    let front = Entry { methods: [0; 2], ..Entry::new(b"a.txt", b"x") };
    let (mut octets, bytes) = local(&front);
    let all = bytes + hidden.len();
    octets.extend(&hidden);
    let at = octets.len();
    octets.extend(directory(&[(&front, 0, all)], at));
    virus("the directory says that the first is longer", &octets);
    // Only local headers, the first of which claims 4 GiB.
    let (mut octets, _) = local(&front);
    octets[18..22].copy_from_slice(&[0xFF; 4]);
    octets.extend(&hidden);
    virus("4 GiB", &octets);
}

#[test]
fn what_is_also_a_zip_is_opened_whatever_it_is_besides() {
    let zip = zip_of(&[("e.com", &eicar())]);
    let mut pe = vec![0_u8; 0x80];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3C] = 0x40;
    pe[0x40..0x44].copy_from_slice(b"PE\0\0");
    let mut tar = vec![0_u8; 2048];
    tar[257..262].copy_from_slice(b"ustar");
    for head in [
        &b"%PDF-1.4\n"[..],
        b"Rar!\x1a\x07\x01\0 and so on",
        b"7z\xbc\xaf\x27\x1c\0\x04",
        b"{\\rtf1 x}",
        b"\x89PNG\r\n\x1a\n",
        b"#!/bin/sh\nexit\n",
        b"\x1f\x8b\x08\0",
        b"BZh91AY",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"From: a@b.example\r\n\r\n",
        &pe,
        &tar,
    ] {
        let octets = [head, &zip[..]].concat();
        virus(&format!("{:.12x?}", head), &octets);
        let raw = mail_with("a.pdf", &octets);
        let view = crate::message::View::build(&raw, &crate::message::ViewLimits::shard());
        assert!(crate::analysis::needs_worker(&view), "{head:x?} is for a worker");
    }
    // A presentation may end with a document that it holds: no reason to call it malformed.
    let found = kinds("a.ppt", &[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 rest", &zip[10..]].concat());
    assert_eq!(found, [FindingKind::NotScanned]);
}

#[test]
fn methods_that_are_not_read_are_said_not_to_be() {
    for method in [1, 6, 10, 97] {
        let entry = Entry { methods: [method; 2], ..Entry::new(b"a.txt", b"hello") };
        assert_eq!(kinds("a.zip", &archive(&[entry])), [FindingKind::NotScanned], "{method}");
    }
    // These are read; what is inside here is of another method.
    for method in [9, 12, 14, 93, 95, 98] {
        let entry = Entry { methods: [method; 2], ..Entry::new(b"a.txt", b"hello") };
        assert_eq!(kinds("a.zip", &archive(&[entry])), [FindingKind::Malformed], "{method}");
    }
    for method in [::zip::CompressionMethod::Bzip2, ::zip::CompressionMethod::Zstd] {
        let mut writer = ::zip::write::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = ::zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file("e.com", options).unwrap();
        writer.write_all(&eicar()).unwrap();
        virus(&format!("{method}"), &writer.finish().unwrap().into_inner());
    }
    let aes = Entry { methods: [99; 2], flags: [1; 2], ..Entry::new(b"a.txt", b"hello") };
    assert_eq!(kinds("a.zip", &archive(&[aes])), [FindingKind::Encrypted]);
}

#[test]
fn data_that_is_unpacked_again_and_again_is_a_limit() {
    let zeros = Entry::new(b"000", &vec![0_u8; 4 << 20]);
    let (octets, bytes) = local(&zeros);
    let names: Vec<String> = (0..900).map(|number| format!("{number:03}")).collect();
    let entries: Vec<Entry<'_>> = names
        .iter()
        .map(|name| Entry { names: [name.as_bytes(); 2], ..Entry::new(b"", &zeros.octets) })
        .collect();
    let known: Vec<_> = entries.iter().map(|entry| (entry, 0, bytes)).collect();
    let octets = [&octets[..], &directory(&known, octets.len())].concat();
    let begun = std::time::Instant::now();
    assert!(kinds("a.zip", &octets).contains(&FindingKind::LimitReached));
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

#[test]
fn tars_and_gzips_that_follow_each_other_are_all_read() {
    let tar = |name: &str, octets: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(octets.len() as u64);
        builder.append_data(&mut header, name, octets).unwrap();
        builder.into_inner().unwrap()
    };
    let zip = zip_of(&[("e.com", &eicar())]);
    let two = [tar("clean.txt", b"clean"), tar(&"long/".repeat(60), &zip)].concat();
    virus("two tars", &two);
    let behind = [tar("clean.txt", b"clean"), zip.clone()].concat();
    virus("a zip behind a tar", &behind);
    let gzip = |octets: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    };
    virus("two gzips", &[gzip(b"clean"), gzip(&eicar())].concat());
    // Inside XML, as flat documents carry others.
    let xml = format!("<?xml version=\"1.0\"?>\n<binData>\n{}\n</binData>\n", {
        String::from_utf8(base64(&zip)).unwrap()
    });
    virus("a zip in XML", xml.as_bytes());
}

#[test]
fn containers_that_are_not_read_are_known_by_their_marks() {
    let mut lzma = b"\x5d\0\0\x10\0\xff\xff\xff\xff\xff\xff\xff\xff\0".to_vec();
    lzma.extend([1; 20]);
    let mut small = b"\x6e\0\x10\0\0\x44\0\0\0\0\0\0\0\0".to_vec();
    small.extend([1; 20]);
    let mut disk = vec![1_u8; 600];
    disk[88..92].copy_from_slice(b"koly");
    for octets in [&lzma[..], &small] {
        assert!(kinds("a", octets).contains(&FindingKind::Malformed), "{octets:.16x?}");
    }
    for octets in [
        &disk[..],
        b"\x52\x2a\x4d\x18\x04\0\0\0rest",
        b"GRZipII\0",
        b"LRZI\0\x06",
        b"1234567**ACE**",
        b"070727rest",
        b"MSWIM\0\0\0rest",
    ] {
        assert!(kinds("a", octets).contains(&FindingKind::NotScanned), "{octets:.16x?}");
    }
}

/// Found by the fuzzer: the reader of cabinets indexes behind the blocks of a folder.
#[test]
fn a_decoder_that_panics_costs_its_members_and_not_the_worker() {
    let mut cab = b"MSCF\0\0\0\0".to_vec();
    // Length, reserved, where files begin, reserved, version 1.3, one folder, one file, flags, set, number.
    word(&mut cab, &[125, 0, 44, 0]);
    cab.extend([3, 1]);
    half(&mut cab, &[1, 1, 0, 0, 0]);
    // The folder: where its data begin, one block, stored.
    word(&mut cab, &[79]);
    half(&mut cab, &[1, 0]);
    // The file: its size, an offset behind the only block, folder 0, date, time, attributes, name.
    word(&mut cab, &[4, 0x7000_0000]);
    half(&mut cab, &[0, 0x21, 0, 0x20]);
    cab.extend(b"hello.txt\0");
    cab.resize(79, 0);
    // The block: no checksum, four octets in and out.
    word(&mut cab, &[0]);
    half(&mut cab, &[4, 4]);
    cab.extend(b"text");
    let found = kinds("a.cab", &cab);
    let said = [FindingKind::Malformed, FindingKind::NotScanned];
    assert!(found.iter().any(|kind| said.contains(kind)), "{found:?}");
}

/// A cabinet of these members, stored, in one folder.
fn cabinet(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut builder = ::cab::CabinetBuilder::new();
    let folder = builder.add_folder(::cab::CompressionType::None);
    for (name, _) in members {
        folder.add_file(*name);
    }
    let mut writer = builder.build(std::io::Cursor::new(Vec::new())).unwrap();
    let mut contents = members.iter();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(contents.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Found by the fuzz target `cab`: one member that its reader cannot bear hid all the others.
#[test]
fn a_member_behind_the_end_of_its_cabinet_hides_no_other() {
    let mut cab = cabinet(&[("a.txt", b"harmless"), ("e.com", &eicar())]);
    // The first entry begins behind the header of 36 octets and one folder of 8: size, then offset.
    cab[48..52].copy_from_slice(&0x7000_0000_u32.to_le_bytes());
    let found = kinds("a.cab", &cab);
    assert!(found.contains(&FindingKind::Malware), "{found:?}");
    assert!(found.contains(&FindingKind::Malformed), "{found:?}");
}

#[test]
fn members_of_a_cabinet_with_one_name_are_all_read() {
    let found = kinds("a.cab", &cabinet(&[("a.txt", b"harmless"), ("a.txt", &eicar())]));
    assert_eq!(found, [FindingKind::Malware]);
}

/// Found by the fuzz targets `zip`, `streams` and `7z`: a decoder made as much memory as the sender said, and the worker
/// died of it.
#[test]
fn memory_is_not_made_because_a_sender_says_so() {
    let lzip = [b"LZIP\x01\x1d".as_slice(), &[0; 30]].concat();
    assert!(kinds("a.lz", &lzip).contains(&FindingKind::LimitReached));
    // A second member that is hungry behind one that is not.
    let second = [b"LZIP\x01\x0c".as_slice(), &[0; 30], b"LZIP\x01\x1d", &[0; 30]].concat();
    assert!(kinds("a.lz", &second).contains(&FindingKind::LimitReached));
    let member = |method: u16, head: &[u8]| {
        let entry = Entry { methods: [method; 2], ..Entry::new(b"a.txt", b"") };
        let mut octets = head.to_vec();
        octets.resize(40, 0);
        archive(&[Entry { octets, ..entry }])
    };
    // LZMA: version, length of the properties, properties, a dictionary of nearly 4 GiB.
    let lzma = member(14, b"\x09\x14\x05\0\x5d\xf0\xff\xff\xff");
    assert!(kinds("a.zip", &lzma).contains(&FindingKind::LimitReached));
    // PPMd: 256 MiB.
    let ppmd = member(98, &0x0FF5_u16.to_le_bytes());
    assert!(kinds("a.zip", &ppmd).contains(&FindingKind::LimitReached));
    // 7z: a packed header by LZMA with a dictionary of nearly 4 GiB.
    let coder = b"\x17\x06\x00\x01\x09\x10\x00\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05\x5d\xf0\xff\xff\xff\x0c\x20\0\0";
    let sum = |octets: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(octets);
        sum.sum().to_le_bytes()
    };
    let start =
        [&16_u64.to_le_bytes()[..], &(coder.len() as u64).to_le_bytes(), &sum(coder)].concat();
    let head = [b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), &sum(&start), &start].concat();
    let seven = [head.as_slice(), &[0; 16], coder].concat();
    assert!(kinds("a.7z", &seven).contains(&FindingKind::LimitReached));
}

/// Found by the fuzz target `7z`: two members in one block whose data cannot be unpacked. The library passed over the first
/// one's rest by asking the decoder that had failed, which turned in a circle: the worker was killed, twice.
#[test]
fn a_block_of_7z_that_is_broken_ends() {
    let digits = "377abcaf271c000447a09b113b000000000000003400000000000000fd3d46a6e000350033dd003a1a08ce766495b8ac935e\
                ac5a67dfce8297064cc2a919f7d2f2699361eb2ebf449fbc9078baf9e0d0895fef94f2d2ee4a6940000104060001093b0007\
                0b010001212101000c3600080d0209170a01ebd3fdc17787a62d0000050211090061000000620000000000";
    let octets: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    let found = kinds("a.7z", &octets);
    assert!(found.contains(&FindingKind::Malformed), "{found:?}");
}

/// A tar with these members; the first octets of it are the first name.
fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, octets) in members {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(octets.len() as u64);
        builder.append_data(&mut header, name, *octets).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_name_of_its_first_member_makes_a_tar_nothing_else() {
    for name in ["%PDF-1.4", "{\\rtf1 x", "MZ.txt", "#!a", "From: x", "BZh9.txt"] {
        let tar = tar_of(&[(name, b""), ("a.gz", &gzip(&eicar()))]);
        virus(name, &tar);
        virus(name, &gzip(&tar));
    }
}

#[test]
fn what_stands_in_front_of_the_marks_of_a_disc_hides_nothing() {
    for front in [&b"%PDF-1.4\n"[..], b"{\\rtf1 x}", b"MZ", b"\x7FELF"] {
        let mut disc = vec![0_u8; 0x8001];
        disc[..front.len()].copy_from_slice(front);
        disc.extend(b"CD001");
        let part = crate::message::Part::of_octets(
            "1".into(),
            crate::message::PartOrigin::Mime,
            "a.dat",
            disc.into(),
        );
        let behind = part.archives_behind();
        assert!(behind.contains(&(0, crate::message::FileType::Iso)), "{front:?} {behind:?}");
    }
}

#[test]
fn a_mark_that_no_end_of_a_zip_follows_hides_none_before_it() {
    let zip = zip_of(&[("eicar.com", &eicar())]);
    virus("behind text", &[b"some text in front ", &zip[..], b"PK\x05\x06"].concat());
}

#[test]
fn a_gzip_has_the_name_in_its_header_and_that_of_its_file() {
    let mut encoder = flate2::GzBuilder::new()
        .filename("readme.txt")
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"WScript.Echo(1)").unwrap();
    let raw = mail_with("invoice.js.gz", &encoder.finish().unwrap());
    let mut view = crate::message::View::build(&raw, &crate::message::ViewLimits::worker());
    crate::scan::expand(&mut view, &crate::scan::ArchiveLimits::default());
    let names = &view.parts.last().unwrap().file_names;
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["readme.txt", "invoice.js"]);
}

/// uuencode with a grave accent for zero.
fn uu(name: &str, octets: &[u8]) -> String {
    let letter = |six: u32| if six == 0 { '`' } else { char::from(six as u8 + 32) };
    let mut out = format!("begin 644 {name}\r\n");
    for line in octets.chunks(45) {
        out.push(letter(line.len() as u32));
        for group in line.chunks(3) {
            let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            (0..4).for_each(|at| out.push(letter(bits >> (18 - 6 * at) & 63)));
        }
        out += "\r\n";
    }
    out + "`\r\nend\r\n"
}

#[test]
fn what_was_decoded_out_of_a_text_is_opened_further() {
    let zip = zip_of(&[("eicar.com", &eicar())]);
    let letters = base64_simd::STANDARD.encode_to_string(&zip);
    let mail = String::from_utf8(mail_with("a.zip", &zip)).unwrap();
    let page = format!("<html><a download=a.zip href=\"data:a/zip;base64,{letters}\">x</a>");
    for (story, inner) in
        [("a mail", mail), ("uuencode", format!("x\n{}", uu("a.zip", &zip))), ("a page", page)]
    {
        let raw = format!("A: b\r\n\r\nhello\r\n{}", uu("a.dat", inner.as_bytes()));
        let kinds = kinds_of(raw.as_bytes());
        assert!(kinds.contains(&FindingKind::Malware), "{story} {kinds:?}");
        let view =
            crate::message::View::build(raw.as_bytes(), &crate::message::ViewLimits::shard());
        assert!(crate::analysis::needs_worker(&view), "{story}");
    }
    let mut text = eicar();
    for _ in 0..12 {
        text = uu("a.txt", &text).into_bytes();
    }
    let kinds = kinds_of(&[&b"A: b\r\n\r\n"[..], &text].concat());
    assert!(!kinds.contains(&FindingKind::Malware) && !kinds.is_empty(), "no bound: {kinds:?}");
}

#[test]
fn a_mail_with_an_odd_head_is_opened_as_a_file_and_in_an_archive() {
    let zip = zip_of(&[("eicar.com", &eicar())]);
    let inner = String::from_utf8(mail_with("a.zip", &zip)).unwrap();
    let from = "From a@b Tue Jul  1 10:00:00 2025\r\n";
    for (name, mail) in [
        ("m.eml", format!("X-Abc: 1\r\n{inner}")),
        ("m.mbox", format!("{from}{inner}")),
        ("m.eml", format!(">{from}{inner}")),
        ("m.mht", inner.replacen("text\r\n", "<html><body>text\r\n", 1)),
        ("m.eml", format!("a line that is no field\r\n{inner}")),
    ] {
        virus(name, &zip_of(&[(name, mail.as_bytes())]));
        let kinds = kinds_of(&mail_with(name, mail.as_bytes()));
        assert!(kinds.contains(&FindingKind::Malware), "{mail:.40} {kinds:?}");
    }
}

#[test]
fn a_page_that_is_a_file_is_read_for_its_links() {
    let page = b"<!doctype html><form action=\"http://evil.example/x.php\"><input></form>";
    let svg = b"<?xml version=\"1.0\"?><svg><a href=\"http://evil.example/x.php\">x</a></svg>";
    for (name, octets) in [
        ("a.html", page.to_vec()),
        ("a.dat", page.to_vec()),
        ("a.zip", zip_of(&[("a.html", page)])),
        ("a.svg", svg.to_vec()),
    ] {
        let raw = mail_with(name, &octets);
        let mut view = crate::message::View::build(&raw, &crate::message::ViewLimits::worker());
        assert!(crate::analysis::needs_worker(&view), "{name}");
        crate::scan::expand(&mut view, &crate::scan::ArchiveLimits::default());
        let hosts: Vec<_> = view.uris().iter().map(|uri| &*uri.host).collect();
        assert_eq!(hosts, ["evil.example"], "{name}");
    }
}
