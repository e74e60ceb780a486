//! Tests of the scanners. The pattern engine has its own; malware is recognised here by a plain
//! search for the test string, as its rule does.

#![expect(clippy::disallowed_methods, reason = "the corpus is read from files")]

use std::io::Write;
use std::path::{Path, PathBuf};

use ::zip::write::{SimpleFileOptions, ZipWriter};

mod acting;
mod active;
mod archives;
mod compound;
mod cut;
mod holes;
mod japanese;
mod kin;
mod known;
mod mime;
mod opened;
mod pdf;
mod places;
mod posing;
mod quine;
mod senders;
mod texts;
mod tiers;

use super::finding::FindingKind;
use super::*;
use crate::classify::Reading;
use crate::message::{View, ViewLimits};
use crate::tables::HostFlags;

/// The EICAR test string, put together so that this file is not it.
fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

fn no_tables() -> ScanTables<'static> {
    ScanTables {
        patterns: None,
        hash: None,
        url_host: None,
        reading: Reading::Nothing,
        content: &[],
        yara: None,
    }
}

/// What is found, the signs of senders and structure left out: mails of tests have few fields.
fn look(view: &View<'_>, tables: &ScanTables<'_>) -> Examination {
    let mut seen = look_whole(view, tables);
    seen.findings.retain(|found| {
        found.kind == FindingKind::WebReputation
            || !SIGNS.iter().any(|sign| sign.name == &*found.rule)
    });
    seen
}

fn look_whole(view: &View<'_>, tables: &ScanTables<'_>) -> Examination {
    let mut scratch = patterns::Scratch::default();
    futures_lite::future::block_on(examine(view, tables, &mut scratch, None, &async || ())).unwrap()
}

fn kinds_of(raw: &[u8]) -> Vec<FindingKind> {
    let mut view = View::build(raw, &ViewLimits::worker());
    expand(&mut view, &ArchiveLimits::default());
    let mut kinds: Vec<_> =
        look(&view, &no_tables()).findings.iter().map(|found| found.kind).collect();
    let eicar = eicar();
    let hit = |octets: &[u8]| memchr::memmem::find(octets, &eicar).is_some();
    if view.parts.iter().any(|part| hit(&part.decoded)) {
        kinds.push(FindingKind::Malware);
    }
    kinds
}

fn mail_with(name: &str, octets: &[u8]) -> Vec<u8> {
    let mut raw = format!(
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"{name}\"\r\n\
         Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    raw.extend(base64(octets));
    raw.extend(b"\r\n--b--\r\n");
    raw
}

fn base64(octets: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for (index, group) in octets.chunks(3).enumerate() {
        if index % 19 == 0 && index > 0 {
            out.extend(b"\r\n");
        }
        let bits = group.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > group.len() { b'=' } else { letter });
        }
    }
    out
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, octets) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(octets).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_zip_is_opened_wherever_it_is_and_whatever_it_is_called() {
    let plain = zip_of(&[("eicar.com", &eicar())]);
    let prefixed = [&b"some text in front "[..], &plain].concat();
    let suffixed = [&plain[..], b" and some behind"].concat();
    for (name, octets) in [("a.zip", &plain), ("a.zip", &prefixed), ("a.jpg", &suffixed)] {
        let kinds = kinds_of(&mail_with(name, octets));
        assert!(kinds.contains(&FindingKind::Malware), "{name} {kinds:?}");
    }
}

#[test]
fn nesting_is_opened_to_the_limit_and_then_said() {
    let mut octets = eicar();
    for depth in 1..=7 {
        octets = zip_of(&[("inner.zip", &octets)]);
        let kinds = kinds_of(&mail_with("a.zip", &octets));
        let expected = if depth <= 5 { FindingKind::Malware } else { FindingKind::LimitReached };
        assert!(kinds.contains(&expected), "depth {depth}: {kinds:?}");
        assert_eq!(kinds.contains(&FindingKind::LimitReached), depth > 5, "depth {depth}");
    }
}

#[test]
fn bombs_end_at_their_ratio_and_count() {
    let bomb = zip_of(&[("zeros", &vec![0_u8; 64 * 1024 * 1024])]);
    assert!(kinds_of(&mail_with("a.zip", &bomb)).contains(&FindingKind::LimitReached));
    let names: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    assert!(kinds_of(&mail_with("a.zip", &zip_of(&many))).contains(&FindingKind::LimitReached));
}

