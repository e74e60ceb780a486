//! The pattern tiers, each with rules that are made for it, over the fields of one HTML mail of 20 KiB. What rules of
//! the field cost is `examples/patterns_cost.rs`'s and `examples/scan_stages.rs`'s to say.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::future::block_on;
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::patterns::{
    BuildReport, Fields, PatternSource, Patterns, SourceFormat, build,
};

fn mail() -> String {
    let row = "<tr><td style=\"color:#333;font-size:12px\"><a href=\"https://www.example.com/a?b=1&amp;c=2\">\
               お知らせ news</a> of the day &nbsp; your account number 4711 and more</td></tr>\r\n";
    format!(
        "Received: from a.example (a.example [192.0.2.1]) by b.example; Mon, 1 Jan 2024 00:00:00 +0900\r\n\
         From: <a@a.example>\r\nTo: b@b.example\r\nSubject: news\r\nMessage-ID: <1@a.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <html><body><table>{}</table></body></html>",
        row.repeat(110)
    )
}

/// Rules of one tier.
fn rules(count: usize, rule: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ =
            write!(text, "[[rule]]\nname = \"R{number}\"\nfield = \"body\"\n{}\n", rule(number));
        text
    })
}

/// Compiles `text`, and says which ways its rules went: those are chosen by what rules cost on a sample.
fn patterns(name: &str, file: &str, text: String) -> Patterns {
    let source = PatternSource {
        path: file.into(),
        octets: text.into_bytes(),
        format: SourceFormat::of_path(file).unwrap(),
    };
    let mut report = BuildReport::default();
    let payload = build(&[source], &mut report).unwrap().0;
    assert_eq!(report.taken(), report.rules.len(), "{name}: {:?}", report.rules);
    let mut ways: Vec<String> =
        report.rules.iter().map(|rule| format!("{:?}", rule.outcome)).collect();
    ways.sort_unstable();
    let counts = ways.chunk_by(|one, other| one == other);
    let counts: Vec<String> = counts.map(|group| format!("{} {}", group[0], group.len())).collect();
    println!("scan/{name}: {}", counts.join(", "));
    Patterns::open(&payload).unwrap()
}

/// Signatures of malware in the form of ClamAV: 20 octets each.
fn signatures(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(text, "Bench.S{number}:0:*:");
        for place in 0..20_usize {
            let octet = (number + 1).wrapping_mul(0x9e37_79b1).wrapping_mul(2 * place + 1) >> 16;
            let _ = write!(text, "{:02x}", octet & 0xff);
        }
        text.push('\n');
        text
    })
}

fn tiers(criterion: &mut Criterion) {
    let mail = mail();
    let own = "bench.toml";
    let tiers = [
        ("no_rules", own, String::new()),
        (
            "literals_2000",
            own,
            rules(2000, |n| format!("literals = [\"word{n} of {}\"]", n * 7919)),
        ),
        ("long_literals_5000", "bench.ndb", signatures(5000)),
        // A literal that is in the mail, and an expression that is then confirmed.
        ("gated_200", own, rules(200, |n| format!("pattern = 'account\\s+number\\s+{n}x?\\b'"))),
        // No literal to wait for: an expression that runs over the text, or a sieve before it.
        (
            "expressions_50",
            own,
            rules(50, |n| format!("pattern = '[a-f]{{3}}[0-9]{{2}}[g-m]{{{}}}'", n % 5 + 1)),
        ),
        // What libhs cannot take: the same again, as it was found.
        (
            "references_20",
            own,
            rules(20, |n| format!("pattern = '([a-z]{{2}})\\1{{{}}}'", n % 5 + 2)),
        ),
    ];
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(mail.len() as u64));
    for (name, file, text) in tiers {
        let patterns = patterns(name, file, text);
        let mut scratch = patterns.scratch().unwrap();
        let view = View::build(mail.as_bytes(), &ViewLimits::shard());
        let fields = Fields::of_view(&view, None, patterns.wanted());
        group.bench_function(name, |bench| {
            bench.iter(|| {
                block_on(patterns.run_fields(&mut scratch, black_box(&fields), &async || {}))
                    .unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tiers);
criterion_main!(benches);
