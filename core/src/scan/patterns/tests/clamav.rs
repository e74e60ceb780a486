//! `ClamAV` signatures.

use super::*;

#[test]
fn clamav_body_signatures_know_wildcards_offsets_and_targets() {
    let text = "
Plain:0:*:4142434445
Gap:0:*:4142??44{2-3}45*46
Alt:0:*:61(62|63)!(64|65)6?
Start:0:2,1:41424344
End:0:EOF-4:57585960
Pe:1:*:4142434445
Before:1:EP-10:4142434445
Elf:6:EP+0:4142434445
Macro:0:*:41424344${6-7}1$
Inside:0:*:41424344(B)4142434445
";
    let (patterns, report) = built("x.ndb", text);
    for name in ["Before", "Elf", "Macro", "Inside"] {
        assert!(matches!(outcome(&report, name), Outcome::Refused(_)), "{name}");
    }
    let hits = |octets: &[u8], file_type| {
        let fields = Fields { parts: vec![part(octets, file_type)], ..Fields::default() };
        names(&patterns, &run(&patterns, &fields))
    };
    assert_eq!(hits(b"xxxxABCDExx", FileType::Unknown), ["Plain"]);
    assert_eq!(hits(b"xxxxABCDExx", FileType::Pe), ["Plain", "Pe"]);
    assert_eq!(hits(b"ABxD\n\nE\nF", FileType::Unknown), ["Gap"]);
    assert_eq!(hits(b"xaczm", FileType::Unknown), ["Alt"]);
    assert_eq!(hits(b"xacdm", FileType::Unknown), Vec::<String>::new());
    assert_eq!(hits(b"xxxABCDx", FileType::Unknown), ["Start"]);
    assert_eq!(hits(b"xxxxABCDx", FileType::Unknown), Vec::<String>::new());
    assert_eq!(hits(b"WXY`WXY`", FileType::Unknown), ["End"]);
    assert_eq!(hits(b"WXY`x", FileType::Unknown), Vec::<String>::new());
}

