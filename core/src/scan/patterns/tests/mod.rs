//! Tests of the pattern engine, by what they are about; here is what they share.

use futures_lite::future::block_on;
use proptest::prelude::*;

use super::confirm::{self, Anchored, Confirm};
use super::fields::{Fields, HeaderField, PartOctets, Units};
use super::meta::Expression;
use super::rule::{Field, Pattern, Test};
use super::*;
use crate::message::FileType;
use crate::scan::finding::FindingKind;

mod clamav;
mod fields;
mod gates;
mod payload;
mod runs;
mod sources;

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

fn part(octets: &[u8], file_type: FileType) -> PartOctets<'_> {
    PartOctets { headers: Vec::new(), octets, file_type, html: false, text: false }
}
