mod decisions;
mod golden;
mod lists;
mod rules;
mod scenarios;
mod sources;
mod standard;
mod starter;
mod tm_09;

use super::*;
use crate::scan::finding::{Finding, FindingKind};
use crate::verdict::{AppliedEntry, Owner, Verdict, judge};

fn finding(kind: FindingKind, points: i32) -> Finding {
    let rule = format!("{kind:?}").into();
    Finding { kind, rule, points, detail: "".into(), log_only: false }
}

fn spam() -> Finding {
    finding(FindingKind::Spam, 9_000)
}

fn virus() -> Finding {
    finding(FindingKind::Malware, 0)
}

fn applied() -> AppliedEntry {
    AppliedEntry { owner: Owner::Account, text: "a@example.com".into() }
}

fn verdict(findings: &[Finding], settings: &DomainSettings, list: ListDecision) -> Verdict {
    judge(findings, &[], &settings.weights, list)
}

fn decided(findings: &[Finding], settings: &DomainSettings, list: ListDecision) -> Decision {
    decide(&verdict(findings, settings, list), settings, &Facts::default())
}
