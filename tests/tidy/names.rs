//! Every built-in name that the code can emit has words for people in both languages: a story must be read aloud.

use std::collections::BTreeSet;

use sekisho_core::scan::{NAMES, SIGNS};
use sekisho_core::verdict::{AuthEvidence, AuthMethod};
use sekisho_tests::corpus::{files, repository};

/// What built-in names begin with.
const FAMILIES: [&str; 12] = [
    "ACTIVE_",
    "ATTACH_",
    "AUTH_",
    "BEC_",
    "BRAND_",
    "CHARSET_",
    "CLASSIFIER_",
    "GRAY_",
    "LINK_",
    "SCAN_",
    "SCANNER_",
    "TRAINED_",
];

#[test]
fn every_built_in_name_in_the_code_has_words_in_both_languages() {
    let known: BTreeSet<&str> =
        NAMES.iter().map(|one| one.name).chain(SIGNS.iter().map(|sign| sign.name)).collect();
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    for path in files(&repository().join("core/src")) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // What stands in tests is made up.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        if path.extension().is_none_or(|ending| ending != "rs")
            || path.to_string_lossy().contains("/tests")
        {
            continue;
        }
        for literal in code.split('"').skip(1).step_by(2) {
            let is_name = literal
                .bytes()
                .all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'_');
            let of_family = FAMILIES
                .iter()
                .any(|family| literal.starts_with(family) && literal.len() > family.len());
            if is_name && of_family {
                seen += 1;
                if !known.contains(literal) {
                    missing.insert(format!("{literal} in {}", path.display()));
                }
            }
        }
    }
    assert!(seen > 100, "{seen} names: they are looked for in the wrong place");
    assert!(missing.is_empty(), "no words in core/src/scan/names.rs or signs: {missing:#?}");
}

#[test]
fn every_result_of_a_check_of_the_sender_has_words_in_both_languages() {
    for method in AuthMethod::ALL {
        for outcome in method.outcomes() {
            let evidence = AuthEvidence { method, outcome: *outcome };
            let [en, ja] = evidence.told();
            assert!(en.is_ascii() && !ja.is_ascii(), "{en} {ja}");
            assert_eq!(AuthEvidence::from_rule(&evidence.rule()), Some(evidence));
            assert_eq!(AuthEvidence::from_key(&evidence.key()), Some(evidence));
        }
    }
}
