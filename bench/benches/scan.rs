//! The pattern tiers, each with rules that only it can take, over the fields of one HTML mail of 20 KiB. What rules of
//! the field cost is `examples/patterns_cost.rs`'s and `examples/scan_stages.rs`'s to say.

#![allow(clippy::unwrap_used, reason = "a program that measures")]

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

fn patterns(text: String) -> Patterns {
    let source = PatternSource {
        path: "bench.toml".into(),
        octets: text.into_bytes(),
        format: SourceFormat::of_path("bench.toml").unwrap(),
    };
    let payload = build(&[source], &mut BuildReport::default()).unwrap().0;
    Patterns::open(&payload).unwrap()
}

fn tiers(criterion: &mut Criterion) {
    let mail = mail();
    let tiers = [
        ("no_rules", String::new()),
        ("literals_2000", rules(2000, |n| format!("literals = [\"word{n} of {}\"]", n * 7919))),
        // A literal that is in the mail, and an expression that is then confirmed.
        ("gated_200", rules(200, |n| format!("pattern = 'account\\s+number\\s+{n}x?\\b'"))),
        // No literal to wait for: an expression that runs over the text.
        (
            "expressions_50",
            rules(50, |n| format!("pattern = '[a-f]{{3}}[0-9]{{2}}[g-m]{{{}}}'", n % 5 + 1)),
        ),
    ];
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(mail.len() as u64));
    for (name, text) in tiers {
        let patterns = patterns(text);
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
