//! Literals, simplified expressions, sieves, lazy automata: none says "no" where PCRE2 matches.

use super::*;

fn needed(text: &str) -> Option<Vec<String>> {
    let pattern = Pattern { text: text.into(), ..Pattern::default() };
    let set = literals::necessary(&pattern).gates.into_iter().find(|gate| gate.rare)?.strings;
    Some(set.into_keys().map(|text| String::from_utf8_lossy(&text).into_owned()).collect())
}

#[test]
fn literals_are_taken_only_where_every_match_has_one() {
    let some = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    for (text, expected) in [
        ("Hello World", some(&["hello world"])),
        ("x*hello\\d*there", some(&["hello"])),
        ("x*hello[ \\t]+there", some(&["hello\t", "hello "])),
        ("x*[ab]+hello", some(&["ahello", "bhello"])),
        ("(?:hello|there)+x?", some(&["hello", "there"])),
        ("(?:hello)?", None),
        ("hello|.*", None),
        ("(?!hello)\\w+", None),
        ("(?=hello)\\w+", None),
        ("(?>hello)++world", some(&["helloworld"])),
        ("h[ea]llo", some(&["hallo", "hello"])),
        ("[^h]ello w", some(&["ello w"])),
        ("\\Qa.b(c\\E", some(&["a.b(c"])),
        ("(hello)\\1{0}", some(&["hello"])),
        ("hello{0}", some(&["hell"])),
        ("gaz{2,5}o", some(&["gazz"])),
        ("\\x68ell\\157", some(&["hell"])),
        ("[[:alpha:]]hello", some(&["hello"])),
        ("\\d{5,}", None),
    ] {
        assert_eq!(needed(text), expected, "{text}");
    }
}

#[test]
fn octets_above_ascii_are_octets_in_a_necessary_literal() {
    let pattern = Pattern { text: "\\xe5\\x81\\x9c[\\xe6-\\xe7]x".into(), ..Pattern::default() };
    let gates = literals::necessary(&pattern).gates;
    assert!(
        gates[0].strings.keys().eq(&[b"\xe5\x81\x9c\xe6x".to_vec(), b"\xe5\x81\x9c\xe7x".to_vec()])
    );
}

