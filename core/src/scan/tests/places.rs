//! Where rules matched is told of mail that looks bad, whatever mails and tables came before.

use futures_lite::future::block_on;

use super::no_tables;
use crate::message::{View, ViewLimits};
use crate::scan::finding::split_place;
use crate::scan::patterns::{BuildReport, PatternSource, Patterns, Scratch, SourceFormat, build};
use crate::scan::{ScanTables, examine};

/// One rule of four points.
fn rule(name: &str, pattern: &str) -> Patterns {
    let text = format!(
        "[[rule]]\nname = \"{name}\"\nfield = \"body\"\npattern = '{pattern}'\nkind = \"spam\"\npoints = 4.0\n"
    );
    let source = PatternSource {
        path: "rules.toml".to_owned(),
        octets: text.into_bytes(),
        format: SourceFormat::Toml,
    };
    let built = build(&[source], &mut BuildReport::default()).unwrap();
    Patterns::open(&built.0).unwrap()
}

#[test]
fn expressions_that_are_kept_are_those_of_the_tables_in_force() {
    let (one, other) = (rule("ONE", "app[lr]es?"), rule("OTHER", "pea[rs]s?"));
    let raw = b"Subject: x\r\n\r\nsome apples and some pears\r\n";
    let mut scratch = Scratch::default();
    for (patterns, name, word) in [
        (&one, "ONE", "[apples]"),
        (&one, "ONE", "[apples]"),
        (&other, "OTHER", "[pears]"),
        (&one, "ONE", "[apples]"),
    ] {
        let view = View::build(raw, &ViewLimits::shard());
        let tables = ScanTables { patterns: Some(patterns), ..no_tables() };
        let seen = block_on(examine(&view, &tables, &mut scratch, None, &async || ())).unwrap();
        let found = seen.findings.iter().find(|found| &*found.rule == name).unwrap();
        let (_, place) = split_place(&found.detail);
        assert!(place.is_some_and(|(_, text)| text.contains(word)), "{found:?}");
    }
}
