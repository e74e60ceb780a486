//! Rules from their text to what they find.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::message::{Part, PartOrigin, View, ViewLimits};
use crate::scan::finding::{Finding, FindingKind};
use crate::scan::patterns::{BuildReport, Outcome};

const WORD: &str = r#"
rule First : tag {
  meta:
    author = "somebody"
    sekisho_points = 3
  strings:
    $a = "unlikely word" nocase
  condition:
    $a
}
"#;

fn built(files: &[(&str, &str)], ignored: &[&str]) -> (Option<(Vec<u8>, u64)>, BuildReport) {
    let mut report = BuildReport::default();
    let sources: Vec<YaraSource<'_>> =
        files.iter().map(|(path, text)| YaraSource { path, octets: text.as_bytes() }).collect();
    let ignored: HashSet<String> = ignored.iter().map(|name| (*name).to_owned()).collect();
    (build(&sources, &ignored, &mut report).unwrap(), report)
}

/// Rules of one file, opened by a clock that stands still.
fn opened(text: &str) -> Yara {
    let (built, report) = built(&[("a.yar", text)], &[]);
    let (payload, _) = built.unwrap_or_else(|| panic!("{report:?}"));
    Yara::open(&payload, Box::new(|| Duration::ZERO)).unwrap()
}

/// What is found in these parts of a mail without a body.
fn found(yara: &Yara, parts: &[(&str, &[u8])]) -> Vec<Finding> {
    let mut view = View::build(b"Subject: nothing\r\n\r\n", &ViewLimits::worker());
    for (name, octets) in parts {
        let octets = Cow::Owned(octets.to_vec());
        view.parts.push(Part::of_octets((*name).into(), PartOrigin::Member, name, octets));
    }
    yara.findings(&view)
}

fn refused(report: &BuildReport) -> Vec<(String, String)> {
    let refused = report.rules.iter().filter_map(|rule| match &rule.outcome {
        Outcome::Refused(why) => Some((rule.place.clone(), why.clone())),
        _ => None,
    });
    refused.collect()
}

#[test]
fn a_rule_is_malware_by_the_name_that_clamav_gives_it() {
    let yara = opened(WORD);
    let seen = found(
        &yara,
        &[("a.txt", b"nothing"), ("b.txt", b"an Unlikely Word, twice: unlikely word")],
    );
    let expected = Finding {
        kind: FindingKind::Malware,
        rule: "YARA.First".into(),
        points: 3_000,
        detail: "b.txt".into(),
        log_only: false,
    };
    assert_eq!(seen, [expected]);
    assert!(
        found(&yara, &[("a.txt", b"nothing")]).is_empty(),
        "the one before leaves nothing behind"
    );
    let known = Part::of_octets("1".into(), PartOrigin::Mime, "x", Cow::Borrowed(b"unlikely word"));
    known.mark_good();
    let mut view = View::build(b"A: b\r\n\r\n", &ViewLimits::worker());
    view.parts.push(known);
    let out = yara.findings(&view);
    assert!(out.is_empty(), "a file that is known to be good is not believed to be bad: {out:?}");
}

#[test]
fn the_whole_mail_is_looked_at_and_each_rule_is_told_once() {
    let raw = b"Subject: unlikely word\r\n\r\nand an unlikely word\r\n";
    let view = View::build(raw, &ViewLimits::worker());
    let subject = "rule Subject { strings: $a = /^Subject: unlikely/ condition: $a at 0 }";
    let out = opened(&format!("{WORD}{subject}")).findings(&view);
    let told: Vec<_> = out.iter().map(|found| (&*found.rule, &*found.detail)).collect();
    assert_eq!(told, [("YARA.First", "1"), ("YARA.Subject", "the whole mail")]);
}

