//! Judging one mail: findings as an ordinary spam mail has them, and as many as are ever kept.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sekisho_core::scan::FINDINGS_MAX;
use sekisho_core::scan::finding::{Finding, FindingKind};
use sekisho_core::verdict::{ListDecision, Weights, judge};

/// So many findings of several kinds, in no order.
fn findings(count: usize) -> Vec<Finding> {
    let kinds =
        [FindingKind::Spam, FindingKind::Phishing, FindingKind::Content, FindingKind::Graymail];
    let finding = |(number, kind): (usize, &FindingKind)| Finding {
        kind: *kind,
        rule: format!("RULE_{}", number * 7919 % count).into(),
        points: 125,
        detail: "subject".into(),
        log_only: number % 10 == 9,
    };
    kinds.iter().cycle().take(count).enumerate().map(finding).collect()
}

fn verdicts(criterion: &mut Criterion) {
    let weights = Weights::default();
    let mut group = criterion.benchmark_group("verdict");
    for (name, count) in [("clean", 0), ("spam_30_findings", 30), ("most_findings", FINDINGS_MAX)] {
        let findings = findings(count);
        group.bench_function(name, |bench| {
            bench.iter(|| judge(black_box(&findings), &[], &weights, ListDecision::None));
        });
    }
    group.finish();
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