#[test]
fn zip_headers_that_contradict_each_other_are_malformed_and_still_opened() {
    let plain = zip_of(&[("eicar.com", &eicar())]);
    // Another name in the local header.
    let mut renamed = plain.clone();
    renamed[30] = b'E';
    assert!(kinds_of(&mail_with("a.zip", &renamed)).contains(&FindingKind::Malformed));
    // The encrypted flag in the local header only.
    let mut flagged = plain.clone();
    flagged[6] |= 1;
    assert!(kinds_of(&mail_with("a.zip", &flagged)).contains(&FindingKind::Encrypted));
    // A member in front that the directory does not name.
    let end =
        plain.len() - memchr::memmem::find(&plain, b"PK\x01\x02").map_or(0, |at| plain.len() - at);
    let hidden = [&plain[..end], &zip_of(&[("clean.txt", b"clean")])].concat();
    let kinds = kinds_of(&mail_with("a.zip", &hidden));
    assert!(
        kinds.contains(&FindingKind::Malformed) && kinds.contains(&FindingKind::Malware),
        "{kinds:?}"
    );
    // No directory at all.
    let kinds = kinds_of(&mail_with("a.zip", &plain[..end]));
    assert!(kinds.contains(&FindingKind::Malware), "{kinds:?}");
}

#[test]
fn tar_and_gzip_are_opened_and_what_is_not_read_is_never_clean_c47c() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(eicar().len() as u64);
    header.set_cksum();
    tar.append_data(&mut header, "eicar.com", &eicar()[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(kinds_of(&mail_with("a.tar.gz", &gzip)).contains(&FindingKind::Malware));
    let cut = kinds_of(&mail_with("a.gz", &gzip[..gzip.len() - 12]));
    assert!(cut.contains(&FindingKind::Malformed), "{cut:?}");
    let heads: [&[u8]; 9] = [
        b"7z\xbc\xaf\x27\x1c\0\x04rest",
        b"BZh91AY rest",
        b"\xfd7zXZ\0rest",
        b"MSCF\0\0\0\0",
        b"\x28\xb5\x2f\xfdrest",
        b"Rar!\x1a\x07\0rest",
        b"070701rest",
        b"xar!\0rest",
        b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4drest",
    ];
    for head in heads {
        let kinds = kinds_of(&mail_with("a", head));
        let said = [FindingKind::NotScanned, FindingKind::Malformed];
        assert!(kinds.iter().any(|kind| said.contains(kind)), "{head:x?} {kinds:?}");
    }
}

#[test]
fn attachment_names_and_contents_are_checked_against_each_other() {
    let rows: &[(&str, &[u8], &[&str])] = &[
        ("a.txt", b"hello", &[]),
        ("a.exe", b"hello", &["ATTACH_DANGEROUS"]),
        ("a.EXE. ", b"hello", &["ATTACH_DANGEROUS"]),
        ("a.pdf.scr", b"hello", &["ATTACH_DANGEROUS", "ATTACH_DOUBLE_EXTENSION"]),
        ("a.pdf", b"MZ\x90\0", &["ATTACH_PROGRAM", "ATTACH_DISGUISED_PROGRAM"]),
        ("a.docm", b"hello", &["ATTACH_MACRO_DOCUMENT"]),
        ("a.jpg", b"PK\x03\x04", &["ATTACH_DISGUISED_ARCHIVE"]),
        ("exe", b"hello", &[]),
    ];
    for (name, octets, expected) in rows {
        let raw = mail_with(name, octets);
        let view = View::build(&raw, &ViewLimits::shard());
        let found = look(&view, &no_tables()).findings;
        let rules: Vec<&str> = found.iter().map(|finding| &*finding.rule).collect();
        assert_eq!(rules, *expected, "{name}");
    }
}

#[test]
fn known_hashes_and_hosts_are_found_and_facts_are_kept() {
    let raw = b"Subject: =?utf-8?Q?S?=\r\nFrom: a@b.example\r\nReceived: x\r\n\r\nhttp://bad.example/x\r\n";
    let view = View::build(raw, &ViewLimits::shard());
    let wanted = view.parts[0].hashes().sha256;
    let hash = |digest: &crate::tables::Digest, size: u64| {
        (*digest == crate::tables::Digest::Sha256(wanted) && size == 22).then(|| "Bad.Sig".into())
    };
    let url_host = |host: &str| HostFlags { bad: host == "bad.example", ..HostFlags::default() };
    let tables = ScanTables {
        patterns: None,
        hash: Some(&hash),
        url_host: Some(&url_host),
        reading: Reading::Nothing,
        content: &[],
        yara: None,
    };
    let seen = look(&view, &tables);
    let rules: Vec<_> = seen.findings.iter().map(|f| (f.kind, &*f.rule)).take(2).collect();
    assert_eq!(
        rules,
        [(FindingKind::Malware, "Bad.Sig"), (FindingKind::WebReputation, "URL_BAD_HOST")]
    );
    assert_eq!((&*seen.facts.subject, seen.facts.hops), ("S", 1));
    let copy: Examination = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
    assert_eq!(copy, seen);
}

/// The development corpus, unpacked beside the build; `None` (said plainly) where it is not there.
fn corpus(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let packed = [root.join("../shared/corpus"), root.join("../../shared/corpus")]
        .into_iter()
        .map(|folder| folder.join(format!("{name}.tar.xz")))
        .find(|path| path.exists());
    let Some(packed) = packed else {
        eprintln!("left out: no corpus `{name}` beside the repository");
        return None;
    };
    let target = root.join("target/corpus");
    let folder = target.join(name);
    if !folder.exists() {
        std::fs::create_dir_all(&target).unwrap();
        let scratch = tempfile::tempdir_in(&target).unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.arg("-xJf").arg(&packed).arg("-C").arg(scratch.path());
        let done = tar.status().unwrap();
        assert!(done.success(), "tar could not unpack {}", packed.display());
        // Another test may have been first; then its copy is as good.
        let _ = std::fs::rename(scratch.path().join(name), &folder);
    }
    Some(folder)
}

fn files_below(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files_below(&path, out) } else { out.push(path) }
    }
}

