//! Deciding what becomes of one recipient's copy: a clean mail and a spam mail, by each profile.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sekisho_core::policy::{Facts, ListDecision, Profile, decide, preset};
use sekisho_core::scan::finding::{Finding, FindingKind};
use sekisho_core::verdict::judge;

const PROFILES: [(&str, Profile); 3] = [
    ("iij_secure_mx", Profile::IijSecureMx),
    ("securemail", Profile::Securemail),
    ("tmems", Profile::Tmems),
];

fn decisions(criterion: &mut Criterion) {
    let spam = Finding {
        kind: FindingKind::Spam,
        rule: "SPAM".into(),
        points: 9_000,
        detail: "".into(),
        log_only: false,
    };
    let headers = [("Subject", "お知らせ"), ("From", "a@a.example"), ("To", "b@b.example")];
    let facts =
        Facts { message_bytes: 16_384, recipients: 1, headers: &headers, ..Facts::default() };
    let mut group = criterion.benchmark_group("policy");
    for (name, profile) in PROFILES {
        let settings = preset(profile);
        for (kind, findings) in [("clean", &[][..]), ("spam", std::slice::from_ref(&spam))] {
            let verdict = judge(findings, &[], &settings.weights, ListDecision::None);
            group.bench_function(format!("{name}/{kind}"), |bench| {
                bench.iter(|| decide(black_box(&verdict), &settings, &facts));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
