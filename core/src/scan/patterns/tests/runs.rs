//! A scan finds the same wherever slices are cut and whichever way a rule runs; its limits.

use super::*;

#[test]
fn each_kind_of_pattern_hits_wherever_a_slice_is_cut() {
    let toml = "[[rule]]\nname=\"LIT\"\nfield=\"raw\"\nliterals=[\"needle-one\"]\n";
    let ndb = "GATED:4:*:6e6565646c652d74776f??78\nPARTED:0:*:6e6565646c652d74776f??78\n";
    let cf = "full EXPR /\\d[a-f]\\d[a-f]\\d[a-f]\\d\\W/\nfull LOOK /(?<=[xyz])\\d\\d\\d\\d\\W(?=[abc])/\n";
    let mut report = BuildReport::default();
    let sources = [source("a.toml", toml), source("a.ndb", ndb), source("a.cf", cf)];
    let patterns = Patterns::open(&build(&sources, &mut report).unwrap().0).unwrap();
    let mut scratch = patterns.scratch().unwrap();
    for (needle, rules) in [
        ("needle-one", vec!["LIT"]),
        ("needle-two-x", vec!["GATED", "PARTED"]),
        ("1a2b3c4-", vec!["EXPR"]),
        ("x1234-a", vec!["LOOK"]),
    ] {
        for before in (SLICE_BYTES_MAX - needle.len() - 1)..=(SLICE_BYTES_MAX + 1) {
            let mut raw = vec![b'.'; before];
            raw.extend_from_slice(needle.as_bytes());
            raw.resize(2 * SLICE_BYTES_MAX + 10, b'.');
            let parts = vec![part(&raw, FileType::Unknown)];
            let fields = Fields { raw: &raw, parts, ..Fields::default() };
            let hits = block_on(patterns.run_fields(&mut scratch, &fields, &async || {})).unwrap();
            let mut found = names(&patterns, &hits);
            found.sort();
            assert_eq!(found, rules, "{needle} at {before}");
        }
    }
}

#[test]
fn units_are_matched_wherever_a_slice_is_cut() {
    let rules = "body LIT /needle-one/\nbody EXPR /\\d[a-f]\\d[a-f]\\d[a-f]\\d\\W/\nbody LOOK /(?<=[xyz])\\d\\d\\d\\d\\W(?=[abc])/\n";
    let (patterns, _) = built("a.cf", rules);
    let mut scratch = patterns.scratch().unwrap();
    for bytes in [SLICE_BYTES_MAX / 64 - 3, SLICE_BYTES_MAX / 64, SLICE_BYTES_MAX / 64 + 5] {
        for wanted in [0, 62, 63, 64, 65, 127, 128, 149] {
            let mut octets = Vec::new();
            let mut ends = Vec::new();
            for number in 0..150 {
                let mut unit = vec![b'.'; bytes];
                if number == wanted {
                    unit[bytes - 30..].copy_from_slice(b"needle-one 1a2b3c4- x1234-a ..");
                }
                octets.extend_from_slice(&unit);
                ends.push(octets.len() as u32);
            }
            let body = Units { octets: &octets, ends: &ends };
            let fields = Fields { body, ..Fields::default() };
            let hits = block_on(patterns.run_fields(&mut scratch, &fields, &async || {})).unwrap();
            assert_eq!(names(&patterns, &hits), ["LIT", "EXPR", "LOOK"], "{bytes} {wanted}");
        }
    }
}

#[test]
fn reaching_the_match_limit_is_a_finding_of_its_own() {
    let rules = "body SLOW /slowly (?:a+)+(?:a+)+(?:a+)+(?:a+)+\\1?(?<!z)$/\n";
    let (patterns, _) = built("a.cf", &rules.replace("\\1?", "(?!x)"));
    let text = format!("slowly {}!", "a".repeat(1500));
    let ends = [text.len() as u32];
    let body = Units { octets: text.as_bytes(), ends: &ends };
    let found = run(&patterns, &Fields { body, ..Fields::default() }).findings(&patterns);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, &*found[0].rule), (FindingKind::LimitReached, "SLOW"));
}