/// Issue 2, "must be shown" 4.
#[test]
fn every_eicar_form_of_the_corpus_gets_its_class() {
    let Some(folder) = corpus("eicar") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    assert!(files.len() >= 40, "{} files", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let octets = std::fs::read(&path).unwrap();
        let raw = if name.ends_with(".eml") { octets } else { mail_with(&name, &octets) };
        let kinds = kinds_of(&raw);
        let has = |kind| kinds.contains(&kind);
        let expected = if name.contains("-pw") {
            FindingKind::Encrypted
        } else if name.contains("nested-10") || name.contains("nested-20") {
            FindingKind::LimitReached
        } else {
            FindingKind::Malware
        };
        assert!(has(expected), "{name}: {kinds:?}, not {expected:?}");
    }
}

#[test]
fn archives_of_the_corpus_that_ask_for_a_password_are_marked() {
    let Some(folder) = corpus("archives") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let mut all = 0;
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        if !["encrypt", "password", "crypt"].iter().any(|word| name.contains(word)) {
            continue;
        }
        all += 1;
        let kinds = kinds_of(&mail_with(&name, &std::fs::read(&path).unwrap()));
        assert!(kinds.contains(&FindingKind::Encrypted), "{name}: {kinds:?}");
    }
    assert!(all >= 18, "{all} files");
}

#[test]
fn corpus_of_mails_documents_and_archives_is_read_within_its_bounds() {
    let limits = ArchiveLimits { bytes_max: 64 * 1024 * 1024, ..ArchiveLimits::default() };
    for name in ["mime", "japanese", "bounces", "docs", "archives"] {
        let Some(folder) = corpus(name) else { return };
        let mut files = Vec::new();
        files_below(&folder, &mut files);
        let (mut views, mut members) = (0_usize, 0_usize);
        for path in &files {
            let octets = std::fs::read(path).unwrap();
            crate::message::fuzz_view(&octets);
            let raw = mail_with("a.bin", &octets);
            let mut view = View::build(&raw, &ViewLimits::worker());
            let before = view.parts.len();
            expand(&mut view, &limits);
            members += view.parts.len() - before;
            assert!(view.parts.len() - before <= limits.members_max, "{}", path.display());
            let bytes: u64 =
                view.parts.iter().skip(before).map(|part| part.decoded.len() as u64).sum();
            assert!(bytes <= limits.bytes_max, "{}: {bytes}", path.display());
            views += usize::from(!look(&view, &no_tables()).facts.attachments.is_empty());
        }
        assert_eq!(views, files.len(), "{name}");
        eprintln!("{name}: {} files, {members} members", files.len());
    }
}

#[test]
fn corpus_documents_that_ask_for_a_password_are_marked() {
    let Some(folder) = corpus("docs") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let (mut marked, mut all) = (0, 0);
    for path in
        files.iter().filter(|path| path.parent().is_some_and(|p| p.ends_with("oletools-encrypted")))
    {
        let kinds = kinds_of(&mail_with("a.bin", &std::fs::read(path).unwrap()));
        all += 1;
        if kinds.contains(&FindingKind::Encrypted) {
            marked += 1;
        } else {
            eprintln!("not marked: {} {kinds:?}", path.display());
        }
        // What cannot be told apart from a document that is not read is never called clean.
        assert!(
            kinds.contains(&FindingKind::Encrypted) || kinds.contains(&FindingKind::NotScanned),
            "{}: {kinds:?}",
            path.display()
        );
    }
    eprintln!("{marked} of {all} marked");
    assert!(all > 0 && marked * 3 >= all, "{marked} of {all}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    #[test]
    fn a_zip_with_any_octet_changed_stays_within_its_bounds(
        at in 0_usize..400, octet in proptest::prelude::any::<u8>(), cut in 0_usize..400,
    ) {
        let mut zip = zip_of(&[("a.txt", b"hello hello hello"), ("b.zip", &zip_of(&[("c", b"x")]))]);
        if let Some(place) = zip.get_mut(at) {
            *place = octet;
        }
        fuzz_archive(&zip);
        fuzz_archive(zip.get(cut..).unwrap_or_default());
    }
}
