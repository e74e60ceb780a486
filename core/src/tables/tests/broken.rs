//! Files that are not what they were: refused by name and value, what is in force stays.

use std::fs;
use std::path::Path;

use super::super::file::{Kind, Mismatch};
use super::super::*;
use super::*;

/// Must be shown 5: a truncated or overwritten source never reaches the mapped copy.
#[test]
fn what_happens_to_a_published_file_after_adoption_never_reaches_the_mapped_copy() {
    let at = Appliance::new();
    let generation = at.build(vec![]);
    let snapshot = snapshot(&generation);
    for name in ["recipients.table", "senders.table", "policies.table"] {
        let path = at.dir(1).join(name);
        let length = fs::metadata(&path).unwrap().len();
        let overwritten = vec![0xff; usize::try_from(length).unwrap()];
        fs::write(&path, overwritten).unwrap();
        assert_eq!(resolved(&snapshot, "sales@example.org"), "user@example.com listed");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert_eq!(resolved(&snapshot, "sales@example.org"), "user@example.com listed");
    }
    // The engine's copy is good: adopting again asks nothing of the broken files.
    assert!(at.adopt(1).is_ok());
    let elsewhere = Generation::adopt(&at.dir(1), &at.path("other"), None).unwrap_err().to_string();
    assert!(elsewhere.contains(".table: BLAKE3 of the header: found "), "{elsewhere}");
    assert_eq!(fs::read_dir(at.path("other").join("tables")).unwrap().count(), 0, "left behind");
}

#[test]
fn a_flip_or_cut_anywhere_in_a_generation_is_refused_by_file_and_value() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    let original = fs::read(at.dir(1).join("recipients.table")).unwrap();
    let attempts = [0, 9, 13, 20, 28, 40, 4000, 4095, 4096, original.len() - 1];
    for (attempt, place) in attempts.into_iter().enumerate() {
        let mut broken = original.clone();
        broken[place] ^= 1;
        fs::write(at.dir(1).join("recipients.table"), &broken).unwrap();
        let engine = at.path(&format!("engine-{attempt}"));
        let error = Generation::adopt(&at.dir(1), &engine, None).unwrap_err().to_string();
        assert!(error.contains("recipients.table: ") && error.contains(", expected "), "{error}");
    }
    for length in [0, 100, 4096, original.len() - 1] {
        fs::write(at.dir(1).join("recipients.table"), &original[..length]).unwrap();
        let engine = at.path(&format!("engine-cut-{length}"));
        let error = Generation::adopt(&at.dir(1), &engine, None).unwrap_err().to_string();
        assert!(error.contains("recipients.table: "), "{error}");
    }
    fs::write(at.dir(1).join("sekisho.toml"), "# other\n").unwrap();
    let error = Generation::adopt(&at.dir(1), &at.path("e"), None).unwrap_err().to_string();
    assert!(error.contains("sekisho.toml: BLAKE3: found "), "{error}");
    fs::rename(at.dir(1), at.dir(7)).unwrap();
    let error = Generation::adopt(&at.dir(7), &at.path("e"), None).unwrap_err().to_string();
    assert!(error.ends_with("manifest.json: number: found 1, expected 7"), "{error}");
}

#[test]
fn a_copy_that_went_bad_in_the_engines_directory_is_replaced_by_a_fresh_one() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    for file in fs::read_dir(at.path("engine/tables")).unwrap() {
        let path = file.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(&path, content).unwrap();
    }
    let generation = at.adopt(1).unwrap();
    assert_eq!(resolved(&snapshot(&generation), "alias@example.com"), "user@example.com listed");
}

