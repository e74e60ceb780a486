//! What a rule is matched against: units, header forms, fields; how its hits are counted.

use super::*;

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