#[test]
fn logical_signatures_hold_within_one_part_only() {
    let text = "
Both;Engine:51-255,Target:0;0&1;41414141;42424242::i
Many;Target:0;(0|1)>2,2;43434343;44444444
Pcre;Target:0;0;/EE+F{2}/i
Icon;Target:1,IconGroup1:X;0;45454545
Compare;Target:0;0&1;45454545;0(>>4#hb2#>10)
Fuzzy;Target:0;0;fuzzy_img#af2ad01ed42993c7#0
Size;Target:0,FileSize:10-20;0;47474747
None;Target:0;0=0;47474747
";
    let (patterns, report) = built("x.ldb", text);
    for name in ["Icon", "None", "Compare", "Fuzzy"] {
        assert!(matches!(outcome(&report, name), Outcome::Refused(_)), "{name}");
    }
    let shown = |parts: &[&[u8]]| {
        let parts = parts.iter().map(|octets| part(octets, FileType::Unknown)).collect();
        let hits = run(&patterns, &Fields { parts, ..Fields::default() });
        let found = hits.findings(&patterns);
        assert!(found.iter().all(|finding| finding.kind == FindingKind::Malware));
        found.iter().map(|finding| finding.rule.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&[b"AAAA bbbb"]), ["Both"]);
    assert_eq!(shown(&[b"AAAA", b"bbbb"]), Vec::<String>::new());
    assert_eq!(shown(&[b"CCCC CCCC DDDD"]), ["Many"]);
    assert_eq!(shown(&[b"CCCC CCCC CCCC"]), Vec::<String>::new());
    assert_eq!(shown(&[b"xeeeff"]), ["Pcre"]);
    assert_eq!(shown(&[b"GGGG GGGG"]), Vec::<String>::new());
    assert_eq!(shown(&[b"GGGG GGGG GGGG"]), ["Size"]);
}

#[test]
fn hash_signatures_give_digest_size_and_name() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let found = hashes("a.hdb", format!("{md5}:0:Empty\n{md5}:*:Any:73\n").as_bytes()).unwrap();
    assert_eq!(found[0].bytes, Some(0));
    assert_eq!((found[1].bytes, found[1].name.as_str()), (None, "Any"));
    assert!(hashes("a.mdb", format!("17:{md5}:S\n").as_bytes()).unwrap()[0].section);
    let bad = hashes("a.hsb", b"zz:1:N\n\nabc\n").unwrap_err();
    assert_eq!(bad.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn thousands_of_long_signatures_hit_where_they_stand_and_only_there() {
    // Enough for the way that many literals have; some short, some that begin alike, two rules for one literal.
    let body = |number: u32| {
        format!("signature number {number:0>8} {:x}", number.wrapping_mul(0x9e37_79b9))
    };
    let hex = |text: &str| text.bytes().map(|octet| format!("{octet:02x}")).collect::<String>();
    let mut text = String::from("Short:0:*:51525354\nTwin:0:*:");
    text.push_str(&hex(&body(77)));
    for number in 0..1000 {
        text.push_str(&format!("\nLong{number}:0:*:{}", hex(&body(number))));
    }
    text.push_str(&format!("\nWild:0:*:{}??{}", hex("what stands before"), hex("what follows")));
    let (patterns, report) = built("x.ndb", &text);
    // Each by itself would be cheap without a gate; all of them together took 18 ms a mail.
    assert_eq!(outcome(&report, "Long5"), Outcome::Taken);
    assert_eq!(outcome(&report, "Wild"), Outcome::TakenGated);
    let hits = |octets: &[u8]| {
        let fields = Fields { parts: vec![part(octets, FileType::Unknown)], ..Fields::default() };
        names(&patterns, &run(&patterns, &fields))
    };
    for at in [0, 1, 7, 8, 65_500, 65_520, 65_535, 65_536, 131_060, 199_000] {
        let mut octets = vec![b'.'; 200_000];
        let found = body(5);
        octets[at..at + found.len()].copy_from_slice(found.as_bytes());
        assert_eq!(hits(&octets), ["Long5"], "at {at}");
        octets[at + found.len() - 1] ^= 1;
        assert_eq!(hits(&octets), Vec::<String>::new(), "at {at}, its last octet is another");
    }
    assert_eq!(hits(format!("QRST{}", body(77)).as_bytes()), ["Short", "Twin", "Long77"]);
    for number in (0..1000).step_by(37) {
        assert!(hits(body(number).as_bytes()).contains(&format!("Long{number}")), "{number}");
    }
}

/// Hits of a source in one part.
fn hits(file: &str, text: &str, octets: &[u8], file_type: FileType) -> Vec<String> {
    let (patterns, _) = built(file, text);
    let parts = vec![part(octets, file_type)];
    let found = run(&patterns, &Fields { parts, ..Fields::default() }).findings(&patterns);
    found.iter().map(|finding| finding.rule.to_string()).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn offsets_from_places_of_a_program_are_counted_from_there_and_hold_in_programs_only() {
    let octets = crate::message::pe::tests::program();
    let entry = hex("the entry point");
    let first = hex("in the first section");
    let last = hex("in the last section");
    for (offset, signature, hit) in [
        ("EP+0", &entry, true),
        ("EP+1", &entry, false),
        ("EP+0,5", &hex("point"), false),
        ("EP+4,8", &hex("point"), true),
        ("S0+16", &entry, true),
        ("S0+240", &first, true),
        ("S0+0,134217728", &last, true),
        ("SE0", &first, true),
        ("SE0", &last, false),
        ("SE1", &last, true),
        ("SE7", &last, false),
        ("SL+480", &last, true),
        ("SL+0", &last, false),
        ("VI", &last, false),
        ("0", &hex("MZ"), true),
    ] {
        let text = format!("Here:1:{offset}:{signature}\n");
        let found = hits("x.ndb", &text, &octets, FileType::Pe);
        assert_eq!(!found.is_empty(), hit, "ndb {offset}");
        let text = format!("Here;Target:1;0;{offset}:{signature}\n");
        assert_eq!(!hits("x.ldb", &text, &octets, FileType::Pe).is_empty(), hit, "ldb {offset}");
        assert!(hits("x.ldb", &text, b"no program", FileType::Pe).is_empty());
        assert!(hits("x.ldb", &text, &octets, FileType::Unknown).is_empty(), "not taken for one");
    }
    let mut versioned = octets.clone();
    versioned.extend("VS_VERSION_INFO\u{0}CompanyName".bytes().flat_map(|octet| [octet, 0]));
    let name: String = "CompanyName".bytes().map(|octet| format!("{octet:02x}00")).collect();
    assert!(!hits("x.ndb", &format!("V:1:VI:{name}\n"), &versioned, FileType::Pe).is_empty());
}

#[test]
fn boundary_marks_ask_for_ends_of_words_and_lines_and_take_ends_of_the_file() {
    let sign = |before: &str, after: &str| format!("M:0:*:{before}{}{after}\n", hex("word"));
    for (text, octets, hit) in [
        (sign("(B)", ""), "a word", true),
        (sign("(B)", ""), "sword", false),
        (sign("(B)", "(B)"), "word", true),
        (sign("", "(B)"), "words", false),
        (sign("(W)", "(W)"), "(word)", true),
        (sign("(L)", ""), "a\nword", true),
        (sign("(L)", ""), "a word", false),
        (sign("(L)", "(L)"), "word", true),
        (sign("", "(L)"), "word\r\n", true),
        (sign("", "(L)"), "word.", false),
    ] {
        let found = hits("x.ndb", &text, octets.as_bytes(), FileType::Unknown);
        assert_eq!(!found.is_empty(), hit, "{text} {octets:?}");
    }
}

#[test]
fn an_expression_of_pcre_holds_where_its_trigger_does_and_at_its_offset() {
    for (line, octets, hit) in [
        ("P;Target:0;1;41414141;0/b+c/", "AAAA bbc", true),
        ("P;Target:0;1;41414141;0/b+c/", "bbc", false),
        ("P;Target:0;2;41414141;42424242;0&1/c{3}/i", "AAAA BBBB CCC", true),
        ("P;Target:0;2;41414141;42424242;0&1/c{3}/i", "AAAA CCC", false),
        ("P;Target:0;1>1;41414141;0/bc/g", "AAAA bc bc", true),
        ("P;Target:0;1>1;41414141;0/bc/g", "AAAA bc", false),
        ("P;Target:0;0&1;41414141;5:0/b+c/", "AAAA\nbbc", true),
        ("P;Target:0;0&1;41414141;4:0/b+c/", "AAAA\nbbc", false),
        ("P;Target:0;0&1;41414141;4,2:0/b+c/", "AAAA\nbbc", true),
        ("P;Target:0;0&1;41414141;0:0/x|AAAA/", "AAAA", true),
        ("P;Target:0;0&1;41414141;1:0/x|AAAA/", "AAAA", false),
    ] {
        let found = hits("x.ldb", &format!("{line}\n"), octets.as_bytes(), FileType::Unknown);
        assert_eq!(!found.is_empty(), hit, "{line} {octets:?}");
    }
    let both = "P;Target:0;(0|1)>2;41414141;0/b/\n";
    assert!(matches!(outcome(&built("x.ldb", both).1, "P"), Outcome::Refused(_)));
}

#[test]
fn members_are_known_by_name_and_other_conditions_on_them_are_refused_by_name() {
    let text = "
Name:CL_TYPE_ZIP:*:bad\\.exe$:*:*:*:*:*:*
Any:*:*:invoice.*\\.js$:*:*:*:*:*:*
Size:*:*:good\\.exe$:*:100:*:*:*:*
None:*:*:*:*:*:*:*:*:*
";
    let (patterns, report) = built("x.cdb", text);
    for name in ["Name", "Size", "None"] {
        assert!(matches!(outcome(&report, name), Outcome::Refused(_)), "{name}");
    }
    let fields = Fields { file_names: vec![b"invoice 7.js", b"bad.exe"], ..Fields::default() };
    assert_eq!(names(&patterns, &run(&patterns, &fields)), ["Any"]);
    assert_eq!(errors("x.cdb", "Short:*:*\n").len(), 1);
}

#[test]
fn names_to_be_ignored_are_left_out_and_files_that_are_not_read_are_named() {
    let sources = [
        source("a.ndb", "One:0:*:41424344\nTwo:0:*:41424344\nThree:0:*:41424344\n"),
        source("a.ign2", "One\nTwo.UNOFFICIAL:0123456789abcdef0123456789abcdef\n"),
        source("b.ign", "daily.ndb:17:Three\n"),
        source("c.idb", "# icons\nA:B:C:00\nD:E:F:00\n"),
        source("d.pdb", "H:example.com\n"),
    ];
    let mut report = BuildReport::default();
    let payload = build(&sources, &mut report).unwrap();
    for name in ["One", "Two", "Three"] {
        assert!(matches!(outcome(&report, name), Outcome::NotTaken(_)), "{name}");
    }
    let patterns = Patterns::open(&payload.0).unwrap();
    let parts = vec![part(b"ABCD", FileType::Unknown)];
    assert!(names(&patterns, &run(&patterns, &Fields { parts, ..Fields::default() })).is_empty());
    assert!(report.notes.iter().any(|note| note.starts_with("c.idb:2: refused, 2 lines: icons")));
    assert!(report.notes.iter().any(|note| note.starts_with("d.pdb:1: refused, 1 lines")));
}