#[test]
fn an_unchanged_table_is_shared_and_sweeping_leaves_what_is_held() {
    let at = Appliance::new();
    let first = at.build(vec![]);
    let files = || fs::read_dir(at.path("engine/tables")).unwrap().count();
    let before = files();
    let (number, _) = at.publisher().build(&at.sources(vec![]), &mut |_| ()).unwrap();
    let second = Generation::adopt(&at.dir(number), &at.path("engine"), Some(&first)).unwrap();
    assert_eq!(files(), before, "equal content is one file");
    let third = {
        let more = at.source("r.txt", "new@example.com\n", SourceKind::Recipients);
        let (number, _) = at.publisher().build(&at.sources(vec![more]), &mut |_| ()).unwrap();
        Generation::adopt(&at.dir(number), &at.path("engine"), Some(&second)).unwrap()
    };
    assert_eq!(files(), before + 1);
    assert_eq!(adopt::sweep(&at.path("engine"), &[&second, &third]).unwrap(), 0);
    assert_eq!(adopt::sweep(&at.path("engine"), &[&third]).unwrap(), 1);
    assert_eq!(resolved(&snapshot(&second), "user@example.com"), "user@example.com listed");
}

#[test]
fn a_crashed_build_leaves_nothing_that_is_taken_for_a_generation() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    fs::create_dir_all(at.path("generations/2.tmp-1/delta")).unwrap();
    fs::create_dir_all(at.path("generations/3")).unwrap();
    fs::write(at.dir(1).join("delta/00000001.tmp-9"), "half").unwrap();
    let publisher = at.publisher();
    assert_eq!(publisher.numbers().unwrap(), [1]);
    assert_eq!(Current::new(at.adopt(1).unwrap()).adopt_deltas(&at.dir(1)).unwrap(), 0);
    assert_eq!(publisher.collect(3).unwrap(), 2);
    assert_eq!(publisher.latest().unwrap(), Some(1));
}

#[test]
fn patterns_are_compiled_opened_and_their_sources_carried() {
    let at = Appliance::new();
    let rule = "body DEMO /unlikely-words-here/\nscore DEMO 1.5\n";
    let kind = SourceKind::Patterns { format: sources::RuleFormat::Spamassassin };
    let generation = at.build(vec![at.source("demo.cf", rule, kind)]);
    assert!(generation.patterns().is_some());
    assert_eq!(fs::read_to_string(at.dir(1).join("sources/0000")).unwrap(), rule);
    adopt::rebuild_patterns(&at.dir(1), &at.path("engine")).unwrap();
    let scan = Generation::adopt_for_scan(&at.dir(1), &at.path("engine")).unwrap();
    assert!(scan.patterns().is_some() && scan.domain("example.com").is_none());
    let used = [&*generation];
    assert_eq!(adopt::sweep(&at.path("engine"), &used).unwrap(), 0, "the rebuilt ones stay");
    fs::write(at.dir(1).join("sources/0000"), "other").unwrap();
    let error = adopt::rebuild_patterns(&at.dir(1), &at.path("engine")).unwrap_err().to_string();
    assert!(error.contains("sources/0000: BLAKE3: found"), "{error}");
}

#[test]
fn headers_of_another_kind_or_version_are_refused_by_value() {
    let at = Appliance::new();
    let path = at.path("x");
    file::write_bytes(&path, Kind::Delta, b"[]").unwrap();
    let content = fs::read(&path).unwrap();
    assert!(file::verify(&content, Kind::Delta).is_ok());
    let error = |wrong: Mismatch| wrong.of(Path::new("x")).to_string();
    let found = file::verify(&content, Kind::Senders).map(drop).map_err(error);
    assert_eq!(found, Err("x: kind of table: found 9, expected 2".to_owned()));
}

#[test]
fn a_domains_file_that_is_empty_or_not_utf_8_is_a_mistake_with_its_place() {
    let at = Appliance::new();
    for (content, want) in [
        (&b"# nothing yet\n"[..], "d.toml: names no domain: every recipient would be refused"),
        (b"[[domain]]\nname = \"\xe6\x97\xa5\xff.test\"\n", "d.toml:2:10: is not UTF-8"),
    ] {
        fs::write(at.path("d.toml"), content).unwrap();
        let file = Source { path: at.path("d.toml"), kind: SourceKind::Domains };
        let sources = Sources { files: vec![file], ..Sources::default() };
        let errors = build_generation(&sources, &at.path("1"), &mut |_| ()).unwrap_err();
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].ends_with(want), "{said:?}, expected {want}");
    }
}
