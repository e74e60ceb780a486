//! The starter rules of `core/data/rules`: every one of them is taken by the pattern compiler.

use crate::scan::patterns::{BuildReport, PatternSource, SourceFormat, build};

#[test]
fn every_starter_rule_is_taken() {
    let files = [
        ("10-test.toml", include_str!("../../../data/rules/10-test.toml")),
        ("20-phishing-ja.toml", include_str!("../../../data/rules/20-phishing-ja.toml")),
        ("21-phishing-en.toml", include_str!("../../../data/rules/21-phishing-en.toml")),
        ("30-spam-ja.toml", include_str!("../../../data/rules/30-spam-ja.toml")),
        ("31-spam-en.toml", include_str!("../../../data/rules/31-spam-en.toml")),
        ("32-spam-topics.toml", include_str!("../../../data/rules/32-spam-topics.toml")),
        ("40-attachments.toml", include_str!("../../../data/rules/40-attachments.toml")),
    ];
    let sources: Vec<PatternSource> = files
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
