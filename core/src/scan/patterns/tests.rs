use futures_lite::future::block_on;
use proptest::prelude::*;

use super::confirm::Confirm;
use super::fields::{Fields, HeaderField, PartOctets, Units};
use super::meta::Expression;
use super::rule::{Field, Pattern, Test};
use super::*;
use crate::message::FileType;
use crate::scan::finding::FindingKind;

fn source(path: &str, text: &str) -> PatternSource {
    let format = SourceFormat::of_path(path).unwrap();
    PatternSource { path: path.into(), octets: text.as_bytes().to_vec(), format }
}

fn built(path: &str, text: &str) -> (Patterns, BuildReport) {
    let mut report = BuildReport::default();
    let payload = build(&[source(path, text)], &mut report).unwrap();
    (Patterns::open(&payload.0).unwrap(), report)
}

fn errors(path: &str, text: &str) -> Vec<String> {
    let errors = build(&[source(path, text)], &mut BuildReport::default()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn outcome(report: &BuildReport, name: &str) -> Outcome {
    report.rules.iter().find(|rule| rule.name == name).unwrap().outcome.clone()
}

fn names(patterns: &Patterns, hits: &Hits) -> Vec<String> {
    hits.rules.iter().map(|hit| patterns.rule(hit.rule).unwrap().name.clone()).collect()
}

fn run(patterns: &Patterns, fields: &Fields<'_>) -> Hits {
    let mut scratch = patterns.scratch().unwrap();
    block_on(patterns.run_fields(&mut scratch, fields, &async || {})).unwrap()
}

fn with_body(body: &'static [&'static str]) -> (Vec<u8>, Vec<u32>) {
    let mut octets = Vec::new();
    let mut ends = Vec::new();
    for unit in body {
        octets.extend_from_slice(unit.as_bytes());
        ends.push(octets.len() as u32);
    }
    (octets, ends)
}

fn body_hits(rules: &str, body: &'static [&'static str]) -> Vec<String> {
    let (patterns, _) = built("test.cf", rules);
    let (octets, ends) = with_body(body);
    let fields = Fields { body: Units { octets: &octets, ends: &ends }, ..Fields::default() };
    names(&patterns, &run(&patterns, &fields))
}

#[test]
fn a_body_rule_matches_one_paragraph_and_never_across_two() {
    let rules =
        "body A /first second/\nbody B /second third/\nbody C /^second/\nbody D /(?<!x)third$/";
    assert_eq!(body_hits(rules, &["first second\n", "third"]), ["A", "D"]);
    assert_eq!(body_hits(rules, &["first ", "second third"]), ["B", "C", "D"]);
}

#[test]
fn literals_do_not_hit_across_the_end_of_a_unit() {
    let toml = "[[rule]]\nname=\"L\"\nfield=\"body\"\nliterals=[\"abcdef\"]\n";
    let (patterns, _) = built("test.toml", toml);
    for (body, hit) in [(["xabc", "defx"], false), (["xABCdef", "x"], true)] {
        let octets = body.concat().into_bytes();
        let ends = [body[0].len() as u32, octets.len() as u32];
        let fields = Fields { body: Units { octets: &octets, ends: &ends }, ..Fields::default() };
        assert_eq!(names(&patterns, &run(&patterns, &fields)).len(), usize::from(hit));
    }
}

#[test]
fn header_rules_see_decoded_raw_address_and_name_forms() {
    let rules = "
header S Subject =~ /hello world/
header A From:addr =~ /^a\\@example\\.com$/
header N From:name =~ /^Taro$/
header R Subject:raw =~ /=\\?utf-8/
header NOT Subject !~ /goodbye/
header E exists:List-Id
header M X-Missing =~ /^$/
header U X-Missing =~ /^none$/ [if-unset: none]
header V ALL =~ /^From: .*\\nSubject: hello/m
meta BOTH S && A && !E
meta COUNT S + A + N >= 3
meta NEVER S && UNKNOWN_RULE
";
    let (patterns, report) = built("test.cf", rules);
    let headers = vec![
        HeaderField { name: "FROM", raw: b" Taro <a@example.com>", value: "Taro <a@example.com>" },
        HeaderField { name: "Subject", raw: b" =?utf-8?q?hello_world?=", value: "hello world" },
    ];
    let mut fields = Fields { headers, ..Fields::default() };
    let found = names(&patterns, &run(&patterns, &fields));
    fields.headers[0].name = "From";
    let expected = ["S", "A", "N", "R", "NOT", "M", "U", "BOTH", "COUNT"];
    assert_eq!(found, expected);
    assert!(names(&patterns, &run(&patterns, &fields)).contains(&"V".to_owned()));
    assert!(report.notes.iter().any(|note| note.contains("UNKNOWN_RULE")), "{:?}", report.notes);
}

