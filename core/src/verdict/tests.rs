use proptest::prelude::*;

use super::*;
use crate::scan::finding::{Finding, FindingKind};

fn finding(kind: FindingKind, rule: &str, points: i32) -> Finding {
    Finding { kind, rule: rule.into(), points, detail: "".into(), log_only: false }
}

fn entry() -> AppliedEntry {
    AppliedEntry { owner: Owner::Account, text: "user@example.com".into() }
}

fn class(findings: &[Finding], list: ListDecision) -> MainClass {
    judge(findings, &[], &Weights::default(), list).main_class
}

#[test]
fn each_kind_of_evidence_has_its_class() {
    use FindingKind as K;
    use MainClass as C;
    type Case<'c> = (&'c [(K, i32)], C, &'c str);
    let cases: &[Case<'_>] = &[
        (&[], C::NotSpam, ""),
        (&[(K::Spam, 2_999)], C::NotSpam, ""),
        (&[(K::Spam, 3_000)], C::Unsure, "spam"),
        (&[(K::Spam, 4_999)], C::Unsure, "spam"),
        (&[(K::Spam, 5_000)], C::Spam, "spam"),
        (&[(K::Spam, 7_000), (K::Spam, -3_000)], C::Unsure, "spam"),
        (&[(K::Phishing, 5_000)], C::Phish, "phishing"),
        (&[(K::Phishing, 1_000)], C::NotSpam, ""),
        (&[(K::Bec, 1_000), (K::Spam, 4_000)], C::Phish, "bec"),
        (&[(K::WebReputation, 6_000)], C::Phish, "web_reputation"),
        (&[(K::Graymail, 3_000)], C::Spam, "graymail"),
        (&[(K::Graymail, 2_000), (K::Spam, 2_900)], C::NotSpam, ""),
        (&[(K::Malware, 0)], C::Virus, "malware"),
        (&[(K::Ransomware, 0), (K::Spam, 9_000)], C::Virus, "ransomware"),
        (&[(K::TargetedAttack, 0)], C::Virus, "targeted_attack"),
        (&[(K::SuspiciousObject, 0)], C::Virus, "suspicious_object"),
        (&[(K::LimitReached, 0)], C::Error, "scan_exception"),
        (&[(K::Malformed, 0)], C::Error, "scan_exception"),
        (&[(K::WorkerDied, 0)], C::Error, "scan_exception"),
        (&[(K::Encrypted, 0)], C::Unknown, "scan_exception"),
        (&[(K::NotScanned, 0)], C::Unknown, "scan_exception"),
        (&[(K::NetworkPositive, 0)], C::NotSpam, ""),
        (&[(K::Attachment, 0)], C::NotSpam, ""),
    ];
    for (given, expected, reason) in cases {
        let findings: Vec<Finding> =
            given.iter().enumerate().map(|(i, (k, p))| finding(*k, &format!("R{i}"), *p)).collect();
        let weights = Weights { graymail: true, ..Weights::default() };
        let verdict = judge(&findings, &[], &weights, ListDecision::None);
        assert_eq!(verdict.main_class, *expected, "{given:?}");
        assert_eq!(verdict.reason.map_or("", Reason::key), *reason, "{given:?}");
        assert_eq!(verdict.contributions.len(), given.len(), "every contribution is named");
    }
}

#[test]
fn iij_76_likelihood_follows_the_thresholds() {
    let at = |points| {
        let found = [finding(FindingKind::Spam, "R", points)];
        judge(&found, &[], &Weights::default(), ListDecision::None).likelihood
    };
    assert_eq!([3_999, 4_000, 4_999, 5_000].map(at), {
        use Likelihood as L;
        [L::Low, L::Medium, L::Medium, L::High]
    });
}

#[test]
fn a_log_only_finding_is_reported_and_never_judged_by() {
    let quiet = Finding { log_only: true, ..finding(FindingKind::Malware, "EICAR", 9_000) };
    let verdict = judge(&[quiet], &[], &Weights::default(), ListDecision::None);
    assert_eq!((verdict.main_class, verdict.points), (MainClass::NotSpam, 0));
    assert_eq!(verdict.contributions[0].rule.as_ref(), "EICAR");
    assert!(!verdict.contributions[0].counted);
}

#[test]
fn an_allow_entry_skips_its_stages_only_ntt_08_tm_37() {
    let spam = finding(FindingKind::Spam, "S", 9_000);
    let virus = finding(FindingKind::Malware, "V", 0);
    let allow = || ListDecision::Allow(entry());
    assert_eq!(class(std::slice::from_ref(&spam), allow()), MainClass::Whitelisted);
    assert_eq!(class(&[spam.clone(), virus.clone()], allow()), MainClass::Virus);
    assert_eq!(class(&[spam, virus.clone()], ListDecision::Bypass), MainClass::Whitelisted);
    assert_eq!(class(&[], ListDecision::Block(entry())), MainClass::Blacklisted);
    assert_eq!(class(&[virus], ListDecision::Block(entry())), MainClass::Virus);
}

#[test]
fn its_03_a_bad_address_never_speaks_alone() {
    let weights =
        Weights { ip_action: IpAction::Header, ip_positive_points: 50_000, ..Weights::default() };
    let address = finding(FindingKind::NetworkPositive, "zone", 0);
    let alone = judge(std::slice::from_ref(&address), &[], &weights, ListDecision::None);
    assert_eq!((alone.main_class, alone.client), (MainClass::NotSpam, ClientMark::Positive));
    let spam = finding(FindingKind::Spam, "S", 1_000);
    let both = judge(&[address, spam], &[], &weights, ListDecision::None);
    assert_eq!(both.main_class, MainClass::Spam);
}

#[test]
fn two_lists_that_name_one_address_count_once() {
    let found = [
        finding(FindingKind::NetworkPositive, "a", 0),
        finding(FindingKind::NetworkSuspect, "b", 0),
    ];
    let verdict = judge(&found, &[], &Weights::default(), ListDecision::None);
    assert_eq!(verdict.points, Weights::default().ip_positive_points);
}

/// Any finding.
fn any_finding() -> impl Strategy<Value = Finding> {
    use FindingKind as K;
    let kinds = prop::sample::select(vec![
        K::Spam,
        K::Phishing,
        K::Bec,
        K::Graymail,
        K::WebReputation,
        K::Malware,
        K::Ransomware,
        K::TargetedAttack,
        K::SuspiciousObject,
        K::Encrypted,
        K::LimitReached,
        K::Malformed,
        K::WorkerDied,
        K::NotScanned,
        K::Content,
        K::Attachment,
        K::NetworkPositive,
        K::NetworkSuspect,
    ]);
    (kinds, "[A-D]", -2_000..6_000_i32, any::<bool>()).prop_map(|(kind, rule, points, log_only)| {
        Finding { log_only, ..finding(kind, &rule, points) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_order_of_findings_decides_nothing(
        findings in prop::collection::vec(any_finding(), 0..8),
        seed in any::<u64>(),
    ) {
        let straight = judge(&findings, &[], &Weights::default(), ListDecision::None);
        let mut turned = findings;
        let len = turned.len().max(1);
        turned.rotate_left(seed as usize % len);
        turned.reverse();
        let other = judge(&turned, &[], &Weights::default(), ListDecision::None);
        prop_assert_eq!(straight.main_class, other.main_class);
        prop_assert_eq!(straight.points, other.points);
        prop_assert_eq!(straight.detections, other.detections);
        prop_assert_eq!(straight.sub_class, other.sub_class);
    }
}
