//! `SpamAssassin` files, our own files, metas: what is read, and what is said of the rest.

use super::*;

#[test]
fn rules_that_are_not_taken_are_listed_with_the_reason() {
    let rules = "
body EV eval:check_something('x')
header RELAY X-Spam-Relays-External =~ /^\\[ ip=/
header REV Received:revip =~ /x/
body ZERO /never run/
score ZERO 0 1 1 1
body __OFF /never run, either/
score __OFF 0
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
    assert_eq!(outcome(&report, "__OFF"), Outcome::ScoreZero);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]


    #[test]
    fn no_source_makes_a_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_sources(&octets);
        fuzz_open(&octets);
    }
}

proptest! {
    /// A meta of which no trigger hits is false, whatever else hits.
    #[test]
    fn metas_wait_for_their_triggers(
        text in meta_text(),
        hits in prop::collection::vec(0_u32..3, 6),
    ) {
        let mut expression = Expression::parse(&text).unwrap();
        expression.rules = (0..).take(expression.names.len()).map(Some).collect();
        let Some(triggers) = expression.triggers(|rule| rule as usize + 1) else { return Ok(()) };
        let without = |rule: u32| if triggers.contains(&rule) { 0 } else { hits[rule as usize] };
        prop_assert!(!expression.holds(without), "{text} with {triggers:?} of {hits:?}");
    }
}

/// Any expression over six names.
fn meta_text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["A", "B", "C", "D", "E", "F", "0", "1", "2"]);
    let operators = ["&&", "||", "+", "-", "*", "/", ">", ">=", "<", "<=", "==", "!="];
    leaf.prop_map(str::to_owned).prop_recursive(6, 40, 2, move |inner| {
        let two = (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone())
            .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"));
        let one = (prop::sample::select(vec!["!", "-"]), inner)
            .prop_map(|(operator, value)| format!("{operator}({value})"));
        prop_oneof![3 => two, 1 => one]
    })
}

/// What is named less often is what a meta waits for.
#[test]
fn triggers_are_few_and_rare() {
    let triggers = |text: &str| {
        let mut expression = Expression::parse(text).unwrap();
        expression.rules = (0..).take(expression.names.len()).map(Some).collect();
        expression.triggers(|rule| 10 - rule as usize)
    };
    assert_eq!(triggers("A && B && !C"), Some(vec![1]));
    assert_eq!(triggers("(A || B) && (C + A > 1)"), Some(vec![0, 2]));
    assert_eq!(triggers("A + B + C >= 2"), Some(vec![0, 1, 2]));
    assert_eq!(triggers("!A"), None);
    assert_eq!(triggers("A || !B"), None);
    assert_eq!(triggers("0 && !A"), Some(vec![]));
}
