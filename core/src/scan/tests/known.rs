//! Files that are known by their digests, and all signature files of the corpus.

use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::patterns::{BuildReport, Outcome, PatternSource, SourceFormat, build};
use super::*;
use crate::classify::Reading;
use crate::message::pe::tests::program;
use crate::tables::Digest;

fn found(octets: &[u8], known: &[(Digest, u64, &str)]) -> Vec<String> {
    let hash = |digest: &Digest, bytes: u64| -> Option<Box<str>> {
        let one = known.iter().find(|(one, size, _)| one == digest && *size == bytes)?;
        Some(one.2.into())
    };
    let raw = mail_with("a.exe", octets);
    let view = View::build(&raw, &ViewLimits::worker());
    let tables = ScanTables { hash: Some(&hash), ..no_tables() };
    let findings = look(&view, &tables).findings;
    let malware = findings.iter().filter(|finding| finding.kind == FindingKind::Malware);
    malware.map(|finding| finding.rule.to_string()).collect()
}

#[test]
fn a_program_is_known_by_a_section_and_by_what_it_imports_and_a_good_file_by_its_hash() {
    let octets = program();
    let section = &octets[0x400..0x600];
    let imports = "kernel32.exitprocess,kernel32.ord7";
    let whole = octets.len() as u64;
    let bad_section = (Digest::SectionMd5(Md5::digest(section).into()), 512, "Section");
    let bad_imports =
        (Digest::ImportsSha1(Sha1::digest(imports).into()), imports.len() as u64, "Imports");
    let bad = (Digest::Md5(Md5::digest(&octets).into()), whole, "Whole");
    let good = (Digest::GoodMd5(Md5::digest(&octets).into()), whole, "Good");
    assert_eq!(found(&octets, &[bad_section]), ["Section"]);
    assert_eq!(found(&octets, &[bad_imports]), ["Imports"]);
    assert_eq!(found(&octets, &[bad]), ["Whole"]);
    assert!(found(&octets, &[(bad_section.0, 511, "Section")]).is_empty(), "another size");
    assert!(found(&octets, &[bad, bad_section, good]).is_empty(), "known to be good");
    assert!(found(section, &[bad_section]).is_empty(), "a section is not a file");
}

#[test]
fn signatures_of_octets_are_not_believed_of_a_file_that_is_known_to_be_good() {
    let source = PatternSource {
        path: "a.ndb".into(),
        octets: b"Word:0:*:6120676f6f642066696c65\n".to_vec(),
        format: SourceFormat::ClamAvNdb,
    };
    let payload = build(&[source], &mut BuildReport::default()).unwrap();
    let patterns = patterns::Patterns::open(&payload.0).unwrap();
    let octets = b"this is a good file";
    let raw = mail_with("a.bin", octets);
    let view = View::build(&raw, &ViewLimits::worker());
    let md5: [u8; 16] = Md5::digest(octets).into();
    for good in [false, true] {
        let hash = |digest: &Digest, _: u64| -> Option<Box<str>> {
            (good && *digest == Digest::GoodMd5(md5)).then(|| "good".into())
        };
        let tables = ScanTables {
            patterns: Some(&patterns),
            hash: Some(&hash),
            url_host: None,
            reading: Reading::Nothing,
            content: &[],
            yara: None,
        };
        let mut scratch = patterns.scratch().unwrap();
        let look = examine(&view, &tables, &mut scratch, None, &async || ());
        let findings = futures_lite::future::block_on(look).unwrap().findings;
        let malware = findings.iter().any(|finding| finding.kind == FindingKind::Malware);
        assert_eq!(malware, !good);
    }
}

/// Every signature file of the corpus is read, or its report says by name what is not.
#[test]
fn all_signature_files_of_the_corpus_are_taken_or_reported() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpus/rules/clamav-format");
    let Ok(files) = std::fs::read_dir(&dir) else { return };
    let (mut taken, mut refused, mut hashes, mut notes) = (0, Vec::new(), 0, 0);
    for file in files.flatten() {
        let path = file.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let octets = std::fs::read(&path).unwrap();
        match SourceFormat::of_path(&name) {
            Some(format) => {
                let mut report = BuildReport::default();
                let source = PatternSource { path: name.clone(), octets, format };
                build(&[source], &mut report).unwrap();
                taken += report.taken();
                notes += report.notes.len();
                for rule in &report.rules {
                    if let Outcome::Refused(why) = &rule.outcome {
                        refused.push(format!("{}: {why}", rule.name));
                    }
                }
                assert!(!report.rules.is_empty() || !report.notes.is_empty(), "{name}");
            }
            None if name.ends_with(".txt") => {}
            None => {
                let taken = crate::tables::signatures_of_hashes(&path, &octets);
                hashes += taken.unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
    }
    refused.sort();
    eprintln!("{taken} rules, {hashes} hashes, {notes} files noted, refused: {refused:#?}");
    let icons = "condition IconGroup1";
    assert!(
        refused.iter().all(|one| one.contains(icons) || one.contains("IconGroup")),
        "{refused:?}"
    );
}