#[test]
fn rules_that_are_not_taken_are_listed_with_the_reason() {
    let rules = "
body EV eval:check_something('x')
header RELAY X-Spam-Relays-External =~ /^\\[ ip=/
header REV Received:revip =~ /x/
body ZERO /never run/
score ZERO 0 1 1 1
header NET Subject =~ /spam/
tflags NET net
body BROKEN /unclosed(/
body CAPTURE /x%{NAME}/
welcomelist_from *@example.com
";
    let (patterns, report) = built("test.cf", rules);
    for name in ["EV", "RELAY", "REV", "NET", "CAPTURE"] {
        assert!(matches!(outcome(&report, name), Outcome::NotTaken(_)), "{name}");
    }
    assert_eq!(outcome(&report, "ZERO"), Outcome::ScoreZero);
    assert!(matches!(outcome(&report, "BROKEN"), Outcome::Refused(_)));
    assert!(report.unknown_lines[0].contains("welcomelist_from"), "{:?}", report.unknown_lines);
    assert!(patterns.rules().is_empty());
}

#[test]
fn bad_lines_are_all_named_with_file_line_and_column() {
    let text = "body A /x/\nbody B x\n  header C Subject\nscore A one\nif (1\nendif\nmeta D A &&\n";
    let found = errors("bad.cf", text);
    let places: Vec<_> = found.iter().map(|e| e.rsplit_once(": ").unwrap().0.to_owned()).collect();
    assert_eq!(found.len(), 6, "{found:?} {places:?}");
    for (error, place) in found.iter().zip(["bad.cf:2:8:", "bad.cf:3:12:", "bad.cf:4:7:"]) {
        assert!(error.starts_with(place), "{error} is not at {place}");
    }
    let found = errors("bad.toml", "[[rule]]\nname = \"A\"\nfield = \"nowhere\"\npattern = 'x'\n");
    assert_eq!(found, ["bad.toml:3:9: field: unknown `nowhere`"]);
    // Whoever wrote `patern` was told that it is unknown and left to find out what is known.
    let mut found = errors(
        "keys.toml",
        "[[rules]]\nname = \"A\"\n[[rule]]\nname = \"B\"\nfield = \"body\"\npatern = \"x\"\n\
         [[rule]]\nname = \"C\"\nzebra = 1\n",
    );
    found.sort();
    assert_eq!(
        found,
        [
            "keys.toml:1:3: unknown key `rules`, did you mean `rule`?",
            "keys.toml:6:1: unknown key `patern`, did you mean `pattern`?",
            "keys.toml:9:1: unknown key `zebra`",
        ]
    );
    let found = errors("bad.ndb", "Name:0:*:4142zz\n\nOther:0\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("bad.ndb:1:14:"), "{found:?}");
    let found = errors("bad.ldb", "Name;Target:0;0&7;4142\n");
    assert!(found[0].starts_with("bad.ldb:1:"), "{found:?}");
}

#[test]
fn conditions_choose_what_a_stock_installation_would_read() {
    let rules = "
if (version >= 3.004000)
body A /aaaa/
else
body A /bbbb/
endif
ifplugin Mail::SpamAssassin::Plugin::NoSuchThing
body B /aaaa/
endif
if !plugin(Mail::SpamAssassin::Plugin::DKIM) || can(Mail::SpamAssassin::Conf::feature_x)
body C /aaaa/
endif
";
    assert_eq!(body_hits(rules, &["xx aaaa"]), ["A", "C"]);
    assert!(errors("x.cf", "if (1)\nbody A /x/\n")[0].contains("without `endif`"));
    assert!(errors("x.cf", "endif\n")[0].contains("without `if`"));
}

#[test]
fn replace_tags_are_put_in_with_what_goes_between_them() {
    let rules = "
replace_tag A [a4]
replace_tag B (?:b|8)
replace_inter W \\W?
body FUZZY /<inter W><A><B>c/
replace_rules FUZZY
body PLAIN /<A><B>c/
";
    assert_eq!(body_hits(rules, &["x 4-8c"]), ["FUZZY"]);
    assert_eq!(body_hits(rules, &["<A><B>c"]), ["PLAIN"]);
}

#[test]
fn multiple_counts_up_to_maxhits_and_metas_see_the_count() {
    let rules = "
body __M /foo\\w/
tflags __M multiple maxhits=3
meta THREE __M == 3
meta MORE __M > 3
body FIRST /foo/
tflags FIRST nosubject
";
    assert_eq!(body_hits(rules, &["fooa foob", "x fooc food"]), ["__M", "THREE", "FIRST"]);
    assert_eq!(body_hits(rules, &["fooa foob"]), ["__M"]);
}

#[test]
fn a_meta_that_depends_on_itself_is_noted_and_never_loops() {
    let (patterns, report) = built("m.cf", "meta A B || A\nmeta B A\nbody __X /xxxx/\n");
    assert!(report.notes.iter().any(|note| note.contains("depends on itself")));
    assert!(run(&patterns, &Fields::default()).rules.is_empty());
}

#[test]
fn meta_expressions_bind_as_in_perl() {
    let value = |text: &str| Expression::parse(text).unwrap().value(|_| 1.0);
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("!0 + 1", 2.0),
        ("(1 + 2) * 3 > 8 && !A || 0", 0.0),
        ("A + A - 3 < 0", 1.0),
        ("4 / 0", 0.0),
        ("1 || 0 && 0", 1.0),
        ("-2 + 3 == 1", 1.0),
    ] {
        assert!((value(text) - expected).abs() < 1e-9, "{text}: {}", value(text));
    }
    for bad in ["", "A &&", "(A", "A B", "A )", "1.2.3", "f(A)", "A & B", "%"] {
        assert!(Expression::parse(bad).is_err(), "{bad}");
    }
    assert!(Expression::parse(&"(".repeat(100_000)).is_err());
}

fn part(octets: &[u8], file_type: FileType) -> PartOctets<'_> {
    PartOctets { headers: Vec::new(), octets, file_type, html: false, text: false }
}

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
fn toml_rules_give_findings_with_kind_points_and_log_only() {
    let toml = "
[[rule]]
name = \"JA\"
describe_en = \"Account locked\"
field = \"normalised\"
pattern = '(?i)アカウント.{0,5}停止'
kind = \"phishing\"
points = 2.5
log_only = true
[[rule]]
name = \"RAW_JA\"
field = \"body\"
pattern = '停止+'
";
    let (patterns, report) = built("x.toml", toml);
    let text = "あなたのアカウントを停止止しました".as_bytes();
    let ends = [text.len() as u32];
    let units = Units { octets: text, ends: &ends };
    let found = run(&patterns, &Fields { normalised: units, body: units, ..Fields::default() })
        .findings(&patterns);
    assert_eq!(found.len(), 2, "{found:?} {report:?}");
    assert_eq!((found[0].kind, found[0].points), (FindingKind::Phishing, 2500));
    assert!(found[0].log_only && !found[1].log_only);
}

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

#[test]
fn a_payload_of_another_platform_asks_for_a_rebuild_and_damage_is_refused() {
    let mut report = BuildReport::default();
    let payload =
        build(&[source("a.cf", "body A /\\d[a-f]\\W\\d/\nbody B /hello world/")], &mut report);
    let payload = payload.unwrap().0;
    assert!(Patterns::open(&payload).is_ok());
    let text = String::from_utf8_lossy(&payload);
    let at = text.find("libhs ").unwrap();
    let mut other = payload.clone();
    other[at + 6] = b'9';
    assert!(matches!(Patterns::open(&other), Err(OpenError::Rebuild { .. })));
    for cut in [0, 7, 15, 40, payload.len() / 2, payload.len() - 1] {
        assert!(Patterns::open(&payload[..cut]).is_err(), "{cut}");
    }
    // A rule index beyond the list.
    let plan_end = 16 + u64::from_le_bytes(payload[8..16].try_into().unwrap()) as usize;
    let plan = String::from_utf8(payload[16..plan_end].to_vec()).unwrap();
    let broken = plan.replace("{\"Confirm\":", "{\"Confirm\":9");
    assert_ne!(plan, broken);
    let mut rewritten = payload[..8].to_vec();
    rewritten.extend_from_slice(&(broken.len() as u64).to_le_bytes());
    rewritten.extend_from_slice(broken.as_bytes());
    rewritten.extend_from_slice(&payload[plan_end..]);
    assert!(matches!(Patterns::open(&rewritten), Err(OpenError::Damaged(_))));
}

fn needed(text: &str) -> Option<Vec<String>> {
    let pattern = Pattern { text: text.into(), ..Pattern::default() };
    let set = literals::necessary(&pattern).gate?;
    Some(set.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned()).collect())
}