#[test]
fn metadata_say_what_a_match_means() {
    let rule = |meta: &str| format!("rule R {{ meta: {meta} condition: filesize > 0 }}");
    for (meta, kind, points, log_only) in [
        ("a = 1", FindingKind::Malware, 0, false),
        ("sekisho_kind = \"spam\"", FindingKind::Spam, 1_000, false),
        ("sekisho_kind = \"phishing\" sekisho_points = 2", FindingKind::Phishing, 2_000, false),
        ("sekisho_kind = \"spam\" sekisho_points = \"-0.25\"", FindingKind::Spam, -250, false),
        ("sekisho_kind = \"suspicious_object\"", FindingKind::SuspiciousObject, 0, false),
        ("sekisho_log_only = true", FindingKind::Malware, 0, true),
    ] {
        let seen = found(&opened(&rule(meta)), &[("a", b"x")]);
        let [found] = seen.as_slice() else { panic!("{meta}: {seen:?}") };
        assert_eq!((found.kind, found.points, found.log_only), (kind, points, log_only), "{meta}");
    }
    for (meta, expected) in [
        ("sekisho_kind = \"virus\"", "rule R: sekisho_kind: unknown `virus`"),
        ("sekisho_kind = 1", "rule R: sekisho_kind: expected a string"),
        ("sekisho_points = \"many\"", "rule R: sekisho_points: expected a number"),
        ("sekisho_points = 1001", "rule R: sekisho_points: expected a number"),
        ("sekisho_log_only = 1", "rule R: sekisho_log_only: expected true or false"),
        ("sekisho_point = 1", "rule R: unknown metadata `sekisho_point`"),
    ] {
        // A line before it, and a file that is right beside it.
        let text = format!("// first\n{}", rule(meta));
        let (built, report) = built(&[("a.yar", &text), ("b.yar", WORD)], &[]);
        let refused = refused(&report);
        assert!(
            matches!(refused.as_slice(), [(place, why)] if place == "a.yar:2:1"
            && why.starts_with(expected) && why.ends_with("no rule of this file is used")),
            "{meta}: {refused:?}"
        );
        assert_eq!(built.map(|(_, rules)| rules), Some(1), "{meta}");
    }
}

#[test]
fn a_file_with_a_mistake_is_refused_by_line_and_takes_no_other_along() {
    for (text, place, expected) in [
        ("rule A {\n  condition:\n    tru\n}", "a.yar:3:5", "unknown identifier"),
        ("rule A { condition: true }\nrule B {", "a.yar:2", "syntax error"),
        ("import \"pe\"\nrule A { condition: pe.is_pe }", "a.yar:1:1", "unknown module"),
        ("rule A { condition: true }\n\ninclude \"/etc/passwd\"\n", "a.yar:3:1", "include"),
        ("rule A { condition: true }\nrule A { condition: true }", "a.yar:2:6", "duplicate rule"),
        ("rule A { strings: $a = /(/ condition: $a }", "a.yar:1:", "invalid regular expression"),
        ("rule A { condition: Other }", "a.yar:1:21", "unknown identifier"),
    ] {
        let other = "private global rule Other { condition: filesize > 3 }\n".to_owned() + WORD;
        let (built, report) = built(&[("a.yar", text), ("b/b.yar", &other)], &[]);
        let refused = refused(&report);
        let (at, why) = refused.first().unwrap_or_else(|| panic!("{text}: {report:?}"));
        assert!(at.starts_with(place) && why.contains(expected), "{text}: {at}: {why}");
        let taken = report.rules.iter().filter(|rule| rule.outcome == Outcome::Taken);
        let taken: Vec<_> = taken.map(|rule| (&*rule.name, &*rule.place)).collect();
        assert_eq!(taken, [("YARA.First", "b/b.yar:3")], "{text}");
        let (payload, rules) = built.unwrap();
        assert_eq!((rules, checked(&payload)), (1, Ok(1)));
        let yara = Yara::open(&payload, Box::new(|| Duration::ZERO)).unwrap();
        let seen = found(&yara, &[("x", b"unlikely word")]);
        assert_eq!(seen.len(), 1, "{text}: {seen:?}");
    }
    let octets = YaraSource { path: "latin.yar", octets: b"// f\xfcr\nrule A { condition: true }" };
    let mut report = BuildReport::default();
    assert_eq!(build(&[octets], &HashSet::new(), &mut report), Ok(None), "nothing is left");
    assert!(
        matches!(refused(&report).as_slice(), [(at, _)] if at.starts_with("latin.yar:1:")),
        "{report:?}"
    );
}

#[test]
fn rules_that_all_match_do_not_displace_the_one_that_matters() {
    let spam =
        |n| format!("rule S{n} {{ meta: sekisho_kind = \"spam\" condition: filesize > 0 }}\n");
    let rules: String = (0..300).map(spam).collect();
    let seen = found(&opened(&format!("{rules}{WORD}")), &[("a", b"x"), ("b", b"unlikely word")]);
    assert_eq!((seen.len(), &*seen[0].rule, &*seen[0].detail), (200, "YARA.First", "b"));
}

#[test]
fn a_global_rule_binds_its_own_file_and_private_ones_are_not_told() {
    let one = "global rule Long { condition: filesize > 100 }\nrule One { condition: true }";
    let two = "private rule Hidden { condition: true }\nrule Two { condition: Hidden }\nrule One { condition: true }";
    let (built, _) = built(&[("one.yar", one), ("two.yar", two)], &[]);
    let (payload, rules) = built.unwrap();
    assert_eq!(rules, 4);
    let yara = Yara::open(&payload, Box::new(|| Duration::ZERO)).unwrap();
    let seen = found(&yara, &[("x", b"short")]);
    let names: Vec<&str> = seen.iter().map(|found| &*found.rule).collect();
    assert_eq!(names, ["YARA.One", "YARA.Two"]);
}

