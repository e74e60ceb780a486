//! The starter rules of `core/data/rules`: every one of them is taken by the pattern compiler.

use crate::scan::patterns::{BuildReport, PatternSource, STARTER_RULES, SourceFormat, build};

#[test]
fn every_starter_rule_is_taken() {
    let sources: Vec<PatternSource> = STARTER_RULES
        .iter()
        .map(|(path, text)| PatternSource {
            path: (*path).to_owned(),
            octets: text.as_bytes().to_vec(),
            format: SourceFormat::Toml,
        })
        .collect();
    let mut report = BuildReport::default();
    if let Err(errors) = build(&sources, &mut report) {
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"));
    }
    assert!(report.rules.len() >= 50, "{} rules", report.rules.len());
    assert_eq!(report.taken(), report.rules.len(), "{:#?}", report.rules);
    assert_eq!(report.notes, Vec::<String>::new());
}