#[test]
fn literals_are_taken_only_where_every_match_has_one() {
    let some = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    for (text, expected) in [
        ("Hello World", some(&["hello world"])),
        ("x*hello\\s+there", some(&["hello"])),
        ("(?:hello|there)+x?", some(&["hello", "there"])),
        ("(?:hello)?", None),
        ("hello|.*", None),
        ("(?!hello)\\w+", None),
        ("(?=hello)\\w+", None),
        ("(?>hello)++world", some(&["world"])),
        ("h[ea]llo", some(&["hallo", "hello"])),
        ("[^h]ello w", some(&["ello w"])),
        ("\\Qa.b(c\\E", some(&["a.b(c"])),
        ("(hello)\\1{0}", some(&["hello"])),
        ("hello{0}", some(&["hell"])),
        ("gaz{2,5}o", some(&["zz"])),
        ("\\x68ell\\157", some(&["hell"])),
        ("[[:alpha:]]hello", some(&["hello"])),
        ("\\d{5,}", None),
    ] {
        assert_eq!(needed(text), expected, "{text}");
    }
}

#[test]
fn tags_in_the_values_of_tags_are_replaced_and_circles_end() {
    let rules = "
replace_tag IN (?:x|y)
replace_tag OUT a<IN>b
replace_tag LOOP <LOOP>q
body NESTED /1<OUT>2/
body CIRCLE /<LOOP>/
replace_rules NESTED CIRCLE
";
    assert_eq!(body_hits(rules, &["1ayb2"]), ["NESTED"]);
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
    let sample = include_str!("sample.txt").replace('\n', "\r\n");
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
        assert!(report.count(|outcome| *outcome == tier) > 2, "{tier:?}: {report:?}");
    }
}