#[test]
fn names_to_be_ignored_are_reported_and_not_found() {
    let text = format!("{WORD}rule Second {{ condition: First }}");
    let (built, report) = built(&[("a.yar", &text)], &["YARA.First"]);
    let left_out =
        |rule: &crate::scan::patterns::RuleReport| matches!(rule.outcome, Outcome::NotTaken(_));
    assert_eq!(report.rules.iter().filter(|rule| left_out(rule)).count(), 1, "{report:?}");
    let yara = Yara::open(&built.unwrap().0, Box::new(|| Duration::ZERO)).unwrap();
    let seen = found(&yara, &[("x", b"unlikely word")]);
    let names: Vec<&str> = seen.iter().map(|found| &*found.rule).collect();
    assert_eq!(names, ["YARA.Second"], "what others are made of still counts for them");
}

#[test]
fn rules_that_take_for_ever_are_stopped_and_the_next_mail_has_its_time() {
    let text = "rule Endless { condition: filesize == 5 and \
                for any i in (1..1000000000000) : (uint8(i) == 256) }\n\
                rule Short { condition: filesize == 3 }";
    let (built, _) = built(&[("a.yar", text)], &[]);
    let time = Rc::new(std::cell::Cell::new(Duration::ZERO));
    let clock = Rc::clone(&time);
    let yara = Yara::open(&built.unwrap().0, Box::new(move || clock.get())).unwrap();
    // All but the last half second has gone when it begins.
    time.set(Duration::from_secs(SECONDS_MAX) - Duration::from_millis(500));
    let seen = found(&yara, &[("a", b"abc"), ("b", b"abcde"), ("c", b"abc")]);
    let names: Vec<_> = seen.iter().map(|found| (found.kind, &*found.rule)).collect();
    let limit = (FindingKind::LimitReached, "SCAN_TIMEOUT");
    assert_eq!(names, [(FindingKind::Malware, "YARA.Short"), limit]);
    assert!(yara.is_cut() && seen[1].detail.ends_with("stopped in b"), "{seen:?}");
    time.set(Duration::from_secs(SECONDS_MAX));
    assert_eq!(
        found(&yara, &[("a", b"abc")]).first().map(|found| &*found.rule),
        Some("SCAN_TIMEOUT")
    );
    yara.begin();
    assert_eq!(
        found(&yara, &[("a", b"abc")]).first().map(|found| &*found.rule),
        Some("YARA.Short")
    );
    assert!(!yara.is_cut());
}

#[test]
fn a_part_of_nothing_but_matches_costs_no_memory_without_end() {
    // Counted, so that not only the first one is kept.
    let text = "rule Many { strings: $a = \"ab\" condition: #a > 900 }\n\
                rule TooMany { strings: $a = \"ba\" condition: #a > 2000 }";
    let seen = found(&opened(text), &[("a", "ab".repeat(1 << 20).as_bytes())]);
    let names: Vec<&str> = seen.iter().map(|found| &*found.rule).collect();
    assert_eq!(names, ["YARA.Many"], "counts end at {MATCHES_MAX}");
}

#[test]
fn a_payload_of_another_version_is_built_anew_and_a_damaged_one_is_not_read() {
    let (built, _) = built(&[("a.yar", WORD)], &[]);
    let (payload, _) = built.unwrap();
    let text = String::from_utf8_lossy(&payload);
    let version = include_str!("../../../../Cargo.toml");
    let version =
        version.split_once("yara-x = { version = \"=").unwrap().1.split_once('"').unwrap().0;
    assert!(text.contains(&format!("yara-x {version} ")), "BUILT_BY names what is linked");
    let end = payload.iter().position(|octet| *octet == b'\n').unwrap();
    let head = String::from_utf8(payload[..end].to_vec()).unwrap().replace(version, "0.0.1");
    let older = [head.as_bytes(), &payload[end..]].concat();
    let here = format!("yara-x {version} pulley");
    let built = "yara-x 0.0.1 pulley".to_owned();
    assert_eq!(checked(&older), Err(NotUsable::Rebuild { built, here }));
    assert!(Yara::open(&older, Box::new(|| Duration::ZERO)).is_err());
    for damaged in [&b""[..], b"{}", b"\n", b"[]\n", &payload[..end]] {
        assert!(checked(damaged).is_err(), "{damaged:?}");
    }
    let cut = &payload[..payload.len() / 2];
    assert!(Yara::open(cut, Box::new(|| Duration::ZERO)).is_err());
}
