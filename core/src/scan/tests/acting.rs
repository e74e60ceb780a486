//! What acts when it is opened, under every name and type that opens it: parts without a name, pages and drawings that begin
//! as something else, documents that lead outside.

use super::active::{rules, seen};
use super::mail_with;

/// A tester's mail with a PDF of 3 MB took eight seconds: every string that does not end was read for 8 KiB.
#[test]
fn links_of_a_pdf_that_do_not_end_cost_little_and_hide_no_other() {
    for one in ["/URI(", "/URI(()", "/URI<"] {
        let mut pdf = b"%PDF-1.7\n".to_vec();
        pdf.extend(one.repeat(600_000).as_bytes());
        pdf.extend(b") > << /S /URI /URI (http://late.example/) >>");
        let begun = std::time::Instant::now();
        let seen = seen(&mail_with("a.pdf", &pdf));
        assert!(begun.elapsed().as_secs() < 20, "{one}: {:?}", begun.elapsed());
        let hosts = &seen.facts.url_hosts;
        assert!(one.contains("()") || hosts.iter().any(|host| &**host == "late.example"), "{one}");
    }
}

#[test]
fn endings_that_run_something_are_dangerous() {
    for ending in [
        "rdp",
        "appinstaller",
        "searchConnector-ms",
        "diagcab",
        "themepack",
        "website",
        "xla",
        "ppa",
        "wll",
        "mam",
        "accde",
        "vsto",
        "xnk",
        "psc2",
        "ps1xml",
        "pyz",
        "pyzw",
        "desktop",
        "webloc",
    ] {
        let seen = seen(&mail_with(&format!("a.{ending}"), b"x"));
        assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{ending}");
    }
}

/// A name longer than a file system takes lost its end, and with it what opens the file.
#[test]
fn names_are_asked_as_they_are_saved_and_long_ones_keep_their_end() {
    let long = format!("{}.js", "a".repeat(300));
    let dots = format!("evil.js{}", ". ".repeat(300));
    for name in ["evil.js", "evil.js . ", "evil.JS::$DATA", "evil.js::$data.", &long, &dots] {
        let seen = seen(&mail_with(name, b"var x=1;"));
        assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{name}: {:?}", rules(&seen));
        assert!(seen.facts.attachments[0].name.chars().count() <= 255, "{name}");
    }
    let kept = seen(&mail_with(&"あ".repeat(300), b"x"));
    assert!(kept.facts.attachments[0].name.chars().all(|c| c == 'あ'));
}