#[test]
fn a_simplified_expression_matches_wherever_the_original_does() {
    let simple = |text: &str| {
        let pattern = Pattern { text: text.into(), caseless: true, ..Pattern::default() };
        simplify::simplify(&pattern)
    };
    for (text, subject) in [
        ("(?:[a4\\xe0]|\\xc3[\\xa0-\\xa5]|&\\#22[4-9];)bcd", "x\u{e0}BCDx"),
        ("(?:[a4\\xe0]|\\xc3[\\xa0-\\xa5]|&\\#22[4-9];)bcd", "x&#224;bcd"),
        ("(?:\\b|\\s)[_\\W]{0,3}v[_\\W]{0,3}[i1l]agra\\s*", "..V__1agra"),
        ("(?!abc)[a-c]{3}(?=d)\\w?", "xxbbcd"),
    ] {
        let text_simple = simple(text).unwrap();
        for text in [text.to_owned(), text_simple.clone()] {
            let caseless = text != text_simple;
            let pattern = Pattern { text, caseless, dotall: true, ..Pattern::default() };
            assert_eq!(
                Confirm::new(&pattern).unwrap().matches(subject.as_bytes()),
                Ok(true),
                "{pattern:?}"
            );
        }
    }
    assert_eq!(simple("a?b?"), None);
    assert_eq!(simple("ab|x"), None);
}