/// Rules of every tier, as `SpamAssassin` and others write them.
const MANY: &str = r#"
body LIT /order has been shipped/i
body GATE /thank\s+you.{0,40}order/i
body OBFU /(?:\b|\s)[_\W]{0,3}v[_\W]{0,3}[i1!|l\xEC-\xEF][_\W]{0,3}[a4@\xe0-\xe5][_\W]{0,3}g/i
body LOOK /(?<!un)subscribe(?!d)/
body BACK /(\w)\1\w\1/
body CLASS /\d\d[-:]\d\d[-:.]?\d/
body END /\.$/
body START /^[A-Z]\w+:\s/
body NEG /^(?!.*(?:budget|meeting)).*committee/
body MANYS /\b[a-z]{4}\b/
tflags MANYS multiple maxhits=7
rawbody RAW /<td[^>]{1,40}class=/i
rawbody LONGRAW /[A-Za-z0-9+\/]{70}/
uri URI /^https?:\/\/\d+\.\d+/
uri SLASHES /(?:\/[^\/]+){4}/
full FULL /Content-Type: [a-z]+\/[a-z]+;\s+boundary/
header SUBJ Subject =~ /\b(\d{4})-\d{4}\b/
header FROMS From =~ /[^a-z]{3}/
header RCVD Received =~ /\[192\.0\.2\.\d+\]/
header NOX X-None !~ /x/
header ALLH ALL =~ /^X-Mailer: .*\nList-/m
replace_tag A (?:[a4\xe0]|\xc3[\xa0-\xa5]|&\#22[4-9];)
replace_tag C (?:[ck]|\xc3\xa7|&\#231;)
body FUZZY /(?!account)<A><C><C>ount/i
replace_rules FUZZY
meta SUM LIT + GATE + CLASS > 1
meta NOT !FUZZY && (URI || RAW)
"#;

#[test]
fn hits_equal_those_of_every_rule_run_ungated() {
    let (patterns, report) = built("many.cf", MANY);
    let sample = include_str!("../sample.txt").replace('\n', "\r\n");
    let more = [
        sample.clone(),
        sample.replace("account", "\u{e0}ccount"),
        sample.replace("account", "&#224;k\u{e7}ount").replace("Urgent:", "v!@gra"),
        sample.replace("unsubscribe", "subscribe").replace('.', "\r\n\r\n"),
        sample.replace("\r\n\r\n", " ").replacen("Reply-To", "\r\n\r\nReply-To", 1),
    ];
    let mut scratch = patterns.scratch().unwrap();
    let ungated = Ungated::new(&patterns);
    let mut hits = 0;
    for mail in &more {
        let view =
            crate::message::View::build(mail.as_bytes(), &crate::message::ViewLimits::shard());
        let fields = Fields::of_view(&view, None, patterns.wanted());
        let tiered = block_on(patterns.run_fields(&mut scratch, &fields, &async || {})).unwrap();
        let plain = ungated.run(&mut scratch, &fields).unwrap();
        assert_eq!(names(&patterns, &tiered), names(&patterns, &plain));
        assert_eq!(tiered, plain);
        hits += plain.rules.len();
    }
    assert!(hits > 45, "{hits} hits: the texts no longer try the rules");
    for tier in [Outcome::TakenGated, Outcome::TakenSieved] {
        assert!(report.count(|outcome| *outcome == tier) > 0, "{tier:?}: {report:?}");
    }
}

/// What a careless or hostile hand writes: the build ends, and so does a scan of what would make such
/// expressions explode (the test runner ends what does not). What was refused or reached its limit
/// of steps says so.
#[test]
fn silly_rules_end_neither_the_build_nor_the_scan() {
    let words: Vec<String> = (0..5000).map(|n| format!("w{}x{n}", n * 7919 % 10007)).collect();
    let rules = format!(
        "body CATASTROPHE /^(?:(?:a+)+)+$/\nbody DOTS /.*.*.*.*x/\nbody GIANT /{}/\n\
         body MANY /(?:[a-z]{{1,60}} ){{20}}z/\nrawbody BACK /(a+)+\\1+b/\n\
         full REPEAT /(?:.{{1,500}}b){{9}}c/s\nheader HEAD Subject =~ /(?:a|a|aa)+$/\n\
         body BOUNDED /(?:a{{1,1000}}){{60}}b/\nbody NEST {}x{}/\nuri EMPTY /(?:a*)*b/\n\
         body BEYOND /a{{70000}}/\n",
        words.join("|"),
        "/".to_owned() + &"(?:".repeat(300),
        ")?".repeat(300),
    );
    let (patterns, report) = built("silly.cf", &rules);
    let rule = report.rules.iter().find(|rule| rule.name == "BEYOND").unwrap();
    assert!(matches!(rule.outcome, Outcome::Refused(_)), "{rule:?}");
    assert!(rule.place.starts_with("silly.cf:"), "{rule:?}");
    let mail = format!("Subject: {0}!\r\n\r\n{0}!\r\n", "a".repeat(60_000));
    let view = crate::message::View::build(mail.as_bytes(), &crate::message::ViewLimits::shard());
    let fields = Fields::of_view(&view, None, patterns.wanted());
    let hits = run(&patterns, &fields);
    let limited: Vec<&str> = hits.limits.iter().map(|(rule, _)| &**rule).collect();
    assert!(limited.iter().all(|name| patterns.rules().iter().any(|rule| rule.name == *name)));
}
