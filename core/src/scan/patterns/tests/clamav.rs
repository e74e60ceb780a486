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
Entry:1:EP+0:4142434445
Word:0:*:(B)4142434445
";
    let (patterns, report) = built("x.ndb", text);
    for name in ["Entry", "Word"] {
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
Size;Target:0,FileSize:10-20;0;47474747
None;Target:0;0=0;47474747
";
    let (patterns, report) = built("x.ldb", text);
    for name in ["Icon", "None"] {
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