#[test]
fn a_match_passes_the_sieve_and_the_lazy_automaton_wherever_it_stands() {
    for (text, caseless, subject) in [
        ("(?:v|\\\\/)[i1!|l\\xEC-\\xEF][a4@\\xe0-\\xe5]gr[a4]", true, "\\/1\u{e0}GRA"),
        ("(?:a|bb|ccc){2,3}(?:d{3}|&#\\d+;)+x", false, "cccabb&#12;&#7;dddx"),
        ("(?:(?:name|address|phone)\\s?[:;_.]{1,20}\\s?){3}", true, "Name:Phone..... ADDRESS;"),
        ("x?y?[^a-z]{4}.{0,9}(?!q)(?:end|stop)\\b", false, "1234...end"),
    ] {
        let pattern = Pattern { text: text.into(), caseless, ..Pattern::default() };
        let places = sieve::Places::of(&simplify::core_of(&pattern).unwrap()).unwrap();
        let sieve = sieve::Sieve::new(&[(0, places.clone()), (1, places)]);
        let lazy = lazy::Lazy::new(&pattern).unwrap();
        let mut cache = lazy.cache();
        let quiet = "zzzzzzzz ".repeat(9).into_bytes();
        assert_eq!(sieve.scan(&quiet), 0, "{text}");
        assert!(!lazy.may_match(&mut cache, &quiet, &mut 1_000_000), "{text}");
        // Nothing left to make states with: the answer is the one that is always right.
        assert!(lazy.may_match(&mut cache, &quiet, &mut 0), "{text}");
        let subject: Vec<u8> = subject.chars().map(|c| c as u8).collect();
        assert_eq!(Confirm::new(&pattern).unwrap().matches(&subject), Ok(true), "{text}");
        for before in 0..20 {
            let mut unit = vec![b'z'; before];
            unit.extend_from_slice(&subject);
            assert_eq!(sieve.scan(&unit), 0b11, "{text} at {before}");
            assert!(lazy.may_match(&mut cache, &unit, &mut 1_000_000), "{text} at {before}");
        }
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

#[test]
fn octets_above_ascii_are_octets_in_a_necessary_literal() {
    let pattern = Pattern { text: "\\xe5\\x81\\x9c[\\xe6-\\xe7]x".into(), ..Pattern::default() };
    let set = literals::necessary(&pattern).gate.unwrap();
    assert_eq!(set, [b"\xe5\x81\x9c\xe6x".to_vec(), b"\xe5\x81\x9c\xe7x".to_vec()]);
}

/// `account .{0,20}suspen` waited for the word that every office writes, and PCRE2 looked at every mail.
#[test]
fn a_gate_is_what_is_rare_in_mail_and_the_rest_is_looked_for_as_well() {
    let pattern =
        Pattern { text: "account .{0,20}suspen".into(), caseless: true, ..Pattern::default() };
    let necessary = literals::necessary(&pattern);
    assert_eq!(necessary.gate, Some(vec![b"suspen".to_vec()]));
    assert_eq!(necessary.also, [vec![b"account ".to_vec()]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever PCRE2 matches passes the sieve and the lazy automaton.
    #[test]
    fn a_match_always_passes_the_sieve_and_the_lazy_automaton(
        pattern in "[ab]{1,3}(\\[[a-c]x?\\]\\?|\\(\\?:a\\|bc\\|\\.\\)\\{1,3\\}|\\(\\?!c\\)b|\\.\\*){0,3}[abc.]{2,4}[*+?]?(\\|[abc]{3,5})?",
        text in "[abcx ]{0,40}",
    ) {
        let pattern = Pattern { text: pattern, ..Pattern::default() };
        if let Ok(confirm) = Confirm::new(&pattern)
            && confirm.matches(text.as_bytes()) == Ok(true)
        {
            if let Some(places) = simplify::core_of(&pattern).and_then(|core| sieve::Places::of(&core)) {
                prop_assert_eq!(sieve::Sieve::new(&[(0, places)]).scan(text.as_bytes()), 1);
            }
            if let Some(lazy) = lazy::Lazy::new(&pattern) {
                prop_assert!(lazy.may_match(&mut lazy.cache(), text.as_bytes(), &mut 1_000_000));
            }
        }
    }

    /// Whatever PCRE2 matches contains one of the literals that were called necessary.
    #[test]
    fn a_match_always_contains_a_necessary_literal(
        pattern in "(\\(\\?:)?[abc]{1,3}(\\[[a-d]-?[e-g]?\\]|\\.|\\\\w|\\(\\?=[ab]\\)|\\(\\?!c\\))?[abc]{1,3}[*+?]?(\\|[abc]{2,4})?",
        text in "[abcd ]{0,40}",
    ) {
        let pattern = if pattern.starts_with("(?:") { format!("{pattern})+") } else { pattern };
        let pattern = Pattern { text: pattern, ..Pattern::default() };
        let necessary = literals::necessary(&pattern);
        if let Ok(confirm) = Confirm::new(&pattern)
            && confirm.matches(text.as_bytes()) == Ok(true)
        {
            for set in necessary.gate.iter().chain(&necessary.also) {
                prop_assert!(set.iter().any(|literal| memchr::memmem::find(text.as_bytes(), literal).is_some()));
            }
        }
    }

    #[test]
    fn no_source_makes_a_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_sources(&octets);
        fuzz_open(&octets);
    }
}

#[test]
fn an_expression_is_not_taken_for_another_field() {
    let (patterns, _) = built("a.cf", "uri U /example\\.com/\nrawbody R /<b>/\n");
    let fields_of: Vec<_> = patterns
        .rules()
        .iter()
        .map(|rule| match &rule.test {
            Test::Expression { field, .. } => field.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fields_of, [Field::Uri, Field::RawBody]);
    let hits = run(&patterns, &Fields { uris: vec![b"http://example.com/"], ..Fields::default() });
    assert_eq!(names(&patterns, &hits), ["U"]);
}