/// `account .{0,20}suspen` waited for the word that every office writes, and PCRE2 looked at every mail.
#[test]
fn a_gate_is_what_is_rare_in_mail_and_the_rest_is_looked_for_as_well() {
    let pattern =
        Pattern { text: "account .{0,20}suspen".into(), caseless: true, ..Pattern::default() };
    let necessary = literals::necessary(&pattern);
    assert!(necessary.gates[0].strings.keys().eq([b"suspen"]), "{necessary:?}");
    assert_eq!(necessary.also, [vec![b"suspen".to_vec()], vec![b"account ".to_vec()]]);
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

/// If libhs finds `text`, made of `pattern`, in units with LF between them.
fn libhs_finds(text: &str, pattern: &Pattern, unit: &[u8]) -> bool {
    let case = if pattern.caseless { hs::CASELESS } else { 0 };
    let flags = hs::SINGLEMATCH | hs::DOTALL | hs::MULTILINE | case;
    let entry = hs::Entry { octets: text.into(), flags, id: 0 };
    let database = hs::compile(&[entry], hs::Mode::Block).unwrap();
    let mut space = hs::Space::default();
    space.grow(&database).unwrap();
    let mut found = false;
    let joined = [b"zz\n", unit, b"\nzz\n"].concat();
    let mut on_match = |_, _| {
        found = true;
        false
    };
    hs::scan(&database, &joined, &mut space, &mut on_match).unwrap();
    found
}

#[test]
fn an_expression_without_counts_matches_where_the_expression_does() {
    for (text, caseless, subject, other) in [
        ("^\\s?(?:Name|Address)[:_. ]{3,50}$", true, "name: ____", "my name: ____"),
        ("\\b(?:x[^)}]{1,30}[)}]){2}", false, "x(1)x{22}", "xx)"),
        ("[^\\w\\n]{2,4}[A-K]\\b", false, ";\u{e9}K", "?K"),
        ("[^a-c]{2}d(?!e)", true, "XYD", "aBd"),
        ("one\\B.{0,9}\\Btwo", false, "ones two-twotwo", "one two"),
    ] {
        let pattern = Pattern { text: text.into(), caseless, ..Pattern::default() };
        let uncounted = uncounted::text_of(&pattern).unwrap();
        let octets = |text: &str| -> Vec<u8> { text.chars().map(|c| c as u8).collect() };
        assert_eq!(Confirm::new(&pattern).unwrap().matches(&octets(subject)), Ok(true), "{text}");
        assert!(libhs_finds(&uncounted, &pattern, &octets(subject)), "{text}: {uncounted}");
        assert!(!libhs_finds(&uncounted, &pattern, &octets(other)), "{text}: {uncounted}");
    }
    let short = Pattern { text: "a?b?c".into(), ..Pattern::default() };
    assert_eq!(uncounted::text_of(&short), None, "matches are too short");
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
        let sieve = sieve::Sieve::new([&places, &places]);
        let seen = |unit: &[u8]| {
            let mut seen = 0;
            sieve.scan(unit, &mut |lanes, _| seen |= lanes);
            seen
        };
        let lazy = lazy::Lazy::new(&pattern).unwrap();
        let mut cache = lazy.cache();
        let quiet = "zzzzzzzz ".repeat(9).into_bytes();
        assert_eq!(seen(&quiet), 0, "{text}");
        assert!(!lazy.may_match(&mut cache, &quiet, &mut 1_000_000), "{text}");
        // Nothing left to make states with: the answer is the one that is always right.
        assert!(lazy.may_match(&mut cache, &quiet, &mut 0), "{text}");
        let subject: Vec<u8> = subject.chars().map(|c| c as u8).collect();
        assert_eq!(Confirm::new(&pattern).unwrap().matches(&subject), Ok(true), "{text}");
        for before in 0..20 {
            let mut unit = vec![b'z'; before];
            unit.extend_from_slice(&subject);
            assert_eq!(seen(&unit), 0b11, "{text} at {before}");
            assert!(lazy.may_match(&mut cache, &unit, &mut 1_000_000), "{text} at {before}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]


    #[test]
    fn a_match_always_passes_the_sieve_and_the_lazy_automaton(
        pattern in "[ab]{1,3}(\\[[a-c]x?\\]\\?|\\(\\?:a\\|bc\\|\\.\\)\\{1,3\\}|\\(\\?!c\\)b|\\.\\*){0,3}[abc.]{2,4}[*+?]?(\\|[abc]{3,5})?",
        text in "[abcx ]{0,40}",
    ) {
        let pattern = Pattern { text: pattern, ..Pattern::default() };
        if let Ok(confirm) = Confirm::new(&pattern)
            && confirm.matches(text.as_bytes()) == Ok(true)
        {
            for core in [simplify::core_of(&pattern), simplify::tree_of(&pattern)].into_iter().flatten() {
                for (places, _) in sieve::sequences(&core) {
                    let mut seen = 0;
                    sieve::Sieve::new([&places]).scan(text.as_bytes(), &mut |lanes, _| seen |= lanes);
                    prop_assert_eq!(seen, 1, "{:?} of {:?}", places, core);
                }
            }
            if let Some(uncounted) = uncounted::text_of(&pattern) {
                prop_assert!(libhs_finds(&uncounted, &pattern, text.as_bytes()), "{uncounted}");
            }
            let other = Pattern { text: "qq[a-c]{2}q".into(), ..Pattern::default() };
            for patterns in [&[&pattern][..], &[&other, &pattern]] {
                if let Some(lazy) = lazy::Lazy::of_any(patterns) {
                    prop_assert!(lazy.may_match(&mut lazy.cache(), text.as_bytes(), &mut 1_000_000));
                }
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
            let has = |literal: &Vec<u8>| memchr::memmem::find(text.as_bytes(), literal).is_some();
            prop_assert!(necessary.gates.iter().all(|gate| gate.strings.keys().any(has)));
            prop_assert!(necessary.also.iter().all(|set| set.iter().any(has)));
        }
    }

    /// Tried only where a gate says that a match can begin, a rule hits as often as over the whole unit.
    #[test]
    fn trying_the_places_near_a_string_finds_what_searching_the_unit_finds(
        pattern in "(\\^|\\\\b)?([xyz]|[^x]|\\.\\*\\?|[xy]{0,3}|\\(\\?:x\\|yz\\)\\?){0,2}[abc]{2,3}[+?]?(\\.|\\\\s\\*|\\(\\?!c\\)|[ab]\\+){0,2}[abc]{1,3}\\$?(\\|[xy]?[abc]{2,4})?",
        text in "[abcxyz \n]{0,60}",
        multiline in any::<bool>(),
        caseless in any::<bool>(),
        most in 1_u32..4,
    ) {
        let pattern = Pattern { text: pattern, multiline, caseless, ..Pattern::default() };
        let (Ok(confirm), Some(anchored)) = (Confirm::new(&pattern), Anchored::new(&pattern)) else {
            return Ok(());
        };
        let unit = text.as_bytes();
        for gate in literals::necessary(&pattern).gates.iter().filter(|gate| gate.near) {
            let mut places = Vec::new();
            for (literal, distance) in &gate.strings {
                for at in memchr::memmem::find_iter(unit, literal) {
                    prop_assert!(distance.places(unit, at, &mut |range| places.push(range)).is_some());
                }
            }
            confirm::in_order(&mut places);
            prop_assert_eq!(anchored.count(unit, &places, most), confirm.count(unit, most));
        }
    }

    /// Strings are counted as PCRE2 counts them.
    #[test]
    fn strings_are_counted_as_pcre2_counts_them(
        pattern in "([abc]{1,2}|\\[[ab]c\\]|\\(\\?:a\\|ab\\|cc?\\)){1,3}(\\|[abc]{1,3}){0,3}",
        text in "[abcAB]{0,60}",
        caseless in any::<bool>(),
        most in 1_u32..9,
    ) {
        let words = Pattern { text: pattern.clone(), caseless, ..Pattern::default() };
        // The same with something that only PCRE2 does.
        let other = Pattern { text: format!("(?!q)(?:{pattern})"), ..words.clone() };
        let (words, other) = (Confirm::new(&words).unwrap(), Confirm::new(&other).unwrap());
        prop_assert_eq!(words.count(text.as_bytes(), most), other.count(text.as_bytes(), most));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Tried only where each sequence of a sieve says that a match may begin, PCRE2 counts what it counts over all.
    #[test]
    fn sieves_say_where_matches_begin(
        pattern in "\\^?([ab]{1,3}|\\(\\?:a\\|[^b]c\\|\\.\\)\\{1,2\\}|\\(\\?!c\\)b|\\[a-c\\]\\?|\\\\b|x\\*){1,4}[abcx]{2,5}",
        text in "[abcx \\n]{0,80}",
    ) {
        let pattern = Pattern { text: pattern, multiline: true, ..Pattern::default() };
        let (Ok(confirm), Some(anchored), Some(tree)) =
            (Confirm::new(&pattern), Anchored::new(&pattern), simplify::tree_of(&pattern))
        else {
            return Ok(());
        };
        let unit = text.as_bytes();
        for (places, distance) in sieve::sequences(&tree) {
            let sieve = sieve::Sieve::new([&places]);
            let mut found = Vec::new();
            let mut few = true;
            sieve.scan(unit, &mut |_, block| {
                sieve.ends(unit, 0, block, &mut |end| {
                    let at = end - places.count();
                    few &= distance.places(unit, at, &mut |range| found.push(range)).is_some();
                });
            });
            confirm::in_order(&mut found);
            if few && distance.is_near(literals::begins_lines(&pattern)) {
                prop_assert_eq!(
                    anchored.count(unit, &found, 9), confirm.count(unit, 9),
                    "{} by {:?} {:?}", &pattern.text, places, distance
                );
            }
        }
    }
}

/// Which rules are compared with libhs is measured, and libhs took a second or ten minutes for the same expression.
#[test]
fn libhs_is_not_asked_to_count_over_a_gap() {
    for (text, far) in [
        ("\\b(?:one|two)\\b.{0,200}\\b(?:three|four)", true),
        ("one[^x]{1,80}two", true),
        ("\\b\\d{1,3} (?:pending|new) (?:e-?mails?)\\b.{0,160}\\b(?:click|view)", true),
        ("(?i)one.{0,160}two", true),
        ("(?:a|b(?:one.{0,100}two))x", true),
        ("one.{0,20}two", false),
        ("one.*two", false),
        ("(?:one|two){1,200}", false),
    ] {
        for utf in [false, true] {
            let pattern = Pattern { text: text.into(), caseless: true, utf, ..Pattern::default() };
            assert_eq!(uncounted::counts_far(&pattern), far, "{text} {utf}");
        }
    }
}
